/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Directory trees for the tests of the posix plugin, on several stages: what the plugin does must not depend on which form its
 * handles have. Each test runs in a process and a mount namespace of its own; the parent removes the directory in the end.
 */
#ifndef DMM_TEST_POSIX_TREE_H
#define DMM_TEST_POSIX_TREE_H

#include "source/source.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

enum stage {
	STAGE_PLAIN,   /* a directory of the file system that holds temporary files */
	STAGE_TMPFS,   /* a tmpfs of its own: kernel handles */
	STAGE_OVERLAY, /* overlayfs, which has no lasting handles: paths from the root */
	STAGE_BELOW,   /* a tmpfs mounted below the source: paths below the kernel handle of a directory */
	STAGE_USER,    /* without any capability: no clone, no kernel handles */
	N_STAGES,
};

static char top_dir[64]; /* of the whole run */
static char source_dir[128];
static char tree_dir[160]; /* where the test puts its tree: the source, or a directory in it */

/* The plugin comes along: who has no capability cannot reach a build in somebody's home. */
static inline void make_top_dir(void)
{
	const char *plugins = getenv("DMMFS_PLUGINDIR");
	char command[PATH_MAX + 128];

	strcpy(top_dir, "/tmp/dmmfs-posix-XXXXXX");
	if (!plugins || !mkdtemp(top_dir)) {
		perror(plugins ? "mkdtemp" : "DMMFS_PLUGINDIR is not set: run this by meson test");
		exit(EXIT_FAILURE);
	}
	snprintf(command, sizeof(command), "cp '%s/posix.so' %s/", plugins, top_dir);
	if (system(command) != 0 || setenv("DMMFS_PLUGINDIR", top_dir, 1) < 0)
		exit(EXIT_FAILURE);
}

static inline void remove_top_dir(void)
{
	char command[256];
	snprintf(command, sizeof(command), "chmod -R u+rwx %s; rm -rf %s", top_dir, top_dir);
	if (system(command) != 0)
		fprintf(stderr, "not removed: %s\n", top_dir);
}

static inline bool may_mount(void)
{
	pid_t child = fork();
	int status;
	if (child == 0)
		_exit(unshare(CLONE_NEWNS) == 0 ? 0 : 1);
	waitpid(child, &status, 0);
	return status == 0;
}

static inline void check_call(int ret, const char *what)
{
	ck_assert_msg(ret >= 0, "%s: %s", what, strerror(errno));
}
#define must(call) check_call((int)(call), #call)

static inline void private_mounts(void)
{
	must(unshare(CLONE_NEWNS));
	must(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
}

static inline const char *in_top(char *path, const char *name)
{
	sprintf(path, "%s/%s", top_dir, name);
	must(mkdir(path, 0755));
	return path;
}

static inline void mount_overlay(const char *on)
{
	char lower[128], upper[128], work[128], base[128], options[512];
	snprintf(base, sizeof(base), "%s/layers", top_dir); /* left there by another test: nothing is in it outside of ours */
	must(mkdir(base, 0755) == 0 || errno == EEXIST ? 0 : -1);
	must(mount("tmpfs", base, "tmpfs", 0, NULL));
	in_top(lower, "layers/lower");
	in_top(upper, "layers/upper");
	in_top(work, "layers/work");
	snprintf(options, sizeof(options), "lowerdir=%s,upperdir=%s,workdir=%s", lower, upper, work);
	must(mount("overlay", on, "overlay", 0, options));
}

static inline void become_user(void)
{
	must(chown(source_dir, 65534, 65534));
	must(chmod(top_dir, 0755));
	must(setresgid(65534, 65534, 65534));
	must(setresuid(65534, 65534, 65534));
}

/* Sets source_dir and tree_dir. */
static inline void enter_stage(enum stage stage)
{
	snprintf(source_dir, sizeof(source_dir), "%s/XXXXXX", top_dir);
	ck_assert_ptr_nonnull(mkdtemp(source_dir));
	must(chmod(source_dir, 0755));
	strcpy(tree_dir, source_dir);
	if (stage == STAGE_TMPFS || stage == STAGE_OVERLAY || stage == STAGE_BELOW)
		private_mounts();
	if (stage == STAGE_TMPFS)
		must(mount("tmpfs", source_dir, "tmpfs", 0, NULL));
	if (stage == STAGE_OVERLAY)
		mount_overlay(source_dir);
	if (stage == STAGE_BELOW) {
		strcat(tree_dir, "/below");
		must(mkdir(tree_dir, 0755));
		must(mount("tmpfs", tree_dir, "tmpfs", 0, NULL));
	}
	if (stage == STAGE_USER)
		become_user();
}

static inline const char *at_tree(const char *name)
{
	static char paths[4][512];
	static unsigned next;
	char *path = paths[next++ % 4];
	snprintf(path, sizeof(paths[0]), "%s/%s", tree_dir, name);
	return path;
}

static inline void make_file(const char *name, const void *data, size_t len)
{
	int fd = open(at_tree(name), O_WRONLY | O_CREAT | O_EXCL, 0640);
	must(fd);
	ck_assert_int_eq(write(fd, data, len), (ssize_t)len);
	close(fd);
}

/* --- the source ------------------------------------------------------------------------------------------------------------------ */

static inline struct source *open_tree_source(void)
{
	struct source_options options = {
		.source = source_dir, .protocol = "posix", .plugin_dir = getenv("DMMFS_PLUGINDIR"), .tries = 1};
	char error[512] = "";
	struct source *source = NULL;
	int ret = source_open(&options, &source, error, sizeof(error));
	ck_assert_msg(ret == 0, "%d: %s", ret, error);
	return source;
}

/* An entry that is kept. */
struct found {
	char name[DMM_NAME_MAX + 1];
	int error;
	struct dmm_attr attr;
	size_t handle_len;
	unsigned char *handle;
};

struct listing {
	size_t count;
	struct found *entries;
};

static inline struct dmm_bytes handle_of_found(const struct found *found)
{
	return (struct dmm_bytes){found->handle, found->handle_len};
}

static int keep_entry(void *context, const struct dmm_entry *entry)
{
	struct listing *listing = context;
	if ((listing->count & (listing->count - 1)) == 0) /* room for a power of two */
		listing->entries =
			realloc(listing->entries, (listing->count ? listing->count * 2 : 1) * sizeof(*listing->entries));
	struct found *found = &listing->entries[listing->count++];
	*found = (struct found){.error = entry->error, .attr = entry->attr, .handle_len = entry->handle.len};
	memcpy(found->name, entry->name, entry->name_len + 1);
	found->handle = malloc(entry->handle.len + 1);
	if (entry->handle.len > 0)
		memcpy(found->handle, entry->handle.data, entry->handle.len);
	return 0;
}

static inline void forget(struct listing *listing)
{
	for (size_t i = 0; i < listing->count; i++)
		free(listing->entries[i].handle);
	free(listing->entries);
	*listing = (struct listing){0};
}

/* The whole directory; how many LIST calls had entries. */
static inline int list_handle(struct source *source, struct dmm_bytes handle, struct listing *listing)
{
	struct source_file *dir = NULL;
	size_t before = 0;
	int ret, calls = 0;
	ck_assert_int_eq(source_file_open(source, handle, &dir), 0);
	while ((ret = source_list(dir, keep_entry, listing)) > 0) {
		ck_assert_uint_eq(listing->count, before + (size_t)ret);
		before = listing->count;
		calls++;
	}
	ck_assert_int_eq(ret, 0);
	source_file_close(dir);
	return calls;
}

static inline struct found *find(const struct listing *listing, const char *name)
{
	for (size_t i = 0; i < listing->count; i++)
		if (strcmp(listing->entries[i].name, name) == 0)
			return &listing->entries[i];
	ck_abort_msg("not listed: %s", name);
}

/* The directory of the tree. */
static inline int list_tree(struct source *source, struct listing *listing)
{
	struct listing root = {0}, above = {0};
	struct dmm_bytes handle;
	ck_assert_int_eq(source_root(source, keep_entry, &root), 0);
	handle = handle_of_found(&root.entries[0]);
	if (strcmp(tree_dir, source_dir) != 0) {
		list_handle(source, handle, &above);
		handle = handle_of_found(find(&above, strrchr(tree_dir, '/') + 1));
	}
	int calls = list_handle(source, handle, listing);
	forget(&above);
	forget(&root);
	return calls;
}

static inline struct source_file *open_found(struct source *source, const struct found *found)
{
	struct source_file *file = NULL;
	ck_assert_int_eq(found->error, 0);
	int ret = source_file_open(source, handle_of_found(found), &file);
	ck_assert_msg(ret == 0, "%s: %d", found->name, ret);
	return file;
}

#endif
