/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Deleting a migration: what becomes of the target, then our traces, then the entry of the configuration.
 *
 * Order, so that a kill at any point is cured by doing it again:
 *   1. "deleting" goes into the state and into the configuration. From here on no daemon starts, whichever of the two it sees.
 *   2. The target: what is not whole goes (keep, migrate/abandon.h), or everything (remove, erase.h). Synced.
 *   3. The configuration says "clear": from here on a state that is not there is no lost state.
 *   4. The state, our directory, our mark.
 *   5. The entry of the configuration.
 * The setting "deleting" is "keep NANOSECONDS" (when the last daemon died, 0: it ended in order), "remove" or "clear".
 *
 * Nothing on the target is touched unless its mark or the state in it carries the uuid that the configuration has.
 */
#include "daemon/delete.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/size.h"
#include "daemon/daemon.h"
#include "daemon/erase.h"
#include "daemon/place.h"
#include "daemon/witness.h"
#include "migrate/abandon.h"
#include "wire/bytes.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FORGOTTEN 1 /* a result: nothing on the target is ours, only the entry goes */

struct deletion {
	struct daemon daemon;
	struct options options;
	char *source, *target, *mountpoint; /* what `options` points to */
	char *uuid, *state, *deleting;      /* settings; NULL: not set */
	bool remove, force;
	uint64_t died_ns;
	json_t *report, *changed;
	char message[2048];
};

__attribute__((format(printf, 3, 4))) static int refuse(struct deletion *deletion, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(deletion->message, sizeof(deletion->message), format, args);
	va_end(args);
	return error;
}

static void report_count(struct deletion *deletion, const char *key, uint64_t count)
{
	json_object_set_new(deletion->report, key, json_integer((json_int_t)count));
}

static bool state_is(const struct deletion *deletion, const char *state)
{
	return deletion->state && strcmp(deletion->state, state) == 0;
}

static bool phase_is(const struct deletion *deletion, const char *phase)
{
	return deletion->deleting && strncmp(deletion->deleting, phase, strlen(phase)) == 0;
}

/* --- what there is of it ---------------------------------------------------------------------------------------------------- */

static int read_settings(struct deletion *deletion)
{
	struct daemon *daemon = &deletion->daemon;
	char *created = NULL;
	const struct {
		const char *name;
		char **value;
	} settings[] = {{"source", &deletion->source},     {"target", &deletion->target}, {"mountpoint", &deletion->mountpoint},
	                {"statedir", &daemon->statedir},   {"uuid", &deletion->uuid},     {"state", &deletion->state},
	                {"deleting", &deletion->deleting}, {"created", &created}};

	for (size_t i = 0; i < sizeof(settings) / sizeof(*settings); i++) {
		int result = config_get(daemon->config, daemon->migid, settings[i].name, settings[i].value);
		if (result < 0 && result != -ENOENT)
			return refuse(deletion, result, "the configuration database cannot be read: %s", strerror(-result));
	}
	deletion->options.source = deletion->source;
	deletion->options.target = deletion->target;
	deletion->options.mountpoint = deletion->mountpoint;
	bool exists = created || deletion->target;
	free(created);
	if (!exists)
		return refuse(deletion, -ENOENT, "there is no migration %u: 'dmmfs-admin list' shows those there are",
		              daemon->migid);
	daemon->options = &deletion->options;
	bytes_set(deletion->report, "target", deletion->options.target ? deletion->options.target : "");
	return 0;
}

static int open_target(struct deletion *deletion)
{
	const struct options *options = &deletion->options;
	int result = options->mountpoint ? place_clear(options->mountpoint, deletion->message, sizeof(deletion->message)) : 0;

	if (result >= 0)
		result = place_clear(options->target, deletion->message, sizeof(deletion->message));
	if (result >= 0)
		result = target_open(options->target, &deletion->daemon.target, deletion->message, sizeof(deletion->message));
	return result;
}

static bool state_exists(const struct daemon *daemon, struct stat *st)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/data.mdb", daemon->statedir);
	return stat(path, st) == 0;
}

/* As far as it is known where it is: the configuration says so from the first start on. */
static void default_statedir(struct deletion *deletion)
{
	const char *target = deletion->options.target;

	if (!deletion->daemon.statedir &&
	    asprintf(&deletion->daemon.statedir, "%s/" TARGET_OURS "/state", strcmp(target, "/") ? target : "") < 0)
		abort();
}

static int open_state(struct deletion *deletion)
{
	struct daemon *daemon = &deletion->daemon;
	struct store_options options = {
		.dir = daemon->statedir,
		.barrier = (int (*)(void *))target_sync,
		.context = &daemon->target,
	};
	char uuid[UUID_SIZE], source[PATH_MAX];
	int result = store_open(&options, &daemon->store, deletion->message, sizeof(deletion->message));

	if (result == -EBUSY && !deletion->uuid)
		return FORGOTTEN;
	if (result == -EBUSY)
		return refuse(deletion, result, "a daemon still works for migration %u: 'dmmfs-admin halt %u' ends it",
		              daemon->migid, daemon->migid);
	if (result < 0)
		return result;
	result = store_meta_get(daemon->store, "uuid", uuid, sizeof(uuid));
	if (result == -ENOENT)
		return 0; /* its creation was cut off: there is nothing in it */
	if (result >= 0)
		result = store_meta_get(daemon->store, "source", source, sizeof(source));
	if (result < 0)
		return refuse(deletion, result, "the state in %s cannot be read: %s", daemon->statedir, strerror(-result));
	if (deletion->uuid ? strcmp(uuid, deletion->uuid) : !deletion->options.source || strcmp(source, deletion->options.source))
		return FORGOTTEN;
	/* Whoever removes everything need not know what is whole. */
	return deletion->remove ? 0 : daemon_witness_look(daemon, deletion->message, sizeof(deletion->message));
}

/* The mark says whose the target is; without one (a file system that cannot have it, a start or an end that was cut off) the state
 * in it does. */
static int find_out(struct deletion *deletion)
{
	struct daemon *daemon = &deletion->daemon;
	char mark[UUID_SIZE];
	struct stat st;

	if (!deletion->options.target)
		return FORGOTTEN;
	default_statedir(deletion);
	int result = open_target(deletion);
	if (!deletion->uuid && (result == -ENOENT || result == -EBUSY)) /* it never ran; another one may */
		return FORGOTTEN;
	if (result < 0)
		return result;
	bool marked = target_mark(&daemon->target, mark, sizeof(mark)) >= 0;
	if (marked && deletion->uuid && strcmp(mark, deletion->uuid))
		return FORGOTTEN;
	if (phase_is(deletion, "clear"))
		return 0;
	if (state_exists(daemon, &st)) {
		uint64_t changed_ns = (uint64_t)st.st_mtim.tv_sec * NS_PER_S + (uint64_t)st.st_mtim.tv_nsec;
		deletion->died_ns = state_is(deletion, "running") ? changed_ns : 0;
		if (phase_is(deletion, "keep "))
			deletion->died_ns = strtoull(deletion->deleting + strlen("keep "), NULL, 10);
		return open_state(deletion);
	}
	if (marked && !deletion->remove)
		return refuse(
			deletion, -ENOENT,
			"the state of migration %u is not in %s, so nobody can tell which files on %s are whole: bring it back "
			"from a backup, or delete with --remove",
			daemon->migid, daemon->statedir, deletion->options.target);
	return marked ? 0 : FORGOTTEN;
}

/* --- is it meant ------------------------------------------------------------------------------------------------------------- */

static void report_abandon(struct deletion *deletion, const struct abandon_counts *counts)
{
	report_count(deletion, "files_absent", counts->files_absent);
	report_count(deletion, "bytes_absent", counts->bytes_absent);
	report_count(deletion, "files_changed", counts->files_changed);
	report_count(deletion, "bytes_changed", counts->bytes_changed);
	report_count(deletion, "dirs_absent", counts->dirs_absent);
}

static int survey_keep(struct deletion *deletion)
{
	struct daemon *daemon = &deletion->daemon;
	struct abandon abandon = {.store = daemon->store, .target = &daemon->target, .died_ns = deletion->died_ns};
	struct totals totals;
	char bytes[32];
	int result = abandon_survey(&abandon);

	if (result < 0)
		return refuse(deletion, result, "what has come over cannot be told: %s", strerror(-result));
	const struct abandon_counts *counts = &abandon.counts;
	report_abandon(deletion, counts);
	store_totals(daemon->store, &totals);
	uint64_t failed = (uint64_t)(totals.files_error + totals.dirs_error);
	if (deletion->force || (!counts->files_absent && !counts->files_changed && !counts->dirs_absent && !failed))
		return 0;
	size_format(counts->bytes_absent + counts->bytes_changed, bytes, sizeof(bytes));
	return refuse(deletion, -EINPROGRESS,
	              "migration %u is not finished: %" PRIu64 " files (%s) and the entries of %" PRIu64
	              " directories have not come over, %" PRIu64
	              " are in error; with -f it is deleted without them, and what is not whole is removed from the target%s",
	              daemon->migid, counts->files_absent + counts->files_changed, bytes, counts->dirs_absent, failed,
	              counts->files_changed
	                      ? ", but for files that were changed there: these stay, with zeros for what is missing"
	                      : "");
}

static void report_erase(struct deletion *deletion, const struct erase_counts *counts)
{
	report_count(deletion, "files_removed", counts->files);
	report_count(deletion, "dirs_removed", counts->dirs);
	report_count(deletion, "bytes_removed", counts->bytes);
}

static int survey_remove(struct deletion *deletion)
{
	struct daemon *daemon = &deletion->daemon;
	struct erase_counts counts;
	char bytes[32];
	int result = erase_check_mounts(deletion->options.target, deletion->message, sizeof(deletion->message));

	if (result < 0 || deletion->force)
		return result;
	result = erase_survey(&daemon->target, &counts);
	if (result < 0)
		return refuse(deletion, result, "the target %s cannot be listed: %s", deletion->options.target,
		              strerror(-result));
	report_erase(deletion, &counts);
	size_format(counts.bytes, bytes, sizeof(bytes));
	return refuse(deletion, -EINPROGRESS,
	              "--remove takes everything that is below %s: %" PRIu64 " files and %" PRIu64
	              " directories, %s; what applications made or changed there exists nowhere else. With -f it is done",
	              deletion->options.target, counts.files, counts.dirs, bytes);
}

/* Is the phase that a deletion has come to the one that is asked for now? */
static int check_phase(struct deletion *deletion)
{
	if (phase_is(deletion, "remove") && !deletion->remove)
		return refuse(deletion, -EINPROGRESS,
		              "the deletion of migration %u with its data has begun: repeat it with --remove -f to complete it",
		              deletion->daemon.migid);
	if (phase_is(deletion, "keep") && !deletion->remove)
		deletion->force = true; /* was asked before */
	return 0;
}

/* --- doing it ----------------------------------------------------------------------------------------------------------------- */

static void take_changed(void *context, const char *path, uint64_t absent_bytes)
{
	struct deletion *deletion = context;
	json_t *file = json_pack("{s:I}", "bytes_absent", (json_int_t)absent_bytes);

	bytes_set(file, "path", path);
	json_array_append_new(deletion->changed, file);
}

static int begin(struct deletion *deletion)
{
	struct daemon *daemon = &deletion->daemon;
	char phase[64];

	snprintf(phase, sizeof(phase), "keep %" PRIu64, deletion->died_ns);
	const char *const settings[] = {"state", "deleting", "deleting", deletion->remove ? "remove" : phase, NULL};
	int result = daemon->store ? store_meta_put(daemon->store, "deleting", settings[3]) : 0;
	if (result >= 0)
		result = config_set_many(daemon->config, daemon->migid, settings);
	if (result >= 0)
		result = fault_hit(FAULT_DELETE_BEGIN);
	if (result < 0)
		return refuse(deletion, result, "that migration %u is deleted cannot be recorded: %s; nothing was removed",
		              daemon->migid, strerror(-result));
	return 0;
}

static int treat_target(struct deletion *deletion)
{
	struct daemon *daemon = &deletion->daemon;
	struct erase_counts erased;
	int result;

	if (deletion->remove) {
		result = erase_target(&daemon->target, &erased);
		report_erase(deletion, &erased);
	} else {
		struct abandon abandon = {.store = daemon->store,
		                          .target = &daemon->target,
		                          .died_ns = deletion->died_ns,
		                          .changed = take_changed,
		                          .context = deletion};
		result = abandon_target(&abandon);
		report_abandon(deletion, &abandon.counts);
		report_count(deletion, "names_removed", abandon.counts.names_removed);
	}
	if (result >= 0)
		result = fault_hit(FAULT_DELETE_TREE);
	if (result < 0)
		return refuse(deletion, result, "not everything could be removed from %s: %s; repeat the command to go on",
		              deletion->options.target, strerror(-result));
	return config_set(daemon->config, daemon->migid, "deleting", "clear");
}

static int clear_ours(struct deletion *deletion)
{
	struct daemon *daemon = &deletion->daemon;

	if (daemon->store)
		store_close(daemon->store);
	daemon->store = NULL;
	int result = daemon_remove_ours(daemon);
	if (result >= 0)
		result = fault_hit(FAULT_DELETE_CLEARED);
	if (result < 0)
		return refuse(deletion, result, "what is ours in %s cannot be removed: %s; repeat the command to go on",
		              deletion->options.target, strerror(-result));
	return 0;
}

static int delete_ours(struct deletion *deletion)
{
	int result = 0;

	if (!phase_is(deletion, "clear")) {
		result = check_phase(deletion);
		if (result >= 0)
			result = deletion->remove ? survey_remove(deletion) : survey_keep(deletion);
		if (result >= 0)
			result = begin(deletion);
		if (result >= 0)
			result = treat_target(deletion);
	}
	return result < 0 ? result : clear_ours(deletion);
}

/* --- the whole ---------------------------------------------------------------------------------------------------------------- */

static int delete_complete(struct deletion *deletion)
{
	if (deletion->remove)
		return refuse(
			deletion, -EPERM,
			"migration %u is complete: %s is a plain tree in use and none of its business any more; 'dmmfs-admin "
			"delete --keep %u' removes the entry of the migration",
			deletion->daemon.migid, deletion->options.target, deletion->daemon.migid);
	return FORGOTTEN;
}

/* A finish that was cut off is completed first. */
static int complete_finish(struct deletion *deletion)
{
	default_statedir(deletion);
	int result = open_target(deletion);

	if (result >= 0 && daemon_clean_up(&deletion->daemon) < 0)
		result = refuse(deletion, -EIO, "the finish of migration %u was cut off and cannot be completed: see the log",
		                deletion->daemon.migid);
	return result < 0 ? result : delete_complete(deletion);
}

static int delete_migration(struct deletion *deletion)
{
	struct daemon *daemon = &deletion->daemon;
	int result = read_settings(deletion);

	if (result < 0)
		return result;
	if (state_is(deletion, "complete"))
		result = delete_complete(deletion);
	else if (state_is(deletion, "finishing"))
		result = complete_finish(deletion);
	else if ((result = find_out(deletion)) == FORGOTTEN && deletion->uuid && !deletion->force)
		result = refuse(
			deletion, -EINPROGRESS,
			"%s does not carry the mark of migration %u, which is not finished: is its file system mounted? With "
			"-f the entry goes, and nothing there is touched",
			deletion->target, daemon->migid);
	json_object_set_new(deletion->report, "data",
	                    json_string(result == FORGOTTEN ? "untouched"
	                                : deletion->remove  ? "removed"
	                                                    : "kept"));
	if (result == 0)
		result = delete_ours(deletion);
	if (result < 0)
		return result;
	result = config_delete(daemon->config, daemon->migid);
	return result < 0
	               ? refuse(deletion, result, "the entry of migration %u cannot be removed: %s; repeat the command to go on",
	                        daemon->migid, strerror(-result))
	               : 0;
}

static int parse(struct deletion *deletion, int argc, char **argv)
{
	static const struct option options[] = {{"delete", required_argument, NULL, 'd'},
	                                        {"force", no_argument, NULL, 'f'},
	                                        {"migid", required_argument, NULL, 'm'},
	                                        {0}};
	const char *how = "", *migid = "";
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'd')
			how = optarg;
		else if (option == 'm')
			migid = optarg;
		else if (option == 'f')
			deletion->force = true;
		else
			return -EINVAL;
	}
	deletion->remove = strcmp(how, "remove") == 0;
	deletion->daemon.migid = (uint32_t)strtoul(migid, NULL, 10);
	return (deletion->remove || strcmp(how, "keep") == 0) && deletion->daemon.migid && optind == argc ? 0 : -EINVAL;
}

static int print_report(struct deletion *deletion, int result)
{
	json_object_set_new(deletion->report, "ok", json_boolean(result >= 0));
	if (result < 0) {
		json_object_set_new(deletion->report, "error", json_string(errno_name(result)));
		bytes_set(deletion->report, "message", *deletion->message ? deletion->message : strerror(-result));
	}
	json_dumpf(deletion->report, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(deletion->report);
	return result < 0 || fflush(stdout) != 0 ? EXIT_FAILED : EXIT_OK;
}

static void close_all(struct deletion *deletion)
{
	daemon_close(&deletion->daemon);
	free(deletion->source);
	free(deletion->target);
	free(deletion->mountpoint);
	free(deletion->uuid);
	free(deletion->state);
	free(deletion->deleting);
}

int delete_main(int argc, char **argv)
{
	struct deletion deletion = {
		.daemon.target = {.tree_fd = -1, .root_fd = -1, .ours_fd = -1, .links_fd = -1, .witness_fd = -1},
		.report = json_object(),
		.changed = json_array(),
	};
	int result = parse(&deletion, argc, argv);

	if (!deletion.report || !deletion.changed)
		abort();
	json_object_set_new(deletion.report, "changed", deletion.changed);
	if (result < 0)
		refuse(&deletion, result, "usage: dmmfs --delete keep|remove [--force] --migid N");
	else if (geteuid() != 0)
		result = refuse(&deletion, -EPERM, "only root can delete a migration");
	else if ((result = fault_arm_from_environment()) < 0)
		refuse(&deletion, result, "DMMFS_FAULT names no fault point");
	report_count(&deletion, "migid", deletion.daemon.migid);
	if (result >= 0)
		result =
			config_open(config_default_dir(), 0, &deletion.daemon.config, deletion.message, sizeof(deletion.message));
	if (result >= 0)
		result = delete_migration(&deletion);
	close_all(&deletion);
	return print_report(&deletion, result);
}
