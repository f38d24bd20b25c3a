/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The keeper: a small process that holds what must not end when the one that serves ends, so that applications notice nothing.
 *
 *   keeper    /dev/fuse, the memory of what the kernel refers to (memory.h), descriptors of removed files that are open. It has no
 *             thread, opens no database, and makes no request to the mount.
 *   worker    its child: everything else. It may die at any instruction.
 *
 * When the worker is killed or aborts, the keeper starts the program anew, and the new worker goes on: the kernel sends again what was
 * not answered. A worker that says that it ends (unmounted, complete, or it cannot begin) ends the keeper with its status. The worker
 * dies with the keeper, so two of them never serve one mount.
 *
 * When the keeper is killed the worker goes with it. A service manager that keeps descriptors (systemd) then starts a keeper that goes on
 * with them (resume.c).
 *
 * The kernel must be able to send requests again (Linux 6.9). Where it is not, the keeper ends with its worker.
 */
#ifndef DMM_KEEPER_KEEPER_H
#define DMM_KEEPER_KEEPER_H

#include "keeper/memory.h"

struct keeper_options {
	const char *mountpoint, *source;
	const char *logfile;          /* NULL: none */
	const char *confdir, *rundir; /* NULL: the default */
	bool foreground, debug;
	int pipe; /* the worker's alone; -1: none */
};

/* Forks. 0: this is the worker, with its memory. 1: this was the keeper; *status is its exit status. Negative errno: neither. */
int keeper_start(const struct keeper_options *options, struct kept **kept, int *status);

/* What the command line asks for. */
struct keeper_wanted {
	uint32_t migid;         /* 0: the mount point tells */
	const char *mountpoint; /* NULL: the migid tells */
	bool stays;             /* in the foreground, as the service manager sees it */
};

/* First of all, before any place is looked at: goes on with what the service manager kept of a keeper that was killed. 1: this was the
 * keeper; *status is its exit status. 0: there is nothing to go on with, and the log says why if there was something. */
int keeper_resume(const struct keeper_wanted *wanted, int *status);

/* The keeper from a program that was put in its place: `dmmfs --keeper`. */
int keeper_again(void);

/* --- worker.c: the worker of a mount that is there already --- */

/* 1: a keeper has started this process, which is in a mount name space of its own now where the mount is not in the way; 0: nobody has;
 * negative errno: it cannot go on from what the keeper has. */
int worker_adopt(struct kept **kept);

/* Detaches the mount where everybody sees it, and no other one that lies there, below it perhaps. 0 or negative errno; -EINVAL: it is not
 * there (any more); -EAGAIN: it is not known yet. */
int worker_unmount(const char *mountpoint, int flags);
/* From now on it is; a worker that adopts knows it already. */
void worker_know_mount(const struct memory *memory);

/* Would this program be able to go on from here? A sentence if not. */
int worker_check_program(const struct memory *memory, char *error, size_t error_size);

#endif
