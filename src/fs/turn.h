/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Whose turn it is to ask the kernel for a request.
 *
 * A request that finds a thread asleep waits until that is awake on some processor, and its answer until the caller is: two
 * wake-ups, which are most of what a small operation costs. While requests follow each other closely one thread asks for them
 * without falling asleep, and the others stay out of the kernel's queue, where each request would wake one of them for nothing.
 *
 *   asking      in read(2) of the descriptor, or polling it
 *   busy        with a request
 *   parked      here. One of them may be the deputy, which looks about each millisecond
 *
 * Cold (requests are rare, of several callers at once, or others want the processors): as many ask, asleep, as there are processors.
 * More would take turns in the kernel's queue, and each request would wake one of them; so one that is done often finds the next
 * request there already. Where processors are to be kept awake (fs/awake.h) one thread of three or more is left to look after them.
 * Hot: one polls, and does what it gets itself. Work that takes long by its nature calls for somebody else first; for all other the
 * deputy finds that nobody asks, and asks itself. So a request waits for an idle thread two looks of the deputy at most. Where polling
 * does not pay, most of all because somebody else wants the processor, it ends. Without a deputy, which goes when there was no request
 * between two looks, whoever leaves nobody asking fetches one of those that are parked.
 *
 * Locks: turn->lock, a leaf.
 */
#ifndef DMM_FS_TURN_H
#define DMM_FS_TURN_H

#include "fs/awake.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct turn {
	pthread_mutex_t lock;    /* guards the rest */
	pthread_cond_t summoned; /* for those parked */
	pthread_cond_t deputed;  /* for the deputy alone */
	unsigned few;            /* may ask, asleep. Constant; at least 2 */
	unsigned most;           /* may ask while one polls. Constant; 0: nobody polls */
	unsigned wanted;         /* of them now, while it is hot */
	unsigned asking, parked, summons;
	bool polling, has_deputy, call_deputy, ended;
	unsigned close;     /* how often in a row a request of the same caller followed closely; grows to CLOSE_ALL */
	uint32_t caller;    /* whose request was the last */
	uint64_t alone_ns;  /* since when all were of this caller */
	unsigned backlog;   /* how often in a row the one that polls found a request at once */
	uint64_t taken;     /* requests */
	uint64_t last_ns;   /* when somebody began to ask */
	struct awake awake; /* the deputy's */
};

void turn_start(struct turn *turn, unsigned threads, enum awake_when awake);
void turn_stop(struct turn *turn);

/* Waits until the calling thread is to read a request from the descriptor. */
void turn_await(struct turn *turn, int fd);
/* It has one, of this kind (linux/fuse.h) and from this thread; 0: from nobody. */
void turn_taken(struct turn *turn, uint32_t opcode, uint32_t caller);
/* It has none after all. */
void turn_missed(struct turn *turn);
/* There will be no more requests. */
void turn_end(struct turn *turn);

#endif
