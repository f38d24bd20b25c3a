/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The error ledger (I7): every failure is recorded at once, tried again a bounded number of times with back-off, then waits for
 * the administrator. An entry clears when the object comes over after all.
 *
 * Two kinds: errors of objects (a directory or file that cannot be brought) and losses (a thing the target cannot hold: an
 * attribute, an owner). Losses do not keep a migration from finishing; they are listed with state "waived".
 *
 * Threads: any. Lock: one, a leaf.
 */
#ifndef DMM_MIGRATE_LEDGER_H
#define DMM_MIGRATE_LEDGER_H

#include "state/store.h"

#include <pthread.h>
#include <stdatomic.h>

struct ledger_entry {
	struct ledger_entry *next;
	uint64_t ino, id;
	bool is_dir;
	unsigned tries;
	enum error_state state;
	uint64_t next_try_ns; /* clock_monotonic_ns() */
	uint64_t first_ns;
};

#define LEDGER_BUCKETS 1024

struct ledger {
	struct store *store;
	int root_fd;
	atomic_uint retries;
	pthread_mutex_t lock;
	struct ledger_entry *buckets[LEDGER_BUCKETS]; /* errors of objects; as many as there are errors */
	size_t count;
};

/* Reads the entries of earlier runs. */
int ledger_open(struct ledger *ledger, struct store *store, int root_fd, unsigned retries);
void ledger_close(struct ledger *ledger);

struct failure {
	uint64_t ino;
	const struct handle *handle; /* of the object, to find its present path; may be NULL */
	bool is_dir;
	const char *name;   /* the entry below the object, or NULL */
	const char *what;   /* "list", "read", "create", ... */
	const char *detail; /* or NULL */
	int error;          /* negative errno */
	uint64_t bytes;
	bool told;   /* an application waits and gets this error */
	bool blocks; /* of a loss: a whole object is missing, so finish must wait for the administrator */
};

/* For failures from now on. */
void ledger_set_retries(struct ledger *ledger, unsigned retries);

/* An object could not be brought. Logs it. */
void ledger_error(struct ledger *ledger, const struct failure *failure);
/* Something of an object, or one entry of a directory, is lost. Logs it. Appended to `batch`, if there is one, so that a step
 * which is done again is not told of twice. */
void ledger_loss(struct ledger *ledger, const struct failure *failure, struct batch *batch);
/* The object came over: removes its entry, if there is one. */
void ledger_clear(struct ledger *ledger, uint64_t ino);

/* May background try this object now? Objects without an entry: yes. *wait_ns: otherwise, how long until then; UINT64_MAX: not
 * by itself. */
bool ledger_due(struct ledger *ledger, uint64_t ino, uint64_t *wait_ns);
/* The errno of an object's entry, with its sentence; 0 when there is none. */
int ledger_find(struct ledger *ledger, uint64_t ino, char *detail, size_t size);
/* Failed attempts since the start. */
unsigned ledger_tries(struct ledger *ledger, uint64_t ino);
/* Objects in error. */
size_t ledger_count(struct ledger *ledger);

#endif
