/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A directory so large that several threads make its entries: all of it comes over once, whatever kinds of entries it has, whichever of
 * them fails, and wherever the process ends.
 */
#define AWAIT_MS 100000 /* a crowd takes its time */
#include "migrate/crew.h"
#include "migrate_world.h"

#include "base/cleanup.h"
#include "base/fault.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define SEGSIZE 65536u
#define CROWD 750u    /* what is shared out fits into the chunks */
#define SECOND 10u    /* so many have a second name */
#define BAD 700u      /* can be made a failure */
#define LARGE 300u    /* among the first that are shared out; its data comes in two reads */
#define EARLY_DIR 89u /* made before them */
#define SMALL_MOST 5000u

static char names[CROWD][16], second_names[SECOND][16];

static uint64_t size_at_source(unsigned id)
{
	return id == LARGE ? MAKE_BUFFER_SIZE + 5000 : id % 5 == 0 ? 0 : id * 7;
}

static bool is_dir(unsigned id)
{
	return id % 90 == 89;
}

/* Empty files, files that come with the directory, files that do not, directories, files with two names. */
static void setup(void)
{
	for (unsigned id = 1; id < CROWD; id++) {
		snprintf(names[id], sizeof(names[id]), "name-%u", id);
		if (is_dir(id))
			fake_dir(id, 0, names[id]);
		else
			fake_file(id, 0, names[id], size_at_source(id));
	}
	for (unsigned i = 1; i < SECOND; i++) {
		snprintf(second_names[i], sizeof(second_names[i]), "second-%u", i * 70);
		fake_link(i * 70, 0, second_names[i]);
	}
	world_by_segments(SEGSIZE);
	options.fill_with_dir = SMALL_MOST;
}

static void same_data(const char *name, unsigned id)
{
	static unsigned char data[2 * MAKE_BUFFER_SIZE];
	CLEAN_FD int fd = openat(target.root_fd, name, O_RDONLY | O_CLOEXEC);

	ck_assert_msg(fd >= 0, "%s: %s", name, strerror(errno));
	ck_assert_int_eq(read(fd, data, sizeof(data)), size_at_source(id));
	for (uint64_t at = 0; at < size_at_source(id); at++)
		if (data[at] != fake_byte(id, at))
			ck_abort_msg("%s differs at %d", name, (int)at);
}

/* What is on the target is what is at the source, but for the object `without`. */
static void same_tree(unsigned without)
{
	struct stat one, other;

	for (unsigned id = 1; id < CROWD; id++) {
		if (id == without)
			ck_assert_int_eq(faccessat(target.root_fd, names[id], F_OK, 0), -1);
		else if (is_dir(id))
			ck_assert_int_eq(unlinkat(target.root_fd, names[id], AT_REMOVEDIR), 0);
		else
			same_data(names[id], id);
	}
	for (unsigned i = 1; i < SECOND; i++) {
		ck_assert_int_eq(fstatat(target.root_fd, names[i * 70], &one, 0), 0);
		ck_assert_int_eq(fstatat(target.root_fd, second_names[i], &other, 0), 0);
		ck_assert_uint_eq(one.st_ino, other.st_ino);
		ck_assert_uint_eq(one.st_nlink, 2);
	}
}

static void all_of_it_is_here(void)
{
	await_complete();
	struct totals totals = figures()->totals;
	unsigned dirs = 0;

	for (unsigned id = 1; id < CROWD; id++)
		dirs += is_dir(id);
	ck_assert_int_eq(totals.dirs_found, dirs + 1);
	ck_assert_int_eq(totals.dirs_migrated, dirs + 1);
	ck_assert_int_eq(totals.files_found, CROWD - 1 - dirs + SECOND - 1);
	ck_assert_int_eq(totals.files_migrated, totals.files_found);
	ck_assert_int_eq(totals.bytes_migrated, totals.bytes_found);
	ck_assert_int_eq(totals.files_pending, 0);
	ck_assert_int_eq(totals.bytes_pending, 0);
	ck_assert_int_eq(totals.files_error + totals.dirs_error, 0);
	ck_assert_int_eq(totals.links_pending, 0);
	same_tree(0);
}

START_TEST(all_of_it_comes_once)
{
	world_open();
	all_of_it_is_here();
	world_close();
}
END_TEST

/* What was collected in several threads is one batch: files on record, digests of those that came, what the order says of them. */
START_TEST(all_is_on_record)
{
	struct digest_record digests[8];
	uint64_t after = 0;
	unsigned count = 0, with_data = 0;

	options.order = "last name-?1?; first name-??2; small";
	world_open();
	all_of_it_is_here();
	for (unsigned id = 1; id < CROWD; id++)
		with_data += !is_dir(id) && size_at_source(id) > 0;
	for (int n; (n = store_digests_after(store, after, digests, 8)) > 0; count += (unsigned)n)
		after = digests[n - 1].ino;
	ck_assert_uint_eq(count, with_data);
	world_close();
}
END_TEST

static unsigned names_here(void)
{
	unsigned count = 0;
	DIR *dir = opendir(scratch_path("target"));

	ck_assert_ptr_nonnull(dir);
	for (struct dirent *entry; (entry = readdir(dir));)
		count += strncmp(entry->d_name, "name-", 5) == 0;
	closedir(dir);
	return count;
}

static void root_appeared(struct waiter *waiter, int error, const void *data, size_t len)
{
	ck_assert_int_eq(error, 0);
}

/* An application comes, and waits. */
static void look_at_root(void)
{
	static struct waiter waiter;
	struct subject subject = subject_at(target.root_fd, "");

	waiter = (struct waiter){.wake = root_appeared};
	ck_assert_int_eq(monitor_begin(&monitor, &subject, &(struct event){.kind = EVENT_NAMES, .fd = -1}, &waiter, NULL),
	                 MONITOR_PARKED);
}

/* One thread is held by its source; nobody but another one can make what does not stand in the same chunk. */
START_TEST(others_go_on)
{
	cpu_set_t processors;
	char message[256];

	ck_assert_int_eq(sched_getaffinity(0, sizeof(processors), &processors), 0);
	if (CPU_COUNT(&processors) < 2)
		return;
	options.fill_with_dir = 2 * MAKE_BUFFER_SIZE;
	fake_objects[LARGE].hold_from = 1;
	world_open();
	AWAIT(fake_objects[LARGE].held);
	AWAIT(names_here() > CROWD - 1 - SECOND - 32);
	ck_assert_int_eq(figures()->totals.dirs_migrated, 0); /* it is not there before all of it is (I3) */
	ck_assert_int_eq(migrate_check_finished(migrate, message, sizeof(message)), -EINPROGRESS);
	fake_objects[LARGE].hold_from = 0;
	all_of_it_is_here();
	world_close();
}
END_TEST

/* The same where the background may have one thread alone, which is the one that is held, and helpers wait for another: somebody who
 * waits for the directory does not wait for what the background may have (I6). */
START_TEST(who_waits_needs_no_leave)
{
	struct lane_load load;
	cpu_set_t processors;
	char error[256];

	ck_assert_int_eq(sched_getaffinity(0, sizeof(processors), &processors), 0);
	if (CPU_COUNT(&processors) < 2)
		return;
	ck_assert_int_eq(schedule_parse("* workers=1", &options.govern.schedule, error, sizeof(error)), 0);
	options.fill_with_dir = 2 * MAKE_BUFFER_SIZE;
	fake_objects[LARGE].hold_from = 1;
	world_open();
	AWAIT(fake_objects[LARGE].held);
	lane_load(migrate->names, &load);
	ck_assert_uint_gt(load.queued[LANE_BACKGROUND], 0);
	ck_assert_uint_lt(names_here(), LARGE + 10);
	look_at_root();
	AWAIT(names_here() > CROWD - 1 - SECOND - 32);
	fake_objects[LARGE].hold_from = 0;
	all_of_it_is_here();
	world_close();
}
END_TEST

static const unsigned hits[] = {250, 260, 500, 740};

/* A process that is killed when it has made so many. */
START_TEST(a_kill_on_the_way)
{
	char fault[64];
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		snprintf(fault, sizeof(fault), "populate-entry:%u", hits[_i]);
		setenv("DMMFS_FAULT", fault, 1);
		fault_arm_from_environment();
		world_open();
		sleep(100);
		_exit(1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	world_open();
	all_of_it_is_here();
	world_close();
}
END_TEST

/* The same with an end in order. */
START_TEST(a_stop_on_the_way)
{
	options.fill_with_dir = 2 * MAKE_BUFFER_SIZE;
	fake_objects[LARGE].hold_from = 1;
	world_open();
	AWAIT(fake_objects[LARGE].held);
	atomic_store(&migrate->stopping, true); /* as the end does first, which then waits */
	fake_objects[LARGE].hold_from = 0;
	world_close();
	world_open();
	all_of_it_is_here();
	world_close();
}
END_TEST

static const struct {
	unsigned hit;
	const char *error;
} failures[] = {{270, "EIO"}, {500, "EMFILE"}};

/* An error ends the attempt, whoever meets it; the next one makes all of it. */
START_TEST(a_failure_on_the_way)
{
	char fault[64];

	snprintf(fault, sizeof(fault), "populate-entry:%u:%s", failures[_i].hit, failures[_i].error);
	setenv("DMMFS_FAULT", fault, 1);
	ck_assert_int_eq(fault_arm_from_environment(), 0);
	world_open();
	all_of_it_is_here();
	world_close();
}
END_TEST

/* One that can not be made is told once, and keeps nothing else away. */
START_TEST(a_bad_entry_is_one)
{
	fake_objects[BAD].mode = 0170000 | 0600; /* a kind that there is not */
	world_open();
	AWAIT(figures()->totals.files_error == 1 && figures()->totals.files_pending == 0);
	same_tree(BAD);
	world_close();
}
END_TEST

static atomic_bool intrudes;

/* As that of the system. Once another thread is quick enough to make an entry whose name the target takes for the one that has gone. */
int unlinkat(int dirfd, const char *name, int flags)
{
	int result = (int)syscall(SYS_unlinkat, dirfd, name, flags);

	if (result == 0 && strcmp(name, names[LARGE]) == 0 && atomic_exchange(&intrudes, false))
		ck_assert_int_ge(symlinkat("another entry", dirfd, name), 0);
	return result;
}

/* The same where what was in the way has moved aside: before that is over nobody makes anything. */
int mkdirat(int dirfd, const char *name, mode_t mode)
{
	if (strcmp(name, names[EARLY_DIR]) == 0 && atomic_load(&intrudes) && symlinkat("another entry", dirfd, names[LARGE]) == 0)
		atomic_store(&intrudes, false);
	return (int)syscall(SYS_mkdirat, dirfd, name, mode);
}

static const enum collision policies[] = {COLLISION_OVERWRITE, COLLISION_RENAME};

/* What was made a moment ago for another entry is not taken for what was there before. */
START_TEST(two_names_in_one_place)
{
	char text[16] = "";

	options.collision = policies[_i];
	ck_assert_int_ge(close(creat(scratch_path("target/name-300"), 0600)), 0);
	atomic_store(&intrudes, true);
	world_open();
	AWAIT(figures()->totals.files_error == 1 && figures()->totals.files_pending == 0);
	ck_assert(!atomic_load(&intrudes));
	ck_assert_int_gt(readlinkat(target.root_fd, names[LARGE], text, sizeof(text) - 1), 0);
	ck_assert_str_eq(text, "another entry");
	ck_assert_int_eq(unlinkat(target.root_fd, names[LARGE], 0), 0);
	same_tree(LARGE);
	world_close();
}
END_TEST

static TCase *add_case(Suite *suite, const char *name)
{
	TCase *tcase = world_case(suite, name, setup);

	tcase_set_timeout(tcase, 120);
	return tcase;
}

int main(void)
{
	if (!world_is_possible())
		return 77;
	int n_hits = sizeof(hits) / sizeof(*hits), n_failures = sizeof(failures) / sizeof(*failures);
	Suite *suite = suite_create("migrate-crew");
	TCase *whole = add_case(suite, "whole"), *cut = add_case(suite, "cut"), *failing = add_case(suite, "failing");
	tcase_add_test(whole, all_of_it_comes_once);
	tcase_add_test(whole, all_is_on_record);
	tcase_add_test(whole, others_go_on);
	tcase_add_test(whole, who_waits_needs_no_leave);
	tcase_add_loop_test(cut, a_kill_on_the_way, 0, n_hits);
	tcase_add_test(cut, a_stop_on_the_way);
	tcase_add_loop_test(failing, a_failure_on_the_way, 0, n_failures);
	tcase_add_test(failing, a_bad_entry_is_one);
	tcase_add_loop_test(failing, two_names_in_one_place, 0, 2);
	return world_run(suite);
}
