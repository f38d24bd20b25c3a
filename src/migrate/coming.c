/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Between the listing of a directory and the making of its entries: a window of entries for which the source was asked already, so
 * that many answers are on their way while one entry is made. Entries are made in the order of the listing, as without it, and
 * nothing else changes: what could not be had ahead is asked for when the entry's turn comes, by the ordinary call.
 *
 * The window is bounded by entries and by bytes, since what is on its way stands before what somebody waits for. As soon as somebody
 * waits for the directory no data is waited for any more, and the files that lack theirs become placeholders (I6).
 *
 * Threads: that of the population.
 */
#include "migrate/coming.h"

#include "base/cleanup.h"
#include "migrate/entry.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#define COMING_MOST 64u /* entries; at most SOURCE_AHEAD_MOST */
#define COMING_BYTES (2ull << 20)
/* A full window is emptied to this part of it before more is asked: requests that go out together cost less on both sides than as
 * many that go one by one. */
#define COMING_LEFT(most) ((most) / 2)
#define LOSSES_BYTES (256u << 10) /* that one object may tell of */

struct comings {
	struct source_ahead *ahead;
	unsigned first, used; /* a ring */
	uint64_t bytes;       /* of data asked for */
	struct coming ring[COMING_MOST];
};

struct comings *comings_new(struct making *making)
{
	struct source_ahead *ahead = source_ahead_new(making->migrate->source, !making->fill);
	struct comings *comings = ahead ? must_alloc(sizeof(*comings)) : NULL;

	if (comings)
		comings->ahead = ahead;
	return comings;
}

void comings_free(struct comings *comings)
{
	if (!comings)
		return;
	source_ahead_free(comings->ahead);
	for (unsigned i = 0; i < COMING_MOST; i++) {
		free(comings->ring[i].bytes);
		free(comings->ring[i].link_text);
		free(comings->ring[i].losses);
		free(comings->ring[i].data);
		xattr_set_free(&comings->ring[i].xattrs);
	}
	free(comings);
}

/* --- asking --- */

static void need_room(char **bytes, size_t *size, size_t wanted)
{
	if (*size >= wanted)
		return;
	free(*bytes);
	*size = wanted + wanted / 2;
	*bytes = buffer_alloc(*size);
}

static void keep_entry(struct coming *coming, const struct dmm_entry *entry)
{
	need_room(&coming->bytes, &coming->bytes_size, entry_room(entry));
	entry_copy(&coming->entry, entry, coming->bytes);
}

/* Those with several names are not made with this directory (births.c). */
static bool made_here(const struct dmm_entry *entry)
{
	const struct dmm_attr *attr = &entry->attr;

	return !entry->error && (S_ISDIR(attr->mode) || !(attr->valid & DMM_ATTR_NLINK) || attr->nlink <= 1);
}

/* --- the sinks: maybe in a thread of the plugin, before the entry is taken --- */

static int keep_xattr(void *context, const char *name, const void *value, size_t len)
{
	struct coming *coming = context;

	return make_keep_xattr(&coming->xattrs, name, value, len);
}

static int keep_loss(void *context, const char *kind, const char *detail)
{
	struct coming *coming = context;
	size_t kind_len = strlen(kind) + 1, detail_len = strlen(detail) + 1;
	size_t len = coming->losses_len + kind_len + detail_len;

	if (len > LOSSES_BYTES)
		return -EMSGSIZE;
	if (len > coming->losses_size) {
		char *grown = realloc(coming->losses, 2 * len);
		if (!grown)
			return -ENOMEM;
		coming->losses = grown;
		coming->losses_size = 2 * len;
	}
	memcpy(coming->losses + coming->losses_len, kind, kind_len);
	memcpy(coming->losses + coming->losses_len + kind_len, detail, detail_len);
	coming->losses_len = len;
	return 0;
}

static void wish_for(struct making *making, struct coming *coming, struct source_wish *wish)
{
	const struct dmm_attr *attr = &coming->entry.attr;

	wish->handle = coming->entry.handle;
	if (S_ISLNK(attr->mode)) {
		if (!coming->link_text)
			coming->link_text = buffer_alloc(PATH_MAX);
		wish->link = coming->link_text;
		wish->link_size = PATH_MAX;
	}
	if (source_capabilities(making->migrate->source) & DMM_CAP_XATTR) {
		xattr_set_clear(&coming->xattrs);
		coming->losses_len = 0;
		wish->xattr = keep_xattr;
		wish->loss = keep_loss;
		wish->context = coming;
	}
	coming->with_data = S_ISREG(attr->mode) && fill_wanted(making, attr);
	coming->governed = coming->with_data && !coming->verdict.bring;
	if (coming->with_data) {
		need_room(&coming->data, &coming->data_size, attr->size);
		wish->data = coming->data;
		wish->bytes = attr->size;
	}
}

static int make_oldest(struct making *making);

int comings_add(struct making *making, const struct dmm_entry *entry)
{
	struct comings *comings = making->comings;
	struct source_wish wish = {0};
	struct verdict verdict = making->verdict;

	bool full = comings->used == COMING_MOST || comings->bytes >= COMING_BYTES;
	while (full && (comings->used > COMING_LEFT(COMING_MOST) || comings->bytes > COMING_LEFT(COMING_BYTES))) {
		int result = make_oldest(making);
		if (result < 0)
			return result;
	}
	making->verdict = verdict; /* of this one again */
	struct coming *coming = &comings->ring[(comings->first + comings->used++) % COMING_MOST];
	keep_entry(coming, entry);
	coming->verdict = verdict;
	coming->with_data = false;
	if (made_here(entry))
		wish_for(making, coming, &wish);
	comings->bytes += wish.bytes;
	source_ahead_add(comings->ahead, &wish);
	return 0;
}

/* --- making --- */

static bool is_hurried(const struct making *making)
{
	return __atomic_load_n(&making->dir->hurry, __ATOMIC_RELAXED);
}

static int make_oldest(struct making *making)
{
	struct comings *comings = making->comings;
	struct coming *coming = &comings->ring[comings->first];
	bool hurried = is_hurried(making);

	source_ahead_take(comings->ahead, !hurried, &coming->found);
	comings->first = (comings->first + 1) % COMING_MOST;
	comings->used--;
	comings->bytes -= coming->with_data ? coming->entry.attr.size : 0;
	if (hurried && coming->with_data && !coming->found.data_known) {
		coming->with_data = false;
		if (coming->governed)
			govern_give_back(making->migrate, coming->entry.attr.size);
	}
	making->verdict = coming->verdict;
	making->coming = coming;
	int result = populate_take(making, &coming->entry);
	making->coming = NULL;
	return result;
}

int comings_end(struct making *making)
{
	int result = 0;

	while (result >= 0 && making->comings->used)
		result = make_oldest(making);
	return result;
}

int coming_link(const struct coming *coming, char *link_text)
{
	if (coming->found.link >= 0)
		memcpy(link_text, coming->link_text, (size_t)coming->found.link + 1);
	return coming->found.link;
}

int coming_attributes(struct coming *coming, struct xattr_set *xattrs, source_loss_fn loss, void *context)
{
	struct xattr_set empty = *xattrs;
	int found = coming->found.xattrs, result = found;

	*xattrs = coming->xattrs;
	coming->xattrs = empty;
	for (size_t at = 0; result >= 0 && at < coming->losses_len;) {
		const char *kind = coming->losses + at, *detail = kind + strlen(kind) + 1;
		result = loss(context, kind, detail);
		at += (size_t)(detail - kind) + strlen(detail) + 1;
	}
	return result < 0 ? result : found;
}
