/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A new state from what source and target hold, when the old one is lost or cannot be believed.
 *
 * Both trees are walked together, by path, and each object of the source gets a verdict:
 *
 *   the same on the target          it is here; no record, but the digest of what was read
 *   blank where the source is not   it has not come over: a record, the blank segments absent. Blank is a hole, and zeros in a file
 *                                   whose modification time is still the source's: no application has written them
 *   a directory with nothing in it  not populated, when its time is still the source's
 *   other bytes, another kind       an application's. They stay, all segments of such bytes are resident
 *   not on the target               it comes over again, since nobody can tell whether it ever had, or was removed
 *   only on the target              an application's. It stays; a placeholder among them that an application has renamed is found by
 *                                   size and modification time, if they are those of one missing file alone
 *
 * So nothing that is a byte of an application is ever written over. What may not be as somebody wants it is told, with a choice for
 * its path: `keep` the target as it is (what is missing stays away, what is blank stays zeros), or `take` the source's (what is on the
 * target moves aside, NAME.collision-N). A caller that looks first can ask for choices, and then do it.
 *
 * What is missing is only recorded here, as names to be tried again (again.c); rebuild_bring() does that before anybody uses the tree.
 *
 * One thread. The target must not be in use. Everything can be done again after a crash, with the same result.
 */
#ifndef DMM_MIGRATE_REBUILD_H
#define DMM_MIGRATE_REBUILD_H

#include "migrate/migrate.h"

enum rebuild_kind {
	REBUILD_DIFFERS, /* bytes of a file are others than the source's: kept */
	REBUILD_KIND,    /* another kind of object, link text or device: kept */
	REBUILD_BLANK, /* a file that somebody changed has blank parts: they come over, where they may have been cut or punched */
	REBUILD_MISSING,     /* at the source only: comes over again */
	REBUILD_ONLY_TARGET, /* kept */
	REBUILD_RENAMED,     /* a placeholder under another name: goes on there */
	REBUILD_UNREADABLE,  /* it cannot be compared: kept as it is */
	REBUILD_KINDS
};

enum rebuild_choice { CHOICE_NONE, CHOICE_KEEP, CHOICE_TAKE };

/* Something to be known. Valid during the call alone. */
struct rebuild_finding {
	enum rebuild_kind kind;
	const char *path;   /* below the top */
	const char *detail; /* a sentence, may be empty */
	uint64_t bytes;     /* that differ, are blank, or would come */
	enum rebuild_choice choice;
};

struct rebuild_counts {
	uint64_t dirs, dirs_absent; /* there; not populated */
	uint64_t files_same, files_absent, files_differ;
	uint64_t bytes_same, bytes_absent;
	uint64_t others_same; /* what is neither */
	uint64_t findings[REBUILD_KINDS];
};

struct rebuild_path {
	const char *path; /* below the top, no slash at either end */
	enum rebuild_choice choice;
	bool used; /* out */
};

struct rebuild {
	const struct target *target; /* adopted */
	struct source *source;
	struct store *store; /* empty but for its identity; NULL: only look, nothing is changed */
	uint64_t segsize;    /* bytes */
	const char *order;   /* whose skip clauses hold; may be NULL */
	/* Believe size and modification time of a file without blank parts, and read nothing of it: what was changed with its time set
	 * back is taken for the source's. */
	bool quick;
	struct rebuild_path *paths;
	size_t n_paths;
	void (*found)(void *context, const struct rebuild_finding *finding);
	void (*progress)(void *context, uint64_t objects, uint64_t bytes); /* now and then */
	void *context;
	struct rebuild_counts counts; /* out */
};

/* 0, or a negative errno: the source cannot be reached, or one of the two not be read at all. What one object lacks is a finding. */
int rebuild_run(struct rebuild *rebuild);

/* Brings the names that are missing, as placeholders and directories that are not populated. The store is the new state. Names that
 * cannot be made wait for the administrator, as ever. Closes the store. */
int rebuild_bring(const struct migrate_options *options, struct store *store, const struct target *target, struct source *source);

const char *rebuild_kind_name(enum rebuild_kind kind);

/* Is there an object of this path on the target, or at the source? 1, 0 or negative errno. */
int rebuild_path_exists(const struct rebuild *rebuild, const char *path);

#endif
