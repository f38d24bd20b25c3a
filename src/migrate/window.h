/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How many segments each worker of a file has on its way (fetch_all.c), with a source that takes several reads at once.
 *
 * A line of so many bytes a second and such a round trip is full when the product of both is on its way. What is more stands in queues, of
 * which demand is then at the end (I6), and takes memory. Neither number is known, so it is tried:
 *
 *   - while workers wait for what they asked for, one step more is tried;
 *   - when each read takes longer by as much as more are on their way, the line was full before: back, and not again for a while. But what
 *     takes less than WINDOW_SPARE_NS is kept: the target stops for some tens of milliseconds with each commit, and a line that has no more
 *     than it needs on its way stands empty then;
 *   - while what is asked for is there before it is wanted, the target or the processors are the limit: one step less. When that has passed
 *     it comes back to what was good before, without a trial.
 *
 * All that is on its way for all files together is bounded as well (WINDOW_BYTES), beside the one segment that each worker may always have.
 *
 * Threads: any. The lock is a leaf.
 */
#ifndef DMM_MIGRATE_WINDOW_H
#define DMM_MIGRATE_WINDOW_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define WINDOW_DEPTH_LEAST 2 /* one is stored, the other comes */
#define WINDOW_DEPTH_MOST 8
#define WINDOW_BYTES (32ull << 20)
/* So long a read may take for a line that is full, and whoever comes then stands behind it: about what the least that is on its way takes
 * with 1 Gbit/s. */
#define WINDOW_SPARE_NS (60ull * 1000000)
/* Workers of one file. Storing goes one after the other for each file anyway. */
#define WINDOW_WORKERS 4u

struct window {
	pthread_mutex_t lock;
	atomic_uint depth;
	atomic_ullong bytes;
	unsigned settling;      /* reads that were begun under another depth are still to come */
	unsigned reads, waited; /* of this round */
	uint64_t sum_ns;        /* of their times */
	unsigned before;        /* depth that was tried before this one; 0: this one is not being tried */
	uint64_t before_ns;     /* what a read took then */
	unsigned good;          /* a depth that was found to be of use, or that the line bears */
	uint64_t hold_until_ns; /* no step beyond that before */
};

void window_init(struct window *window);

static inline unsigned window_depth(const struct window *window)
{
	return atomic_load_explicit(&window->depth, memory_order_relaxed);
}

/* Room for a read that is begun. False: there is none. */
bool window_take(struct window *window, uint64_t bytes);
void window_give(struct window *window, uint64_t bytes);

/* A read took so long; `waited`: its worker had to wait for it. */
void window_note(struct window *window, uint64_t took_ns, bool waited, uint64_t now_ns);

#endif
