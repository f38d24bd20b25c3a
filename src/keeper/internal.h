/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The keeper's process, as its files share it: keeper.c (its life), store.c (what the service manager has of it), resume.c (how it begins
 * with that), want.c (want of memory).
 */
#ifndef DMM_KEEPER_INTERNAL_H
#define DMM_KEEPER_INTERNAL_H

#include "keeper/keeper.h"

#include <sys/types.h>

enum { EXIT_KEEPER = 32 };

struct keeper {
	struct memory *memory;
	int memory_fd, fuse_fd, socket, worker_socket, signals;
	pid_t worker; /* 0: there is none */
	uint64_t started_ns;
	unsigned failed, soon; /* workers in a row that never served, that died soon */
	unsigned held_max;
	bool asked;       /* to end */
	bool late;        /* the service manager is still to be told something */
	bool spared;      /* the kernel does not end it for want of memory */
	uint64_t wanted;  /* processes that the kernel had ended so when the worker was started */
	uint64_t told_ns; /* of want of memory */
};

/* keeper.c. Negative errno when it fails. */
int keeper_find_program(struct memory *memory);
int keeper_connect(struct keeper *keeper);
int keeper_watch_signals(struct keeper *keeper);
/* Keeps until all is over, closes everything, and returns the exit status. */
int keeper_run(struct keeper *keeper);
void keeper_close(struct keeper *keeper);

/* --- store.c: the first two return whether something is left to be told the manager later --- */

/* There is a mount that can go on under another keeper: the manager gets what that one needs. */
bool store_begin(struct keeper *keeper);
bool store_go_on(struct keeper *keeper);
/* The keeper ends. What the manager has is the next one's, unless all is over. */
void store_end(struct keeper *keeper, bool all_is_over);

/* --- want.c --- */

/* What this process is to the kernel when memory is short, its workers will be. */
void want_remember(struct memory *memory);
/* This process is not chosen. 0 or negative errno: it may be (it takes CAP_SYS_RESOURCE). */
int want_spare(void);
/* A worker is chosen as the process that was started was. 0 or negative errno. */
int want_be_as_started(const struct memory *memory);
/* How many processes the kernel has ended for want of memory since it began; 0 if it does not say. */
uint64_t want_ended(void);
/* A worker has ended in this way: if memory was short meanwhile, says that this is the likely cause, once a minute. A guess: the kernel tells
 * nobody whom it has ended. */
void want_tell(struct keeper *keeper, int how);

/* The descriptors, and what their names begin with. */
#define STORE_PARTS 4
struct store_part {
	const char *name;
	int *fd;
};
void store_parts(struct keeper *keeper, struct store_part parts[STORE_PARTS]);

/* worker.c: is it mounted where this process sees it? */
bool worker_mount_is_there(const struct memory *memory);

#endif
