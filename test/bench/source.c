/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The posix plugin through the source port, beside the bare system calls on the same tree in the same run: listing with
 * attributes and handles against readdir and lstat, and opening, reading and closing small files by handle against by name.
 *
 * usage: bench-source [DIRECTORY [FILES]]     a new directory is made in DIRECTORY (/tmp), and removed; FILES: 60000
 */
#include "source/source.h"
#include "base/clock.h"

#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES 4096
#define ROUNDS 5 /* the best of them counts */

static char tree[4096];
static unsigned n_files = 60000;

/* The handles, one behind the other. */
static struct {
	size_t count, used, room;
	unsigned char *bytes;
	size_t *lens;
} handles;

static int keep(void *context, const struct dmm_entry *entry)
{
	if (handles.used + entry->handle.len > handles.room)
		handles.bytes = realloc(handles.bytes, handles.room = handles.room * 2 + 65536);
	if (entry->error || !handles.bytes || handles.count >= n_files)
		errx(1, "%s: error %d", entry->name, entry->error);
	memcpy(handles.bytes + handles.used, entry->handle.data, entry->handle.len);
	handles.used += entry->handle.len;
	handles.lens[handles.count++] = entry->handle.len;
	return 0;
}

static int open_root(void *context, const struct dmm_entry *entry)
{
	struct source_file **dir = context;
	struct source *source = (struct source *)*dir;
	return source_file_open(source, entry->handle, dir);
}

static void make_tree(const char *in)
{
	static char data[FILE_BYTES];
	char name[32];
	snprintf(tree, sizeof(tree), "%s/dmmfs-bench-XXXXXX", in);
	if (!mkdtemp(tree))
		err(1, "%s", in);
	int dir = open(tree, O_RDONLY | O_DIRECTORY);
	for (unsigned i = 0; i < n_files; i++) {
		snprintf(name, sizeof(name), "file-%u", i);
		int fd = openat(dir, name, O_WRONLY | O_CREAT, 0644);
		if (fd < 0 || write(fd, data, sizeof(data)) != sizeof(data))
			err(1, "%s/%s", tree, name);
		close(fd);
	}
	close(dir);
}

static void remove_tree(void)
{
	char command[4200];
	snprintf(command, sizeof(command), "rm -rf '%s'", tree);
	if (system(command) != 0)
		warnx("not removed: %s", tree);
}

static void list_by_port(struct source *source)
{
	struct source_file *dir = (struct source_file *)source;
	handles.count = handles.used = 0;
	if (source_root(source, open_root, &dir) < 0)
		errx(1, "no root");
	while (source_list(dir, keep, NULL) > 0)
		;
	source_file_close(dir);
}

static void list_by_calls(struct source *source)
{
	struct dirent *entry;
	struct stat st;
	DIR *dir = opendir(tree);
	while ((entry = readdir(dir)))
		fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW);
	closedir(dir);
}

static struct dmm_bytes next_handle(size_t i, size_t *at)
{
	struct dmm_bytes handle = {handles.bytes + *at, handles.lens[i]};
	*at += handles.lens[i];
	return handle;
}

static void read_by_port(struct source *source)
{
	char buf[FILE_BYTES];
	for (size_t i = 0, at = 0; i < handles.count; i++) {
		struct source_file *file;
		if (source_file_open(source, next_handle(i, &at), &file) < 0 || source_read(file, buf, 0, sizeof(buf)) < 0)
			errx(1, "file %zu", i);
		source_file_close(file);
	}
}

static void read_by_calls(struct source *source)
{
	char name[32], buf[FILE_BYTES];
	int dir = open(tree, O_RDONLY | O_DIRECTORY);
	for (unsigned i = 0; i < n_files; i++) {
		snprintf(name, sizeof(name), "file-%u", i);
		int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || pread(fd, buf, sizeof(buf), 0) < 0)
			err(1, "%s", name);
		close(fd);
	}
	close(dir);
}

static int no_xattr(void *context, const char *name, const void *value, size_t len)
{
	return 0;
}

static void xattrs_by_port(struct source *source)
{
	for (size_t i = 0, at = 0; i < handles.count; i++)
		source_xattrs(source, next_handle(i, &at), NULL, no_xattr, NULL);
}

static void measure(const char *name, struct source *source, void (*run)(struct source *source))
{
	uint64_t best_ns = UINT64_MAX;
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t ns = clock_monotonic_ns();
		run(source);
		ns = clock_monotonic_ns() - ns;
		if (ns < best_ns)
			best_ns = ns;
	}
	printf("%s %.2f us\n", name, (double)best_ns / NS_PER_US / n_files);
}

int main(int argc, char **argv)
{
	struct source *source;
	char error[512];
	const char *plugins = getenv("DMMFS_PLUGINDIR");

	if (argc > 2)
		n_files = (unsigned)atoi(argv[2]);
	handles.lens = calloc(n_files, sizeof(*handles.lens));
	make_tree(argc > 1 ? argv[1] : "/tmp");
	atexit(remove_tree);
	struct source_options options = {.source = tree, .plugin_dir = plugins ? plugins : "plugins", .tries = 1};
	if (source_open(&options, &source, error, sizeof(error)) < 0)
		errx(1, "%s", error);
	measure("source_list_per_entry", source, list_by_port);
	measure("source_list_per_entry_readdir_lstat", source, list_by_calls);
	measure("source_small_file_by_handle", source, read_by_port);
	measure("source_small_file_by_name", source, read_by_calls);
	measure("source_no_xattrs_by_handle", source, xattrs_by_port);
	source_close(source);
	free(handles.bytes);
	free(handles.lens);
	return 0;
}
