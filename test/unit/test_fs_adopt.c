/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What another process has opened is open in this one: counted once, also where descriptors are short for a while, and not at all where it
 * cannot be.
 */
#include "fs/internal.h"
#include "scratch.h"

#include "base/log.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct target target;
static struct kept *before, *kept; /* of the other process, of this one */
static struct node_table *nodes_before;
static struct fs fs;
static struct monitor monitor;
static uint64_t id, handle;

static unsigned refusals, sleeps; /* what the system refuses, and is asked for */
static int refusal;

/* As those of the system. */
int open_by_handle_at(int mount, struct file_handle *object, int flags)
{
	if (refusals) {
		refusals--;
		errno = refusal;
		return -1;
	}
	return (int)syscall(SYS_open_by_handle_at, mount, object, flags);
}

int usleep(useconds_t us)
{
	sleeps++;
	return 0;
}

/* --- who watches --- */

static struct {
	unsigned refusals, opened, closed;
	int refusal;
} watcher;

static int begin(void *context, struct subject *subject, const struct event *event, struct waiter *waiter, bool *quiet)
{
	ck_assert_ptr_eq(context, &watcher);
	ck_assert(subject->is_file);
	if (watcher.refusals) {
		watcher.refusals--;
		return watcher.refusal;
	}
	watcher.opened += event->kind == EVENT_STILL_OPEN;
	watcher.closed += event->kind == EVENT_CLOSE;
	return MONITOR_GO;
}

static const struct monitor_ops watching = {.begin = begin};

/* --- the processes --- */

/* Another process has opened a file, for writing. */
static void setup(void)
{
	char error[256] = "";
	struct handle of_file;
	struct stat st;
	int memory = -1;

	ck_assert_int_eq(mkdir(scratch_path("target"), 0755), 0);
	ck_assert_int_ge(close(creat(scratch_path("target/file"), 0600)), 0);
	ck_assert_int_eq(stat(scratch_path("target/file"), &st), 0);
	ck_assert_msg(target_open(scratch_path("target"), &target, error, sizeof(error)) == 0, "%s", error);
	ck_assert_int_eq(target_handle(target.root_fd, "file", &of_file), 0);
	before = kept_new(memory_make(&memory), KEPT_NO_FDS, false);
	kept_memory(before)->resends = true;
	nodes_before = node_table_new(&target, before, 16);
	struct node *node = node_enter(nodes_before, &of_file, &st);
	id = node->id;
	handle = kept_open(before, 7, id, OPEN_WRITES | OPEN_WATCHED, 0);
	node_leave(nodes_before, node);

	watcher.refusals = watcher.opened = watcher.closed = refusals = sleeps = 0;
	monitor = (struct monitor){0};
	monitor_register(&monitor, &watching, &watcher);
	struct memory *mapped = memory_map(memory);
	ck_assert_ptr_nonnull(mapped);
	close(memory);
	kept = kept_new(mapped, KEPT_NO_FDS, true);
	fs = (struct fs){.kept = kept, .target = &target, .monitor = &monitor, .nodes = node_table_new(&target, kept, 16)};
	log_set_level(LOG_LEVEL_ERROR);
}

static void teardown(void)
{
	node_table_free(fs.nodes);
	node_table_free(nodes_before);
	kept_free(kept);
	kept_free(before);
	target_close(&target);
}

static void counted(unsigned opens)
{
	struct node *node;

	refusals = 0;
	ck_assert_int_eq(node_find(fs.nodes, id, &node), 0);
	ck_assert_uint_eq(node->latched, opens);
	ck_assert_uint_eq(node->writers, opens);
	ck_assert_uint_eq(node->refs, opens);
	ck_assert_int_eq(node->latch, opens ? LATCH_CACHED : LATCH_IDLE);
	nodes_done(fs.nodes);
}

static void release(void)
{
	file_released(&fs, id, handle);
	ck_assert_ptr_null(kept_find_open(kept, handle));
	counted(0);
}

static const int shortages[] = {EMFILE, ENFILE, ENOMEM};
#define SHORTAGES (int)(sizeof(shortages) / sizeof(*shortages))

/* Ids that are hashes are on record with all that is to be known of them: nothing is opened. */
static bool is_opened(void)
{
	return target.root_handle.len == sizeof(uint64_t);
}

START_TEST(what_is_open_is_counted)
{
	ck_assert_int_eq(file_adopt(&fs), 0);
	ck_assert_uint_eq(sleeps, 0);
	ck_assert_uint_eq(watcher.opened, 1);
	counted(1);
	release();
	ck_assert_uint_eq(watcher.closed, 1);
}
END_TEST

START_TEST(a_shortage_that_passes)
{
	refusal = shortages[_i];
	refusals = is_opened() ? 3 : 0;
	watcher.refusal = -shortages[_i];
	watcher.refusals = 2;
	ck_assert_int_eq(file_adopt(&fs), 0);
	ck_assert_uint_eq(sleeps, is_opened() ? 5 : 2);
	ck_assert_uint_eq(watcher.opened, 1);
	counted(1);
	release();
	ck_assert_uint_eq(watcher.closed, 1);
}
END_TEST

/* Another process is to try; it finds everything as it was. */
START_TEST(a_shortage_that_lasts)
{
	refusal = shortages[_i];
	refusals = is_opened() ? 1000000 : 0;
	watcher.refusal = -shortages[_i];
	watcher.refusals = 1000000;
	ck_assert_int_eq(file_adopt(&fs), -shortages[_i]);
	ck_assert_uint_gt(sleeps, 10);
	ck_assert_uint_eq(watcher.opened, 0);
	counted(0);
	ck_assert_uint_eq(kept_find_open(kept, handle)->flags, OPEN_WRITES | OPEN_WATCHED);
}
END_TEST

/* What cannot be looked at now may be later, when it is closed: what was not counted then is not counted off. */
START_TEST(a_file_that_cannot_be_looked_at)
{
	static const int errors[] = {EIO, ESTALE};

	if (!is_opened())
		return;
	refusal = errors[_i];
	refusals = 1;
	ck_assert_int_eq(file_adopt(&fs), 0);
	ck_assert_uint_eq(sleeps, 0);
	counted(0);
	release();
	ck_assert_uint_eq(watcher.opened + watcher.closed, 0);
}
END_TEST

/* The next process may be able to. */
START_TEST(a_file_that_can_be_looked_at_again)
{
	if (!is_opened())
		return;
	refusal = EIO;
	refusals = 1;
	ck_assert_int_eq(file_adopt(&fs), 0);
	ck_assert_int_eq(file_adopt(&fs), 0);
	ck_assert_uint_eq(watcher.opened, 1);
	counted(1);
	release();
	ck_assert_uint_eq(watcher.closed, 1);
}
END_TEST

int main(void)
{
	if (geteuid() != 0) {
		puts("skipped: objects are opened by handle, which needs root");
		return 77;
	}
	Suite *suite = suite_create("fs-adopt");
	TCase *tests = tcase_create("opens");
	scratch_add(tests);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, what_is_open_is_counted);
	tcase_add_loop_test(tests, a_shortage_that_passes, 0, SHORTAGES);
	tcase_add_loop_test(tests, a_shortage_that_lasts, 0, SHORTAGES);
	tcase_add_loop_test(tests, a_file_that_cannot_be_looked_at, 0, 2);
	tcase_add_test(tests, a_file_that_can_be_looked_at_again);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
