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
#include <stdatomic.h>
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
	ck_assert_int_eq(log_to_file(path), 0);
	log_info("one");
	ck_assert_int_eq(rename(path, moved), 0);
	log_info("two");
	ck_assert_ptr_nonnull(strstr(slurp(moved), "one"));
	ck_assert_ptr_null(strstr(slurp(moved), "two"));
	ck_assert_ptr_nonnull(strstr(slurp(path), "two"));
	ck_assert_int_eq(unlink(path), 0);
	log_info("three");
	ck_assert_ptr_nonnull(strstr(slurp(path), "three"));
	ck_assert_int_eq(truncate(path, 0), 0);
	log_info("four");
	ck_assert_uint_lt(strlen(slurp(path)), 60);
	ck_assert_int_eq(log_to_file(NULL), 0);
	log_info("five");
	ck_assert_ptr_null(strstr(slurp(path), "five"));
}
END_TEST

/* Standard error as a file, to see what is said there. */
static const char *said(void)
{
	static char name[64];
	snprintf(name, sizeof(name), "%s/stderr", dir);
	return name;
}

static unsigned count_of(const char *text, const char *what)
{
	unsigned count = 0;
	for (const char *at = text; (at = strstr(at, what)); at++)
		count++;
	return count;
}

START_TEST(test_file_that_cannot_be_written)
{
	ck_assert_ptr_nonnull(freopen(said(), "a", stderr));
	ck_assert_int_eq(log_check_file("/proc/nowhere/log"), -ENOENT);
	ck_assert_int_eq(log_check_file(path), 0);
	ck_assert_int_ne(access(path, F_OK), 0);
	ck_assert_int_eq(symlink("/dev/full", path), 0);
	ck_assert_int_eq(log_to_file(path), 0);
	log_info("one");
	log_info("two");
	ck_assert_uint_eq(count_of(slurp(said()), "event=logfile-trouble"), 1);
	ck_assert_ptr_nonnull(strstr(slurp(said()), "error=ENOSPC"));
	ck_assert_ptr_nonnull(strstr(slurp(said()), "two"));
	unlink(path);
	ck_assert_int_eq(symlink("nowhere/log", path), 0);
	log_info("three");
	ck_assert_uint_eq(count_of(slurp(said()), "event=logfile-trouble"), 1);
	unlink(path);
	log_info("four");
	char *text = slurp(path);
	ck_assert_ptr_nonnull(strstr(text, "four"));
	ck_assert_ptr_nonnull(strstr(text, "event=logfile-again"));
	ck_assert_ptr_nonnull(strstr(text, "lost=4\n")); /* with the line that told of the trouble */
	unlink(said());
}
END_TEST

START_TEST(test_events)
{
	const char *volatile none = NULL;
	char *text;
	ck_assert_int_eq(log_to_file(path), 0);
	log_set_migid(7);
	log_event(LOG_LEVEL_INFO, "one", "a=%s b=%s c=%s d=%s e=%s", "plain/\xc3\xa9", "a b", "", "say \"a\\b\"", none);
	log_event(LOG_LEVEL_WARNING, "two", "x=%s n=%d u=%u l=%lld m=%llu", "\n\x1b[31m\xff\xc2\x9b\xe2\x80\xae event=three", -1,
	          2u, -3ll, 18446744073709551615ull);
	log_event(LOG_LEVEL_INFO, "bare", "%s", "");
	log_info("sentence");
	text = slurp(path);
	ck_assert_ptr_nonnull(
		strstr(text, " info: migid=7 event=one a=plain/\xc3\xa9 b=\"a b\" c=\"\" d=\"say \\\"a\\\\b\\\"\" e=-\n"));
	ck_assert_ptr_nonnull(strstr(text,
	                             " warning: migid=7 event=two x=\"\\x0a\\x1b[31m\\xff\\xc2\\x9b\\xe2\\x80\\xae event=three\" "
	                             "n=-1 u=2 l=-3 m=18446744073709551615\n"));
	ck_assert_ptr_nonnull(strstr(text, " info: migid=7 sentence\n"));
}
END_TEST

START_TEST(test_event_too_long_is_closed)
{
	static char huge[20000];
	memset(huge, '"', sizeof(huge) - 1);
	ck_assert_int_eq(log_to_file(path), 0);
	log_event(LOG_LEVEL_INFO, "long", "path=%s error=%s", huge, "EIO");
	char *text = slurp(path), *newline = strchr(text, '\n');
	ck_assert_ptr_nonnull(newline);
	ck_assert_uint_gt(newline - text, 4000);
	ck_assert_ptr_nonnull(strstr(text, "\\\"\" error=EIO\n"));
}
END_TEST

struct reading {
	unsigned lines;
	uint64_t first, last;
	char newest[64];
};

static int read_line(void *context, const struct log_line *line)
{
	struct reading *reading = context;
	reading->first = reading->first ? reading->first : line->id;
	ck_assert_uint_gt(line->id, reading->last);
	reading->last = line->id;
	reading->lines++;
	snprintf(reading->newest, sizeof(reading->newest), "%s", line->text);
	return reading->lines == 100000 ? 1 : 0;
}

START_TEST(test_ring)
{
	struct reading all = {0}, some = {0}, none = {0}, large = {0};
	static char huge[4000];
	log_info("the first");
	log_debug("not kept");
	for (int i = 0; i < 9999; i++)
		log_info("line %d", i);
	ck_assert_int_eq(log_read(0, read_line, &all), 0);
	ck_assert_uint_gt(all.lines, 2000);
	ck_assert_uint_le(all.lines, 4096);
	ck_assert_uint_eq(all.last, 10000);
	ck_assert_uint_eq(log_newest(), 10000);
	ck_assert_str_eq(all.newest, "line 9998");
	ck_assert_int_eq(log_read(9997, read_line, &some), 0);
	ck_assert_uint_eq(some.lines, 3);
	ck_assert_int_eq(log_read(10000, read_line, &none), 0);
	ck_assert_uint_eq(none.lines, 0);
	memset(huge, 'x', sizeof(huge) - 1);
	for (int i = 0; i < 3000; i++)
		log_info("%s", huge);
	ck_assert_int_eq(log_read(0, read_line, &large), 0);
	ck_assert_uint_lt(large.lines, 300); /* a megabyte */
}
END_TEST

/* Nobody reads the pipe that standard error is: whoever logs goes on, and what was lost is told when somebody does. */
START_TEST(test_nobody_waits)
{
	static char text[1 << 20];
	int ends[2];
	size_t len = 0;
	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_ge(dup2(ends[1], STDERR_FILENO), 0);
	close(ends[1]);
	ck_assert_int_eq(log_start(), 0);
	for (int i = 0; i < 50000; i++)
		log_info("line %d", i);
	log_flush(10); /* comes back although nothing goes on */
	while (!strstr(text, "line 49999\n")) {
		ssize_t n = read(ends[0], text + len, sizeof(text) - 1 - len);
		ck_assert_int_gt(n, 0);
		len += (size_t)n;
		text[len] = 0;
	}
	ck_assert_ptr_nonnull(strstr(text, "event=log-lost lines="));
	log_info("the last");
	log_stop(10000);
	ck_assert_int_gt(read(ends[0], text, sizeof(text)), 0);
	ck_assert_ptr_nonnull(strstr(text, "the last\n"));
	log_info("without the thread");
	ck_assert_int_gt(read(ends[0], text, sizeof(text)), 0);
	ck_assert_ptr_nonnull(strstr(text, "without the thread\n"));
}
END_TEST

static atomic_bool reads_again;

static void *read_later(void *arg)
{
	char text[4096];
	usleep(100000);
	atomic_store(&reads_again, true);
	for (size_t left = *(size_t *)arg; left > 0;) {
		ssize_t n = read(STDIN_FILENO, text, left < sizeof(text) ? left : sizeof(text));
		ck_assert_int_gt(n, 0);
		left -= (size_t)n;
	}
	return NULL;
}

/* Whoever reads slowly gets the last lines, too. */
START_TEST(test_stop_awaits_who_reads)
{
	int ends[2];
	char text[4096] = "";
	size_t full = 0;
	pthread_t reader;
	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_ge(dup2(ends[0], STDIN_FILENO), 0);
	ck_assert_int_ge(dup2(ends[1], STDERR_FILENO), 0);
	ck_assert_int_eq(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
	while (write(ends[1], text, sizeof(text)) == sizeof(text))
		full += sizeof(text);
	ck_assert_int_eq(fcntl(ends[1], F_SETFL, 0), 0);
	ck_assert_int_eq(log_start(), 0);
	log_info("the very last");
	ck_assert_int_eq(pthread_create(&reader, NULL, read_later, &full), 0);
	log_stop(20000);
	ck_assert(atomic_load(&reads_again));
	pthread_join(reader, NULL);
	ck_assert_int_gt(read(ends[0], text, sizeof(text) - 1), 0);
	ck_assert_ptr_nonnull(strstr(text, "the very last\n"));
}
END_TEST

START_TEST(test_stop_leaves_what_is_stuck)
{
	int ends[2];
	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_ge(dup2(ends[1], STDERR_FILENO), 0);
	ck_assert_int_eq(log_start(), 0);
	for (int i = 0; i < 50000; i++)
		log_info("line %d", i);
	log_stop(100);
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
		ck_assert(!fault_watched);
	}
	setenv("DMMFS_FAULT", "", 1);
	ck_assert_int_eq(fault_arm_from_environment(), 0);
	unsetenv("DMMFS_FAULT");
	ck_assert_int_eq(fault_arm_from_environment(), 0);
	ck_assert(!fault_watched);
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

/* Hits are counted for all processes that share the file, of all points. */
START_TEST(test_fault_hits)
{
	static const char counts[] = "fault-hits";
	uint64_t hits[FAULT_POINTS];
	int status;

	unlink(counts);
	setenv("DMMFS_FAULT_HITS", "no/such/directory", 1);
	ck_assert_int_eq(fault_arm_from_environment(), -EINVAL);
	setenv("DMMFS_FAULT_HITS", counts, 1);
	setenv("DMMFS_FAULT", "fetch-read:2:EIO", 1);
	pid_t child = fork();
	if (child == 0)
		_exit(fault_arm_from_environment() || fault_hit(FAULT_FETCH_READ) || fault_hit(FAULT_COMMIT_DONE));
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	ck_assert_int_eq(fault_arm_from_environment(), 0);
	ck_assert_int_eq(fault_hit(FAULT_FETCH_READ), -EIO);
	ck_assert_int_eq(fault_hit(FAULT_FETCH_READ), 0);
	fault_moment(FAULT_FILE_DROPPED);
	FILE *file = fopen(counts, "re");
	ck_assert_uint_eq(fread(hits, sizeof(hits[0]), FAULT_POINTS, file), FAULT_POINTS);
	fclose(file);
	ck_assert_uint_eq(hits[FAULT_FETCH_READ], 3);
	ck_assert_uint_eq(hits[FAULT_COMMIT_DONE], 1);
	ck_assert_uint_eq(hits[FAULT_FILE_DROPPED], 1);
	ck_assert(fault_can_fail(FAULT_FETCH_READ) && !fault_can_fail(FAULT_FILE_DROPPED));
	unlink(counts);
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
	tcase_add_test(tests, test_file_that_cannot_be_written);
	tcase_add_test(tests, test_events);
	tcase_add_test(tests, test_event_too_long_is_closed);
	tcase_add_test(tests, test_ring);
	tcase_add_test(tests, test_nobody_waits);
	tcase_add_test(tests, test_stop_awaits_who_reads);
	tcase_add_test(tests, test_stop_leaves_what_is_stuck);
	tcase_add_test(tests, test_lines_of_threads_do_not_mix);
	tcase_add_test(tests, test_fault_table);
	tcase_add_test(tests, test_fault_bad_settings);
	tcase_add_test(tests, test_fault_error);
	tcase_add_test(tests, test_fault_kill);
	tcase_add_test(tests, test_fault_hits);
	tcase_set_timeout(tests, 60);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
