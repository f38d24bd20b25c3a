/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The verification of a migration, one at a time: a thread of its own at idle priority, which yields to applications that wait.
 *
 *   verify.c         the job: start, stop, pace, what is told of it, its last result
 *   verify_file.c    one file of the target against its digest
 *   verify_find.c    what was found gets its path, and goes to the ledger
 *   verify_full.c    the walk over both sides
 *   verify_record.c  the result as text, which the state keeps
 *
 * Never a false alarm: a file is DAMAGED only if its size and both its times are those that it had when it came over, before and
 * after it was read, twice. The kernel moves the times before it lets an application change a byte, by a write, through a mapping or
 * in passthrough; the modification time can be set back, the change time cannot.
 *
 * Lock: verify->lock, a leaf; it guards `status`, `stop` and `running`. All else belongs to the thread.
 */
#ifndef DMM_MIGRATE_VERIFY_H
#define DMM_MIGRATE_VERIFY_H

#include "migrate/internal.h"

#define VERIFY_UNNAMED 256

struct verify {
	struct migrate *migrate;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t thread;
	bool started; /* there is a thread to be joined */
	bool stop;
	struct verify_status status;
	uint64_t began_ns; /* monotonic */

	char *buffer; /* for one segment, aligned for direct reads */
	size_t buffer_size;
	uint64_t credit; /* bytes of the file that is looked at which do not count as seen yet */
	struct unnamed {
		uint64_t ino, bytes;
		struct handle handle;
		enum verify_verdict verdict;
		int error;
	} unnamed[VERIFY_UNNAMED]; /* found, but nobody knows their paths yet */
	size_t n_unnamed;
};

#define VERIFY_COUNT(verify, member, n) \
	do { \
		pthread_mutex_lock(&(verify)->lock); \
		(verify)->status.member += (n); \
		pthread_mutex_unlock(&(verify)->lock); \
	} while (0)

/* verify.c. False: it is to stop. */
bool verify_goes_on(struct verify *verify);
/* So many bytes were read: waits as long as the rate, or an application, demands. The same answer. */
bool verify_pace(struct verify *verify, uint64_t bytes);
bool verify_chosen(const struct verify_request *request, uint64_t ino);
char *verify_buffer(struct verify *verify, uint64_t segsize);
void verify_add_finding(struct verify *verify, enum verify_verdict verdict, int error, const char *path);

/* verify_file.c: what the target has against the record, counted. -ECANCELED when it is to stop. */
int verify_record(struct verify *verify, const struct digest_record *record);
/* The digest of an open file of the target. */
int verify_digest(struct verify *verify, int fd, uint64_t segsize, struct digest *digest);
/* For reading past the page cache where that can be had. */
int verify_open(struct verify *verify, const struct handle *handle);

/* verify_find.c */
void verify_found(struct verify *verify, const struct digest_record *record, enum verify_verdict verdict, int error);
void verify_name_findings(struct verify *verify);

/* verify_full.c: 0, -ECANCELED or why the walk could not begin. */
int verify_both_sides(struct verify *verify);

/* verify_record.c */
#define VERIFY_TEXT_SIZE 1024
void verify_to_text(const struct verify_status *status, char text[VERIFY_TEXT_SIZE]);
int verify_from_text(const char *text, struct verify_status *status); /* -EBADMSG */

#endif
