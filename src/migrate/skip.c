/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Judging the entries of a directory that is populated, and leaving those out that an order skips.
 *
 * What is skipped does not come over, as if it were not at the source: applications do not see it and may make their own. It is a
 * loss that the administrator has asked for: recorded with the batch of its directory, waived, so that nothing waits for it and the
 * report names it. Of a directory only its top is recorded; of one directory at most LISTED_MAX names one by one, the others by
 * their number (I12).
 */
#include "migrate/make.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#define LISTED_MAX 100u
#define CLAUSE_MAX 256 /* of a longer clause the beginning is told */

void make_judging_begin(struct making *making)
{
	struct migrate *migrate = making->migrate;

	making->judging = order_judges(migrate);
	if (!making->judging)
		return;
	making->path = buffer_alloc(PATH_MAX);
	int result = target_path(migrate->target, making->dirfd, making->path, PATH_MAX);
	if (result < 0) /* deeper than a path can say: as if none of the rules named it */
		making->path[0] = '\0';
	if (result < 0)
		log_debug("the path of a directory can not be told: ino=%llu error=%s", (unsigned long long)making->dir->ino,
		          errno_name(result));
	making->path_len = strlen(making->path);
}

static void record_skip(struct making *making, const char *path, const char *detail, uint64_t bytes)
{
	uint64_t now = clock_wall_ns();
	struct error_record record = {.id = store_error_id(making->migrate->store),
	                              .ino = making->dir->ino,
	                              .kind = ERROR_LOSS,
	                              .state = ERROR_WAIVED,
	                              .error = ECANCELED,
	                              .first_ns = now,
	                              .last_ns = now,
	                              .bytes = bytes,
	                              .what = (char *)"skip",
	                              .path = (char *)path,
	                              .detail = (char *)detail};

	batch_error_put(making->batch, &record);
}

/* What the rules are asked about; making->path becomes that of the entry. */
static struct rule_object entry_object(struct making *making, const struct dmm_entry *entry)
{
	const struct dmm_attr *attr = &entry->attr;
	size_t room = PATH_MAX - making->path_len;

	int len = snprintf(making->path + making->path_len, room, "%s%s", making->path_len ? "/" : "", entry->name);
	struct rule_object object = {.path = making->path,
	                             .is_dir = S_ISDIR(attr->mode),
	                             .size = S_ISREG(attr->mode) ? attr->size : 0,
	                             .mtime_s = attr->mtime.sec,
	                             .owner = attr->uid};
	if (len >= (int)room) /* longer than a path can be: no rule names it */
		object.path = entry->name;
	return object;
}

/* making->path becomes that of the entry. */
static void judge(struct making *making, const struct dmm_entry *entry)
{
	struct rule_object object = entry_object(making, entry);

	order_judge(making->migrate, &object, &making->verdict);
}

static void record_entry(struct making *making, const struct dmm_entry *entry)
{
	char clause[CLAUSE_MAX], detail[CLAUSE_MAX + 64];
	struct rule_object object = entry_object(making, entry);

	order_skip_clause(making->migrate, &object, clause, sizeof(clause));
	snprintf(detail, sizeof(detail), "the order says so%s%s%s%s", *clause ? " (" : "", clause, *clause ? ")" : "",
	         object.is_dir ? "; with all that is in it" : "");
	record_skip(making, making->path, detail, object.size);
}

bool make_skips(struct making *making, const struct dmm_entry *entry)
{
	judge(making, entry);
	making->path[making->path_len] = '\0';
	return making->verdict.skip;
}

bool make_skip(struct making *making, const struct dmm_entry *entry)
{
	judge(making, entry);
	if (making->verdict.skip) {
		making->delta.skipped++;
		if (making->skipped++ < LISTED_MAX)
			record_entry(making, entry);
	}
	making->path[making->path_len] = '\0';
	return making->verdict.skip;
}

void make_skipped_end(struct making *making)
{
	char detail[64];

	if (making->skipped <= LISTED_MAX)
		return;
	snprintf(detail, sizeof(detail), "the order says so; %u more names of this directory", making->skipped - LISTED_MAX);
	record_skip(making, making->path, detail, 0);
}

void make_offer(struct making *making, uint64_t ino, uint64_t bytes)
{
	if (making->n_offers == making->offers_cap) {
		making->offers_cap = making->offers_cap ? making->offers_cap * 2 : 64;
		making->offers = realloc(making->offers, making->offers_cap * sizeof(*making->offers));
		if (!making->offers)
			abort();
	}
	making->offers[making->n_offers++] = (struct offer){.ino = ino, .bytes = bytes, .verdict = making->verdict};
}
