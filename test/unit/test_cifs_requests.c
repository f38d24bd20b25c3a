/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What becomes of a security descriptor that cannot be kept: a loss, and the object comes. The helper is one of our own.
 */
#include "cifs.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *words;       /* of ASK_SECURITY */
static uint32_t len_descriptor; /* of ASK_RAW */
static int32_t descriptor_error;
static unsigned xattrs, losses;

int64_t helper_ask(struct dmm_conn *conn, struct dmm_request *request, const struct ask *ask, const void *path,
                   struct reply *reply, char **more)
{
	struct wire_raw raw = {.len_descriptor = len_descriptor, .descriptor_error = descriptor_error, .streams_error = -ENOTSUP};

	(void)conn;
	(void)request;
	(void)path;
	ck_assert(ask->kind == ASK_SECURITY || ask->kind == ASK_RAW);
	*reply = (struct reply){.len_more =
	                                ask->kind == ASK_RAW ? (uint32_t)sizeof(raw) + len_descriptor : (uint32_t)strlen(words)};
	*more = calloc(1, reply->len_more + 1);
	if (ask->kind == ASK_RAW)
		memcpy(*more, &raw, sizeof(raw));
	else
		memcpy(*more, words, reply->len_more);
	return 0;
}

static int on_xattr(struct dmm_request *request, const char *name, const void *value, size_t len)
{
	(void)request;
	(void)value;
	xattrs += strcmp(name, "security.NTACL") == 0;
	return len > 65536 ? -EBADMSG : 0; /* as the host does */
}

static int on_loss(struct dmm_request *request, const char *kind, const char *detail)
{
	(void)request;
	ck_assert_str_eq(kind, "acl");
	ck_assert(*detail);
	losses++;
	return 0;
}

static int64_t ask(uint64_t can)
{
	static struct dmm_instance instance;
	struct dmm_conn conn = {.instance = &instance, .can = can};
	unsigned char handle[HANDLE_HEAD + 1] = {'f', [HANDLE_HEAD] = 'x'};
	struct dmm_request request = {.struct_size = sizeof(request),
	                              .kind = DMM_REQ_XATTRS,
	                              .handle = {handle, sizeof(handle)},
	                              .xattr = on_xattr,
	                              .loss = on_loss};

	xattrs = losses = 0;
	return request_answer(&conn, &request);
}

START_TEST(test_words)
{
	words = "REVISION:1,OWNER:S-1-1-0,GROUP:S-1-1-0,ACL:S-1-1-0:0/0/0x1f01ff";
	ck_assert_int_eq(ask(0), 0);
	ck_assert_uint_eq(xattrs, 1);
	ck_assert_uint_eq(losses, 0);
	words = "REVISION:1,OWNER:S-1-1-0,GROUP:S-1-1-0,ACL:S-1-1-0:9/0/0x1f01ff"; /* a conditional one */
	ck_assert_int_eq(ask(0), 0);
	ck_assert_uint_eq(xattrs, 0);
	ck_assert_uint_eq(losses, 1);
}
END_TEST

START_TEST(test_as_it_is)
{
	len_descriptor = 65536 - NTACL_HEAD;
	ck_assert_int_eq(ask(CONNECTED_RAW), 0);
	ck_assert_uint_eq(xattrs, 1);
	len_descriptor++;
	ck_assert_int_eq(ask(CONNECTED_RAW), 0);
	ck_assert_uint_eq(xattrs, 0);
	ck_assert_uint_eq(losses, 1);
}
END_TEST

START_TEST(test_no_length)
{
	len_descriptor = 20;
	descriptor_error = 4000;
	ck_assert_int_eq(ask(CONNECTED_RAW), -EBADMSG);
	ck_assert_uint_eq(xattrs, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cifs requests");
	TCase *tcase = tcase_create("descriptors");
	tcase_add_test(tcase, test_words);
	tcase_add_test(tcase, test_as_it_is);
	tcase_add_test(tcase, test_no_length);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
