/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A disk that remembers everything: a FUSE file system of two files. `disk` is to be put under a loop device; every write and every
 * flush of it goes into a log, in order, so that the state of the disk at any instant can be made again, with any part of what
 * was not flushed lost (powercut.py). `position` says, when read, how many entries the log has.
 *
 *     cut_disk SIZE LOG MOUNTPOINT      stays in the foreground
 *
 * An entry is a struct entry, host byte order, and the bytes that were written. Kinds: 'W' write, 'Z' zeros, 'F' flush.
 */
#define FUSE_USE_VERSION 318
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ROOT = FUSE_ROOT_ID, DISK, POSITION };

struct entry {
	uint64_t kind, off, len;
};

static struct {
	int image_fd; /* what the disk holds */
	FILE *log;
	uint64_t size, entries;
} disk;

static const char *const names[] = {[DISK] = "disk", [POSITION] = "position"};

static int append(char kind, uint64_t off, uint64_t len, const void *data)
{
	struct entry entry = {(uint64_t)kind, off, len};

	if (fwrite(&entry, sizeof(entry), 1, disk.log) != 1 || (data && fwrite(data, len, 1, disk.log) != 1))
		return -EIO;
	disk.entries++;
	return 0;
}

static void describe(fuse_ino_t ino, struct stat *st)
{
	*st = (struct stat){.st_ino = ino, .st_nlink = 1, .st_mode = S_IFREG | 0600};
	if (ino == ROOT)
		st->st_mode = S_IFDIR | 0700;
	else if (ino == DISK)
		st->st_size = (off_t)disk.size;
}

static void on_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param entry = {.attr_timeout = 3600, .entry_timeout = 3600};

	(void)parent;
	for (fuse_ino_t ino = DISK; ino <= POSITION; ino++)
		if (strcmp(name, names[ino]) == 0)
			entry.ino = ino;
	if (!entry.ino) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	describe(entry.ino, &entry.attr);
	fuse_reply_entry(req, &entry);
}

static void on_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;

	(void)fi;
	describe(ino, &st);
	fuse_reply_attr(req, &st, 3600);
}

static void on_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	(void)attr;
	(void)to_set;
	on_getattr(req, ino, fi);
}

static void on_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	fi->direct_io = 1;
	if (ino == ROOT)
		fuse_reply_err(req, EISDIR);
	else
		fuse_reply_open(req, fi);
}

static void read_position(fuse_req_t req, off_t off)
{
	char text[32];
	int len = snprintf(text, sizeof(text), "%llu\n", (unsigned long long)disk.entries);

	fuse_reply_buf(req, text, off == 0 ? (size_t)len : 0);
}

static void on_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)fi;
	if (ino == POSITION) {
		read_position(req, off);
		return;
	}
	char *buf = malloc(size);
	ssize_t len = buf ? pread(disk.image_fd, buf, size, off) : -1;
	if (len < 0)
		fuse_reply_err(req, EIO);
	else
		fuse_reply_buf(req, buf, (size_t)len);
	free(buf);
}

static void on_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)fi;
	if (ino != DISK || off < 0 || (uint64_t)off + size > disk.size || append('W', (uint64_t)off, size, buf) < 0 ||
	    pwrite(disk.image_fd, buf, size, off) != (ssize_t)size)
		fuse_reply_err(req, EIO);
	else
		fuse_reply_write(req, size);
}

static void on_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	(void)ino;
	(void)datasync;
	(void)fi;
	fuse_reply_err(req, append('F', 0, 0, NULL) < 0 ? EIO : 0);
}

/* Discards and zeros, as the loop device asks for them. */
static void on_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len, struct fuse_file_info *fi)
{
	(void)fi;
	if (ino != DISK || !(mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)))
		fuse_reply_err(req, EOPNOTSUPP);
	else if (append('Z', (uint64_t)off, (uint64_t)len, NULL) < 0 ||
	         fallocate(disk.image_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, len) < 0)
		fuse_reply_err(req, EIO);
	else
		fuse_reply_err(req, 0);
}

static const struct fuse_lowlevel_ops ops = {
	.lookup = on_lookup,
	.getattr = on_getattr,
	.setattr = on_setattr,
	.open = on_open,
	.read = on_read,
	.write = on_write,
	.fsync = on_fsync,
	.fallocate = on_fallocate,
};

static int serve(const char *mountpoint)
{
	char name[] = "cut_disk", option[] = "-o", value[] = "fsname=cut_disk";
	char *argv[] = {name, option, value};
	struct fuse_args args = FUSE_ARGS_INIT(3, argv);
	struct fuse_session *session = fuse_session_new(&args, &ops, sizeof(ops), NULL);
	int result = -1;

	if (session && fuse_set_signal_handlers(session) == 0 && fuse_session_mount(session, mountpoint) == 0) {
		result = fuse_session_loop(session);
		fuse_session_unmount(session);
		fuse_remove_signal_handlers(session);
	}
	if (session)
		fuse_session_destroy(session);
	fuse_opt_free_args(&args);
	return result;
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "usage: cut_disk SIZE LOG MOUNTPOINT\n");
		return 2;
	}
	disk.size = strtoull(argv[1], NULL, 10);
	disk.log = fopen(argv[2], "we");
	disk.image_fd = memfd_create("cut_disk", MFD_CLOEXEC);
	if (!disk.log || disk.image_fd < 0 || ftruncate(disk.image_fd, (off_t)disk.size) < 0) {
		perror("cut_disk");
		return 1;
	}
	int result = serve(argv[3]);
	if (fclose(disk.log) != 0)
		result = -1;
	return result == 0 ? 0 : 1;
}
