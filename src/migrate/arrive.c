/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Segments arrive on the target: written under the file's rights, clipped to what is still wanted of the source by then, with the
 * file's times and capabilities left as they were found, and recorded after the next barrier (I1).
 *
 * When the target is full nothing is stored; it is tried again after a while.
 */
#include "migrate/internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "target/make.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define FULL_PROBE_NS (5 * NS_PER_S)

bool target_is_full(struct migrate *migrate)
{
	uint64_t since = atomic_load_explicit(&migrate->target_full_ns, memory_order_relaxed);

	return since && clock_monotonic_ns() - since < FULL_PROBE_NS;
}

void target_note_full(struct migrate *migrate)
{
	if (atomic_exchange(&migrate->target_full_ns, clock_monotonic_ns()) == 0)
		log_event(
			LOG_LEVEL_ERROR, "target-full", "note=%s",
			"reads of what has not come over are answered from the source, without storing; the migration goes on by "
			"itself when there is room again");
}

static void note_room(struct migrate *migrate)
{
	if (atomic_load_explicit(&migrate->target_full_ns, memory_order_relaxed) && atomic_exchange(&migrate->target_full_ns, 0))
		log_event(LOG_LEVEL_INFO, "target-room", "note=%s", "the migration goes on");
}

struct capability {
	char value[64];
	ssize_t len;
};

static void restore_metadata(struct object *object, int fd, const struct capability *capability)
{
	struct timespec times[2] = {
		{.tv_nsec = UTIME_OMIT},
		{.tv_sec = object->mtime.sec, .tv_nsec = object->mtime.nsec},
	};
	if (capability->len > 0 && fsetxattr(fd, "security.capability", capability->value, (size_t)capability->len, 0) < 0)
		log_warning("a file's capabilities cannot be restored: ino=%llu error=%s", (unsigned long long)object->ino,
		            errno_name(errno));
	if (futimens(fd, times) < 0)
		log_warning("a file's times cannot be restored: ino=%llu error=%s", (unsigned long long)object->ino,
		            errno_name(errno));
}

int arrive_open_target(struct object *object)
{
	int fd = target_open_handle(object->migrate->target, &object->handle, O_RDWR);

	if (fd != -EPERM)
		return fd;
	/* The flags of a file that was nearly finished at a crash: immutable or append-only. They are set again at the end. */
	CLEAN_FD int flagged = target_open_handle(object->migrate->target, &object->handle, O_RDONLY);
	int result = flagged < 0 ? flagged : target_unlock_flags(flagged);
	if (result < 0)
		return result;
	return target_open_handle(object->migrate->target, &object->handle, O_RDWR);
}

/* Under rights. How much of the segment is still wanted of the source. */
static uint64_t still_wanted(struct object *object, uint64_t segment)
{
	LOCKED(&object->lock);
	if (object->dropped || object->finishing || segment_resident(object, segment))
		return 0;
	return segment_bytes(object, segment);
}

static void mark_resident(struct object *object, uint64_t segment)
{
	LOCKED(&object->lock);
	if (!segment_resident(object, segment)) {
		segment_set(object->resident, segment, true);
		object->absent--;
	}
}

void segments_durable(struct object *object, int error, void *context)
{
	struct marked *marked = context;
	LOCKED(&object->lock);
	bool current = error == 0 && marked->generation == object->generation;

	for (uint64_t s = marked->first; current && s < marked->first + marked->count && s < object->n_segments; s++)
		segment_set(object->durable_map, s, true);
	free(marked);
}

void arrive_record(struct object *object, uint64_t first, uint64_t count, uint64_t bytes, const struct digest *digest,
                   bool urgent)
{
	struct batch *batch = batch_new();
	struct marked *marked = must_alloc(sizeof(*marked));

	pthread_mutex_lock(&object->lock);
	*marked = (struct marked){first, count, object->generation};
	pthread_mutex_unlock(&object->lock);
	if (digest && object->migrate->options.digests)
		batch_segments_arrived(batch, object->ino, first, count, digest);
	else
		batch_segments_mark(batch, object->ino, first, count);
	batch_totals_add(batch, &(struct totals){.bytes_migrated = (int64_t)bytes, .bytes_pending = -(int64_t)bytes});
	file_submit(object, batch, SUBMIT_BARRIER | (urgent ? SUBMIT_URGENT : 0), segments_durable, marked);
}

/* Blocks of the source, where it is one file system with the target that shares them. The bytes in the buffer, of which the digest is
 * made, were read before: when the source has changed since, they are written over what is shared. */
static bool share(struct object *object, int fd, const struct bytes_from *from, uint64_t start, uint64_t len, bool *holes)
{
	if (len < SHARE_LEAST || from->fd < 0 || atomic_load_explicit(&object->migrate->no_sharing, memory_order_relaxed))
		return false;
	int result = target_share_range(from->fd, fd, start, len);
	bool never = result == -EXDEV || result == -EOPNOTSUPP;
	if (never)
		atomic_store(&object->migrate->no_sharing, true);
	*holes = *holes && never; /* any other failure may have shared a part */
	return result == 0 && drift_open_is_known(object, from->fd);
}

/* So much of a file lies side by side on the target, although several files are written at once. */
#define RESERVED (32u << 20)

/* Up to where room is to be taken: a piece that begins in the segment, and is wanted to its end. An application may have made holes in it. */
static uint64_t reserved_to(struct object *object, uint64_t piece)
{
	LOCKED(&object->lock);

	if (object->file.changed)
		return 0;
	return object->file.limit < piece + RESERVED ? object->file.limit : piece + RESERVED;
}

static void reserve(struct object *object, int fd, uint64_t start, uint64_t len)
{
	uint64_t piece = (start + len - 1) / RESERVED * RESERVED;
	uint64_t end = piece < start ? 0 : reserved_to(object, piece);

	if (end > start + len)
		target_reserve(fd, piece, end - piece);
}

/* What nobody asked for is not to take the place in memory of what applications use. It goes to the disk at once then, in the order in
 * which it comes. */
static int write_bytes(struct object *object, int fd, const struct bytes_from *from, uint64_t start, uint64_t len, bool holes)
{
	unsigned how = holes ? TARGET_SPARSE : 0;
	atomic_bool *no_uncached = &object->migrate->no_uncached;

	if (from->unasked && !atomic_load_explicit(no_uncached, memory_order_relaxed)) {
		if (!holes)
			reserve(object, fd, start, len);
		int result = target_write(fd, from->buf, start, len, how | TARGET_UNCACHED);
		if (result != -EOPNOTSUPP)
			return result;
		atomic_store(no_uncached, true);
	}
	return target_write(fd, from->buf, start, len, how);
}

static int put_bytes(struct object *object, int fd, const struct bytes_from *from, uint64_t start, uint64_t len)
{
	bool holes =
		object->file.source_used < object->file.source_size; /* where nothing was written, the target reads as zeros */

	if (from->buf)
		return share(object, fd, from, start, len, &holes) ? 0 : write_bytes(object, fd, from, start, len, holes);
	int64_t copied = target_copy_range(from->fd, fd, start, len);
	return copied < 0 ? (int)copied : (uint64_t)copied < len ? -ENODATA : 0;
}

bool arrive_current(struct object *object, uint64_t generation)
{
	LOCKED(&object->lock);
	return object->generation == generation && !object->file.emptied;
}

/* It may have been cut meanwhile. */
static struct digest digest_of(struct object *object, uint64_t segment, const struct bytes_from *from, uint64_t len)
{
	if (from->len == len || !object->migrate->options.digests)
		return from->digest;
	return digest_of_segment(from->buf, len, segment);
}

int arrive_store(struct object *object, uint64_t segment, const struct bytes_from *from, bool urgent)
{
	if (!arrive_current(object, from->generation))
		return -ERESTART;
	uint64_t len = still_wanted(object, segment);
	struct capability capability;
	struct digest digest;

	if (len == 0)
		return 0;
	CLEAN_FD int fd = arrive_open_target(object);
	if (fd < 0)
		return fd;
	capability.len = fgetxattr(fd, "security.capability", capability.value, sizeof(capability.value));
	int result = put_bytes(object, fd, from, segment * object->file.segsize, len);
	restore_metadata(object, fd, &capability);
	if (result >= 0)
		result = fault_hit(FAULT_FETCH_WRITTEN);
	if (result < 0)
		return result;
	note_room(object->migrate);
	mark_resident(object, segment);
	if (from->buf)
		digest = digest_of(object, segment, from, len);
	arrive_record(object, segment, 1, len, from->buf ? &digest : NULL, urgent);
	return 0;
}
