/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Attributes: lookup, getattr, setattr, statfs, readlink.
 */
#include "fs/internal.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

/* All changes pass through us, so the kernel may keep what it knows; what is not all here changes by itself. */
#define KEEP_LONG 3600.0
#define KEEP_SHORT 1.0

bool is_ours(const struct node *dir, const char *name)
{
	return dir->is_root && strcmp(name, TARGET_OURS) == 0;
}

double entry_timeout(const struct fs *fs)
{
	return atomic_load_explicit(&fs->uncached, memory_order_relaxed) ? 0 : KEEP_LONG;
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* The change time that programs saw must not move because we wrote the file's data: tar and backups take that for a change. */
static void hold_times(struct node *node, struct stat *st, const struct attr_overlay *overlay)
{
	LOCKED(&node->lock);
	if (overlay->has_ctime) {
		node->times = TIMES_SUBSTITUTED;
		node->shown_ctime = overlay->ctime;
	} else if (node->times == TIMES_SUBSTITUTED) {
		node->times = TIMES_HELD;
		node->real_ctime = st->st_ctim;
	} else if (node->times == TIMES_HELD && !same_time(node->real_ctime, st->st_ctim)) {
		node->times = TIMES_REAL;
	}
	if (node->times != TIMES_REAL)
		st->st_ctim = node->shown_ctime;
}

uint32_t attr_pending_flags(struct fs *fs, struct node *node)
{
	struct attr_overlay overlay = {0};

	if (!subject_quiet(&node->subject))
		monitor_attr(fs->monitor, &node->subject, &overlay);
	return overlay.inode_flags;
}

/* What is shown of it, and how long the kernel may keep that: what is not all here is substituted, by an overlay that was got before the attributes were: a file that has come over in between
 * would be shown as it was while it was written, and kept so. */
static double show(struct fs *fs, struct node *node, struct stat *st, const struct attr_overlay *overlay)
{
	if (overlay->has_mtime)
		st->st_mtim = overlay->mtime;
	hold_times(node, st, overlay);
	if ((uint64_t)st->st_blocks < overlay->blocks)
		st->st_blocks = (blkcnt_t)overlay->blocks;
	if (overlay->has_nlink)
		st->st_nlink = overlay->nlink;
	else if (node->is_root && st->st_nlink > 2) /* 1: the file system does not count directories */
		st->st_nlink--;                     /* our own directory */
	/* A directory gets its last size and change time when it is populated: who opens it then must see these, not those of before. */
	bool empty_yet = node->subject.is_dir && overlay->has_mtime;
	if (atomic_load_explicit(&fs->uncached, memory_order_relaxed) || node->writers || empty_yet)
		return 0;
	return overlay->quiet && !overlay->has_nlink ? KEEP_LONG : KEEP_SHORT;
}

/* The attributes anew, since those that we have may be older than what the monitors say. */
static int look_again(int dirfd, const char *name, struct stat *st)
{
	ino_t ino = st->st_ino;

	if (fstatat(dirfd, name, st, *name ? AT_SYMLINK_NOFOLLOW : AT_EMPTY_PATH) < 0)
		return -errno;
	return st->st_ino == ino ? 0 : -ESTALE;
}

int attr_enter(struct fs *fs, int dirfd, const char *name, struct fuse_entry_param *entry)
{
	struct attr_overlay overlay = {0};
	struct handle handle;

	*entry = (struct fuse_entry_param){.entry_timeout = entry_timeout(fs)};
	uint64_t settled = monitor_settled(fs->monitor);
	if (fstatat(dirfd, name, &entry->attr, *name ? AT_SYMLINK_NOFOLLOW : AT_EMPTY_PATH) < 0)
		return -errno;
	int result = target_handle(dirfd, name, &handle);
	if (result < 0)
		return result;
	struct node *node = node_enter(fs->nodes, &handle, &entry->attr);
	entry->ino = node->id;
	monitor_attr(fs->monitor, &node->subject, &overlay);
	if (settled != monitor_settled(fs->monitor))
		result = look_again(dirfd, name, &entry->attr);
	if (result >= 0)
		entry->attr_timeout = show(fs, node, &entry->attr, &overlay);
	node_leave(fs->nodes, node);
	if (result < 0)
		node_forget(fs->nodes, entry->ino, 1);
	return result;
}

/* --- lookup --- */

/* A name that is not there may be remembered as well. */
static int reply_absent(struct call *call)
{
	struct fuse_entry_param entry = {.entry_timeout = entry_timeout(call->fs)};

	fuse_reply_entry(call->req, &entry);
	return CALL_DONE;
}

/* "." and ".." are asked for by those who hold file handles of the mount (NFS servers). */
static int lookup_dot(struct call *call, struct node *node)
{
	struct fuse_entry_param entry;
	CLEAN_NODE_FD struct node_fd *fd = NULL;
	bool up = call->name[1] == '.';
	int result = node_fd_get(call->fs->nodes, node, NODE_PATH, &fd);

	if (result < 0)
		return result;
	if (up && node->is_root)
		return -ENOENT;
	result = attr_enter(call->fs, fd->fd, up ? ".." : "", &entry);
	if (result >= 0)
		fuse_reply_entry(call->req, &entry);
	return result < 0 ? result : CALL_DONE;
}

static int run_lookup(struct call *call)
{
	struct fs *fs = call->fs;
	struct node *parent;
	CLEAN_NODE_FD struct node_fd *dir = NULL;
	struct fuse_entry_param entry;

	int result = node_of(fs, call->ino, &parent);
	if (result < 0)
		return result;
	if (strcmp(call->name, ".") == 0 || strcmp(call->name, "..") == 0)
		return lookup_dot(call, parent);
	if (is_ours(parent, call->name))
		return reply_absent(call);
	result = call_names(call, parent);
	if (result != CALL_DONE)
		return result;
	result = node_fd_get(fs->nodes, parent, NODE_PATH, &dir);
	if (result < 0)
		return result;
	result = attr_enter(fs, dir->fd, call->name, &entry);
	if (result == -ENOENT)
		return reply_absent(call);
	if (result < 0)
		return result;
	if (entry.attr.st_dev != fs->target->dev) { /* something is mounted below the target: not ours to show */
		node_forget(fs->nodes, entry.ino, 1);
		return -EXDEV;
	}
	if (fuse_reply_entry(call->req, &entry) < 0)
		node_forget(fs->nodes, entry.ino, 1);
	return CALL_DONE;
}

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	call_start(&(struct call){.fs = fs_of(req), .req = req, .run = run_lookup, .ino = parent, .name = name});
}

void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookups)
{
	node_forget(fs_of(req)->nodes, ino, lookups);
	fuse_reply_none(req);
}

void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		node_forget(fs_of(req)->nodes, forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

/* --- getattr --- */

static int stat_node(struct fs *fs, struct node *node, struct stat *st)
{
	CLEAN_NODE_FD struct node_fd *fd = NULL;
	int result = node_fd_get(fs->nodes, node, NODE_PATH, &fd);

	if (result < 0)
		return result;
	return fstat(fd->fd, st) < 0 ? -errno : 0;
}

static int run_getattr(struct call *call)
{
	struct node *node;
	struct attr_overlay overlay = {0};
	struct stat st;

	int result = node_of(call->fs, call->ino, &node);
	if (result < 0)
		return result;
	monitor_attr(call->fs->monitor, &node->subject, &overlay);
	result = stat_node(call->fs, node, &st);
	if (result < 0)
		return result;
	double timeout = show(call->fs, node, &st, &overlay);
	fuse_reply_attr(call->req, &st, timeout);
	return CALL_DONE;
}

/* The answer of a change of attributes: what they are now. */
static void answer_attr(struct call *call)
{
	int result = run_getattr(call);

	if (result < 0)
		fuse_reply_err(call->req, -result);
}

void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)fi;
	call_start(&(struct call){.fs = fs_of(req), .req = req, .run = run_getattr, .ino = ino});
}

/* --- setattr --- */

#define SETS_TIMES (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME)

/* Whether the set-group-ID bit stays depends on the caller's groups. */
static int chown_as_caller(fuse_req_t req, int fd, uid_t uid, gid_t gid, unsigned how)
{
	creds_become(req, CREDS_GROUPS | how);
	int result = fchownat(fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
	creds_return();
	return result;
}

/* A change of owner that changes nothing takes set-id bits and capabilities away by the rules of the file system, which depend on
 * the caller and its groups. */
static int kill_as_caller(fuse_req_t req, int fd, unsigned how)
{
	return chown_as_caller(req, fd, (uid_t)-1, (gid_t)-1, how);
}

/* Capabilities went with the write itself. */
int attr_kill_privileges(fuse_req_t req, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	return st.st_mode & (S_ISUID | S_ISGID) ? kill_as_caller(req, fd, CREDS_OWNER) : 0;
}

static int set_owner(fuse_req_t req, int fd, const struct stat *attr, int valid)
{
	uid_t uid = valid & FUSE_SET_ATTR_UID ? attr->st_uid : (uid_t)-1;
	gid_t gid = valid & FUSE_SET_ATTR_GID ? attr->st_gid : (gid_t)-1;

	return chown_as_caller(req, fd, uid, gid, CREDS_OWNER);
}

static struct timespec time_to_set(int valid, int set, int now, struct timespec time)
{
	if (valid & now)
		return (struct timespec){.tv_nsec = UTIME_NOW};
	return valid & set ? time : (struct timespec){.tv_nsec = UTIME_OMIT};
}

static int set_times(int fd, const struct stat *attr, int valid)
{
	struct timespec times[2] = {
		time_to_set(valid, FUSE_SET_ATTR_ATIME, FUSE_SET_ATTR_ATIME_NOW, attr->st_atim),
		time_to_set(valid, FUSE_SET_ATTR_MTIME, FUSE_SET_ATTR_MTIME_NOW, attr->st_mtim),
	};
	return utimensat(fd, "", times, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

static int apply(const struct call *call, const struct node *node, int fd)
{
	const struct stat *attr = &call->attr;
	char path[FD_PATH_SIZE];
	int result = 0;

	/* A write in passthrough or through the cache takes privileges away; or chown(2) without owners, which is the owner's. */
	if (call->valid == 0)
		return kill_as_caller(call->req, fd, node->writers ? CREDS_OWNER : 0);
	if (call->valid & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID))
		result = set_owner(call->req, fd, attr, call->valid);
	if (result >= 0 && (call->valid & FUSE_SET_ATTR_MODE) && chmod(target_fd_path(fd, path), attr->st_mode & 07777) < 0)
		result = -errno;
	if (result >= 0 && (call->valid & FUSE_SET_ATTR_SIZE) && ftruncate(fd, attr->st_size) < 0)
		result = -errno;
	if (result >= 0 && (call->valid & FUSE_SET_ATTR_SIZE) &&
	    (call->valid & (FUSE_SET_ATTR_KILL_SUID | FUSE_SET_ATTR_KILL_SGID)))
		result = attr_kill_privileges(call->req, fd);
	if (result >= 0 && (call->valid & SETS_TIMES))
		result = set_times(fd, attr, call->valid);
	return result;
}

static enum event_kind change_of(int valid)
{
	if (valid & FUSE_SET_ATTR_SIZE)
		return EVENT_RESIZE;
	return valid & SETS_TIMES ? EVENT_TIMES : EVENT_CHANGE;
}

static int run_setattr(struct call *call)
{
	struct node *node;
	CLEAN_NODE_FD struct node_fd *fd = NULL;
	bool held;

	int result = node_of(call->fs, call->ino, &node);
	if (result < 0)
		return result;
	struct event event = {.kind = change_of(call->valid), .fd = -1};
	if (event.kind == EVENT_RESIZE)
		event.off = (uint64_t)call->attr.st_size;
	else if (event.kind == EVENT_TIMES)
		event.off = (call->valid & FUSE_SET_ATTR_MTIME) != 0;
	result = call_event(call, &node->subject, &event, &held);
	if (result != CALL_DONE)
		return result;
	result = node_fd_get(call->fs->nodes, node, event.kind == EVENT_RESIZE ? NODE_WRITE : NODE_PATH, &fd);
	if (result >= 0)
		result = apply(call, node, fd->fd);
	node->times = TIMES_REAL;
	if (held) {
		event.fd = fd ? fd->fd : -1;
		event.error = result;
		int ended = call_end(call, &node->subject, &event, answer_attr, 0);
		if (ended != CALL_DONE)
			return notice_failure(call->fs, call->ino, ended);
	}
	return result < 0 ? notice_failure(call->fs, call->ino, result) : run_getattr(call);
}

void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int valid, struct fuse_file_info *fi)
{
	(void)fi;
	call_start(&(struct call){.fs = fs_of(req), .req = req, .run = run_setattr, .ino = ino, .attr = *attr, .valid = valid});
}

/* --- statfs, readlink --- */

void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs st;

	(void)ino;
	if (fstatvfs(fs_of(req)->target->root_fd, &st) < 0)
		fuse_reply_err(req, errno);
	else
		fuse_reply_statfs(req, &st);
}

static int run_readlink(struct call *call)
{
	struct node *node;
	CLEAN_NODE_FD struct node_fd *fd = NULL;
	char text[PATH_MAX + 1];

	int result = node_of(call->fs, call->ino, &node);
	if (result < 0)
		return result;
	result = node_fd_get(call->fs->nodes, node, NODE_PATH, &fd);
	if (result < 0)
		return result;
	ssize_t len = readlinkat(fd->fd, "", text, sizeof(text) - 1);
	if (len < 0)
		return -errno;
	text[len] = '\0';
	fuse_reply_readlink(call->req, text);
	return CALL_DONE;
}

void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	call_start(&(struct call){.fs = fs_of(req), .req = req, .run = run_readlink, .ino = ino});
}
