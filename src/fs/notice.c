/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What changes by no request of the kernel's. A name appears in a directory: what the kernel remembers of the name and of the listing
 * goes. A file is brought anew: its pages go, also from mappings, and its attributes. By the lane for notices, since the kernel may make
 * us wait for the directory, or for a page that is being read.
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

struct renewed {
	struct lane_job job;
	struct fs *fs;
	uint64_t file;
};

static void forget_pages(struct lane_job *job)
{
	struct renewed *renewed = (struct renewed *)job;

	fuse_lowlevel_notify_inval_inode(renewed->fs->session, renewed->file, 0, 0);
	free(renewed);
}

void fs_file_renewed(struct fs *fs, const struct handle *file)
{
	uint64_t id = node_id(fs->nodes, file);
	struct renewed *renewed = id ? malloc(sizeof(*renewed)) : NULL;

	if (!renewed) {
		if (id)
			log_warning("no memory to tell the kernel that a file was brought anew; what it has cached of it stays");
		return;
	}
	*renewed = (struct renewed){.job.run = forget_pages, .fs = fs, .file = id};
	lane_submit(fs->notices, &renewed->job, LANE_DEMAND);
}
