/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Directories: the target's own listing and cookies, so they are as stable as the target's file system makes them, also over a
 * restart. A listing holds no state between requests but the position of the node's descriptor, which is set again when another
 * listing moved it.
 */
#include "fs/internal.h"

#include "base/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/syscall.h>

#define LIST_BUFFER (64u * 1024)

struct listed {
	uint64_t ino;
	int64_t next; /* the cookie of the entry after this one */
	unsigned short len;
	unsigned char type;
	char name[];
};

struct reply {
	char *buf;
	size_t size, used;
};

static int run_opendir(struct call *call)
{
	struct node *node;

	int result = node_of(call->fs, call->ino, &node);
	if (result < 0)
		return result;
	result = call_names(call, node);
	if (result != CALL_DONE)
		return result;
	call->fi.fh = 0;
	call->fi.keep_cache = 1;
	/* Every change of a populated directory passes through the kernel, which then drops what it keeps. */
	call->fi.cache_readdir = !atomic_load_explicit(&call->fs->uncached, memory_order_relaxed);
	fuse_reply_open(call->req, &call->fi);
	return CALL_DONE;
}

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	call_start(&(struct call){.fs = fs_of(req), .req = req, .run = run_opendir, .ino = ino, .fi = *fi});
}

void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	fuse_reply_err(req, 0);
}

static size_t add_plain(struct call *call, struct reply *reply, const struct listed *entry)
{
	struct stat st = {.st_ino = entry->ino, .st_mode = (mode_t)DTTOIF(entry->type)};

	return fuse_add_direntry(call->req, reply->buf + reply->used, reply->size - reply->used, entry->name, &st, entry->next);
}

static bool is_dot(const char *name)
{
	return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

/* With attributes and a lookup of the kernel's. What cannot be looked up (it has just gone, or something is mounted on it) is
 * listed without. 0: it does not fit. */
static size_t add_plus(struct call *call, struct reply *reply, int dirfd, const struct listed *entry)
{
	struct fuse_entry_param param;
	size_t room = reply->size - reply->used;

	if (is_dot(entry->name)) {
		param = (struct fuse_entry_param){.attr = {.st_ino = entry->ino, .st_mode = S_IFDIR}};
		return fuse_add_direntry_plus(call->req, reply->buf + reply->used, room, entry->name, &param, entry->next);
	}
	if (fuse_add_direntry_plus(call->req, NULL, 0, entry->name, NULL, 0) > room)
		return 0;
	int result = attr_enter(call->fs, dirfd, entry->name, &param);
	if (result == 0 && param.attr.st_dev != call->fs->target->dev) {
		node_forget(call->fs->nodes, param.ino, 1);
		result = -EXDEV;
	}
	if (result < 0) {
		param = (struct fuse_entry_param){.attr = {.st_ino = entry->ino, .st_mode = (mode_t)DTTOIF(entry->type)}};
	}
	return fuse_add_direntry_plus(call->req, reply->buf + reply->used, room, entry->name, &param, entry->next);
}

/* Adds entries until the reply is full. Sets *next to where the listing goes on; true when it is full. */
static bool add_all(struct call *call, struct node *node, int dirfd, const char *buf, long len, struct reply *reply,
                    int64_t *next)
{
	for (long at = 0; at < len;) {
		const struct listed *entry = (const struct listed *)(buf + at);
		at += entry->len;
		if (!is_ours(node, entry->name)) {
			size_t need = call->flags ? add_plus(call, reply, dirfd, entry) : add_plain(call, reply, entry);
			if (need == 0 || need > reply->size - reply->used)
				return true;
			reply->used += need;
		}
		*next = entry->next;
	}
	return false;
}

/* Under node->listing. */
static int list(struct call *call, struct node *node, struct node_fd *dir, struct reply *reply)
{
	CLEAN_FREE char *buf = malloc(LIST_BUFFER);
	int64_t next = (int64_t)call->off;

	if (!buf)
		return -ENOMEM;
	for (;;) {
		if ((next == 0 || next != dir->position) && lseek(dir->fd, next, SEEK_SET) < 0)
			return -errno;
		/* What ends this round early has moved it, or may have: another listing that stands at the old one is to seek. */
		dir->position = -1;
		/* No more than fits, so that the position is where the next request goes on. */
		size_t room = reply->size - reply->used;
		long len = syscall(SYS_getdents64, dir->fd, buf, call->flags || room > LIST_BUFFER ? LIST_BUFFER : room);
		if (len < 0)
			return errno == EINVAL ? 0 : -errno;
		if (len == 0)
			return 0;
		bool full = add_all(call, node, dir->fd, buf, len, reply, &next);
		const struct listed *last = NULL;
		for (long at = 0; at < len; at += last->len)
			last = (const struct listed *)(buf + at);
		dir->position = last->next;
		if (full)
			return 0;
	}
}

static int run_readdir(struct call *call)
{
	struct node *node;
	CLEAN_NODE_FD struct node_fd *fd = NULL;
	struct reply reply = {.size = call->size};

	int result = node_of(call->fs, call->ino, &node);
	if (result < 0)
		return result;
	result = call_names(call, node);
	if (result == CALL_DONE)
		result = node_fd_get(call->fs->nodes, node, NODE_READ, &fd);
	if (result != CALL_DONE)
		return result;
	CLEAN_FREE char *buf = reply.buf = malloc(reply.size);
	if (!buf)
		return -ENOMEM;
	pthread_mutex_lock(&node->listing);
	result = list(call, node, fd, &reply);
	pthread_mutex_unlock(&node->listing);
	if (result < 0 && reply.used == 0)
		return result;
	fuse_reply_buf(call->req, reply.buf, reply.used);
	return CALL_DONE;
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)fi;
	call_start(
		&(struct call){.fs = fs_of(req), .req = req, .run = run_readdir, .ino = ino, .off = (uint64_t)off, .size = size});
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)fi;
	call_start(&(struct call){
		.fs = fs_of(req), .req = req, .run = run_readdir, .ino = ino, .off = (uint64_t)off, .size = size, .flags = 1});
}
