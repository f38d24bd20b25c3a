/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the files of the rebuild share: rebuild.c walks, rebuild_file.c compares a file, rebuild_moved.c finds what was renamed,
 * rebuild_record.c records, rebuild_path.c looks whether there is what somebody names.
 */
#ifndef DMM_MIGRATE_REBUILD_PRIVATE_H
#define DMM_MIGRATE_REBUILD_PRIVATE_H

#include "migrate/internal.h"
#include "migrate/rebuild.h"
#include "property/rules.h"

#include <sys/stat.h>

/* An entry at the source, its strings behind it. */
struct origin {
	char *name;
	struct dmm_bytes handle;
	struct dmm_attr attr;
	int error;
};

struct origins {
	struct origin **all;
	size_t count, cap;
};
int origins_list(struct source *source, struct dmm_bytes dir, struct origins *origins); /* ascending by name */
void origins_free(struct origins *origins);

/* A directory that is on both sides. */
struct pair {
	struct pair *next;
	struct handle handle; /* on the target */
	uint64_t ino;
	struct dmm_attr attr;
	struct dmm_bytes source; /* behind it */
	char *path;              /* below the top, behind it */
};

/* What is known of a file after it was compared. */
struct compared {
	uint64_t limit, segsize;
	uint64_t n_segments;
	uint8_t *absent, *differs; /* bitmaps */
	struct digest *digests;    /* of each segment that was read and is the same; NULL: it was not read */
	uint64_t absent_bytes, differ_bytes;
	bool time_kept; /* its modification time is the source's */
};

/* rebuild_file.c. `fd` is the file on the target. */
int compare_file(struct rebuild *rebuild, int fd, const struct stat *st, const struct origin *origin, struct compared *compared);
void compared_free(struct compared *compared);
bool file_has_holes(int fd, const struct stat *st);

/* A name that is missing on the target. */
struct missing {
	struct pair *dir; /* a copy without path; shared by those of a directory */
	struct origin *origin;
	char *path;
	enum rebuild_choice choice;
	bool renamed;
	bool inside; /* of a missing directory, which comes as a whole: only here to be compared with what strayed */
};

/* A placeholder, or an empty directory, that only the target has. */
struct strayed {
	char *path;
	struct handle handle, dir; /* its own, and of the directory that it is in */
	uint64_t dir_ino;
	struct stat st;
};

struct rebuilding {
	struct rebuild *rebuild;
	struct rules *rules;
	struct pair *pairs; /* still to be walked */
	struct missing *missing;
	size_t n_missing, missing_cap;
	struct strayed *strayed;
	size_t n_strayed, strayed_cap;
	struct pair **dirs; /* that missing names refer to */
	size_t n_dirs, dirs_cap;
	struct dmm_bytes root; /* at the source */
	void *links;           /* tsearch(3): struct shared, by fsid and fileid */
	struct batch *batch;
	unsigned in_batch;
	uint64_t told_ns;
};

void *grow(void *all, size_t count, size_t *cap, size_t size);
void tell(struct rebuilding *rebuilding, enum rebuild_kind kind, const char *path, const char *detail, uint64_t bytes,
          enum rebuild_choice choice);
enum rebuild_choice choice_of(struct rebuilding *rebuilding, const char *path);

/* rebuild_record.c; nothing without a store. */
int record_flush(struct rebuilding *rebuilding);
int record_dir(struct rebuilding *rebuilding, const struct handle *handle, uint64_t ino, struct dmm_bytes source,
               const struct dmm_attr *attr);
int record_file(struct rebuilding *rebuilding, int fd, const struct stat *st, const struct origin *origin,
                const struct compared *compared);
int record_populated(struct rebuilding *rebuilding);
/* One that fits nothing: finish waits until somebody has looked. */
int record_strayed(struct rebuilding *rebuilding, const struct strayed *strayed);
/* A name that the order leaves out. */
int record_skip(struct rebuilding *rebuilding, uint64_t dir_ino, const char *path);
int record_missing(struct rebuilding *rebuilding, const struct missing *missing);
/* Of files with several names. */
int record_links(struct rebuilding *rebuilding);
struct shared {
	uint64_t fsid, fileid, ino;
	struct handle handle;
	uint32_t nlink, seen;
};
/* The object that stands for this file on the target: the one in the staging directory, or `st`, which is staged. NULL with *error 0:
 * there is none yet. `fresh`: it is met for the first time. */
struct shared *shared_find(struct rebuilding *rebuilding, const struct origin *origin, int fd, const struct stat *st, bool *fresh,
                           int *error);
void shared_free_all(struct rebuilding *rebuilding);

/* rebuild_moved.c */
int moved_match(struct rebuilding *rebuilding);

#endif
