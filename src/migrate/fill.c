/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The data of a small file that comes with its directory: whether it is to, and bringing it. What fails leaves a placeholder like any
 * other, and a later fetch meets the failure.
 */
#include "migrate/coming.h"
#include "migrate/make.h"

#include "base/log.h"

#include <errno.h>
#include <unistd.h>

/* More data than this is not brought before the names are recorded. */
#define FILL_BUDGET (512ull << 20)

bool fill_wanted(const struct making *making, const struct dmm_attr *attr)
{
	const struct migrate *migrate = making->migrate;

	return making->fill && attr->size > 0 && attr->size <= migrate->options.fill_with_dir &&
	       atomic_load_explicit(making->filled, memory_order_relaxed) < FILL_BUDGET &&
	       (!making->judging || order_fills(making->migrate, &making->verdict, attr->size, making->dir->turn)) &&
	       !__atomic_load_n(&making->dir->hurry, __ATOMIC_RELAXED) && !target_is_full(making->migrate) &&
	       (making->verdict.bring ||
	        (!govern_exceeded(making->migrate, GOVERNED_NAMES) && govern_take(making->migrate, attr->size)));
}

/* The bytes are wanted for the target, for the digest, or for both. */
static int fill_buffered(struct making *making, int fd, const struct dmm_attr *attr, struct source_file *file, bool shared)
{
	bool sparse = (attr->valid & DMM_ATTR_USED) && attr->used < attr->size;
	uint64_t at = 0;

	digest_stream_begin(making->stream, making->segsize);
	while (at < attr->size) {
		uint64_t want = attr->size - at < MAKE_BUFFER_SIZE ? attr->size - at : MAKE_BUFFER_SIZE;
		int64_t got = source_read(file, making->buffer, at, want);
		if (got < 0)
			return (int)got;
		if (got == 0)
			return -ENODATA;
		int result = shared ? 0 : target_write(fd, making->buffer, at, (uint64_t)got, sparse ? TARGET_SPARSE : 0);
		if (result < 0)
			return result;
		if (making->migrate->options.digests)
			digest_stream_add(making->stream, making->buffer, (size_t)got);
		at += (uint64_t)got;
	}
	return sparse && !shared && ftruncate(fd, (off_t)attr->size) < 0 ? -errno : 0;
}

/* The source is looked at again when all is done, as after a copy (has_drifted). */
static bool share(struct making *making, int fd, const struct dmm_attr *attr, struct source_file *file)
{
	atomic_bool *no_sharing = &making->migrate->no_sharing;
	int from = -EXDEV;

	if (attr->size >= SHARE_LEAST && !atomic_load_explicit(no_sharing, memory_order_relaxed))
		from = source_file_fd(file);
	int result = from < 0 ? -EAGAIN : target_share_range(from, fd, 0, attr->size);
	if (result == -EXDEV || result == -EOPNOTSUPP)
		atomic_store(no_sharing, true);
	return result == 0;
}

static int fill(struct making *making, int fd, const struct dmm_attr *attr, struct source_file *file)
{
	bool sparse = (attr->valid & DMM_ATTR_USED) && attr->used < attr->size;
	atomic_bool *no_kernel_copy = &making->migrate->no_kernel_copy;
	bool buffered = sparse || making->migrate->options.digests || atomic_load_explicit(no_kernel_copy, memory_order_relaxed);
	bool shared = buffered && share(making, fd, attr, file);
	int from = buffered ? -EOPNOTSUPP : source_file_fd(file);

	if (shared && !making->migrate->options.digests)
		return 0;
	if (from >= 0) {
		int64_t copied = target_copy_range(from, fd, 0, attr->size);
		if (copied == (int64_t)attr->size)
			return 0;
		if (copied != -EOPNOTSUPP)
			return copied < 0 ? (int)copied : -ENODATA;
		atomic_store(no_kernel_copy, true);
	}
	return fill_buffered(making, fd, attr, file, shared);
}

/* What was asked for ahead. */
static int fill_found(struct making *making, int fd, const struct dmm_attr *attr)
{
	const struct coming *coming = making->coming;
	bool sparse = (attr->valid & DMM_ATTR_USED) && attr->used < attr->size;

	if (coming->found.data < 0)
		return (int)coming->found.data;
	int result = target_write(fd, coming->data, 0, attr->size, sparse ? TARGET_SPARSE : 0);
	if (result >= 0 && making->migrate->options.digests) {
		digest_stream_begin(making->stream, making->segsize);
		digest_stream_add(making->stream, coming->data, attr->size);
	}
	if (result >= 0 && sparse && ftruncate(fd, (off_t)attr->size) < 0)
		result = -errno;
	return result;
}

static bool has_drifted(const struct making *making, const struct dmm_entry *entry, struct source_file *file)
{
	const struct source_found *found = coming_has_data(making) ? &making->coming->found : NULL;
	int fd = file ? source_file_fd(file) : -EBADF;

	if (found && found->attr_known)
		return drift_between(&entry->attr, &found->attr);
	if (fd >= 0 && !(entry->attr.valid & DMM_ATTR_CHANGE))
		return drift_of_open(entry, fd);
	return drift_since(making->migrate, entry);
}

bool fill_try(struct making *making, int fd, const struct dmm_entry *entry, struct source_file *file)
{
	int result = -EBADF;

	if (coming_has_data(making))
		result = fill_found(making, fd, &entry->attr);
	else if (file)
		result = fill(making, fd, &entry->attr, file);
	if (result == 0 && !has_drifted(making, entry, file)) {
		atomic_fetch_add_explicit(making->filled, entry->attr.size, memory_order_relaxed);
		return true;
	}
	if (result == -ENOSPC || result == -EDQUOT)
		target_note_full(making->migrate);
	if (ftruncate(fd, 0) < 0)
		log_warning("cannot empty a file that was half copied: error=%s", errno_name(errno));
	return false;
}
