/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Each number is written in place, 20 digits and the end of the line, in the first sector of a file that is made once: that cannot tear,
 * and needs no room on a file system that writes in place. Elsewhere (btrfs) a full file system leaves older numbers; the state is not
 * told of a sync that was not noted, so that is no alarm either.
 */
#include "target/witness.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define TARGET_WITNESS_NEW "witness.new"
#define NUMBER_BYTES 21 /* 20 digits and the end of the line */
enum { LINE_COMMITTED, LINE_BEGUN, LINES };

#define LOCK_WAIT_NS (2 * NS_PER_S)
#define LOCK_POLL_US 20000

static int lock(int fd)
{
	uint64_t until_ns = clock_monotonic_ns() + LOCK_WAIT_NS;

	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		if (clock_monotonic_ns() >= until_ns)
			return -EBUSY;
		usleep(LOCK_POLL_US);
	}
	return 0;
}

static int take(struct target *target, const char *name, int flags)
{
	CLEAN_FD int fd = openat(target->ours_fd, name, flags | O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	int result = lock(fd);
	if (result >= 0)
		target->witness_fd = steal_fd(&fd);
	return result;
}

static int write_number(int fd, unsigned line, uint64_t commit)
{
	char text[NUMBER_BYTES + 1];

	snprintf(text, sizeof(text), "%020" PRIu64 "\n", commit);
	ssize_t written = pwrite(fd, text, NUMBER_BYTES, (off_t)line * NUMBER_BYTES);
	return written == NUMBER_BYTES ? 0 : written < 0 ? -errno : -ENOSPC;
}

static int make(struct target *target, const char *name)
{
	int result = take(target, name, O_CREAT);

	if (result >= 0)
		result = write_number(target->witness_fd, LINE_COMMITTED, 0);
	if (result >= 0)
		result = write_number(target->witness_fd, LINE_BEGUN, 0);
	if (result >= 0 && (fsync(target->witness_fd) < 0 || fsync(target->ours_fd) < 0))
		result = -errno;
	if (result < 0)
		target_witness_close(target);
	return result;
}

int target_witness_make(struct target *target)
{
	return make(target, TARGET_WITNESS);
}

int target_witness_take(struct target *target)
{
	return take(target, TARGET_WITNESS, 0);
}

int target_witness_renew(struct target *target)
{
	/* Another inode than the one that an interrupted attempt may have left: a state that names that one is not this. */
	if (unlinkat(target->ours_fd, TARGET_WITNESS_NEW, 0) < 0 && errno != ENOENT)
		return -errno;
	target_witness_close(target);
	return make(target, TARGET_WITNESS_NEW);
}

int target_witness_install(struct target *target)
{
	if (renameat(target->ours_fd, TARGET_WITNESS_NEW, target->ours_fd, TARGET_WITNESS) < 0)
		return -errno;
	return fsync(target->ours_fd) < 0 ? -errno : 0;
}

void target_witness_close(struct target *target)
{
	cleanup_close(&target->witness_fd);
	target->witness_fd = -1;
}

static int name_of(int fd, char name[WITNESS_NAME_SIZE])
{
	struct handle handle;
	int result = target_handle(fd, "", &handle);

	if (result < 0)
		return result;
	int at = snprintf(name, WITNESS_NAME_SIZE, "%d:", handle.type);
	for (unsigned i = 0; i < handle.len; i++)
		at += snprintf(name + at, (size_t)(WITNESS_NAME_SIZE - at), "%02x", handle.bytes[i]);
	return 0;
}

/* The number that begins at `text`. */
static int parse(char *text, uint64_t *number)
{
	if (text[NUMBER_BYTES - 1] != '\n')
		return -EBADMSG;
	text[NUMBER_BYTES - 1] = '\0';
	if (strspn(text, "0123456789") != NUMBER_BYTES - 1)
		return -EBADMSG;
	errno = 0;
	*number = strtoull(text, NULL, 10);
	return errno ? -EBADMSG : 0;
}

static int read_numbers(int fd, struct witness_numbers *numbers)
{
	char text[LINES * NUMBER_BYTES + 1];
	struct witness_numbers found;
	ssize_t len = pread(fd, text, sizeof(text), 0);

	if (len < 0)
		return -errno;
	if (len != LINES * NUMBER_BYTES)
		return -EBADMSG;
	int result = parse(text, &found.committed);
	if (result >= 0)
		result = parse(text + NUMBER_BYTES, &found.begun);
	if (result >= 0)
		*numbers = found;
	return result;
}

int target_witness_name(const struct target *target, char name[WITNESS_NAME_SIZE])
{
	return name_of(target->witness_fd, name);
}

int target_witness_read(const struct target *target, struct witness_numbers *numbers)
{
	return read_numbers(target->witness_fd, numbers);
}

int target_witness_committed(const struct target *target, uint64_t commit)
{
	return target->witness_fd < 0 ? -ENOENT : write_number(target->witness_fd, LINE_COMMITTED, commit);
}

int target_witness_begun(const struct target *target, uint64_t commit)
{
	return target->witness_fd < 0 ? -ENOENT : write_number(target->witness_fd, LINE_BEGUN, commit);
}

int target_witness_sync(const struct target *target)
{
	return target->witness_fd < 0 ? -ENOENT : fdatasync(target->witness_fd) < 0 ? -errno : 0;
}

int target_witness_touch(const struct target *target)
{
	return target->witness_fd < 0 ? -ENOENT : futimens(target->witness_fd, NULL) < 0 ? -errno : 0;
}

int target_witness_look(const struct target *target, char name[WITNESS_NAME_SIZE], struct witness_numbers *numbers)
{
	CLEAN_FD int ours = openat(target->root_fd, TARGET_OURS, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (ours < 0)
		return -errno;
	CLEAN_FD int fd = openat(ours, TARGET_WITNESS, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int result = name_of(fd, name);
	return result < 0 ? result : read_numbers(fd, numbers);
}
