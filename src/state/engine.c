/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Opening and creating LMDB environments. See engine.h.
 */
#include "state/engine.h"

#include "base/cleanup.h"
#include "base/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define DATA_NAME "data.mdb"
#define LOCK_NAME "lock.mdb"
#define NEW_NAME "new"

/* An environment begins with two meta pages; a file that is shorter than two of the smallest pages is none. */
#define DATA_BYTES_MIN (2 * 4096)

/* Sizes of the map to fall back to: the address space may be limited (RLIMIT_AS, small machines, sanitizers). */
static const size_t map_sizes[] = {(size_t)64 << 30, (size_t)4 << 30, (size_t)1 << 30, (size_t)256 << 20};
#define N_MAP_SIZES (sizeof(map_sizes) / sizeof(map_sizes[0]))

int engine_errno(int code)
{
	if (code >= 0)
		return -code;
	switch (code) {
	case MDB_NOTFOUND:
		return -ENOENT;
	case MDB_KEYEXIST:
		return -EEXIST;
	case MDB_MAP_FULL:
		return -ENOSPC;
	case MDB_PAGE_NOTFOUND:
	case MDB_CORRUPTED:
	case MDB_INVALID:
	case MDB_INCOMPATIBLE:
		return -EBADMSG;
	case MDB_VERSION_MISMATCH:
		return -EPROTO;
	case MDB_TXN_FULL:
		return -E2BIG;
	case MDB_READERS_FULL:
		return -EUSERS;
	case MDB_BAD_VALSIZE:
		return -EINVAL;
	default:
		return -EIO;
	}
}

/* How much shorter than its meta page says an environment may be: LMDB does not write pages at the end that a transaction took and
 * gave back. Seen: 7. */
#define SHORT_PAGES_MAX 256

/* What was cut off would be a SIGBUS when it is read. */
static int check_length(MDB_env *env)
{
	MDB_envinfo info;
	MDB_stat stat;
	struct stat st;
	MDB_txn *txn;
	int fd;
	int code = mdb_env_get_fd(env, &fd);
	if (!code)
		code = mdb_env_info(env, &info);
	if (!code)
		code = mdb_env_stat(env, &stat);
	if (code)
		return code;
	if (fstat(fd, &st))
		return errno;
	off_t wanted = (off_t)(info.me_last_pgno + 1) * stat.ms_psize;
	if (st.st_size >= wanted)
		return 0;
	if (wanted - st.st_size > (off_t)SHORT_PAGES_MAX * stat.ms_psize)
		return MDB_CORRUPTED;
	/* Nobody else may be writing meanwhile: another process could just have made it longer. */
	code = mdb_txn_begin(env, NULL, 0, &txn);
	if (code)
		return code;
	if (fstat(fd, &st) || (st.st_size < wanted && ftruncate(fd, wanted)))
		code = errno;
	mdb_txn_abort(txn);
	return code;
}

static int open_once(int dir_fd, const struct engine_options *options, size_t map_bytes, unsigned flags, MDB_env **env)
{
	/* Through the descriptor and not by the path: an access point may be mounted over the path meanwhile. */
	char path[64];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", dir_fd);

	MDB_env *opened;
	int code = mdb_env_create(&opened);
	if (code)
		return code;
	code = mdb_env_set_mapsize(opened, map_bytes);
	if (!code)
		code = mdb_env_set_maxreaders(opened, options->readers);
	if (!code && options->databases)
		code = mdb_env_set_maxdbs(opened, options->databases);
	/* Default sync flags: with MDB_NOSYNC a power cut leaves an environment that cannot be walked. NOTLS: a read transaction
	 * belongs to who has it and not to a thread. */
	if (!code)
		code = mdb_env_open(opened, path, MDB_NOTLS | flags, 0600);
	if (!code && !(flags & MDB_RDONLY))
		code = check_length(opened);
	if (code) {
		mdb_env_close(opened);
		return code;
	}
	/* LMDB forgets this for one of its descriptors; helpers that the daemon starts have no business with it. */
	int data_fd, dead;
	if (mdb_env_get_fd(opened, &data_fd) == 0)
		fcntl(data_fd, F_SETFD, FD_CLOEXEC);
	if (!(flags & MDB_RDONLY))
		mdb_reader_check(opened, &dead);
	*env = opened;
	return 0;
}

/* --- one after the other ---
 *
 * Who closes an environment last takes its mutexes apart (LMDB since 0.9.26, but for 0.9.30), and who opens it in that moment neither
 * finds them nor makes them anew: his first transaction fails with EINVAL. So only one at a time opens or closes, by flock(2) on the
 * data file, of which LMDB knows nothing. Where there is no such lock it is as LMDB has it. */

static void take_turn(int data_fd)
{
	while (data_fd >= 0 && flock(data_fd, LOCK_EX) < 0 && errno == EINTR)
		;
}

/* Said, and not left to the closing: a child of this process may have a copy. */
static void end_turn(int data_fd)
{
	if (data_fd >= 0)
		flock(data_fd, LOCK_UN);
}

void engine_close(MDB_env *env)
{
	int fd;
	if (!env)
		return;
	/* Of one opening with LMDB's own, which goes before the mutexes do. */
	CLEAN_FD int data_fd = mdb_env_get_fd(env, &fd) ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
	take_turn(data_fd);
	mdb_env_close(env);
	end_turn(data_fd);
}

static int open_with(int dir_fd, const struct engine_options *options, unsigned flags, MDB_env **env)
{
	CLEAN_FD int data_fd = openat(dir_fd, DATA_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	take_turn(data_fd);
	int code = open_once(dir_fd, options, options->map_bytes, flags, env);
	for (size_t i = 0; i < N_MAP_SIZES && (code == ENOMEM || code == EINVAL || code == EFBIG || code == EOVERFLOW); i++)
		if (map_sizes[i] < options->map_bytes)
			code = open_once(dir_fd, options, map_sizes[i], flags, env);
	end_turn(data_fd);
	return code;
}

int engine_open(int dir_fd, const struct engine_options *options, MDB_env **env)
{
	return open_with(dir_fd, options, 0, env);
}

bool engine_has_readers(int dir_fd)
{
	return faccessat(dir_fd, LOCK_NAME, F_OK, 0) == 0;
}

int engine_open_to_read(int dir_fd, const struct engine_options *options, MDB_env **env)
{
	return open_with(dir_fd, options, MDB_RDONLY | (engine_has_readers(dir_fd) ? 0 : MDB_NOLOCK), env);
}

int engine_missing_bytes(MDB_env *env, uint64_t *bytes)
{
	MDB_envinfo info;
	MDB_stat stat;
	struct stat st;
	int fd, code = mdb_env_get_fd(env, &fd);
	if (!code)
		code = mdb_env_info(env, &info);
	if (!code)
		code = mdb_env_stat(env, &stat);
	if (code)
		return code;
	if (fstat(fd, &st))
		return errno;
	uint64_t wanted = (uint64_t)(info.me_last_pgno + 1) * stat.ms_psize, slack = (uint64_t)SHORT_PAGES_MAX * stat.ms_psize;
	*bytes = wanted > slack && (uint64_t)st.st_size < wanted - slack ? wanted - (uint64_t)st.st_size : 0;
	return 0;
}

int engine_exists(int dir_fd)
{
	struct stat st;
	if (fstatat(dir_fd, DATA_NAME, &st, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? 0 : -errno;
	return S_ISREG(st.st_mode) && st.st_size >= DATA_BYTES_MIN ? 1 : -EBADMSG;
}

static void remove_new(int dir_fd)
{
	unlinkat(dir_fd, NEW_NAME "/" DATA_NAME, 0);
	unlinkat(dir_fd, NEW_NAME "/" LOCK_NAME, 0);
	unlinkat(dir_fd, NEW_NAME, AT_REMOVEDIR);
}

static int fill_new(int new_fd, const struct engine_options *options, int (*fill)(MDB_env *env, MDB_txn *txn))
{
	MDB_env *env;
	MDB_txn *txn;
	int code = engine_open(new_fd, options, &env);
	if (code)
		return code;
	code = mdb_txn_begin(env, NULL, 0, &txn);
	if (!code) {
		code = fill(env, txn);
		if (code)
			mdb_txn_abort(txn);
		else
			code = mdb_txn_commit(txn);
	}
	engine_close(env);
	return code;
}

int engine_create(int dir_fd, const struct engine_options *options, int (*fill)(MDB_env *env, MDB_txn *txn))
{
	remove_new(dir_fd); /* what an interrupted creation left */
	if (mkdirat(dir_fd, NEW_NAME, 0700))
		return errno;
	CLEAN_FD int new_fd = openat(dir_fd, NEW_NAME, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	int code = new_fd < 0 ? errno : fill_new(new_fd, options, fill);
	if (!code)
		code = -fault_hit(FAULT_STATE_MADE);
	/* The commit has synced the file; the name must be durable, too, before anybody is told that it exists. */
	if (!code && renameat(new_fd, DATA_NAME, dir_fd, DATA_NAME))
		code = errno;
	if (!code && fsync(dir_fd))
		code = errno;
	remove_new(dir_fd);
	return code;
}

void engine_explain(int code, const char *dir, const char *what, char *error, size_t error_size)
{
	switch (code) {
	case MDB_INVALID:
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INCOMPATIBLE:
	case MDB_NOTFOUND:
		snprintf(error, error_size,
		         "%s/" DATA_NAME " is damaged, or is not %s of dmmfs (%s); it was left as it is: put back a copy of it; "
		         "without one, a state is made anew by 'dmmfs-admin db rebuild', and a configuration that is moved away "
		         "by the "
		         "next mounts",
		         dir, what, mdb_strerror(code));
		break;
	case MDB_VERSION_MISMATCH:
		snprintf(error, error_size,
		         "%s/" DATA_NAME " was written by another version of LMDB (%s); use dmmfs with that one", dir,
		         mdb_strerror(code));
		break;
	default:
		snprintf(error, error_size, "cannot open %s in %s: %s", what, dir, mdb_strerror(code));
	}
}
