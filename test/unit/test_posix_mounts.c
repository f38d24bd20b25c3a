/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The posix plugin and what lies around a tree: mounts below the source, access times, paths longer than PATH_MAX, many threads,
 * and the addresses it refuses.
 */
#include "posix_tree.h"

#include <limits.h>
#include <pthread.h>

static void make_file_at(const char *dir, const char *name, const char *text)
{
	char path[512];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
	must(fd);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void expect_text(struct source *source, const struct found *found, const char *text)
{
	char data[64] = "";
	struct source_file *file = open_found(source, found);
	ck_assert_int_eq(source_read(file, data, 0, sizeof(data)), (int64_t)strlen(text));
	ck_assert_str_eq(data, text);
	source_file_close(file);
}

static struct listing list_below(struct source *source, const struct listing *in, const char *name)
{
	struct listing listing = {0};
	list_handle(source, handle_of_found(find(in, name)), &listing);
	return listing;
}

/* --- mounts ----------------------------------------------------------------------------------------------------------------------- */

static void make_mount(const char *name, const char *text)
{
	must(mkdir(at_tree(name), 0755));
	must(mount("tmpfs", at_tree(name), "tmpfs", 0, NULL));
	make_file_at(at_tree(name), "file", text);
}

static bool same_object(const struct found *a, const struct found *b)
{
	return a->attr.fsid == b->attr.fsid && a->attr.fileid == b->attr.fileid;
}

/* Two file systems that are exactly alike, one of them with a third one below, and one seen at a second place. */
static void make_mounts(void)
{
	make_mount("one", "first");
	make_mount("two", "second");
	make_mount("one/deeper", "third");
	must(mkdir(at_tree("again"), 0755));
	must(mount(at_tree("two"), at_tree("again"), NULL, MS_BIND, NULL));
	must(link(at_tree("two/file"), at_tree("two/twin")));
}

START_TEST(test_mounts_come_along)
{
	struct listing root = {0}, one, two, again, deeper;

	enter_stage(_i);
	private_mounts();
	make_mounts();
	struct source *source = open_tree_source();
	list_tree(source, &root);
	ck_assert_uint_eq(root.count, 3);
	one = list_below(source, &root, "one");
	two = list_below(source, &root, "two");
	again = list_below(source, &root, "again");
	deeper = list_below(source, &one, "deeper");

	expect_text(source, find(&one, "file"), "first");
	expect_text(source, find(&two, "file"), "second");
	expect_text(source, find(&again, "file"), "second");
	expect_text(source, find(&deeper, "file"), "third");
	/* Each first file of a tmpfs has the same inode number: joining them would lose data. */
	ck_assert_uint_eq(find(&one, "file")->attr.fileid, find(&two, "file")->attr.fileid);
	ck_assert(!same_object(find(&one, "file"), find(&two, "file")));
	ck_assert(!same_object(find(&one, "file"), find(&deeper, "file")));
	ck_assert(!same_object(find(&root, "one"), find(&root, "two")));
	ck_assert(same_object(find(&two, "file"), find(&two, "twin")));
	/* The root of a mount is the same object, seen from above and by its own handle. */
	struct listing by_handle = {0};
	ck_assert_int_eq(source_attr(source, handle_of_found(find(&root, "one")), keep_entry, &by_handle), 0);
	ck_assert(same_object(&by_handle.entries[0], find(&root, "one")));

	/* And once more: the same identities. */
	struct source *restarted = open_tree_source();
	struct listing root2 = {0}, two2;
	list_tree(restarted, &root2);
	two2 = list_below(restarted, &root2, "two");
	ck_assert(same_object(find(&two2, "file"), find(&two, "file")));
	ck_assert_uint_eq(find(&two2, "file")->handle_len, find(&two, "file")->handle_len);
	ck_assert_mem_eq(find(&two2, "file")->handle, find(&two, "file")->handle, find(&two, "file")->handle_len);
	expect_text(restarted, find(&two, "file"), "second");
	source_close(restarted);

	struct listing *all[] = {&root, &one, &two, &again, &deeper, &by_handle, &root2, &two2};
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		forget(all[i]);
	source_close(source);
}
END_TEST

/* What is mounted over or below the source after we started is not ours to copy; what was there stays ours. */
START_TEST(test_later_mounts)
{
	struct listing root = {0}, dir, one;

	enter_stage(STAGE_TMPFS);
	make_mount("one", "first");
	must(mkdir(at_tree("dir"), 0755));
	make_file("dir/file", "under", 5);
	struct source *source = open_tree_source();
	must(mount("tmpfs", at_tree("dir"), "tmpfs", 0, NULL));
	must(umount2(at_tree("one"), MNT_DETACH));
	must(mount("tmpfs", source_dir, "tmpfs", 0, NULL));
	list_tree(source, &root);
	ck_assert_uint_eq(root.count, 2);
	dir = list_below(source, &root, "dir");
	expect_text(source, find(&dir, "file"), "under");
	one = list_below(source, &root, "one");
	expect_text(source, find(&one, "file"), "first");
	forget(&root);
	forget(&dir);
	forget(&one);
	source_close(source);
}
END_TEST

/* Not even through a descriptor that the plugin gave out (I5). */
START_TEST(test_never_written)
{
	struct listing root = {0};
	char path[64];

	enter_stage(_i);
	if (_i == STAGE_PLAIN)
		private_mounts();
	make_mount("mount", "");
	must(mkdir(at_tree("dir"), 0755));
	make_file("file", "f", 1);
	struct source *source = open_tree_source();
	list_tree(source, &root);
	for (size_t i = 0; i < root.count; i++) {
		struct source_file *file = open_found(source, &root.entries[i]);
		int fd = source_file_fd(file);
		must(fd);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		if (S_ISDIR(root.entries[i].attr.mode)) {
			ck_assert_int_eq(openat(fd, "new", O_WRONLY | O_CREAT, 0600), -1);
			ck_assert_int_eq(errno, EROFS);
		} else {
			ck_assert_int_eq(open(path, O_WRONLY), -1);
			ck_assert_int_eq(errno, EROFS);
		}
		ck_assert_int_eq(setxattr(path, "trusted.x", "", 0, 0), -1);
		ck_assert_int_eq(chmod(path, 0), -1);
		ck_assert_int_eq(errno, EROFS);
		source_file_close(file);
	}
	forget(&root);
	source_close(source);
}
END_TEST

/* --- access times ------------------------------------------------------------------------------------------------------------------- */

static const char *const touched[] = {"dir", "file", "link", "dir/below"};

static void set_times(void)
{
	/* Older than the change: what relatime would move. */
	const struct timespec times[2] = {{1000000000, 123456789}, {1000000001, 0}};
	for (size_t i = 0; i < sizeof(touched) / sizeof(touched[0]); i++)
		must(utimensat(AT_FDCWD, at_tree(touched[i]), times, AT_SYMLINK_NOFOLLOW));
}

START_TEST(test_access_times_stay)
{
	struct listing root = {0}, dir;
	char text[PATH_MAX];

	enter_stage(_i);
	must(mkdir(at_tree("dir"), 0755));
	make_file("dir/below", "below", 5);
	make_file("file", "file", 4);
	must(symlink("target", at_tree("link")));
	set_times();

	struct source *source = open_tree_source();
	list_tree(source, &root);
	dir = list_below(source, &root, "dir");
	expect_text(source, find(&root, "file"), "file");
	expect_text(source, find(&dir, "below"), "below");
	/* Without a mount of our own nothing keeps the access time of a link. */
	if (_i != STAGE_USER)
		ck_assert_int_eq(source_readlink(source, handle_of_found(find(&root, "link")), text, sizeof(text)), 6);
	for (size_t i = 0; i < sizeof(touched) / sizeof(touched[0]); i++) {
		struct stat st;
		must(lstat(at_tree(touched[i]), &st));
		ck_assert_msg(st.st_atim.tv_sec == 1000000000 && st.st_atim.tv_nsec == 123456789, "%s", touched[i]);
	}
	forget(&dir);
	forget(&root);
	source_close(source);
}
END_TEST

/* --- depth ------------------------------------------------------------------------------------------------------------------------------ */

#define DEPTH 300
#define LONG_NAME 200

/* 60,300 bytes of path, built with relative names. */
static void make_deep(int depth)
{
	char name[LONG_NAME + 1];
	int at = open(tree_dir, O_RDONLY | O_DIRECTORY);
	must(at);
	for (int level = 0; level < depth; level++) {
		memset(name, 'a' + level % 26, LONG_NAME);
		name[LONG_NAME] = '\0';
		must(mkdirat(at, name, 0755));
		int below = openat(at, name, O_RDONLY | O_DIRECTORY);
		must(below);
		close(at);
		at = below;
	}
	int fd = openat(at, "bottom", O_WRONLY | O_CREAT, 0644);
	must(fd);
	ck_assert_int_eq(write(fd, "deep", 4), 4);
	close(fd);
	close(at);
}

/* Down to the end, or to the first entry that has an error. */
static struct found *descend(struct source *source, struct listing *listing, int *depth)
{
	list_tree(source, listing);
	for (*depth = 0;; ++*depth) {
		ck_assert_uint_eq(listing->count, 1);
		struct found *found = &listing->entries[0];
		if (found->error || !S_ISDIR(found->attr.mode))
			return found;
		struct listing below = list_below(source, listing, found->name);
		forget(listing);
		*listing = below;
	}
}

START_TEST(test_deep_tree)
{
	struct listing listing = {0};
	int depth;

	enter_stage(_i);
	make_deep(DEPTH);
	struct source *source = open_tree_source();
	struct found *bottom = descend(source, &listing, &depth);
	ck_assert_int_eq(depth, DEPTH);
	ck_assert_int_eq(bottom->error, 0);
	expect_text(source, bottom, "deep");
	if (bottom->handle[0] == 'P')
		ck_assert_uint_gt(bottom->handle_len, DEPTH * LONG_NAME);
	forget(&listing);
	source_close(source);
}
END_TEST

/* Kernel handles have no end; a path has, and says so. */
START_TEST(test_deeper_than_a_handle)
{
	struct listing listing = {0};
	int depth;

	enter_stage(_i);
	make_deep(340);
	struct source *source = open_tree_source();
	struct found *bottom = descend(source, &listing, &depth);
	if (_i == STAGE_TMPFS) {
		ck_assert_int_eq(depth, 340);
		expect_text(source, bottom, "deep");
	} else {
		ck_assert_int_gt(depth, 320);
		ck_assert_int_eq(bottom->error, ENAMETOOLONG);
		ck_assert_int_eq((int)strlen(bottom->name), LONG_NAME);
	}
	forget(&listing);
	source_close(source);
}
END_TEST

/* --- threads ------------------------------------------------------------------------------------------------------------------------- */

struct crowd {
	struct source *source;
	const struct listing *root;
	struct source_file *shared;
};

static void *work(void *context)
{
	struct crowd *crowd = context;
	char data[16];
	for (int i = 0; i < 50; i++) {
		struct listing below = list_below(crowd->source, crowd->root, "dir");
		ck_assert_uint_eq(below.count, 20);
		expect_text(crowd->source, &below.entries[i % 20], "text");
		ck_assert_int_eq(source_read(crowd->shared, data, 0, 4), 4);
		forget(&below);
	}
	return NULL;
}

START_TEST(test_threads)
{
	struct listing root = {0};
	struct crowd crowd = {.root = &root};
	pthread_t threads[6];
	char name[32];

	enter_stage(_i);
	must(mkdir(at_tree("dir"), 0755));
	for (int i = 0; i < 20; i++) {
		sprintf(name, "dir/%d", i);
		make_file(name, "text", 4);
	}
	make_file("shared", "text", 4);
	crowd.source = open_tree_source();
	list_tree(crowd.source, &root);
	crowd.shared = open_found(crowd.source, find(&root, "shared"));
	for (int i = 0; i < 6; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &crowd), 0);
	for (int i = 0; i < 6; i++)
		pthread_join(threads[i], NULL);
	source_file_close(crowd.shared);
	forget(&root);
	source_close(crowd.source);
}
END_TEST

/* --- addresses ----------------------------------------------------------------------------------------------------------------------- */

static int try_address(const char *address, char error[512])
{
	struct source_options options = {
		.source = address, .protocol = "posix", .plugin_dir = getenv("DMMFS_PLUGINDIR"), .tries = 1};
	struct source *source = NULL;
	error[0] = '\0';
	int ret = source_open(&options, &source, error, 512);
	if (ret == 0)
		source_close(source);
	return ret;
}

START_TEST(test_good_addresses)
{
	static const char *const forms[] = {
		"%s/a%%b c", "file://%s/a%%25b%%20c", "file:%s/a%%25b c",      "FILE://localhost%s/a%%25b%%20c",
		"%s/link",   "%s/../%s/a%%b c",       "file://%s/%%61%%25b c/"};
	char address[512], error[512];

	enter_stage(STAGE_PLAIN);
	must(mkdir(at_tree("a%b c"), 0755));
	must(symlink("a%b c", at_tree("link")));
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(address, sizeof(address), forms[i], source_dir, strrchr(source_dir, '/') + 1);
#pragma GCC diagnostic pop
		ck_assert_msg(try_address(address, error) == 0, "%s: %s", address, error);
	}
}
END_TEST

START_TEST(test_bad_addresses)
{
	static const struct {
		const char *address;
		int error;
		const char *words;
	} table[] = {
		{"/nonexistent/x", -ENOENT, "does not exist"},
		{"/etc/passwd", -ENOTDIR, "is not a directory"},
		{"etc", -EINVAL, "not an absolute path"},
		{"", -EINVAL, "not an absolute path"},
		{"file:etc", -EINVAL, "not an absolute path"},
		{"file://server/etc", -EINVAL, "a path of this machine"},
		{"file:///etc%2", -EINVAL, "two hexadecimal digits"},
		{"file:///etc%", -EINVAL, "two hexadecimal digits"},
		{"file:///etc%zz", -EINVAL, "two hexadecimal digits"},
		{"file:///etc%00", -EINVAL, "two hexadecimal digits"},
	};
	char error[512];
	int ret = try_address(table[_i].address, error);
	ck_assert_msg(ret == table[_i].error, "%d: %s", ret, error);
	ck_assert_msg(strstr(error, table[_i].words) != NULL, "%s", error);
	ck_assert_int_eq(error[strlen(error) - 1], '.');
}
END_TEST

START_TEST(test_long_address)
{
	static char address[PATH_MAX + 100], url[PATH_MAX + 100];
	char error[512];
	memset(address, '/', sizeof(address) - 1);
	ck_assert_int_eq(try_address(address, error), -ENAMETOOLONG);
	memcpy(url, address, sizeof(url));
	memcpy(url, "file:", 5);
	ck_assert_int_eq(try_address(url, error), -ENAMETOOLONG);
	ck_assert_ptr_nonnull(strstr(error, "longer than"));
}
END_TEST

START_TEST(test_unreadable)
{
	char error[512];
	enter_stage(STAGE_USER);
	must(chmod(source_dir, 0));
	ck_assert_int_eq(try_address(source_dir, error), -EACCES);
	ck_assert_ptr_nonnull(strstr(error, "run dmmfs as root"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("posix-mounts");
	TCase *tcase = tcase_create("around");

	if (geteuid() != 0 || !may_mount()) {
		printf("mounts need root and a mount namespace\n");
		return 77;
	}
	make_top_dir();
	tcase_set_timeout(tcase, 30);
	tcase_add_loop_test(tcase, test_mounts_come_along, 0, STAGE_USER);
	tcase_add_test(tcase, test_later_mounts);
	tcase_add_loop_test(tcase, test_never_written, 0, STAGE_USER);
	tcase_add_loop_test(tcase, test_access_times_stay, 0, N_STAGES);
	tcase_add_loop_test(tcase, test_deep_tree, 0, N_STAGES);
	tcase_add_loop_test(tcase, test_deeper_than_a_handle, STAGE_TMPFS, N_STAGES);
	tcase_add_loop_test(tcase, test_threads, 0, N_STAGES);
	tcase_add_test(tcase, test_good_addresses);
	tcase_add_loop_test(tcase, test_bad_addresses, 0, 10);
	tcase_add_test(tcase, test_long_address);
	tcase_add_test(tcase, test_unreadable);
	suite_add_tcase(suite, tcase);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	remove_top_dir();
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
