/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What FUSE itself costs: a file system that does nothing. Its answers come from memory, so whatever it takes is the kernel's way to a
 * process and back; no file system in a process can be faster. One thread, asleep between requests, or with "poll" never asleep, which
 * takes a processor of its own.
 *
 *   floor MOUNTPOINT BACKING [poll]     until it is unmounted. MOUNTPOINT/file has 1 GiB of zeros; MOUNTPOINT/0 and /1 hold f0, f1, ... of
 *                                       4 KiB, read by passthrough from BACKING, which is registered once, where the kernel has that
 */
#include "bench.h"

#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEEP 3600.0
#define ROOT FUSE_ROOT_ID
#define LARGE 2u /* MOUNTPOINT/file */
#define DIRS 3u  /* two directories from here on */
#define FILES 100u
#define FILES_OF_ONE 1000000u
#define LARGE_BYTES (1ll << 30)
#define SMALL_BYTES 4096

static int backing_fd = -1, backing_id;
static char zeros[1 << 20];

static struct stat attributes(fuse_ino_t ino)
{
	bool is_dir = ino == ROOT || (ino >= DIRS && ino < FILES);
	struct stat st = {.st_ino = ino, .st_nlink = 1, .st_mode = is_dir ? S_IFDIR | 0755 : S_IFREG | 0644};

	if (!is_dir)
		st.st_size = ino == LARGE ? LARGE_BYTES : SMALL_BYTES;
	return st;
}

static fuse_ino_t find(fuse_ino_t parent, const char *name)
{
	if (parent == ROOT && strcmp(name, "file") == 0)
		return LARGE;
	if (parent == ROOT && (strcmp(name, "0") == 0 || strcmp(name, "1") == 0))
		return DIRS + (fuse_ino_t)(name[0] - '0');
	if (parent >= DIRS && parent < FILES && name[0] == 'f')
		return FILES + (parent - DIRS) * FILES_OF_ONE + strtoul(name + 1, NULL, 10);
	return 0;
}

static void lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param entry = {.ino = find(parent, name), .attr_timeout = KEEP, .entry_timeout = KEEP};

	if (!entry.ino) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	entry.attr = attributes(entry.ino);
	fuse_reply_entry(req, &entry);
}

static void getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st = attributes(ino);

	(void)fi;
	fuse_reply_attr(req, &st, KEEP);
}

static void open_file(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	if (ino >= FILES && !backing_id)
		backing_id = fuse_passthrough_open(req, backing_fd);
	if (ino >= FILES && backing_id > 0)
		fi->backing_id = backing_id;
	fi->noflush = 1;
	fuse_reply_open(req, fi);
}

static void read_file(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)ino;
	(void)off;
	(void)fi;
	fuse_reply_buf(req, zeros, size < sizeof(zeros) ? size : sizeof(zeros));
}

static void release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	fuse_reply_err(req, 0);
}

static void init(void *userdata, struct fuse_conn_info *conn)
{
	(void)userdata;
	fuse_set_feature_flag(conn, FUSE_CAP_PASSTHROUGH);
	fuse_unset_feature_flag(conn, FUSE_CAP_SPLICE_READ);
}

static const struct fuse_lowlevel_ops operations = {
	.init = init, .lookup = lookup, .getattr = getattr, .open = open_file, .read = read_file, .release = release};

/* As fuse_session_loop() does, without sleep. */
static void serve_awake(struct fuse_session *session)
{
	struct pollfd look = {.fd = fuse_session_fd(session), .events = POLLIN};
	struct fuse_buf buf = {0};
	int got = 0;

	while (!fuse_session_exited(session) && got >= 0) {
		if (poll(&look, 1, 0) == 0)
			continue;
		got = fuse_session_receive_buf(session, &buf);
		if (got == 0)
			break;
		if (got > 0)
			fuse_session_process_buf(session, &buf);
		got = got == -EINTR ? 0 : got;
	}
	free(buf.mem);
}

int main(int argc, char **argv)
{
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);

	if (argc != 3 && !(argc == 4 && strcmp(argv[3], "poll") == 0)) {
		fprintf(stderr, "usage: floor MOUNTPOINT BACKING [poll]\n");
		return 2;
	}
	backing_fd = open(argv[2], O_RDONLY | O_CLOEXEC);
	need(backing_fd >= 0, argv[2]);
	struct fuse_session *session = fuse_session_new(&args, &operations, sizeof(operations), NULL);
	need(session && fuse_session_mount(session, argv[1]) == 0, argv[1]);
	need(fuse_daemonize(0) == 0, "daemon");
	if (argc == 4)
		serve_awake(session);
	else
		fuse_session_loop(session);
	fuse_session_unmount(session);
	fuse_session_destroy(session);
	return 0;
}
