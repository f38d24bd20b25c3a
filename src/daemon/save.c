/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dmmfs --inspect export: saves a state. What is saved appears whole under its name or not at all: it is made beside it, as
 * NAME.partial, and renamed.
 *
 *   data.mdb          a compacted copy, of one moment, with which dmmfs can go on
 *   dump.jsonl        the same as text, an entry in each line
 *   migration.json    the settings of the migration in the configuration
 */
#include "daemon/look.h"

#include "daemon/options.h"
#include "daemon/place.h"
#include "dmmfs-config.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "state/config.h"
#include "state/inspect.h"
#include "wire/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int new_file(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? -errno : fd;
}

static int close_durable(FILE *file)
{
	int result = fflush(file) || ferror(file) || fsync(fileno(file)) ? (errno ? -errno : -EIO) : 0;
	fclose(file);
	return result;
}

static int copy_state(const struct saving *saving, int dir, char *error, size_t error_size)
{
	struct inspection *inspection;
	int result = inspect_open(saving->state, &inspection, error, error_size);
	if (result)
		return result;
	CLEAN_FD int fd = new_file(dir, "data.mdb");
	result = fd < 0 ? fd : inspect_copy(inspection, fd);
	inspect_close(inspection);
	if (result)
		snprintf(error, error_size, "the state in %s can not be copied to %s: %s", saving->state, saving->to,
		         strerror(-result));
	return result;
}

/* --- the dump, of the copy: it stands still --- */

static int write_entry(void *context, json_t *entry)
{
	int failed = json_dumpf(entry, context, JSON_COMPACT) || fputc('\n', context) == EOF;
	json_decref(entry);
	return failed ? -EIO : 0;
}

static void no_finding(void *context, const struct finding *finding)
{
	(void)context;
	(void)finding;
}

static void no_progress(void *context, const char *database, uint64_t entries)
{
	(void)context;
	(void)database;
	(void)entries;
}

static int dump_copy(const char *copy, int dir, char *error, size_t error_size)
{
	struct inspection *inspection;
	int result = inspect_open(copy, &inspection, error, error_size);
	if (result)
		return result;
	int fd = new_file(dir, "dump.jsonl");
	FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
	if (file) {
		const struct inspect_sink sink = {
			.context = file, .finding = no_finding, .progress = no_progress, .entry = write_entry};
		result = inspect_dump(inspection, NULL, &sink);
		int closed = close_durable(file);
		result = result ? result : closed;
	} else {
		result = fd < 0 ? fd : -errno;
	}
	inspect_close(inspection);
	if (result)
		snprintf(error, error_size, "the dump can not be written to %s: %s", copy, strerror(-result));
	return result;
}

/* --- the settings --- */

static int take_setting(void *context, const char *name, const char *value)
{
	return bytes_set(context, name, value);
}

static int save_settings(const struct saving *saving, int dir, char *error, size_t error_size)
{
	struct config *config;
	json_t *settings = json_object();
	int result = config_open(saving->confdir, 0, &config, error, error_size);
	if (!result) {
		result = config_walk(config, saving->migid, take_setting, settings);
		config_close(config);
	}
	json_t *all = json_pack("{s:I, s:I, s:s, s:o}", "migid", (json_int_t)saving->migid, "saved",
	                        (json_int_t)(clock_wall_ns() / NS_PER_S), "dmmfs", DMM_VERSION, "settings", settings);
	bytes_set(all, "state", saving->state);
	int fd = result ? result : new_file(dir, "migration.json");
	FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
	if (!file) {
		result = fd < 0 ? fd : -errno;
	} else {
		json_dumpf(all, file, JSON_INDENT(2));
		fputc('\n', file);
		result = close_durable(file);
	}
	json_decref(all);
	if (result && !*error)
		snprintf(error, error_size, "the settings can not be written to %s: %s", saving->to, strerror(-result));
	return result;
}

/* --- the whole --- */

/* Not where the migration would move, hide or remove it. */
static int check_place(const struct saving *saving, const char *parent, char *error, size_t error_size)
{
	const struct {
		const char *path, *what;
	} refused[] = {{saving->target, "the target, where it would become part of the migrated tree"},
	               {saving->mountpoint, "the mount point, where the mount would hide it"},
	               {saving->state, "the state itself"}};
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		if (!refused[i].path || !*refused[i].path || place_lies_inside(parent, refused[i].path) != 1)
			continue; /* a target that is not there holds nothing */
		snprintf(error, error_size, "%s lies in %s: name a directory elsewhere", saving->to, refused[i].what);
		return -EINVAL;
	}
	return 0;
}

static int save_into(const struct saving *saving, int dir, const char *partial, char *error, size_t error_size)
{
	int result = copy_state(saving, dir, error, error_size);
	if (!result)
		result = dump_copy(partial, dir, error, error_size);
	if (!result && saving->migid)
		result = save_settings(saving, dir, error, error_size);
	if (!result && fsync(dir))
		result = -errno;
	return result;
}

static void take_back(int dir, const char *partial)
{
	static const char *const names[] = {"data.mdb", "dump.jsonl", "migration.json"};
	for (size_t i = 0; dir >= 0 && i < sizeof(names) / sizeof(names[0]); i++)
		unlinkat(dir, names[i], 0);
	rmdir(partial);
}

static int appear(const char *partial, const char *to, const char *parent)
{
	if (renameat2(AT_FDCWD, partial, AT_FDCWD, to, RENAME_NOREPLACE) < 0)
		return -errno;
	CLEAN_FD int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) ? -errno : 0;
}

int save_state(const struct saving *saving)
{
	char error[1024] = "";
	CLEAN_FREE char *partial = NULL, *copy = strdup(saving->to);
	struct stat st;
	alarm(0); /* a large copy takes its time */
	if (!copy || asprintf(&partial, "%s.partial", saving->to) < 0)
		return look_fail(-ENOMEM, "out of memory");
	const char *parent = dirname(copy);
	if (lstat(saving->to, &st) == 0)
		return look_fail(-EEXIST, "%s is there already, and nothing is overwritten: name a new directory", saving->to);
	int result = check_place(saving, parent, error, sizeof(error));
	if (result)
		return look_fail(result, "%s", error);
	if (mkdir(partial, 0700) < 0)
		return look_fail(-errno, "cannot make the directory %s: %s", partial, strerror(errno));
	CLEAN_FD int dir = open(partial, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	result = dir < 0 ? -errno : save_into(saving, dir, partial, error, sizeof(error));
	if (!result)
		result = appear(partial, saving->to, parent);
	if (result) {
		take_back(dir, partial);
		return look_fail(result, "%s%s%s", *error ? error : "cannot write to ", *error ? "" : partial,
		                 *error ? "" : strerror(-result));
	}
	json_t *summary = json_object();
	bytes_set(summary, "directory", saving->to);
	look_say("summary", summary);
	return EXIT_OK;
}
