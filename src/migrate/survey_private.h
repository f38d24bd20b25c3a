/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What survey.c (the walk), survey_entry.c (what one entry means) and survey_sample.c (reading) share.
 *
 * Locks: surveying->lock guards everything in here but what is marked constant. It is held for arithmetic only, never while the
 * source is asked.
 */
#ifndef DMM_MIGRATE_SURVEY_PRIVATE_H
#define DMM_MIGRATE_SURVEY_PRIVATE_H

#include "migrate/survey.h"

#include <pthread.h>
#include <stdatomic.h>

/* A directory that is still to be listed. */
struct survey_dir {
	struct survey_dir *next;
	struct dmm_bytes handle; /* behind it, as is the path */
	char *path;              /* "" for the root */
	uint64_t fsid;
	unsigned depth;
};

#define SAMPLE_FILES 512

struct sample_file {
	void *handle;
	size_t handle_len;
	char *path;
	uint64_t size;
};

#define XATTR_NAMES 256

struct xattr_name {
	char *name;
	bool held;
};

struct surveying {
	struct source *source;                /* constant */
	const struct survey_options *options; /* constant */
	bool has_xattrs;                      /* constant */
	struct survey *survey;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct survey_dir *dirs; /* last in, first out: so the list stays short */
	unsigned busy, running;  /* workers that list, that have not ended */
	atomic_bool stop;

	uint64_t *links; /* of files with several names: identities that were seen; 0: a free place */
	size_t links_room, n_links;
	struct sample_file sample[SAMPLE_FILES];
	size_t n_sample, next_sample;
	uint64_t n_candidates; /* files that could have been in the sample */
	uint64_t seed;
	struct xattr_name xattrs[XATTR_NAMES];
	size_t n_xattrs;
};

/* One directory while it is listed, by one worker. */
struct listing {
	struct surveying *surveying;
	const struct survey_dir *dir;
	uint64_t entries;
	struct name_set *seen;
	bool anew;    /* it was lost, and begins with names that were seen */
	char **names; /* where the target folds case */
	size_t n_names;
};

/* survey_entry.c */
int survey_entry(void *context, const struct dmm_entry *entry);
void survey_note(struct surveying *surveying, enum survey_problem problem, const char *dir, const char *name, const char *format,
                 ...) __attribute__((format(printf, 5, 6)));
void survey_compare_names(struct listing *listing);
char *survey_path(const char *dir, const char *name);

/* survey.c */
void survey_add_dir(struct surveying *surveying, struct survey_dir *dir); /* under lock */

/* survey_sample.c */
void survey_offer(struct surveying *surveying, const struct dmm_entry *entry, const char *dir); /* under lock */
void survey_read(struct surveying *surveying);
void survey_sample_free(struct surveying *surveying);

#endif
