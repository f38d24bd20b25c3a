/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A migration: brings the source over, on demand and in the background, and answers for what is not here yet.
 *
 * The migrator is a monitor (monitor/monitor.h): doors raise events, it answers. It works through three ports: the store
 * (state/), the target and the source. The rooms:
 *
 *   object     what is in memory of an unfinished object, and who waits for it
 *   populate   a directory: its entries appear whole (I3); small files come with it when nobody waits
 *   births     files with several names
 *   fetch      segments of files: origin (from the source), arrive (on the target), complete (the last one), through (not stored)
 *   drift      the source changed; renew: a file is brought anew
 *   change     what an application changes in a file that is not all here (I2)
 *   answer     events -> the above
 *   crawl      the background: which directory, which file next
 *   govern     how much the background may take: schedule, limit (bucket), how long applications wait (load)
 *   order      what comes before what; order_walk, bring, queue: see order.h
 *   ledger     every failure has an owner (I7); decide: retry and waive; again: single names; remains: what is waived, at the end
 *   progress   counters, rates, latencies; stat and where
 *
 * Lock order: deciding > births > object rights > object lock > order > table shard > ledger, progress (leaves). The store's and the lanes' own
 * locks are leaves below all of these; their callbacks are called without locks.
 */
#ifndef DMM_MIGRATE_MIGRATE_H
#define DMM_MIGRATE_MIGRATE_H

#include "migrate/custody.h"
#include "migrate/report.h"
#include "monitor/monitor.h"
#include "property/schedule.h"
#include "source/source.h"
#include "state/store.h"
#include "target/target.h"

enum drift { DRIFT_REPORT, DRIFT_REFETCH, DRIFT_FAIL };
enum collision { COLLISION_ERROR, COLLISION_OVERWRITE, COLLISION_RENAME };

/* What the background may take; each can be changed while it runs. */
struct govern_settings {
	struct schedule schedule;
	uint64_t bandwidth;  /* bytes a second of the source; RATE_NONE: no limit */
	uint64_t latency_us; /* what applications may wait before the background yields; LATENCY_OFF: it does not */
};

#define BESIDE_GAPS 32

struct migrate_options {
	uint32_t migid;
	uint64_t segsize;       /* bytes; a multiple of 4096 */
	uint64_t whole_at_open; /* bytes: files up to this size are fetched whole when they are opened */
	uint64_t fill_with_dir; /* bytes: files up to this size come over with their directory in the background */
	unsigned maxnsproc, resnsproc, maxdfproc, resdfproc;
	uint64_t backlog_high, backlog_low; /* unfinished files at which the crawl waits and goes on (I12) */
	unsigned error_retries;             /* background attempts before an error waits for the administrator */
	enum collision collision;
	struct govern_settings govern;
	enum drift drift;
	bool drop_set_id;  /* files come without set-id bits and capabilities */
	bool drop_devices; /* device nodes do not come */
	bool digests;      /* of what is read from the source are kept, so that the copy can be verified */
	bool background;   /* false: on demand only */
	/* When the last daemon had done its last to the target, by the target's clock (nanoseconds since the epoch); what changed
	 * between then and this start was changed past us. 0: not known, nothing was. */
	uint64_t left_ns;
	/* Wall clock, nanoseconds: when the mount that is served was begun, before anything was done to the target; 0: now. */
	uint64_t began_ns;
	/* The same of earlier starts: what was changed then may not have been looked at yet. */
	struct beside_gap {
		uint64_t left_ns, back_ns;
	} gaps[BESIDE_GAPS];
	unsigned n_gaps;
	bool paused;       /* as after migrate_pause(), from the beginning */
	const char *order; /* property/rules.h; NULL: as found */
	bool learn;        /* what lies beside what users touch comes sooner */
};

struct migrate;

void migrate_default_options(struct migrate_options *options);

/* The ports stay the caller's and outlive the migration. The record of the root exists. */
int migrate_start(const struct migrate_options *options, struct store *store, const struct target *target, struct source *source,
                  struct migrate **migrate);
/* Ends background work and workers; parked requests are woken with -EIO. The store still works. */
void migrate_stop(struct migrate *migrate);
void migrate_free(struct migrate *migrate);

/* The answers to doors; context: the struct migrate. */
extern const struct monitor_ops migrate_monitor;

/* Writes the record of the target's root, from which everything follows. For a new migration, before migrate_start(). */
int migrate_plant_root(struct store *store, const struct target *target, struct source *source);

void migrate_pause(struct migrate *migrate, bool paused);

/* Takes over what can change while it runs: segsize (of the files of directories that come over from now on), whole_at_open, the
 * numbers of workers, the marks of the backlog, error_retries, background. The rest of the options is not looked at. When threads
 * cannot be made: a negative errno, the numbers of workers are as before. One call at a time, not beside migrate_stop(). */
int migrate_tune(struct migrate *migrate, const struct migrate_options *options);

/* In force when it returns. */
void migrate_set_govern(struct migrate *migrate, const struct govern_settings *settings);
/* Sets the order at once, for what has not come over yet. -EINVAL and others with a sentence; nothing has changed then. */
int migrate_set_order(struct migrate *migrate, const char *text, char *error, size_t error_size);
void migrate_set_learn(struct migrate *migrate, bool learn);

/* Begins to bring these paths (below the top, "" the top itself) and all below them before anything else, also where there is no
 * background. What is skipped stays so. -EBUSY: too many at a time; -EINVAL. */
int migrate_fetch(struct migrate *migrate, const char *const *paths, size_t count, uint32_t *number, char *error,
                  size_t error_size);
/* -ENOENT: there is no fetch of this number, or it is long done. */
int migrate_fetch_status(struct migrate *migrate, uint32_t number, struct fetch_status *status);

/* Fills in what the migration knows; the daemon adds names and paths. */
void migrate_stat(struct migrate *migrate, struct migration_stat *stat);
/* Where is the object behind this descriptor (O_PATH will do) now? */
int migrate_where(struct migrate *migrate, int fd, struct where_report *report);

/* The entries of the error ledger as they are now, and those that were fixed last. */
int migrate_errors(struct migrate *migrate, int (*each)(void *context, const struct error_record *record), void *context);
int migrate_errors_fixed(struct migrate *migrate, int (*each)(void *context, const struct error_record *record), void *context);

/* Those with an id above `after`, and what is of no object but of the way to the source (ERROR_PROTOCOL). For loss.h. */
int migrate_errors_after(struct migrate *migrate, uint64_t after, int (*each)(void *context, const struct error_record *record),
                         void *context);

/* Which entries are meant: by id, or by path below the target (no slash at either end, "": everything); `ino`: of the object that
 * is there now, or 0. */
struct error_target {
	uint64_t id, ino;
	const char *path;
};
/* The administrator's word on them; see struct migration_port. Any thread, several at once. */
int migrate_decide(struct migrate *migrate, enum error_decision decision, const struct error_target *targets, size_t count,
                   struct decision_result *result);

/* Called when a name appears in a directory that applications have seen without it: from a worker thread. Names that the
 * administrator wanted tried again when the last run ended are tried from now on. */
void migrate_on_appear(struct migrate *migrate, void (*appear)(void *context, const struct handle *dir, const char *name),
                       void *context);

/* Called when a file is brought anew of which applications may have seen the old state: from a worker thread, or from a door's while
 * the file is loaded. */
void migrate_on_renew(struct migrate *migrate, void (*renewed)(void *context, const struct handle *file), void *context);

/* Compares the target with what was read from the source, in the background. -EALREADY: that is being done. */
int migrate_verify_start(struct migrate *migrate, const struct verify_request *request);
/* Returns at once; it ends after the piece that it reads. -ENOENT: there is none. */
int migrate_verify_stop(struct migrate *migrate);
/* The one that runs or the last one; to be freed. */
void migrate_verify_status(struct migrate *migrate, struct verify_status *status);
/* In the identity of the state: when everything had come over first, seconds since the epoch. */
#define MIGRATE_COMPLETED "completed"

/* All digests together. Reads all records. */
void migrate_digests(struct migrate *migrate, struct digest_summary *summary);

/* 0 when nothing is pending or in error; -EINPROGRESS with a sentence what is. */
int migrate_check_finished(struct migrate *migrate, char *message, size_t size);

/* Called once when the last record is gone, or at once if it is: from a worker thread. NULL: nobody is. `context` never changes. */
void migrate_on_complete(struct migrate *migrate, void (*complete)(void *context), void *context);

#endif
