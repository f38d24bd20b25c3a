/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Opening and closing files: the one place that decides the open mode of a node.
 *
 * A node is idle, cached or in passthrough. The first open of an idle node decides: passthrough when all of the file is here (and
 * for writing: when no record of it is left), cached otherwise. Every other open follows until the last one is closed; the kernel
 * answers anything else with EIO. A file that becomes complete while it is open changes nothing for those who have it open.
 *
 * One backing id for each node; it belongs to the connection. The kernel drops the mode of an inode before it sends RELEASE, so
 * counting down at RELEASE is always on the safe side. An open whose answer the kernel no longer takes (ENOENT) gets no RELEASE.
 */
#include "fs/internal.h"

#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>

/* Of a connection, so it needs no request: linux/fuse.h of kernels with passthrough (6.9). */
#define BACKING_CLOSE _IOW(229, 2, uint32_t)

static void close_backing(struct fs *fs, int id)
{
	uint32_t number = (uint32_t)id;

	if (ioctl(fuse_session_fd(fs->session), BACKING_CLOSE, &number) < 0)
		log_warning("a backing file cannot be closed: id=%d error=%s", id, errno_name(errno));
}

static bool writes(int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY;
}

/* The kernel opens the backing file anew for each open, with its flags, so a descriptor for reading does. One for writing must not be
 * it, also for a writer: the kernel has it until the last reader is gone, and so long the plain file cannot be run (ETXTBSY), be it
 * after the mount is gone.
 * Passthrough is refused by some file systems below (a stack that is too deep): found out once, then not tried again. */
static int open_backing(struct call *call, struct node *node)
{
	CLEAN_NODE_FD struct node_fd *fd = NULL;
	int result = node_fd_get(call->fs->nodes, node, NODE_READ_ONLY, &fd);

	if (result < 0)
		return result;
	int id = fuse_passthrough_open(call->req, fd->fd);
	if (id > 0)
		return id;
	if (atomic_exchange(&call->fs->passthrough, false))
		log_warning("kernel passthrough is refused by the file system of the target; reads and writes go through the "
		            "daemon");
	return -EOPNOTSUPP;
}

static bool all_here(struct fs *fs, struct node *node, int flags)
{
	uint64_t run;

	if (subject_quiet(&node->subject))
		return true;
	/* A finished file whose record still stands may be read past us, not written. */
	return !writes(flags) && monitor_resident(fs->monitor, &node->subject, 0, &run) && run > INT64_MAX;
}

/* Under node->lock. */
static void choose_mode(struct call *call, struct node *node, int *backing_id)
{
	struct fs *fs = call->fs;

	*backing_id = node->latch == LATCH_PASSTHROUGH ? node->backing_id : 0;
	if (node->latch != LATCH_IDLE)
		return;
	node->latch = LATCH_CACHED;
	if (!atomic_load_explicit(&fs->passthrough, memory_order_relaxed) || !all_here(fs, node, call->fi.flags))
		return;
	pthread_mutex_unlock(&node->lock);
	int id = open_backing(call, node);
	pthread_mutex_lock(&node->lock);
	/* Whoever came meanwhile follows the latch as we left it: cached. Then so do we. */
	if (id > 0 && node->latched == 0) {
		node->latch = LATCH_PASSTHROUGH;
		*backing_id = node->backing_id = id;
	} else if (id > 0) {
		close_backing(fs, id);
	}
}

/* Killed between the two, the next process closes the backing file once more, which does no harm: ids are not used again soon. */
static void unlatch(struct fs *fs, struct node *node, struct memory_open *open)
{
	LOCKED(&node->lock);
	node->writers -= (open->flags & OPEN_WRITES) != 0;
	if (--node->latched > 0)
		return;
	if (node->latch == LATCH_PASSTHROUGH) {
		open->ending = true;
		close_backing(fs, node->backing_id);
	}
	node->backing_id = 0;
	node->latch = LATCH_IDLE;
}

static void close_watched(struct fs *fs, struct node *node, const struct memory_open *open)
{
	if (open->flags & OPEN_WATCHED)
		monitor_begin(fs->monitor, &node->subject, &(struct event){.kind = EVENT_CLOSE, .fd = -1}, NULL, NULL);
}

/* The end of an open file: everything that its beginning did. */
static void end_open(struct fs *fs, struct node *node, uint64_t handle)
{
	struct memory_open *open = kept_find_open(fs->kept, handle);

	close_watched(fs, node, open);
	unlatch(fs, node, open);
	kept_close(fs->kept, handle);
	node_unref(fs->nodes, node);
}

void file_open_again(struct call *call)
{
	uint64_t handle = call->resent ? kept_opened_before(call->fs->kept, call->unique) : 0;

	if (!handle)
		return;
	struct node *node;
	const struct memory_open *open = kept_find_open(call->fs->kept, handle);
	if (!(open->flags & OPEN_UNKNOWN) && node_of(call->fs, open->node, &node) == 0)
		end_open(call->fs, node, handle);
	else
		kept_close(call->fs->kept, handle);
}

/* There are more open files than there is room for. */
static void refuse_open(struct call *call, struct node *node, const struct fuse_entry_param *entry, bool watched)
{
	struct memory_open none = {.flags = (writes(call->fi.flags) ? OPEN_WRITES : 0) | (watched ? OPEN_WATCHED : 0)};

	close_watched(call->fs, node, &none);
	unlatch(call->fs, node, &none);
	node_unref(call->fs->nodes, node);
	if (entry)
		node_forget(call->fs->nodes, entry->ino, 1);
	fuse_reply_err(call->req, ENFILE);
}

static unsigned open_flags(int flags, bool watched, int backing_id)
{
	return (writes(flags) ? OPEN_WRITES : 0) | ((flags & O_ACCMODE) == O_RDWR ? OPEN_MAPS : 0) |
	       (watched ? OPEN_WATCHED : 0) | (backing_id ? OPEN_PASSTHROUGH : 0);
}

void file_reply_open(struct call *call, struct node *node, const struct fuse_entry_param *entry, bool watched)
{
	struct fs *fs = call->fs;
	struct fuse_file_info *fi = &call->fi;
	int backing_id;

	node_ref(fs->nodes, node);
	pthread_mutex_lock(&node->lock);
	choose_mode(call, node, &backing_id);
	node->latched++;
	node->writers += writes(fi->flags);
	/* The kernel's cache is dropped only when it must be: whoever opens a file whose pages wait to be read would wait for them,
	 * and could not be killed. */
	fi->keep_cache = !backing_id && !node->written_past;
	node->written_past = backing_id && (node->written_past || writes(fi->flags));
	pthread_mutex_unlock(&node->lock);

	if (node->pinned)
		node_hold(fs->nodes, node);
	fi->fh = kept_open(fs->kept, call->unique, node->id, open_flags(fi->flags, watched, backing_id), backing_id);
	fi->backing_id = backing_id;
	fi->noflush = 1;
	fi->parallel_direct_writes = 1;
	uint64_t handle = fi->fh;
	if (!handle) {
		refuse_open(call, node, entry, watched);
		return;
	}
	int result = entry ? fuse_reply_create(call->req, entry, fi) : fuse_reply_open(call->req, fi);
	if (result == -ENOENT) {
		/* Interrupted: the kernel knows nothing of this open. */
		end_open(fs, node, handle);
		if (entry)
			node_forget(fs->nodes, entry->ino, 1);
	}
}

/* O_TRUNC comes with the open. */
static int truncate_first(struct call *call, struct node *node)
{
	CLEAN_NODE_FD struct node_fd *fd = NULL;
	struct event event = {.kind = EVENT_RESIZE, .off = 0, .fd = -1};
	bool held;

	if (call->truncated || !(call->fi.flags & O_TRUNC))
		return CALL_DONE;
	int result = call_event(call, &node->subject, &event, &held);
	if (result != CALL_DONE)
		return result;
	result = node_fd_get(call->fs->nodes, node, NODE_WRITE, &fd);
	if (result >= 0 && ftruncate(fd->fd, 0) < 0)
		result = -errno;
	if (result >= 0 && call->fi.kill_suidgid) {
		result = attr_kill_privileges(call->req, fd->fd);
		/* The kernel does not ask for the mode after an open. Attributes alone: that waits for nobody. */
		fuse_lowlevel_notify_inval_inode(call->fs->session, call->ino, -1, 0);
	}
	node->times = TIMES_REAL;
	call->truncated = result >= 0;
	if (!held)
		return notice_failure(call->fs, call->ino, result);
	event.fd = fd ? fd->fd : -1;
	event.error = result;
	int ended = call_end(call, &node->subject, &event, NULL, 0); /* woken, it runs again and finds it truncated */
	return notice_failure(call->fs, call->ino, ended != CALL_DONE ? ended : result);
}

/* What the target refuses to open for writing. */
static int check_writable(struct call *call, struct node *node)
{
	CLEAN_NODE_FD struct node_fd *fd = NULL;
	bool appends = (call->fi.flags & O_APPEND) && !(call->fi.flags & O_TRUNC);

	if (!writes(call->fi.flags) && !(call->fi.flags & O_TRUNC))
		return 0;
	int result = node_fd_get(call->fs->nodes, node, NODE_WRITE, &fd);
	if (result < 0)
		return result;
	unsigned int flags; /* the descriptor may be older than they are */
	if (ioctl(fd->fd, FS_IOC_GETFLAGS, &flags) < 0)
		flags = 0;
	flags |= attr_pending_flags(call->fs, node);
	return (flags & FS_IMMUTABLE_FL) || ((flags & FS_APPEND_FL) && !appends) ? -EPERM : 0;
}

static int run_open(struct call *call)
{
	struct node *node;
	bool reads = (call->fi.flags & O_ACCMODE) != O_WRONLY;
	struct event event = {
		.kind = writes(call->fi.flags) ? EVENT_OPEN_WRITE : EVENT_OPEN, .len = reads ? UINT64_MAX : 0, .fd = -1};
	bool watched;

	int result = node_of(call->fs, call->ino, &node);
	if (result < 0)
		return result;
	file_open_again(call);
	result = check_writable(call, node);
	if (result == CALL_DONE)
		result = truncate_first(call, node);
	if (result == CALL_DONE)
		result = call_event(call, &node->subject, &event, &watched);
	if (result != CALL_DONE)
		return result;
	file_reply_open(call, node, NULL, watched);
	return CALL_DONE;
}

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	call_start(&(struct call){.fs = fs_of(req), .req = req, .run = run_open, .ino = ino, .fi = *fi});
}

/* Stores through a mapping in passthrough are not seen by the kernel's FUSE inode: after a writer that may have had one, which needs
 * the right to read as well, it asks again. What write(2) does in passthrough it sees. */
struct notice {
	struct lane_job job;
	struct fs *fs;
	uint64_t ino;
};

static void run_notice(struct lane_job *job)
{
	struct notice *notice = (struct notice *)((char *)job - offsetof(struct notice, job));

	fuse_lowlevel_notify_inval_inode(notice->fs->session, notice->ino, -1, 0);
	free(notice);
}

static void invalidate_attributes(struct fs *fs, uint64_t ino)
{
	struct notice *notice = malloc(sizeof(*notice));

	if (!notice)
		return; /* they expire by themselves: none is kept while a writer has the file open */
	*notice = (struct notice){.job.run = run_notice, .fs = fs, .ino = ino};
	lane_submit(fs->notices, &notice->job, LANE_DEMAND);
}

void file_released(struct fs *fs, uint64_t ino, uint64_t handle)
{
	struct node *node;
	const struct memory_open *open = kept_find_open(fs->kept, handle);

	/* None: another process closed it, and was killed before it could say so. */
	if (!open)
		return;
	if ((open->flags & OPEN_UNKNOWN) || node_of(fs, ino, &node) < 0) {
		kept_close(fs->kept, handle);
		return;
	}
	bool written_past = (open->flags & OPEN_PASSTHROUGH) && (open->flags & OPEN_MAPS);
	end_open(fs, node, handle);
	if (written_past)
		invalidate_attributes(fs, ino);
}

void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	file_released(fs_of(req), ino, fi->fh);
	fuse_reply_err(req, 0);
}

/* --- of another process --- */

/* What passes when others let go of what they have. In all so many pauses are made for it; then the keeper tries with another process,
 * and applications wait meanwhile. To go on without an entry would be to forget that somebody reads: a file that loses its last name
 * would be given up, and its bytes that are still to come be read as zeros. */
#define ADOPT_PAUSES 100u
#define ADOPT_PAUSE_US 100000

static bool adopt_passes(int error)
{
	return error == -EMFILE || error == -ENFILE || error == -ENOMEM;
}

/* Nothing is counted when it fails. */
static int adopt_open(struct fs *fs, struct memory_open *open)
{
	struct event still_open = {.kind = EVENT_STILL_OPEN, .fd = -1};
	struct node *node;
	bool watched = false;

	int result = node_of(fs, open->node, &node);
	if (result < 0)
		return result;
	if (open->flags & OPEN_WATCHED)
		result = monitor_begin(fs->monitor, &node->subject, &still_open, NULL, &watched);
	if (adopt_passes(result))
		return result;
	if (result < 0) /* it cannot be read, either */
		log_warning("an open file is not watched any more: error=%s", errno_name(result));
	if (!watched)
		open->flags &= (uint16_t)~OPEN_WATCHED;
	node_ref(fs->nodes, node);
	node->latched++;
	node->writers += (open->flags & OPEN_WRITES) != 0;
	node->written_past = (open->flags & OPEN_PASSTHROUGH) && (node->written_past || (open->flags & OPEN_WRITES));
	node->latch = open->flags & OPEN_PASSTHROUGH ? LATCH_PASSTHROUGH : LATCH_CACHED;
	node->backing_id = open->backing_id;
	return 0;
}

/* An entry without its node (an object that is gone) waits for its release alone. */
static int adopt_patiently(struct fs *fs, struct memory_open *open, unsigned *pauses)
{
	int result;

	open->flags &= (uint16_t)~OPEN_UNKNOWN; /* of a process between */
	while (adopt_passes(result = adopt_open(fs, open)) && (*pauses)++ < ADOPT_PAUSES) {
		nodes_done(fs->nodes);
		usleep(ADOPT_PAUSE_US);
	}
	nodes_done(fs->nodes);
	if (result == 0 || adopt_passes(result))
		return result;
	if (result != -ESTALE)
		log_warning("an open file cannot be looked at, and is not known any more: error=%s", errno_name(result));
	open->flags |= OPEN_UNKNOWN;
	return 0;
}

int file_adopt(struct fs *fs)
{
	struct memory *memory = kept_memory(fs->kept);
	unsigned pauses = 0;
	int result = 0;

	for (uint32_t i = 1; i < memory->opens_used && result == 0; i++) {
		struct memory_open *open = &memory->opens[i];
		if (open->unique && open->ending) {
			close_backing(fs, open->backing_id);
			atomic_store(&open->unique, 0);
		} else if (open->unique) {
			result = adopt_patiently(fs, open, &pauses);
		}
	}
	if (pauses)
		log_warning("what is open could be looked at only after a while, for want of descriptors or memory: pauses=%u "
		            "error=%s",
		            pauses, result < 0 ? errno_name(result) : "none");
	return result;
}

/* Nothing is due at close(2): what the application was told is on the target, and fsync(2) is the way to stable storage. The
 * kernel does not ask again. */
void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	fuse_reply_err(req, ENOSYS);
}

/* Whatever an application wrote into what has not come over was recorded before it was told, so its bytes are all there is to
 * make durable. */
static int run_fsync(struct call *call)
{
	struct node *node;
	CLEAN_NODE_FD struct node_fd *fd = NULL;

	int result = node_of(call->fs, call->ino, &node);
	if (result < 0)
		return result;
	result = node_fd_get(call->fs->nodes, node, NODE_READ, &fd);
	if (result < 0)
		return result;
	if ((call->flags ? fdatasync(fd->fd) : fsync(fd->fd)) < 0)
		return -errno;
	fuse_reply_err(call->req, 0);
	return CALL_DONE;
}

void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	(void)fi;
	call_start(&(struct call){.fs = fs_of(req), .req = req, .run = run_fsync, .ino = ino, .flags = datasync});
}

void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	op_fsync(req, ino, datasync, fi);
}
