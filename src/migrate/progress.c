/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Counting is a relaxed atomic add; all arithmetic is done when somebody asks.
 */
#include "migrate/progress.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "migrate/internal.h"

#include <math.h>

void progress_init(struct progress *progress)
{
	pthread_mutex_init(&progress->lock, NULL);
	progress->start_ns = clock_monotonic_ns();
}

unsigned latency_bucket(uint64_t us)
{
	double index = us ? log2((double)us) * 4 : 0;

	return index >= LATENCY_BUCKETS ? LATENCY_BUCKETS - 1 : (unsigned)index;
}

void progress_parked(struct migrate *migrate, struct waiter *waiter)
{
	struct progress *progress = &migrate->progress;

	if (waiter->need)
		return; /* waits for the disk, not for the source */
	atomic_fetch_add_explicit(&progress->demand_waiting, 1, memory_order_relaxed);
	if (waiter->parked_ns)
		return;
	waiter->parked_ns = clock_monotonic_ns();
	atomic_fetch_add_explicit(&progress->demand_requests, 1, memory_order_relaxed);
	govern_meet(migrate);
}

void progress_woken(struct migrate *migrate, struct waiter *waiter)
{
	struct progress *progress = &migrate->progress;

	if (waiter->need)
		return;
	uint64_t us = (clock_monotonic_ns() - waiter->parked_ns) / NS_PER_US;
	atomic_fetch_sub_explicit(&progress->demand_waiting, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&progress->latency[latency_bucket(us)], 1, memory_order_relaxed);
	load_note(&migrate->load, LOAD_DEMAND, us);
}

void progress_moved(struct migrate *migrate, uint64_t bytes, bool demand)
{
	struct progress *progress = &migrate->progress;

	atomic_fetch_add_explicit(demand ? &progress->demand_bytes : &progress->background_bytes, bytes, memory_order_relaxed);
}

void progress_files(struct migrate *migrate, uint64_t files)
{
	atomic_fetch_add_explicit(&migrate->progress.files, files, memory_order_relaxed);
}

static uint64_t bytes_moved(struct progress *progress)
{
	return atomic_load(&progress->demand_bytes) + atomic_load(&progress->background_bytes);
}

void progress_tick(struct migrate *migrate)
{
	struct progress *progress = &migrate->progress;
	LOCKED(&progress->lock);
	unsigned at = progress->next++ % RATE_SECONDS;

	progress->samples[at].at_ns = clock_monotonic_ns();
	progress->samples[at].bytes = bytes_moved(progress);
	progress->samples[at].files = atomic_load(&progress->files);
	pace_tick(&progress->pace, progress->samples[at].at_ns, progress->samples[at].bytes, progress->samples[at].files);
}

uint64_t latency_percentile(const uint64_t counts[LATENCY_BUCKETS], unsigned pct)
{
	uint64_t total = 0, seen = 0;

	for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
		total += counts[i];
	for (unsigned i = 0; total && i < LATENCY_BUCKETS; i++) {
		seen += counts[i];
		if (seen * 100 >= total * pct)
			return (uint64_t)exp2((i + 0.5) / 4);
	}
	return 0;
}

static uint64_t percentile_us(struct progress *progress, unsigned pct)
{
	uint64_t counts[LATENCY_BUCKETS];

	for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
		counts[i] = atomic_load_explicit(&progress->latency[i], memory_order_relaxed);
	return latency_percentile(counts, pct);
}

static void rates(struct progress *progress, struct migration_stat *stat)
{
	LOCKED(&progress->lock);
	unsigned oldest = progress->next > RATE_SECONDS ? progress->next % RATE_SECONDS : 0;
	uint64_t since = progress->samples[oldest].at_ns ? progress->samples[oldest].at_ns : progress->start_ns;
	double seconds = (double)(clock_monotonic_ns() - since) / (double)NS_PER_S;

	if (seconds < 0.05)
		return;
	stat->rate_bytes_per_s = (uint64_t)((double)(bytes_moved(progress) - progress->samples[oldest].bytes) / seconds);
	stat->rate_files_per_s = (uint64_t)((double)(atomic_load(&progress->files) - progress->samples[oldest].files) / seconds);
}

static int64_t time_remaining(struct progress *progress, const struct migration_stat *stat)
{
	const struct totals *totals = &stat->totals;
	int64_t files = totals->files_found - totals->files_migrated - totals->files_error - totals->files_waived;
	int64_t bytes = totals->bytes_found - totals->bytes_migrated;
	LOCKED(&progress->lock);

	/* The bytes of files that were given up are among those not migrated. */
	return pace_remaining(&progress->pace, files <= 0 && totals->files_waived ? 0 : bytes, files);
}

void progress_stat(struct migrate *migrate, struct migration_stat *stat)
{
	struct progress *progress = &migrate->progress;

	stat->uptime_s = (clock_monotonic_ns() - progress->start_ns) / NS_PER_S;
	stat->demand_requests = atomic_load(&progress->demand_requests);
	stat->demand_waiting = atomic_load(&progress->demand_waiting);
	stat->demand_p50_us = percentile_us(progress, 50);
	stat->demand_p99_us = percentile_us(progress, 99);
	stat->demand_bytes = atomic_load(&progress->demand_bytes);
	stat->background_bytes = atomic_load(&progress->background_bytes);
	rates(progress, stat);
	stat->eta_s = time_remaining(progress, stat);
}
