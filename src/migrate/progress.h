/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Counters of the running daemon that need not survive it: rates, latencies of demand, bytes moved by demand and background.
 */
#ifndef DMM_MIGRATE_PROGRESS_H
#define DMM_MIGRATE_PROGRESS_H

#include "migrate/pace.h"
#include "monitor/monitor.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

/* Latencies in buckets of a factor of 2^(1/4): within 19 % over 1 us to more than an hour. */
#define LATENCY_BUCKETS 128
/* Rates over the last seconds. */
#define RATE_SECONDS 10

/* The bucket of a latency, and the latency (us) below which so many percent of the samples in `counts` lie: 0 without any. */
unsigned latency_bucket(uint64_t us);
uint64_t latency_percentile(const uint64_t counts[LATENCY_BUCKETS], unsigned pct);

struct migrate;
struct migration_stat;

struct progress {
	uint64_t start_ns;
	atomic_ullong demand_requests, demand_waiting;
	atomic_ullong latency[LATENCY_BUCKETS];
	atomic_ullong demand_bytes, background_bytes, files;
	pthread_mutex_t lock; /* the ring of samples */
	struct {
		uint64_t at_ns, bytes, files;
	} samples[RATE_SECONDS];
	unsigned next;
	struct pace pace; /* with the lock of the samples */
};

void progress_init(struct progress *progress);
void progress_parked(struct migrate *migrate, struct waiter *waiter);
void progress_woken(struct migrate *migrate, struct waiter *waiter);
void progress_moved(struct migrate *migrate, uint64_t bytes, bool demand);
void progress_files(struct migrate *migrate, uint64_t files);
/* Called about once a second by the crawl. */
void progress_tick(struct migrate *migrate);
void progress_stat(struct migrate *migrate, struct migration_stat *stat);

#endif
