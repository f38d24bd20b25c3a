/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Where a node id is no handle, each object that the kernel knows costs a node here, and the kernel may know millions that nobody uses. Since
 * Linux 6.18 it can be asked to let go of those (FUSE_NOTIFY_PRUNE): it forgets what is not in use, and the nodes go with that. It decides what
 * is in use, so nothing that is asked for does harm. By the lane for notices, as it may have to wait for us; one question at a time.
 */
#include "fs/internal.h"

#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

/* Of the kernel's protocol (linux/fuse.h), as far as libfuse does not know it. */
#define NOTIFY_PRUNE 9
#define MINOR_WITH_PRUNE 45
struct notify_prune {
	uint32_t len;
	int32_t code;
	uint64_t unique;
	uint32_t count, padding;
	uint64_t spare;
};

struct prune {
	struct lane_job job;
	struct fs *fs;
	unsigned count;
	uint64_t ids[];
};

static void ask(struct lane_job *job)
{
	struct prune *prune = (struct prune *)job;
	size_t bytes = prune->count * sizeof(prune->ids[0]);
	struct notify_prune head = {.len = (uint32_t)(sizeof(head) + bytes), .code = NOTIFY_PRUNE, .count = prune->count};
	struct iovec parts[] = {{&head, sizeof(head)}, {prune->ids, bytes}};

	if (writev(fuse_session_fd(prune->fs->session), parts, 2) < 0)
		log_debug("the kernel keeps what it knows: error=%s", errno_name(errno));
	node_plenty_told(prune->fs->nodes);
	free(prune);
}

/* Under the table's lock. */
static bool offer(void *context, const uint64_t *ids, unsigned count)
{
	struct fs *fs = context;
	struct prune *prune = malloc(sizeof(*prune) + count * sizeof(*ids));

	if (!prune)
		return false;
	*prune = (struct prune){.job.run = ask, .fs = fs, .count = count};
	memcpy(prune->ids, ids, count * sizeof(*ids));
	lane_submit(fs->notices, &prune->job, LANE_DEMAND);
	return true;
}

void prune_start(struct fs *fs)
{
	if (adopt_minor(fs) >= MINOR_WITH_PRUNE)
		node_on_plenty(fs->nodes, offer, fs);
}
