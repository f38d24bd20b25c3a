/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The error ledger (I7): every failure is recorded at once with what the application got, tried again a bounded number of times
 * with back-off, then waits for the administrator. An entry clears when the object comes over after all.
 *
 *     retrying -> waiting -> waived         retry: back to retrying, from waiting and from waived
 *         \----------\---------\--> fixed   counted, and the last ones listed as long as the daemon lives
 *
 * Kinds (state/record.h): directories and files that cannot be brought, single names that cannot be made; and losses and drift,
 * which are told and keep nothing from finishing.
 *
 * In memory are the directories and files alone: what background work must know of each before it tries. All else is in the store.
 * Who changes the entry of a name holds migrate->deciding and reads it after a flush (decide.c, again.c).
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
	enum error_kind kind;
	enum error_state state;
	unsigned tries;       /* ever */
	unsigned round;       /* since the start, or the administrator's last retry */
	uint64_t next_try_ns; /* clock_monotonic_ns() */
	uint64_t first_ns;
	int told;         /* positive errno that an application got last, or 0 */
	bool outage;      /* the source could not be reached: it is due as soon as that answers */
	unsigned outages; /* that ended: whoever meets one each time he is tried is what the source does not answer for */
};

#define LEDGER_BUCKETS 1024
#define LEDGER_FIXED 1000

struct ledger {
	struct store *store;
	int root_fd;
	atomic_uint retries;
	pthread_mutex_t lock;
	struct ledger_entry *buckets[LEDGER_BUCKETS]; /* as many as there are errors */
	size_t count;
	struct error_record *fixed[LEDGER_FIXED]; /* a ring */
	size_t fixed_next;
	struct error_record **limits; /* of kind ERROR_PROTOCOL, a few */
	size_t n_limits;
};

/* Reads the entries of earlier runs. */
int ledger_open(struct ledger *ledger, struct store *store, int root_fd, unsigned retries);
void ledger_close(struct ledger *ledger);

struct failure {
	uint64_t ino;
	const struct handle *handle; /* of the object, to find its present path; may be NULL */
	bool is_dir;
	const char *name;   /* the entry below the object, or NULL */
	const char *what;   /* "list", "read", "create", "drift", ... */
	const char *detail; /* or NULL */
	int error;          /* negative errno */
	uint64_t bytes;
	bool told;                /* an application waits and gets this error */
	bool final;               /* trying again by itself would be of no use */
	bool outage;              /* the source cannot be reached: tries are not used up */
	bool blocks;              /* of a loss: a whole object is missing, so finish must wait for the administrator... */
	struct source_ref source; /* ... and this is its directory at the source, to try it again */
	struct source_ref lineage;
	bool drift; /* of a loss: the source changed */
};

/* For failures from now on. */
void ledger_set_retries(struct ledger *ledger, unsigned retries);

/* An object could not be brought. Logs it. */
void ledger_error(struct ledger *ledger, const struct failure *failure);
/* Something of an object, or one entry of a directory, is lost. Logs it. Appended to `batch`, if there is one, so that a step
 * which is done again is not told of twice. */
void ledger_loss(struct ledger *ledger, const struct failure *failure, struct batch *batch);
/* What the way to the source can never carry, told once for each migration: `kind` of loss.h and a sentence. Logs it. Before the
 * first worker. */
void ledger_limit(struct ledger *ledger, const char *kind, const char *sentence);
/* The object came over, or is no more: removes its entry, if there is one. In the batch that deletes the object's record: an entry
 * that outlives it, after a kill, clears never, and when it is waived counts for an object that is pending. */
void ledger_clear_with(struct ledger *ledger, uint64_t ino, struct batch *batch);
/* The same of an object without a record. */
void ledger_clear(struct ledger *ledger, uint64_t ino);
/* An application got this (negative) error because of an object that is in error. */
void ledger_told(struct ledger *ledger, uint64_t ino, int error);
/* The source answers again: what waits for that is due now. */
void ledger_source_back(struct ledger *ledger);

/* May background try this object now? Objects without an entry: yes. *wait_ns: otherwise, how long until then; UINT64_MAX: not
 * by itself. */
bool ledger_due(struct ledger *ledger, uint64_t ino, uint64_t *wait_ns);
/* The errno of an object's entry, with its sentence; 0 when there is none. */
int ledger_find(struct ledger *ledger, uint64_t ino, char *detail, size_t size);
/* Failed attempts since the start, or the administrator's last retry. */
unsigned ledger_tries(struct ledger *ledger, uint64_t ino);
/* Objects in error, waived ones too. */
size_t ledger_count(struct ledger *ledger);

typedef int (*error_record_fn)(void *context, const struct error_record *record);
/* Every entry of an object, ascending by id, as it is at this moment; a non-zero return ends the walk and is returned. */
int ledger_walk(struct ledger *ledger, error_record_fn each, void *context);
/* The same with what is of no object, from an id on. */
int ledger_walk_after(struct ledger *ledger, uint64_t after, error_record_fn each, void *context);
/* The same of those that were fixed last. */
int ledger_walk_fixed(struct ledger *ledger, error_record_fn each, void *context);

/* The state of an object's entry becomes RETRYING, due now and with all its tries, or WAIVED. 1: it changed, 0: it was so already;
 * -ENOENT: the entry is not there any more. */
int ledger_decide(struct ledger *ledger, const struct error_record *record, enum error_state state);

/* Of names; under migrate->deciding, `record` as it is in the store. Appended to the batch. */
void ledger_name_state(struct batch *batch, struct error_record *record, enum error_state state);
void ledger_name_clear(struct ledger *ledger, struct batch *batch, const struct error_record *record);

#endif
