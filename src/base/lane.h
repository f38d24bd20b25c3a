/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A lane: a pool of libuv threads with a reserve for demand (invariant I6).
 *
 * Jobs wait in three queues. A free thread takes demand first, then read-ahead, then background; but read-ahead and background
 * together never occupy more than max - reserve threads, so a demand job finds a thread at once however much background work
 * there is. maxnsproc, resnsproc, maxdfproc, resdfproc of the DMM specification (section 5.1) are max and reserve of two lanes.
 *
 * Threads: everything may be called from any thread. Locks: one per lane, a leaf.
 */
#ifndef DMM_BASE_LANE_H
#define DMM_BASE_LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum lane_class { LANE_DEMAND, LANE_READAHEAD, LANE_BACKGROUND };
#define LANE_CLASSES 3

/* A unit of work, embedded in the caller's own struct. Belongs to the lane from lane_submit() until run() is called. */
struct lane_job {
	void (*run)(struct lane_job *job);
	enum lane_class class;
	struct lane_job *next, *prev;
	bool queued;
};

struct lane_options {
	const char *name;                    /* shown as the name of its threads, at most 10 bytes */
	unsigned max, reserve;               /* threads; reserve < max */
	void (*thread_start)(void *context); /* called in each new thread first; may be NULL */
	void (*thread_stop)(void *context);  /* called in each thread last; may be NULL */
	void *context;
};

struct lane;

int lane_start(const struct lane_options *options, struct lane **lane);

/* No new background or read-ahead jobs are taken; queued and running jobs are finished, also those of a paused lane; threads end.
 * Demand that running jobs submit meanwhile is still done. */
void lane_stop(struct lane *lane);

/* False: the lane is being stopped and did not take the job, which still belongs to the caller. Never for demand. */
bool lane_submit(struct lane *lane, struct lane_job *job, enum lane_class class);

/* The same for a job that has begun and let others go first: it is the next of its class. */
bool lane_put_back(struct lane *lane, struct lane_job *job, enum lane_class class);

/* Moves a job that still waits to the front of this queue, unless it is in a more urgent one: what most wait for comes first.
 * False when it is running already or not queued. */
bool lane_promote(struct lane *lane, struct lane_job *job, enum lane_class class);

/* Takes a job that still waits out of its queue; it belongs to the caller again. False: it runs, or did. */
bool lane_withdraw(struct lane *lane, struct lane_job *job);

/* Pause: background and read-ahead jobs stay queued, demand goes on. */
void lane_pause(struct lane *lane, bool paused);

/* Other numbers from now on; for workers that run it takes effect as they finish their jobs. Threads that are too many stay, without
 * work. -EINVAL: reserve is not less than max; or no thread could be made, and nothing has changed. Not beside lane_stop(). */
int lane_resize(struct lane *lane, unsigned max, unsigned reserve);

/* Background jobs alone run on at most so many threads from now on; those that run already finish. 0: they stay queued. There is
 * no such limit at the start. */
void lane_limit(struct lane *lane, unsigned background);

struct lane_load {
	size_t queued[LANE_CLASSES], running[LANE_CLASSES];
	unsigned most;  /* threads that background and read-ahead may have */
	unsigned limit; /* of lane_limit() */
};
void lane_load(struct lane *lane, struct lane_load *load);

/* Of all its threads together, so far. */
struct lane_time {
	uint64_t worked_ns; /* they had jobs */
	uint64_t wanted_ns; /* they ran, or waited for a processor */
};
/* -ENOENT or another error: this system does not tell what threads wait (Linux has /proc/self/task/N/schedstat). */
int lane_time(struct lane *lane, struct lane_time *time);

#endif
