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

static struct ledger_entry **slot(struct ledger *ledger, uint64_t ino)
{
	struct ledger_entry **at = &ledger->buckets[(ino * 0x9E3779B97F4A7C15ull) >> 54];

	while (*at && (*at)->ino != ino)
		at = &(*at)->next;
	return at;
}

static int remember(void *context, const struct error_record *record)
{
	struct ledger *ledger = context;
	struct ledger_entry **at = slot(ledger, record->ino);

	if (record->kind > ERROR_OF_FILE || *at)
		return 0; /* losses, and single names, which have no object to try again */
	*at = must_alloc(sizeof(**at));
	**at = (struct ledger_entry){
		.ino = record->ino,
		.id = record->id,
		.tries = 0, /* a new start is a new chance */
		.state = ERROR_RETRYING,
		.first_ns = record->first_ns,
		.is_dir = record->kind == ERROR_OF_DIR,
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
	pthread_mutex_destroy(&ledger->lock);
}

/* The present path below the target, as the kernel knows it; empty when it cannot be told. */
static void find_path(struct ledger *ledger, const struct failure *failure, char *path, size_t size)
{
	char link[FD_PATH_SIZE], root[PATH_MAX], object[PATH_MAX];
	struct target target = {.root_fd = ledger->root_fd};
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

static uint64_t backoff_ns(unsigned tries)
{
	uint64_t wait = BACKOFF_FIRST_NS << (tries < 16 ? tries : 16);

	return wait < BACKOFF_LAST_NS ? wait : BACKOFF_LAST_NS;
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
			.is_dir = failure->is_dir,
			.first_ns = record->last_ns,
		};
		ledger->count++;
	}
	struct ledger_entry *entry = *at;
	entry->next_try_ns = clock_monotonic_ns() + backoff_ns(entry->tries);
	entry->tries++;
	entry->state = entry->tries > atomic_load(&ledger->retries) ? ERROR_WAITING : ERROR_RETRYING;
	record->id = entry->id;
	record->first_ns = entry->first_ns;
	record->tries = entry->tries;
	record->state = entry->state;
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
		batch_totals_add(batch, failure->is_dir ? &(struct totals){.dirs_error = 1} : &(struct totals){.files_error = 1});
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
	record.kind = failure->blocks ? ERROR_OF_NAME : ERROR_LOSS;
	record.state = failure->blocks ? ERROR_WAITING : ERROR_WAIVED;
	if (failure->blocks)
		batch_totals_add(batch, &(struct totals){.files_error = 1});
	batch_error_put(batch, &record);
	if (!with)
		store_submit(ledger->store, batch, 0, NULL, NULL);
	log_event(LOG_LEVEL_WARNING, failure->blocks ? "error" : "loss", "id=%llu what=%s path=%s error=%s state=%s detail=%s",
	          (unsigned long long)record.id, record.what, path, errno_name(failure->error),
	          failure->blocks ? "waiting" : "waived", *record.detail ? record.detail : NULL);
}

void ledger_clear(struct ledger *ledger, uint64_t ino)
{
	if (__atomic_load_n(&ledger->count, __ATOMIC_RELAXED) == 0)
		return;
	pthread_mutex_lock(&ledger->lock);
	struct ledger_entry **at = slot(ledger, ino), *entry = *at;
	if (entry) {
		struct batch *batch = batch_new();
		batch_error_delete(batch, entry->id);
		batch_totals_add(batch, entry->is_dir ? &(struct totals){.dirs_error = -1} : &(struct totals){.files_error = -1});
		store_submit(ledger->store, batch, 0, NULL, NULL);
		*at = entry->next;
		ledger->count--;
		log_event(LOG_LEVEL_INFO, "fixed", "id=%llu ino=%llu tries=%u", (unsigned long long)entry->id,
		          (unsigned long long)ino, entry->tries);
		free(entry);
	}
	pthread_mutex_unlock(&ledger->lock);
}

bool ledger_due(struct ledger *ledger, uint64_t ino, uint64_t *wait_ns)
{
	*wait_ns = 0;
	if (__atomic_load_n(&ledger->count, __ATOMIC_RELAXED) == 0)
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

	return entry ? entry->tries : 0;
}

size_t ledger_count(struct ledger *ledger)
{
	return __atomic_load_n(&ledger->count, __ATOMIC_RELAXED);
}
