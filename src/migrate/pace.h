/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How fast a migration goes, smoothed over about a minute, and how long what is left will take at that pace.
 *
 * Threads: the caller's lock.
 */
#ifndef DMM_MIGRATE_PACE_H
#define DMM_MIGRATE_PACE_H

#include <stdint.h>

struct pace {
	uint64_t at_ns, bytes, files;    /* as of the last tick; at_ns 0: there was none */
	double bytes_per_s, files_per_s; /* weighted sums */
	double weight;                   /* of all that was measured: grows from 0 towards 1 */
};

/* What has moved in all until `now_ns`. About once a second. */
void pace_tick(struct pace *pace, uint64_t now_ns, uint64_t bytes, uint64_t files);

/* Seconds that so many bytes in so many files take: the longer one of what bytes and files say. -1: nobody can tell, since too
 * little was measured or nothing moves. 0 when nothing is left. */
int64_t pace_remaining(const struct pace *pace, int64_t bytes, int64_t files);

#endif
