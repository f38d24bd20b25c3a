/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a verification is asked for and what it tells; and what the custody record of a migration tells of digests.
 */
#ifndef DMM_MIGRATE_CUSTODY_H
#define DMM_MIGRATE_CUSTODY_H

#include "base/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VERIFY_ALL_PPM 1000000u

/* What entries of the ledger say was being done when damage was found. */
#define VERIFY_WHAT "verify"

struct verify_request {
	bool full;     /* the source is read again as well */
	uint32_t ppm;  /* of a million files so many are looked at, always the same for one seed */
	uint64_t seed; /* 0: one is chosen */
	uint64_t rate; /* bytes a second, of both sides together; 0: no limit */
};

enum verify_life {
	VERIFY_NEVER,
	VERIFY_RUNNING,
	VERIFY_DONE,
	VERIFY_STOPPED, /* by the administrator, or by the end of the daemon */
	VERIFY_FAILED,  /* `error` says why */
};

enum verify_verdict {
	VERIFY_DAMAGED,   /* no application has touched it, and it is not what was read from the source; it is in the ledger */
	VERIFY_SUSPECT,   /* it is not what was read, has its times, but something of it was changed later */
	VERIFY_DRIFTED,   /* the source gives other bytes than it did */
	VERIFY_MISSING,   /* the source has it, the target has not: removed or renamed by applications, or lost */
	VERIFY_UNREADABLE /* the source cannot be read */
};

struct verify_finding {
	enum verify_verdict verdict;
	int error;  /* positive errno with which it could not be read, or 0 */
	char *path; /* below the target; empty when it could not be found */
};

/* In the order on disk; see verify_record.c. */
#define VERIFY_COUNTS(M) \
	M(files)        /* looked at */ \
	M(bytes)        /* read from the target */ \
	M(source_bytes) /* read from the source */ \
	M(equal) \
	M(changed) /* by applications */ \
	M(removed) /* by applications */ \
	M(damaged) \
	M(suspect) \
	M(pending)    /* has not come over yet */ \
	M(undigested) /* of the equal, with --full: no digest was kept, both sides were compared */ \
	M(drifted) \
	M(missing) \
	M(extra) /* names that the target alone has */ \
	M(unreadable)

#define VERIFY_FINDINGS 1000

struct verify_status {
	enum verify_life life;
	struct verify_request request;
	int error;                         /* positive errno */
	int64_t started_s, ended_s;        /* since the epoch; 0: not yet */
	uint64_t files_total, bytes_total; /* to be looked at; an estimate with --full */
	uint64_t bytes_seen;               /* of these, read or left out with reason */
	uint64_t rate_bytes_per_s;
	int64_t eta_s; /* -1: unknown */
#define VERIFY_MEMBER(name) uint64_t name;
	VERIFY_COUNTS(VERIFY_MEMBER)
#undef VERIFY_MEMBER
	struct verify_finding *findings; /* the first ones */
	size_t n_findings;
};

void verify_status_free(struct verify_status *status);

/* All digest records together. */
struct digest_summary {
	uint64_t files, bytes;
	struct digest digest; /* docs/FORMAT.md: does not depend on the order */
};

#endif
