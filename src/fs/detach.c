/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The time after a lazy finish: the mount is detached, others change the plain tree, and what is open here goes on, coherently.
 *
 * While everything passes through us the kernel's cache is true, and it is told to drop nothing by itself (FUSE_AUTO_INVAL_DATA):
 * a stat(2) that finds a new modification time would wait, unkillably, for pages that wait for the source. Now nothing waits for
 * the source any more, and a thread looks after the few files that are still open through the cache. A change that leaves the
 * size as it is is seen within milliseconds; the kernel sees one of the size by itself. It also closes what is open for writing
 * and nobody writes through: such a program could not be run from the plain tree (ETXTBSY).
 */
#include "fs/internal.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#define LOOK_NS (2 * 1000000ull)
/* A second change within one tick of the clock does not move the time: what has just changed may do so again. */
#define FRESH_NS NS_PER_S

struct id_list {
	uint64_t *ids;
	size_t count, cap;
};

static void add_id(struct id_list *list, uint64_t id)
{
	if (list->count == list->cap) {
		list->cap = list->cap ? list->cap * 2 : 1024;
		list->ids = realloc(list->ids, list->cap * sizeof(*list->ids));
		if (!list->ids)
			abort();
	}
	list->ids[list->count++] = id;
}

static void collect_all(void *context, struct node *node)
{
	add_id(context, node->id);
}

static void collect_cached(void *context, struct node *node)
{
	if (__atomic_load_n(&node->latched, __ATOMIC_RELAXED))
		add_id(context, node->id);
}

static void invalidate_all(struct fs *fs, const struct id_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		fuse_lowlevel_notify_inval_inode(fs->session, list->ids[i], 0, 0);
}

static bool has_changed(struct fs *fs, uint64_t id)
{
	struct node *node;
	CLEAN_NODE_FD struct node_fd *fd = NULL;
	struct stat st;

	if (node_of(fs, id, &node) < 0 || node_fd_get(fs->nodes, node, NODE_PATH, &fd) < 0 || fstat(fd->fd, &st) < 0)
		return false;
	uint64_t mtime_ns = (uint64_t)st.st_mtim.tv_sec * NS_PER_S + (uint64_t)st.st_mtim.tv_nsec;
	LOCKED(&node->lock);
	bool changed = mtime_ns != node->seen_mtime_ns || st.st_size != node->seen_size || clock_wall_ns() - mtime_ns < FRESH_NS;
	node->seen_mtime_ns = mtime_ns;
	node->seen_size = st.st_size;
	return changed && node->latch == LATCH_CACHED;
}

/* Returns how long it took. */
static uint64_t look(struct fs *fs)
{
	uint64_t start = clock_monotonic_ns();
	struct id_list open = {0};

	node_shed_writable(fs->nodes);
	node_each(fs->nodes, collect_cached, &open);
	for (size_t i = 0; i < open.count; i++) {
		if (has_changed(fs, open.ids[i]))
			fuse_lowlevel_notify_inval_inode(fs->session, open.ids[i], 0, 0);
		nodes_done(fs->nodes);
	}
	free(open.ids);
	return clock_monotonic_ns() - start;
}

static void *look_after(void *context)
{
	struct fs *fs = context;

	pthread_setname_np(pthread_self(), "detached");
	while (!atomic_load(&fs->ended)) {
		uint64_t pause = LOOK_NS + 10 * look(fs); /* a tenth of a processor at most */
		nanosleep(&(struct timespec){(time_t)(pause / NS_PER_S), (long)(pause % NS_PER_S)}, NULL);
	}
	return NULL;
}

void fs_stop_caching(struct fs *fs)
{
	struct id_list list = {0};

	if (atomic_exchange(&fs->uncached, true))
		return;
	kept_memory(fs->kept)->uncached = true;
	/* Nodes that were given up are not among them: the kernel is to ask for each name again (Linux 6.17; before, it keeps what it
	 * knows of these for KEEP_LONG). */
	fuse_lowlevel_notify_increment_epoch(fs->session);
	node_shed_writable(fs->nodes);
	node_each(fs->nodes, collect_all, &list);
	invalidate_all(fs, &list);
	free(list.ids);
	fs->looking = pthread_create(&fs->looker, NULL, look_after, fs) == 0;
}
