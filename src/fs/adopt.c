/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A mount that another process has served, which was killed or gave way.
 *
 * The kernel said what it can do (INIT) to the first process alone, so its bytes are kept and shown to libfuse again; the answer to them
 * finds nobody and does no harm. What was agreed then stays agreed, whatever this program would rather have. Then the kernel is told to
 * send again what was read from it and not answered (FUSE_NOTIFY_RESEND), before anything is received, or what this process has read
 * already would come twice. Such requests carry a bit in their number; those that must not be done twice are told by what the other
 * process noted of them (call_attempt()).
 *
 * How often the kernel has looked nodes up is not known: node.h says what follows from it. Whether the kernel still has a node it tells
 * when it is asked to drop its attributes, which is done where other notices are sent.
 */
#include "fs/internal.h"

#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of the kernel's protocol (linux/fuse.h), as far as libfuse keeps it to itself. */
struct init_in {
	uint32_t len, opcode;
	uint64_t unique, nodeid;
	uint32_t uid, gid, pid, padding;
	uint32_t major, minor, max_readahead, flags, flags2;
};
#define OPCODE_INIT 26
#define INIT_EXT (1u << 30)
#define HAS_RESEND (1u << (39 - 32)) /* in flags2 */
#define NOTIFY_RESEND 7
struct notify {
	uint32_t len;
	int32_t code;
	uint64_t unique;
};

void adopt_keep_init(struct fs *fs, const struct fuse_buf *buf)
{
	struct memory *memory = kept_memory(fs->kept);
	const struct init_in *init = buf->mem;

	if (buf->size < sizeof(*init) || buf->size > sizeof(memory->init) || init->opcode != OPCODE_INIT)
		return;
	memcpy(memory->init, buf->mem, buf->size);
	memory->n_init = (uint32_t)buf->size;
}

unsigned adopt_minor(const struct fs *fs)
{
	const struct memory *memory = kept_memory(fs->kept);

	return memory->n_init ? ((const struct init_in *)memory->init)->minor : 0;
}

static bool can_be_replaced(const struct fs *fs)
{
	const struct memory *memory = kept_memory(fs->kept);
	const struct init_in *init = (const struct init_in *)memory->init;
	uint16_t len = fs->target->root_handle.len;

	return memory->n_init && (init->flags & INIT_EXT) && (init->flags2 & HAS_RESEND) &&
	       (len == sizeof(uint64_t) || len <= MEMORY_HANDLE);
}

void adopt_keep_agreed(struct fs *fs, const struct fuse_conn_info *conn)
{
	struct memory *memory = kept_memory(fs->kept);

	memory->capabilities = conn->want_ext;
	memory->max_write = conn->max_write;
	memory->passthrough = atomic_load(&fs->passthrough);
	bool can = memory->keeper_pid && can_be_replaced(fs);
	if (memory->keeper_pid && !can)
		log_warning("should the daemon die, the mount dies with it: the kernel cannot send requests again (Linux 6.9 "
		            "can), or "
		            "the file handles of the target are too long");
	memory->resends = can;
}

void adopt_agree(struct fs *fs, struct fuse_conn_info *conn)
{
	const struct memory *memory = kept_memory(fs->kept);

	for (unsigned bit = 0; bit < 64; bit++) {
		uint64_t flag = 1ull << bit;
		if (memory->capabilities & flag)
			fuse_set_feature_flag(conn, flag);
		else
			fuse_unset_feature_flag(conn, flag);
	}
	conn->max_write = memory->max_write;
	atomic_store(&fs->passthrough, memory->passthrough);
}

int adopt_init(struct fs *fs, char *error, size_t error_size)
{
	struct memory *memory = kept_memory(fs->kept);
	CLEAN_FREE void *bytes = malloc(memory->n_init ? memory->n_init : 1);

	if (!bytes)
		return -ENOMEM;
	memcpy(bytes, memory->init, memory->n_init);
	struct fuse_buf buf = {.mem = bytes, .size = memory->n_init};
	if (memory->n_init)
		fuse_session_process_buf(fs->session, &buf);
	if (!atomic_load(&fs->serving)) {
		snprintf(error, error_size, "libfuse does not go on from what the kernel said to the process before");
		return -EPROTO;
	}
	return 0;
}

/* --- nodes that the kernel may have --- */

struct doubt {
	struct lane_job job;
	struct fs *fs;
	uint64_t id;
};

static void ask(struct lane_job *job)
{
	struct doubt *doubt = (struct doubt *)job;

	if (fuse_lowlevel_notify_inval_inode(doubt->fs->session, doubt->id, -1, 0) == -ENOENT)
		node_unknown(doubt->fs->nodes, doubt->id);
	free(doubt);
}

/* Under the table's lock. */
static void have_doubt(void *context, uint64_t id)
{
	struct fs *fs = context;
	struct doubt *doubt = malloc(sizeof(*doubt));

	if (!doubt)
		return; /* the node stays until it is looked up and forgotten another time */
	*doubt = (struct doubt){.job.run = ask, .fs = fs, .id = id};
	lane_submit(fs->notices, &doubt->job, LANE_DEMAND);
}

/* --- what is open or was removed --- */

/* The keeper has it open, so it is found by its id; its last name may have gone just before the other process was killed. */
static void adopt_held(struct fs *fs, uint64_t id)
{
	struct node *node;
	struct event removed = {.kind = EVENT_REMOVED, .off = 0, .fd = -1};
	CLEAN_NODE_FD struct node_fd *fd = NULL;
	struct stat st;

	int result = node_of(fs, id, &node);
	if (result == 0)
		result = node_fd_get(fs->nodes, node, NODE_PATH, &fd);
	if (result < 0 && result != -ESTALE) { /* it may be there, so the keeper goes on holding it */
		log_warning("a removed object that is held cannot be looked at: error=%s", errno_name(result));
		return;
	}
	if (result < 0 || fstat(fd->fd, &st) < 0 || (st.st_nlink && !node->subject.is_dir)) {
		kept_let_go(fs->kept, id); /* it was not removed after all */
		return;
	}
	result = node_adopt_held(fs->nodes, node);
	if (result < 0)
		log_warning("a removed object that is held cannot be opened: error=%s", errno_name(result));
	if (node->subject.is_file)
		monitor_begin(fs->monitor, &node->subject, &removed, NULL, NULL);
}

static void adopt_all_held(struct fs *fs)
{
	struct memory *memory = kept_memory(fs->kept);
	uint32_t used = memory->held_used, n = 0;
	CLEAN_FREE uint64_t *ids = calloc(used + 1, sizeof(*ids));

	if (!ids)
		abort();
	for (uint32_t i = 0; i < used; i++) /* the keeper takes those away that it is told of below */
		if (held_is_there(&memory->held[i]))
			ids[n++] = memory->held[i].node;
	for (uint32_t i = 0; i < n; i++) {
		adopt_held(fs, ids[i]);
		nodes_done(fs->nodes);
	}
}

int adopt_rest(struct fs *fs)
{
	struct notify resend = {.len = sizeof(resend), .code = NOTIFY_RESEND};

	node_on_doubt(fs->nodes, have_doubt, fs);
	int result = file_adopt(fs);
	if (result < 0)
		return result;
	adopt_all_held(fs);
	/* The connection may be over: then there is nothing to send again. */
	if (write(fuse_session_fd(fs->session), &resend, sizeof(resend)) < 0 && errno != ENODEV && errno != EPERM &&
	    errno != ENOTCONN)
		return -errno;
	if (kept_memory(fs->kept)->uncached)
		fs_stop_caching(fs);
	return 0;
}
