/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a migration tells of itself: the answers to "where exactly is file X now", "when can I use it", "what failed".
 * admin/ turns these structs into JSON; the daemon fills them through struct migration_port.
 */
#ifndef DMM_MIGRATE_REPORT_H
#define DMM_MIGRATE_REPORT_H

#include "migrate/custody.h"
#include "property/schedule.h"
#include "state/record.h"
#include "state/settings.h"

#include <stdatomic.h>
#include <stddef.h>
#include <sys/types.h>

enum migration_state { MIGRATION_RUNNING, MIGRATION_PAUSED, MIGRATION_HALTED, MIGRATION_COMPLETE, MIGRATION_FAILED };

/* Why the background has less than its share. */
enum yields_to { YIELDS_TO_NOBODY, YIELDS_TO_DEMAND, YIELDS_TO_OPERATIONS, YIELDS_RECOVERING, YIELDS_TO_COMPANY };

/* What the background may take, and why. */
struct background_stat {
	unsigned rule; /* of the schedule, in force, from 1; 0: none */
	char rule_text[SCHEDULE_RULE_TEXT];
	time_t rule_until;                         /* 0: not within eight days */
	uint64_t limit_bytes_per_s;                /* 0: none */
	unsigned names_workers, names_workers_max; /* that may run, that there are */
	unsigned data_workers, data_workers_max;
	uint64_t latency_target_us; /* 0: it does not yield */
	uint64_t demand_p90_us,
		served_p90_us; /* of the last second, of requests that waited for the source, of all others; 0: none */
	unsigned share_pct;    /* of its workers that is left to it */
	enum yields_to yields_to;
};

/* The order in force, and what came of it since the daemon started: directories and files. */
struct order_stat {
	char rules[4096];
	bool learn;
	bool building;   /* the queues are being filled after a start or a change: the order is not exact yet */
	uint64_t raised; /* because users touched something beside them */
	uint64_t done_fetch, done_first, done_raised, done_last; /* all others came in the general order */
	uint64_t waiting_fetch, waiting_first, waiting_raised, waiting_last;
};

struct migration_stat {
	uint32_t migid;
	enum migration_state state;
	char source[4096], target[4096], mountpoint[4096], statedir[4096];
	struct totals totals;
	bool crawl_done;           /* every directory was seen: the figures are final, the time remaining no longer an estimate */
	uint64_t rate_bytes_per_s; /* over the last seconds */
	uint64_t rate_files_per_s;
	int64_t eta_s; /* -1: unknown */
	uint64_t uptime_s;
	uint64_t demand_requests; /* application requests that had to wait for the source */
	uint64_t demand_waiting;  /* of these, waiting now */
	uint64_t demand_p50_us, demand_p99_us;
	uint64_t demand_bytes, background_bytes;
	uint64_t source_requests, source_bytes, source_retries;
	uint64_t state_bytes, state_commits;
	int state_trouble;             /* 0, or the errno that keeps the state from being written */
	uint64_t source_down_since_ns; /* wall clock: since when the source cannot be reached; 0: it can */
	int source_error;              /* the last one, positive */
	int target_full;               /* reads are answered from the source without storing */
	bool passthrough;              /* kernel passthrough is in use */
	uint64_t segsize;
	struct background_stat background;
	struct order_stat order;
};

enum where_kind { WHERE_SOURCE, WHERE_RESIDENT, WHERE_CHANGED, WHERE_HOLE };

struct where_range {
	uint64_t off, len; /* bytes */
	enum where_kind kind;
};

struct where_report {
	mode_t mode;
	uint64_t size;
	bool finished; /* nothing of it is at the source any more (for a directory: its entries) */
	int error;     /* positive errno of its entry in the error ledger, or 0 */
	char error_detail[512];
	struct where_range *ranges; /* of a regular file, ascending, without gaps; NULL for others. Freed by the caller */
	size_t n_ranges;
	/* Of what is pending: */
	const char *order_class; /* "fetch", "first", "raised", "normal", "last"; NULL: it is finished */
	char clause[256];        /* of the order, that decides; empty: none */
	int64_t ahead;           /* how many of its kind come before it, -1: not known */
};

enum fetch_state { FETCH_RUNNING, FETCH_DONE };

struct fetch_error {
	char *path; /* below the top */
	int error;  /* positive errno */
	char detail[256];
};

/* A fetch of files and trees. */
struct fetch_status {
	uint32_t number;
	enum fetch_state state;
	bool paused, target_full;          /* why nothing may happen at present */
	uint64_t files_found, bytes_found; /* so far */
	uint64_t files_done, bytes_done;
	struct fetch_error *errors; /* once it is done: what did not come over, the first of errors_total */
	size_t n_errors;
	uint64_t errors_total;
};
void fetch_status_free(struct fetch_status *status);

struct finish_request {
	bool lazy;                 /* detach at once, whatever is open */
	unsigned wait_s;           /* how long to wait for open files to be closed */
	const atomic_bool *wanted; /* the wait ends when this becomes false; NULL: it does not */
};

/* Who keeps a mount busy. */
struct holder {
	pid_t pid;
	char command[64];
	char path[4096];
};

struct finish_result {
	struct holder *holders; /* with -EBUSY; freed by the caller */
	size_t n_holders;
	char message[1024]; /* why not, and what to do; empty on success */
};

/* Which entries of the error ledger the administrator means: one by its id, or by path all of the object there and below it. */
struct error_choice {
	uint64_t id;      /* 0: by path */
	const char *path; /* as the administrator typed it: absolute, or as an entry has it */
};

enum error_decision { DECIDE_RETRY, DECIDE_WAIVE };

struct decision_result {
	uint64_t changed;   /* entries that are tried again, or are waived now */
	uint64_t unchanged; /* entries that were waived already, or are fixed */
	char message[4352]; /* why not */
};

/* The custody record. Times are seconds since the epoch, 0: not yet, or not known. */
struct migration_report {
	struct migration_stat stat;
	char uuid[37], machine[256];
	const char *version;
	int64_t created_s, started_s, completed_s, written_s; /* started: this run of the daemon */
	struct digest_summary digests;
	struct verify_status verify;
};

/* The process that serves, and how it came to serve. */
struct upgrade_status {
	pid_t pid;
	pid_t keeper; /* that starts the next one; 0: none */
	const char *version;
	uint32_t takeovers; /* of this mount, by processes that took the place of another one */
	uint64_t pause_ns;  /* of the last one: how long nobody served */
};

/* What admin/ asks of a migration. All calls from any thread; 0 or negative errno. */
struct migration_port {
	void *context;
	int (*stat)(void *context, struct migration_stat *stat);
	/* `path` is absolute, as the administrator typed it: below the mount point, or below the target. -ENOENT, -EXDEV (not of
	 * this migration). */
	int (*where)(void *context, const char *path, struct where_report *report);
	/* Refuses with -EINPROGRESS while something is pending or in error, -EBUSY while files are open. On success the mount is
	 * gone (or detached) and the daemon goes on to take its state away. */
	int (*finish)(void *context, const struct finish_request *request, struct finish_result *result);
	int (*errors)(void *context, int (*each)(void *each_context, const struct error_record *record), void *each_context);
	/* The same of the entries that were fixed last. */
	int (*errors_fixed)(void *context, int (*each)(void *each_context, const struct error_record *record),
	                    void *each_context);
	/* No choices: all that are retrying or waiting. -ENOENT when a choice means no entry: then nothing changes. */
	int (*decide)(void *context, enum error_decision decision, const struct error_choice *choices, size_t count,
	              struct decision_result *result);
	const char *uuid; /* of the migration: a request that names another one is not for us; lives as long as the port */
	/* Unmounts, and leaves everything on disk as it is. The same answers as finish. */
	int (*halt)(void *context, const struct finish_request *request, struct finish_result *result);
	/* The background stops or goes on, and so it stays over restarts; applications go on anyway. */
	int (*pause)(void *context, bool paused);
	/* All or nothing, in force when it returns. Checks as settings_check() does; -EINVAL, -ENOENT, -EBUSY, with a sentence. */
	int (*set)(void *context, const struct setting_change *changes, size_t n, char *error, size_t error_size);
	/* Begins to bring what lies at these absolute paths and below them; what became of it. -EXDEV, -EBUSY, -EINVAL with a sentence;
	 * -ENOENT. The status is freed with fetch_status_free(). */
	int (*fetch)(void *context, const char *const *paths, size_t count, uint32_t *number, char *error, size_t error_size);
	int (*fetch_status)(void *context, uint32_t number, struct fetch_status *status);
	/* Every property and its value in force; `value` NULL: none; `from`: default, set, mount. A negative return of `each` ends it and
	 * is returned. */
	int (*get)(void *context, int (*each)(void *each_context, const char *name, const char *value, const char *from),
	           void *each_context);
	/* As migrate/migrate.h has them; the status is to be freed. */
	int (*verify_start)(void *context, const struct verify_request *request);
	int (*verify_stop)(void *context);
	void (*verify_status)(void *context, struct verify_status *status);
	/* Its verify status is to be freed. Reads all digests. */
	int (*report)(void *context, struct migration_report *report);
	/* The entries of the ledger with an id above `after`, with those that are of no object (ERROR_PROTOCOL). */
	int (*errors_after)(void *context, uint64_t after, int (*each)(void *each_context, const struct error_record *record),
	                    void *each_context);
	/* What serves now. `begin`: another process of the program as it is installed takes its place, soon after the answer. Refuses with a
	 * sentence; then nothing has changed. */
	int (*upgrade)(void *context, bool begin, struct upgrade_status *status, char *error, size_t error_size);
};

#endif
