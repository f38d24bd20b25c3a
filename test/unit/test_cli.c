/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What dmmfs-admin makes of numbers, names and figures, and which migration a path means.
 */
#include "cli/background.h"
#include "cli/figures.h"
#include "cli/find.h"
#include "cli/format.h"
#include "cli/path.h"
#include "cli/summary.h"
#include "wire/socket.h"

#include <check.h>
#include <errno.h>
#include <limits.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char dir[64], buf[FORMAT_BYTES];

static void setup(void)
{
	strcpy(dir, "/tmp/dmmfs-test-cli.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void teardown(void)
{
	char command[128];
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	ck_assert_int_eq(system(command), 0);
}

START_TEST(test_numbers)
{
	ck_assert_str_eq(format_count(0, buf), "0");
	ck_assert_str_eq(format_count(999, buf), "999");
	ck_assert_str_eq(format_count(1000, buf), "1,000");
	ck_assert_str_eq(format_count(1234567, buf), "1,234,567");
	ck_assert_str_eq(format_count(UINT64_MAX, buf), "18,446,744,073,709,551,615");
	ck_assert_str_eq(format_duration(0, buf), "0 s");
	ck_assert_str_eq(format_duration(59, buf), "59 s");
	ck_assert_str_eq(format_duration(200, buf), "3 min 20 s");
	ck_assert_str_eq(format_duration(7815, buf), "2 h 10 min");
	ck_assert_str_eq(format_duration(3 * 86400 + 4 * 3600 + 59, buf), "3 d 4 h");
	ck_assert_str_eq(format_latency(0, buf), "0 us");
	ck_assert_str_eq(format_latency(999, buf), "999 us");
	ck_assert_str_eq(format_latency(1200, buf), "1.2 ms");
	ck_assert_str_eq(format_latency(9949, buf), "9.9 ms");
	ck_assert_str_eq(format_latency(9950, buf), "10 ms");
	ck_assert_str_eq(format_latency(33000, buf), "33 ms");
	ck_assert_str_eq(format_latency(999499, buf), "999 ms");
	ck_assert_str_eq(format_latency(999500, buf), "1.0 s");
	ck_assert_str_eq(format_latency(3400000, buf), "3.4 s");
	ck_assert_str_eq(format_share(0, 0, buf), "0 of 0 B");
	ck_assert_str_eq(format_share(1288490188, 3650722202ull, buf), "1.2 of 3.4 GiB");
	ck_assert_str_eq(format_share(1 << 20, 3ll << 40, buf), "1 MiB of 3 TiB");
	ck_assert_str_eq(format_share(UINT64_MAX, UINT64_MAX, buf), "16.0 of 16.0 EiB");
	format_latency(UINT64_MAX, buf);
	format_duration(UINT64_MAX, buf);
	format_time(INT64_MAX, buf);
}
END_TEST

START_TEST(test_percent)
{
	ck_assert_uint_eq(format_percent(0, 0), 100);
	ck_assert_uint_eq(format_percent(0, 5), 0);
	ck_assert_uint_eq(format_percent(1, 3), 33);
	ck_assert_uint_eq(format_percent(999999, 1000000), 99);
	ck_assert_uint_eq(format_percent(UINT64_MAX - 1, UINT64_MAX), 99);
	ck_assert_uint_eq(format_percent(7, 7), 100);
	ck_assert_uint_eq(format_percent(8, 7), 100);
}
END_TEST

static void expect_name(const char *bytes, const char *shown)
{
	char *name = format_name(bytes);
	ck_assert_str_eq(name, shown);
	free(name);
}

START_TEST(test_names)
{
	expect_name("", "");
	expect_name("/plain \\ name", "/plain \\ name");
	expect_name("caf\xc3\xa9 \xe2\x82\xac", "caf\xc3\xa9 \xe2\x82\xac");
	expect_name("a\nb\x1b[2J\x7f\t", "a\\x0ab\\x1b[2J\\x7f\\x09");
	expect_name("\xc2\x9b"
	            "31m\xc2\xa0",
	            "\\xc2\\x9b31m\xc2\xa0");
	expect_name("\xff\xc3(", "\\xff\\xc3(");
	ck_assert_uint_eq(format_width("abc"), 3);
	ck_assert_uint_eq(format_width("caf\xc3\xa9"), 4);
	if (setlocale(LC_CTYPE, "C.UTF-8")) {
		ck_assert_uint_eq(format_width("\xe6\x97\xa5\xe6\x9c\xac"), 4);
		ck_assert_uint_eq(format_width("e\xcc\x81"), 1);
	}
}
END_TEST

START_TEST(test_table)
{
	static const char *const heads[] = {"ID", "NAME", "LAST"};
	char *text = NULL;
	size_t size = 0;
	struct table *table = table_new(3, heads, "rll");
	table_row(table);
	table_set(table, 0, "1");
	table_set(table, 1, "caf\xc3\xa9");
	table_set(table, 2, "x");
	table_color(table, 1, "\033[32m");
	table_row(table);
	table_set(table, 0, "12345");
	table_set(table, 2, "y");
	FILE *to = open_memstream(&text, &size);
	table_print(table, to);
	fclose(to);
	ck_assert_str_eq(text, "   ID  NAME  LAST\n"
	                       "    1  \033[32mcaf\xc3\xa9\033[0m  x\n"
	                       "12345        y\n");
	free(text);
	table_free(table);
}
END_TEST

START_TEST(test_below)
{
	ck_assert(path_is_below("/a/b", "/a"));
	ck_assert(path_is_below("/a", "/a"));
	ck_assert(path_is_below("/a", "/a/"));
	ck_assert(path_is_below("/a", "/"));
	ck_assert(!path_is_below("/ab", "/a"));
	ck_assert(!path_is_below("/", "/a"));
	ck_assert(!path_is_below("/a", ""));
	ck_assert(!path_is_below("/a", "/a/b"));
}
END_TEST

static bool stop_at_mount(void *context, const char *path)
{
	return path_is_below(path, context);
}

static void expect_path(const char *cwd, const char *path, const char *wanted)
{
	char full[PATH_MAX], mount[128], *got = NULL;
	snprintf(mount, sizeof(mount), "%s/mount", dir);
	snprintf(full, sizeof(full), "%s%s", *wanted == '~' ? dir : "", *wanted == '~' ? wanted + 1 : wanted);
	ck_assert_int_eq(path_resolve(cwd, path, stop_at_mount, mount, &got), 0);
	ck_assert_str_eq(got, full);
	free(got);
}

static void expect_below_dir(const char *path, const char *wanted)
{
	char absolute[PATH_MAX];
	snprintf(absolute, sizeof(absolute), "%s/%s", dir, path);
	expect_path("/", absolute, wanted);
	expect_path(dir, path, wanted);
}

static void make_link(const char *value, const char *name)
{
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	ck_assert_int_eq(symlink(value, path), 0);
}

static void make_dir(const char *name)
{
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	ck_assert_int_eq(mkdir(path, 0700), 0);
}

START_TEST(test_resolve)
{
	char absolute[PATH_MAX], *got = NULL;
	make_dir("mount");
	make_dir("other");
	make_dir("other/sub");
	make_link("mount", "to-mount");
	make_link("../other", "mount/out");
	make_link("..", "other/sub/up");
	make_link("loop", "loop");
	snprintf(absolute, sizeof(absolute), "%s/other/sub", dir);
	make_link(absolute, "far");

	expect_path("/", "/", "/");
	expect_path("/", "/..//./../", "/");
	expect_below_dir("mount/a/b", "~/mount/a/b");
	expect_below_dir("./mount//a/./b/", "~/mount/a/b");
	expect_below_dir("to-mount/a", "~/mount/a");
	expect_below_dir("to-mount", "~/to-mount"); /* the last part is what is meant */
	expect_below_dir("far/up/sub/x", "~/other/sub/x");
	expect_below_dir("other/sub/../x", "~/other/x");
	expect_below_dir("missing/x/../y", "~/missing/y");
	/* Below the mount nothing is looked at: the link there is taken as it is written; out of it again all is as before. */
	expect_below_dir("mount/out/x", "~/mount/out/x");
	expect_below_dir("mount/../to-mount/x", "~/mount/x");
	expect_path("/somewhere/deleted", "../x", "/somewhere/x");
	ck_assert_int_eq(path_resolve(dir, "loop/x", NULL, NULL, &got), -ELOOP);
	ck_assert_int_eq(path_resolve(dir, "", NULL, NULL, &got), -ENOENT);
}
END_TEST

START_TEST(test_resolve_long)
{
	static char path[200000];
	char *got = NULL;
	strcpy(path, "/");
	for (int i = 0; i < 4000; i++)
		strcat(path, "deeper/");
	ck_assert_int_eq(path_resolve("/", path, NULL, NULL, &got), 0);
	ck_assert_uint_eq(strlen(got), 28000);
	free(got);
	memset(path, 'x', sizeof(path) - 1);
	ck_assert_int_eq(path_resolve("/", path, NULL, NULL, &got), -ENAMETOOLONG);
}
END_TEST

static uint32_t holder_of(const struct migrations *migrations, const char *path)
{
	const struct migration *found = migrations_holding(migrations, path);
	return found ? found->migid : 0;
}

START_TEST(test_holding)
{
	struct migrations migrations = {0};
	migrations_add(&migrations, 1, "/old/a", "/home", "/home", "complete");
	migrations_add(&migrations, 2, "/old/b", "/home", "/home", "running");
	migrations_add(&migrations, 3, "/old/c", "/home", "/home", "failed");
	migrations_add(&migrations, 4, "/old/d", "/home/deep/target", "/mnt/d", "halted");
	migrations_add(&migrations, 5, "/old/e", "/srv", "/srv", "complete");
	migrations_add(&migrations, 6, "/old/e", "/srv", "/srv", "complete");
	migrations_add(&migrations, 7, "/old/f", "", "", "halted");
	ck_assert_uint_eq(holder_of(&migrations, "/home"), 2);
	ck_assert_uint_eq(holder_of(&migrations, "/home/x"), 2);
	ck_assert_uint_eq(holder_of(&migrations, "/homes"), 0);
	ck_assert_uint_eq(holder_of(&migrations, "/home/deep/target/x"), 4);
	ck_assert_uint_eq(holder_of(&migrations, "/mnt/d/x"), 4);
	ck_assert_uint_eq(holder_of(&migrations, "/srv/x"), 6);
	ck_assert_uint_eq(holder_of(&migrations, "/"), 0);
	struct cli cli = {0};
	ck_assert_uint_eq(migrations_meant(&cli, &migrations, "4")->migid, 4);
	ck_assert_uint_eq(migrations_meant(&cli, &migrations, "/mnt/d/")->migid, 4);
	ck_assert_uint_eq(migrations_meant(&cli, &migrations, "/home/deep/target")->migid, 4);
	ck_assert_uint_eq(migrations_meant(&cli, &migrations, "/home")->migid, 2);
	ck_assert_int_eq(cli.status, CLI_OK);
	static const char *const unknown[] = {"9", "0", "99999999999999999999", "4x", "-1", "/mnt", "/home/x", "nothing"};
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		cli.status = 0;
		ck_assert_ptr_null(migrations_meant(&cli, &migrations, unknown[i]));
		ck_assert_int_eq(cli.status, CLI_UNKNOWN);
	}
	migrations_free(&migrations);
}
END_TEST

static json_t *figures(const char *state, int estimate, int done, int all)
{
	return json_pack("{s:s, s:b, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "state", state, "estimate", estimate,
	                 "bytes_migrated", done, "bytes_found", all, "files_found", 10, "dirs_found", 1, "files_pending",
	                 done == all ? 0 : 3, "eta_s", 7815, "rate_bytes_per_s", 1 << 20, "demand_requests", 0);
}

static void expect_remaining(json_t *object, const char *text)
{
	ck_assert_str_eq(summary_remaining(object, buf), text);
	json_decref(object);
}

static void expect_percent(json_t *object, unsigned percent)
{
	ck_assert_uint_eq(summary_percent(object), percent);
	json_decref(object);
}

START_TEST(test_summary)
{
	expect_remaining(figures("running", 1, 1, 3), "at least 2 h 10 min");
	expect_remaining(figures("paused", 0, 1, 3), "about 2 h 10 min");
	expect_remaining(figures("running", 0, 3, 3), "none");
	expect_remaining(figures("halted", 0, 1, 3), "-");
	expect_remaining(figures("complete", 0, 3, 3), "-");
	expect_percent(figures("running", 1, 0, 0), 0);
	expect_percent(figures("running", 1, 3, 3), 99);
	expect_percent(figures("running", 0, 3, 3), 100);
	expect_percent(figures("running", 0, 1, 3), 33);
	expect_percent(figures("complete", 0, 1, 3), 100);
	json_t *object = figures("running", 0, 1, 3);
	json_object_set_new(object, "eta_s", json_null());
	expect_remaining(object, "unknown");
	object = json_pack("{s:i, s:i, s:i, s:i}", "demand_requests", 1, "demand_waiting", 2, "demand_p50_us", 1200,
	                   "demand_p99_us", 33000);
	char text[200];
	ck_assert_str_eq(summary_demand(object, text, sizeof(text)), "1 request, 2 waiting, p50 1.2 ms, p99 33 ms");
	json_decref(object);
}
END_TEST

static void expect_within(char *line, size_t width)
{
	ck_assert_msg(strlen(line) <= width, "%zu: '%s'", width, line);
	free(line);
}

static void expect_line(char *line, const char *text)
{
	ck_assert_str_eq(line, text);
	free(line);
}

/* Lines never wrap, however narrow the terminal, and on one of usual width nothing is missing. */
START_TEST(test_bar)
{
	json_t *object = figures("running", 1, 1 << 29, 1 << 30);
	json_object_set_new(object, "files_error", json_integer(12));
	json_object_set_new(object, "demand_requests", json_integer(5));
	json_object_set_new(object, "demand_waiting", json_integer(3));
	for (size_t width = 14; width < 300; width++) {
		expect_within(summary_bar(object, width), width);
		expect_within(summary_below_bar(object, width), width);
	}
	expect_line(summary_bar(object, 79), "running   50 % [#################..................]  512 MiB of 1 GiB  1 MiB/s");
	expect_line(summary_bar(object, 14), "running   50 %");
	expect_line(summary_below_bar(object, 99),
	            "at least 2 h 10 min, still looking  12 errors  demand p50 0 us p99 0 us  3 waiting");
	char *line = summary_line(object);
	ck_assert_ptr_nonnull(
		strstr(line, "  running  50 %  512 MiB of 1 GiB  1 MiB/s  at least 2 h 10 min, still looking  12 errors"));
	free(line);
	json_object_set_new(object, "eta_s", json_null());
	expect_line(summary_below_bar(object, 50), "time remaining unknown, still looking  12 errors");
	json_decref(object);
}
END_TEST

START_TEST(test_background)
{
	json_t *object = figures("running", 0, 1, 3);
	char text[FORMAT_BYTES];
	time_t soon = time(NULL) + 3600;
	ck_assert_str_eq(background_limit_short(object, text), "");
	ck_assert_str_eq(background_yield_short(object), "");
	json_t *background =
		json_pack("{s:i, s:i, s:s}", "data_workers", 3, "limit_bytes_per_s", 20 << 20, "yields_to", "demand");
	json_object_set_new(object, "background", background);
	ck_assert_str_eq(background_limit_short(object, text), "limit 20 MiB/s");
	ck_assert_str_eq(background_yield_short(object), "yields to applications");
	json_object_set_new(background, "yields_to", json_string("company"));
	ck_assert_str_eq(background_yield_short(object), "yields to applications");
	json_object_set_new(background, "rule_until", json_integer(soon));
	struct tm *tm = localtime(&soon);
	char wanted[128];
	snprintf(wanted, sizeof(wanted), "limit 20 MiB/s until %02d:%02d", tm->tm_hour, tm->tm_min);
	ck_assert_str_eq(background_limit_short(object, text), wanted);
	json_object_set_new(background, "data_workers", json_integer(0));
	json_object_set_new(background, "rule_until", json_null());
	json_object_set_new(background, "yields_to", json_string("recovering"));
	ck_assert_str_eq(background_limit_short(object, text), "background stopped");
	expect_line(summary_below_bar(object, 99), "about 2 h 10 min  background stopped");
	json_object_set_new(object, "state", json_string("paused")); /* that says more */
	ck_assert_str_eq(background_limit_short(object, text), "");
	json_decref(object);
}
END_TEST

START_TEST(test_kept_figures)
{
	static const char *const required[] = {"migid",           "state",         "source",           "target",
	                                       "mountpoint",      "dirs_found",    "dirs_migrated",    "files_found",
	                                       "files_migrated",  "files_pending", "files_error",      "bytes_found",
	                                       "bytes_migrated",  "bytes_pending", "rate_bytes_per_s", "eta_s",
	                                       "demand_requests", "demand_p50_us", "demand_p99_us",    "uptime_s"};
	static const struct {
		const char *state, *result, *shown;
		int files;
	} cases[] = {
		{"running", "", "halted", 0},
		{"halted", "{\"files_found\":7,\"eta_s\":3,\"state\":\"running\",\"target\":\"/x\",\"escaped\":[\"target\"]}",
	         "halted", 7},
		{"complete", "{\"files_found\":\"many\"}", "complete", 0},
		{"failed", "no JSON", "failed", 0},
		{"", "[]", "halted", 0},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct migrations migrations = {0};
		migrations_add(&migrations, 3, "/old", "/t\\x", "/m", cases[i].state);
		free(migrations.list[0].result);
		migrations.list[0].result = strdup(cases[i].result);
		json_t *kept = figures_kept(&migrations.list[0]);
		for (size_t key = 0; key < sizeof(required) / sizeof(required[0]); key++)
			ck_assert_msg(json_object_get(kept, required[key]) != NULL, "%s", required[key]);
		ck_assert_str_eq(json_string_value(json_object_get(kept, "state")), cases[i].shown);
		ck_assert_str_eq(json_string_value(json_object_get(kept, "target")), "/t\\x");
		ck_assert_ptr_null(json_object_get(kept, "escaped"));
		ck_assert_int_eq(json_integer_value(json_object_get(kept, "files_found")), cases[i].files);
		ck_assert(json_is_null(json_object_get(kept, "eta_s")));
		json_decref(kept);
		migrations_free(&migrations);
	}
}
END_TEST

/* A daemon of migration 7 that breaks off every conversation; told to die in one, its socket stays a moment longer than that. */
static void play_daemon(int fd, bool dies)
{
	do {
		int one = accept(fd, NULL, NULL);
		struct pollfd pending = {.fd = fd, .events = POLLIN};
		if (one < 0 && poll(&pending, 1, -1) < 0)
			_exit(1);
		if (one < 0)
			continue;
		close(one);
		if (dies) {
			usleep(100000);
			_exit(0);
		}
	} while (true);
}

static int ask_daemon(bool dies)
{
	struct cli cli = {.rundir = dir};
	json_t *reply = NULL;
	char path[96];
	int fd = -1;
	snprintf(path, sizeof(path), "%s/7.sock", dir);
	ck_assert_int_eq(socket_listen(path, &fd), 0);
	pid_t child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0)
		play_daemon(fd, dies);
	close(fd);
	int error = daemon_ask(&cli, 7, json_pack("{ss}", "request", "stat"), 30, &reply);
	ck_assert_ptr_null(reply);
	kill(child, SIGKILL);
	ck_assert_int_eq(waitpid(child, NULL, 0), child);
	return error;
}

START_TEST(test_daemon_that_dies)
{
	ck_assert_int_eq(ask_daemon(true), -ECONNREFUSED);
	int error = ask_daemon(false);
	ck_assert_msg(error == -ENODATA || error == -ECONNRESET || error == -EPIPE, "%d", error);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cli");
	TCase *tests = tcase_create("cli");
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, test_numbers);
	tcase_add_test(tests, test_percent);
	tcase_add_test(tests, test_names);
	tcase_add_test(tests, test_table);
	tcase_add_test(tests, test_below);
	tcase_add_test(tests, test_resolve);
	tcase_add_test(tests, test_resolve_long);
	tcase_add_test(tests, test_holding);
	tcase_add_test(tests, test_summary);
	tcase_add_test(tests, test_bar);
	tcase_add_test(tests, test_background);
	tcase_add_test(tests, test_kept_figures);
	tcase_add_test(tests, test_daemon_that_dies);
	tcase_set_timeout(tests, 60);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
