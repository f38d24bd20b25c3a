/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the rooms of migrate/ share with each other and with nobody else.
 */
#ifndef DMM_MIGRATE_INTERNAL_H
#define DMM_MIGRATE_INTERNAL_H

#include "migrate/govern.h"
#include "migrate/ledger.h"
#include "migrate/load.h"
#include "migrate/object.h"
#include "migrate/progress.h"
#include "migrate/window.h"

#include <errno.h>
#include <sys/stat.h>

struct crawl;
struct order;
struct verify;
struct flight;
#define FLIGHT_BUCKETS 1024

/* What migrate_tune() changes: each is read on its own, with whatever the others are at that moment. */
struct tuned {
	atomic_ullong segsize, whole_at_open, backlog_high, backlog_low;
	atomic_uint maxnsproc, maxdfproc, drift;
	atomic_bool background;
};

/* outage.c */
struct outage {
	struct lane_job job;
	struct migrate *migrate;
	atomic_bool probing;
	uint64_t probed_ns, recoveries; /* of the crawl's thread */
};

#define RENEWALS_APART 64u

struct migrate {
	struct migrate_options options; /* constant: as it was started */
	struct tuned tuned;
	struct store *store;
	const struct target *target;
	struct source *source;
	struct lane *names, *data; /* namespace and data workers */
	struct table table;
	struct ledger ledger;
	struct progress progress;
	struct load load;
	struct window window; /* what is on its way for the background */
	struct govern *govern;
	struct crawl *crawl;
	struct verify *verify;
	pthread_mutex_t deciding; /* changes of the ledger that read before they write: decide.c, again.c */
	struct again *again;
	struct order *order;
	struct outage outage;
	pthread_mutex_t births;
	pthread_mutex_t flights_lock; /* links.c; a leaf but for the store's */
	struct flight *flights[FLIGHT_BUCKETS];
	uint64_t started_ns;                    /* constant: wall clock, before anything was done to the target */
	atomic_ullong touched_ns;               /* beside.c */
	atomic_ullong renewals[RENEWALS_APART]; /* renew.c: of files whose inode numbers have the same remainder */
	atomic_ullong settled;                  /* files and directories that have come over, since the start */
	atomic_bool stopping, paused;
	atomic_bool links_pending;    /* there are link records: names of some files are still to come */
	atomic_bool no_sharing;       /* source and target cannot share blocks */
	atomic_bool no_kernel_copy;   /* source and target cannot copy from one to the other within the kernel */
	atomic_bool no_uncached;      /* the target keeps in memory what is written to it */
	atomic_uint sources_open;     /* source files of objects */
	atomic_ullong target_full_ns; /* clock_monotonic_ns() of the last time the target was full; 0: it is not */
	void (*_Atomic complete)(void *context);
	void *complete_context;
	void (*appear)(void *context, const struct handle *dir, const char *name);
	void *appear_context;
	void (*_Atomic renewed)(void *context, const struct handle *file);
	void *renewed_context;
};

/* What nobody waits for may go on; background work that has begun is to go on. */
static inline bool may_go_on(struct migrate *migrate)
{
	return !atomic_load(&migrate->stopping) && !atomic_load(&migrate->paused);
}

static inline bool background_wanted(struct migrate *migrate)
{
	return may_go_on(migrate) && atomic_load(&migrate->tuned.background);
}

/* tune.c */
void tuned_set(struct migrate *migrate, const struct migrate_options *options);

/* beside.c: something is done to the target of which no commit tells yet. */
void beside_at_work(struct migrate *migrate);
/* Was this object changed past us, while no daemon ran? `st`: as it is on the target. */
bool beside_changed(const struct migrate *migrate, const struct stat *st);
/* A file that was just loaded: its data may be somebody's who wrote it past us. Under the table's lock. */
#define BESIDE_ERROR ETXTBSY /* of its entry in the ledger */
bool beside_written(struct object *object, const struct stat *st);

/* Zeroed; ends the process when memory is out. */
void *must_alloc(size_t size);
/* The same, not zeroed. */
void *buffer_alloc(size_t size);

/* object.c */
bool object_ready(const struct object *object, const struct event *event);
void object_unpark(struct object *object, struct waiter *waiter); /* under lock */
bool object_cancel(struct object *object, struct waiter *waiter);
void object_close_source(struct object *object); /* under source_lock, or the last one */

/* populate.c: asks for a directory's entries, at demand priority when someone waits. True: nobody had asked before. */
bool populate_request(struct object *dir, enum lane_class class);
/* What the crawl took it for is over: its class and its fetch. */
void populate_ended(struct object *dir, bool here);
/* Gives a directory up that is no more. */
void dir_drop(struct object *dir);

/* lineage.c: that of a directory below `above`, its bytes newly allocated. -ELOOP: it is one of those above, or lies deeper than any
 * path could name. */
int lineage_extend(const struct source_ref *above, const struct dmm_attr *attr, struct source_ref *own);

/* births.c: the names of files with several names that one directory holds. */
struct births;
struct births *births_new(struct migrate *migrate);
void births_free(struct births *births);
struct verdict;
void births_add(struct births *births, const struct dmm_entry *entry, const struct verdict *verdict);
/* Moves what is in `more`. */
void births_take_over(struct births *births, struct births *more);
bool births_empty(const struct births *births);
/* Makes the files that have no object yet, makes them durable, and links all names into dirfd; adds to `batch` that the names
 * were seen. */
struct making;
int births_join(struct births *births, struct making *making);
/* links.c: how many names such a file shows. A flight is what is under way of one; it is held until that is on record, and
 * changed under flights_lock together with the target. */
struct flights {
	struct flight **all;
	size_t count, cap;
};
struct flight *flight_take(struct migrate *migrate, const struct link_record *link);
void flight_name_joined(struct flight *flight);
void flight_unstaged(struct flight *flight);
void flights_add(struct flights *flights, struct flight *flight);
void flights_put(struct migrate *migrate, struct flights *flights);
/* False: it shows as many as it has. */
bool links_shown(struct migrate *migrate, const struct subject *subject, uint32_t *shown);
/* Removes the staging names of all files when every directory was seen. */
void births_purge(struct migrate *migrate);

/* again.c: single names that could not be made. */
void again_start(struct migrate *migrate);
void again_free(struct migrate *migrate);
/* Tries those whose entries say "retrying". */
void again_run(struct migrate *migrate);

/* outage.c: called by the crawl again and again; true while the source cannot be reached. */
bool outage_look(struct migrate *migrate);
/* This failure is not the object's fault: the source cannot be reached. */
bool outage_explains(struct migrate *migrate, int error);

/* fetch.c. The first four under lock. */
void fetch_request(struct object *file, uint64_t off, uint64_t len, enum lane_class class);
/* A read found what it needs; those that follow it shall, too. */
void fetch_ahead(struct object *file, uint64_t off, uint64_t len);
/* Asks for one segment at demand priority. */
void fetch_request_one(struct object *file, uint64_t segment);
/* through.c: answers a parked read from the source, without storing. */
void fetch_read_through(struct object *file, struct waiter *waiter);
/* Bytes of a file could not be had of the source: the ledger, and a pause before the next who asks. */
void fetch_failed(struct object *file, int error, bool told);
/* Those who bring one file. */
struct fetch_team {
	atomic_uint workers;
	atomic_bool grown;
	void (*more)(struct fetch_team *team, uint64_t segments); /* called once, after the first segment: so many are left */
};
/* All of a file, in the calling data worker; false when it stopped early for demand's sake,
 * or, `governed`, because the background may not take more now. */
bool fetch_all(struct object *file, bool governed, struct fetch_team *team);
/* What applications are told of a failure: not that a name is missing which they see. */
int error_told(int error);

/* drift.c: has the source of a file changed? 0 to go on; -EREMCHG: it has, and may not; -ERESTART: it has, and all of it is to be read
 * again. Without locks. */
int drift_check(struct object *file);
int drift_check_begin(struct object *file); /* before the first segment of several, once */
int drift_check_end(struct object *file);   /* after a segment was read, if it is among the last */
bool drift_ends(struct object *file);       /* it is, as far as can be told now */
/* Instead of drift_check_begin(), where bytes were read that nobody has seen yet: `attr` came with them, or is NULL. -ERESTART also
 * when the change is accepted: they may be of both states. */
bool drift_begins(struct object *file); /* nobody has looked yet */
int drift_check_first(struct object *file, const struct dmm_attr *attr);
/* This state of the source is the one that the file is to be of. */
bool drift_is_known(struct object *file, const struct dmm_attr *attr);
/* Has it changed? Of a file that has no record yet. */
bool drift_since(struct migrate *migrate, const struct dmm_entry *listed);
/* The same of a local file, by a descriptor of it; a change attribute is not compared. */
bool drift_of_open(const struct dmm_entry *listed, int fd);
/* Whether a local file is still what the object was told of it. */
bool drift_open_is_known(struct object *file, int fd);
/* The same of attributes that are at hand. */
bool drift_between(const struct dmm_attr *listed, const struct dmm_attr *now);

/* origin.c: the source of a file, between origin_open() and origin_put(). */
int origin_open(struct object *file, struct source_file **source);
void origin_put(struct object *file);
/* After a failure: whoever comes next opens it anew. */
void origin_forget(struct object *file);
/* -ENODATA when the source ends before. */
int origin_read(struct source_file *source, void *buf, uint64_t off, uint64_t len);
int origin_read_look(struct source_file *source, void *buf, uint64_t off, uint64_t len, struct source_look *look);
/* An object that is gone from the source is not one that is gone from the target, which is -ESTALE. */
static inline int source_result(int result)
{
	return result == -ESTALE ? -ENOENT : result;
}

/* Less is written sooner than its blocks are shared. */
#define SHARE_LEAST (64u << 10)

/* arrive.c. Where the bytes of a segment come from: a buffer, or within the kernel from a descriptor of the source. */
struct bytes_from {
	const void *buf;
	int fd;              /* with a buffer: of the file that it was read from, whose blocks may be shared; or negative */
	uint64_t generation; /* of the object when they were read */
	bool unasked;        /* nobody waits for them, nor has the file open */
	uint64_t len;        /* with a buffer: of the segment when it was read... */
	struct digest
		digest; /* ... and what that adds, where digests are wanted: made before the rights are taken, which one at a time has */
};
/* Under rights: what was read of this generation may be stored. */
bool arrive_current(struct object *file, uint64_t generation);
int arrive_open_target(struct object *file);
/* Under rights: writes the bytes and records that they are here. -ERESTART: they are of a state that the source had before. */
int arrive_store(struct object *file, uint64_t segment, const struct bytes_from *from, bool urgent);
/* Under rights: records segments that are here, `bytes` of the source in them. `digest` as batch_segments_arrived() has it; NULL:
 * nobody has seen them. */
void arrive_record(struct object *file, uint64_t first, uint64_t count, uint64_t bytes, const struct digest *digest, bool urgent);
/* A callback for file_submit: the segments are recorded. `context`: a struct marked of its own, which it frees. */
struct marked {
	uint64_t first, count, generation;
};
void segments_durable(struct object *file, int error, void *context);
bool target_is_full(struct migrate *migrate);
void target_note_full(struct migrate *migrate);

/* complete.c. Under rights: object_submit(), with the deletion of the record when everything is resident now. */
uint64_t file_submit(struct object *file, struct batch *batch, unsigned flags,
                     void (*durable)(struct object *object, int error, void *context), void *context);
/* Gives a file up that nobody can reach any more. Takes rights and lock. */
void file_drop(struct object *file);
/* A file that was just loaded, or whose end failed: the record follows what is on the target, and goes when all is here. Takes
 * rights and lock. */
void file_catch_up(struct object *file);

/* change.c: the (x) events. */
int change_begin(struct object *object, const struct event *event, struct waiter *waiter);
int change_end(struct object *object, const struct event *event, struct waiter *waiter);

/* verify.c. The first one reads the result of the last verification. */
void verify_open_job(struct migrate *migrate);
void verify_end_job(struct migrate *migrate);
void verify_free_job(struct migrate *migrate);

/* crawl.c */
void crawl_new(struct migrate *migrate);
int crawl_start(struct migrate *migrate);
void crawl_stop(struct migrate *migrate);
/* A directory came to be known (takes a reference of its own), one was populated, a file was recorded or finished. */
void crawl_offer_dir(struct migrate *migrate, struct object *dir);
void crawl_dir_done(struct migrate *migrate);
/* A worker is done with a directory, of which nothing is on record yet: before they run out of work there is to be more. */
void crawl_dir_made(struct migrate *migrate);
void crawl_file_done(struct migrate *migrate);
void crawl_poke(struct migrate *migrate);
bool crawl_saw_everything(struct migrate *migrate);
/* Brings this file in the background, now, unless that is under way already. */
void crawl_try_file(struct migrate *migrate, struct object *file);
/* No name is still to come: what is linked later is on its own. */
bool crawl_links_purged(struct migrate *migrate);

#endif
