/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Frames, names and sockets: what goes over comes back the same, and whatever else arrives is refused in bounded time and memory.
 */
#include "base/clock.h"
#include "wire/bytes.h"
#include "wire/frame.h"
#include "wire/socket.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int pair[2];
static char dir[64];

static void setup(void)
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	strcpy(dir, "/tmp/dmmfs-test-wire.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void teardown(void)
{
	char command[128];
	close(pair[0]);
	close(pair[1]);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	ck_assert_int_eq(system(command), 0);
}

static uint64_t soon(void)
{
	return clock_monotonic_ns() + 50 * NS_PER_MS;
}

static uint64_t later(void)
{
	return clock_monotonic_ns() + 20 * NS_PER_S;
}

static void put(const void *bytes, size_t len)
{
	ck_assert_int_eq(write(pair[0], bytes, len), (ssize_t)len);
}

static void put_frame(const char *text, size_t len)
{
	uint32_t header = htonl((uint32_t)len);
	put(&header, 4);
	put(text, len);
}

static int receive(json_t **message)
{
	*message = NULL;
	return frame_receive(pair[1], FRAME_REQUEST_MAX, soon(), message);
}

START_TEST(test_round_trip)
{
	json_t *got, *sent = json_pack("{s:s, s:I, s:n, s:[b,f]}", "op", "stat \xc3\xa9", "n", INT64_MAX, "none", "list", 1, 0.5);
	ck_assert_int_eq(frame_send(pair[0], sent, FRAME_REQUEST_MAX, soon()), 0);
	ck_assert_int_eq(frame_send(pair[0], sent, FRAME_REQUEST_MAX, soon()), 0);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(receive(&got), 0);
		ck_assert(json_equal(got, sent));
		json_decref(got);
	}
	json_decref(sent);
}
END_TEST

static void *send_large(void *message)
{
	return (void *)(intptr_t)frame_send(pair[0], message, FRAME_REPLY_MAX, later());
}

/* Many times what a socket's buffer holds. */
START_TEST(test_large_reply)
{
	pthread_t thread;
	void *result;
	size_t len = 20 << 20;
	char *text = malloc(len + 1);
	memset(text, 'x', len);
	text[len] = 0;
	json_t *got = NULL, *sent = json_pack("{s:s}", "text", text);
	ck_assert_int_eq(frame_send(pair[0], sent, FRAME_REQUEST_MAX, soon()), -EMSGSIZE);
	pthread_create(&thread, NULL, send_large, sent);
	ck_assert_int_eq(frame_receive(pair[1], FRAME_REPLY_MAX, later(), &got), 0);
	pthread_join(thread, &result);
	ck_assert_ptr_null(result);
	ck_assert(json_equal(got, sent));
	json_decref(got);
	json_decref(sent);
	free(text);
}
END_TEST

static void *drip(void *text)
{
	for (const char *byte = text; byte < (char *)text + 17; byte++) {
		usleep(2000);
		put(byte, 1);
	}
	return NULL;
}

START_TEST(test_byte_by_byte)
{
	pthread_t thread;
	json_t *got = NULL;
	pthread_create(&thread, NULL, drip, (char[]){"\0\0\0\r{\"op\":\"stat\"}"});
	ck_assert_int_eq(frame_receive(pair[1], FRAME_REQUEST_MAX, later(), &got), 0);
	ck_assert_str_eq(json_string_value(json_object_get(got, "op")), "stat");
	pthread_join(thread, NULL);
	json_decref(got);
}
END_TEST

START_TEST(test_ends)
{
	json_t *got, *message = json_pack("{s:i}", "a", 1);
	ck_assert_int_eq(receive(&got), -ETIMEDOUT);
	put("\0\0", 2);
	ck_assert_int_eq(receive(&got), -ETIMEDOUT);
	shutdown(pair[0], SHUT_WR);
	ck_assert_int_eq(receive(&got), -ENODATA);
	close(pair[0]);
	ck_assert_int_eq(frame_send(pair[1], message, FRAME_REPLY_MAX, soon()), -EPIPE);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	put("\0\0\0\5{", 5);
	shutdown(pair[0], SHUT_WR);
	ck_assert_int_eq(receive(&got), -ECONNRESET);
	json_decref(message);
}
END_TEST

START_TEST(test_reader_that_does_not_read)
{
	char *text = calloc(1, (8 << 20) + 1);
	memset(text, 'x', 8 << 20);
	json_t *message = json_pack("{s:s}", "text", text);
	uint64_t start_ns = clock_monotonic_ns();
	ck_assert_int_eq(frame_send(pair[0], message, FRAME_REPLY_MAX, soon()), -ETIMEDOUT);
	ck_assert_uint_lt(clock_monotonic_ns() - start_ns, 10 * NS_PER_S);
	json_decref(message);
	free(text);
}
END_TEST

/* The length alone is refused; a length that is allowed costs no memory before the bytes come. */
START_TEST(test_lying_lengths)
{
	json_t *got;
	struct rusage before, after;
	put("\xff\xff\xff\xff", 4);
	ck_assert_int_eq(receive(&got), -EMSGSIZE);
	put("\0\x10\0\1", 4);
	ck_assert_int_eq(receive(&got), -EMSGSIZE);
	put("\0\0\0\0", 4);
	ck_assert_int_eq(receive(&got), -EBADMSG);
	getrusage(RUSAGE_SELF, &before);
	put("\4\0\0\0", 4);
	ck_assert_int_eq(frame_receive(pair[1], FRAME_REPLY_MAX, soon(), &got), -ETIMEDOUT);
	getrusage(RUSAGE_SELF, &after);
	ck_assert_int_lt(after.ru_maxrss - before.ru_maxrss, 4096);
}
END_TEST

START_TEST(test_bad_text)
{
	static const char *const bad[] = {" ",
	                                  "{",
	                                  "}",
	                                  "[]",
	                                  "1",
	                                  "\"op\"",
	                                  "null",
	                                  "{}{}",
	                                  "{\"a\":1}x",
	                                  "{\"a\":1,\"a\":2}",
	                                  "{'a':1}",
	                                  "{\"a\":01}",
	                                  "{\"a\":NaN}",
	                                  "{\"a\":1e999}",
	                                  "{\"a\":99999999999999999999}",
	                                  "{\"a\":\"\xff\"}",
	                                  "{\"a\":\"\xed\xa0\x80\"}",
	                                  "{\"a\":\"\xc0\x80\"}",
	                                  "{\"a\":\"\xf4\x90\x80\x80\"}",
	                                  "{\"a\":\"\\u0000\"}",
	                                  "{\"a\":\"\\ud800\"}",
	                                  "{\"a\":\"\n\"}",
	                                  "\xef\xbb\xbf{}",
	                                  "{\"\xff\":1}"};
	json_t *got;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		put_frame(bad[i], strlen(bad[i]));
		int result = receive(&got);
		ck_assert_msg(result == -EBADMSG, "'%s' gave %d", bad[i], result);
	}
	put_frame("{\"a\":1}\0", 8);
	ck_assert_int_eq(receive(&got), -EBADMSG);
}
END_TEST

#define DEPTH 50000

START_TEST(test_deep_nesting)
{
	static char text[2 * DEPTH + 7];
	json_t *got;
	memcpy(text, "{\"a\":", 5);
	memset(text + 5, '[', DEPTH);
	memset(text + 5 + DEPTH, ']', DEPTH);
	text[5 + 2 * DEPTH] = '}';
	put_frame(text, strlen(text));
	ck_assert_int_eq(receive(&got), -EBADMSG);
}
END_TEST

static uint64_t random_state = 88172645463325252ull;

static uint32_t random_u32(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 32);
}

START_TEST(test_random_bytes)
{
	for (int round = 0; round < 3000; round++) {
		unsigned char bytes[300];
		size_t len = random_u32() % sizeof(bytes);
		json_t *got = NULL;
		for (size_t i = 0; i < len; i++)
			bytes[i] = (unsigned char)random_u32();
		if (round % 2 && len > 4)
			memcpy(bytes, "\0\0\0", 3);
		put(bytes, len);
		shutdown(pair[0], SHUT_WR);
		int error = frame_receive(pair[1], FRAME_REQUEST_MAX, later(), &got);
		ck_assert(error < 0 || json_is_object(got));
		json_decref(got);
		close(pair[0]);
		close(pair[1]);
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	}
}
END_TEST

/* Exact for any bytes, and valid for the library that checks UTF-8 on its own. */
START_TEST(test_names_round_trip)
{
	static const char *const pieces[] = {"a",
	                                     "/",
	                                     "\\",
	                                     "\\x41",
	                                     "\xff",
	                                     "\x80",
	                                     "\xc3\xa9",
	                                     "\xc3",
	                                     "\xe2\x82\xac",
	                                     "\xe2\x82",
	                                     "\n",
	                                     "\xf0\x9f\x98\x80",
	                                     "\xed\xa0\x80",
	                                     "\xc0\xaf",
	                                     "\xf5",
	                                     "\"",
	                                     "\x7f",
	                                     "\xf4\x8f\xbf\xbf"};
	for (int round = 0; round < 50000; round++) {
		char name[64] = "", *got = NULL;
		for (unsigned n = random_u32() % 6; n > 0; n--)
			strcat(name, pieces[random_u32() % (sizeof(pieces) / sizeof(pieces[0]))]);
		json_t *object = json_object(), *plain = json_string(name);
		ck_assert_int_eq(bytes_set(object, "path", name), 0);
		ck_assert(bytes_are_utf8(name) == (plain != NULL));
		ck_assert(bytes_are_utf8(name) == (json_object_get(object, "escaped") == NULL));
		ck_assert_int_eq(bytes_get(object, "path", &got), 0);
		ck_assert_str_eq(got, name);
		free(got);
		json_decref(plain);
		json_decref(object);
	}
}
END_TEST

START_TEST(test_names)
{
	json_t *object = json_object();
	char *got = NULL;
	ck_assert_int_eq(bytes_set(object, "a", "x\\y"), 0);
	ck_assert_int_eq(bytes_set(object, "b", "x\\\xff"), 0);
	ck_assert_int_eq(bytes_set(object, "c", "\xc3\xa9\xe9"), 0);
	ck_assert_int_eq(bytes_set(object, "d", NULL), 0);
	ck_assert_str_eq(json_string_value(json_object_get(object, "a")), "x\\y");
	ck_assert_str_eq(json_string_value(json_object_get(object, "b")), "x\\\\\\xff");
	ck_assert_str_eq(json_string_value(json_object_get(object, "c")), "\xc3\xa9\\xe9");
	ck_assert_uint_eq(json_array_size(json_object_get(object, "escaped")), 2);
	ck_assert_int_eq(bytes_get(object, "d", &got), -ENOENT);
	ck_assert_int_eq(bytes_get(object, "e", &got), -ENOENT);
	ck_assert_int_eq(bytes_set(object, "b", "b"), 0);
	ck_assert_int_eq(bytes_set(object, "c", "c"), 0);
	ck_assert_ptr_null(json_object_get(object, "escaped"));
	json_decref(object);
	static const char *const bad[] = {"\\", "\\x", "\\x4", "\\x00", "\\xFF", "\\n", "\\xg0"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		object = json_pack("{s:s, s:[i,s]}", "a", bad[i], "escaped", 1, "a");
		ck_assert_int_eq(bytes_get(object, "a", &got), -EBADMSG);
		json_decref(object);
	}
}
END_TEST

START_TEST(test_socket)
{
	char path[512], deep[300] = "";
	int listening, again, client;
	struct stat st;
	for (int i = 0; i < 25; i++)
		strcat(deep, "/directory");
	snprintf(path, sizeof(path), "mkdir -p %s%s", dir, deep);
	ck_assert_int_eq(system(path), 0);
	snprintf(path, sizeof(path), "%s%s/1.sock", dir, deep);
	ck_assert_int_eq(socket_connect(path, soon(), &client), -ENOENT);
	ck_assert_int_eq(socket_listen(path, &listening), 0);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_int_eq(socket_connect(path, soon(), &client), 0);
	ck_assert_int_eq(socket_listen(path, &again), -EADDRINUSE);
	close(client);
	close(listening);
	/* Left behind by a daemon that died: nobody answers, it is replaced. */
	ck_assert_int_eq(socket_connect(path, soon(), &client), -ECONNREFUSED);
	ck_assert_int_eq(socket_listen(path, &listening), 0);
	close(listening);
}
END_TEST

START_TEST(test_socket_never_removes_a_file)
{
	char path[128];
	int listening;
	snprintf(path, sizeof(path), "%s/1.sock", dir);
	fclose(fopen(path, "w"));
	ck_assert_int_eq(socket_listen(path, &listening), -EEXIST);
	ck_assert_int_eq(access(path, F_OK), 0);
	ck_assert_int_eq(socket_listen("/nowhere/1.sock", &listening), -ENOENT);
}
END_TEST

/* Listens and never accepts: the backlog fills, the deadline still holds. */
START_TEST(test_socket_full_backlog)
{
	char path[128];
	int listening, clients[200], n = 0, error = 0;
	snprintf(path, sizeof(path), "%s/1.sock", dir);
	ck_assert_int_eq(socket_listen(path, &listening), 0);
	while (n < 200 && (error = socket_connect(path, soon(), &clients[n])) == 0)
		n++;
	ck_assert_int_eq(error, -ETIMEDOUT);
	ck_assert_int_gt(n, 10);
	while (n > 0)
		close(clients[--n]);
	close(listening);
}
END_TEST

START_TEST(test_rundir)
{
	char buf[16];
	unsetenv("DMMFS_RUNDIR");
	ck_assert_str_eq(socket_default_rundir(), "/run/dmmfs");
	setenv("DMMFS_RUNDIR", "/x", 1);
	ck_assert_str_eq(socket_default_rundir(), "/x");
	ck_assert_int_eq(socket_path("/x", 12, buf, sizeof(buf)), 0);
	ck_assert_str_eq(buf, "/x/12.sock");
	ck_assert_int_eq(socket_path("/longer", 123456, buf, sizeof(buf)), -ENAMETOOLONG);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("wire");
	TCase *tests = tcase_create("wire");
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, test_round_trip);
	tcase_add_test(tests, test_large_reply);
	tcase_add_test(tests, test_byte_by_byte);
	tcase_add_test(tests, test_ends);
	tcase_add_test(tests, test_reader_that_does_not_read);
	tcase_add_test(tests, test_lying_lengths);
	tcase_add_test(tests, test_bad_text);
	tcase_add_test(tests, test_deep_nesting);
	tcase_add_test(tests, test_random_bytes);
	tcase_add_test(tests, test_names_round_trip);
	tcase_add_test(tests, test_names);
	tcase_add_test(tests, test_socket);
	tcase_add_test(tests, test_socket_never_removes_a_file);
	tcase_add_test(tests, test_socket_full_backlog);
	tcase_add_test(tests, test_rundir);
	tcase_set_timeout(tests, 60);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
