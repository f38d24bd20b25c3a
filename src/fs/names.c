/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Names: what makes, links, moves and removes them. Every call needs the directories populated first; nothing else of what has
 * not come over is needed for any of them, since state follows objects and not paths (I4).
 */
#include "fs/internal.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/stat.h>

/* The directory of a call, populated, and a descriptor of it. CALL_DONE: go on. */
static int open_dir(struct call *call, uint64_t ino, const char *name, struct node **dir, struct node_fd **fd)
{
	int result = node_of(call->fs, ino, dir);

	if (result < 0)
		return result;
	if (name && is_ours(*dir, name))
		return -EPERM;
	result = call_names(call, *dir);
	return result != CALL_DONE ? result : node_fd_get(call->fs->nodes, *dir, NODE_READ, fd);
}

static int reply_made(struct call *call, int dirfd, const char *name)
{
	struct fuse_entry_param entry;
	int result = attr_enter(call->fs, dirfd, name, &entry);

	if (result < 0)
		return result;
	if (fuse_reply_entry(call->req, &entry) < 0)
		node_forget(call->fs->nodes, entry.ino, 1);
	return CALL_DONE;
}

static unsigned how_to_make(const struct call *call)
{
	return call->mode & S_ISGID ? CREDS_GROUPS : 0;
}

/* --- done by another process ---
 *
 * The kernel sends again what was not answered when another process was killed, and that one may have done it. Meanwhile the kernel has
 * kept the directories locked, so the names in them are as it left them. Where it had noted that it begins, what is there tells the rest.
 */

static uint64_t ino_of(int dirfd, const char *name)
{
	struct stat st;

	return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? 0 : st.st_ino;
}

/* Something of this type that is no older than the attempt. */
static bool made_before(const struct call *call, int dirfd, mode_t type)
{
	struct statx st;

	if (statx(dirfd, call->name, AT_SYMLINK_NOFOLLOW, STATX_TYPE | STATX_BTIME, &st) < 0 || (st.stx_mode & S_IFMT) != type)
		return false;
	uint64_t born_ns = (uint64_t)st.stx_btime.tv_sec * NS_PER_S + st.stx_btime.tv_nsec;
	return !(st.stx_mask & STATX_BTIME) || born_ns >= call->change->began_ns;
}

/* --- making --- */

static int make(struct call *call, int dirfd)
{
	int result;

	creds_become(call->req, how_to_make(call));
	if (call->name2)
		result = symlinkat(call->name2, dirfd, call->name);
	else if (S_ISDIR(call->mode))
		result = mkdirat(dirfd, call->name, call->mode & 07777);
	else
		result = mknodat(dirfd, call->name, call->mode, call->rdev);
	result = result < 0 ? -errno : 0;
	creds_return();
	return result;
}

static int run_make(struct call *call)
{
	struct node *dir;
	CLEAN_NODE_FD struct node_fd *fd = NULL;
	int result = open_dir(call, call->ino, call->name, &dir, &fd);

	bool before = result == CALL_DONE && call_attempt(call, 0, 0);
	if (result == CALL_DONE)
		result = make(call, fd->fd);
	if (result == -EEXIST && before && made_before(call, fd->fd, call->mode & S_IFMT))
		result = CALL_DONE;
	return result != CALL_DONE ? result : reply_made(call, fd->fd, call->name);
}

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	call_start(&(struct call){
		.fs = fs_of(req), .req = req, .run = run_make, .ino = parent, .name = name, .mode = mode, .rdev = rdev});
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	call_start(&(struct call){
		.fs = fs_of(req), .req = req, .run = run_make, .ino = parent, .name = name, .mode = S_IFDIR | (mode & 07777)});
}

void op_symlink(fuse_req_t req, const char *link, fuse_ino_t parent, const char *name)
{
	call_start(&(struct call){
		.fs = fs_of(req), .req = req, .run = run_make, .ino = parent, .name = name, .name2 = link, .mode = S_IFLNK});
}

/* Takes the descriptor over. */
static int reply_created(struct call *call, int created, bool has_name)
{
	CLEAN_FD int fd = created;
	struct fuse_entry_param entry;
	struct node *node;
	int result = attr_enter(call->fs, fd, "", &entry);

	if (result < 0)
		return result;
	result = node_of(call->fs, entry.ino, &node);
	if (result < 0) {
		node_forget(call->fs->nodes, entry.ino, 1);
		return result;
	}
	if (has_name)
		fd = node_offer_fd(call->fs->nodes, node, steal_fd(&fd));
	else
		node_pin_fd(call->fs->nodes, node, steal_fd(&fd), true);
	atomic_store(&node->subject.quiet, true); /* it never was at the source */
	file_reply_open(call, node, &entry, false);
	return CALL_DONE;
}

/* An existing file is for open(): ESTALE makes the kernel look the name up once more and come back that way. */
static int create(struct call *call, int dirfd)
{
	bool before = call_attempt(call, 0, 0);

	creds_become(call->req, how_to_make(call));
	int fd = openat(dirfd, call->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, call->mode & 07777);
	int error = errno;
	creds_return();
	if (fd < 0 && error == EEXIST && before && made_before(call, dirfd, S_IFREG))
		fd = openat(dirfd, call->name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error == EEXIST && !(call->fi.flags & O_EXCL) ? -ESTALE : -error;
	return reply_created(call, fd, true);
}

static int run_create(struct call *call)
{
	struct node *dir;
	CLEAN_NODE_FD struct node_fd *fd = NULL;
	int result = open_dir(call, call->ino, call->name, &dir, &fd);

	file_open_again(call);
	return result != CALL_DONE ? result : create(call, fd->fd);
}

void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	call_start(&(struct call){
		.fs = fs_of(req), .req = req, .run = run_create, .ino = parent, .name = name, .mode = mode, .fi = *fi});
}

static int run_tmpfile(struct call *call)
{
	struct node *dir;
	CLEAN_NODE_FD struct node_fd *dirfd = NULL;

	int result = node_of(call->fs, call->ino, &dir);
	if (result < 0)
		return result;
	file_open_again(call);
	result = node_fd_get(call->fs->nodes, dir, NODE_READ, &dirfd);
	if (result < 0)
		return result;
	creds_become(call->req, how_to_make(call));
	int fd = openat(dirfd->fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC | (call->fi.flags & O_EXCL), call->mode & 07777);
	result = fd < 0 ? -errno : 0;
	creds_return();
	return result < 0 ? result : reply_created(call, fd, false);
}

void op_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *fi)
{
	call_start(&(struct call){.fs = fs_of(req), .req = req, .run = run_tmpfile, .ino = parent, .mode = mode, .fi = *fi});
}

/* The flags of what is not all here are not on the target yet. */
static bool is_frozen(struct call *call, struct node *node)
{
	return node && (attr_pending_flags(call->fs, node) & (FS_IMMUTABLE_FL | FS_APPEND_FL));
}

static int run_link(struct call *call)
{
	struct fs *fs = call->fs;
	struct node *node, *dir;
	CLEAN_NODE_FD struct node_fd *fd = NULL;
	CLEAN_NODE_FD struct node_fd *dirfd = NULL;

	int result = node_of(fs, call->ino, &node);
	if (result < 0)
		return result;
	result = open_dir(call, call->ino2, call->name, &dir, &dirfd);
	if (result == CALL_DONE)
		result = node_fd_get(fs->nodes, node, NODE_PATH, &fd);
	if (result < 0 || result == CALL_PARKED)
		return result;
	if (is_frozen(call, node))
		return -EPERM;
	bool before = call_attempt(call, node->subject.ino, 0);
	if (linkat(fd->fd, "", dirfd->fd, call->name, AT_EMPTY_PATH) < 0 &&
	    !(errno == EEXIST && before && ino_of(dirfd->fd, call->name) == node->subject.ino))
		return -errno;
	node->times = TIMES_REAL;
	return reply_made(call, dirfd->fd, call->name);
}

void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname)
{
	call_start(&(struct call){.fs = fs_of(req), .req = req, .run = run_link, .ino = ino, .ino2 = newparent, .name = newname});
}

/* --- removing --- */

/* What is about to lose a name. */
struct victim {
	bool exists;
	struct stat st;
	struct handle handle;
	struct node *node;
};

static int find_victim(struct fs *fs, int dirfd, const char *name, struct victim *victim)
{
	*victim = (struct victim){0};
	if (fstatat(dirfd, name, &victim->st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	int result = target_handle(dirfd, name, &victim->handle);
	if (result < 0)
		return result;
	victim->exists = true;
	return node_peek(fs->nodes, &victim->handle, &victim->node);
}

static struct subject *subject_of(struct call *call, const struct victim *victim)
{
	if (victim->node)
		return &victim->node->subject;
	call->stranger = (struct subject){
		.ino = victim->st.st_ino,
		.handle = victim->handle,
		.is_dir = S_ISDIR(victim->st.st_mode),
		.is_file = S_ISREG(victim->st.st_mode),
	};
	return &call->stranger;
}

static bool is_open(struct node *node)
{
	LOCKED(&node->lock);
	return node->latched > 0;
}

/* Before its name goes: a directory must be populated, or it would look empty; what the kernel knows must stay reachable. */
static int before_removal(struct call *call, struct victim *victim)
{
	if (!victim->exists)
		return CALL_DONE;
	if (is_frozen(call, victim->node))
		return -EPERM;
	if (S_ISDIR(victim->st.st_mode)) {
		struct event event = {.kind = EVENT_NAMES, .fd = -1};
		int result = call_event(call, subject_of(call, victim), &event, NULL);
		if (result != CALL_DONE)
			return result;
	}
	if (!victim->node || (!S_ISDIR(victim->st.st_mode) && victim->st.st_nlink > 1))
		return CALL_DONE;
	int result = node_pin(call->fs->nodes, victim->node);
	if (result >= 0 && is_open(victim->node))
		node_hold(call->fs->nodes, victim->node);
	return result;
}

/* What was pinned for nothing: descriptors are few. */
static int not_removed(struct call *call, struct victim *victim, int error)
{
	if (victim->node)
		node_unpin(call->fs->nodes, victim->node);
	return error;
}

static void after_removal(struct call *call, struct victim *victim)
{
	if (!victim->exists || !S_ISREG(victim->st.st_mode))
		return;
	if (victim->node)
		victim->node->times = TIMES_REAL;
	struct event event = {.kind = EVENT_REMOVED, .off = victim->st.st_nlink - 1, .fd = -1};
	monitor_begin(call->fs->monitor, subject_of(call, victim), &event, NULL, NULL);
}

static int run_remove(struct call *call)
{
	struct node *dir;
	CLEAN_NODE_FD struct node_fd *fd = NULL;
	struct victim victim;
	int result = open_dir(call, call->ino, call->name, &dir, &fd);

	if (result == CALL_DONE)
		result = find_victim(call->fs, fd->fd, call->name, &victim);
	if (result == CALL_DONE && (!call->flags || S_ISDIR(victim.st.st_mode)))
		result = before_removal(call, &victim);
	if (result != CALL_DONE)
		return result;
	bool before = call_attempt(call, 0, victim.exists ? victim.st.st_ino : 0);
	bool removed = before && !victim.exists && call->change->victim;
	if (!removed && unlinkat(fd->fd, call->name, call->flags) < 0)
		return not_removed(call, &victim, -errno);
	after_removal(call, &victim);
	fuse_reply_err(call->req, 0);
	return CALL_DONE;
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	call_start(&(struct call){.fs = fs_of(req), .req = req, .run = run_remove, .ino = parent, .name = name});
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	call_start(&(struct call){
		.fs = fs_of(req), .req = req, .run = run_remove, .ino = parent, .name = name, .flags = AT_REMOVEDIR});
}

/* Two names of one file are left as they are by a rename, so that can be done again. */
static bool renamed_before(struct call *call, int from_fd, int to_fd)
{
	struct memory_change *change = call->resent ? kept_change_find(call->fs->kept, call->unique) : NULL;

	return change && change->moved && ino_of(to_fd, call->name2) == change->moved &&
	       ino_of(from_fd, call->name) != change->moved;
}

static int run_rename(struct call *call)
{
	struct node *from, *to;
	CLEAN_NODE_FD struct node_fd *from_fd = NULL;
	CLEAN_NODE_FD struct node_fd *to_fd = NULL;
	struct victim moved, victim = {0};
	int result = open_dir(call, call->ino, call->name, &from, &from_fd);

	if (result == CALL_DONE)
		result = open_dir(call, call->ino2, call->name2, &to, &to_fd);
	if (result == CALL_DONE && renamed_before(call, from_fd->fd, to_fd->fd)) {
		call_attempt(call, 0, 0); /* it is answered now */
		fuse_reply_err(call->req, 0);
		return CALL_DONE;
	}
	if (result == CALL_DONE && !(call->flags & (RENAME_EXCHANGE | RENAME_NOREPLACE)))
		result = find_victim(call->fs, to_fd->fd, call->name2, &victim);
	if (result == CALL_DONE)
		result = before_removal(call, &victim);
	if (result == CALL_DONE)
		result = find_victim(call->fs, from_fd->fd, call->name, &moved);
	if (result == CALL_DONE && is_frozen(call, moved.node))
		result = -EPERM;
	if (result != CALL_DONE)
		return result;
	call_attempt(call, moved.exists ? moved.st.st_ino : 0, victim.exists ? victim.st.st_ino : 0);
	bool same = victim.exists && moved.exists && moved.st.st_ino == victim.st.st_ino;
	if (renameat2(from_fd->fd, call->name, to_fd->fd, call->name2, (unsigned)call->flags) < 0)
		return not_removed(call, &victim, -errno);
	if (!same) /* two names of one file: nothing happens */
		after_removal(call, &victim);
	fuse_reply_err(call->req, 0);
	return CALL_DONE;
}

void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent, const char *newname, unsigned int flags)
{
	call_start(&(struct call){.fs = fs_of(req),
	                          .req = req,
	                          .run = run_rename,
	                          .ino = parent,
	                          .name = name,
	                          .ino2 = newparent,
	                          .name2 = newname,
	                          .flags = (int)flags});
}
