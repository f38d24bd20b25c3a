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
#include <linux/filter.h>
#include <linux/fuse.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE ((1u << 20) + 4096u)
#define PAGES (SIZE / 4096u)
#define FEW (PAGES / 10) /* pages that the kernel moves just now are none of ours */

static struct inbox inbox;

static void *pin(void *result)
{
	*(int *)result = inbox_pin(&inbox);
	return NULL;
}

static void set_up(void)
{
	pthread_t receiver;
	int pinned = 1;

	ck_assert_int_eq(inbox_open(&inbox, SIZE), 0);
	ck_assert_int_eq(pthread_create(&receiver, NULL, pin, &pinned), 0);
	ck_assert_int_eq(pthread_join(receiver, NULL), 0);
	ck_assert_int_le(pinned, 0);
	ck_assert(inbox.ring >= 0 ? pinned == 0 : pinned < 0);
}

static void tear_down(void)
{
	inbox_close(&inbox);
	ck_assert_ptr_null(inbox.bytes);
	inbox_close(&inbox); /* once more does no harm */
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

/* From now on what is opened is neither locked nor pinned. Root locks as much as it likes. */
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

START_TEST(a_fork_leaves_it_there)
{
	int until[2];
	char nothing;

	inbox_close(&inbox);
	be_limited(); /* what is pinned is left alone by itself */
	set_up();
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
static long memory_that_is(const char *how)
{
	FILE *status = fopen("/proc/self/status", "re");
	char line[256];
	size_t len = strlen(how);
	long found = -1;

	ck_assert_ptr_nonnull(status);
	while (found < 0 && fgets(line, sizeof(line), status))
		if (strncmp(line, how, len) == 0)
			found = strtol(line + len, NULL, 10);
	fclose(status);
	return found;
}

/* A sanitizer says that it has locked something, and has not. */
static bool can_lock(void)
{
	static char page[4096];
	long before = memory_that_is("VmLck:");

	bool can = mlock(page, sizeof(page)) == 0 && memory_that_is("VmLck:") > before;
	munlock(page, sizeof(page));
	return can;
}

START_TEST(it_is_locked_where_that_is_allowed)
{
	long with = memory_that_is("VmLck:");

	inbox_close(&inbox);
	if (can_lock())
		ck_assert_int_eq(with - memory_that_is("VmLck:"), SIZE / 1024);
	set_up();
}
END_TEST

/* What the kernel allows and counts. It counts what a ring has pinned since Linux 5.8. */
static bool can_pin(void)
{
	struct io_uring_params params = {0};
	struct iovec page = {.iov_base = inbox.bytes, .iov_len = 4096};
	int ring = (int)syscall(SYS_io_uring_setup, 1, &params);
	long before = memory_that_is("VmPin:");

	if (ring < 0)
		return false;
	bool can =
		syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, &page, 1) == 0 && memory_that_is("VmPin:") > before;
	close(ring);
	return can;
}

START_TEST(it_is_pinned_where_that_is_allowed)
{
	long with = memory_that_is("VmPin:");
	bool pinned = inbox.ring >= 0;

	ck_assert_int_lt(faults_of_a_copy(), FEW);
	if (!can_pin())
		return;
	ck_assert(pinned);
	ck_assert_int_eq(with, SIZE / 1024);
}
END_TEST

/* The kernel lets go of a ring when it is closed, a moment later, and asks the thread that made it to look: whatever that waits for then
 * ends with EINTR. What the daemon does after its file system must not. */
START_TEST(nobody_is_interrupted_when_it_is_closed)
{
	struct epoll_event event;
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	ck_assert_int_ge(epoll, 0);
	inbox_close(&inbox);
	ck_assert_int_eq(epoll_wait(epoll, &event, 1, 100), 0);
	close(epoll);
}
END_TEST

/* An exec(2) does not take the ring along, nor what it has pinned. */
START_TEST(a_ring_is_not_inherited)
{
	if (inbox.ring >= 0)
		ck_assert_int_eq(fcntl(inbox.ring, F_GETFD), FD_CLOEXEC);
}
END_TEST

START_TEST(all_of_it_is_there_where_it_must_not_be_locked)
{
	inbox_close(&inbox);
	be_limited();
	ck_assert(!can_lock());
	set_up();
	ck_assert_int_lt(inbox.ring, 0);
	ck_assert_int_lt(faults_of_a_copy(), FEW);
}
END_TEST

/* As in many containers. */
static void forbid_io_uring(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof(filter) / sizeof(*filter), .filter = filter};

	ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0), 0);
}

START_TEST(all_of_it_is_there_where_io_uring_is_forbidden)
{
	inbox_close(&inbox);
	forbid_io_uring();
	set_up();
	ck_assert_int_eq(inbox_pin(&inbox), -EPERM);
	ck_assert_int_lt(inbox.ring, 0);
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
	tcase_add_test(cases, it_is_pinned_where_that_is_allowed);
	tcase_add_test(cases, nobody_is_interrupted_when_it_is_closed);
	tcase_add_test(cases, a_ring_is_not_inherited);
	tcase_add_test(cases, all_of_it_is_there_where_it_must_not_be_locked);
	tcase_add_test(cases, all_of_it_is_there_where_io_uring_is_forbidden);
	tcase_add_test(cases, requests_come_one_by_one);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
