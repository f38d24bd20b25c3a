/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What admin/ asks: figures with the names and paths that only the daemon knows, and paths turned into objects.
 */
#include "daemon/apply.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

void daemon_stat(struct daemon *daemon, struct migration_stat *stat)
{
	const struct options *options = daemon->options;

	*stat = (struct migration_stat){.migid = daemon->migid};
	snprintf(stat->source, sizeof(stat->source), "%s", options->source);
	snprintf(stat->target, sizeof(stat->target), "%s", options->target);
	snprintf(stat->mountpoint, sizeof(stat->mountpoint), "%s", options->mountpoint);
	snprintf(stat->statedir, sizeof(stat->statedir), "%s", daemon->statedir);
	migrate_stat(daemon->migrate, stat);
	stat->passthrough = daemon->fs && fs_uses_passthrough(daemon->fs);
}

static int stat_port(void *context, struct migration_stat *stat)
{
	daemon_stat(context, stat);
	return 0;
}

/* The part of `path` below `top`; NULL when it is not there. */
static const char *below(const char *path, const char *top)
{
	size_t len = strlen(top);

	if (strcmp(top, "/") == 0)
		len = 0;
	if (strncmp(path, top, len) || (path[len] && path[len] != '/'))
		return NULL;
	while (path[len] == '/')
		len++;
	return path + len;
}

/* Never out of the target, never through a link, never through the mount. */
static int open_below(const struct target *target, const char *path)
{
	struct open_how how = {.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
	                       .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV};
	int fd = (int)syscall(SYS_openat2, target->root_fd, *path ? path : ".", &how, sizeof(how));

	return fd < 0 ? -errno : fd;
}

struct sought {
	const char *path; /* below the top, */
	size_t len;       /* so much of it */
	uint64_t ino;     /* of the directory that does not have it */
	struct where_report *report;
};

/* Positive: the order skipped what is sought. */
static int was_skipped(void *context, const struct error_record *record)
{
	const struct sought *sought = context;

	if (record->ino != sought->ino || record->state != ERROR_WAIVED || strcmp(record->what, "skip") ||
	    strlen(record->path) != sought->len || strncmp(record->path, sought->path, sought->len))
		return 0;
	snprintf(sought->report->error_detail, sizeof(sought->report->error_detail), "skipped, not there for applications: %s",
	         record->detail);
	return 1;
}

/* A name of this directory, which has come over, is not there: perhaps since the order skipped it, or what it lies in. */
static int where_skipped(struct daemon *daemon, const char *path, const char *above, int fd, struct where_report *report)
{
	const char *name = path + strlen(above);
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	name += strspn(name, "/");
	*report = (struct where_report){0};
	struct sought sought = {
		.path = path, .len = (size_t)(name - path) + strcspn(name, "/"), .ino = st.st_ino, .report = report};
	int result = migrate_errors(daemon->migrate, was_skipped, &sought);
	return result > 0 ? 0 : result < 0 ? result : -ENOENT;
}

/* A path that is not there is still at the source if a directory on the way has not come over. */
static int where_above(struct daemon *daemon, const char *path, struct where_report *report)
{
	char above[4096];

	snprintf(above, sizeof(above), "%s", path);
	for (;;) {
		char *slash = strrchr(above, '/');
		*(slash ? slash : above) = '\0';
		CLEAN_FD int fd = open_below(&daemon->target, above);
		if (fd == -ENOENT && *above)
			continue;
		if (fd < 0)
			return fd;
		int result = migrate_where(daemon->migrate, fd, report);
		if (result < 0)
			return result;
		if (report->finished)
			return where_skipped(daemon, path, above, fd, report);
		report->mode = 0;
		report->size = 0;
		if (!report->error)
			snprintf(report->error_detail, sizeof(report->error_detail), "its directory has not come over yet");
		return 0;
	}
}

static int where_port(void *context, const char *path, struct where_report *report)
{
	struct daemon *daemon = context;
	const char *relative = below(path, daemon->options->mountpoint);

	*report = (struct where_report){0};
	if (!relative)
		relative = below(path, daemon->options->target);
	if (!relative)
		return -EXDEV;
	CLEAN_FD int fd = open_below(&daemon->target, relative);
	if (fd == -ENOENT && *relative)
		return where_above(daemon, relative, report);
	return fd < 0 ? fd : migrate_where(daemon->migrate, fd, report);
}

static int errors_port(void *context, int (*each)(void *each_context, const struct error_record *record), void *each_context)
{
	struct daemon *daemon = context;

	return migrate_errors(daemon->migrate, each, each_context);
}

static int errors_fixed_port(void *context, int (*each)(void *each_context, const struct error_record *record),
                             void *each_context)
{
	struct daemon *daemon = context;

	return migrate_errors_fixed(daemon->migrate, each, each_context);
}

static int errors_after_port(void *context, uint64_t after, int (*each)(void *each_context, const struct error_record *record),
                             void *each_context)
{
	struct daemon *daemon = context;

	return migrate_errors_after(daemon->migrate, after, each, each_context);
}

/* An absolute path is below the mount or the target; any other is as an entry of the ledger has it. */
static int choose(struct daemon *daemon, const struct error_choice *choice, struct error_target *target)
{
	const char *path = choice->path;
	struct stat st;

	*target = (struct error_target){.id = choice->id};
	if (choice->id)
		return 0;
	if (path[0] == '/') {
		path = below(choice->path, daemon->options->mountpoint);
		if (!path)
			path = below(choice->path, daemon->options->target);
		if (!path)
			return -EXDEV;
	}
	target->path = path;
	CLEAN_FD int fd = *path ? open_below(&daemon->target, path) : -1;
	if (fd >= 0 && fstat(fd, &st) == 0)
		target->ino = st.st_ino;
	return 0;
}

static int decide_port(void *context, enum error_decision decision, const struct error_choice *choices, size_t count,
                       struct decision_result *result)
{
	struct daemon *daemon = context;
	CLEAN_FREE struct error_target *targets = calloc(count + 1, sizeof(*targets));

	if (!targets)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		int error = choose(daemon, &choices[i], &targets[i]);
		if (error < 0) {
			snprintf(result->message, sizeof(result->message), "%s is not below its mount point or target",
			         choices[i].path);
			return error;
		}
	}
	return migrate_decide(daemon->migrate, decision, targets, count, result);
}

static int fetch_port(void *context, const char *const *paths, size_t count, uint32_t *number, char *error, size_t error_size)
{
	struct daemon *daemon = context;
	CLEAN_FREE const char **relative = calloc(count, sizeof(*relative));

	if (!relative)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		relative[i] = below(paths[i], daemon->options->mountpoint);
		if (!relative[i])
			relative[i] = below(paths[i], daemon->options->target);
		if (relative[i])
			continue;
		snprintf(error, error_size, "%s is not below its mount point or target", paths[i]);
		return -EXDEV;
	}
	return migrate_fetch(daemon->migrate, relative, count, number, error, error_size);
}

static int fetch_status_port(void *context, uint32_t number, struct fetch_status *status)
{
	struct daemon *daemon = context;

	return migrate_fetch_status(daemon->migrate, number, status);
}

void daemon_port(struct daemon *daemon, struct migration_port *port)
{
	*port = (struct migration_port){
		.context = daemon,
		.stat = stat_port,
		.where = where_port,
		.finish = daemon_finish,
		.errors = errors_port,
		.errors_fixed = errors_fixed_port,
		.decide = decide_port,
		.uuid = daemon->uuid,
		.halt = daemon_halt,
		.pause = daemon_pause,
		.set = daemon_set,
		.get = daemon_get,
		.fetch = fetch_port,
		.fetch_status = fetch_status_port,
		.verify_start = daemon_verify_start,
		.verify_stop = daemon_verify_stop,
		.verify_status = daemon_verify_status,
		.report = daemon_report,
		.errors_after = errors_after_port,
		.upgrade = daemon_upgrade,
	};
}
