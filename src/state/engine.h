/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the state database and the configuration database have in common: opening and creating an LMDB environment, and saying
 * its errors in our way.
 *
 * Inside this room functions that are named engine_ return LMDB's codes (0, positive errno, or negative MDB_ codes), since the
 * committer decides by them; everything that leaves the room goes through engine_errno().
 */
#ifndef DMM_STATE_ENGINE_H
#define DMM_STATE_ENGINE_H

#include <lmdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* LMDB's code as 0 or a negative errno. */
int engine_errno(int code);

struct engine_options {
	size_t map_bytes;   /* address space to reserve; less is taken when the system does not give as much */
	unsigned databases; /* named ones */
	unsigned readers;
};

/* The environment in a directory that is named by its descriptor, so that it is found again when something is mounted over its
 * path. Entries of readers that died are cleared. */
int engine_open(int dir_fd, const struct engine_options *options, MDB_env **env);

/* The same to read only: nothing is created, made longer or cleared. Without a table of readers in the directory none is used. */
int engine_open_to_read(int dir_fd, const struct engine_options *options, MDB_env **env);
bool engine_has_readers(int dir_fd);
/* Beside openings of other processes; NULL: nothing. */
void engine_close(MDB_env *env);

/* How many bytes the file is shorter than an environment of its size may be. What is missing is a SIGBUS when it is read. */
int engine_missing_bytes(MDB_env *env, uint64_t *bytes);

/* Makes an environment in a directory that has none; `fill` writes its first contents. It appears whole or not at all: it is
 * made aside and renamed. The caller holds a lock against others who would do the same. */
int engine_create(int dir_fd, const struct engine_options *options, int (*fill)(MDB_env *env, MDB_txn *txn));

/* 1: there is one, 0: there is none, -EBADMSG: there is a file that cannot be one. */
int engine_exists(int dir_fd);

/* A copy of a sentence for the administrator: what is wrong with the environment in `dir`, and the way out. */
void engine_explain(int code, const char *dir, const char *what, char *error, size_t error_size);

#endif
