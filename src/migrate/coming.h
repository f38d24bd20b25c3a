/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The entries of a directory that were listed and not made yet, while the source is asked for their texts, attributes and data.
 */
#ifndef DMM_MIGRATE_COMING_H
#define DMM_MIGRATE_COMING_H

#include "migrate/make.h"

struct coming {
	struct dmm_entry entry; /* what it points to is in `bytes` */
	char *bytes;
	size_t bytes_size;
	struct verdict verdict;
	bool with_data; /* a small file comes with its data */
	bool governed;  /* its bytes were taken from what the background may have */
	char *link_text;
	struct xattr_set xattrs;
	char *losses; /* what of it cannot be carried: kind and detail, each with its NUL, one after the other */
	size_t losses_len, losses_size;
	char *data;
	size_t data_size;
	struct source_found found;
};

/* NULL: nothing is gained by asking this source ahead. */
struct comings *comings_new(struct making *making);
/* Asks for the entry, and makes the oldest ones when there are many. As populate_take(), of those. */
int comings_add(struct making *making, const struct dmm_entry *entry);
/* Makes all that are left. */
int comings_end(struct making *making);
/* Those that were not made are forgotten. NULL is none. */
void comings_free(struct comings *comings);

/* Of the entry that is made now: are its bytes here, or the error that it has? */
static inline bool coming_has_data(const struct making *making)
{
	return making->coming && making->coming->with_data && making->coming->found.data_known;
}

/* What was found of a link, or an error, into link_text[PATH_MAX]. */
int coming_link(const struct coming *coming, char *link_text);
/* `xattrs` is empty, and gets what was found; what cannot be carried goes to `loss`. */
int coming_attributes(struct coming *coming, struct xattr_set *xattrs, source_loss_fn loss, void *context);

#endif
