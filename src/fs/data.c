/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Data of files that are not in passthrough: read, write, fallocate, lseek, copy_file_range.
 */
#include "fs/internal.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>

#define READ_MAX (1u << 20)

/* --- read --- */

static __thread void *buffer; /* one for each thread, for its life */

static void *read_buffer(void)
{
	if (!buffer)
		buffer = malloc(READ_MAX);
	return buffer;
}

void data_thread_stop(void *context)
{
	free(buffer);
	buffer = NULL;
}

static int run_read(struct call *call)
{
	struct node *node;
	struct event event = {.kind = EVENT_READ, .off = call->off, .len = call->size, .fd = -1};
	CLEAN_NODE_FD struct node_fd *fd = NULL;
	uint64_t epoch;
	ssize_t got;

	int result = node_of(call->fs, call->ino, &node);
	if (result == 0 && !read_buffer())
		result = -ENOMEM;
	if (result < 0)
		return result;
	do { /* again, when the file was emptied below us, to come anew */
		epoch = monitor_epoch(call->fs->monitor, &node->subject);
		result = call_event(call, &node->subject, &event, NULL);
		if (result == CALL_DONE && !fd)
			result = node_fd_get(call->fs->nodes, node, NODE_READ, &fd);
		if (result != CALL_DONE)
			return result;
		got = pread(fd->fd, buffer, call->size < READ_MAX ? call->size : READ_MAX, (off_t)call->off);
		if (got < 0)
			return -errno;
	} while (epoch != monitor_epoch(call->fs->monitor, &node->subject));
	fuse_reply_buf(call->req, buffer, (size_t)got);
	return CALL_DONE;
}

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)fi;
	call_start(&(struct call){.fs = fs_of(req), .req = req, .run = run_read, .ino = ino, .off = (uint64_t)off, .size = size});
}

/* --- write --- */

static int write_all(int fd, const char *data, size_t len, uint64_t off)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pwrite(fd, data + done, len - done, (off_t)(off + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && done == 0)
			return -errno;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return (int)done;
}

static void answer_write(struct call *call)
{
	fuse_reply_write(call->req, call->answer_value);
}

static int run_write(struct call *call)
{
	struct node *node;
	struct event event = {.kind = EVENT_WRITE, .off = call->off, .len = call->data_len, .fd = -1};
	CLEAN_NODE_FD struct node_fd *fd = NULL;
	bool held;

	int result = node_of(call->fs, call->ino, &node);
	if (result < 0)
		return result;
	result = call_event(call, &node->subject, &event, &held);
	if (result != CALL_DONE)
		return result;
	result = node_fd_get(call->fs->nodes, node, NODE_WRITE, &fd);
	if (result >= 0)
		result = write_all(fd->fd, call->data, call->data_len, call->off);
	int written = result;
	if (result >= 0 && call->fi.kill_suidgid)
		result = attr_kill_privileges(call->req, fd->fd);
	node->times = TIMES_REAL;
	if (held) {
		/* A segment that was to be covered whole and was not is still the source's: all or nothing here. */
		if (written >= 0 && (size_t)written < call->data_len)
			written = result = -ENOSPC;
		event.fd = fd ? fd->fd : -1;
		event.error = result < 0 ? result : 0;
		int ended = call_end(call, &node->subject, &event, answer_write, (uint64_t)(written < 0 ? 0 : written));
		if (ended != CALL_DONE)
			return ended;
	}
	if (result < 0)
		return result;
	fuse_reply_write(call->req, (size_t)written);
	return CALL_DONE;
}

void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off, struct fuse_file_info *fi)
{
	call_start(&(struct call){.fs = fs_of(req),
	                          .req = req,
	                          .run = run_write,
	                          .ino = ino,
	                          .off = (uint64_t)off,
	                          .data = buf,
	                          .data_len = size,
	                          .fi = *fi});
}

/* --- fallocate --- */

static void answer_ok(struct call *call)
{
	fuse_reply_err(call->req, 0);
}

static int run_fallocate(struct call *call)
{
	struct node *node;
	CLEAN_NODE_FD struct node_fd *fd = NULL;
	bool zeros = call->flags & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE);
	struct event event = {
		.kind = zeros ? EVENT_PUNCH : EVENT_WRITE, .off = call->off, .len = zeros ? call->size : 0, .fd = -1};
	bool held;

	int result = node_of(call->fs, call->ino, &node);
	if (result < 0)
		return result;
	result = call_event(call, &node->subject, &event, &held);
	if (result != CALL_DONE)
		return result;
	result = node_fd_get(call->fs->nodes, node, NODE_WRITE, &fd);
	if (result >= 0 && fallocate(fd->fd, call->flags, (off_t)call->off, (off_t)call->size) < 0)
		result = -errno;
	node->times = TIMES_REAL;
	if (held) {
		event.fd = fd ? fd->fd : -1;
		event.error = result;
		int ended = call_end(call, &node->subject, &event, answer_ok, 0);
		if (ended != CALL_DONE)
			return notice_failure(call->fs, call->ino, ended);
	}
	if (result >= 0)
		fuse_reply_err(call->req, 0);
	return notice_failure(call->fs, call->ino, result);
}

void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length, struct fuse_file_info *fi)
{
	(void)fi;
	call_start(&(struct call){.fs = fs_of(req),
	                          .req = req,
	                          .run = run_fallocate,
	                          .ino = ino,
	                          .flags = mode,
	                          .off = (uint64_t)offset,
	                          .size = (uint64_t)length});
}

/* --- lseek --- */

/* What has not come over counts as data: whether it is a hole only the source knows. */
static int64_t seek(struct fs *fs, struct node *node, int fd, uint64_t off, int whence)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (off >= (uint64_t)st.st_size)
		return -ENXIO;
	while (off < (uint64_t)st.st_size) {
		uint64_t run;
		bool here = monitor_resident(fs->monitor, &node->subject, off, &run);
		uint64_t end = run > (uint64_t)st.st_size - off ? (uint64_t)st.st_size : off + run;
		if (!here && whence == SEEK_DATA)
			return (int64_t)off;
		if (here) {
			off_t found = lseek(fd, (off_t)off, whence);
			if (found >= 0 && (uint64_t)found < end)
				return found;
			if (found < 0 && errno != ENXIO)
				return -errno;
		}
		off = end;
	}
	return whence == SEEK_HOLE ? (int64_t)st.st_size : -ENXIO;
}

static int run_lseek(struct call *call)
{
	struct node *node;
	CLEAN_NODE_FD struct node_fd *fd = NULL;

	int result = node_of(call->fs, call->ino, &node);
	if (result < 0)
		return result;
	result = node_fd_get(call->fs->nodes, node, NODE_READ, &fd);
	if (result < 0)
		return result;
	int64_t found = seek(call->fs, node, fd->fd, call->off, call->flags);
	if (found < 0)
		return (int)found;
	fuse_reply_lseek(call->req, found);
	return CALL_DONE;
}

void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
	(void)fi;
	call_start(&(struct call){
		.fs = fs_of(req), .req = req, .run = run_lseek, .ino = ino, .off = (uint64_t)off, .flags = whence});
}

/* --- copy_file_range --- */

/* All of [off, off+size) or an error, unless the file to read from ends. */
static int64_t copy_range(struct call *call, int from, int to, uint64_t size)
{
	off_t in = (off_t)call->off, out = (off_t)call->off2;
	uint64_t done = 0;

	while (done < size) {
		ssize_t n = copy_file_range(from, &in, to, &out, size - done, (unsigned)call->flags);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return done ? (int64_t)done : -errno;
		if (n == 0)
			break;
		done += (uint64_t)n;
	}
	return (int64_t)done;
}

static uint64_t bytes_to_copy(const struct call *call, int from)
{
	struct stat st;

	if (fstat(from, &st) < 0 || (uint64_t)st.st_size <= call->off)
		return 0;
	uint64_t rest = (uint64_t)st.st_size - call->off;
	return rest < call->size ? rest : call->size;
}

/* Under the hold, if there is one. Segments are taken whole or not at all, so a copy that stops in one is a failure. */
static int64_t copy_held(struct call *call, struct node *to, int from, struct event *event, struct node_fd **fd, bool held)
{
	int result = node_fd_get(call->fs->nodes, to, NODE_WRITE, fd);
	int64_t copied = result < 0 ? result : copy_range(call, from, (*fd)->fd, event->len);

	if (held && copied >= 0 && (uint64_t)copied < event->len)
		copied = -ENOSPC;
	event->fd = *fd ? (*fd)->fd : -1;
	event->error = copied < 0 ? (int)copied : 0;
	return copied;
}

/* What was read while it went away is none of the file's, and not taken for written: all is done again. */
static void undo_copy(struct call *call, struct node *to, struct event *write, bool held)
{
	write->error = -ECANCELED;
	if (held)
		monitor_end(call->fs->monitor, &to->subject, write, NULL);
}

static int run_copy(struct call *call)
{
	struct node *from, *to;
	CLEAN_NODE_FD struct node_fd *from_fd = NULL;
	CLEAN_NODE_FD struct node_fd *fd = NULL;
	struct event read = {.kind = EVENT_STORED, .off = call->off, .len = call->size, .fd = -1};
	struct event write = {.kind = EVENT_WRITE, .off = call->off2, .fd = -1};
	bool held;

	int result = node_of(call->fs, call->ino, &from);
	if (result == 0)
		result = node_of(call->fs, call->ino2, &to);
	if (result < 0)
		return result;
	uint64_t epoch = monitor_epoch(call->fs->monitor, &from->subject);
	result = node_fd_get(call->fs->nodes, from, NODE_READ, &from_fd);
	if (result == CALL_DONE)
		result = call_event(call, &from->subject, &read, NULL);
	if (result != CALL_DONE)
		return result;
	write.len = bytes_to_copy(call, from_fd->fd);
	result = call_event(call, &to->subject, &write, &held);
	if (result != CALL_DONE)
		return result;
	int64_t copied = copy_held(call, to, from_fd->fd, &write, &fd, held);
	to->times = TIMES_REAL;
	if (epoch != monitor_epoch(call->fs->monitor, &from->subject)) {
		undo_copy(call, to, &write, held);
		return run_copy(call);
	}
	if (held) {
		int ended = call_end(call, &to->subject, &write, answer_write, (uint64_t)(copied < 0 ? 0 : copied));
		if (ended != CALL_DONE)
			return notice_failure(call->fs, call->ino2, ended);
	}
	if (copied < 0)
		return notice_failure(call->fs, call->ino2, (int)copied);
	fuse_reply_write(call->req, (size_t)copied);
	return CALL_DONE;
}

/* One request at a time covers at most this much, so that a reader of the same file is not kept waiting by a huge copy. */
#define COPY_MAX (64u << 20)

void op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in, struct fuse_file_info *fi_in, fuse_ino_t ino_out,
                        off_t off_out, struct fuse_file_info *fi_out, size_t len, int flags)
{
	(void)fi_in;
	(void)fi_out;
	call_start(&(struct call){.fs = fs_of(req),
	                          .req = req,
	                          .run = run_copy,
	                          .ino = ino_in,
	                          .off = (uint64_t)off_in,
	                          .ino2 = ino_out,
	                          .off2 = (uint64_t)off_out,
	                          .size = len < COPY_MAX ? len : COPY_MAX,
	                          .flags = flags});
}
