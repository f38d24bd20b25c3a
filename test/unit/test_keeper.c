/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a service manager may give back: only a memory that is whole is mapped, descriptors find their places by their names and no other
 * way, and the words of the environment are not believed. And whom the kernel may choose when memory is short.
 */
#include "keeper/held.h"
#include "keeper/internal.h"
#include "keeper/manager.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct memory *memory;
static int memory_fd;

static void start(void)
{
	memory = memory_make(&memory_fd);
	ck_assert_ptr_nonnull(memory);
	unsetenv("NOTIFY_SOCKET");
}

static void stop(void)
{
	memory_unmap(memory);
	close(memory_fd);
}

static int open_null(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* --- the memory --- */

static void check_refused(int fd)
{
	errno = 0;
	ck_assert_ptr_null(memory_map(fd));
	ck_assert_int_eq(errno, EPROTO);
}

START_TEST(a_memory_is_mapped_again)
{
	struct memory *again = memory_map(memory_fd);

	ck_assert_ptr_nonnull(again);
	memory->migid = 7;
	ck_assert_uint_eq(again->migid, 7);
	memory_unmap(again);
}
END_TEST

START_TEST(what_is_no_memory_is_refused)
{
	int null = open_null(), other = memfd_create("other", MFD_CLOEXEC);

	check_refused(null);
	check_refused(other);
	/* Not sealed: whoever has it could cut it, and kill who has it mapped. */
	ck_assert_int_eq(ftruncate(other, sizeof(*memory)), 0);
	ck_assert_int_eq(pwrite(other, memory, sizeof(memory->head), 0), sizeof(memory->head));
	check_refused(other);
	close(null);
	close(other);
}
END_TEST

START_TEST(another_version_is_refused)
{
	memory->head.format++;
	check_refused(memory_fd);
	memory->head.format--;
	memory->head.size--;
	check_refused(memory_fd);
	memory->head.size++;
	memory->head.magic++;
	check_refused(memory_fd);
}
END_TEST

START_TEST(numbers_out_of_bounds_are_refused)
{
	memory->held_used = MEMORY_HELD + 1;
	check_refused(memory_fd);
	memory->held_used = 0;
	memory->opens_used = MEMORY_OPENS + 1;
	check_refused(memory_fd);
	memory->opens_used = 0;
	memory->nodes_used = UINT32_MAX;
	check_refused(memory_fd);
	memory->nodes_used = 0;
	memory->changes_used = MEMORY_CHANGES + 1;
	check_refused(memory_fd);
	memory->changes_used = 0;
	memory->n_init = MEMORY_INIT + 1;
	check_refused(memory_fd);
	memory->n_init = 0;
	memory->oom_score_adj = 1001;
	check_refused(memory_fd);
	memory->oom_score_adj = 0;
	memset(memory->mountpoint, 'x', sizeof(memory->mountpoint));
	check_refused(memory_fd);
}
END_TEST

/* --- want of memory --- */

static int chosen(void)
{
	FILE *file = fopen("/proc/self/oom_score_adj", "re");
	int adj;

	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(fscanf(file, "%d", &adj), 1);
	fclose(file);
	return adj;
}

static void be_chosen(int adj)
{
	FILE *file = fopen("/proc/self/oom_score_adj", "we");

	ck_assert_ptr_nonnull(file);
	ck_assert_int_gt(fprintf(file, "%d", adj), 0);
	ck_assert_int_eq(fclose(file), 0);
}

/* Who may be chosen sooner may come back to what it was, without any right. */
START_TEST(a_worker_is_chosen_as_before)
{
	int before = chosen();

	if (before > 998) /* nobody can be chosen sooner */
		return;
	be_chosen(before + 1);
	want_remember(memory);
	ck_assert_int_eq(memory->oom_score_adj, before + 1);
	be_chosen(before + 2);
	ck_assert_int_eq(want_be_as_started(memory), 0);
	ck_assert_int_eq(chosen(), before + 1);
	be_chosen(before);
}
END_TEST

START_TEST(a_keeper_is_not_chosen_where_that_is_allowed)
{
	int before = chosen(), result = want_spare();

	want_remember(memory);
	ck_assert_int_eq(memory->oom_score_adj, result == 0 ? -1000 : before);
	if (result == 0)
		be_chosen(before);
	else
		ck_assert_int_eq(result, -EACCES);
}
END_TEST

/* --- descriptors of removed files --- */

START_TEST(held_ones_are_kept_apart)
{
	for (uint64_t node = 1; node <= 3; node++)
		ck_assert(!held_take(memory, node, open_null(), 3));
	ck_assert(!held_take(memory, 4, open_null(), 3)); /* there is no room */
	ck_assert_uint_eq(memory->held_used, 3);
	ck_assert(!held_let_go(memory, 2));
	ck_assert(!held_let_go(memory, 2));
	ck_assert(!held_take(memory, 5, open_null(), 3));
	ck_assert(!held_take(memory, 5, open_null(), 3)); /* told again after a kill */
	ck_assert_uint_eq(memory->held_used, 3);
	ck_assert_uint_eq(memory->held[1].node, 5);
	held_end(memory, false);
}
END_TEST

START_TEST(what_is_given_back_finds_its_place)
{
	static const char *const strangers[] = {"h3", "h1x", "h01", "H1", "", "h", "h-1", "hffffffffffff1", "held"};
	int fd;

	memory->stored = true;
	for (uint64_t node = 1; node <= 3; node++)
		held_take(memory, node, open_null(), 3);
	held_let_go(memory, 1);
	for (int i = 0; i < 3; i++)
		if (memory->held[i].fd >= 0)
			close(memory->held[i].fd); /* with the process that had them */
	held_recover_begin(memory);
	for (size_t i = 0; i < sizeof(strangers) / sizeof(*strangers); i++)
		ck_assert(!held_recover(memory, strangers[i], 0));
	ck_assert(!held_recover(memory, "h0", 0)); /* it was let go */
	ck_assert(held_recover(memory, "h1", fd = open_null()));
	ck_assert(!held_recover(memory, "h1", 0)); /* twice */
	ck_assert_uint_eq(held_recover_end(memory), 1);
	ck_assert_int_eq(memory->held[1].fd, fd);
	ck_assert_uint_eq(memory->held[2].state, HELD_FREE); /* it was not given */
	held_end(memory, false);
}
END_TEST

/* --- a manager that does not read --- */

START_TEST(a_full_queue_is_told_later)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char said[256];
	unsigned told = 0;
	bool late = false;
	int manager = socket(AF_UNIX, SOCK_DGRAM, 0);

	/* The kernel gives it a name that nobody has. */
	ck_assert_int_eq(bind(manager, (struct sockaddr *)&address, sizeof(address.sun_family)), 0);
	socklen_t len = sizeof(address);
	ck_assert_int_eq(getsockname(manager, (struct sockaddr *)&address, &len), 0);
	char path[sizeof(address.sun_path) + 1] = "@";
	memcpy(path + 1, address.sun_path + 1, len - sizeof(address.sun_family) - 1);
	setenv("NOTIFY_SOCKET", path, 1);
	memory->stored = true;
	uint64_t node = 0;
	while (!late && node < MEMORY_HELD)
		late = held_take(memory, ++node, open_null(), MEMORY_HELD);
	ck_assert(late);
	ck_assert(!held_let_go(memory, 1) || memory->held[0].state == HELD_TO_REMOVE); /* nobody waits */
	do
		while (recv(manager, said, sizeof(said), MSG_DONTWAIT) > 0)
			told++;
	while (held_settle(memory));
	while (recv(manager, said, sizeof(said), MSG_DONTWAIT) > 0)
		told++;
	ck_assert_uint_eq(told, node + 1);
	ck_assert_uint_eq(memory->held[0].state, HELD_FREE);
	ck_assert_uint_eq(memory->held[node - 1].state, HELD_STORED);
	held_end(memory, false);
	close(manager);
}
END_TEST

/* --- the words of the environment --- */

static size_t given(const char *count, const char *names)
{
	struct manager_given *array;
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", count, 1);
	if (names)
		setenv("LISTEN_FDNAMES", names, 1);
	size_t n = manager_given(&array);
	ck_assert_ptr_null(getenv("LISTEN_PID"));
	ck_assert_ptr_null(getenv("LISTEN_FDS"));
	ck_assert_ptr_null(getenv("LISTEN_FDNAMES"));
	if (n)
		ck_assert_str_eq(array[0].name, names ? "one" : "");
	free(array);
	return n;
}

START_TEST(only_descriptors_that_are_there_are_given)
{
	struct manager_given *array;

	ck_assert_uint_eq(manager_given(&array), 0);
	ck_assert_uint_eq(given("0", "one"), 0);
	ck_assert_uint_eq(given("-1", "one"), 0);
	ck_assert_uint_eq(given("1x", "one"), 0);
	ck_assert_uint_eq(given("99999999999999999999", "one"), 0);
	ck_assert_int_ge(dup2(memory_fd, 3), 0);
	ck_assert_uint_ge(given("1", "one"), 1);
	ck_assert_uint_ge(given("1", NULL), 1);
	ck_assert_uint_ge(given("1", "one:two:three"), 1);
	ck_assert_uint_lt(given("100000", "one"), 100000);
	setenv("LISTEN_PID", "1", 1);
	setenv("LISTEN_FDS", "1", 1);
	ck_assert_uint_eq(manager_given(&array), 0); /* of another process */
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("keeper");
	TCase *tests = tcase_create("keeper");

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, start, stop);
	tcase_add_test(tests, a_memory_is_mapped_again);
	tcase_add_test(tests, what_is_no_memory_is_refused);
	tcase_add_test(tests, another_version_is_refused);
	tcase_add_test(tests, numbers_out_of_bounds_are_refused);
	tcase_add_test(tests, a_worker_is_chosen_as_before);
	tcase_add_test(tests, a_keeper_is_not_chosen_where_that_is_allowed);
	tcase_add_test(tests, held_ones_are_kept_apart);
	tcase_add_test(tests, what_is_given_back_finds_its_place);
	tcase_add_test(tests, a_full_queue_is_told_later);
	tcase_add_test(tests, only_descriptors_that_are_there_are_given);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
