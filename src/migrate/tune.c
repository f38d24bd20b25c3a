/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What can be changed of a migration while it runs. The defaults are those of the table of properties.
 *
 * Workers read each of these values on its own, without a lock, whenever they need it; nothing depends on two of them being of
 * the same moment.
 */
#include "migrate/govern.h"
#include "migrate/internal.h"
#include "property/property.h"

static uint64_t standard(const char *name)
{
	const struct property *property = property_find(name);

	return property_number(property, property->standard);
}

void migrate_default_options(struct migrate_options *options)
{
	*options = (struct migrate_options){
		.segsize = standard("segsize"),
		.whole_at_open = standard("whole"),
		.fill_with_dir = 1 << 20,
		.maxnsproc = (unsigned)standard("maxnsproc"),
		.resnsproc = (unsigned)standard("resnsproc"),
		.maxdfproc = (unsigned)standard("maxdfproc"),
		.resdfproc = (unsigned)standard("resdfproc"),
		.backlog_high = standard("highwater"),
		.backlog_low = standard("lowwater"),
		.error_retries = (unsigned)standard("errorretries"),
		.collision = (enum collision)standard("collision"),
		.background = standard("background"),
		.learn = standard("learn"),
		.digests = standard("verify"),
	};
}

void tuned_set(struct migrate *migrate, const struct migrate_options *options)
{
	struct tuned *tuned = &migrate->tuned;

	atomic_store(&tuned->segsize, options->segsize);
	atomic_store(&tuned->whole_at_open, options->whole_at_open);
	atomic_store(&tuned->backlog_high, options->backlog_high);
	atomic_store(&tuned->backlog_low, options->backlog_low);
	atomic_store(&tuned->maxnsproc, options->maxnsproc);
	atomic_store(&tuned->maxdfproc, options->maxdfproc);
	atomic_store(&tuned->drift, options->drift);
	atomic_store(&tuned->background, options->background);
}

int migrate_tune(struct migrate *migrate, const struct migrate_options *options)
{
	int result = lane_resize(migrate->names, options->maxnsproc, options->resnsproc);

	if (result >= 0)
		result = lane_resize(migrate->data, options->maxdfproc, options->resdfproc);
	if (result < 0)
		return result;
	govern_resize(migrate, options->maxnsproc - options->resnsproc, options->maxdfproc - options->resdfproc);
	ledger_set_retries(&migrate->ledger, options->error_retries);
	tuned_set(migrate, options);
	crawl_poke(migrate);
	return 0;
}
