/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What changes by no request of the kernel's. A name appears in a directory: what the kernel remembers of the name and of the listing
 * goes. A file is brought anew: its pages go, also from mappings, and its attributes. Or by a request that failed after it had changed
 * some bytes, which the kernel takes for one that did nothing. By the lane for notices, since the kernel may make us wait for the
 * directory, or for a page that is being read.
 */
#include "fs/internal.h"

#include "base/log.h"

#include <stdlib.h>
#include <string.h>

struct appeared {
	struct lane_job job;
	struct fs *fs;
	uint64_t dir;
	char name[];
};

static void run(struct lane_job *job)
{
	struct appeared *appeared = (struct appeared *)job;
	struct fuse_session *session = appeared->fs->session;

	fuse_lowlevel_notify_inval_entry(session, appeared->dir, appeared->name, strlen(appeared->name));
	fuse_lowlevel_notify_inval_inode(session, appeared->dir, 0, 0);
	free(appeared);
}

void fs_name_appeared(struct fs *fs, const struct handle *dir, const char *name)
{
	uint64_t id = node_id(fs->nodes, dir);
	size_t len = strlen(name);
	struct appeared *appeared = id ? malloc(sizeof(*appeared) + len + 1) : NULL;

	if (!appeared)
		return; /* the kernel does not know the directory; without memory it finds out when it drops the directory */
	*appeared = (struct appeared){.job.run = run, .fs = fs, .dir = id};
	memcpy(appeared->name, name, len + 1);
	lane_submit(fs->notices, &appeared->job, LANE_DEMAND);
}

struct changed {
	struct lane_job job;
	struct fs *fs;
	uint64_t file;
};

static void forget_pages(struct lane_job *job)
{
	struct changed *changed = (struct changed *)job;

	fuse_lowlevel_notify_inval_inode(changed->fs->session, changed->file, 0, 0);
	free(changed);
}

static void file_changed(struct fs *fs, uint64_t file)
{
	struct changed *changed = malloc(sizeof(*changed));

	if (!changed) {
		log_warning("no memory to tell the kernel that a file is another now; what it has cached of it stays");
		return;
	}
	*changed = (struct changed){.job.run = forget_pages, .fs = fs, .file = file};
	lane_submit(fs->notices, &changed->job, LANE_DEMAND);
}

void fs_file_renewed(struct fs *fs, const struct handle *file)
{
	uint64_t id = node_id(fs->nodes, file);

	if (id)
		file_changed(fs, id);
}

int notice_failure(struct fs *fs, uint64_t file, int result)
{
	if (result < 0)
		file_changed(fs, file);
	return result;
}
