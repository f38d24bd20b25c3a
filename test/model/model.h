/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the parts of the model test share. The test does the same random operations in a mount and in a plain copy of the
 * mount's source, the oracle, and compares what each call says and, at the end, the trees.
 *
 * All randomness comes from one seed: the arguments of a step are drawn before it is done on either side, and the paths come from
 * the oracle's tree. A step that differs ends the test with the seed, the step and both outcomes.
 */
#ifndef MODEL_H
#define MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

enum { PLAIN, MOUNT, SIDES };

#define PATH_ROOM 1024
#define DATA_MAX (192u * 1024)

/* --- random.c --- */
void random_seed(uint64_t seed);
/* For a call that draws on both sides: the same numbers each time, and the walk goes on as if nothing was drawn. */
void random_seed_push(uint64_t seed);
void random_seed_pop(void);
uint64_t random_below(uint64_t n);
bool one_in(unsigned n);
/* Bytes that depend on `seed` alone. */
void random_fill(void *buf, size_t len, uint64_t seed);
/* An offset that likes the edges of segments. */
uint64_t random_offset(uint64_t segsize, uint64_t max);
/* A POSIX ACL as an extended attribute holds it; returns its length. At most 64 bytes. */
size_t random_acl(unsigned char *value);

/* --- tree.c --- */
/* A random tree below `dir`, which exists; all its times are long past. */
void tree_make(const char *dir, uint64_t segsize);
/* All paths below the current directory, relative; the caller does not own them. */
size_t tree_list(char ***paths);
/* 0 when the trees below two directories are equal as far as steps are (see stat_digest). */
int tree_compare(const char *plain, const char *other);

/* What can be compared of attributes: times only when they are not of this run. */
struct digest {
	uint32_t mode, uid, gid;
	uint64_t nlink, size, rdev;
	int64_t mtime_sec, mtime_nsec; /* -1 for a time of this run */
};
void stat_digest(const struct stat *st, struct digest *digest);

/* --- users.c --- */
#define USERS 3
unsigned user_uid(unsigned user);
void user_become(unsigned user); /* 0: root again */

/* --- steps.c --- */
struct steps_options {
	const char *sides[SIDES];
	uint64_t segsize, seed, count;
	unsigned seconds; /* ends earlier; 0: no limit */
	const char *only; /* only operations on the data of this file */
	bool trace;
};
int steps_run(const struct steps_options *options);

/* --- calls.c --- */
/* What a step draws; each call takes what it needs. */
struct args {
	char path[PATH_ROOM], path2[PATH_ROOM];
	uint64_t off, off2, len;
	uint32_t bits;
	mode_t mode, mask;
	unsigned user, slot, slot2;
	uint64_t seed;
};

/* What a call said. */
struct outcome {
	long ret;
	int err;
	size_t len, cap;
	unsigned char *data;
};

struct call {
	const char *name;
	unsigned weight;
	bool on_data; /* is of those that `only` allows */
	void (*run)(const struct args *args, unsigned side, struct outcome *out);
};
extern const struct call calls[];
extern const size_t n_calls;
void calls_close_all(void);
void out_add(struct outcome *out, const void *data, size_t len);

#endif
