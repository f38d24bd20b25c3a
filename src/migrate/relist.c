/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A directory that changes at the source while it is listed: a listing in pieces may leave out a name that came meanwhile, or one that
 * was renamed, and nothing would ever tell of it.
 *
 * After the listing the directory's modification time is compared with that of when its parent was listed: one request for each
 * directory. Only where they differ it is listed again, until the time is the same before and after. What is met for the first time is
 * made like any other entry. What is not met any more stays as it is: a file of it that has not come is an error when it is fetched.
 * What came or went is told, once for the directory, and so is one that never rests.
 *
 * A time that an application has set meanwhile costs one listing more, and is told of nowhere.
 */
#include "migrate/listing.h"
#include "migrate/make.h"
#include "migrate/names.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>

#define ROUNDS 3

struct relisting {
	struct making *making;
	struct name_set *seen; /* by this listing */
	unsigned came;         /* by all of them */
};

static int take_mtime(void *context, const struct dmm_entry *entry)
{
	*(struct moment *)context = (struct moment){entry->attr.mtime.sec, entry->attr.mtime.nsec};
	return 0;
}

/* False: it cannot be looked at. */
static bool look(struct making *making, struct moment *mtime)
{
	const struct object *dir = making->dir;

	return source_attr(making->migrate->source, (struct dmm_bytes){dir->source_bytes, dir->source_len}, take_mtime, mtime) >=
	       0;
}

static bool same(struct moment one, struct moment other)
{
	return one.sec == other.sec && one.nsec == other.nsec;
}

static struct moment listed_mtime(struct object *dir)
{
	LOCKED(&dir->lock);
	return dir->dir.mtime;
}

static int take(void *context, const struct dmm_entry *entry)
{
	struct relisting *relisting = context;
	struct making *making = relisting->making;

	name_set_add(relisting->seen, entry->name);
	if (name_set_has(making->names, entry->name))
		return 0;
	relisting->came++;
	return populate_take_entry(making, entry);
}

static void see_anew(void *context)
{
	struct relisting *relisting = context;

	name_set_free(relisting->seen);
	relisting->seen = name_set_new();
}

static int list_again(struct relisting *relisting)
{
	const struct object *dir = relisting->making->dir;

	see_anew(relisting);
	return source_result(list_whole(&(struct whole_listing){.source = dir->migrate->source,
	                                                        .handle = {dir->source_bytes, dir->source_len},
	                                                        .entry = take,
	                                                        .anew = see_anew,
	                                                        .context = relisting,
	                                                        .ino = dir->ino},
	                                NULL));
}

static unsigned count_gone(const struct relisting *relisting)
{
	unsigned gone = 0;
	size_t at = 0;

	for (const char *name; (name = name_set_next(relisting->making->names, &at));)
		gone += !name_set_has(relisting->seen, name);
	return gone;
}

static void tell(struct relisting *relisting, bool rests)
{
	struct making *making = relisting->making;
	unsigned gone = count_gone(relisting);
	char detail[256];

	if (rests && relisting->came == 0 && gone == 0)
		return;
	snprintf(detail, sizeof(detail),
	         "the directory changed at the source while it was listed: %u names came and are here, %u went and stay as they "
	         "are%s",
	         relisting->came, gone, rests ? "" : "; it goes on changing, and more may be missing");
	ledger_loss(&making->migrate->ledger,
	            &(struct failure){.ino = making->dir->ino,
	                              .handle = &making->dir->handle,
	                              .is_dir = true,
	                              .what = "drift",
	                              .detail = detail,
	                              .error = -ESTALE,
	                              .drift = true},
	            making->batch);
}

int relist(struct making *making)
{
	struct relisting relisting = {.making = making};
	struct moment before = listed_mtime(making->dir), now;
	bool rests = true;
	int result = 0;

	if (!look(making, &now) || same(before, now))
		return 0;
	relisting.seen = name_set_new();
	for (unsigned round = 0; result >= 0 && round < ROUNDS; round++) {
		before = now;
		result = list_again(&relisting);
		rests = result < 0 || !look(making, &now) || same(before, now);
		if (rests)
			break;
	}
	if (result >= 0)
		tell(&relisting, rests);
	name_set_free(relisting.seen);
	return result < 0 ? result : 0;
}
