/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The ledger keeps in memory what background work must know of objects in error, and all the rest in the store.
 */
#include "migrate/ledger.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "migrate/internal.h"
#include "target/target.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#define BACKOFF_FIRST_NS (1 * NS_PER_S)
#define BACKOFF_LAST_NS (300 * NS_PER_S)
#define BACKOFF_OUTAGE_NS (30 * NS_PER_S)
/* An object that fails in so many outages, one after the other, has used up its excuse. */
#define OUTAGES_MOST 3

static struct ledger_entry **slot(struct ledger *ledger, uint64_t ino)
{
	struct ledger_entry **at = &ledger->buckets[(ino * 0x9E3779B97F4A7C15ull) >> 54];

	while (*at && (*at)->ino != ino)
		at = &(*at)->next;
	return at;
}

static struct error_record *copy_record(const struct error_record *record)
{
	const char *const strings[] = {record->what, record->path, record->detail};
	size_t size = sizeof(*record), lens[3];

	for (size_t i = 0; i < 3; i++)
		size += lens[i] = strlen(strings[i] ? strings[i] : "") + 1;
	struct error_record *copy = must_alloc(size);
	char *room = (char *)(copy + 1), *placed[3];
	*copy = *record;
	for (size_t i = 0; i < 3; room += lens[i++])
		placed[i] = memcpy(room, strings[i] ? strings[i] : "", lens[i]);
	copy->what = placed[0];
	copy->path = placed[1];
	copy->detail = placed[2];
	copy->name = NULL;
	copy->source = copy->lineage = (struct source_ref){0};
	return copy;
}

static void remember_limit(struct ledger *ledger, const struct error_record *record)
{
	ledger->limits = reallocarray(ledger->limits, ledger->n_limits + 1, sizeof(*ledger->limits));
	if (!ledger->limits)
		abort(); /* as must_alloc() does */
	ledger->limits[ledger->n_limits++] = copy_record(record);
}

static int remember(void *context, const struct error_record *record)
{
	struct ledger *ledger = context;
	struct ledger_entry **at = slot(ledger, record->ino);

	if (record->kind == ERROR_PROTOCOL)
		remember_limit(ledger, record);
	if (record->kind > ERROR_OF_FILE || *at)
		return 0; /* names are in the store alone; losses and drift are only told */
	*at = must_alloc(sizeof(**at));
	**at = (struct ledger_entry){
		.ino = record->ino,
		.id = record->id,
		.kind = record->kind,
		.tries = record->tries,
		.state = record->state == ERROR_WAIVED ? ERROR_WAIVED : ERROR_RETRYING, /* a new start is a new chance */
		.first_ns = record->first_ns,
		.told = record->told,
	};
	ledger->count++;
	return 0;
}

void ledger_set_retries(struct ledger *ledger, unsigned retries)
{
	atomic_store(&ledger->retries, retries);
}

int ledger_open(struct ledger *ledger, struct store *store, int root_fd, unsigned retries)
{
	*ledger = (struct ledger){.store = store, .root_fd = root_fd, .retries = retries};
	pthread_mutex_init(&ledger->lock, NULL);
	return store_errors_walk(store, remember, ledger);
}

void ledger_close(struct ledger *ledger)
{
	for (size_t i = 0; i < LEDGER_BUCKETS; i++) {
		for (struct ledger_entry *entry = ledger->buckets[i], *next; entry; entry = next) {
			next = entry->next;
			free(entry);
		}
	}
	for (size_t i = 0; i < LEDGER_FIXED; i++)
		error_record_free(ledger->fixed[i]);
	for (size_t i = 0; i < ledger->n_limits; i++)
		error_record_free(ledger->limits[i]);
	free(ledger->limits);
	pthread_mutex_destroy(&ledger->lock);
}

/* --- recording --- */

/* The present path below the target, as the kernel knows it; empty when it cannot be told. */
static void find_path(struct ledger *ledger, const struct failure *failure, char *path, size_t size)
{
	char link[FD_PATH_SIZE], root[PATH_MAX], object[PATH_MAX];
	struct target target = {.root_fd = ledger->root_fd, .witness_fd = -1};
	CLEAN_FD int fd = failure->handle ? target_open_handle(&target, failure->handle, O_PATH) : -1;

	path[0] = '\0';
	if (fd < 0)
		return;
	ssize_t root_len = readlink(target_fd_path(ledger->root_fd, link), root, sizeof(root) - 1);
	ssize_t len = readlink(target_fd_path(fd, link), object, sizeof(object) - 1);
	if (root_len < 0 || len < 0)
		return;
	root[root_len] = object[len] = '\0';
	const char *below = object;
	if (root_len > 1 && strncmp(object, root, (size_t)root_len) == 0)
		below += root_len;
	while (*below == '/')
		below++;
	int len_all =
		snprintf(path, size, "%s%s%s", below, *below && failure->name ? "/" : "", failure->name ? failure->name : "");
	if (len_all >= (int)size)
		memcpy(path + size - 4, "...", 4); /* deeper than PATH_MAX: the beginning has to do */
}

static void record_of(const struct failure *failure, struct error_record *record, char *path)
{
	*record = (struct error_record){
		.ino = failure->ino,
		.kind = failure->is_dir ? ERROR_OF_DIR : ERROR_OF_FILE,
		.error = -failure->error,
		.told = failure->told ? -failure->error : 0,
		.bytes = failure->bytes,
		.last_ns = clock_wall_ns(),
		.what = (char *)failure->what,
		.path = path,
		.detail = (char *)(failure->detail ? failure->detail : ""),
	};
}

static uint64_t backoff_ns(unsigned tries, bool outage)
{
	uint64_t wait = BACKOFF_FIRST_NS << (tries < 16 ? tries : 16), most = outage ? BACKOFF_OUTAGE_NS : BACKOFF_LAST_NS;

	return wait < most ? wait : most;
}

/* What a total counts an entry as. */
static struct totals counted(enum error_kind kind, enum error_state state, int64_t n)
{
	bool waived = state == ERROR_WAIVED;

	switch (kind) {
	case ERROR_OF_DIR:
		return waived ? (struct totals){.dirs_waived = n} : (struct totals){.dirs_error = n};
	case ERROR_OF_FILE:
		return waived ? (struct totals){.files_waived = n} : (struct totals){.files_error = n};
	case ERROR_OF_NAME:
		return waived ? (struct totals){.names_waived = n} : (struct totals){.files_error = n};
	case ERROR_DRIFT:
		return (struct totals){.drift_found = n};
	default:
		return (struct totals){0};
	}
}

static void count(struct batch *batch, enum error_kind kind, enum error_state state, int64_t n)
{
	struct totals delta = counted(kind, state, n);

	batch_totals_add(batch, &delta);
}

/* What memory knows better than the store. */
static void overlay(const struct ledger_entry *entry, struct error_record *record)
{
	uint64_t now = clock_monotonic_ns();

	record->id = entry->id;
	record->first_ns = entry->first_ns;
	record->tries = entry->tries;
	record->state = entry->state;
	record->told = entry->told;
	record->next_ns = 0;
	if (entry->state == ERROR_RETRYING)
		record->next_ns = clock_wall_ns() + (entry->next_try_ns > now ? entry->next_try_ns - now : 0);
}

/* What a waived object gets when an application tries it stays an error, and stays waived. */
static enum error_state state_after(struct ledger *ledger, const struct ledger_entry *entry, const struct failure *failure)
{
	if (entry->state == ERROR_WAIVED)
		return ERROR_WAIVED;
	if (entry->outage)
		return ERROR_RETRYING;
	unsigned retries = atomic_load(&ledger->retries);
	return failure->final || entry->round > retries ? ERROR_WAITING : ERROR_RETRYING;
}

/* Counts the attempt; true when this is the object's first failure. */
static bool count_failure(struct ledger *ledger, const struct failure *failure, struct error_record *record)
{
	struct ledger_entry **at = slot(ledger, failure->ino);
	bool first = !*at;

	if (first) {
		*at = must_alloc(sizeof(**at));
		**at = (struct ledger_entry){
			.ino = failure->ino,
			.id = store_error_id(ledger->store),
			.kind = record->kind,
			.first_ns = record->last_ns,
		};
		__atomic_store_n(&ledger->count, ledger->count + 1, __ATOMIC_RELAXED);
	}
	struct ledger_entry *entry = *at;
	entry->outage = failure->outage && entry->outages < OUTAGES_MOST;
	entry->next_try_ns = clock_monotonic_ns() + backoff_ns(entry->round, entry->outage);
	entry->tries++;
	entry->round += !entry->outage;
	entry->state = state_after(ledger, entry, failure);
	if (failure->told)
		entry->told = -failure->error;
	overlay(entry, record);
	return first;
}

void ledger_error(struct ledger *ledger, const struct failure *failure)
{
	char path[PATH_MAX];
	struct error_record record;
	struct batch *batch = batch_new();

	find_path(ledger, failure, path, sizeof(path));
	record_of(failure, &record, path);
	pthread_mutex_lock(&ledger->lock);
	if (count_failure(ledger, failure, &record))
		count(batch, record.kind, record.state, 1);
	batch_error_put(batch, &record);
	store_submit(ledger->store, batch, 0, NULL, NULL);
	pthread_mutex_unlock(&ledger->lock);
	/* The first time, and when it is given up: what is tried besides is in the ledger. */
	bool given_up = record.state == ERROR_WAITING && record.tries == ledger->retries + 1;
	log_event(record.tries == 1 || given_up ? LOG_LEVEL_WARNING : LOG_LEVEL_DEBUG, "error",
	          "id=%llu what=%s path=%s error=%s told=%s tries=%u state=%s detail=%s", (unsigned long long)record.id,
	          record.what, path, errno_name(failure->error), record.told ? errno_name(record.told) : NULL, record.tries,
	          record.state == ERROR_WAITING ? "waiting" : "retrying", *record.detail ? record.detail : NULL);
}

void ledger_loss(struct ledger *ledger, const struct failure *failure, struct batch *with)
{
	char path[PATH_MAX];
	struct error_record record;
	struct batch *batch = with ? with : batch_new();

	find_path(ledger, failure, path, sizeof(path));
	record_of(failure, &record, path);
	record.id = store_error_id(ledger->store);
	record.first_ns = record.last_ns;
	record.kind = failure->blocks ? ERROR_OF_NAME : failure->drift ? ERROR_DRIFT : ERROR_LOSS;
	record.state = failure->blocks ? ERROR_WAITING : ERROR_WAIVED;
	if (failure->blocks) {
		record.tries = 1;
		record.name = (char *)failure->name;
		record.handle = *failure->handle;
		record.source = failure->source;
		record.lineage = failure->lineage;
	}
	count(batch, record.kind, record.state, 1);
	batch_error_put(batch, &record);
	if (!with)
		store_submit(ledger->store, batch, 0, NULL, NULL);
	log_event(LOG_LEVEL_WARNING, failure->blocks ? "error" : "loss", "id=%llu what=%s path=%s error=%s state=%s detail=%s",
	          (unsigned long long)record.id, record.what, path, errno_name(failure->error),
	          failure->blocks ? "waiting" : "waived", *record.detail ? record.detail : NULL);
}

void ledger_limit(struct ledger *ledger, const char *kind, const char *sentence)
{
	uint64_t now = clock_wall_ns();
	struct error_record record = {
		.kind = ERROR_PROTOCOL,
		.state = ERROR_WAIVED,
		.error = EOPNOTSUPP,
		.first_ns = now,
		.last_ns = now,
		.what = (char *)kind,
		.path = (char *)"",
		.detail = (char *)sentence,
	};

	for (size_t i = 0; i < ledger->n_limits; i++)
		if (strcmp(ledger->limits[i]->what, kind) == 0 && strcmp(ledger->limits[i]->detail, sentence) == 0)
			return;
	record.id = store_error_id(ledger->store);
	remember_limit(ledger, &record);
	struct batch *batch = batch_new();
	batch_error_put(batch, &record);
	store_submit(ledger->store, batch, 0, NULL, NULL);
	log_event(LOG_LEVEL_INFO, "never-carried", "kind=%s detail=%s", kind, sentence);
}

void ledger_told(struct ledger *ledger, uint64_t ino, int error)
{
	if (ledger_count(ledger) == 0)
		return;
	LOCKED(&ledger->lock);
	struct ledger_entry *entry = *slot(ledger, ino);
	struct error_record *record;

	if (!entry || entry->told == -error)
		return;
	entry->told = -error;
	if (store_error_get(ledger->store, entry->id, &record) <= 0)
		return; /* it is on its way there; what is told goes with the next change */
	overlay(entry, record);
	struct batch *batch = batch_new();
	batch_error_put(batch, record);
	store_submit(ledger->store, batch, 0, NULL, NULL);
	error_record_free(record);
}

/* --- the end of an entry --- */

/* Under lock. */
static void keep_fixed(struct ledger *ledger, const struct error_record *record)
{
	struct error_record **at = &ledger->fixed[ledger->fixed_next++ % LEDGER_FIXED];

	error_record_free(*at);
	*at = copy_record(record);
	(*at)->state = ERROR_FIXED;
	(*at)->last_ns = clock_wall_ns();
	(*at)->next_ns = 0;
	log_event(LOG_LEVEL_INFO, "fixed", "id=%llu what=%s path=%s tries=%u", (unsigned long long)record->id, record->what,
	          record->path, record->tries);
}

/* Under lock. True when there was one. */
static bool clear_entry(struct ledger *ledger, uint64_t ino, struct batch *batch)
{
	struct ledger_entry **at = slot(ledger, ino), *entry = *at;
	if (!entry)
		return false;
	/* One that was recorded a moment ago may not be in the store yet: then its path is not known. */
	char nothing[] = "";
	struct error_record *stored = NULL,
			    unknown = {.ino = ino, .kind = entry->kind, .what = nothing, .path = nothing, .detail = nothing};
	struct error_record *record = store_error_get(ledger->store, entry->id, &stored) > 0 ? stored : &unknown;
	overlay(entry, record);
	keep_fixed(ledger, record);
	batch_error_delete(batch, entry->id);
	count(batch, entry->kind, entry->state, -1);
	batch_totals_add(batch, &(struct totals){.errors_fixed = 1});
	*at = entry->next;
	__atomic_store_n(&ledger->count, ledger->count - 1, __ATOMIC_RELAXED);
	free(entry);
	if (stored)
		error_record_free(stored);
	return true;
}

void ledger_clear_with(struct ledger *ledger, uint64_t ino, struct batch *batch)
{
	if (ledger_count(ledger) == 0)
		return;
	LOCKED(&ledger->lock);
	clear_entry(ledger, ino, batch);
}

void ledger_clear(struct ledger *ledger, uint64_t ino)
{
	if (ledger_count(ledger) == 0)
		return;
	LOCKED(&ledger->lock);
	struct batch *batch = batch_new();

	if (clear_entry(ledger, ino, batch))
		store_submit(ledger->store, batch, 0, NULL, NULL);
	else
		batch_free(batch);
}

void ledger_source_back(struct ledger *ledger)
{
	LOCKED(&ledger->lock);
	for (size_t i = 0; i < LEDGER_BUCKETS; i++)
		for (struct ledger_entry *entry = ledger->buckets[i]; entry; entry = entry->next)
			if (entry->outage) {
				entry->next_try_ns = 0;
				entry->outages++;
			}
}

/* --- what the administrator decides --- */

int ledger_decide(struct ledger *ledger, const struct error_record *record, enum error_state state)
{
	LOCKED(&ledger->lock);
	struct ledger_entry *entry = *slot(ledger, record->ino);
	struct error_record *stored;

	if (!entry || entry->id != record->id || store_error_get(ledger->store, entry->id, &stored) <= 0)
		return -ENOENT;
	bool changed = entry->state != state;
	struct batch *batch = batch_new();
	count(batch, entry->kind, entry->state, -1);
	count(batch, entry->kind, state, 1);
	entry->state = state;
	if (state == ERROR_RETRYING)
		entry->round = 0, entry->next_try_ns = 0;
	overlay(entry, stored);
	batch_error_put(batch, stored);
	store_submit(ledger->store, batch, SUBMIT_URGENT, NULL, NULL);
	error_record_free(stored);
	return changed;
}

void ledger_name_state(struct batch *batch, struct error_record *record, enum error_state state)
{
	count(batch, record->kind, record->state, -1);
	count(batch, record->kind, state, 1);
	record->state = state;
	batch_error_put(batch, record);
}

void ledger_name_clear(struct ledger *ledger, struct batch *batch, const struct error_record *record)
{
	count(batch, record->kind, record->state, -1);
	batch_totals_add(batch, &(struct totals){.errors_fixed = 1});
	batch_error_delete(batch, record->id);
	LOCKED(&ledger->lock);
	keep_fixed(ledger, record);
}

/* --- asking --- */

bool ledger_due(struct ledger *ledger, uint64_t ino, uint64_t *wait_ns)
{
	*wait_ns = 0;
	if (ledger_count(ledger) == 0)
		return true;
	LOCKED(&ledger->lock);
	struct ledger_entry *entry = *slot(ledger, ino);
	uint64_t now = clock_monotonic_ns();

	if (!entry || (entry->state == ERROR_RETRYING && entry->next_try_ns <= now))
		return true;
	*wait_ns = entry->state == ERROR_RETRYING ? entry->next_try_ns - now : UINT64_MAX;
	return false;
}

int ledger_find(struct ledger *ledger, uint64_t ino, char *detail, size_t size)
{
	pthread_mutex_lock(&ledger->lock);
	struct ledger_entry *entry = *slot(ledger, ino);
	uint64_t id = entry ? entry->id : 0;
	pthread_mutex_unlock(&ledger->lock);

	struct error_record *record = NULL;
	if (!entry || store_error_get(ledger->store, id, &record) <= 0)
		return 0;
	int error = record->error;
	snprintf(detail, size, "%s: %s%s%s", record->what, strerror(error), *record->detail ? ", " : "", record->detail);
	error_record_free(record);
	return error;
}

unsigned ledger_tries(struct ledger *ledger, uint64_t ino)
{
	LOCKED(&ledger->lock);
	const struct ledger_entry *entry = *slot(ledger, ino);

	return entry ? entry->round : 0;
}

size_t ledger_count(struct ledger *ledger)
{
	return __atomic_load_n(&ledger->count, __ATOMIC_RELAXED);
}

struct walk {
	struct ledger *ledger;
	error_record_fn each;
	void *context;
};

static int present(void *context, const struct error_record *stored)
{
	const struct walk *walk = context;
	struct error_record record = *stored;

	if (record.kind <= ERROR_OF_FILE) {
		LOCKED(&walk->ledger->lock);
		const struct ledger_entry *entry = *slot(walk->ledger, record.ino);
		if (!entry || entry->id != record.id)
			return 0; /* it has cleared, and the store does not know yet */
		overlay(entry, &record);
	}
	return walk->each(walk->context, &record);
}

static int present_object(void *context, const struct error_record *stored)
{
	return stored->kind == ERROR_PROTOCOL ? 0 : present(context, stored);
}

int ledger_walk(struct ledger *ledger, error_record_fn each, void *context)
{
	return store_errors_walk(ledger->store, present_object, &(struct walk){ledger, each, context});
}

int ledger_walk_after(struct ledger *ledger, uint64_t after, error_record_fn each, void *context)
{
	return store_errors_walk_after(ledger->store, after, present, &(struct walk){ledger, each, context});
}

static int by_id(const void *a, const void *b)
{
	const struct error_record *x = *(struct error_record *const *)a, *y = *(struct error_record *const *)b;

	return x->id < y->id ? -1 : x->id > y->id;
}

int ledger_walk_fixed(struct ledger *ledger, error_record_fn each, void *context)
{
	CLEAN_FREE struct error_record **all = must_alloc(LEDGER_FIXED * sizeof(struct error_record *));
	size_t n = 0;
	int result = 0;

	pthread_mutex_lock(&ledger->lock);
	for (size_t i = 0; i < LEDGER_FIXED; i++)
		if (ledger->fixed[i])
			all[n++] = copy_record(ledger->fixed[i]);
	pthread_mutex_unlock(&ledger->lock);
	qsort(all, n, sizeof(struct error_record *), by_id);
	for (size_t i = 0; i < n; i++) {
		if (result == 0)
			result = each(context, all[i]);
		error_record_free(all[i]);
	}
	return result;
}
