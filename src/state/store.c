/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The store as a whole: opening and closing, one daemon at a time, the format version, and replacing the environment when its
 * map has to grow.
 *
 * Threads: store_open() and store_close() are called by one thread, with nobody else in the store.
 */
#include "state/store.h"

#include "state/seal.h"
#include "state/store_private.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Our own slots, and as many again for whoever looks at the environment from outside. */
#define READERS (2 * READ_SLOTS)

/* A predecessor that is just closing may have its last commits to do. */
#define LOCK_WAIT_NS (2 * NS_PER_S)
#define LOCK_POLL_US 20000

static const char *const database_names[DATABASES] = {
	[DB_META] = "meta",           [DB_IDENTITY] = "identity", [DB_DIRS] = "dirs",
	[DB_FILES] = "files",         [DB_SEGMENTS] = "segments", [DB_LINKS] = "links",
	[DB_LINKS_INO] = "links-ino", [DB_ERRORS] = "errors",     [DB_DIGESTS] = "digests",
};

const char *database_name(enum database database)
{
	return database_names[database];
}

/* --- the environment --- */

static int fill_new_environment(MDB_env *env, MDB_txn *txn)
{
	static const struct totals none;
	MDB_dbi dbi[DATABASES];
	int code = 0;

	for (int i = 0; !code && i < DATABASES; i++)
		code = mdb_dbi_open(txn, database_names[i], MDB_CREATE, &dbi[i]);
	if (!code)
		code = engine_meta_put_number(txn, dbi[DB_META], META_FORMAT, STORE_FORMAT_VERSION);
	if (!code)
		code = engine_meta_put_number(txn, dbi[DB_META], META_COMMIT, 0);
	if (!code)
		code = engine_meta_put_number(txn, dbi[DB_META], META_NEXT_ERROR, 1);
	if (!code)
		code = engine_meta_put_number(txn, dbi[DB_META], META_NOTED, 0);
	if (!code)
		code = engine_meta_put_number(txn, dbi[DB_META], META_FIRST_DIR, 0);
	if (!code)
		code = engine_meta_put_number(txn, dbi[DB_META], META_FIRST_FILE, 0);
	if (!code)
		code = engine_meta_put_totals(txn, dbi[DB_META], &none);
	return code;
}

struct engine_options store_engine_options(size_t map_bytes)
{
	return (struct engine_options){.map_bytes = map_bytes, .databases = DATABASES, .readers = READERS};
}

/* The format first: another one may have other databases. EPROTO when it is another one. */
static int open_databases(struct store *store, MDB_txn *txn)
{
	MDB_val name = {strlen(META_FORMAT), (void *)(uintptr_t)META_FORMAT}, format;
	int code = mdb_dbi_open(txn, database_names[DB_META], 0, &store->dbi[DB_META]);
	if (!code)
		code = engine_meta_get_number(txn, store->dbi[DB_META], META_FORMAT, &store->format);
	if (!code && !mdb_get(txn, store->dbi[DB_META], &name, &format))
		resident_find_map(store, format.mv_data);
	if (!code && store->format != STORE_FORMAT_VERSION)
		code = EPROTO;
	for (int i = 0; !code && i < DATABASES; i++)
		code = mdb_dbi_open(txn, database_names[i], 0, &store->dbi[i]);
	return code;
}

static int open_environment(struct store *store, size_t map_bytes)
{
	struct engine_options options = store_engine_options(map_bytes);
	MDB_env *env;
	MDB_txn *txn;
	int code = engine_open(store->dir_fd, &options, &env);
	if (code)
		return code;
	code = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);
	if (!code) {
		code = open_databases(store, txn);
		if (code)
			mdb_txn_abort(txn);
		else
			code = mdb_txn_commit(txn); /* which keeps the handles */
	}
	if (code) {
		engine_close(env);
		return code;
	}
	MDB_envinfo info;
	mdb_env_info(env, &info);
	store->map_bytes = info.me_mapsize;
	store->env = env;
	return 0;
}

static void close_environment(struct store *store)
{
	for (int i = 0; i < READ_SLOTS; i++) {
		if (store->slots[i].txn)
			mdb_txn_abort(store->slots[i].txn);
		store->slots[i].txn = NULL;
	}
	engine_close(store->env);
	store->env = NULL;
	store->map = NULL;
}

int store_replace_environment(struct store *store, size_t map_bytes)
{
	size_t old_bytes = store->map_bytes;

	for (int i = 0; i < READ_SLOTS; i++)
		pthread_mutex_lock(&store->slots[i].lock);
	close_environment(store);
	int code = open_environment(store, map_bytes);
	if (code && map_bytes != old_bytes)
		open_environment(store, old_bytes); /* readers at least go on */
	else if (!code && map_bytes > old_bytes && store->map_bytes <= old_bytes)
		code = ENOMEM; /* a smaller one was all there was */
	for (int i = 0; i < READ_SLOTS; i++)
		pthread_mutex_unlock(&store->slots[i].lock);
	return code;
}

int store_count(struct store *store, MDB_txn *txn, struct store_counts *counts)
{
	for (int i = 0; i < DATABASES; i++) {
		MDB_stat stat;
		int code = mdb_stat(txn, store->dbi[i], &stat);
		if (code)
			return code;
		counts->entries[i] = stat.ms_entries;
		/* That there is none is believed without a look. */
		uint64_t first = 0;
		if (is_chained((enum database)i))
			code = engine_meta_get_number(txn, store->dbi[DB_META], seal_first((enum database)i), &first);
		if (!code && is_chained((enum database)i) && (first == 0) != (stat.ms_entries == 0))
			code = MDB_CORRUPTED;
		if (code)
			return code;
	}
	return 0;
}

void store_publish(struct store *store, const struct store_counts *counts)
{
	for (int i = 0; i < DATABASES; i++)
		atomic_store_explicit(&store->entries[i], counts->entries[i], memory_order_release);

	MDB_envinfo info;
	MDB_stat stat;
	if (mdb_env_info(store->env, &info) == 0 && mdb_env_stat(store->env, &stat) == 0)
		atomic_store(&store->used_bytes, (uint64_t)(info.me_last_pgno + 1) * stat.ms_psize);
}

static int read_memory(struct store *store)
{
	struct store_counts counts;
	MDB_txn *txn;
	int code = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);
	if (code)
		return code;
	MDB_dbi meta = store->dbi[DB_META];
	code = engine_meta_get_number(txn, meta, META_COMMIT, &store->commit_number);
	if (!code)
		code = engine_meta_get_number(txn, meta, META_NEXT_ERROR, &store->next_error);
	if (!code && store->next_error == 0)
		code = MDB_CORRUPTED;
	if (!code)
		code = engine_meta_get_number(txn, meta, META_NOTED, &store->noted);
	if (!code)
		code = engine_meta_get_totals(txn, meta, &store->totals);
	if (!code)
		code = store_count(store, txn, &counts);
	mdb_txn_abort(txn);
	if (code)
		return code;
	store->opened_commit = store->commit_number;
	store->noted_durable = store->noted;
	atomic_store(&store->next_error_id, store->next_error);
	store_publish(store, &counts);
	return 0;
}

/* --- opening --- */

/* Who has the lock, for a message; 0 when nobody can tell. */
static long lock_holder(int lock_fd)
{
	char text[32] = "";
	ssize_t len = pread(lock_fd, text, sizeof(text) - 1, 0);
	return len > 0 ? strtol(text, NULL, 10) : 0;
}

int store_take_lock(int dir_fd, const char *dir, int *taken, char *error, size_t error_size)
{
	CLEAN_FD int lock_fd = openat(dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (lock_fd < 0) {
		int code = -errno;
		snprintf(error, error_size, "cannot open %s/lock: %m", dir);
		return code;
	}
	uint64_t until_ns = clock_monotonic_ns() + LOCK_WAIT_NS;
	while (flock(lock_fd, LOCK_EX | LOCK_NB)) {
		if (errno != EWOULDBLOCK && errno != EINTR) {
			int code = -errno;
			snprintf(error, error_size, "cannot lock %s/lock: %m", dir);
			return code;
		}
		if (clock_monotonic_ns() >= until_ns) {
			snprintf(error, error_size,
			         "the state in %s is in use by another daemon, process %ld; only one may serve a migration: "
			         "end that one first",
			         dir, lock_holder(lock_fd));
			return -EBUSY;
		}
		usleep(LOCK_POLL_US);
	}
	/* The number is for people: what counts is the lock. */
	if (ftruncate(lock_fd, 0) == 0)
		dprintf(lock_fd, "%ld\n", (long)getpid());
	*taken = steal_fd(&lock_fd);
	return 0;
}

static int open_or_create(struct store *store, size_t map_bytes, char *error, size_t error_size)
{
	struct engine_options options = store_engine_options(map_bytes);
	int code, exists = engine_exists(store->dir_fd);

	if (exists < 0) {
		engine_explain(exists == -EBADMSG ? MDB_INVALID : -exists, store->dir, "a state database", error, error_size);
		return exists;
	}
	code = exists ? 0 : engine_create(store->dir_fd, &options, fill_new_environment);
	if (!code)
		code = open_environment(store, map_bytes);
	if (!code)
		code = read_memory(store);
	if (code == EPROTO)
		snprintf(error, error_size,
		         "the state in %s has format version %llu, this dmmfs knows version %u: finish the migration with the "
		         "dmmfs that began it",
		         store->dir, (unsigned long long)store->format, STORE_FORMAT_VERSION);
	else if (code)
		engine_explain(code, store->dir, "a state database", error, error_size);
	return code == MDB_NOTFOUND ? -EBADMSG : engine_errno(code);
}

static struct store *store_new(const struct store_options *options)
{
	struct store *store = aligned_alloc(_Alignof(struct store), sizeof(*store));
	if (!store)
		return NULL;
	memset(store, 0, sizeof(*store));
	store->options = *options;
	store->options.dir = NULL; /* the caller's; ours is store->dir */
	store->dir_fd = store->lock_fd = -1;
	store->reader_check_ns = clock_monotonic_ns();
	store->dir = strdup(options->dir);
	if (!store->dir) {
		free(store);
		return NULL;
	}
	pthread_mutex_init(&store->lock, NULL);
	for (int i = 0; i < READ_SLOTS; i++)
		pthread_mutex_init(&store->slots[i].lock, NULL);
	pthread_condattr_t monotonic;
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&store->wake, &monotonic);
	pthread_cond_init(&store->settled, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return store;
}

static void store_destroy(struct store *store)
{
	close_environment(store);
	if (store->lock_fd >= 0)
		close(store->lock_fd); /* the lock is free: last, when nothing of ours touches the environment any more */
	if (store->dir_fd >= 0)
		close(store->dir_fd);
	pthread_cond_destroy(&store->wake);
	pthread_cond_destroy(&store->settled);
	for (int i = 0; i < READ_SLOTS; i++)
		pthread_mutex_destroy(&store->slots[i].lock);
	pthread_mutex_destroy(&store->lock);
	free(store->dir);
	free(store);
}

int store_open_sized(const struct store_options *options, size_t map_bytes, struct store **opened, char *error, size_t error_size)
{
	struct store *store = store_new(options);
	int code = 0;

	if (!store) {
		snprintf(error, error_size, "out of memory");
		return -ENOMEM;
	}
	store->dir_fd = open(store->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (store->dir_fd < 0) {
		code = -errno;
		snprintf(error, error_size, "cannot open the directory of the state, %s: %m", store->dir);
	}
	if (!code)
		code = store_take_lock(store->dir_fd, store->dir, &store->lock_fd, error, error_size);
	if (!code)
		code = open_or_create(store, map_bytes, error, error_size);
	if (!code) {
		code = committer_start(store);
		if (code)
			snprintf(error, error_size, "cannot start a thread: %s", strerror(-code));
	}
	if (code) {
		store_destroy(store);
		return code;
	}
	*opened = store;
	return 0;
}

int store_open(const struct store_options *options, struct store **store, char *error, size_t error_size)
{
	return store_open_sized(options, STORE_MAP_BYTES, store, error, error_size);
}

void store_close(struct store *store)
{
	if (!store)
		return;
	committer_stop(store);
	store_destroy(store);
}

uint64_t store_commit_number(const struct store *store)
{
	return store->commit_number;
}

uint64_t store_noted(const struct store *store)
{
	return store->noted;
}

/* --- identity --- */

struct waiter {
	pthread_mutex_t lock;
	pthread_cond_t done;
	bool is_done;
	int error;
};

static void waiter_done(void *context, int error)
{
	struct waiter *waiter = context;
	pthread_mutex_lock(&waiter->lock);
	waiter->error = error;
	waiter->is_done = true;
	pthread_cond_signal(&waiter->done);
	pthread_mutex_unlock(&waiter->lock);
}

int store_meta_put(struct store *store, const char *name, const char *value)
{
	size_t len = strlen(name);
	if (len == 0 || len > STORE_META_NAME_MAX)
		return -EINVAL;

	struct waiter waiter = {.lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};
	struct batch *batch = batch_new();
	batch_identity_put(batch, name, value);
	store_submit(store, batch, SUBMIT_URGENT, waiter_done, &waiter);
	pthread_mutex_lock(&waiter.lock);
	while (!waiter.is_done)
		pthread_cond_wait(&waiter.done, &waiter.lock);
	pthread_mutex_unlock(&waiter.lock);
	return waiter.error;
}
