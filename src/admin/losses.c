/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The loss report, in one pass over the ledger: a count for each kind, the first entries of each, and what the way to the source
 * can never carry. An object counts once for a kind, however many of its attributes were lost: a set of hashes of kind and path
 * tells them apart, 16 bytes an object at most.
 */
#include "admin/losses.h"

#include "admin/admin.h"
#include "admin/json.h"
#include "admin/request.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "migrate/loss.h"
#include "wire/bytes.h"
#include "wire/frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_MOST 10   /* entries of each kind in an answer; "loss-list" gives them all */
#define KEPT_MOST 1000  /* of a migration that is finished */
#define PAGE_MOST 10000 /* of a list */
#define PAGE_BYTES (FRAME_REPLY_MAX / 8)

/* --- objects --- */

struct seen {
	uint64_t *hashes; /* 0: free */
	size_t room, count;
};

static uint64_t hash_of(enum loss_kind kind, const struct error_record *record)
{
	uint64_t hash = 14695981039346656037ull ^ (uint64_t)kind;

	for (const char *at = record->path; *at; at++)
		hash = (hash ^ (unsigned char)*at) * 1099511628211ull;
	if (!*record->path) /* too deep, or gone: the inode has to do */
		hash = (hash ^ record->ino) * 1099511628211ull;
	return hash ? hash : 1;
}

static uint64_t *place_of(const struct seen *seen, uint64_t hash)
{
	size_t at = (hash * 0x9E3779B97F4A7C15ull) & (seen->room - 1);

	while (seen->hashes[at] && seen->hashes[at] != hash)
		at = (at + 1) & (seen->room - 1);
	return &seen->hashes[at];
}

static int grow(struct seen *seen)
{
	struct seen larger = {.room = seen->room ? 2 * seen->room : 1024, .count = seen->count};

	larger.hashes = calloc(larger.room, sizeof(*larger.hashes));
	if (!larger.hashes)
		return -ENOMEM;
	for (size_t i = 0; i < seen->room; i++)
		if (seen->hashes[i])
			*place_of(&larger, seen->hashes[i]) = seen->hashes[i];
	free(seen->hashes);
	*seen = larger;
	return 0;
}

/* 1: it was not known. */
static int note(struct seen *seen, uint64_t hash)
{
	if (2 * seen->count >= seen->room && grow(seen) < 0)
		return -ENOMEM;
	uint64_t *place = place_of(seen, hash);
	if (*place)
		return 0;
	*place = hash;
	seen->count++;
	return 1;
}

/* --- the report --- */

struct losses {
	size_t most; /* listed of each kind */
	uint64_t objects[LOSS_KINDS], entries[LOSS_KINDS];
	json_t *listed[LOSS_KINDS], *never;
	struct seen seen;
};

static json_t *json_of_loss(enum loss_kind kind, const struct error_record *record)
{
	json_t *object = json_pack("{s:o, s:s, s:s}", "id", json_of_count(record->id), "kind", loss_kind_name(kind), "error",
	                           errno_name(record->error));
	if (bytes_set(object, "path", record->path) | bytes_set(object, "what", record->what) |
	    bytes_set(object, "detail", record->detail)) {
		json_decref(object);
		return NULL;
	}
	return object;
}

static int add_never(struct losses *losses, enum loss_kind kind, const struct error_record *record)
{
	json_t *object = json_pack("{s:s}", "kind", loss_kind_name(kind));

	if (bytes_set(object, "explanation", record->detail)) {
		json_decref(object);
		return -ENOMEM;
	}
	return json_array_append_new(losses->never, object) ? -ENOMEM : 0;
}

struct losses *admin_losses_new(size_t most)
{
	struct losses *losses = calloc(1, sizeof(*losses));

	if (!losses)
		return NULL;
	losses->most = most;
	losses->never = json_array();
	for (enum loss_kind kind = 0; kind < LOSS_KINDS; kind++)
		losses->listed[kind] = json_array();
	return losses;
}

int admin_losses_take(void *context, const struct error_record *record)
{
	struct losses *losses = context;
	enum loss_kind kind = loss_of(record);

	if (kind == LOSS_KINDS)
		return 0;
	if (record->kind == ERROR_PROTOCOL)
		return add_never(losses, kind, record);
	int is_new = note(&losses->seen, hash_of(kind, record));
	if (is_new < 0)
		return is_new;
	losses->objects[kind] += (uint64_t)is_new;
	losses->entries[kind]++;
	if (json_array_size(losses->listed[kind]) >= losses->most)
		return 0;
	return json_array_append_new(losses->listed[kind], json_of_loss(kind, record)) ? -ENOMEM : 0;
}

static json_t *json_of_kind(const struct losses *losses, enum loss_kind kind)
{
	return json_pack("{s:s, s:s, s:o, s:o, s:O}", "kind", loss_kind_name(kind), "explanation", loss_kind_means(kind),
	                 "objects", json_of_count(losses->objects[kind]), "losses", json_of_count(losses->entries[kind]),
	                 "listed", losses->listed[kind]);
}

json_t *admin_losses_end(struct losses *losses)
{
	json_t *kinds = json_array();
	int bad = 0;

	for (enum loss_kind kind = 0; kind < LOSS_KINDS; kind++) {
		if (losses->entries[kind])
			bad |= json_array_append_new(kinds, json_of_kind(losses, kind));
		json_decref(losses->listed[kind]);
	}
	json_t *object = json_pack("{s:o, s:o}", "never", losses->never, "kinds", kinds);
	free(losses->seen.hashes);
	free(losses);
	if (bad) {
		json_decref(object);
		return NULL;
	}
	return object;
}

static int make(const struct migration_port *port, size_t most, json_t **object)
{
	struct losses *losses = admin_losses_new(most);
	int result = losses ? port->errors_after(port->context, 0, admin_losses_take, losses) : -ENOMEM;

	*object = losses ? admin_losses_end(losses) : NULL;
	if (result >= 0 && *object)
		return 0;
	json_decref(*object);
	*object = NULL;
	return result < 0 ? result : -ENOMEM;
}

char *admin_losses_text(const struct migration_port *port)
{
	json_t *object;

	if (make(port, KEPT_MOST, &object) < 0)
		return NULL;
	char *text = json_dumps(object, JSON_COMPACT);
	json_decref(object);
	return text;
}

json_t *answer_losses(const struct migration_port *port, uint32_t migid, const json_t *request)
{
	json_t *object;
	int error = make(port, SHOWN_MOST, &object);

	(void)request;
	if (error)
		return request_refuse(error, "the losses of migration %u can not be read: %s", migid, strerror(-error));
	return json_pack("{s:b, s:o}", "ok", 1, "losses", object);
}

/* --- the list --- */

struct page {
	json_t *entries;
	enum loss_kind kind; /* of these alone; LOSS_KINDS: of all */
	size_t bytes;
	bool more;
};

static int add_entry(void *context, const struct error_record *record)
{
	struct page *page = context;
	enum loss_kind kind = loss_of(record);

	if (kind == LOSS_KINDS || record->kind == ERROR_PROTOCOL || (page->kind != LOSS_KINDS && page->kind != kind))
		return 0;
	if (json_array_size(page->entries) >= PAGE_MOST || page->bytes >= PAGE_BYTES) {
		page->more = true;
		return 1;
	}
	page->bytes += 256 + strlen(record->path) + strlen(record->detail) + strlen(record->what);
	return json_array_append_new(page->entries, json_of_loss(kind, record)) ? -ENOMEM : 0;
}

json_t *answer_loss_list(const struct migration_port *port, uint32_t migid, const json_t *request)
{
	const json_t *after = json_object_get(request, "after"), *name = json_object_get(request, "kind");
	struct page page = {.kind = json_is_string(name) ? loss_kind_of(json_string_value(name)) : LOSS_KINDS};

	if ((after && (!json_is_integer(after) || json_integer_value(after) < 0)) || (name && page.kind == LOSS_KINDS))
		return request_refuse(EINVAL, "'loss-list' takes an id as \"after\" and a kind of loss as \"kind\"");
	page.entries = json_array();
	int error = port->errors_after(port->context, (uint64_t)json_integer_value(after), add_entry, &page);
	if (error < 0) {
		json_decref(page.entries);
		return request_refuse(error, "the losses of migration %u can not be read: %s", migid, strerror(-error));
	}
	return json_pack("{s:b, s:o, s:b}", "ok", 1, "entries", page.entries, "more", page.more);
}
