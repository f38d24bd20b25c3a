/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A migration is given up before its end: what becomes of the objects that have not come over. Nothing runs any more but this.
 *
 * What is whole stays. Of the rest, the rule is that nothing remains which looks like a file of the source and is not, and that
 * nothing goes which exists nowhere else:
 *
 *   a file with absent segments, its data changed by nobody     goes, with all its names: the source has it
 *   one that an application (or, while halted, somebody) changed stays, and is named: its absent segments read as zeros
 *   a directory that is not populated                           stays; what an interrupted population made in it goes,
 *                                                               what was there before the migration stays
 *
 * All of it can be done again after a crash, with the same result. The records are only read: they go last, all at once.
 */
#ifndef DMM_MIGRATE_ABANDON_H
#define DMM_MIGRATE_ABANDON_H

#include "state/store.h"
#include "target/target.h"

struct abandon_counts {
	uint64_t files_absent, bytes_absent; /* that go, and the bytes that they lack */
	uint64_t files_changed;              /* that stay, named */
	uint64_t bytes_changed;              /* that these lack: zeros */
	uint64_t dirs_absent;                /* not populated */
	uint64_t names_removed;              /* of files, and of what an interrupted population made */
};

struct abandon {
	struct store *store;
	const struct target *target;
	/* When the last daemon ended: wall clock, nanoseconds; 0: in order, when all that it had begun was on record. What was
	 * changed later than that was changed by others. */
	uint64_t died_ns;
	/* Called for each name of a file that stays changed, `absent` bytes of it lacking. May be NULL. */
	void (*changed)(void *context, const char *path, uint64_t absent_bytes);
	void *context;
	struct abandon_counts counts; /* out */
};

/* Only counts, names_removed and names apart. */
int abandon_survey(struct abandon *abandon);
/* Does it. Durable on return. */
int abandon_target(struct abandon *abandon);

#endif
