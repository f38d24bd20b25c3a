/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Extended attributes, ACLs among them, and inode flags. They live on the target from the moment an object is there.
 */
#include "fs/internal.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>

#define ACL_ACCESS "system.posix_acl_access"

__thread bool setxattr_kills_sgid;

static bool is_mark(const struct node *node, const char *name)
{
	return node->is_root && strcmp(name, TARGET_MARK) == 0;
}

static void answer_ok(struct call *call)
{
	fuse_reply_err(call->req, 0);
}

/* A change of attributes by `apply`, between the events that it needs. */
static int change(struct call *call, int (*apply)(struct call *call, int fd))
{
	struct node *node;
	CLEAN_NODE_FD struct node_fd *fd = NULL;
	struct event event = {.kind = EVENT_CHANGE, .fd = -1};
	bool held;

	int result = node_of(call->fs, call->ino, &node);
	if (result < 0)
		return result;
	if (call->name && is_mark(node, call->name))
		return -EPERM;
	result = call_event(call, &node->subject, &event, &held);
	if (result != CALL_DONE)
		return result;
	result = node_fd_get(call->fs->nodes, node, NODE_PATH, &fd);
	if (result >= 0)
		result = apply(call, fd->fd);
	node->times = TIMES_REAL;
	if (held) {
		event.fd = fd ? fd->fd : -1;
		event.error = result;
		int ended = call_end(call, &node->subject, &event, answer_ok, 0);
		if (ended != CALL_DONE)
			return ended;
	}
	if (result >= 0)
		fuse_reply_err(call->req, 0);
	return result;
}

static int clear_group_id(const char *path, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	return (st.st_mode & S_ISGID) && chmod(path, st.st_mode & 07777 & ~(mode_t)S_ISGID) < 0 ? -errno : 0;
}

/* Another process has set it, and was killed before it could say so. */
static bool has_value(const struct call *call, const char *path)
{
	CLEAN_FREE char *value = malloc(call->data_len + 1);

	return value && getxattr(path, call->name, value, call->data_len + 1) == (ssize_t)call->data_len &&
	       memcmp(value, call->data, call->data_len) == 0;
}

static int apply_set(struct call *call, int fd)
{
	char path[FD_PATH_SIZE];

	bool before = (call->flags & XATTR_CREATE) && call_attempt(call, 0, 0);
	if (setxattr(target_fd_path(fd, path), call->name, call->data, call->data_len, call->flags) < 0 &&
	    !(errno == EEXIST && before && has_value(call, path)))
		return -errno;
	return call->valid ? clear_group_id(path, fd) : 0;
}

static int run_setxattr(struct call *call)
{
	return change(call, apply_set);
}

void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags)
{
	call_start(&(struct call){.fs = fs_of(req),
	                          .req = req,
	                          .run = run_setxattr,
	                          .ino = ino,
	                          .name = name,
	                          .data = value,
	                          .data_len = size,
	                          .flags = flags,
	                          .valid = setxattr_kills_sgid && strcmp(name, ACL_ACCESS) == 0});
}

static int apply_remove(struct call *call, int fd)
{
	char path[FD_PATH_SIZE];

	bool before = call_attempt(call, 0, 0); /* by another process, perhaps wholly */
	if (removexattr(target_fd_path(fd, path), call->name) < 0 && !(errno == ENODATA && before))
		return -errno;
	return 0;
}

static int run_removexattr(struct call *call)
{
	return change(call, apply_remove);
}

void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	call_start(&(struct call){.fs = fs_of(req), .req = req, .run = run_removexattr, .ino = ino, .name = name});
}

static int run_getxattr(struct call *call)
{
	struct node *node;
	CLEAN_NODE_FD struct node_fd *fd = NULL;
	char path[FD_PATH_SIZE];

	int result = node_of(call->fs, call->ino, &node);
	if (result < 0)
		return result;
	if (is_mark(node, call->name))
		return -ENODATA;
	result = node_fd_get(call->fs->nodes, node, NODE_PATH, &fd);
	if (result < 0)
		return result;
	CLEAN_FREE char *value = call->size ? malloc(call->size) : NULL;
	if (call->size && !value)
		return -ENOMEM;
	ssize_t len = getxattr(target_fd_path(fd->fd, path), call->name, value, call->size);
	if (len < 0)
		return -errno;
	if (call->size == 0)
		fuse_reply_xattr(call->req, (size_t)len);
	else
		fuse_reply_buf(call->req, value, (size_t)len);
	return CALL_DONE;
}

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	call_start(&(struct call){.fs = fs_of(req), .req = req, .run = run_getxattr, .ino = ino, .name = name, .size = size});
}

/* --- lists of names --- */

/* Our mark is nobody's business, and trusted.* is not for users (xattr(7)). */
static bool is_shown(const struct node *node, const char *name, bool to_root)
{
	return !is_mark(node, name) && (to_root || strncmp(name, "trusted.", strlen("trusted.")) != 0);
}

static size_t keep_shown(const struct node *node, char *names, size_t len, bool to_root)
{
	size_t kept = 0;

	for (size_t at = 0, step; at < len; at += step) {
		step = strlen(names + at) + 1;
		if (!is_shown(node, names + at, to_root))
			continue;
		memmove(names + kept, names + at, step);
		kept += step;
	}
	return kept;
}

static int run_listxattr(struct call *call)
{
	struct node *node;
	CLEAN_NODE_FD struct node_fd *fd = NULL;
	CLEAN_FREE char *names = malloc(XATTR_LIST_MAX);
	char path[FD_PATH_SIZE];

	int result = names ? node_of(call->fs, call->ino, &node) : -ENOMEM;
	if (result < 0)
		return result;
	result = node_fd_get(call->fs->nodes, node, NODE_PATH, &fd);
	if (result < 0)
		return result;
	ssize_t all = listxattr(target_fd_path(fd->fd, path), names, XATTR_LIST_MAX);
	if (all < 0)
		return -errno;
	size_t len = keep_shown(node, names, (size_t)all, fuse_req_ctx(call->req)->uid == 0);
	if (call->size && len > call->size)
		return -ERANGE;
	if (call->size == 0)
		fuse_reply_xattr(call->req, len);
	else
		fuse_reply_buf(call->req, names, len);
	return CALL_DONE;
}

void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	call_start(&(struct call){.fs = fs_of(req), .req = req, .run = run_listxattr, .ino = ino, .size = size});
}

/* --- inode flags --- */

static int get_flags(struct call *call, struct node *node, int fd)
{
	struct attr_overlay overlay = {0};
	unsigned int flags;

	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
		return -errno;
	monitor_attr(call->fs->monitor, &node->subject, &overlay);
	flags |= overlay.inode_flags; /* some are set only when all is here */
	fuse_reply_ioctl(call->req, 0, &flags, sizeof(flags));
	return CALL_DONE;
}

static int set_flags(struct call *call, int fd)
{
	unsigned int flags;

	if (call->data_len < sizeof(flags))
		return -EINVAL;
	memcpy(&flags, call->data, sizeof(flags));
	if (ioctl(fd, FS_IOC_SETFLAGS, &flags) < 0)
		return -errno;
	fuse_reply_ioctl(call->req, 0, NULL, 0);
	return CALL_DONE;
}

static int get_attributes(struct call *call, int fd)
{
	struct fsxattr attributes;

	if (ioctl(fd, FS_IOC_FSGETXATTR, &attributes) < 0)
		return -errno;
	fuse_reply_ioctl(call->req, 0, &attributes, sizeof(attributes));
	return CALL_DONE;
}

static int set_attributes(struct call *call, int fd)
{
	struct fsxattr attributes;

	if (call->data_len < sizeof(attributes))
		return -EINVAL;
	memcpy(&attributes, call->data, sizeof(attributes));
	if (ioctl(fd, FS_IOC_FSSETXATTR, &attributes) < 0)
		return -errno;
	fuse_reply_ioctl(call->req, 0, NULL, 0);
	return CALL_DONE;
}

/* An immutable or append-only file could not take its data any more, so all of it comes first. */
static int need_all(struct call *call, struct node *node)
{
	struct event event = {.kind = EVENT_WHOLE, .fd = -1};

	return call_event(call, &node->subject, &event, NULL);
}

static int run_ioctl(struct call *call)
{
	struct node *node;
	CLEAN_NODE_FD struct node_fd *fd = NULL;
	bool sets = (unsigned)call->flags == FS_IOC_SETFLAGS || (unsigned)call->flags == FS_IOC_FSSETXATTR;

	int result = node_of(call->fs, call->ino, &node);
	if (result < 0)
		return result;
	result = sets ? need_all(call, node) : CALL_DONE;
	if (result == CALL_DONE)
		result = node_fd_get(call->fs->nodes, node, NODE_READ, &fd);
	if (result != CALL_DONE)
		return result;
	switch ((unsigned)call->flags) {
	case FS_IOC_GETFLAGS:
		return get_flags(call, node, fd->fd);
	case FS_IOC_SETFLAGS:
		return set_flags(call, fd->fd);
	case FS_IOC_FSGETXATTR:
		return get_attributes(call, fd->fd);
	case FS_IOC_FSSETXATTR:
		return set_attributes(call, fd->fd);
	default:
		return -ENOTTY;
	}
}

void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int cmd, void *arg, struct fuse_file_info *fi, unsigned flags,
              const void *in_buf, size_t in_bufsz, size_t out_bufsz)
{
	(void)arg;
	(void)fi;
	(void)flags;
	(void)out_bufsz;
	call_start(&(struct call){.fs = fs_of(req),
	                          .req = req,
	                          .run = run_ioctl,
	                          .ino = ino,
	                          .flags = (int)cmd,
	                          .data = in_bufsz ? in_buf : NULL,
	                          .data_len = in_bufsz});
}
