/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Several small objects in one question to a helper. The helper is one of our own, which answers well, badly, or not at all: whatever it
 * says, each request is completed once, the data is its own, and nothing that cannot be right reaches the host.
 */
#include "cifs.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define OBJECTS 40u
#define DESCRIPTOR 20u /* bytes: one without parts */
#define STREAM_LIST 64u

static struct {
	unsigned n;
	struct wire_want wants[WHOLE_OBJECTS_MOST];
	char paths[WHOLE_OBJECTS_MOST][16];
} asked;
static unsigned questions, streams_read;
static int64_t result;
static char shared[SHARED_BYTES];
static char answer[1 << 20];
static size_t answer_len;
static void (*spoil)(struct wire_whole *whole, unsigned object);

static unsigned object_of(const char *path)
{
	return (unsigned)atoi(path);
}

static void take_question(const struct ask *ask, const char *bytes)
{
	size_t left = ask->len_path;

	for (asked.n = 0; left >= sizeof(struct wire_want); asked.n++) {
		ck_assert_uint_lt(asked.n, WHOLE_OBJECTS_MOST);
		struct wire_want *want = &asked.wants[asked.n];
		memcpy(want, bytes, sizeof(*want));
		ck_assert_uint_le(sizeof(*want) + want->len_path, left);
		snprintf(asked.paths[asked.n], sizeof(asked.paths[0]), "%.*s", (int)want->len_path, bytes + sizeof(*want));
		bytes += sizeof(*want) + want->len_path;
		left -= sizeof(*want) + want->len_path;
	}
	ck_assert_uint_eq(left, 0);
}

/* "::$DATA", and for each tenth object a named one. */
static uint32_t put_streams(char *to, unsigned object)
{
	static const char name[] = ":\0s\0:\0$\0D\0A\0T\0A\0";
	uint32_t next = 0, len = sizeof(name) - 1;

	if (object % 10 != 0)
		return 0;
	memset(to, 0, STREAM_LIST);
	memcpy(to, &next, 4);
	memcpy(to + 4, &len, 4);
	to[8] = 3; /* its size */
	memcpy(to + 24, name, len);
	return 24 + len;
}

static void put_answer(unsigned i, uint64_t at)
{
	unsigned object = object_of(asked.paths[i]);
	char streams[STREAM_LIST];
	struct wire_whole whole = {.len = asked.wants[i].len,
	                           .seen = 1,
	                           .entry = {.size = asked.wants[i].len, .mtime.sec = object},
	                           .raw = {.len_descriptor = DESCRIPTOR, .len_streams = put_streams(streams, object)}};

	memset(shared + at, (int)object, asked.wants[i].len);
	if (spoil)
		spoil(&whole, object);
	memcpy(answer + answer_len, &whole, sizeof(whole));
	answer_len += sizeof(whole);
	if (whole.error)
		return;
	memset(answer + answer_len, 0, DESCRIPTOR);
	memcpy(answer + answer_len + DESCRIPTOR, streams, put_streams(streams, object));
	answer_len += DESCRIPTOR + put_streams(streams, object);
}

int64_t helper_ask(struct dmm_conn *conn, struct dmm_request *request, const struct ask *ask, const void *path,
                   struct reply *reply, char **more)
{
	uint64_t at = 0;

	(void)conn;
	(void)request;
	*reply = (struct reply){.file = 7};
	if (more)
		*more = NULL;
	if (ask->kind == ASK_READ) {
		memcpy(shared, "abc", 3); /* over what was there */
		streams_read++;
		return 3;
	}
	if (ask->kind != ASK_WHOLE)
		return 0;
	questions++;
	take_question(ask, path);
	if (result < 0)
		return result;
	answer_len = 0;
	for (unsigned i = 0; i < asked.n; at += asked.wants[i++].len)
		put_answer(i, at);
	ck_assert_uint_le(at, SHARED_BYTES);
	*more = malloc(answer_len); /* of exactly this size, for the sanitizer */
	memcpy(*more, answer, answer_len);
	reply->len_more = (uint32_t)answer_len;
	return 0;
}

/* --- the host --- */

static struct one {
	struct dmm_request request;
	unsigned char handle[HANDLE_HEAD + 16];
	unsigned object, descriptors, streams, others, entries, completed;
	char *data;
} ones[OBJECTS];

static int on_xattr(struct dmm_request *request, const char *name, const void *value, size_t len)
{
	struct one *one = request->host;

	if (strcmp(name, "security.NTACL") == 0) {
		one->descriptors++;
		ck_assert_uint_eq(len, DESCRIPTOR + NTACL_HEAD);
	} else if (strcmp(name, "user.DosStream.s:$DATA") == 0) {
		one->streams++;
		ck_assert_uint_eq(len, 4);
		ck_assert_mem_eq(value, "abc", 4);
	} else {
		ck_assert_str_eq(name, "user.DOSATTRIB");
		one->others++;
	}
	return 0;
}

static int on_loss(struct dmm_request *request, const char *kind, const char *detail)
{
	(void)request;
	(void)kind;
	(void)detail;
	return 0;
}

static int on_entry(struct dmm_request *request, const struct dmm_entry *entry)
{
	struct one *one = request->host;

	one->entries++;
	ck_assert_int_eq(entry->attr.mtime.sec, one->object);
	ck_assert_uint_eq(entry->attr.size, request->len);
	return 0;
}

static void on_complete(struct dmm_request *request)
{
	((struct one *)request->host)->completed++;
}

static uint64_t bytes_of(unsigned object)
{
	return object % 7 == 0 ? DMM_WHOLE_MOST : object * 100;
}

static void ask_all(uint64_t can)
{
	static struct dmm_instance instance;
	struct dmm_conn conn = {.instance = &instance, .can = can, .shared = shared};
	struct dmm_request *requests[OBJECTS];

	questions = streams_read = 0;
	for (unsigned i = 0; i < OBJECTS; i++) {
		struct one *one = &ones[i];
		free(one->data);
		*one = (struct one){.object = i, .handle = {'f'}, .data = calloc(1, bytes_of(i) + 1)};
		int len = snprintf((char *)one->handle + HANDLE_HEAD, 16, "%u", i);
		one->request = (struct dmm_request){.struct_size = sizeof(one->request),
		                                    .kind = DMM_REQ_WHOLE,
		                                    .handle = {one->handle, HANDLE_HEAD + (size_t)len},
		                                    .len = bytes_of(i),
		                                    .buf = one->data,
		                                    .host = one,
		                                    .xattr = on_xattr,
		                                    .entry = on_entry,
		                                    .loss = on_loss,
		                                    .complete = on_complete};
		requests[i] = &one->request;
	}
	whole_answer(&conn, requests, OBJECTS);
	for (unsigned i = 0; i < OBJECTS; i++)
		ck_assert_uint_eq(ones[i].completed, 1);
}

static void check_good(const struct one *one)
{
	ck_assert_int_eq(one->request.result, (int64_t)bytes_of(one->object));
	ck_assert_uint_eq(one->descriptors, 1);
	ck_assert_uint_eq(one->others, 1);
	ck_assert_uint_eq(one->streams, one->object % 10 == 0);
	ck_assert_uint_eq(one->entries, 1);
	uint64_t same = 0;
	while (same < bytes_of(one->object) && one->data[same] == (char)one->object)
		same++;
	ck_assert_uint_eq(same, bytes_of(one->object));
}

/* Nothing of it has reached the host. */
static void check_untouched(const struct one *one, int64_t error)
{
	ck_assert_int_eq(one->request.result, error);
	ck_assert_uint_eq(one->descriptors + one->others + one->streams + one->entries, 0);
}

static void setup(void)
{
	spoil = NULL;
	result = 0;
}

static void teardown(void)
{
	for (unsigned i = 0; i < OBJECTS; i++) {
		free(ones[i].data);
		ones[i].data = NULL;
	}
}

START_TEST(test_good)
{
	ask_all(CONNECTED_RAW | CONNECTED_WHOLE);
	for (unsigned i = 0; i < OBJECTS; i++)
		check_good(&ones[i]);
	ck_assert_uint_ge(questions, 3);
	ck_assert_uint_eq(streams_read, 4);
}
END_TEST

START_TEST(test_cannot)
{
	ask_all(0);
	for (unsigned i = 0; i < OBJECTS; i++)
		check_untouched(&ones[i], -EOPNOTSUPP);
	ck_assert_uint_eq(questions, 0);
}
END_TEST

START_TEST(test_dead_helper)
{
	result = -ECONNABORTED;
	ask_all(CONNECTED_RAW | CONNECTED_WHOLE);
	for (unsigned i = 0; i < OBJECTS; i++)
		check_untouched(&ones[i], -ECONNABORTED);
}
END_TEST

static void some_fail(struct wire_whole *whole, unsigned object)
{
	whole->error = object % 3 == 1 ? -EACCES : 0;
	if (object % 3 == 2)
		whole->raw.descriptor_error = -EACCES;
}

/* Each for itself. */
START_TEST(test_some_fail)
{
	spoil = some_fail;
	ask_all(CONNECTED_RAW | CONNECTED_WHOLE);
	for (unsigned i = 0; i < OBJECTS; i++) {
		if (i % 3 == 0)
			check_good(&ones[i]);
		else
			check_untouched(&ones[i], i % 3 == 1 ? -EACCES : -EOPNOTSUPP);
	}
}
END_TEST

static int lie;

static void lies(struct wire_whole *whole, unsigned object)
{
	if (object != 5)
		return;
	switch (lie) {
	case 0:
		whole->len++; /* than there is room */
		break;
	case 1:
		whole->raw.len_descriptor = UINT32_MAX;
		break;
	case 2:
		whole->raw.len_streams = 1 << 30;
		break;
	case 3:
		whole->error = 1;
		break;
	case 4:
		whole->error = INT32_MIN;
		break;
	default:
		whole->raw.len_descriptor = UINT32_MAX;
		whole->raw.len_streams = 1; /* together 0 in 32 bits */
	}
}

/* Of that one and those behind it in the same answer nothing is believed. */
START_TEST(test_lies)
{
	lie = _i;
	spoil = lies;
	ask_all(CONNECTED_RAW | CONNECTED_WHOLE);
	check_untouched(&ones[5], -EBADMSG);
	for (unsigned i = 0; i < 5; i++)
		check_good(&ones[i]);
	check_good(&ones[OBJECTS - 1]);
}
END_TEST

static void unseen(struct wire_whole *whole, unsigned object)
{
	(void)object;
	whole->seen = 0;
}

/* A server that does not tell the attributes at the end: then the host asks. */
START_TEST(test_unseen)
{
	spoil = unseen;
	ask_all(CONNECTED_RAW | CONNECTED_WHOLE);
	for (unsigned i = 0; i < OBJECTS; i++) {
		ck_assert_uint_eq(ones[i].entries, 0);
		ck_assert_int_eq(ones[i].request.result, (int64_t)bytes_of(i));
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cifs whole");
	TCase *tcase = tcase_create("objects");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, test_good);
	tcase_add_test(tcase, test_cannot);
	tcase_add_test(tcase, test_dead_helper);
	tcase_add_test(tcase, test_some_fail);
	tcase_add_loop_test(tcase, test_lies, 0, 6);
	tcase_add_test(tcase, test_unseen);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
