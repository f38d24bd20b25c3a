/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The listing of one directory of two sources: first all names of the second side, into a table of bounded size; then the first side's
 * entries in its order, each with its partner; then those of the first side that found none by name, and were held back; at last
 * what only the second side has, as entries with the error EREMOTE: they have no owner, mode and data of the first side, and whoever
 * lists decides what becomes of them.
 *
 * Only files and directories have partners. A symbolic link is followed by the SMB server, or not shown; a FIFO, a socket, a device
 * mean nothing to it. Both is as it should be, and no disagreement.
 *
 * When the second side cannot be listed for a reason that lies in this directory, the first side's entries come all the same
 * (join_listing_unlisted()); when it does not answer, the listing fails as if the first had not answered.
 */
#include "source/join.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LIST_ATTEMPTS 3

struct join_listing {
	const struct join *join;
	struct source_file *first;
	struct dmm_bytes second; /* its handle, behind the struct; of length 0: there is none */
	size_t most;
	struct join_names names;
	bool listed;    /* the second side */
	bool one_sided; /* nothing is known of it, so nothing is compared */
	int unlisted;   /* positive errno */
	bool ended;     /* everything was given */
	struct gather held;
	size_t hidden;         /* names of the first side that the second cannot have */
	unsigned char *handle; /* DMM_HANDLE_MAX */
	source_entry_fn entry; /* of the call that runs */
	void *context;
	int given;
};

int join_listing_open(const struct join *join, struct dmm_bytes bytes, size_t most, struct join_listing **result)
{
	struct join_handle handle;
	int ret = join_handle_parse(bytes, &handle);

	if (ret < 0)
		return ret;
	struct join_listing *listing = calloc(1, sizeof(*listing) + handle.second.len);
	if (!listing)
		return -ENOMEM;
	listing->join = join;
	listing->most = most;
	listing->second = (struct dmm_bytes){listing + 1, handle.second.len};
	if (handle.second.len)
		memcpy(listing + 1, handle.second.data, handle.second.len);
	join_names_init(&listing->names, most);
	listing->handle = malloc(DMM_HANDLE_MAX);
	ret = listing->handle ? source_file_open(join->first, handle.first, &listing->first) : -ENOMEM;
	if (ret < 0) {
		join_listing_close(listing);
		return ret;
	}
	*result = listing;
	return 0;
}

void join_listing_close(struct join_listing *listing)
{
	source_file_close(listing->first);
	join_names_free(&listing->names);
	gather_free(&listing->held);
	free(listing->handle);
	free(listing);
}

int join_listing_unlisted(const struct join_listing *listing)
{
	return listing->unlisted;
}

/* --- the second side --- */

static int list_second_once(struct join_listing *listing)
{
	struct source_file *dir;
	int ret = source_file_open(listing->join->second, listing->second, &dir);

	if (ret < 0)
		return ret;
	while ((ret = source_list(dir, join_names_add, &listing->names)) > 0)
		;
	source_file_close(dir);
	return ret;
}

/* Of the machine, or of the whole side: not of this directory. */
static bool is_general(int error)
{
	return source_is_outage(error) || error == -ECANCELED || error == -ENOMEM || error == -EMFILE || error == -ENFILE;
}

/* A listing that broke off begins anew: nothing says that another one goes on at the same place. */
static int list_second(struct join_listing *listing)
{
	int ret = 0;

	for (unsigned attempt = 0; attempt < LIST_ATTEMPTS; attempt++) {
		join_names_free(&listing->names);
		join_names_init(&listing->names, listing->most);
		ret = list_second_once(listing);
		if (ret >= 0 || !(error_ends_connection(ret) || join_may_pass(ret)))
			break;
	}
	if (ret < 0 && is_general(ret))
		return ret;
	listing->listed = true;
	listing->unlisted = ret < 0 ? -ret : 0;
	listing->one_sided = ret < 0;
	if (ret < 0)
		join_names_free(&listing->names);
	return 0;
}

/* --- giving --- */

static int give(struct join_listing *listing, const struct dmm_entry *entry)
{
	listing->given++;
	return listing->entry(listing->context, entry);
}

/* With its partner, or without: NULL. */
static int give_joined(struct join_listing *listing, const struct dmm_entry *entry, const struct join_name *partner,
                       uint8_t flags)
{
	struct dmm_entry joined = *entry;
	struct join_handle handle = {.flags = flags, .first = entry->handle};

	if (S_ISDIR(entry->attr.mode))
		handle.flags |= JOIN_DIR;
	if (partner) {
		handle.size = partner->facts.size;
		handle.mtime = partner->facts.mtime;
		handle.error = (uint32_t)partner->error;
		handle.name = join_names_name(&listing->names, partner);
		handle.name_len = (uint8_t)(flags & JOIN_NAMED ? partner->name_len : 0);
		if (!(flags & (JOIN_TYPE | JOIN_ERROR)))
			handle.second = join_names_handle(&listing->names, partner);
	}
	int len = join_handle_make(&handle, listing->handle);
	joined.handle = (struct dmm_bytes){listing->handle, len < 0 ? 0 : (size_t)len};
	joined.error = len < 0 ? -len : 0;
	return give(listing, &joined);
}

static int give_pair(struct join_listing *listing, const struct dmm_entry *entry, struct join_name *partner, uint8_t flags)
{
	const struct join_facts facts = join_facts_of(&entry->attr);

	partner->matched = true;
	flags |= partner->error ? JOIN_ERROR : join_compare(&facts, &partner->facts);
	return give_joined(listing, entry, partner, flags & JOIN_TYPE ? JOIN_TYPE : flags);
}

static bool has_partner(const struct dmm_entry *entry)
{
	return S_ISREG(entry->attr.mode) || S_ISDIR(entry->attr.mode);
}

static int give_alone(struct join_listing *listing, const struct dmm_entry *entry)
{
	bool legal = join_name_is_legal(entry->name, entry->name_len);

	listing->hidden += !legal;
	return give_joined(listing, entry, NULL, !has_partner(entry) ? 0 : legal ? JOIN_ALONE : JOIN_HIDDEN);
}

static int take_first(void *context, const struct dmm_entry *entry)
{
	struct join_listing *listing = context;
	struct join_name *partner = join_names_find(&listing->names, entry->name, entry->name_len);

	if (partner)
		partner->matched = true;
	if (entry->error)
		return give(listing, entry);
	if (listing->one_sided)
		return give_joined(listing, entry, NULL, 0);
	if (partner && has_partner(entry))
		return give_pair(listing, entry, partner, 0);
	/* It may have another name on the second side, which is known when all names of both were seen. */
	if (!has_partner(entry) || gather_add(&listing->held, entry) < 0)
		return partner ? give_joined(listing, entry, NULL, 0) : give_alone(listing, entry);
	return 0;
}

static int take_held(void *context, const struct dmm_entry *entry)
{
	struct join_listing *listing = context;
	struct join_name *partner = join_names_like(&listing->names, entry);

	return partner ? give_pair(listing, entry, partner, JOIN_NAMED) : give_alone(listing, entry);
}

static int give_rest(struct join_listing *listing)
{
	int ret = 0;

	for (size_t i = 0; i < listing->names.count && ret >= 0; i++) {
		const struct join_name *name = &listing->names.all[i];
		const char *text = join_names_name(&listing->names, name);
		if (name->matched)
			continue;
		if (listing->hidden && join_name_is_made_up(text, name->name_len)) {
			listing->hidden--; /* one of these it stands for */
			continue;
		}
		const struct dmm_entry alone = {.name = text, .name_len = name->name_len, .error = EREMOTE};
		ret = give(listing, &alone);
	}
	return ret;
}

static int end(struct join_listing *listing)
{
	int ret = listing->one_sided ? 0 : join_names_rest(&listing->names);

	listing->ended = true;
	if (ret >= 0)
		ret = gather_deliver(&listing->held, take_held, listing);
	return ret < 0 ? ret : give_rest(listing);
}

int join_list(struct join_listing *listing, source_entry_fn entry, void *context)
{
	int ret = 0;

	if (listing->ended)
		return 0;
	if (!listing->second.len)
		listing->one_sided = true;
	else if (!listing->listed)
		ret = list_second(listing);
	if (ret < 0)
		return ret;
	listing->entry = entry;
	listing->context = context;
	listing->given = 0;
	ret = source_list(listing->first, take_first, listing);
	if (ret != 0)
		return ret;
	ret = end(listing);
	return ret < 0 ? ret : listing->given;
}
