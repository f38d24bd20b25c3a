/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A source that cannot be reached: one condition, not an error of each file (source/retry.c). Meanwhile the background begins
 * nothing new and asks every few seconds whether the source is back; when it is, all that failed for its sake is due at once.
 *
 * Thread: the crawl's, and the probe's on the lane for names.
 */
#include "migrate/internal.h"

#include "base/clock.h"

#define PROBE_NS (2 * NS_PER_S)

static int ignore(void *context, const struct dmm_entry *entry)
{
	(void)context;
	(void)entry;
	return 0;
}

/* That there is an answer is all that matters, and the source port sees that. */
static void run_probe(struct lane_job *job)
{
	struct outage *outage = (struct outage *)((char *)job - offsetof(struct outage, job));

	source_root(outage->migrate->source, ignore, NULL);
	atomic_store(&outage->probing, false);
}

static void probe(struct migrate *migrate)
{
	struct outage *outage = &migrate->outage;
	uint64_t now = clock_monotonic_ns();

	if (now - outage->probed_ns < PROBE_NS || atomic_exchange(&outage->probing, true))
		return;
	outage->probed_ns = now;
	outage->migrate = migrate;
	outage->job.run = run_probe;
	if (!lane_submit(migrate->names, &outage->job, LANE_READAHEAD))
		atomic_store(&outage->probing, false);
}

bool outage_look(struct migrate *migrate)
{
	struct source_reach reach;

	source_reach(migrate->source, &reach);
	if (reach.recoveries != migrate->outage.recoveries) {
		migrate->outage.recoveries = reach.recoveries;
		ledger_source_back(&migrate->ledger);
	}
	if (reach.down)
		probe(migrate);
	return reach.down;
}

bool outage_explains(struct migrate *migrate, int error)
{
	struct source_reach reach;

	if (!source_is_outage(error))
		return false;
	source_reach(migrate->source, &reach);
	return reach.down;
}
