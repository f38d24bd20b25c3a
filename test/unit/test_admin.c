/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The administrator's socket in front of a simulated migration: each request, what is refused, who is refused, what a slow or
 * silent client and a long request do to the others, start and stop. As root, in a directory of its own, without a mount.
 */
#include "admin/admin.h"
#include "base/clock.h"
#include "base/log.h"
#include "simulated_port.h"
#include "wire/bytes.h"
#include "wire/frame.h"
#include "wire/socket.h"

#include <check.h>
#include <errno.h>
#include <grp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64], path[96];
static struct simulated simulated;
static struct admin *admin;

static void setup(void)
{
	strcpy(dir, "/tmp/dmmfs-test-admin.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	strcat(dir, "/run");
	snprintf(path, sizeof(path), "%s/7.sock", dir);
	log_set_level(LOG_LEVEL_ERROR);
	simulated_init(&simulated, 7, "/mnt/x");
	ck_assert_int_eq(admin_start(dir, 7, &simulated.port, &admin), 0);
}

static void teardown(void)
{
	char command[128];
	simulated_release(&simulated);
	admin_stop(admin);
	ck_assert_int_eq(access(path, F_OK), -1);
	snprintf(command, sizeof(command), "rm -rf %.*s", (int)(strlen(dir) - 4), dir);
	ck_assert_int_eq(system(command), 0);
}

static uint64_t later(void)
{
	return clock_monotonic_ns() + 20 * NS_PER_S;
}

/* Takes over the request. */
static json_t *ask(json_t *request)
{
	json_t *reply = NULL;
	ck_assert_int_eq(socket_ask(path, request, later(), &reply), 0);
	json_decref(request);
	return reply;
}

static void expect_refusal(json_t *request, const char *error, const char *part)
{
	json_t *reply = ask(request);
	const char *message = json_string_value(json_object_get(reply, "message"));
	ck_assert(json_is_false(json_object_get(reply, "ok")));
	ck_assert_str_eq(json_string_value(json_object_get(reply, "error")), error);
	ck_assert_msg(strstr(message, part) != NULL, "'%s' lacks '%s'", message, part);
	json_decref(reply);
}

START_TEST(test_stat)
{
	static const char *const integers[] = {
		"migid",          "dirs_found",     "dirs_migrated",    "dirs_pending", "dirs_error",
		"files_found",    "files_migrated", "files_pending",    "files_error",  "bytes_found",
		"bytes_migrated", "bytes_pending",  "rate_bytes_per_s", "eta_s",        "demand_requests",
		"demand_p50_us",  "demand_p99_us",  "uptime_s"};
	json_t *reply = ask(json_pack("{s:s}", "op", "stat")), *stat = json_object_get(reply, "stat");
	ck_assert(json_is_true(json_object_get(reply, "ok")));
	for (size_t i = 0; i < sizeof(integers) / sizeof(integers[0]); i++)
		ck_assert_msg(json_is_integer(json_object_get(stat, integers[i])), "%s", integers[i]);
	ck_assert_str_eq(json_string_value(json_object_get(stat, "state")), "running");
	ck_assert_str_eq(json_string_value(json_object_get(stat, "mountpoint")), "/mnt/x");
	ck_assert_int_eq(json_integer_value(json_object_get(stat, "bytes_found")), 3ll << 40);
	ck_assert_int_eq(json_integer_value(json_object_get(stat, "dirs_pending")), 300);
	ck_assert(json_is_true(json_object_get(stat, "estimate")));
	ck_assert(json_is_null(json_object_get(stat, "state_trouble")));
	json_decref(reply);
}
END_TEST

START_TEST(test_stat_extremes)
{
	simulated.stat.eta_s = -1;
	simulated.stat.crawl_done = true;
	simulated.stat.totals.files_pending = -5;
	simulated.stat.demand_bytes = UINT64_MAX;
	simulated.stat.state_trouble = ENOSPC;
	strcpy(simulated.stat.source, "/old/\xff");
	json_t *reply = ask(json_pack("{s:s}", "op", "stat")), *stat = json_object_get(reply, "stat");
	char *source = NULL;
	ck_assert(json_is_null(json_object_get(stat, "eta_s")));
	ck_assert(json_is_false(json_object_get(stat, "estimate")));
	ck_assert_int_eq(json_integer_value(json_object_get(stat, "files_pending")), 0);
	ck_assert_int_eq(json_integer_value(json_object_get(stat, "demand_bytes")), INT64_MAX);
	ck_assert_str_eq(json_string_value(json_object_get(stat, "state_trouble")), "ENOSPC");
	ck_assert_int_eq(bytes_get(stat, "source", &source), 0);
	ck_assert_str_eq(source, "/old/\xff");
	free(source);
	json_decref(reply);
	simulated.stat_error = -EIO;
	expect_refusal(json_pack("{s:s}", "op", "stat"), "EIO", "migration 7");
	char *text = admin_stat_text(&simulated.stat);
	ck_assert_ptr_nonnull(strstr(text, "\"migid\":7,"));
	free(text);
}
END_TEST

static json_t *ask_where(const char *name)
{
	json_t *request = json_pack("{s:s}", "op", "where");
	ck_assert_int_eq(bytes_set(request, "path", name), 0);
	return request;
}

START_TEST(test_where)
{
	char *name = NULL;
	json_t *reply = ask(ask_where("/mnt/x/\xff\\/partly")), *where = json_object_get(reply, "where"), *range;
	ck_assert_int_eq(bytes_get(where, "path", &name), 0);
	ck_assert_str_eq(name, "/mnt/x/\xff\\/partly");
	ck_assert_str_eq(json_string_value(json_object_get(where, "type")), "file");
	ck_assert_str_eq(json_string_value(json_object_get(where, "mode")), "0640");
	ck_assert(json_is_false(json_object_get(where, "finished")));
	ck_assert(json_is_null(json_object_get(where, "error")));
	ck_assert_int_eq(json_integer_value(json_object_get(where, "bytes_changed")), 1 << 20);
	ck_assert_uint_eq(json_array_size(json_object_get(where, "ranges")), 4);
	range = json_array_get(json_object_get(where, "ranges"), 2);
	ck_assert_int_eq(json_integer_value(json_object_get(range, "offset")), 2 << 20);
	ck_assert_str_eq(json_string_value(json_object_get(range, "where")), "changed");
	free(name);
	json_decref(reply);

	reply = ask(ask_where("/mnt/x/broken"));
	ck_assert_str_eq(json_string_value(json_object_get(json_object_get(reply, "where"), "error")), "EIO");
	json_decref(reply);

	reply = ask(ask_where("/mnt/x/pieces"));
	where = json_object_get(reply, "where");
	ck_assert_int_eq(json_integer_value(json_object_get(where, "ranges_left_out")), 100000);
	ck_assert_int_eq(json_integer_value(json_object_get(where, "bytes_source")), 75000ll << 20);
	json_decref(reply);

	expect_refusal(ask_where("/mnt/x/missing"), "ENOENT", "/mnt/x/missing");
	expect_refusal(ask_where("/elsewhere"), "EXDEV", "mount point");
	expect_refusal(ask_where("relative"), "EINVAL", "absolute");
	expect_refusal(json_pack("{s:s}", "op", "where"), "EINVAL", "absolute");
	expect_refusal(json_pack("{s:s, s:i}", "op", "where", "path", 3), "EINVAL", "absolute");
	expect_refusal(json_pack("{s:s, s:s, s:[s]}", "op", "where", "path", "/\\q", "escaped", "path"), "EINVAL", "absolute");
}
END_TEST

START_TEST(test_errors_in_pages)
{
	json_int_t after = 0;
	unsigned seen = 0, pages = 0;
	bool more = true;
	simulated.n_errors = 25;
	while (more) {
		json_t *reply = ask(json_pack("{s:s, s:I, s:i}", "op", "errors", "after", after, "max", 10));
		json_t *list = json_object_get(reply, "errors");
		for (size_t i = 0; i < json_array_size(list); i++) {
			after = json_integer_value(json_object_get(json_array_get(list, i), "id"));
			ck_assert_int_eq(after, ++seen);
		}
		more = json_is_true(json_object_get(reply, "more"));
		pages++;
		json_decref(reply);
	}
	ck_assert_uint_eq(seen, 25);
	ck_assert_uint_eq(pages, 3);
	json_t *reply = ask(json_pack("{s:s, s:i}", "op", "errors", "after", 1)), *entry;
	entry = json_array_get(json_object_get(reply, "errors"), 0);
	ck_assert_str_eq(json_string_value(json_object_get(entry, "error")), "EACCES");
	ck_assert_str_eq(json_string_value(json_object_get(entry, "state")), "waived");
	ck_assert_str_eq(json_string_value(json_object_get(entry, "path")), "some/dir/\\xe9\\\\file-2");
	ck_assert_int_eq(json_integer_value(json_object_get(entry, "last")), 1700000002);
	json_decref(reply);
	expect_refusal(json_pack("{s:s, s:i}", "op", "errors", "after", -1), "EINVAL", "after");
	expect_refusal(json_pack("{s:s, s:i}", "op", "errors", "max", 1000000), "EINVAL", "max");
}
END_TEST

START_TEST(test_errors_of_a_state)
{
	simulated.n_errors = 6;
	json_t *reply = ask(json_pack("{s:s, s:s}", "op", "errors", "state", "retrying"));
	ck_assert_uint_eq(json_array_size(json_object_get(reply, "errors")), 2);
	json_decref(reply);
	reply = ask(json_pack("{s:s, s:s}", "op", "errors", "state", "fixed"));
	json_t *entry = json_array_get(json_object_get(reply, "errors"), 0);
	ck_assert_str_eq(json_string_value(json_object_get(entry, "state")), "fixed");
	ck_assert_str_eq(json_string_value(json_object_get(entry, "kind")), "file");
	json_decref(reply);
	expect_refusal(json_pack("{s:s, s:s}", "op", "errors", "state", "lost"), "EINVAL", "retrying, waiting, waived or fixed");
	expect_refusal(json_pack("{s:s, s:i}", "op", "errors", "state", 1), "EINVAL", "state");
}
END_TEST

START_TEST(test_decisions)
{
	simulated.n_errors = 6;
	json_t *reply = ask(json_pack("{s:s}", "op", "retry"));
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(reply, "retry"), "changed")), 6);
	json_decref(reply);
	reply = ask(json_pack("{s:s, s:[{s:i}, {s:s}]}", "op", "waive", "entries", "id", 3, "path", "some/dir"));
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(reply, "waive"), "changed")), 2);
	ck_assert_int_eq(simulated.decided, DECIDE_WAIVE);
	json_decref(reply);
	expect_refusal(json_pack("{s:s, s:[{s:i}]}", "op", "retry", "entries", "id", 7), "ENOENT", "no such error");
	expect_refusal(json_pack("{s:s, s:[]}", "op", "retry", "entries"), "EINVAL", "entries");
	expect_refusal(json_pack("{s:s, s:i}", "op", "waive", "entries", 1), "EINVAL", "entries");
	expect_refusal(json_pack("{s:s, s:[{s:i}]}", "op", "waive", "entries", "id", 0), "EINVAL", "entries");
	expect_refusal(json_pack("{s:s, s:[{s:s}]}", "op", "waive", "entries", "path", ""), "EINVAL", "entries");
	expect_refusal(json_pack("{s:s, s:[{s:i, s:s}]}", "op", "waive", "entries", "id", 1, "path", "x"), "EINVAL", "entries");
}
END_TEST

START_TEST(test_halt)
{
	json_t *reply = ask(json_pack("{s:s, s:b, s:i}", "op", "halt", "lazy", 1, "wait_s", 60));
	ck_assert(json_is_object(json_object_get(reply, "halt")));
	ck_assert(simulated.asked.lazy);
	ck_assert_uint_eq(simulated.asked.wait_s, 60);
	ck_assert_uint_eq(simulated.halts, 1);
	ck_assert_uint_eq(simulated.finishes, 0);
	json_decref(reply);
	simulated.finish_result = -EBUSY;
	reply = ask(json_pack("{s:s}", "op", "halt"));
	ck_assert_uint_eq(json_array_size(json_object_get(reply, "holders")), 2);
	json_decref(reply);
	expect_refusal(json_pack("{s:s}", "op", "halt"), "EBUSY", "can not halt");
	expect_refusal(json_pack("{s:s, s:i}", "op", "halt", "wait_s", -1), "EINVAL", "'halt' takes");
}
END_TEST

START_TEST(test_upgrade)
{
	json_t *reply = ask(json_pack("{s:s}", "op", "upgrade"));
	const json_t *status = json_object_get(reply, "upgrade");
	ck_assert_int_eq(json_integer_value(json_object_get(status, "takeovers")), 0);
	ck_assert_int_eq(json_integer_value(json_object_get(status, "keeper")), 76);
	ck_assert_int_eq(json_integer_value(json_object_get(status, "pause_ms")), 12);
	ck_assert_str_eq(json_string_value(json_object_get(status, "version")), "9.8");
	json_decref(reply);
	json_decref(ask(json_pack("{s:s, s:b}", "op", "upgrade", "begin", 1)));
	ck_assert_uint_eq(simulated.takeovers, 1);
	expect_refusal(json_pack("{s:s, s:i}", "op", "upgrade", "begin", 1), "EINVAL", "'upgrade' takes");
	simulated.stat_error = -ENOENT;
	expect_refusal(json_pack("{s:s, s:b}", "op", "upgrade", "begin", 1), "ENOENT", "the program is not there");
}
END_TEST

START_TEST(test_pause)
{
	json_decref(ask(json_pack("{s:s}", "op", "pause")));
	ck_assert_int_eq(simulated.stat.state, MIGRATION_PAUSED);
	json_t *reply = ask(json_pack("{s:s}", "op", "resume"));
	ck_assert(json_is_object(json_object_get(reply, "resume")));
	json_decref(reply);
	ck_assert_int_eq(simulated.stat.state, MIGRATION_RUNNING);
	simulated.stat_error = -ENOSPC;
	expect_refusal(json_pack("{s:s}", "op", "pause"), "ENOSPC", "database");
	expect_refusal(json_pack("{s:s, s:b}", "op", "pause", "lazy", 1), "EINVAL", "lazy");
}
END_TEST

static json_t *set_request(json_t *properties)
{
	return json_pack("{s:s, s:o}", "op", "set", "properties", properties);
}

START_TEST(test_properties)
{
	json_t *reply = ask(json_pack("{s:s}", "op", "get")), *list = json_object_get(reply, "properties");
	ck_assert_uint_eq(json_array_size(list), 2);
	ck_assert_str_eq(json_string_value(json_object_get(json_array_get(list, 0), "value")), "1M");
	ck_assert(json_is_null(json_object_get(json_array_get(list, 1), "value")));
	json_decref(reply);
	reply = ask(set_request(json_pack("{s:s, s:[s]}", "segsize", "\\xff", "escaped", "segsize")));
	ck_assert(json_is_object(json_object_get(reply, "set")));
	json_decref(reply);
	ck_assert_str_eq(simulated.segsize, "\xff");
	json_decref(ask(set_request(json_pack("{s:n}", "segsize"))));
	ck_assert_str_eq(simulated.segsize, "");
	expect_refusal(set_request(json_pack("{s:s}", "segsize", "busy")), "EBUSY", "segsize");
	expect_refusal(set_request(json_pack("{s:s}", "colour", "red")), "ENOENT", "colour");
	expect_refusal(set_request(json_pack("{s:i}", "segsize", 1)), "EINVAL", "text or null");
	expect_refusal(set_request(json_object()), "EINVAL", "names of properties");
	expect_refusal(set_request(json_array()), "EINVAL", "names of properties");
	expect_refusal(json_pack("{s:s}", "op", "set"), "EINVAL", "names of properties");
	expect_refusal(json_pack("{s:s, s:s}", "op", "get", "name", "segsize"), "EINVAL", "name");
}
END_TEST

START_TEST(test_another_migration)
{
	json_t *reply = ask(json_pack("{s:s, s:s}", "op", "stat", "uuid", SIMULATED_UUID));
	ck_assert(json_is_true(json_object_get(reply, "ok")));
	json_decref(reply);
	expect_refusal(json_pack("{s:s, s:s}", "op", "stat", "uuid", "another"), "ESTALE", SIMULATED_UUID);
	expect_refusal(json_pack("{s:s, s:s}", "op", "finish", "uuid", "another"), "ESTALE", "--confdir");
	ck_assert_uint_eq(simulated.finishes, 0);
}
END_TEST

/* In a process of another user and group: the errno of the refusal, 0: answered, 200: no connection. */
static int ask_as(gid_t group, gid_t more, const char *op)
{
	int status;
	pid_t child = fork();
	if (child == 0) {
		json_t *reply = NULL;
		if (setgroups(more ? 1 : 0, &more) || setgid(group) || setuid(54321))
			_exit(201);
		if (socket_ask(path, json_pack("{s:s}", "op", op), later(), &reply))
			_exit(200);
		_exit(json_is_true(json_object_get(reply, "ok")) ? 0 : EPERM);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	return WEXITSTATUS(status);
}

START_TEST(test_guests)
{
	char above[64];
	snprintf(above, sizeof(above), "%.*s", (int)(strlen(dir) - 4), dir);
	ck_assert_int_eq(chmod(above, 0755), 0);
	ck_assert_int_eq(ask_as(4321, 4321, "stat"), 200); /* the directory is root's */
	admin_stop(admin);
	ck_assert_int_eq(chown(dir, 0, 4321), 0);
	ck_assert_int_eq(chmod(dir, 0750), 0);
	ck_assert_int_eq(admin_start(dir, 7, &simulated.port, &admin), 0);
	ck_assert_int_eq(ask_as(4321, 0, "stat"), 0);
	ck_assert_int_eq(ask_as(1234, 4321, "stat"), 0);
	ck_assert_int_eq(ask_as(1234, 1235, "stat"), 200);
	ck_assert_int_eq(ask_as(4321, 0, "finish"), EPERM);
	ck_assert_int_eq(ask_as(4321, 0, "errors"), EPERM);
	ck_assert_int_eq(ask_as(4321, 0, "nonsense"), EPERM);
	ck_assert_uint_eq(simulated.finishes, 0);
	ck_assert_int_eq(chmod(dir, 0755), 0); /* whoever gets in by other ways is still nobody's guest */
	ck_assert_int_eq(chmod(path, 0666), 0);
	ck_assert_int_eq(ask_as(1234, 1235, "stat"), EPERM);
}
END_TEST

START_TEST(test_finish)
{
	json_t *reply = ask(json_pack("{s:s, s:b, s:i}", "op", "finish", "lazy", 1, "wait_s", 60));
	ck_assert(json_is_true(json_object_get(reply, "ok")));
	ck_assert(simulated.asked.lazy);
	ck_assert_uint_eq(simulated.asked.wait_s, 60);
	json_decref(reply);

	simulated.finish_result = -EBUSY;
	reply = ask(json_pack("{s:s}", "op", "finish"));
	ck_assert(!simulated.asked.lazy);
	ck_assert_str_eq(json_string_value(json_object_get(reply, "error")), "EBUSY");
	json_t *holder = json_array_get(json_object_get(reply, "holders"), 0);
	ck_assert_int_eq(json_integer_value(json_object_get(holder, "pid")), 4711);
	ck_assert_str_eq(json_string_value(json_object_get(holder, "path")), "/mnt/x/letter");
	ck_assert_uint_eq(json_array_size(json_object_get(reply, "holders")), 2);
	json_decref(reply);

	simulated.finish_result = -EINPROGRESS;
	expect_refusal(json_pack("{s:s}", "op", "finish"), "EINPROGRESS", "12 files are pending");
	expect_refusal(json_pack("{s:s, s:i}", "op", "finish", "lazy", 1), "EINVAL", "lazy");
	expect_refusal(json_pack("{s:s, s:i}", "op", "finish", "wait_s", -1), "EINVAL", "wait_s");
	expect_refusal(json_pack("{s:s, s:s}", "op", "finish", "wait_s", "1"), "EINVAL", "wait_s");
}
END_TEST

START_TEST(test_refusals)
{
	expect_refusal(json_object(), "EINVAL", "\"op\"");
	expect_refusal(json_pack("{s:i}", "op", 1), "EINVAL", "\"op\"");
	expect_refusal(json_pack("{s:s}", "op", "destroy"), "ENOTSUP", "destroy");
	expect_refusal(json_pack("{s:s, s:b}", "op", "finish", "dry_run", 1), "EINVAL", "dry_run");
	ck_assert_uint_eq(simulated.finishes, 0);
}
END_TEST

START_TEST(test_garbage)
{
	json_t *reply;
	int fd;
	ck_assert_int_eq(socket_connect(path, later(), &fd), 0);
	ck_assert_int_eq(write(fd, "GET / HTTP/1.0\r\n\r\n", 18), 18);
	ck_assert_int_eq(frame_receive(fd, FRAME_REPLY_MAX, later(), &reply), 0);
	ck_assert_str_eq(json_string_value(json_object_get(reply, "error")), "EMSGSIZE");
	json_decref(reply);
	close(fd);
	ck_assert_int_eq(socket_connect(path, later(), &fd), 0);
	ck_assert_int_eq(write(fd, "\0\0\0\2[]", 6), 6);
	ck_assert_int_eq(frame_receive(fd, FRAME_REPLY_MAX, later(), &reply), 0);
	ck_assert_str_eq(json_string_value(json_object_get(reply, "error")), "EBADMSG");
	json_decref(reply);
	close(fd);
	json_decref(ask(json_pack("{s:s}", "op", "stat")));
}
END_TEST

static void *ask_finish(void *context)
{
	return ask(json_pack("{s:s}", "op", "finish"));
}

/* More requests for the end than there are threads wait; every other request is answered meanwhile. */
START_TEST(test_long_requests_delay_nobody)
{
	pthread_t threads[8];
	void *reply;
	simulated.finish_waits = true;
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, ask_finish, NULL), 0);
	simulated_await_finishes(&simulated, 2);
	for (int i = 0; i < 50; i++)
		json_decref(ask(json_pack("{s:s}", "op", "stat")));
	ck_assert_uint_eq(simulated.finishes, 2);
	simulated_release(&simulated);
	for (int i = 0; i < 8; i++) {
		pthread_join(threads[i], &reply);
		ck_assert(json_is_true(json_object_get(reply, "ok")));
		json_decref(reply);
	}
	ck_assert_uint_eq(simulated.finishes, 8);
}
END_TEST

static void *stop_admin(void *context)
{
	admin_stop(admin);
	return NULL;
}

/* At a stop: requests that are served are finished, those that wait are refused, silent clients are hung up on. */
START_TEST(test_stop)
{
	pthread_t stopper;
	json_t *request = json_pack("{s:s}", "op", "finish");
	int asking[4], silent[3], refused = 0;
	simulated.finish_waits = true;
	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(socket_connect(path, later(), &asking[i]), 0);
		ck_assert_int_eq(frame_send(asking[i], request, FRAME_REQUEST_MAX, later()), 0);
	}
	json_decref(request);
	simulated_await_finishes(&simulated, 2);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(socket_connect(path, later(), &silent[i]), 0);
	/* Answered after what was asked before it was read. */
	json_decref(ask(json_pack("{s:s}", "op", "stat")));
	uint64_t start_ns = clock_monotonic_ns();
	pthread_create(&stopper, NULL, stop_admin, NULL);
	while (access(path, F_OK) == 0)
		usleep(1000);
	simulated_release(&simulated);
	pthread_join(stopper, NULL);
	ck_assert_uint_lt(clock_monotonic_ns() - start_ns, 5 * NS_PER_S);
	for (int i = 0; i < 4; i++) {
		json_t *reply;
		ck_assert_int_eq(frame_receive(asking[i], FRAME_REPLY_MAX, later(), &reply), 0);
		const char *error = json_string_value(json_object_get(reply, "error"));
		ck_assert(error == NULL || strcmp(error, "ESHUTDOWN") == 0);
		refused += error != NULL;
		json_decref(reply);
		close(asking[i]);
	}
	ck_assert_int_eq(refused, 2);
	ck_assert_uint_eq(simulated.finishes, 2);
	for (int i = 0; i < 3; i++) {
		char byte;
		ck_assert_int_eq(recv(silent[i], &byte, 1, MSG_DONTWAIT), 0);
		close(silent[i]);
	}
	admin = NULL;
}
END_TEST

/* Quiet: nothing new gets into the port, what is long goes on, and everybody gets an answer. */
START_TEST(test_quiesce)
{
	pthread_t thread;
	void *reply;
	simulated.finish_waits = true;
	pthread_create(&thread, NULL, ask_finish, NULL);
	simulated_await_finishes(&simulated, 1);
	admin_quiesce(admin);
	expect_refusal(json_pack("{s:s}", "op", "stat"), "ESHUTDOWN", "ending");
	expect_refusal(json_pack("{s:s}", "op", "finish"), "ESHUTDOWN", "ending");
	simulated_release(&simulated);
	pthread_join(thread, &reply);
	ck_assert(json_is_true(json_object_get(reply, "ok")));
	json_decref(reply);
	ck_assert_uint_eq(simulated.finishes, 1);
	admin_quiesce(admin);
	admin_quiesce(NULL);
}
END_TEST

/* A list of losses that takes long to read. */
static struct {
	atomic_bool reads, may_end, quiet;
} slow_list;

static int read_slowly(void *context, uint64_t after, int (*each)(void *each_context, const struct error_record *record),
                       void *each_context)
{
	atomic_store(&slow_list.reads, true);
	while (!atomic_load(&slow_list.may_end))
		usleep(1000);
	return 0;
}

static void *ask_losses(void *context)
{
	return ask(json_pack("{s:s}", "op", "loss-list"));
}

static void *quiesce(void *context)
{
	admin_quiesce(admin);
	atomic_store(&slow_list.quiet, true);
	return NULL;
}

/* What takes long is waited for all the same, unless it waits itself for the end. */
START_TEST(test_quiesce_awaits_long_requests)
{
	pthread_t asking, quiescing;
	void *reply;
	atomic_store(&slow_list.reads, false);
	atomic_store(&slow_list.may_end, false);
	atomic_store(&slow_list.quiet, false);
	simulated.port.errors_after = read_slowly;
	pthread_create(&asking, NULL, ask_losses, NULL);
	while (!atomic_load(&slow_list.reads))
		usleep(1000);
	pthread_create(&quiescing, NULL, quiesce, NULL);
	usleep(100000);
	ck_assert(!atomic_load(&slow_list.quiet));
	atomic_store(&slow_list.may_end, true);
	pthread_join(quiescing, NULL);
	pthread_join(asking, &reply);
	ck_assert(json_is_true(json_object_get(reply, "ok")));
	json_decref(reply);
}
END_TEST

static void *ask_until_quiet(void *context)
{
	for (bool quiet = false; !quiet;) {
		json_t *reply = ask(json_pack("{s:s}", "op", "stat"));
		quiet = json_is_false(json_object_get(reply, "ok"));
		json_decref(reply);
	}
	return NULL;
}

/* Whoever asked is answered, while another daemon has the socket's place already. */
START_TEST(test_withdraw)
{
	struct admin *next = NULL;
	pthread_t thread;
	void *reply;
	simulated.finish_waits = true;
	pthread_create(&thread, NULL, ask_finish, NULL);
	simulated_await_finishes(&simulated, 1);
	admin_withdraw(admin);
	admin_withdraw(NULL);
	ck_assert_int_eq(access(path, F_OK), -1);
	ck_assert_int_eq(admin_start(dir, 7, &simulated.port, &next), 0);
	simulated_release(&simulated);
	pthread_join(thread, &reply);
	ck_assert(json_is_true(json_object_get(reply, "ok")));
	json_decref(reply);
	admin_withdraw(admin);
	admin_stop(admin);
	json_decref(ask(json_pack("{s:s}", "op", "stat"))); /* the socket of the next one is left alone */
	admin = next;
}
END_TEST

/* After it nobody is in the port: under the thread sanitizer this write is seen when somebody still reads. */
START_TEST(test_quiesce_is_complete)
{
	pthread_t threads[4];
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, ask_until_quiet, NULL);
	usleep(50000);
	admin_quiesce(admin);
	memset(&simulated.stat, 0, sizeof(simulated.stat));
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
}
END_TEST

START_TEST(test_too_many_connections)
{
	int silent[64];
	json_t *reply = NULL;
	for (int i = 0; i < 64; i++)
		ck_assert_int_eq(socket_connect(path, later(), &silent[i]), 0);
	reply = ask(json_pack("{s:s}", "op", "stat"));
	ck_assert_str_eq(json_string_value(json_object_get(reply, "error")), "EAGAIN");
	json_decref(reply);
	for (int i = 0; i < 64; i++)
		close(silent[i]);
	for (;;) {
		reply = ask(json_pack("{s:s}", "op", "stat"));
		bool served = json_is_true(json_object_get(reply, "ok"));
		json_decref(reply);
		if (served)
			break;
	}
}
END_TEST

START_TEST(test_modes)
{
	struct stat st;
	ck_assert_int_eq(stat(dir, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0700);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
}
END_TEST

/* Even if somebody opens the door: who is not root is told so, and nothing is read from him. */
START_TEST(test_others_are_refused)
{
	int status;
	char parent[64];
	snprintf(parent, sizeof(parent), "%.*s", (int)(strlen(dir) - 4), dir);
	ck_assert_int_eq(chmod(parent, 0755) | chmod(dir, 0755) | chmod(path, 0666), 0);
	log_set_level(LOG_LEVEL_ERROR);
	pid_t child = fork();
	if (child == 0) {
		json_t *reply = NULL, *request = json_pack("{s:s}", "op", "stat");
		if (setgid(65534) || setuid(65534) || socket_ask(path, request, later(), &reply))
			_exit(2);
		_exit(strcmp(json_string_value(json_object_get(reply, "error")), "EPERM") == 0 ? 0 : 3);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(test_second_daemon)
{
	struct admin *second = NULL, *other = NULL;
	log_set_level((enum log_level) - 1);
	ck_assert_int_eq(admin_start(dir, 7, &simulated.port, &second), -EADDRINUSE);
	ck_assert_int_eq(admin_start(dir, 8, &simulated.port, &other), 0);
	json_decref(ask(json_pack("{s:s}", "op", "stat")));
	admin_stop(other);
	ck_assert_int_eq(chmod(dir, 0777), 0);
	ck_assert_int_eq(admin_start(dir, 9, &simulated.port, &other), -EPERM);
	ck_assert_int_eq(chmod(dir, 0700), 0);
	ck_assert_int_eq(admin_start("/nowhere/deep", 9, &simulated.port, &other), -ENOENT);
}
END_TEST

/* A socket whose daemon was killed is in nobody's way; one that a successor made is not taken away. */
START_TEST(test_stale_socket)
{
	struct admin *next;
	char moved[128];
	int fd;
	snprintf(moved, sizeof(moved), "%s/9.sock", dir);
	ck_assert_int_eq(socket_listen(moved, &fd), 0);
	close(fd); /* as a killed process does: the name stays */
	ck_assert_int_eq(access(moved, F_OK), 0);
	ck_assert_int_eq(admin_start(dir, 9, &simulated.port, &next), 0);
	ck_assert_int_eq(rename(path, moved), 0); /* now 9.sock is another's */
	admin_stop(next);
	ck_assert_int_eq(access(moved, F_OK), 0);
}
END_TEST

int main(void)
{
	if (geteuid() != 0) {
		puts("the daemon's socket serves root only, and this is not root");
		return 77;
	}
	Suite *suite = suite_create("admin");
	TCase *tests = tcase_create("admin");
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, test_stat);
	tcase_add_test(tests, test_stat_extremes);
	tcase_add_test(tests, test_where);
	tcase_add_test(tests, test_errors_in_pages);
	tcase_add_test(tests, test_errors_of_a_state);
	tcase_add_test(tests, test_decisions);
	tcase_add_test(tests, test_halt);
	tcase_add_test(tests, test_pause);
	tcase_add_test(tests, test_upgrade);
	tcase_add_test(tests, test_properties);
	tcase_add_test(tests, test_another_migration);
	tcase_add_test(tests, test_guests);
	tcase_add_test(tests, test_finish);
	tcase_add_test(tests, test_refusals);
	tcase_add_test(tests, test_garbage);
	tcase_add_test(tests, test_long_requests_delay_nobody);
	tcase_add_test(tests, test_stop);
	tcase_add_test(tests, test_quiesce);
	tcase_add_test(tests, test_quiesce_awaits_long_requests);
	tcase_add_test(tests, test_withdraw);
	tcase_add_test(tests, test_quiesce_is_complete);
	tcase_add_test(tests, test_too_many_connections);
	tcase_add_test(tests, test_modes);
	tcase_add_test(tests, test_others_are_refused);
	tcase_add_test(tests, test_second_daemon);
	tcase_add_test(tests, test_stale_socket);
	tcase_set_timeout(tests, 60);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
