/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A listing goes on in the session alone that it was begun in, and at a place that the server must know again. When the session ends in
 * between, because the server is started anew or a ticket has run out, or when the server does not know the place any more (NFS: a
 * cookie or its verifier), another one is begun: whoever looks into the directory is no worse off than who reads a file.
 *
 * What an entry's function refuses is none of this, whatever the error: another listing would pass over its name, which was given.
 *
 * ESTALE has two meanings. Before the first entries were given it is the directory that the server does not know; after them it may be
 * the place, and the next opening tells which.
 */
#include "migrate/listing.h"

#include "base/log.h"

#include <errno.h>

#define LOST_MOST 5

struct run {
	const struct whole_listing *whole;
	bool begun;   /* entries of this listing were given */
	bool refused; /* by the entry's function */
};

static int give(void *context, const struct dmm_entry *entry)
{
	struct run *run = context;
	int result = run->whole->entry(run->whole->context, entry);

	run->begun = true;
	run->refused = result < 0;
	return result;
}

static int list_once(struct run *run, int *unlisted)
{
	struct source_file *listing;
	int result = source_file_open(run->whole->source, run->whole->handle, &listing);

	run->begun = false;
	if (result < 0)
		return result;
	while ((result = source_list(listing, give, run)) > 0)
		;
	if (unlisted)
		*unlisted = source_unlisted(listing);
	source_file_close(listing);
	return result;
}

static bool is_lost(const struct run *run, int result)
{
	return !run->refused && (source_listing_is_lost(result) || (result == -ESTALE && run->begun));
}

int list_whole(const struct whole_listing *whole, int *unlisted)
{
	struct run run = {.whole = whole};
	int result = list_once(&run, unlisted);

	for (unsigned lost = 0; is_lost(&run, result); lost++) {
		if (lost == LOST_MOST)
			return result == -ESTALE ? -EREMOTEIO : result; /* the directory is there each time */
		log_info("a listing was lost by the source and is begun anew: ino=%llu error=%s", (unsigned long long)whole->ino,
		         errno_name(result));
		if (whole->anew)
			whole->anew(whole->context);
		result = list_once(&run, unlisted);
	}
	return result;
}
