/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What was found gets its path and goes to the ledger.
 *
 * A handle opens a file without telling its name. So findings are collected, and one walk over the names of the target, which
 * reads no inode but theirs, names many. Damage is rare: mostly there is no walk at all.
 */
#include "migrate/verify.h"

#include "base/cleanup.h"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int by_ino(const void *a, const void *b)
{
	const struct unnamed *x = a, *y = b;

	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

/* With the file open by its name, so that the ledger finds the path, too. */
static void tell(struct verify *verify, const struct unnamed *found, const char *path)
{
	const char *detail =
		found->error ? "it can not be read on the target"
			     : "the target does not have what was read from the source, and no application has changed it";

	verify_add_finding(verify, found->verdict, found->error, path);
	if (found->verdict != VERIFY_DAMAGED) {
		log_warning("verify: a file is not what was read from the source, but was touched since: path=\"%s\"", path);
		return;
	}
	ledger_error(&verify->migrate->ledger, &(struct failure){.ino = found->ino,
	                                                         .handle = &found->handle,
	                                                         .what = VERIFY_WHAT,
	                                                         .detail = detail,
	                                                         .error = found->error ? -found->error : -EBADMSG,
	                                                         .bytes = found->bytes,
	                                                         .final = true});
}

static void look_at(struct verify *verify, int dirfd, const char *name, const char *path, uint64_t ino)
{
	struct unnamed *found =
		bsearch(&(struct unnamed){.ino = ino}, verify->unnamed, verify->n_unnamed, sizeof(*found), by_ino);
	struct handle handle;

	if (!found || found->handle.len == 0)
		return;
	CLEAN_FD int fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || target_handle(fd, "", &handle) < 0 || !handle_equal(&handle, &found->handle))
		return;
	tell(verify, found, path);
	found->handle.len = 0; /* it has several names, one is enough */
}

static char *join(const char *dir, const char *name)
{
	char *path;

	if (asprintf(&path, "%s%s%s", dir, *dir ? "/" : "", name) < 0)
		abort(); /* as must_alloc() does */
	return path;
}

/* Takes over dirfd. Directories on other file systems are not ours. */
static void walk(struct verify *verify, int dirfd, const char *dir)
{
	DIR *stream = fdopendir(dirfd);

	if (!stream) {
		close(dirfd);
		return;
	}
	for (struct dirent *entry; (entry = readdir(stream));) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
		    (!*dir && strcmp(entry->d_name, TARGET_OURS) == 0))
			continue;
		CLEAN_FREE char *path = join(dir, entry->d_name);
		if (entry->d_type == DT_REG || entry->d_type == DT_UNKNOWN)
			look_at(verify, dirfd, entry->d_name, path, entry->d_ino);
		int below = entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN
		                    ? openat(dirfd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC)
		                    : -1;
		if (below >= 0)
			walk(verify, below, path);
	}
	closedir(stream);
}

void verify_name_findings(struct verify *verify)
{
	if (verify->n_unnamed == 0)
		return;
	qsort(verify->unnamed, verify->n_unnamed, sizeof(*verify->unnamed), by_ino);
	int top = openat(verify->migrate->target->root_fd, ".", O_RDONLY | O_DIRECTORY | O_NOATIME | O_CLOEXEC);
	if (top >= 0)
		walk(verify, top, "");
	for (size_t i = 0; i < verify->n_unnamed; i++)
		if (verify->unnamed[i].handle.len)
			tell(verify, &verify->unnamed[i], ""); /* renamed under the walk, perhaps */
	verify->n_unnamed = 0;
}

void verify_found(struct verify *verify, const struct digest_record *record, enum verify_verdict verdict, int error)
{
	if (verdict == VERIFY_DAMAGED)
		VERIFY_COUNT(verify, damaged, 1);
	else
		VERIFY_COUNT(verify, suspect, 1);
	verify->unnamed[verify->n_unnamed++] = (struct unnamed){
		.ino = record->ino, .bytes = record->size, .handle = record->handle, .verdict = verdict, .error = error};
	if (verify->n_unnamed == VERIFY_UNNAMED)
		verify_name_findings(verify);
}
