/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the administrator decides about errors: try again now, or accept the loss.
 *
 * First it is found out which entries are meant, and all that was named must mean one; then each is changed by itself, as it is
 * then: what was fixed in between, or decided by another administrator, is left as it is. Both may be repeated.
 *
 * Lock: deciding, from the look to the last change. Names are read from the store and written back under it; the flush before
 * makes that the newest.
 */
#include "migrate/internal.h"

#include "base/cleanup.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

struct deciding {
	struct migrate *migrate;
	enum error_decision decision;
	const struct error_target *targets;
	size_t count;
	bool *met; /* by target: it means something */
	uint64_t *ids;
	size_t n_ids, cap;
	struct decision_result *result;
};

static bool is_below(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return strncmp(path, dir, len) == 0 && (len == 0 || path[len] == '\0' || path[len] == '/');
}

static bool means(const struct error_target *target, const struct error_record *record)
{
	if (target->id)
		return target->id == record->id;
	return is_below(record->path, target->path) ||
	       (target->ino && target->ino == record->ino && record->kind <= ERROR_OF_FILE);
}

/* Losses and drift are told, and that is all; what is waived is tried again only when it is named. */
static bool is_open(const struct deciding *deciding, const struct error_record *record)
{
	if (record->kind > ERROR_OF_NAME)
		return false;
	return deciding->count > 0 || record->state != ERROR_WAIVED;
}

static bool is_meant(struct deciding *deciding, const struct error_record *record)
{
	bool meant = deciding->count == 0;

	for (size_t i = 0; i < deciding->count; i++)
		if (means(&deciding->targets[i], record))
			deciding->met[i] = meant = true;
	return meant;
}

static int choose(void *context, const struct error_record *record)
{
	struct deciding *deciding = context;

	if (!is_meant(deciding, record) || !is_open(deciding, record))
		return 0;
	if (deciding->n_ids == deciding->cap) {
		deciding->cap = deciding->cap ? deciding->cap * 2 : 64;
		deciding->ids = realloc(deciding->ids, deciding->cap * sizeof(*deciding->ids));
		if (!deciding->ids)
			abort();
	}
	deciding->ids[deciding->n_ids++] = record->id;
	return 0;
}

static int meet_fixed(void *context, const struct error_record *record)
{
	struct deciding *deciding = context;

	if (deciding->count && is_meant(deciding, record))
		deciding->result->unchanged++;
	return 0;
}

static int find_unmet(struct deciding *deciding)
{
	char *message = deciding->result->message;
	size_t size = sizeof(deciding->result->message);

	for (size_t i = 0; i < deciding->count; i++) {
		const struct error_target *target = &deciding->targets[i];
		if (deciding->met[i])
			continue;
		if (target->id)
			snprintf(message, size, "there is no error %llu", (unsigned long long)target->id);
		else
			snprintf(message, size, "there is no error at or below \"%s\"", target->path);
		return -ENOENT;
	}
	return 0;
}

/* --- one entry --- */

/* A directory or a file gets its attempt now, whatever the crawl is at. */
static void try_object(struct migrate *migrate, const struct error_record *record)
{
	struct object *object;

	if (object_get(migrate, record->ino, NULL, record->kind == ERROR_OF_DIR, &object) <= 0)
		return;
	pthread_mutex_lock(&object->lock);
	object->error = 0;
	object->drift_accepted = true;
	pthread_mutex_unlock(&object->lock);
	if (object->is_dir)
		populate_request(object, LANE_BACKGROUND);
	else
		crawl_try_file(migrate, object);
	object_put(object);
}

static int decide_name(struct migrate *migrate, struct error_record *record, enum error_state state)
{
	if (record->state == state)
		return 0;
	struct batch *batch = batch_new();
	ledger_name_state(batch, record, state);
	store_submit(migrate->store, batch, SUBMIT_URGENT, NULL, NULL);
	return 1;
}

static void decide_one(struct deciding *deciding, uint64_t id)
{
	static const enum error_state states[] = {[DECIDE_RETRY] = ERROR_RETRYING, [DECIDE_WAIVE] = ERROR_WAIVED};
	struct migrate *migrate = deciding->migrate;
	enum error_state state = states[deciding->decision];
	struct error_record *record;

	if (store_error_get(migrate->store, id, &record) <= 0)
		return;
	int result = record->kind == ERROR_OF_NAME ? decide_name(migrate, record, state)
	                                           : ledger_decide(&migrate->ledger, record, state);
	if (result >= 0 && deciding->decision == DECIDE_RETRY) {
		deciding->result->changed++; /* an attempt, whatever it was before */
		if (record->kind <= ERROR_OF_FILE)
			try_object(migrate, record);
	} else if (result >= 0) {
		*(result ? &deciding->result->changed : &deciding->result->unchanged) += 1;
	}
	error_record_free(record);
}

int migrate_decide(struct migrate *migrate, enum error_decision decision, const struct error_target *targets, size_t count,
                   struct decision_result *result)
{
	CLEAN_FREE bool *met = must_alloc(count);
	struct deciding deciding = {
		.migrate = migrate, .decision = decision, .targets = targets, .count = count, .met = met, .result = result};

	*result = (struct decision_result){0};
	pthread_mutex_lock(&migrate->deciding);
	int error = store_flush(migrate->store);
	if (error >= 0)
		error = ledger_walk(&migrate->ledger, choose, &deciding);
	if (error >= 0)
		error = ledger_walk_fixed(&migrate->ledger, meet_fixed, &deciding);
	if (error >= 0)
		error = find_unmet(&deciding);
	for (size_t i = 0; error >= 0 && i < deciding.n_ids; i++)
		decide_one(&deciding, deciding.ids[i]);
	if (error >= 0)
		error = store_flush(migrate->store);
	pthread_mutex_unlock(&migrate->deciding);
	free(deciding.ids);
	if (error < 0)
		return error;
	log_info("the administrator %s errors: changed=%llu unchanged=%llu", decision == DECIDE_WAIVE ? "waives" : "retries",
	         (unsigned long long)result->changed, (unsigned long long)result->unchanged);
	if (decision == DECIDE_RETRY)
		again_run(migrate);
	crawl_poke(migrate);
	return 0;
}

int migrate_errors(struct migrate *migrate, int (*each)(void *context, const struct error_record *record), void *context)
{
	return ledger_walk(&migrate->ledger, each, context);
}

int migrate_errors_after(struct migrate *migrate, uint64_t after, int (*each)(void *context, const struct error_record *record),
                         void *context)
{
	return ledger_walk_after(&migrate->ledger, after, each, context);
}

int migrate_errors_fixed(struct migrate *migrate, int (*each)(void *context, const struct error_record *record), void *context)
{
	return ledger_walk_fixed(&migrate->ledger, each, context);
}
