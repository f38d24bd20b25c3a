/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A look at a source before a migration: how much is there, what of it the target cannot hold, how fast it can be had. Nothing is
 * written, on neither side, and there is no state.
 *
 * Threads: survey_run() has workers of its own, as many as it is told; sinks are called by one of them at a time.
 */
#ifndef DMM_MIGRATE_SURVEY_H
#define DMM_MIGRATE_SURVEY_H

#include "property/rules.h"
#include "source/source.h"
#include "target/limits.h"

#include <stdbool.h>

/* What will not come over, or not as it is. */
enum survey_problem {
	SURVEY_UNREADABLE,  /* cannot be looked at, or not be listed */
	SURVEY_NOT_READ,    /* a file of the sample that cannot be read */
	SURVEY_NAME_LONG,   /* a name that is too long for the target */
	SURVEY_NAME_BYTES,  /* a name that the target does not take */
	SURVEY_NAME_CASE,   /* names that the target takes for the same */
	SURVEY_FILE_LARGE,  /* larger than a file can be there */
	SURVEY_TIME,        /* a time that the target cannot keep */
	SURVEY_XATTR,       /* attributes that it cannot hold */
	SURVEY_XATTR_LARGE, /* more of them than fit */
	SURVEY_KIND,        /* a link or a device where there are none */
	SURVEY_SKIPPED,     /* the order leaves it out, and all that is in it; counted nowhere else */
	SURVEY_DISAGREES,   /* of two sources: the second says otherwise */
	SURVEY_REMOTE,      /* the second alone has it */
	SURVEY_PROBLEMS
};

#define SURVEY_EXAMPLES 5

struct survey_example {
	char *path;      /* below the source */
	char detail[96]; /* an error, a name of an attribute, a size */
};

struct survey_place {
	char *path; /* NULL: there is none */
	uint64_t value;
};

struct survey {
	bool complete;              /* everything was seen */
	uint64_t dirs, dirs_unseen; /* the second: known, and not listed when the time was over */
	uint64_t files, symlinks, fifos, sockets, devices;
	uint64_t linked_files, linked_names; /* with several names; their names */
	uint64_t bytes, bytes_allocated;     /* of files, each once; the second as the source says, or as the first */
	uint64_t bytes_needed;               /* allocated, in blocks of the target, with the directories */
	struct survey_place largest_file, largest_dir, deepest, longest_name;
	uint64_t mounts; /* other file systems below the source */
	struct survey_example mount_examples[SURVEY_EXAMPLES];
	uint64_t looked_at_xattrs; /* objects whose attributes were looked at */
	uint64_t special_flags;    /* objects with flags of chattr(1) */
	uint64_t problems[SURVEY_PROBLEMS];
	struct survey_example examples[SURVEY_PROBLEMS][SURVEY_EXAMPLES];

	uint64_t list_ns;                               /* how long the walk took */
	uint64_t sample_files, sample_bytes, sample_ns; /* read, all workers together in so long */
	uint64_t sample_open_ns, sample_read_ns;        /* sums over the workers */
	unsigned workers;
};

#define SURVEY_WORKERS_MAX 64

struct survey_options {
	unsigned workers; /* at most SURVEY_WORKERS_MAX */
	uint64_t walk_ns; /* stop after so long; 0: see everything */
	uint64_t read_ns; /* read a sample of files for so long; 0: read none */
	const struct target *target;
	const struct target_limits *limits;
	const struct rules *order; /* loaded; NULL: nothing is skipped */
	/* The count so far, a few times a second. May be NULL. */
	void (*progress)(void *context, uint64_t objects, uint64_t bytes);
	void *context;
};

/* 0, or the negative errno with which the root of the source cannot be had. */
int survey_run(struct source *source, const struct survey_options *options, struct survey *survey);
void survey_free(struct survey *survey);

#endif
