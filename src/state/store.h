/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The state of one migration: an LMDB environment behind an API that hides the engine (DMM specification, section 8).
 *
 * Writing: callers collect changes in a batch and submit it. One committer thread takes all batches that wait, in the order of
 *   submission, syncs the target once if any of them asks for it, commits them in one transaction, and calls their callbacks.
 *   This is the phased commit: what a record claims is on stable storage before the record is (invariant I1).
 * Reading: any thread, sees what is committed; a read holds a transaction only for the length of the call.
 * Failure: a commit that fails is retried with back-off for as long as the disk may recover (ENOSPC, and EIO, by which LMDB
 *   reports a full disk); store_trouble() tells of it meanwhile, and nothing that was submitted is lost or reordered.
 *   Callbacks get the error only when the store gives up, after which every submit fails with -EIO: the daemon then stops
 *   serving what is not resident rather than promise what it cannot keep. A new start resumes from the last commit.
 * Locks: none is held while a callback runs. Callbacks run in the committer thread and must not block or submit-and-wait.
 */
#ifndef DMM_STATE_STORE_H
#define DMM_STATE_STORE_H

#include "state/record.h"

#include <stddef.h>

struct store;
struct batch;

/* FORMAT.md: raised when a record changes its form. A store of another version is refused with -EPROTO. */
#define STORE_FORMAT_VERSION 3

enum store_note {
	NOTE_BEGUN,     /* the barrier of this commit comes next, and makes the note durable */
	NOTE_COMMITTED, /* this commit is durable, the note need not be */
	NOTE_SETTLE,    /* nothing came for a while: what was noted is to be durable now */
};

struct store_options {
	const char *dir; /* holds data.mdb, lock.mdb and lock; exists, mode 0700 */
	/* Makes everything written to the target durable; 0 or negative errno. -EINTR, -EAGAIN and -ENOMEM are tried again. Any
	 * other error makes the store give up: the kernel reports a failed write-back once and forgets it, so that a repeated sync
	 * which succeeds proves nothing. May be NULL. */
	int (*barrier)(void *context);
	void *context;
	unsigned linger_ms; /* how long a batch that is not urgent may wait for company */
	size_t behind;      /* with so many changes that wait the store is behind; 0: the standard */
	/* Notes on the target, outside the state, how far the state is, so that an older copy of one of the two can be told from it.
	 * 0, or negative errno when it is not noted. Called by the committer. May be NULL. */
	int (*note)(void *context, enum store_note what, uint64_t commit);
};

/* Opens or creates. On failure a sentence for the administrator is put into `error`. -EBUSY: another daemon has it (one that is
 * just ending is waited for, two seconds at most); -EPROTO: another format version; -EBADMSG: damaged. Nothing that is there is
 * ever truncated or deleted. */
int store_open(const struct store_options *options, struct store **store, char *error, size_t error_size);

/* Commits what was submitted, stops the committer, closes. While the disk is in trouble it goes on trying for five seconds;
 * callbacks of what could not be committed then get the error. All callbacks have returned when it returns. */
void store_close(struct store *store);

/* --- identity of the migration, written once at creation: small named strings ("uuid", "source", "target", ...) --- */
#define STORE_META_NAME_MAX 255                                                      /* bytes */
int store_meta_put(struct store *store, const char *name, const char *value);        /* durable on return; not from a callback */
int store_meta_get(struct store *store, const char *name, char *value, size_t size); /* -ENOENT; -ERANGE */

/* --- reading. 1: found, 0: not there, negative errno. A found record is freed with its _free function. --- */
int store_dir_get(struct store *store, uint64_t ino, struct dir_record **record);
int store_file_get(struct store *store, uint64_t ino, struct file_record **record);
int store_link_get(struct store *store, uint64_t fsid, uint64_t fileid, struct link_record *record);
int store_link_of_ino(struct store *store, uint64_t ino, struct link_record *record);
void dir_record_free(struct dir_record *record);
void file_record_free(struct file_record *record);

/* Up to `max` inode numbers greater than `after` that have a record, ascending. How many, or negative errno. */
int store_dirs_after(struct store *store, uint64_t after, uint64_t *inos, size_t max);
int store_files_after(struct store *store, uint64_t after, uint64_t *inos, size_t max);
/* The same for link records, by their inode numbers on the target. */
int store_links_after(struct store *store, uint64_t after, uint64_t *inos, size_t max);

/* Reads the residency of a file's segments into a bitmap of n_segments bits (bit s % 8 of byte s / 8: resident). 0 also when none
 * is recorded: the bitmap is then all zeros. */
int store_segments_get(struct store *store, uint64_t ino, uint8_t *bitmap, uint64_t n_segments);
/* The same for the segments in which an application has written. */
int store_changed_get(struct store *store, uint64_t ino, uint8_t *bitmap, uint64_t n_segments);

/* Calls `each` for every error entry, ascending by id; a non-zero return ends the walk and is returned. `each` may call anything,
 * and take its time; entries that are put or deleted meanwhile may be seen or not. */
int store_errors_walk(struct store *store, int (*each)(void *context, const struct error_record *record), void *context);
/* The same of those with an id above `after`. */
int store_errors_walk_after(struct store *store, uint64_t after, int (*each)(void *context, const struct error_record *record),
                            void *context);
/* The error entry with this id, see error_record_free. */
int store_error_get(struct store *store, uint64_t id, struct error_record **record);
void error_record_free(struct error_record *record);

/* The digest of a finished file. 1: found, 0: there is none, negative errno. */
int store_digest_get(struct store *store, uint64_t ino, struct digest_record *record);
/* Up to `max` of them with inode numbers greater than `after`, ascending. How many, or negative errno. */
int store_digests_after(struct store *store, uint64_t after, struct digest_record *records, size_t max);

void store_totals(struct store *store, struct totals *totals); /* as of the last commit */

/* Bytes of the environment in use, and number of commits since the start: for `stat`. */
void store_usage(struct store *store, uint64_t *bytes, uint64_t *commits);

/* The number of the last commit; and of the last one before which NOTE_BEGUN was noted and made durable. Both only grow. For whoever
 * opens, before anything is submitted. */
uint64_t store_commit_number(const struct store *store);
uint64_t store_noted(const struct store *store);

/* 0, or the negative errno why nothing can be committed at present: for `stat`. It stays once the store has given up. */
int store_trouble(struct store *store);
/* Has the store given up? Nothing is recorded any more until the next start. */
bool store_gave_up(struct store *store);

/* --- changing --- */

struct batch *batch_new(void);        /* never NULL: ends the process when memory is out */
void batch_free(struct batch *batch); /* of a batch that is not submitted */
/* Adds all of `more`, after what is there, and frees it. */
void batch_join(struct batch *batch, struct batch *more);

/* Each appends one change. They copy what they are given. Within a store, changes apply in the order of submission; a change is
 * seen by reads once it is committed. Deleting what is not there is no error.
 *
 * Segments exist only below a file record: marking them for an inode number without one has no effect, and putting a record with
 * another handle than the stored one has drops the segments of its predecessor. A mark that is submitted after both, the delete
 * of its file and the put of a new file at the same inode number, would count for the new file: submit it before the delete. */
void batch_dir_put(struct batch *batch, const struct dir_record *record);
void batch_dir_delete(struct batch *batch, uint64_t ino);
void batch_file_put(struct batch *batch, const struct file_record *record); /* keeps the segments that are recorded */
/* All of it is absent again, and its digest empty. */
void batch_file_renew(struct batch *batch, const struct file_record *record);
void batch_file_delete(struct batch *batch, uint64_t ino); /* with its segments */
/* Everything of it is here: deletes the record as well, and leaves the file's digest if all of it came from the source. `stamp` is
 * the file on the target as it is now. */
struct file_stamp {
	uint64_t size;
	struct moment mtime, ctime;
};
void batch_file_complete(struct batch *batch, uint64_t ino, const struct file_stamp *stamp);
/* Of a file that never had a record. A file record of another object takes it away, as it does segments. */
void batch_digest_put(struct batch *batch, const struct digest_record *record);
void batch_digest_delete(struct batch *batch, uint64_t ino);
void batch_segments_mark(struct batch *batch, uint64_t ino, uint64_t first, uint64_t count); /* resident */
/* The same of one segment that came from the source with this digest, or of several that are holes there, which have the digest 0.
 * It is added to the file's in the same transaction, once: not if the segment is resident already. Every other mark or clear leaves
 * the file without a digest. */
void batch_segments_arrived(struct batch *batch, uint64_t ino, uint64_t first, uint64_t count, const struct digest *digest);
void batch_segments_changed(struct batch *batch, uint64_t ino, uint64_t first, uint64_t count); /* by an application */
void batch_segments_clear(struct batch *batch, uint64_t ino, uint64_t first, uint64_t count);   /* absent again */
void batch_link_put(struct batch *batch, const struct link_record *record);
/* So many more names were given; added to the record as it is at the commit, so that directories may count in any order. Without
 * a record no effect. */
void batch_link_seen(struct batch *batch, uint64_t fsid, uint64_t fileid, uint32_t names);
void batch_link_delete(struct batch *batch, uint64_t fsid, uint64_t fileid);
void batch_error_put(struct batch *batch, const struct error_record *record);
void batch_error_delete(struct batch *batch, uint64_t id);
void batch_totals_add(struct batch *batch, const struct totals *delta);

#define SUBMIT_BARRIER (1u << 0) /* sync the target before committing this */
#define SUBMIT_URGENT (1u << 1)  /* do not wait for company */

/* Hands the batch over; it is freed by the store. `done` may be NULL; it gets 0 or a negative errno. */
void store_submit(struct store *store, struct batch *batch, unsigned flags, void (*done)(void *context, int error),
                  void *context);

/* Waits until everything that was submitted before is durable and its callbacks have returned. Not from a callback. 0, or the
 * negative errno with which the store has given up, or which has kept it from committing for five seconds: it goes on trying. */
int store_flush(struct store *store);

/* Commits what waits now, without waiting for it: called when nothing else is left to do. */
void store_hurry(struct store *store);

/* How many batches are submitted and not committed yet. */
size_t store_backlog(struct store *store);

/* Whether so many changes wait for their commit, in memory, that nobody should add to them for whom nobody waits (I12): a disk may take a
 * minute for one barrier. */
bool store_is_behind(struct store *store);

/* A new error id. One that was stored is never given again, not after a restart either. */
uint64_t store_error_id(struct store *store);

#endif
