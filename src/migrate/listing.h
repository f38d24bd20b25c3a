/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The whole listing of one directory of the source, begun anew when the source has lost it.
 */
#ifndef DMM_MIGRATE_LISTING_H
#define DMM_MIGRATE_LISTING_H

#include "source/source.h"

struct whole_listing {
	struct source *source;
	struct dmm_bytes handle;
	/* A negative errno ends the listing, and is its result. */
	source_entry_fn entry;
	/* The names begin anew: those that were given come again, or have gone meanwhile. NULL: that is all the same. */
	void (*anew)(void *context);
	void *context;
	uint64_t ino; /* on the target, for the log; 0: it is not known, or not there */
};

/* *unlisted, unless NULL: as source_unlisted() says of the last one; written when there was one. -ESTALE: the directory is gone. */
int list_whole(const struct whole_listing *whole, int *unlisted);

#endif
