/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The committer: one thread that makes what was submitted durable, many batches at a time.
 *
 * Life of a group: the oldest batches, in order -> barrier, if one of them asks for it -> one transaction with all changes, the
 * totals and the commit's number -> sync -> counts published -> batches leave the queue -> callbacks -> flushers are woken.
 * A group stays at the head of the queue until it is durable; an attempt that fails is repeated with the same group.
 *
 * What may be repeated, and what not:
 *   - A transaction that fails because the disk is full (ENOSPC, EDQUOT, or EIO from a short write) is repeated with back-off:
 *     LMDB writes all its pages again. The barrier is repeated first.
 *   - A barrier that fails is not. The kernel reports a failed write-back once, drops the pages and forgets it; a repeated sync
 *     succeeds without the bytes being on the disk, and the record would lead the disk (invariant I1). Only errors that say
 *     nothing about write-back (interrupted, no memory) are repeated. After all others the store gives up; a new start resumes
 *     from the last commit and fetches again what is not recorded.
 *   - Whether an attempt that failed late is nevertheless in the database is told by the commit's number, so that totals are
 *     never added twice.
 */
#include "state/store_private.h"

#include "state/codec.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

/* So many changes wait for nobody any more, and about so many go into one transaction: LMDB keeps the pages of the largest one in
 * memory for ever, and each change may be in a page of its own. */
#define CHANGES_PLENTY 4096
#define CHANGES_MAX 8192
/* Several transactions, so that there is always a full one; some 10 MiB. */
#define CHANGES_MUCH 65536

#define RETRY_FIRST_NS (100 * NS_PER_MS)
#define RETRY_MOST_NS (5 * NS_PER_S)
/* How long a store that is being closed goes on trying: the service manager waits only so long. */
#define RETRY_CLOSING_NS (5 * NS_PER_S)
#define FLUSH_IN_TROUBLE_NS (5 * NS_PER_S)

#define READER_CHECK_NS (60 * NS_PER_S)
#define SETTLE_NS NS_PER_S

struct group {
	struct batch *first, *last;
	size_t n_batches, n_changes, n_urgent;
	bool barrier;
	bool has_delta;
	struct totals delta;
	uint64_t next_error;
};

/* --- one attempt --- */

/* What the store remembers once the transaction is durable. */
struct outcome {
	struct totals totals;
	uint64_t commit_number, next_error, noted;
	struct store_counts counts;
};

static int fill_transaction(struct store *store, MDB_txn *txn, const struct group *group, struct outcome *outcome)
{
	MDB_dbi meta = store->dbi[DB_META];
	uint64_t number;
	int code = engine_meta_get_number(txn, meta, META_COMMIT, &number);
	/* An earlier attempt is in the database already, only its last step failed: what remains is to make it durable. */
	bool applied = !code && number == outcome->commit_number;
	/* Of an earlier moment: what is changed in it would pass for the last state. */
	if (!code && !applied && number != store->commit_number)
		code = MDB_CORRUPTED;
	if (!code && !applied)
		code = engine_apply(store, txn, group->first, group->n_batches);
	if (!code && outcome->next_error != store->next_error)
		code = engine_meta_put_number(txn, meta, META_NEXT_ERROR, outcome->next_error);
	if (!code && outcome->noted != store->noted)
		code = engine_meta_put_number(txn, meta, META_NOTED, outcome->noted);
	if (!code && group->has_delta)
		code = engine_meta_put_totals(txn, meta, &outcome->totals);
	if (!code)
		code = engine_meta_put_number(txn, meta, META_COMMIT, outcome->commit_number);
	if (!code)
		code = store_count(store, txn, &outcome->counts);
	return code;
}

static bool note(struct store *store, enum store_note what, uint64_t commit)
{
	return store->options.note && store->options.note(store->options.context, what, commit) >= 0;
}

/* After the commit, so that the note never leads the state; before anybody is told, so that what is told is noted. That it cannot be
 * noted keeps nobody from going on: an older copy of the state is less surely found out, and that is all. */
static void note_commit(struct store *store)
{
	if (note(store, NOTE_COMMITTED, store->commit_number))
		store->unsettled = true;
}

/* LMDB's code. */
static int commit_transaction(struct store *store, const struct group *group)
{
	struct outcome outcome = {
		.commit_number = store->commit_number + 1, .next_error = store->next_error, .noted = store->noted_durable};
	MDB_txn *txn;

	store_totals(store, &outcome.totals);
	totals_add(&outcome.totals, &group->delta);
	if (group->next_error > outcome.next_error)
		outcome.next_error = group->next_error;

	/* Lost when it was replaced and could not be opened again. */
	int code = store->env ? 0 : store_replace_environment(store, store->map_bytes);
	if (!code)
		code = mdb_txn_begin(store->env, NULL, 0, &txn);
	if (code)
		return code;
	code = fill_transaction(store, txn, group, &outcome);
	if (code) {
		mdb_txn_abort(txn);
		return code;
	}
	code = mdb_txn_commit(txn);
	if (!code)
		code = -fault_hit(FAULT_COMMIT_DONE);
	if (code)
		return code;

	store->commit_number = outcome.commit_number;
	store->next_error = outcome.next_error;
	store->noted = outcome.noted;
	pthread_mutex_lock(&store->lock);
	store->totals = outcome.totals;
	pthread_mutex_unlock(&store->lock);
	store_publish(store, &outcome.counts);
	atomic_fetch_add(&store->commits, 1);
	note_commit(store);
	return 0;
}

enum verdict { COMMITTED, AGAIN_NOW, AGAIN_LATER, GIVE_UP };

static bool errno_passes(int error)
{
	return error == -ENOSPC || error == -EDQUOT || error == -EIO || error == -ENOMEM || error == -EINTR || error == -EAGAIN;
}

static enum verdict barrier(struct store *store, int *error)
{
	uint64_t next = store->commit_number + 1;
	bool noted = note(store, NOTE_BEGUN, next);

	*error = store->options.barrier ? store->options.barrier(store->options.context) : 0;
	if (*error < 0)
		return *error == -EINTR || *error == -EAGAIN || *error == -ENOMEM ? AGAIN_LATER : GIVE_UP;
	if (noted)
		store->noted_durable = next;
	/* Here the target is synced: what a test injects stands for a commit that fails. */
	*error = fault_hit(FAULT_COMMIT_BARRIER);
	if (*error)
		return errno_passes(*error) ? AGAIN_LATER : GIVE_UP;
	return COMMITTED;
}

/* When writing the meta page fails, LMDB puts the old one back and refuses everything, reads too, until the environment is opened
 * anew. */
static bool is_stuck(struct store *store)
{
	MDB_txn *txn;
	if (!store->env)
		return false;
	int code = mdb_txn_begin(store->env, NULL, 0, &txn);
	if (!code)
		mdb_txn_abort(txn);
	return code == MDB_PANIC;
}

static enum verdict attempt(struct store *store, struct group *group, int *error)
{
	if (group->barrier) {
		enum verdict verdict = barrier(store, error);
		if (verdict != COMMITTED)
			return verdict;
	}
	*error = 0;
	if (group->n_changes == 0 && !group->has_delta)
		return COMMITTED;

	int code = commit_transaction(store, group);
	*error = engine_errno(code);
	if (!code)
		return COMMITTED;
	if (code == MDB_MAP_FULL) {
		/* The map grows by itself. */
		code = store_replace_environment(store, store->map_bytes * 2);
		*error = engine_errno(code);
		return code ? AGAIN_LATER : AGAIN_NOW;
	}
	if (is_stuck(store))
		store_replace_environment(store, store->map_bytes);
	return errno_passes(*error) ? AGAIN_LATER : GIVE_UP;
}

/* --- trouble --- */

static void wait_until(struct store *store, uint64_t deadline_ns)
{
	struct timespec deadline = {.tv_sec = (time_t)(deadline_ns / NS_PER_S), .tv_nsec = (long)(deadline_ns % NS_PER_S)};
	pthread_cond_timedwait(&store->wake, &store->lock, &deadline);
}

/* Waits before the next attempt. False when the store is being closed and has tried long enough. */
static bool back_off(struct store *store, uint64_t pause_ns)
{
	uint64_t until_ns = clock_monotonic_ns() + pause_ns;
	bool go_on = true;

	pthread_mutex_lock(&store->lock);
	while (clock_monotonic_ns() < until_ns) {
		if (store->closing) {
			uint64_t last_ns = store->closing_ns + RETRY_CLOSING_NS;
			if (clock_monotonic_ns() >= last_ns) {
				go_on = false;
				break;
			}
			if (until_ns > last_ns)
				until_ns = last_ns;
		}
		wait_until(store, until_ns);
	}
	pthread_mutex_unlock(&store->lock);
	return go_on;
}

/* 0, or the negative errno with which the store has given up. */
static int commit_group(struct store *store, struct group *group)
{
	uint64_t pause_ns = RETRY_FIRST_NS, since_ns = 0;

	for (;;) {
		int error;
		enum verdict verdict = attempt(store, group, &error);
		if (verdict == COMMITTED) {
			if (since_ns) {
				log_event(LOG_LEVEL_INFO, "state-again", "after_s=%llu dir=%s",
				          (unsigned long long)((clock_monotonic_ns() - since_ns) / NS_PER_S), store->dir);
				atomic_store(&store->trouble, 0);
			}
			return 0;
		}
		if (verdict == AGAIN_NOW)
			continue;
		atomic_store(&store->trouble, error);
		if (verdict == AGAIN_LATER) {
			if (!since_ns) {
				since_ns = clock_monotonic_ns();
				log_event(LOG_LEVEL_ERROR, "state-trouble", "error=%s dir=%s note=%s", errno_name(error),
				          store->dir, "the state cannot be written; tried again until it works");
			}
			if (back_off(store, pause_ns)) {
				pause_ns = pause_ns * 2 > RETRY_MOST_NS ? RETRY_MOST_NS : pause_ns * 2;
				continue;
			}
		}
		log_event(LOG_LEVEL_ERROR, "state-lost", "error=%s dir=%s note=%s", errno_name(error), store->dir,
		          "nothing is recorded any more; a new start goes on from the last commit");
		return error;
	}
}

/* --- the queue --- */

/* Whether the oldest batch has waited enough; if not, until when it may. Called with the lock held. */
static bool group_is_due(const struct store *store, uint64_t *until_ns)
{
	if (store->closing || store->broken || store->n_urgent > 0 || store->n_changes >= CHANGES_PLENTY ||
	    store->first->number <= store->hurry_number)
		return true;
	*until_ns = store->first->submitted_ns + store->options.linger_ms * NS_PER_MS;
	return clock_monotonic_ns() >= *until_ns;
}

/* The group is not taken out of the queue. Called with the lock held. */
static void group_form(const struct store *store, struct group *group)
{
	*group = (struct group){.first = store->first};
	for (struct batch *batch = store->first; batch; batch = batch->next) {
		if (group->n_batches > 0 && group->n_changes + batch->n_changes > CHANGES_MAX)
			break;
		group->last = batch;
		group->n_batches++;
		group->n_changes += batch->n_changes;
		if (batch->flags & SUBMIT_URGENT)
			group->n_urgent++;
		if (batch->flags & SUBMIT_BARRIER)
			group->barrier = true;
		if (batch->has_delta) {
			group->has_delta = true;
			totals_add(&group->delta, &batch->delta);
		}
		if (batch->next_error > group->next_error)
			group->next_error = batch->next_error;
	}
}

/* Called with the lock held. */
static void group_leave_queue(struct store *store, const struct group *group)
{
	store->first = group->last->next;
	if (!store->first)
		store->last = NULL;
	group->last->next = NULL;
	store->n_batches -= group->n_batches;
	store->n_changes -= group->n_changes;
	store->n_urgent -= group->n_urgent;
}

static void group_settle(struct store *store, struct group *group, int error)
{
	uint64_t number = group->last->number;

	for (struct batch *batch = group->first, *next; batch; batch = next) {
		next = batch->next;
		if (batch->done)
			batch->done(batch->context, error);
		batch_free(batch);
	}
	pthread_mutex_lock(&store->lock);
	store->settled_number = number;
	pthread_cond_broadcast(&store->settled);
	pthread_mutex_unlock(&store->lock);
}

/* A reader in another process that was killed would hold back the pages it saw. */
static void check_readers(struct store *store)
{
	uint64_t now_ns = clock_monotonic_ns();
	int dead;
	if (store->env && now_ns - store->reader_check_ns >= READER_CHECK_NS) {
		store->reader_check_ns = now_ns;
		mdb_reader_check(store->env, &dead);
	}
}

/* Waits for the next batch, with the lock held. What was noted last becomes durable by the next barrier; when none comes for a
 * while, it is seen to here. */
static void wait_for_batch(struct store *store)
{
	if (!store->unsettled) {
		pthread_cond_wait(&store->wake, &store->lock);
		return;
	}
	uint64_t until_ns = clock_monotonic_ns() + SETTLE_NS;
	if (!store->closing)
		wait_until(store, until_ns);
	if (!store->first && (store->closing || clock_monotonic_ns() >= until_ns)) {
		pthread_mutex_unlock(&store->lock);
		note(store, NOTE_SETTLE, 0);
		store->unsettled = false;
		pthread_mutex_lock(&store->lock);
	}
}

static void *committer_main(void *context)
{
	struct store *store = context;

	pthread_mutex_lock(&store->lock);
	for (;;) {
		uint64_t until_ns;
		if (!store->first) {
			if (store->closing && !store->unsettled)
				break;
			wait_for_batch(store);
			continue;
		}
		if (!group_is_due(store, &until_ns)) {
			wait_until(store, until_ns);
			continue;
		}
		struct group group;
		group_form(store, &group);
		int error = store->broken ? -EIO : 0;
		pthread_mutex_unlock(&store->lock);

		if (!error) {
			check_readers(store);
			error = commit_group(store, &group);
		}

		pthread_mutex_lock(&store->lock);
		if (error && !store->broken)
			store->broken = error;
		group_leave_queue(store, &group);
		pthread_mutex_unlock(&store->lock);
		group_settle(store, &group, error);
		if (group.n_changes > CHANGES_MAX) /* one batch */
			resident_trim();
		pthread_mutex_lock(&store->lock);
	}
	pthread_mutex_unlock(&store->lock);
	return NULL;
}

/* --- called by others --- */

void store_submit(struct store *store, struct batch *batch, unsigned flags, void (*done)(void *context, int error), void *context)
{
	batch->flags = flags;
	batch->done = done;
	batch->context = context;
	batch->next = NULL;

	pthread_mutex_lock(&store->lock);
	batch->submitted_ns = clock_monotonic_ns();
	batch->number = ++store->submitted_number;
	bool was_empty = !store->first, had_plenty = store->n_changes >= CHANGES_PLENTY;
	if (store->last)
		store->last->next = batch;
	else
		store->first = batch;
	store->last = batch;
	store->n_batches++;
	store->n_changes += batch->n_changes;
	if (flags & SUBMIT_URGENT)
		store->n_urgent++;
	/* The committer is woken when this batch changes its mind, not for every one. */
	if (was_empty || (flags & SUBMIT_URGENT) || (!had_plenty && store->n_changes >= CHANGES_PLENTY))
		pthread_cond_signal(&store->wake);
	pthread_mutex_unlock(&store->lock);
}

/* Called with the lock held. */
static void hurry(struct store *store)
{
	store->hurry_number = store->submitted_number;
	pthread_cond_signal(&store->wake);
}

void store_hurry(struct store *store)
{
	pthread_mutex_lock(&store->lock);
	hurry(store);
	pthread_mutex_unlock(&store->lock);
}

int store_flush(struct store *store)
{
	pthread_mutex_lock(&store->lock);
	assert(!pthread_equal(pthread_self(), store->committer));
	hurry(store);
	uint64_t number = store->submitted_number, until_ns = clock_monotonic_ns() + FLUSH_IN_TROUBLE_NS;
	while (store->settled_number < number) {
		struct timespec slice = {.tv_sec = (time_t)(clock_monotonic_ns() / NS_PER_S) + 1};
		pthread_cond_timedwait(&store->settled, &store->lock, &slice);
		int trouble = store_trouble(store);
		if (trouble && clock_monotonic_ns() >= until_ns && store->settled_number < number) {
			pthread_mutex_unlock(&store->lock);
			return trouble;
		}
	}
	int error = store->broken;
	pthread_mutex_unlock(&store->lock);
	return error;
}

size_t store_backlog(struct store *store)
{
	pthread_mutex_lock(&store->lock);
	size_t n = store->n_batches;
	pthread_mutex_unlock(&store->lock);
	return n;
}

bool store_is_behind(struct store *store)
{
	LOCKED(&store->lock);
	return store->n_changes >= (store->options.behind ? store->options.behind : CHANGES_MUCH);
}

int store_trouble(struct store *store)
{
	return atomic_load(&store->trouble);
}

bool store_gave_up(struct store *store)
{
	pthread_mutex_lock(&store->lock);
	bool gave_up = store->broken != 0;
	pthread_mutex_unlock(&store->lock);
	return gave_up;
}

int committer_start(struct store *store)
{
	/* Signals are for the main thread. */
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int error = pthread_create(&store->committer, NULL, committer_main, store);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!error)
		pthread_setname_np(store->committer, "state-commit");
	return -error;
}

void committer_stop(struct store *store)
{
	pthread_mutex_lock(&store->lock);
	store->closing = true;
	store->closing_ns = clock_monotonic_ns();
	pthread_cond_broadcast(&store->wake);
	pthread_mutex_unlock(&store->lock);
	pthread_join(store->committer, NULL);
}
