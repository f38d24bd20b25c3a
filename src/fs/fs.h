/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The kernel's door: a FUSE file system over the target. It translates requests into system calls on the target tree and asks
 * the monitors before (monitor/monitor.h); it holds no policy of a migration.
 *
 * Threads: a few receive requests from one descriptor, without clones, so that another process can take it over (adopt.c). A
 * request that must wait is parked; a small lane answers it when it is woken. No handler waits for the source.
 */
#ifndef DMM_FS_FS_H
#define DMM_FS_FS_H

#include "fs/awake.h"
#include "keeper/memory.h"
#include "monitor/monitor.h"
#include "target/target.h"

struct fs;

struct fs_options {
	const char *fsname;        /* shown as the device of the mount */
	const char *mountpoint;    /* absolute */
	unsigned long mount_flags; /* MS_* */
	unsigned threads;          /* that receive requests */
	enum awake_when awake;     /* whether processors stay awake while requests are frequent */
	bool allow_other;
	int (*unmount)(const char *mountpoint, int flags); /* 0 or negative errno */
	struct kept *kept;   /* what the kernel refers to; one that was inherited: the mount is there already */
	bool no_passthrough; /* for comparison, and for kernels where it fails */
	bool debug;          /* libfuse's own trace on standard error */
};

/* Mounts, or takes the mount over, and returns once the kernel's INIT was answered and requests are served. `error` gets a sentence on failure. */
int fs_start(const struct fs_options *options, const struct monitor *monitor, const struct target *target, struct fs **fs,
             char *error, size_t error_size);

/* From now on nothing is cached beyond what the kernel must, and what is cached is dropped: before the mount is detached while
 * files are open, since others will change the plain tree then. */
void fs_stop_caching(struct fs *fs);

/* umount2(2) with these flags; 0 or negative errno (-EBUSY). */
int fs_unmount(struct fs *fs, int flags);

/* Waits until the kernel has ended the connection: the mount is gone and its last file is closed. */
void fs_wait(struct fs *fs);
void fs_free(struct fs *fs);

/* A name has appeared in this directory that the kernel may remember as absent. Any thread. */
void fs_name_appeared(struct fs *fs, const struct handle *dir, const char *name);

/* This file has other contents and attributes now than the kernel may remember. Any thread. */
void fs_file_renewed(struct fs *fs, const struct handle *file);

/* No request is begun any more; returns when none is being run. Those that wait, and those that come, are the next process's. */
void fs_close_gate(struct fs *fs);

bool fs_uses_passthrough(const struct fs *fs);

#endif
