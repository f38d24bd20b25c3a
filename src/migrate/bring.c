/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Fetches: an administrator wants files or trees now (dmmfs-admin fetch).
 *
 * What is pending at or below the paths is walked once and goes into the queues before all else; what is found as directories are
 * populated is judged as its. When nothing of it is left in the queues or at work, the paths are walked again: what is still on
 * record then is in error, and is told, or was in other hands, and is tried again. A walk that finds nothing to try ends the fetch.
 *
 * The workers are those of read-ahead: before the background, never in the reserve that demand has (I6).
 */
#include "migrate/order_private.h"

#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void free_errors(struct bring *bring)
{
	for (size_t i = 0; i < bring->n_errors; i++)
		free(bring->errors[i].path);
	free(bring->errors);
	bring->errors = NULL;
	bring->n_errors = 0;
	bring->errors_total = 0;
}

void bring_free(struct order *order)
{
	for (unsigned i = 0; i < BRINGS_MAX; i++) {
		paths_free(order->brings[i].paths);
		free_errors(&order->brings[i]);
	}
}

/* --- looking --- */

struct look {
	struct order *order;
	struct bring *bring;
	bool again; /* not for the first time: what has failed is told, not tried */
	size_t put;
};

static void add_error(struct look *look, const char *path, int error, const char *detail)
{
	struct bring *bring = look->bring;
	LOCKED(&look->order->lock);

	if (++bring->errors_total > BRING_ERRORS_MAX)
		return;
	bring->errors = realloc(bring->errors, (bring->n_errors + 1) * sizeof(*bring->errors));
	char *copy = strdup(path);
	if (!bring->errors || !copy)
		abort();
	struct fetch_error *entry = &bring->errors[bring->n_errors++];
	*entry = (struct fetch_error){.path = copy, .error = error};
	snprintf(entry->detail, sizeof(entry->detail), "%s", detail);
}

static int look_at(void *context, const struct found *found)
{
	struct look *look = context;
	struct bring *bring = look->bring;
	char detail[sizeof(((struct fetch_error *)0)->detail)] = "";
	int error = look->again ? ledger_find(&look->order->migrate->ledger, found->ino, detail, sizeof(detail)) : 0;

	if (error) {
		add_error(look, found->path, error, detail);
		return 0;
	}
	struct queue_entry entry = {.ino = found->ino, .key = {CLASS_FETCH, bring->number, 0}, .bring = bring};
	LOCKED(&look->order->lock);
	order_put(look->order, found->is_dir, &entry);
	look->put++;
	if (!look->again && !found->is_dir) {
		atomic_fetch_add(&bring->files_found, 1);
		atomic_fetch_add(&bring->bytes_found, found->bytes);
	}
	return 0;
}

static void look_below(struct look *look, const char *path)
{
	struct order_walk walk = {.order = look->order, .each = look_at, .context = look, .depth_max = WALK_DEPTH_MAX};
	int result = order_walk_from(&walk, path);

	if (result < 0 && result != -ECANCELED)
		add_error(look, path, -result, "");
}

static void end_bring(struct order *order, struct bring *bring)
{
	pthread_rwlock_wrlock(&order->rules_lock);
	struct paths *paths = bring->paths;
	bring->paths = NULL;
	order_judging_changed(order);
	pthread_rwlock_unlock(&order->rules_lock);
	paths_free(paths);
	pthread_mutex_lock(&order->lock);
	bring->state = FETCH_DONE;
	pthread_mutex_unlock(&order->lock);
	log_info("a fetch has ended: number=%u files=%llu bytes=%llu errors=%llu", bring->number,
	         (unsigned long long)atomic_load(&bring->files_done), (unsigned long long)atomic_load(&bring->bytes_done),
	         (unsigned long long)bring->errors_total);
}

static void look_after(struct order *order, struct bring *bring)
{
	struct look look = {.order = order, .bring = bring};

	pthread_mutex_lock(&order->lock);
	bool run = bring->number && bring->state == FETCH_RUNNING && (bring->look || atomic_load(&bring->in_hand) == 0);
	look.again = !bring->look;
	bring->look = false;
	if (run)
		free_errors(bring);
	pthread_mutex_unlock(&order->lock);
	if (!run || (look.again && store_flush(order->migrate->store) < 0))
		return;
	if (bring->all)
		look_below(&look, "");
	for (size_t i = 0; !bring->all && i < paths_count(bring->paths); i++)
		look_below(&look, paths_at(bring->paths, i));
	if (look.put)
		crawl_poke(order->migrate);
	else if (look.again && !atomic_load(&order->migrate->stopping))
		end_bring(order, bring);
}

void bring_look(struct order *order)
{
	for (unsigned i = 0; i < BRINGS_MAX; i++)
		look_after(order, &order->brings[i]);
}

/* --- from outside --- */

static struct bring *free_slot(struct order *order)
{
	struct bring *slot = NULL;

	for (unsigned i = 0; i < BRINGS_MAX; i++) {
		struct bring *bring = &order->brings[i];
		bool usable = !bring->number || (bring->state == FETCH_DONE && atomic_load(&bring->in_hand) == 0);
		if (usable && (!slot || bring->number < slot->number))
			slot = bring;
	}
	return slot;
}

static int parse_paths(const char *const *paths, size_t count, struct paths **parsed, bool *all, char *error, size_t error_size)
{
	char *bytes = NULL;
	size_t len;
	FILE *to = open_memstream(&bytes, &len);

	if (!to)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		*all = *all || !paths[i][0];
		fwrite(paths[i], 1, strlen(paths[i]) + 1, to);
	}
	int result = fclose(to) ? -ENOMEM : paths_parse("the fetch", bytes, len, parsed, error, error_size);
	free(bytes);
	return result;
}

int migrate_fetch(struct migrate *migrate, const char *const *paths, size_t count, uint32_t *number, char *error,
                  size_t error_size)
{
	struct order *order = migrate->order;
	struct paths *parsed = NULL;
	bool all = false;
	int result = parse_paths(paths, count, &parsed, &all, error, error_size);

	if (result < 0)
		return result;
	pthread_rwlock_wrlock(&order->rules_lock);
	pthread_mutex_lock(&order->lock);
	struct bring *bring = free_slot(order);
	if (bring) {
		free_errors(bring);
		*bring = (struct bring){.number = order->next_bring++, .paths = parsed, .all = all, .look = true};
		*number = bring->number;
		pthread_cond_signal(&order->changed);
	}
	pthread_mutex_unlock(&order->lock);
	order_judging_changed(order);
	pthread_rwlock_unlock(&order->rules_lock);
	if (bring)
		return 0;
	paths_free(parsed);
	snprintf(error, error_size, "%u fetches are under way; wait for one of them to end", BRINGS_MAX);
	return -EBUSY;
}

static void copy_errors(const struct bring *bring, struct fetch_status *status)
{
	status->errors_total = bring->errors_total;
	status->errors = must_alloc(bring->n_errors * sizeof(*status->errors));
	for (size_t i = 0; i < bring->n_errors; i++) {
		status->errors[i] = bring->errors[i];
		status->errors[i].path = strdup(bring->errors[i].path);
		if (!status->errors[i].path)
			abort();
	}
	status->n_errors = bring->n_errors;
}

int migrate_fetch_status(struct migrate *migrate, uint32_t number, struct fetch_status *status)
{
	struct order *order = migrate->order;
	LOCKED(&order->lock);

	for (unsigned i = 0; i < BRINGS_MAX; i++) {
		struct bring *bring = &order->brings[i];
		if (!number || bring->number != number)
			continue;
		*status = (struct fetch_status){.number = number,
		                                .state = bring->state,
		                                .paused = atomic_load(&migrate->paused),
		                                .target_full = target_is_full(migrate),
		                                .files_found = atomic_load(&bring->files_found),
		                                .bytes_found = atomic_load(&bring->bytes_found),
		                                .files_done = atomic_load(&bring->files_done),
		                                .bytes_done = atomic_load(&bring->bytes_done)};
		if (bring->state == FETCH_DONE)
			copy_errors(bring, status);
		return 0;
	}
	return -ENOENT;
}

void fetch_status_free(struct fetch_status *status)
{
	for (size_t i = 0; i < status->n_errors; i++)
		free(status->errors[i].path);
	free(status->errors);
	*status = (struct fetch_status){0};
}
