/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Objects asked about in compounds, many on their way, of a server that answers in any order, late, twice, with errors, with more than was
 * asked for, or never. The library is one of our own: what of it is used here, without a network.
 */
#include "helper/compound.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* clang-format off */
/* The second needs the first, the third both. */
#include <smb2/smb2.h>
#include <smb2/libsmb2.h>
#include <smb2/libsmb2-raw.h>
/* clang-format on */

#define OBJECTS 10u
#define DENIED ((int)0xc0000022)

/* --- the library --- */

enum command { OPEN, QUERY, READ, CLOSE };

struct smb2_pdu {
	enum command command;
	unsigned object, number; /* of its compound, and in it */
	smb2_command_cb callback;
	void *context;
	void *buf;
	uint64_t off;
	uint32_t len, access;
	struct smb2_pdu *next;
};

static struct {
	struct smb2_pdu *queue[256];
	unsigned n, compounds, freed, services;
	int fd;
	bool backwards, breaks;
	unsigned fails_at; /* the requests made before one cannot be */
	unsigned made;
	/* What one is answered with; -1: not yet. */
	int (*answer)(const struct smb2_pdu *pdu);
	uint32_t (*read_len)(const struct smb2_pdu *pdu);
	uint32_t query_len; /* 0: 4 */
	uint32_t rights;    /* that the last OPEN asked for */
	unsigned pending[OBJECTS];
} library;

const smb2_file_id compound_file_id;

static struct smb2_pdu *make(enum command command, smb2_command_cb callback, void *context)
{
	if (library.fails_at && ++library.made >= library.fails_at)
		return NULL;
	struct smb2_pdu *pdu = calloc(1, sizeof(*pdu));

	pdu->command = command;
	pdu->callback = callback;
	pdu->context = context;
	return pdu;
}

struct smb2_pdu *smb2_cmd_create_async(struct smb2_context *smb2, struct smb2_create_request *request, smb2_command_cb callback,
                                       void *context)
{
	(void)smb2;
	struct smb2_pdu *pdu = make(OPEN, callback, context);

	library.rights = request->desired_access;
	if (pdu)
		pdu->access = request->desired_access;
	return pdu;
}

struct smb2_pdu *smb2_cmd_query_info_async(struct smb2_context *smb2, struct smb2_query_info_request *request,
                                           smb2_command_cb callback, void *context)
{
	(void)smb2;
	(void)request;
	return make(QUERY, callback, context);
}

struct smb2_pdu *smb2_cmd_read_async(struct smb2_context *smb2, struct smb2_read_request *request, smb2_command_cb callback,
                                     void *context)
{
	(void)smb2;
	struct smb2_pdu *pdu = make(READ, callback, context);

	ck_assert_uint_le(request->length, READ_PIECE);
	if (pdu) {
		pdu->buf = request->buf;
		pdu->off = request->offset;
		pdu->len = request->length;
	}
	return pdu;
}

struct smb2_pdu *smb2_cmd_close_async(struct smb2_context *smb2, struct smb2_close_request *request, smb2_command_cb callback,
                                      void *context)
{
	(void)smb2;
	(void)request;
	return make(CLOSE, callback, context);
}

void smb2_add_compound_pdu(struct smb2_context *smb2, struct smb2_pdu *first, struct smb2_pdu *next)
{
	(void)smb2;
	while (first->next)
		first = first->next;
	first->next = next;
}

void smb2_free_pdu(struct smb2_context *smb2, struct smb2_pdu *pdu)
{
	(void)smb2;
	for (struct smb2_pdu *next; pdu; pdu = next) {
		next = pdu->next;
		free(pdu);
		library.freed++;
	}
}

void smb2_queue_pdu(struct smb2_context *smb2, struct smb2_pdu *pdu)
{
	(void)smb2;
	for (unsigned number = 0; pdu; pdu = pdu->next) {
		pdu->object = library.compounds;
		pdu->number = number++;
		library.queue[library.n++] = pdu;
	}
	library.compounds++;
}

int smb2_get_fd(struct smb2_context *smb2)
{
	(void)smb2;
	return library.fd;
}

int smb2_which_events(struct smb2_context *smb2)
{
	(void)smb2;
	return 1;
}

int nterror_to_errno(uint32_t status)
{
	return status == (uint32_t)DENIED ? EACCES : 0;
}

static void call_back(struct smb2_pdu *pdu, int status)
{
	char bytes[] = "abcdefgh";
	struct smb2_query_info_reply query = {.output_buffer_length = library.query_len ? library.query_len : 4,
	                                      .output_buffer = bytes};
	struct smb2_read_reply read = {.data_length = pdu->len};
	struct smb2_close_reply close = {.flags = 1, .end_of_file = pdu->object, .last_write_time = 5};

	if (pdu->command == READ && status == 0) {
		memset(pdu->buf, (int)pdu->object + 1, pdu->len);
		if (library.read_len)
			read.data_length = library.read_len(pdu);
	}
	pdu->callback(NULL, status,
	              status || pdu->command == OPEN ? NULL
	              : pdu->command == QUERY        ? (void *)&query
	              : pdu->command == READ         ? (void *)&read
	                                             : (void *)&close,
	              pdu->context);
}

/* All that there is, each time; what was not answered is answered the next time. */
int smb2_service(struct smb2_context *smb2, int events)
{
	(void)smb2;
	(void)events;
	if (library.breaks && library.services++ == 1)
		return -1;
	for (unsigned i = 0; i < library.n; i++) {
		struct smb2_pdu **place = &library.queue[library.backwards ? library.n - 1 - i : i], *pdu = *place;
		int status = pdu ? library.answer(pdu) : 0;
		if (!pdu)
			continue;
		call_back(pdu, status == -1 ? (int)SMB2_STATUS_PENDING : status);
		if (status == -1)
			continue;
		if (pdu->object % 3 == 0)
			call_back(pdu, DENIED); /* a second answer changes nothing */
		*place = NULL;
		free(pdu);
	}
	return 0;
}

/* --- */

static struct compound compounds[OBJECTS];
static char data[OBJECTS][READS_MOST * READ_PIECE];

static int answer_well(const struct smb2_pdu *pdu)
{
	(void)pdu;
	return 0;
}

static uint32_t wanted_of(unsigned object)
{
	return object == 0 ? 0 : object == 1 ? READS_MOST * READ_PIECE : object * 20000;
}

static void setup(void)
{
	memset(&library, 0, sizeof(library));
	library.fd = eventfd(1, EFD_CLOEXEC);
	library.answer = answer_well;
	for (unsigned i = 0; i < OBJECTS; i++)
		compounds[i] = (struct compound){.path = compound_path("a/b", 3), .data = data[i], .wanted = wanted_of(i)};
}

static void teardown(void)
{
	for (unsigned i = 0; i < OBJECTS; i++)
		compound_forget(&compounds[i]);
	for (unsigned i = 0; i < library.n; i++)
		free(library.queue[i]);
	close(library.fd);
}

static void check_good(unsigned i)
{
	ck_assert_int_eq(compound_result(&compounds[i]), wanted_of(i));
	ck_assert_uint_eq(compounds[i].steps[STEP_SECURITY].len, 4);
	ck_assert_mem_eq(compounds[i].steps[STEP_STREAMS].bytes, "abcd", 4);
	ck_assert(compounds[i].seen);
	ck_assert_uint_eq(compounds[i].size, i);
	ck_assert_uint_eq(compounds[i].written, 5);
	uint32_t same = 0;
	while (same < wanted_of(i) && data[i][same] == (char)(i + 1))
		same++;
	ck_assert_uint_eq(same, wanted_of(i));
}

START_TEST(test_good)
{
	library.backwards = _i;
	ck_assert_str_eq(compounds[0].path, "a\\b");
	ck_assert_int_eq(compounds_run(NULL, compounds, OBJECTS), 0);
	ck_assert_uint_eq(library.compounds, OBJECTS);
	for (unsigned i = 0; i < OBJECTS; i++)
		check_good(i);
}
END_TEST

static int answer_late(const struct smb2_pdu *pdu)
{
	return library.pending[pdu->object]++ < 3 * pdu->object ? -1 : 0;
}

START_TEST(test_pending)
{
	library.answer = answer_late;
	ck_assert_int_eq(compounds_run(NULL, compounds, OBJECTS), 0);
	for (unsigned i = 0; i < OBJECTS; i++)
		check_good(i);
}
END_TEST

/* By object: 1 cannot be opened, 2 has no descriptor, 3 cannot be read, 4 cannot be closed, 5 fails with what nobody knows. */
static int answer_badly(const struct smb2_pdu *pdu)
{
	bool bad = (pdu->object == 1 && pdu->command == OPEN) || (pdu->object == 2 && pdu->number == 1) ||
	           (pdu->object == 3 && pdu->command == READ) || (pdu->object == 4 && pdu->command == CLOSE);

	return bad ? DENIED : pdu->object == 5 && pdu->command == OPEN ? (int)0xc0001234 : 0;
}

START_TEST(test_errors)
{
	library.answer = answer_badly;
	ck_assert_int_eq(compounds_run(NULL, compounds, OBJECTS), 0);
	ck_assert_int_eq(compound_result(&compounds[1]), -EACCES);
	ck_assert_int_eq(compound_result(&compounds[2]), wanted_of(2));
	ck_assert_int_eq(compounds[2].steps[STEP_SECURITY].error, EACCES);
	ck_assert_int_eq(compound_result(&compounds[3]), -EACCES);
	ck_assert_int_eq(compound_result(&compounds[4]), -EACCES);
	ck_assert_int_eq(compound_result(&compounds[5]), -EIO);
	for (unsigned i = 6; i < OBJECTS; i++)
		check_good(i);
}
END_TEST

/* Short in the first piece, whatever comes behind it; more than was asked for. */
static uint32_t odd_len(const struct smb2_pdu *pdu)
{
	return pdu->object == 1 && pdu->off == 0 ? 100 : pdu->object == 2 ? UINT32_MAX : pdu->len;
}

START_TEST(test_odd_lengths)
{
	library.read_len = odd_len;
	ck_assert_int_eq(compounds_run(NULL, compounds, OBJECTS), 0);
	ck_assert_int_eq(compound_result(&compounds[1]), 100);
	ck_assert_int_eq(compound_result(&compounds[2]), -EBADMSG);
	check_good(3);
}
END_TEST

/* What was sent may be called back later, until the session is destroyed. */
START_TEST(test_session_breaks)
{
	library.breaks = true;
	library.answer = answer_late;
	ck_assert_int_eq(compounds_run(NULL, compounds, OBJECTS), -ECONNABORTED);
	for (unsigned i = 0; i < library.n; i++)
		if (library.queue[i])
			library.queue[i]->callback(NULL, DENIED, NULL, library.queue[i]->context);
}
END_TEST

START_TEST(test_no_memory)
{
	library.fails_at = 8;
	ck_assert_int_eq(compounds_run(NULL, compounds, OBJECTS), -ENOMEM);
	ck_assert_uint_eq(library.compounds, 1);
	ck_assert_uint_eq(library.freed, 3);
}
END_TEST

static int answer_never(const struct smb2_pdu *pdu)
{
	(void)pdu;
	return -1;
}

/* Who may not read the data may yet ask for the descriptor. */
START_TEST(test_access)
{
	ck_assert_int_eq(compounds_run(NULL, compounds, 0), 0);
	compounds[1].audit = true;
	library.answer = answer_never;
	library.breaks = true;
	ck_assert_int_eq(compounds_run(NULL, compounds, 2), -ECONNABORTED);
	ck_assert_uint_eq(library.queue[0]->access & 1, 0);
	ck_assert_uint_eq(library.queue[0]->access & SMB2_ACCESS_SYSTEM_SECURITY, 0);
	ck_assert_uint_eq(library.queue[4]->access & 1, 1);
	ck_assert_uint_ne(library.queue[4]->access & SMB2_ACCESS_SYSTEM_SECURITY, 0);
}
END_TEST

static int answer_no_number(const struct smb2_pdu *pdu)
{
	return pdu->command == QUERY ? DENIED : 0;
}

/* Attributes alone: three requests, and no more rights than these take. */
START_TEST(test_look)
{
	compounds[0].look = compounds[1].look = true;
	compounds[1].wanted = 0;
	library.query_len = _i;
	library.answer = _i ? answer_well : answer_no_number;
	ck_assert_int_eq(compounds_run(NULL, compounds, 2), 0);
	ck_assert_uint_eq(library.n, 6);
	ck_assert_int_eq(compound_result(&compounds[1]), 0);
	ck_assert(compounds[1].seen);
	ck_assert_uint_eq(compounds[1].size, 1);
	ck_assert_uint_eq(compound_number(&compounds[1]), _i == 8 ? 0x6867666564636261 : 0);
	ck_assert_uint_eq(library.rights, 0x80);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cifs compound");
	TCase *tcase = tcase_create("compounds");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, test_good, 0, 2);
	tcase_add_test(tcase, test_pending);
	tcase_add_test(tcase, test_errors);
	tcase_add_test(tcase, test_odd_lengths);
	tcase_add_test(tcase, test_session_breaks);
	tcase_add_test(tcase, test_no_memory);
	tcase_add_test(tcase, test_access);
	tcase_add_loop_test(tcase, test_look, 7, 9);
	tcase_add_loop_test(tcase, test_look, 0, 1);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
