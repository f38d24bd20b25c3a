/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The result of a verification as text, which comes from the disk and is not trusted; and which files a sample has.
 */
#include "migrate/verify.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct verify_status example(void)
{
	return (struct verify_status){
		.life = VERIFY_DONE,
		.request = {.full = true, .ppm = 50000, .seed = UINT64_MAX, .rate = 1 << 20},
		.error = 5,
		.started_s = 1800000000,
		.ended_s = 1800000100,
		.files = 1,
		.bytes = UINT64_MAX,
		.damaged = 3,
		.unreadable = 14,
	};
}

START_TEST(a_result_survives)
{
	struct verify_status status = example(), read;
	char text[VERIFY_TEXT_SIZE], again[VERIFY_TEXT_SIZE];

	verify_to_text(&status, text);
	ck_assert_int_eq(verify_from_text(text, &read), 0);
	ck_assert(read.life == VERIFY_DONE && read.request.full && read.request.ppm == 50000);
	ck_assert(read.request.seed == UINT64_MAX && read.request.rate == 1 << 20 && read.error == 5);
	ck_assert(read.started_s == 1800000000 && read.ended_s == 1800000100);
	ck_assert(read.files == 1 && read.bytes == UINT64_MAX && read.damaged == 3 && read.unreadable == 14 && read.equal == 0);
	verify_to_text(&read, again);
	ck_assert_str_eq(text, again);
}
END_TEST

START_TEST(all_else_is_refused)
{
	struct verify_status status = example(), read;
	char text[VERIFY_TEXT_SIZE], broken[VERIFY_TEXT_SIZE + 8];

	verify_to_text(&status, text);
	for (size_t len = 0; len < strlen(text) - 2; len++) { /* the last number may be a shorter one */
		snprintf(broken, sizeof(broken), "%.*s", (int)len, text);
		ck_assert_msg(verify_from_text(broken, &read) == -EBADMSG, "%s", broken);
	}
	for (size_t at = 0; at < strlen(text); at++) {
		snprintf(broken, sizeof(broken), "%s", text);
		broken[at] = 'x';
		ck_assert_msg(verify_from_text(broken, &read) == -EBADMSG, "%s", broken);
	}
	snprintf(broken, sizeof(broken), "%s 1", text);
	ck_assert_int_eq(verify_from_text(broken, &read), -EBADMSG);
	snprintf(broken, sizeof(broken), "2%s", text + 1); /* another form */
	ck_assert_int_eq(verify_from_text(broken, &read), -EBADMSG);
	snprintf(broken, sizeof(broken), "1 9%s", text + 3); /* a state that there is not */
	ck_assert_int_eq(verify_from_text(broken, &read), -EBADMSG);
}
END_TEST

START_TEST(a_sample_is_a_share_and_repeats)
{
	struct verify_request request = {.ppm = 50000, .seed = 7}, other = {.ppm = 50000, .seed = 8};
	struct verify_request all = {.ppm = VERIFY_ALL_PPM, .seed = 7};
	unsigned chosen = 0, both = 0;

	for (uint64_t ino = 1; ino <= 100000; ino++) {
		ck_assert(verify_chosen(&all, ino));
		chosen += verify_chosen(&request, ino);
		both += verify_chosen(&request, ino) && verify_chosen(&other, ino);
		ck_assert(verify_chosen(&request, ino) == verify_chosen(&request, ino));
	}
	ck_assert_uint_gt(chosen, 4500); /* 5000, give or take */
	ck_assert_uint_lt(chosen, 5500);
	ck_assert_uint_lt(both, 500); /* another seed has other files: about 250 are in both */
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("verify");
	TCase *tests = tcase_create("verify");
	tcase_add_test(tests, a_result_survives);
	tcase_add_test(tests, all_else_is_refused);
	tcase_add_test(tests, a_sample_is_a_share_and_repeats);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
