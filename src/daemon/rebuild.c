/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dmmfs --rebuild: a new state for a migration whose own is lost or cannot be believed, for `dmmfs-admin db rebuild`. The comparing is
 * migrate/rebuild.h's; this opens, shows and swaps.
 *
 * Order: the state's directory and the witness are taken, as by a daemon; the new state is made in a directory beside the old one, from
 * what is compared; what is missing is brought; the target is synced; the old state goes aside and the new one takes its place; the new
 * witness, whose handle the new state has, takes the place of the old one. A start believes the state only with its witness, so that
 * each step can be cut off: it is refused, and all is done again.
 */
#include "daemon/daemon.h"
#include "daemon/look.h"
#include "daemon/place.h"
#include "daemon/witness.h"

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/log.h"
#include "migrate/rebuild.h"
#include "state/swap.h"
#include "target/witness.h"
#include "wire/bytes.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* More are counted, not told. */
#define FINDINGS_MAX 10000

struct rebuilder {
	struct daemon daemon;
	struct options options;
	const char *migid;
	bool apply;
	struct rebuild rebuild;
	struct swap *swap;
	uint64_t told;
	char kept[64];
	char error[2048];
};

/* --- what is told ------------------------------------------------------------------------------------------------------------- */

static void on_found(void *context, const struct rebuild_finding *finding)
{
	static const char *const choices[] = {[CHOICE_NONE] = NULL, [CHOICE_KEEP] = "keep", [CHOICE_TAKE] = "take"};
	struct rebuilder *rebuilder = context;
	json_t *object = json_object();

	if (rebuilder->told++ >= FINDINGS_MAX) {
		json_decref(object);
		return;
	}
	bytes_set(object, "kind", rebuild_kind_name(finding->kind));
	bytes_set(object, "path", finding->path);
	bytes_set(object, "detail", *finding->detail ? finding->detail : NULL);
	json_object_set_new(object, "bytes", json_integer((json_int_t)finding->bytes));
	bytes_set(object, "choice", choices[finding->choice]);
	look_say("finding", object);
}

static void on_progress(void *context, uint64_t objects, uint64_t bytes)
{
	(void)context;
	look_say("progress", json_pack("{s:I, s:I}", "objects", (json_int_t)objects, "bytes", (json_int_t)bytes));
}

static void add_unused(json_t *unused, const char *path)
{
	json_t *object = json_object();

	bytes_set(object, "path", path);
	json_array_append_new(unused, object);
}

static void say_summary(const struct rebuilder *rebuilder)
{
	const struct rebuild_counts *counts = &rebuilder->rebuild.counts;
	json_t *found = json_object(), *unused = json_array();

	for (unsigned i = 0; i < REBUILD_KINDS; i++)
		json_object_set_new(found, rebuild_kind_name(i), json_integer((json_int_t)counts->findings[i]));
	for (size_t i = 0; i < rebuilder->rebuild.n_paths; i++)
		if (!rebuilder->rebuild.paths[i].used)
			add_unused(unused, rebuilder->rebuild.paths[i].path);
	json_t *summary =
		json_pack("{s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "applied", rebuilder->apply, "quick",
	                  rebuilder->rebuild.quick, "directories", (json_int_t)counts->dirs, "directories_absent",
	                  (json_int_t)counts->dirs_absent, "files_same", (json_int_t)counts->files_same, "files_absent",
	                  (json_int_t)counts->files_absent, "files_differ", (json_int_t)counts->files_differ, "others_same",
	                  (json_int_t)counts->others_same, "bytes_same", (json_int_t)counts->bytes_same, "bytes_absent",
	                  (json_int_t)counts->bytes_absent, "found", found, "unused", unused);
	bytes_set(summary, "kept", *rebuilder->kept ? rebuilder->kept : NULL);
	bytes_set(summary, "statedir", rebuilder->daemon.statedir);
	look_say("summary", summary);
}

static int refuse(struct rebuilder *rebuilder, int result, const char *what)
{
	if (!*rebuilder->error)
		snprintf(rebuilder->error, sizeof(rebuilder->error), "%s: %s", what, strerror(-result));
	return result;
}

/* --- opening -------------------------------------------------------------------------------------------------------------------- */

static int load(struct rebuilder *rebuilder)
{
	char *argv[] = {(char *)"dmmfs", (char *)"--migid", (char *)rebuilder->migid, NULL};
	int result = options_parse(3, argv, &rebuilder->options, rebuilder->error, sizeof(rebuilder->error));

	if (result >= 0)
		result = options_load(&rebuilder->options, rebuilder->error, sizeof(rebuilder->error));
	if (result >= 0)
		result = options_settle(&rebuilder->options, rebuilder->error, sizeof(rebuilder->error));
	return result;
}

/* Whose the target is: its own mark says so, and where there can be none the configuration. */
static int identify(struct rebuilder *rebuilder)
{
	struct daemon *daemon = &rebuilder->daemon;
	CLEAN_FREE char *uuid = NULL, *state = NULL;

	config_get(daemon->config, daemon->migid, "uuid", &uuid);
	config_get(daemon->config, daemon->migid, "state", &state);
	daemon->marked = target_mark(&daemon->target, daemon->uuid, sizeof(daemon->uuid)) >= 0;
	if (state && (strcmp(state, "complete") == 0 || strcmp(state, "finishing") == 0 || strcmp(state, "deleting") == 0)) {
		snprintf(rebuilder->error, sizeof(rebuilder->error), "migration %u is %s: it needs no state", daemon->migid,
		         state);
		return -EINVAL;
	}
	if (!uuid || (daemon->marked && strcmp(uuid, daemon->uuid) != 0)) {
		snprintf(rebuilder->error, sizeof(rebuilder->error),
		         uuid ? "the target %s belongs to another migration than %u" : "%s: migration %u has never begun on it",
		         rebuilder->options.target, daemon->migid);
		return -EINVAL;
	}
	snprintf(daemon->uuid, sizeof(daemon->uuid), "%s", uuid);
	return 0;
}

static int take(struct rebuilder *rebuilder)
{
	struct daemon *daemon = &rebuilder->daemon;

	if (mkdir(daemon->statedir, 0700) < 0 && errno != EEXIST)
		return refuse(rebuilder, -errno, "the directory of the state cannot be made");
	int result = swap_begin(daemon->statedir, &rebuilder->swap, rebuilder->error, sizeof(rebuilder->error));
	if (result < 0)
		return result;
	result = target_witness_take(&daemon->target);
	if (result == -EBUSY)
		snprintf(rebuilder->error, sizeof(rebuilder->error), "a daemon serves the target %s: end it first",
		         rebuilder->options.target);
	return result == -EBUSY ? result : 0;
}

static int open_all(struct rebuilder *rebuilder)
{
	struct daemon *daemon = &rebuilder->daemon;
	const struct options *options = &rebuilder->options;
	char *error = rebuilder->error;
	CLEAN_FREE char *statedir = NULL;

	daemon->options = &rebuilder->options;
	daemon->migid = options->migid;
	int result = config_open(options->confdir ? options->confdir : config_default_dir(), 1, &daemon->config, error,
	                         sizeof(rebuilder->error));
	if (result >= 0)
		result = daemon_look(daemon, error, sizeof(rebuilder->error));
	if (result >= 0)
		result = identify(rebuilder);
	if (result >= 0 && (result = target_adopt(&daemon->target)) < 0)
		refuse(rebuilder, result, "our directory on the target cannot be made");
	if (result < 0)
		return result;
	daemon_default_statedir(daemon);
	return take(rebuilder);
}

/* Before anything is done: a path that is misspelt is one whose owner gets what he did not want. */
static int check_paths(struct rebuilder *rebuilder)
{
	struct rebuild *rebuild = &rebuilder->rebuild;

	rebuild->target = &rebuilder->daemon.target;
	rebuild->source = rebuilder->daemon.source;
	for (size_t i = 0; i < rebuild->n_paths; i++) {
		const char *path = rebuild->paths[i].path;
		int result = rebuild_path_exists(rebuild, path);
		if (result < 0)
			return refuse(rebuilder, result, path);
		if (result == 0) {
			snprintf(rebuilder->error, sizeof(rebuilder->error),
			         "%s is neither on the target nor at the source: name a path below the top as 'db rebuild' shows "
			         "it",
			         path);
			return -ENOENT;
		}
	}
	return 0;
}

/* --- making --------------------------------------------------------------------------------------------------------------------- */

static int open_new(struct rebuilder *rebuilder)
{
	struct daemon *daemon = &rebuilder->daemon;
	struct store_options options = {
		.dir = swap_path(rebuilder->swap),
		.barrier = (int (*)(void *))target_sync,
		.context = &daemon->target,
		.linger_ms = 50,
	};
	int result = swap_make_room(rebuilder->swap);

	if (result < 0)
		return refuse(rebuilder, result, "there can be no new state beside the old one");
	result = store_open(&options, &daemon->store, rebuilder->error, sizeof(rebuilder->error));
	if (result >= 0)
		result = store_meta_put(daemon->store, "uuid", daemon->uuid);
	if (result >= 0)
		result = store_meta_put(daemon->store, "source", rebuilder->options.source);
	if (result >= 0 && rebuilder->options.cifs) /* the handles are those of two sources */
		result = store_meta_put(daemon->store, "cifs", rebuilder->options.cifs);
	return result < 0 ? refuse(rebuilder, result, "the new state cannot be written") : 0;
}

/* The new witness is not in its place yet; the state has its handle, which a new name does not change. */
static int name_witness(struct rebuilder *rebuilder)
{
	struct daemon *daemon = &rebuilder->daemon;
	char name[WITNESS_NAME_SIZE];
	int result = target_witness_renew(&daemon->target);

	if (result >= 0)
		result = target_witness_name(&daemon->target, name);
	if (result >= 0)
		result = store_meta_put(daemon->store, IDENTITY_WITNESS, name);
	if (result >= 0)
		result = store_meta_put(daemon->store, "planted", "1");
	return result < 0 ? refuse(rebuilder, result, "the new witness cannot be made") : 0;
}

static int bring(struct rebuilder *rebuilder)
{
	struct daemon *daemon = &rebuilder->daemon;
	int result = rebuild_bring(&rebuilder->options.migrate, daemon->store, &daemon->target, daemon->source);

	daemon->store = NULL; /* it is closed */
	if (result >= 0)
		result = target_sync(&daemon->target);
	return result < 0 ? refuse(rebuilder, result, "what is missing on the target cannot be made") : 0;
}

static int swap(struct rebuilder *rebuilder)
{
	struct daemon *daemon = &rebuilder->daemon;
	int result = fault_hit(FAULT_REBUILD_MADE);

	if (result >= 0)
		result = swap_commit(rebuilder->swap, rebuilder->kept, sizeof(rebuilder->kept));
	if (result >= 0)
		result = fault_hit(FAULT_REBUILD_SWAPPED);
	if (result >= 0)
		result = target_witness_install(&daemon->target);
	if (result >= 0)
		result = target_put_mark(&daemon->target, daemon->uuid);
	return result < 0 ? refuse(rebuilder, result, "the new state cannot take the place of the old one; repeat the command")
	                  : 0;
}

static int compare(struct rebuilder *rebuilder)
{
	struct rebuild *rebuild = &rebuilder->rebuild;

	rebuild->store = rebuilder->daemon.store;
	rebuild->segsize = rebuilder->options.migrate.segsize;
	rebuild->order = rebuilder->options.migrate.order;
	rebuild->found = on_found;
	rebuild->progress = on_progress;
	rebuild->context = rebuilder;
	int result = rebuild_run(rebuild);
	return result < 0 ? refuse(rebuilder, result, "source and target cannot be compared") : 0;
}

static int make(struct rebuilder *rebuilder)
{
	int result = open_new(rebuilder);

	if (result >= 0)
		result = compare(rebuilder);
	if (result >= 0 && (result = fault_hit(FAULT_REBUILD_WALKED)) < 0)
		refuse(rebuilder, result, "the new state cannot be completed; repeat the command");
	if (result >= 0)
		result = name_witness(rebuilder);
	if (result >= 0)
		result = bring(rebuilder);
	return result < 0 ? result : swap(rebuilder);
}

/* --- the whole ------------------------------------------------------------------------------------------------------------------ */

static int add_path(struct rebuilder *rebuilder, char *path, enum rebuild_choice choice)
{
	struct rebuild *rebuild = &rebuilder->rebuild;
	size_t len = strlen(path);

	while (len && path[len - 1] == '/')
		path[--len] = '\0';
	rebuild->paths = reallocarray(rebuild->paths, rebuild->n_paths + 1, sizeof(*rebuild->paths));
	if (!rebuild->paths)
		abort();
	rebuild->paths[rebuild->n_paths++] = (struct rebuild_path){.path = path, .choice = choice};
	return 0;
}

static bool take_option(struct rebuilder *rebuilder, int option, char *value)
{
	switch (option) {
	case 'q':
		return rebuilder->rebuild.quick = true;
	case 'a':
		return rebuilder->apply = true;
	case 'm':
		rebuilder->migid = value;
		return true;
	case 'k':
	case 't':
		return add_path(rebuilder, value, option == 'k' ? CHOICE_KEEP : CHOICE_TAKE) >= 0;
	default:
		return false;
	}
}

int rebuild_main(int argc, char **argv)
{
	static const struct option options[] = {{"quick", no_argument, NULL, 'q'},       {"apply", no_argument, NULL, 'a'},
	                                        {"migid", required_argument, NULL, 'm'}, {"keep", required_argument, NULL, 'k'},
	                                        {"take", required_argument, NULL, 't'},  {NULL, 0, NULL, 0}};
	struct rebuilder rebuilder = {
		.daemon.target = {.tree_fd = -1, .root_fd = -1, .ours_fd = -1, .links_fd = -1, .witness_fd = -1}};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		if (!take_option(&rebuilder, option, optarg))
			return EXIT_USAGE;
	if (!rebuilder.migid || fault_arm_from_environment() < 0)
		return EXIT_USAGE;
	log_set_level(LOG_LEVEL_ERROR);
	int result = load(&rebuilder);
	if (result >= 0)
		result = open_all(&rebuilder);
	if (result >= 0)
		result = check_paths(&rebuilder);
	if (result >= 0)
		result = rebuilder.apply ? make(&rebuilder) : compare(&rebuilder);
	if (result >= 0)
		say_summary(&rebuilder);
	else
		look_fail(result, "%s", rebuilder.error);
	if (rebuilder.daemon.store)
		store_close(rebuilder.daemon.store);
	rebuilder.daemon.store = NULL;
	if (rebuilder.swap)
		swap_end(rebuilder.swap);
	daemon_close(&rebuilder.daemon);
	options_free(&rebuilder.options);
	free(rebuilder.rebuild.paths);
	return result >= 0 ? EXIT_OK : EXIT_FAILED;
}
