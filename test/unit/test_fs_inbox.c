/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Memory for requests: the kernel never meets a page there that it must bring first, also after a fork. Counted in faults, since at the
 * first of them a process that is being killed would lose its request. A pipe instead of the kernel's descriptor.
 */
#include "fs/inbox.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE ((1u << 20) + 4096u)
#define PAGES (SIZE / 4096u)
#define FEW (PAGES / 10) /* pages that the kernel moves just now are none of ours */

static struct inbox inbox;

static void set_up(void)
{
	ck_assert_int_eq(inbox_open(&inbox, SIZE), 0);
}

static void tear_down(void)
{
	inbox_close(&inbox);
	ck_assert_ptr_null(inbox.bytes);
}

static long faults(void)
{
	struct rusage usage;

	ck_assert_int_eq(getrusage(RUSAGE_THREAD, &usage), 0);
	return usage.ru_minflt + usage.ru_majflt;
}

/* How many faults it takes when the kernel writes to all of it. Not through the C library, where sanitizers look at memory of theirs. */
static long faults_of_a_copy(void)
{
	int zeros = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	long before = faults();

	ck_assert_int_eq(syscall(SYS_read, zeros, inbox.bytes, (size_t)SIZE), SIZE);
	long taken = faults() - before;
	close(zeros);
	return taken;
}

START_TEST(all_of_it_is_there)
{
	ck_assert_int_lt(faults_of_a_copy(), FEW);
}
END_TEST

START_TEST(a_fork_leaves_it_there)
{
	int until[2];
	char nothing;

	ck_assert_int_eq(pipe(until), 0);
	pid_t child = fork();
	if (child == 0) {
		close(until[1]);
		_exit(read(until[0], &nothing, 1) == 0 ? 0 : 1);
	}
	close(until[0]);
	ck_assert_int_gt(child, 0);
	long taken = faults_of_a_copy(); /* while the child has whatever it has of it */
	close(until[1]);
	ck_assert_int_eq(waitpid(child, NULL, 0), child);
	ck_assert_int_lt(taken, FEW);
}
END_TEST

/* In KiB. */
static long locked_memory(void)
{
	FILE *status = fopen("/proc/self/status", "re");
	char line[256];
	long locked = -1;

	ck_assert_ptr_nonnull(status);
	while (locked < 0 && fgets(line, sizeof(line), status))
		if (sscanf(line, "VmLck: %ld", &locked) != 1)
			locked = -1;
	fclose(status);
	return locked;
}

/* A sanitizer says that it has locked something, and has not. */
static bool can_lock(void)
{
	static char page[4096];
	long before = locked_memory();

	bool can = mlock(page, sizeof(page)) == 0 && locked_memory() > before;
	munlock(page, sizeof(page));
	return can;
}

START_TEST(it_is_locked_where_that_is_allowed)
{
	long with = locked_memory();

	inbox_close(&inbox);
	if (can_lock())
		ck_assert_int_eq(with - locked_memory(), SIZE / 1024);
	set_up();
}
END_TEST

/* Root locks as much as it likes. */
static void be_limited(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	struct rlimit none = {0};

	ck_assert_int_eq(syscall(SYS_capget, &header, data), 0);
	data[CAP_TO_INDEX(CAP_IPC_LOCK)].effective &= ~CAP_TO_MASK(CAP_IPC_LOCK);
	ck_assert_int_eq(syscall(SYS_capset, &header, data), 0);
	ck_assert_int_eq(setrlimit(RLIMIT_MEMLOCK, &none), 0);
}

START_TEST(all_of_it_is_there_where_it_must_not_be_locked)
{
	inbox_close(&inbox);
	be_limited();
	ck_assert(!can_lock());
	set_up();
	ck_assert_int_lt(faults_of_a_copy(), FEW);
}
END_TEST

START_TEST(requests_come_one_by_one)
{
	struct fuse_in_header header = {.len = sizeof(header), .opcode = FUSE_GETATTR, .unique = 4711};
	int requests[2];

	ck_assert_int_eq(pipe2(requests, O_DIRECT), 0); /* a write is read as a whole */
	for (int i = 0; i < 3; i++, header.unique++)
		ck_assert_int_eq(write(requests[1], &header, sizeof(header)), sizeof(header));
	ck_assert_int_eq(write(requests[1], &header, sizeof(header) - 1), sizeof(header) - 1);
	for (uint64_t i = 0; i < 3; i++) {
		ck_assert_int_eq(inbox_receive(&inbox, requests[0]), sizeof(header));
		ck_assert_uint_eq(((struct fuse_in_header *)inbox.bytes)->unique, 4711 + i);
	}
	ck_assert_int_eq(inbox_receive(&inbox, requests[0]), -EIO);
	close(requests[1]);
	ck_assert_int_eq(inbox_receive(&inbox, requests[0]), -EIO);
	close(requests[0]);
	ck_assert_int_eq(inbox_receive(&inbox, requests[0]), -EBADF);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fs_inbox");
	TCase *cases = tcase_create("inbox");

	tcase_add_checked_fixture(cases, set_up, tear_down);
	tcase_add_test(cases, all_of_it_is_there);
	tcase_add_test(cases, a_fork_leaves_it_there);
	tcase_add_test(cases, it_is_locked_where_that_is_allowed);
	tcase_add_test(cases, all_of_it_is_there_where_it_must_not_be_locked);
	tcase_add_test(cases, requests_come_one_by_one);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
