/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How many nodes are kept while the kernel gets to know more and more objects. Here the test is the kernel: it looks up, and forgets what it
 * is asked to forget.
 */
#include "fs/node.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define OBJECTS 70000u
#define KNOWN_MOST 60000u /* what the bound may be, with those that are on their way */
#define IN_USE 500u

static struct target target;
static struct node_table *table;
static struct kept *kept;
static struct node *used[IN_USE];

static struct {
	uint64_t ids[4096];
	unsigned count; /* asked for and not answered */
	unsigned asked;
	bool refuses;
} kernel;

static bool plenty(void *context, const uint64_t *ids, unsigned count)
{
	ck_assert_ptr_eq(context, &kernel);
	ck_assert_uint_eq(kernel.count, 0); /* one question at a time */
	ck_assert_uint_le(count, 4096);
	kernel.asked++;
	if (kernel.refuses)
		return false;
	memcpy(kernel.ids, ids, count * sizeof(*ids));
	kernel.count = count;
	return true;
}

static void set_up(uint16_t handle_bytes)
{
	memset(&kernel, 0, sizeof(kernel));
	target = (struct target){.root_handle = {.type = 1, .len = handle_bytes}};
	struct memory *memory = memory_make(NULL);
	ck_assert_ptr_nonnull(memory);
	kept = kept_new(memory, KEPT_NO_FDS, false);
	table = node_table_new(&target, kept, 16);
	node_on_plenty(table, plenty, &kernel);
}

static void tear_down(void)
{
	node_table_free(table);
	kept_free(kept);
}

static struct handle handle_of(uint64_t number)
{
	struct handle handle = {.type = 1, .len = target.root_handle.len};
	number++; /* the root's is 0 */
	memcpy(handle.bytes, &number, sizeof(number));
	return handle;
}

static struct node *look_up(uint64_t number)
{
	struct handle handle = handle_of(number);
	struct node *node = node_enter(table, &handle, &(struct stat){.st_ino = number + 1, .st_mode = S_IFREG});
	node_leave(table, node);
	return node;
}

static void look_up_all(void)
{
	for (unsigned i = 0; i < OBJECTS; i++) {
		struct node *node = look_up(i);
		if (i < IN_USE) {
			node_ref(table, node); /* an open file */
			used[i] = node;
		}
	}
}

static void count(void *context, struct node *node)
{
	(void)node;
	++*(unsigned *)context;
}

static unsigned known(void)
{
	unsigned n = 0;
	node_each(table, count, &n);
	return n;
}

/* What the kernel was asked for it forgets. */
static void forget_asked(void)
{
	for (unsigned i = 0; i < kernel.count; i++)
		node_forget(table, kernel.ids[i], 1);
	kernel.count = 0;
	node_plenty_told(table);
}

START_TEST(the_kernel_is_asked)
{
	unsigned most = 0;
	set_up(12);
	for (unsigned i = 0; i < OBJECTS; i++) {
		struct node *node = look_up(i);
		if (i < IN_USE) {
			node_ref(table, node);
			used[i] = node;
		}
		for (unsigned n = 0; n < kernel.count; n++)
			for (unsigned u = 0; u < IN_USE && i % 1000 == 0; u++)
				ck_assert_uint_ne(kernel.ids[n], used[u]->id);
		if (kernel.count && i % 100 == 0) /* it takes its time */
			forget_asked();
		if (i % 10000 == 0 && known() > most)
			most = known();
	}
	ck_assert_uint_gt(kernel.asked, 50);
	ck_assert_uint_le(most, KNOWN_MOST);
	for (unsigned i = 0; i < IN_USE; i++) {
		struct handle handle = handle_of(i);
		struct node *node;
		ck_assert_int_eq(node_peek(table, &handle, &node), 0);
		ck_assert_ptr_eq(node, used[i]);
		nodes_done(table);
		node_unref(table, used[i]);
	}
	tear_down();
}
END_TEST

/* It may need all of them, or be too old to be asked: then all are kept. */
START_TEST(nothing_goes_before_it_is_forgotten)
{
	set_up(12);
	if (_i == 0)
		kernel.refuses = true;
	if (_i == 1)
		node_on_plenty(table, NULL, NULL);
	look_up_all();
	ck_assert_uint_eq(known(), OBJECTS);
	if (_i == 2)
		ck_assert_uint_eq(kernel.asked, 1); /* it has not answered */
	tear_down();
}
END_TEST

/* Ids that are handles: nodes go by themselves, and the kernel keeps what it knows. */
START_TEST(nobody_is_asked_where_ids_are_handles)
{
	set_up(8);
	look_up_all();
	ck_assert_uint_eq(kernel.asked, 0);
	ck_assert_uint_le(known(), KNOWN_MOST);
	tear_down();
}
END_TEST

static void allow_fds(rlim_t count)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = count ? count : limit.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* A node that was given up is made again from its handle. That this cannot be done at the moment does not mean that the object is gone: a
 * program would believe it. */
START_TEST(what_cannot_be_recalled_now_is_not_gone)
{
	char dir[] = "/var/tmp/dmmfs-node-XXXXXX";
	struct handle handle;
	struct node *node;
	uint64_t id;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	set_up(0);
	target.root_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd = openat(target.root_fd, "file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(target_handle(target.root_fd, "", &target.root_handle), 0);
	ck_assert_int_eq(target_handle(fd, "", &handle), 0);
	node_table_free(table);
	table = node_table_new(&target, kept, 16);
	if (handle.len == sizeof(id)) { /* or else nodes are not given up */
		memcpy(&id, handle.bytes, sizeof(id));
		allow_fds((rlim_t)fd + 1);
		ck_assert_int_eq(node_find(table, id, &node), -EMFILE);
		allow_fds(0);
		ck_assert_int_eq(node_find(table, id, &node), 0);
		nodes_done(table);
	}
	close(fd);
	ck_assert_int_eq(unlinkat(target.root_fd, "file", 0), 0);
	close(target.root_fd);
	ck_assert_int_eq(rmdir(dir), 0);
	tear_down();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("nodes");
	TCase *tests = tcase_create("nodes");
	tcase_add_test(tests, the_kernel_is_asked);
	tcase_add_loop_test(tests, nothing_goes_before_it_is_forgotten, 0, 3);
	tcase_add_test(tests, nobody_is_asked_where_ids_are_handles);
	tcase_add_test(tests, what_cannot_be_recalled_now_is_not_gone);
	tcase_set_timeout(tests, 60);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
