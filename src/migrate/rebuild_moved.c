/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Placeholders that applications have renamed: only the target has their name, only the source their data. A file keeps size and
 * modification time when it is renamed, a directory that is not populated its modification time; where these fit one missing name and
 * one stray alone, the two are the same. A missing directory is not brought as a whole: what of it strayed would come twice, which
 * loses nothing.
 */
#include "migrate/rebuild_private.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool fits(const struct strayed *strayed, const struct missing *missing)
{
	const struct dmm_attr *attr = &missing->origin->attr;

	return !missing->renamed && !missing->origin->error && (attr->mode & S_IFMT) == (strayed->st.st_mode & S_IFMT) &&
	       attr->mtime.sec == strayed->st.st_mtim.tv_sec && attr->mtime.nsec == (uint32_t)strayed->st.st_mtim.tv_nsec &&
	       (S_ISDIR(attr->mode) || attr->size == (uint64_t)strayed->st.st_size) &&
	       (S_ISDIR(attr->mode) || !(attr->valid & DMM_ATTR_NLINK) || attr->nlink < 2);
}

static struct missing *only_fit(struct rebuilding *rebuilding, const struct strayed *strayed)
{
	struct missing *only = NULL;

	for (size_t i = 0; i < rebuilding->n_missing; i++) {
		if (!fits(strayed, &rebuilding->missing[i]))
			continue;
		if (only)
			return NULL;
		only = &rebuilding->missing[i];
	}
	for (size_t i = 0; only && i < rebuilding->n_strayed; i++)
		if (&rebuilding->strayed[i] != strayed && fits(&rebuilding->strayed[i], only))
			return NULL;
	return only;
}

/* 1: it is the missing one's. */
static int join_file(struct rebuilding *rebuilding, const struct strayed *strayed, const struct missing *missing)
{
	struct compared compared = {0};
	CLEAN_FD int fd = target_open_handle(rebuilding->rebuild->target, &strayed->handle, O_RDONLY | O_NONBLOCK);

	if (fd < 0)
		return fd == -ESTALE ? 0 : fd;
	int result = compare_file(rebuilding->rebuild, fd, &strayed->st, missing->origin, &compared);
	bool same = result >= 0 && compared.differ_bytes == 0;
	if (same)
		result = record_file(rebuilding, fd, &strayed->st, missing->origin, &compared);
	compared_free(&compared);
	if (result < 0)
		return source_is_outage(result) ? result : 0;
	return same;
}

static int join(struct rebuilding *rebuilding, const struct strayed *strayed, const struct missing *missing)
{
	if (!S_ISDIR(strayed->st.st_mode))
		return join_file(rebuilding, strayed, missing);
	int result =
		record_dir(rebuilding, &strayed->handle, strayed->st.st_ino, missing->origin->handle, &missing->origin->attr);
	return result < 0 ? result : 1;
}

/* What is in missing directories joins the list. What cannot be listed is not found; it comes over with its directory. */
static int look_inside(struct rebuilding *rebuilding)
{
	for (size_t i = 0; i < rebuilding->n_missing; i++) {
		struct origins origins = {0};
		struct missing dir = rebuilding->missing[i];
		if (!S_ISDIR(dir.origin->attr.mode) || dir.origin->error)
			continue;
		int result = origins_list(rebuilding->rebuild->source, dir.origin->handle, &origins);
		for (size_t n = 0; result >= 0 && n < origins.count; n++) {
			struct missing inside = {.dir = dir.dir, .origin = origins.all[n], .inside = true};
			if (asprintf(&inside.path, "%s/%s", dir.path, inside.origin->name) < 0)
				abort();
			rebuilding->missing = grow(rebuilding->missing, rebuilding->n_missing, &rebuilding->missing_cap,
			                           sizeof(*rebuilding->missing));
			rebuilding->missing[rebuilding->n_missing++] = inside;
			origins.all[n] = NULL;
		}
		origins_free(&origins);
		if (result < 0 && source_is_outage(result))
			return result;
	}
	return 0;
}

static int leave_strayed(struct rebuilding *rebuilding, const struct strayed *strayed)
{
	bool is_dir = S_ISDIR(strayed->st.st_mode);

	tell(rebuilding, REBUILD_ONLY_TARGET, strayed->path,
	     is_dir ? "it is empty: perhaps a directory that was renamed before it had come over"
	            : "parts of it are holes: perhaps a file that was renamed before it had come over; then its data is at the "
	              "source "
	              "under another name",
	     (uint64_t)strayed->st.st_size, CHOICE_NONE);
	return is_dir ? 0 : record_strayed(rebuilding, strayed);
}

static void tell_renamed(struct rebuilding *rebuilding, const struct strayed *strayed, const struct missing *missing)
{
	CLEAN_FREE char *detail = NULL;

	if (asprintf(&detail, "it was %s at the source, and goes on here", missing->path) < 0)
		abort();
	tell(rebuilding, REBUILD_RENAMED, strayed->path, detail, 0, CHOICE_NONE);
}

int moved_match(struct rebuilding *rebuilding)
{
	int result = rebuilding->n_strayed ? look_inside(rebuilding) : 0;

	for (size_t i = 0; result >= 0 && i < rebuilding->n_strayed; i++) {
		const struct strayed *strayed = &rebuilding->strayed[i];
		struct missing *missing = only_fit(rebuilding, strayed);
		result = missing ? join(rebuilding, strayed, missing) : 0;
		if (result > 0) {
			missing->renamed = true;
			tell_renamed(rebuilding, strayed, missing);
		} else if (result == 0) {
			result = leave_strayed(rebuilding, strayed);
		}
	}
	return result < 0 ? result : 0;
}
