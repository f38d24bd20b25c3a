/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the tests of the state database share: a directory of their own on a real file system, and records to put.
 */
#ifndef DMM_TEST_STATE_FIXTURE_H
#define DMM_TEST_STATE_FIXTURE_H

#include "state/store.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char state_dir[256];
static struct store *store;

static inline void state_dir_make(void)
{
	const char *tmp = getenv("TMPDIR");
	snprintf(state_dir, sizeof(state_dir), "%s/dmmfs-state-XXXXXX", tmp ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(state_dir));
}

static inline const char *state_path(const char *name)
{
	static char paths[4][512]; /* a few may be in use at once */
	static unsigned turn;
	char *path = paths[turn++ % 4];
	snprintf(path, sizeof(paths[0]), "%s/%s", state_dir, name);
	return path;
}

static inline void state_dir_remove(void)
{
	unlink(state_path("data.mdb"));
	unlink(state_path("lock.mdb"));
	unlink(state_path("lock"));
	ck_assert_msg(rmdir(state_dir) == 0, "something else is left in %s", state_dir);
}

static inline int barrier_none(void *context)
{
	return 0;
}

static inline struct store *state_open(int (*barrier)(void *context), void *context, unsigned linger_ms)
{
	struct store_options options = {.dir = state_dir, .barrier = barrier, .context = context, .linger_ms = linger_ms};
	struct store *opened = NULL;
	char error[256] = "";
	int code = store_open(&options, &opened, error, sizeof(error));
	ck_assert_msg(code == 0, "store_open: %d %s", code, error);
	return opened;
}

static inline void state_setup(void)
{
	state_dir_make();
	store = state_open(barrier_none, NULL, 0);
}

static inline void state_teardown(void)
{
	store_close(store);
	state_dir_remove();
}

static inline void state_reopen(void)
{
	store_close(store);
	store = state_open(barrier_none, NULL, 0);
}

/* Submits and waits until it is durable. */
static inline void state_commit(struct batch *batch)
{
	store_submit(store, batch, 0, NULL, NULL);
	ck_assert_int_eq(store_flush(store), 0);
}

static inline struct handle handle_of(uint64_t ino, uint32_t generation)
{
	struct handle handle = {.type = 1, .len = 8};
	uint32_t words[2] = {(uint32_t)ino, generation};
	memcpy(handle.bytes, words, sizeof(words));
	return handle;
}

static inline struct file_record file_of(uint64_t ino)
{
	return (struct file_record){
		.ino = ino,
		.handle = handle_of(ino, 1),
		.source = {.len = 6, .bytes = (const uint8_t *)"source"},
		.limit = 10 << 20,
		.segsize = 1 << 20,
		.source_used = 9 << 20,
		.inode_flags = 0x10,
		.mtime_valid = true,
		.mtime = {.sec = -5, .nsec = 999999999},
		.changed = ino % 2,
		.source_size = 10 << 20,
		.source_change = 0x1122334455667788,
		.source_mtime = {.sec = 1, .nsec = 2},
		.source_ctime = {.sec = 3, .nsec = 4},
		.shown_ctime = {.sec = 5, .nsec = 6},
		.digest = {.low = 0x0102030405060708, .high = 0x090a0b0c0d0e0f10},
	};
}

static inline struct digest_record digest_of(uint64_t ino)
{
	return (struct digest_record){
		.ino = ino,
		.handle = handle_of(ino, 1),
		.size = (3ull << 40) + 1,
		.segsize = 1 << 20,
		.mtime = {.sec = -5, .nsec = 999999999},
		.ctime = {.sec = 1800000000, .nsec = 7},
		.digest = {.low = 0x1112131415161718, .high = ino},
	};
}

static inline struct dir_record dir_of(uint64_t ino)
{
	return (struct dir_record){
		.ino = ino,
		.handle = handle_of(ino, 7),
		.source = {.len = 3, .bytes = (const uint8_t *)"dir"},
		.nlink = 17,
		.atime = {.sec = 11, .nsec = 12},
		.mtime = {.sec = -13, .nsec = 14},
		.inode_flags = 0x20,
		.collisions_settled = true,
		.lineage = {.len = 2 * LINEAGE_BYTES, .bytes = (const uint8_t *)"ancestorthe-dir"},
	};
}

static inline struct link_record link_of(uint64_t fileid, uint64_t ino)
{
	return (struct link_record){.fsid = 99, .fileid = fileid, .ino = ino, .handle = handle_of(ino, 3), .nlink = 4, .seen = 2};
}

static inline struct error_record error_of(uint64_t id)
{
	return (struct error_record){
		.id = id,
		.ino = 42,
		.kind = ERROR_OF_NAME,
		.state = ERROR_WAITING,
		.error = 5,
		.told = 110,
		.tries = 3,
		.first_ns = 1000,
		.last_ns = 2000,
		.bytes = 4096,
		.what = (char *)(uintptr_t) "read",
		.path = (char *)(uintptr_t) "a/b",
		.detail = (char *)(uintptr_t) "the source did not answer",
		.name = (char *)(uintptr_t) "b",
		.handle = {.type = 1, .len = 4, .bytes = {1, 2, 3, 4}},
		.source = {6, (const uint8_t *)"source"},
	};
}

#endif
