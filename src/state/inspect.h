/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Looking at the databases from outside, without a daemon or beside a running one: checking, dumping, copying (the error recovery
 * of the DMM specification, section 8.4).
 *
 * Invariants: the data of a database is mapped read-only and never written; nothing is created and nothing is repaired. LMDB's
 *   table of readers (lock.mdb) is used when it is there, so that a daemon does not reuse the pages being read; without one
 *   nobody writes, and none is made.
 * Damage: LMDB trusts its pages. A file that was overwritten can make it end the process (SIGSEGV, SIGBUS, an assertion). Who calls
 *   this does so in a process of its own, and takes its death for an answer.
 * Cost: the check and the copy hold one read transaction from beginning to end; what a daemon commits meanwhile makes the file
 *   grow, since no page that is being read is used again. The dump and the look at the handles take a new one every few
 *   hundred records, and print or look between them.
 */
#ifndef DMM_STATE_INSPECT_H
#define DMM_STATE_INSPECT_H

#include "base/handle.h"
#include "state/record.h"

#include <jansson.h>
#include <stddef.h>

/* Something that is not as docs/FORMAT.md promises. Valid during the call alone. */
struct finding {
	const char *rule;     /* a word for programs */
	const char *database; /* or "" */
	const char *key;      /* of the entry, for people and as `db dump` has it; or "" */
	const char *what;     /* what is there */
	const char *means;    /* what follows from it */
	const char *remedy;   /* what to do */
};

struct inspect_sink {
	void *context;
	void (*finding)(void *context, const struct finding *finding);
	/* Where the walk is: so that a process that dies there leaves word. */
	void (*progress)(void *context, const char *database, uint64_t entries);
	/* An entry of a database as JSON; it is the callee's. Non-zero ends the dump. */
	int (*entry)(void *context, json_t *entry);
	/* An object that the state names: a directory, or a file. For inspect_handles(). */
	void (*handle)(void *context, const char *database, uint64_t ino, const struct handle *handle);
};

struct inspection;

/* What the state says of itself, "" where it does not. */
struct inspect_identity {
	char uuid[64], source[4096], witness[512];
	uint64_t commit, noted; /* docs/FORMAT.md */
};

/* The state of a migration in `dir`. -ENOENT: there is none; -EBADMSG: it is no database; -EPROTO: another format version. A
 * sentence in `error`. */
int inspect_open(const char *dir, struct inspection **inspection, char *error, size_t error_size);
void inspect_close(struct inspection *inspection);

/* Checks everything that docs/FORMAT.md promises; each breach is a finding. How many entries were read, or negative errno when the
 * walk had to be given up (there are findings then, too). `identity` may be NULL. */
int64_t inspect_check(struct inspection *inspection, const struct inspect_sink *sink, struct inspect_identity *identity);

/* Calls sink->handle for each directory, file and file with several names. */
int inspect_handles(struct inspection *inspection, const struct inspect_sink *sink);

/* Calls sink->entry for every entry of a database, or of all for NULL. -ENOENT: there is no such database. */
int inspect_dump(struct inspection *inspection, const char *database, const struct inspect_sink *sink);

/* Calls `each` for every entry of the error ledger, ascending by id; a non-zero return ends the walk and is returned. -EBADMSG: an
 * entry that is none. */
int inspect_errors(struct inspection *inspection, int (*each)(void *context, const struct error_record *record), void *context);

/* A compacted, consistent copy into an empty file. */
int inspect_copy(struct inspection *inspection, int fd);

/* The names of the databases; NULL behind the last. */
const char *inspect_database(size_t n);

/* The configuration database in `dir`: the same three. */
int inspect_config_check(const char *dir, const struct inspect_sink *sink, char *error, size_t error_size);
int inspect_config_dump(const char *dir, const struct inspect_sink *sink, char *error, size_t error_size);

#endif
