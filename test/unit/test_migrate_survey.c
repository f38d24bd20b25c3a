/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The look at a source before a migration: what is counted, what is found that a target of these limits cannot hold, and that it
 * ends, whatever the source does.
 */
#include "fake_source.h"
#include "migrate/survey.h"

#include "base/clock.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct target_limits limits;
static struct survey_options options;
static struct survey survey;

static void setup(void)
{
	fake_reset();
	limits = (struct target_limits){.block_bytes = 4096,
	                                .name_max = 255,
	                                .file_max = INT64_MAX,
	                                .time_min_s = INT64_MIN,
	                                .time_max_s = INT64_MAX,
	                                .xattr_max = UINT64_MAX};
	options = (struct survey_options){.workers = 4, .limits = &limits};
	/* a  a/b  a/b/file (10000)  a/empty  link = a/b/file  top (5) */
	fake_dir(1, 0, "a");
	fake_dir(2, 1, "b");
	fake_file(3, 2, "file", 10000);
	fake_file(4, 1, "empty", 0);
	fake_link(3, 0, "link");
	fake_file(5, 0, "top", 5);
}

static void run(void)
{
	ck_assert_int_eq(survey_run(NULL, &options, &survey), 0);
}

static void teardown(void)
{
	survey_free(&survey);
}

static void expect(enum survey_problem problem, uint64_t count, const char *path)
{
	for (int i = 0; i < SURVEY_PROBLEMS; i++)
		ck_assert_msg(i == (int)problem || survey.problems[i] == 0, "problem %d, too", i);
	ck_assert_uint_eq(survey.problems[problem], count);
	ck_assert_str_eq(survey.examples[problem][0].path, path);
}

START_TEST(everything_is_counted_once)
{
	run();
	ck_assert(survey.complete);
	ck_assert_uint_eq(survey.dirs, 3);
	ck_assert_uint_eq(survey.files, 4);
	ck_assert_uint_eq(survey.linked_files, 1);
	ck_assert_uint_eq(survey.linked_names, 2);
	ck_assert_uint_eq(survey.bytes, 10005);
	ck_assert_uint_ge(survey.bytes_needed, 3 * 4096 + 3 * 4096 + 4096);
	ck_assert_uint_eq(survey.largest_file.value, 10000);
	ck_assert_str_eq(survey.deepest.path, "a/b");
	ck_assert_uint_eq(survey.deepest.value, 2);
	ck_assert_str_eq(survey.largest_dir.path, "");
	ck_assert_uint_eq(survey.largest_dir.value, 3);
	ck_assert_str_eq(survey.longest_name.path, "a/empty");
	ck_assert_uint_eq(survey.sample_files, 0);
	for (int i = 0; i < SURVEY_PROBLEMS; i++)
		ck_assert_uint_eq(survey.problems[i], 0);
}
END_TEST

START_TEST(long_names_are_found)
{
	limits.name_max = 4;
	run();
	expect(SURVEY_NAME_LONG, 1, "a/empty");
	ck_assert_str_eq(survey.examples[SURVEY_NAME_LONG][0].detail, "5 bytes");
}
END_TEST

START_TEST(names_that_dos_refuses_are_found)
{
	limits.dos_names = true;
	fake_file(6, 1, "what?", 1);
	fake_file(7, 1, "end.", 1);
	fake_file(8, 1, "\xff", 1);
	fake_file(9, 1, "fine", 1);
	run();
	expect(SURVEY_NAME_BYTES, 3, "a/what?");
}
END_TEST

START_TEST(names_that_differ_in_case_are_found)
{
	fake_file(6, 1, "Empty", 1);
	fake_file(7, 0, "empty", 1);
	run();
	ck_assert_uint_eq(survey.problems[SURVEY_NAME_CASE], 0);
	survey_free(&survey);
	limits.folds_case = true;
	run();
	ck_assert_uint_eq(survey.problems[SURVEY_NAME_CASE], 1);
	ck_assert_int_eq(strncmp(survey.examples[SURVEY_NAME_CASE][0].path, "a/", 2), 0);
}
END_TEST

START_TEST(large_files_are_found)
{
	limits.file_max = 9999;
	run();
	expect(SURVEY_FILE_LARGE, 2, survey.examples[SURVEY_FILE_LARGE][0].path); /* under each name */
}
END_TEST

START_TEST(times_out_of_range_are_found)
{
	limits.time_max_s = 2147483647;
	fake_objects[4].mtime = 2147483648;
	run();
	expect(SURVEY_TIME, 1, "a/empty");
}
END_TEST

START_TEST(links_are_found_where_there_are_none)
{
	limits.plain_only = true;
	run();
	expect(SURVEY_KIND, 2, survey.examples[SURVEY_KIND][0].path);
}
END_TEST

START_TEST(attributes_are_asked_of_the_target)
{
	char dir[] = "/tmp/dmmfs-survey-XXXXXX", error[256];
	struct target target;
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_msg(target_open(dir, &target, error, sizeof(error)) == 0, "%s", error);
	options.target = &target;
	fake_objects[4].xattr = "system.nfs4_acl";
	fake_objects[5].xattr = "trusted.dmmfs"; /* is left behind */
	run();
	target_close(&target);
	rmdir(dir);
	expect(SURVEY_XATTR, 1, "a/empty");
	ck_assert_str_eq(survey.examples[SURVEY_XATTR][0].detail, "system.nfs4_acl");
	ck_assert_uint_gt(survey.looked_at_xattrs, 4);
}
END_TEST

START_TEST(large_attributes_are_found)
{
	limits.xattr_max = 4096;
	fake_objects[4].xattr = "user.large";
	fake_objects[4].xattr_bytes = 4097;
	fake_objects[5].xattr = "user.fits";
	fake_objects[5].xattr_bytes = 4096;
	run();
	expect(SURVEY_XATTR_LARGE, 1, "a/empty");
}
END_TEST

START_TEST(a_directory_that_cannot_be_listed_is_found)
{
	fake_objects[2].open_error = -EACCES;
	run();
	expect(SURVEY_UNREADABLE, 1, "a/b");
	ck_assert_str_eq(survey.examples[SURVEY_UNREADABLE][0].detail, strerror(EACCES));
	ck_assert_uint_eq(survey.files, 3);
}
END_TEST

START_TEST(a_sample_is_read)
{
	options.read_ns = 5 * NS_PER_S;
	run();
	ck_assert_uint_eq(survey.sample_files, 2); /* with data, each once */
	ck_assert_uint_eq(survey.sample_bytes, 10005);
	ck_assert_uint_gt(survey.sample_open_ns + survey.sample_read_ns, 0);
}
END_TEST

START_TEST(files_that_cannot_be_read_are_found)
{
	options.read_ns = 5 * NS_PER_S;
	fake_objects[5].read_error = -EIO;
	fake_objects[5].failures = 100;
	run();
	expect(SURVEY_NOT_READ, 1, "top");
}
END_TEST

START_TEST(many_examples_are_not_kept)
{
	static char names[40][8];
	limits.name_max = 1;
	for (unsigned i = 0; i < 40; i++) {
		snprintf(names[i], sizeof(names[i]), "file%u", i);
		fake_file(10 + i, 0, names[i], 1);
	}
	run();
	ck_assert_uint_ge(survey.problems[SURVEY_NAME_LONG], 40);
	ck_assert_ptr_nonnull(survey.examples[SURVEY_NAME_LONG][SURVEY_EXAMPLES - 1].path);
}
END_TEST

START_TEST(the_time_is_kept_and_one_worker_suffices)
{
	options.workers = 1;
	options.walk_ns = 1;
	uint64_t begin_ns = clock_monotonic_ns();
	run();
	ck_assert_uint_lt(clock_monotonic_ns() - begin_ns, 30 * NS_PER_S);
	survey_free(&survey);
	options.walk_ns = 0;
	run();
	ck_assert(survey.complete);
	ck_assert_uint_eq(survey.files, 4);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("migrate_survey");
	TCase *tests = tcase_create("survey");
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, everything_is_counted_once);
	tcase_add_test(tests, long_names_are_found);
	tcase_add_test(tests, names_that_dos_refuses_are_found);
	tcase_add_test(tests, names_that_differ_in_case_are_found);
	tcase_add_test(tests, large_files_are_found);
	tcase_add_test(tests, times_out_of_range_are_found);
	tcase_add_test(tests, links_are_found_where_there_are_none);
	tcase_add_test(tests, attributes_are_asked_of_the_target);
	tcase_add_test(tests, large_attributes_are_found);
	tcase_add_test(tests, a_directory_that_cannot_be_listed_is_found);
	tcase_add_test(tests, a_sample_is_read);
	tcase_add_test(tests, files_that_cannot_be_read_are_found);
	tcase_add_test(tests, many_examples_are_not_kept);
	tcase_add_test(tests, the_time_is_kept_and_one_worker_suffices);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
