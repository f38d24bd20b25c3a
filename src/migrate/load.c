/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "migrate/load.h"

#include <string.h>

#define TICKS_BETWEEN_CUTS 2 /* so long it takes until a cut shows */
#define GROWTH (1.0 / 16)
#define COMPANY_ENOUGH 2
#define SERVED_ENOUGH 2 /* operations: a single slow one, with nothing beside it, is no load */

void load_init(struct load *load)
{
	memset(load, 0, sizeof(*load));
	load->share = 1;
}

void load_note(struct load *load, enum load_kind kind, uint64_t us)
{
	unsigned slot = atomic_load_explicit(&load->slot, memory_order_relaxed);

	atomic_fetch_add_explicit(&load->slots[slot].counts[kind][latency_bucket(us)], 1, memory_order_relaxed);
}

/* Who still writes into the slot that is emptied has been at it for a second: its sample counts as one of now. */
static void turn(struct load *load)
{
	unsigned slot = (atomic_load_explicit(&load->slot, memory_order_relaxed) + 1) % (LOAD_TICKS + 1);

	for (unsigned kind = 0; kind < LOAD_KINDS; kind++)
		for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
			atomic_store_explicit(&load->slots[slot].counts[kind][i], 0, memory_order_relaxed);
	atomic_store_explicit(&load->slot, slot, memory_order_relaxed);
}

/* All slots. Returns how many samples are in the one that was written last. */
static uint64_t sum_up(struct load *load, enum load_kind kind)
{
	unsigned last = atomic_load_explicit(&load->slot, memory_order_relaxed);
	uint64_t counts[LATENCY_BUCKETS] = {0}, latest = 0;

	load->samples[kind] = 0;
	for (unsigned slot = 0; slot <= LOAD_TICKS; slot++) {
		for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
			unsigned n = atomic_load_explicit(&load->slots[slot].counts[kind][i], memory_order_relaxed);
			counts[i] += n;
			load->samples[kind] += n;
			latest += slot == last ? n : 0;
		}
	}
	load->p90_us[kind] = latency_percentile(counts, 90);
	return latest;
}

/* A source that answers nobody gives no samples either. */
static void count_stuck(struct load *load, uint64_t waiting, uint64_t answered)
{
	load->stuck_ticks = waiting && !answered ? load->stuck_ticks + 1 : 0;
	uint64_t stuck_us = load->stuck_ticks * (LOAD_TICK_NS / NS_PER_US);
	if (load->stuck_ticks > 1 && stuck_us > load->p90_us[LOAD_DEMAND])
		load->p90_us[LOAD_DEMAND] = stuck_us;
}

bool load_company(struct load *load, uint64_t waiting)
{
	unsigned count = 0;

	for (unsigned slot = 0; slot <= LOAD_TICKS; slot++)
		for (unsigned kind = 0; kind < LOAD_KINDS; kind++)
			for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
				count += atomic_load_explicit(&load->slots[slot].counts[kind][i], memory_order_relaxed);
	return waiting > 0 || count >= COMPANY_ENOUGH;
}

static void steer(struct load *load, bool over, bool nobody)
{
	load->ticks_since_cut++;
	if (over) {
		if (load->ticks_since_cut <= TICKS_BETWEEN_CUTS)
			return;
		load->ticks_since_cut = 0;
		load->share /= 2;
	} else {
		load->share = nobody ? load->share * 2 : load->share + GROWTH;
	}
	if (load->share < LOAD_SHARE_MIN)
		load->share = LOAD_SHARE_MIN;
	if (load->share > 1)
		load->share = 1;
}

void load_tick(struct load *load, uint64_t target_us, uint64_t waiting)
{
	uint64_t answered = sum_up(load, LOAD_DEMAND);

	sum_up(load, LOAD_SERVED);
	count_stuck(load, waiting, answered);
	load->over[LOAD_DEMAND] = target_us && load->p90_us[LOAD_DEMAND] > target_us;
	load->over[LOAD_SERVED] =
		target_us && load->samples[LOAD_SERVED] >= SERVED_ENOUGH && load->p90_us[LOAD_SERVED] > target_us;
	if (target_us)
		steer(load, load->over[LOAD_DEMAND] || load->over[LOAD_SERVED],
		      !waiting && load->samples[LOAD_DEMAND] + load->samples[LOAD_SERVED] == 0);
	else
		load->share = 1;
	turn(load);
}
