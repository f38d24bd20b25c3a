/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How long applications wait on the mount, and how much of its workers the background gives up for that.
 *
 * Two kinds of waits are counted apart, for many quick ones of the one would hide the slow ones of the other: for the source
 * (demand), and in the daemon for operations that need nothing of it. What passes by the daemon (kernel passthrough, the kernel's
 * caches) is not seen. What counts is the latency below which nine of ten of the last second stayed.
 *
 * While that is above the target of either kind, the share of the background is halved, twice a second, down to a trickle that is
 * never nothing; below it the share grows by a sixteenth of the whole four times a second; and when nobody is there it doubles
 * each time, so that everything is taken back within two seconds.
 *
 * load_note() is called by any thread, without locks: a relaxed addition. The rest belongs to the governor (govern.c), which
 * calls load_tick() each LOAD_TICK_NS; there is no clock here.
 */
#ifndef DMM_MIGRATE_LOAD_H
#define DMM_MIGRATE_LOAD_H

#include "base/clock.h"
#include "migrate/progress.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum load_kind { LOAD_DEMAND, LOAD_SERVED };
#define LOAD_KINDS 2

#define LOAD_TICK_NS (NS_PER_S / 4)
#define LOAD_TICKS 4 /* that are looked back: a second */
#define LOAD_SHARE_MIN (1.0 / 64)

struct load {
	struct {
		atomic_uint counts[LOAD_KINDS][LATENCY_BUCKETS];
	} slots[LOAD_TICKS + 1]; /* a ring: the last ticks, and the one that is written */
	atomic_uint slot;

	double share;                 /* of its workers that the background may have: LOAD_SHARE_MIN to 1 */
	uint64_t samples[LOAD_KINDS]; /* of the last second */
	uint64_t p90_us[LOAD_KINDS];  /* 0: no samples */
	bool over[LOAD_KINDS];        /* above the target */
	unsigned stuck_ticks;         /* so long all demand has waited without one answer */
	unsigned ticks_since_cut;
};

void load_init(struct load *load);
void load_note(struct load *load, enum load_kind kind, uint64_t us);
/* Whether somebody is there: more than a look in the last second, or `waiting` for the source. By any thread. */
bool load_company(struct load *load, uint64_t waiting);
/* `target_us` 0: no target. `waiting`: demand that waits now. */
void load_tick(struct load *load, uint64_t target_us, uint64_t waiting);

#endif
