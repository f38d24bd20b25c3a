/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The log and the fault points: what a line looks like, rotation, names of errors, arming from the environment.
 *
 * Check runs each test in a process of its own, so what one arms does not reach the next.
 */
#include "base/fault.h"
#include "base/log.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char dir[] = "/tmp/dmmfs-test-log.XXXXXX";
static char path[64], moved[64];

static void setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/log", dir);
	snprintf(moved, sizeof(moved), "%s/log.1", dir);
	ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
}

static void teardown(void)
{
	unlink(path);
	unlink(moved);
	rmdir(dir);
}

static char *slurp(const char *name)
{
	static char text[1 << 20];
	FILE *file = fopen(name, "r");
	ck_assert_ptr_nonnull(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = 0;
	fclose(file);
	return text;
}

START_TEST(test_errno_names)
{
	ck_assert_str_eq(errno_name(ENOSPC), "ENOSPC");
	ck_assert_str_eq(errno_name(-ENOSPC), "ENOSPC");
	ck_assert_str_eq(errno_name(ENOTSUP), "ENOTSUP");
	ck_assert_str_eq(errno_name(-EAGAIN), "EAGAIN");
	ck_assert_str_eq(errno_name(EHWPOISON), "EHWPOISON");
	ck_assert_str_eq(errno_name(524), "ENOTSUPP");
	ck_assert_str_eq(errno_name(0), "0");
	ck_assert_str_eq(errno_name(-99999), "E99999");
	ck_assert_ptr_nonnull(errno_name(INT_MIN));
}
END_TEST

START_TEST(test_levels_and_form)
{
	char date[11];
	int year, n = 0;
	ck_assert_int_eq(log_to_file(path), 0);
	log_debug("not shown");
	errno = ENOTTY;
	log_error("read path=%s error=%s", "/a\nb\x1b[31m\xc3\xa9", errno_name(-EIO));
	ck_assert_int_eq(errno, ENOTTY);
	log_set_level(LOG_LEVEL_DEBUG);
	log_debug("shown");
	char *text = slurp(path);
	ck_assert_ptr_nonnull(strstr(text, " error: read path=/a\\x0ab\\x1b[31m\xc3\xa9 error=EIO\n"));
	ck_assert_ptr_null(strstr(text, "not shown"));
	ck_assert_ptr_nonnull(strstr(text, " debug: shown\n"));
	ck_assert_int_eq(sscanf(text, "%4d-%5sT%*2d:%*2d:%*2d.%*3d%*5s%n", &year, date, &n), 2);
	ck_assert_int_gt(n, 20);
}
END_TEST

START_TEST(test_long_line_is_one_line)
{
	static char huge[20000];
	memset(huge, '\n', sizeof(huge) - 1);
	ck_assert_int_eq(log_to_file(path), 0);
	log_error("%s", huge);
	log_error("next");
	char *text = slurp(path), *newline = strchr(text, '\n');
	ck_assert_ptr_nonnull(newline);
	ck_assert_uint_lt(newline - text, 5000);
	ck_assert_ptr_nonnull(strstr(newline, " error: next\n"));
}
END_TEST

START_TEST(test_rotation)
{
	struct timespec second = {1, 50000000};
	ck_assert_int_eq(log_to_file(path), 0);
	log_info("one");
	ck_assert_int_eq(rename(path, moved), 0);
	nanosleep(&second, NULL);
	log_info("two");
	ck_assert_ptr_nonnull(strstr(slurp(moved), "one"));
	ck_assert_ptr_null(strstr(slurp(moved), "two"));
	ck_assert_ptr_nonnull(strstr(slurp(path), "two"));
	ck_assert_int_eq(log_to_file("/proc/nowhere/log"), -ENOENT);
	log_info("three");
	ck_assert_ptr_nonnull(strstr(slurp(path), "three"));
}
END_TEST

static void *write_many(void *arg)
{
	for (int i = 0; i < 500; i++)
		log_info("thread %s line %d end", (const char *)arg, i);
	return NULL;
}

START_TEST(test_lines_of_threads_do_not_mix)
{
	pthread_t threads[4];
	char name[] = "name";
	int lines = 0;
	ck_assert_int_eq(log_to_file(path), 0);
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, write_many, name);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	for (char *line = strtok(slurp(path), "\n"); line; line = strtok(NULL, "\n"), lines++)
		ck_assert_msg(strstr(line, " info: thread name line ") && strcmp(line + strlen(line) - 4, " end") == 0, "%s",
		              line);
	ck_assert_int_eq(lines, 2000);
}
END_TEST

START_TEST(test_fault_table)
{
	for (int point = 0; point < (int)FAULT_POINTS; point++) {
		ck_assert_ptr_nonnull(fault_name((enum fault_point)point));
		ck_assert_uint_gt(strlen(fault_description((enum fault_point)point)), 10);
		for (int other = 0; other < point; other++)
			ck_assert_str_ne(fault_name((enum fault_point)point), fault_name((enum fault_point)other));
	}
}
END_TEST

START_TEST(test_fault_bad_settings)
{
	static const char *const bad[] = {"nothing:1",
	                                  "commit-done",
	                                  "commit-done:",
	                                  "commit-done:0",
	                                  "commit-done:x",
	                                  "commit-done:-1",
	                                  "commit-done:1:",
	                                  "commit-done:1:ENOTHING",
	                                  "commit-done:1x",
	                                  "commit-don:1",
	                                  "commit-done :1",
	                                  ":1",
	                                  "commit-done:99999999999999999999999"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		setenv("DMMFS_FAULT", bad[i], 1);
		ck_assert_msg(fault_arm_from_environment() == -EINVAL, "'%s' taken", bad[i]);
		ck_assert_int_eq(fault_armed, -1);
	}
	setenv("DMMFS_FAULT", "", 1);
	ck_assert_int_eq(fault_arm_from_environment(), 0);
	unsetenv("DMMFS_FAULT");
	ck_assert_int_eq(fault_arm_from_environment(), 0);
	ck_assert_int_eq(fault_armed, -1);
}
END_TEST

START_TEST(test_fault_error)
{
	setenv("DMMFS_FAULT", "fetch-written:3:ENOSPC", 1);
	ck_assert_int_eq(fault_arm_from_environment(), 0);
	ck_assert_int_eq(fault_hit(FAULT_FETCH_WRITTEN), 0);
	ck_assert_int_eq(fault_hit(FAULT_FETCH_READ), 0);
	ck_assert_int_eq(fault_hit(FAULT_FETCH_WRITTEN), 0);
	ck_assert_int_eq(fault_hit(FAULT_FETCH_WRITTEN), -ENOSPC);
	ck_assert_int_eq(fault_hit(FAULT_FETCH_WRITTEN), 0);
}
END_TEST

START_TEST(test_fault_kill)
{
	int status;
	setenv("DMMFS_FAULT", "finish-begin:2", 1);
	pid_t child = fork();
	if (child == 0) {
		fault_arm_from_environment();
		fault_hit(FAULT_FINISH_BEGIN);
		fault_hit(FAULT_FINISH_BEGIN);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("log");
	TCase *tests = tcase_create("log");
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, test_errno_names);
	tcase_add_test(tests, test_levels_and_form);
	tcase_add_test(tests, test_long_line_is_one_line);
	tcase_add_test(tests, test_rotation);
	tcase_add_test(tests, test_lines_of_threads_do_not_mix);
	tcase_add_test(tests, test_fault_table);
	tcase_add_test(tests, test_fault_bad_settings);
	tcase_add_test(tests, test_fault_error);
	tcase_add_test(tests, test_fault_kill);
	tcase_set_timeout(tests, 60);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
