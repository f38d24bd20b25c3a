/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * One file of the target against the digest of what was read from the source.
 *
 * It is read past the page cache (O_DIRECT): from the disk, where damage is, and without driving out what applications use. Dirty
 * pages that touch what is read are written first, so what a mapping has changed is seen. Where the file system cannot do that, it is
 * read through the cache.
 */
#include "migrate/verify.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define READS 2 /* what is not equal is read once more before it is called so */

int verify_open(struct verify *verify, const struct handle *handle)
{
	const struct target *target = verify->migrate->target;
	int fd = target_open_handle(target, handle, O_RDONLY | O_NOATIME | O_NONBLOCK | O_DIRECT);

	return fd == -EINVAL ? target_open_handle(target, handle, O_RDONLY | O_NOATIME | O_NONBLOCK) : fd;
}

/* Up to a segment, less at the end of the file; a short read of a direct descriptor that is no multiple of a block is the end. */
static int64_t read_segment(int fd, char *buf, uint64_t len, uint64_t off)
{
	uint64_t done = 0;

	while (done < len) {
		ssize_t got = pread(fd, buf + done, len - done, (off_t)(off + done));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		done += (uint64_t)got;
		if (got == 0 || done % 512)
			break;
	}
	return (int64_t)done;
}

/* The segment in which the next data lies; UINT64_MAX: there is none. */
static uint64_t next_data(int fd, uint64_t segment, uint64_t segsize)
{
	off_t data = lseek(fd, (off_t)(segment * segsize), SEEK_DATA);

	if (data < 0)
		return errno == ENXIO ? UINT64_MAX : segment;
	return (uint64_t)data / segsize;
}

/* Reading once more what was not equal brings nobody further. */
static void count_read(struct verify *verify, uint64_t bytes)
{
	uint64_t seen = bytes < verify->credit ? bytes : verify->credit;

	verify->credit -= seen;
	VERIFY_COUNT(verify, bytes, bytes);
	VERIFY_COUNT(verify, bytes_seen, seen);
}

int verify_digest(struct verify *verify, int fd, uint64_t segsize, struct digest *digest)
{
	char *buf = verify_buffer(verify, segsize);
	struct digest sum = {0};
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	bool sparse = (uint64_t)st.st_blocks * 512 < (uint64_t)st.st_size;
	for (uint64_t segment = 0; segment * segsize < (uint64_t)st.st_size; segment++) {
		uint64_t data = sparse ? next_data(fd, segment, segsize) : segment;
		if (data == UINT64_MAX)
			break;
		segment = data;
		int64_t got = read_segment(fd, buf, segsize, segment * segsize);
		if (got < 0)
			return (int)got;
		struct digest one = digest_of_segment(buf, (size_t)got, segment);
		digest_add(&sum, &one);
		count_read(verify, (uint64_t)got);
		if (!verify_pace(verify, (uint64_t)got))
			return -ECANCELED;
	}
	*digest = sum;
	return 0;
}

static bool same_time(const struct moment *moment, const struct timespec *time)
{
	return moment->sec == time->tv_sec && moment->nsec == time->tv_nsec;
}

/* An application has written in it, or cut it, or replaced it. */
static bool is_changed(const struct digest_record *record, const struct stat *st)
{
	return (uint64_t)st->st_size != record->size || !same_time(&record->mtime, &st->st_mtim);
}

enum outcome { EQUAL, CHANGED, REMOVED, DIFFERENT, TOUCHED };

/* One reading; a negative errno is one of the target. */
static int compare_once(struct verify *verify, const struct digest_record *record, int fd)
{
	struct digest digest;
	struct stat before, after;

	if (fstat(fd, &before) < 0)
		return -errno;
	if (before.st_nlink == 0)
		return REMOVED;
	if (is_changed(record, &before))
		return CHANGED;
	int result = verify_digest(verify, fd, record->segsize, &digest);
	if (result == -ECANCELED)
		return result;
	if (fstat(fd, &after) < 0)
		return -errno;
	if (is_changed(record, &after))
		return CHANGED;
	if (result < 0)
		return result;
	if (digest_equal(&digest, &record->digest))
		return EQUAL;
	return same_time(&record->ctime, &after.st_ctim) ? DIFFERENT : TOUCHED;
}

static int compare(struct verify *verify, const struct digest_record *record)
{
	CLEAN_FD int fd = verify_open(verify, &record->handle);
	int outcome = fd == -ESTALE || fd == -ENOENT ? REMOVED : fd;

	for (int i = 0; fd >= 0 && i < READS; i++) {
		outcome = compare_once(verify, record, fd);
		if (outcome == EQUAL || outcome == CHANGED || outcome == REMOVED || outcome == -ECANCELED)
			break;
	}
	return outcome;
}

int verify_record(struct verify *verify, const struct digest_record *record)
{
	verify->credit = record->size;
	int outcome = compare(verify, record);

	if (outcome == -ECANCELED)
		return outcome;
	VERIFY_COUNT(verify, files, 1);
	VERIFY_COUNT(verify, bytes_seen, verify->credit); /* holes, and what was not read */
	switch (outcome) {
	case EQUAL:
		VERIFY_COUNT(verify, equal, 1);
		break;
	case CHANGED:
		VERIFY_COUNT(verify, changed, 1);
		break;
	case REMOVED:
		VERIFY_COUNT(verify, removed, 1);
		break;
	case TOUCHED:
		verify_found(verify, record, VERIFY_SUSPECT, 0);
		return 0;
	default: /* different, or it cannot be read */
		verify_found(verify, record, VERIFY_DAMAGED, outcome < 0 ? -outcome : 0);
		return 0;
	}
	ledger_clear(&verify->migrate->ledger, record->ino); /* what an earlier verification has said of it */
	return 0;
}
