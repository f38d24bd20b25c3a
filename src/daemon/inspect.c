/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dmmfs --inspect: checks, dumps and saves a state or the configuration for `dmmfs-admin db`. Offline, or beside a daemon.
 *
 * A damaged database can kill the process that reads it; that process is this one, and dmmfs-admin reports its death. So each line
 * is out before the next step, and an alarm ends a walk that does not come forward.
 */
#include "daemon/look.h"

#include "daemon/options.h"

#include "admin/admin.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "state/config.h"
#include "state/inspect.h"
#include "target/witness.h"
#include "wire/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* So long may a step of the walk last: a damaged tree may be an endless one. */
#define STEP_S 60

/* More are counted, not told. */
#define FINDINGS_MAX 1000

/* When no object of at least so many is found, it is the target that is another one. */
#define STALE_ALL_MIN 3

struct look {
	const char *state, *config, *target, *mountpoint, *uuid, *source, *database, *to, *confdir, *most;
	unsigned migid;
	uint64_t findings;
	struct target place;
	bool has_place;
	struct witness_numbers before; /* what the witness said before the state was looked at */
	uint64_t open, stale;
};

/* --- what the walk tells --- */

static void on_finding(void *context, const struct finding *finding)
{
	struct look *look = context;
	if (++look->findings > FINDINGS_MAX)
		return;
	json_t *object = json_object();
	bytes_set(object, "rule", finding->rule);
	bytes_set(object, "database", *finding->database ? finding->database : NULL);
	bytes_set(object, "key", *finding->key ? finding->key : NULL);
	bytes_set(object, "what", finding->what);
	bytes_set(object, "means", finding->means);
	bytes_set(object, "remedy", finding->remedy);
	look_say("finding", object);
}

static void on_progress(void *context, const char *database, uint64_t entries)
{
	(void)context;
	alarm(STEP_S);
	look_say("progress", json_pack("{s:s, s:I}", "database", database, "entries", (json_int_t)entries));
}

static void on_dump_progress(void *context, const char *database, uint64_t entries)
{
	(void)context;
	(void)database;
	(void)entries;
}

static int on_entry(void *context, json_t *entry)
{
	(void)context;
	alarm(0); /* whoever reads takes the time that he wants */
	int failed = json_dumpf(entry, stdout, JSON_COMPACT) || putchar('\n') == EOF || fflush(stdout);
	json_decref(entry);
	alarm(STEP_S);
	return failed ? -EIO : 0;
}

static void count_handle(struct look *look, const char *database, uint64_t ino, const struct handle *handle)
{
	struct stat st;
	char key[24], what[256];
	snprintf(key, sizeof(key), "%" PRIu64, ino);
	CLEAN_FD int fd = target_open_handle(&look->place, handle, O_PATH);
	if (fd == -ESTALE || fd == -ENOENT) {
		look->stale++;
		return;
	}
	look->open++;
	bool wanted_dir = strcmp(database, "dirs") == 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		snprintf(what, sizeof(what), "its object can not be opened: %s", strerror(fd < 0 ? -fd : errno));
	else if (st.st_ino != ino)
		snprintf(what, sizeof(what), "its handle opens the inode %" PRIu64, (uint64_t)st.st_ino);
	else if (wanted_dir != S_ISDIR(st.st_mode))
		snprintf(what, sizeof(what), "its object is %s directory", wanted_dir ? "no" : "a");
	else
		return;
	on_finding(look, &(struct finding){.rule = "handle",
	                                   .database = database,
	                                   .key = key,
	                                   .what = what,
	                                   .means = "this entry says something of another object than its own, or the target "
	                                            "is damaged",
	                                   .remedy = "check the file system of the target; then compare this object with the "
	                                             "source before anything is finished"});
}

static void on_handle(void *context, const char *database, uint64_t ino, const struct handle *handle)
{
	count_handle(context, database, ino, handle);
}

static const struct inspect_sink base_sink = {
	.finding = on_finding, .progress = on_progress, .entry = on_entry, .handle = on_handle};

/* --- check --- */

static void check_against(struct look *look, const char *name, const char *stored, const char *known, const char *known_to)
{
	char what[8300];
	if (!known || !*known || !*stored || strcmp(stored, known) == 0)
		return;
	snprintf(what, sizeof(what), "it is %s, but %s says %s", stored, known_to, known);
	on_finding(look, &(struct finding){.rule = "owner",
	                                   .database = "identity",
	                                   .key = name,
	                                   .what = what,
	                                   .means = "the state belongs to another migration; no daemon takes it for this one",
	                                   .remedy = "name the right directory with statedir=, or put the state of this "
	                                             "migration back"});
}

static void tell_all_stale(struct look *look)
{
	char what[128];
	snprintf(what, sizeof(what), "none of %" PRIu64 " objects is on the target any more", look->stale);
	on_finding(look, &(struct finding){.rule = "handles",
	                                   .database = "",
	                                   .key = "",
	                                   .what = what,
	                                   .means = "they were deleted, or the target is not the file system that this state "
	                                            "describes: handles do not survive a copy or a restored backup",
	                                   .remedy = "mount the file system on which the migration was begun; on a copy of it "
	                                             "block by block the state is good"});
}

static void tell_witness(struct look *look, const char *what, const char *means)
{
	on_finding(look, &(struct finding){.rule = "witness",
	                                   .database = "identity",
	                                   .key = "witness",
	                                   .what = what,
	                                   .means = means,
	                                   .remedy = "put back the state, or the target, of the same moment; if there is none, "
	                                             "'dmmfs-admin db rebuild' makes a new state"});
}

/* As a start does. A daemon may go on beside us: what the witness said before the state was opened is not ahead of it, and what it says
 * afterwards not behind. */
static void check_witness(struct look *look, const struct inspect_identity *identity)
{
	char name[WITNESS_NAME_SIZE], what[256];
	struct witness_numbers after;
	if (!*identity->witness) /* a beginning that was cut off */
		return;
	int result = target_witness_look(&look->place, name, &after);
	if (result < 0) {
		snprintf(what, sizeof(what), "the witness on the target %s",
		         result == -ENOENT    ? "is missing"
		         : result == -EBADMSG ? "is damaged"
		                              : "can not be read");
		tell_witness(look, what, "nobody can tell whether the state is as new as the target; no daemon starts with it");
	} else if (strcmp(identity->witness, name) != 0) {
		tell_witness(
			look, "the state names another witness than that of the target",
			"the state describes another file system, or one that was made anew since; no daemon starts with it");
	} else if (look->before.committed > identity->commit) {
		snprintf(what, sizeof(what), "the state ends with commit %" PRIu64 ", the target has seen %" PRIu64,
		         identity->commit, look->before.committed);
		tell_witness(look, what, "the state is older than the target; no daemon starts with it");
	} else if (after.begun < identity->noted) {
		snprintf(what, sizeof(what), "the target has seen commit %" PRIu64 ", the state knows that it had seen %" PRIu64,
		         after.begun, identity->noted);
		tell_witness(look, what, "the target is older than the state; no daemon starts with it");
	}
}

/* Before the state is looked at. */
static void reach_target(struct look *look)
{
	char error[1024], name[WITNESS_NAME_SIZE];
	look->has_place = look->target && target_open(look->target, &look->place, error, sizeof(error)) >= 0;
	if (look->has_place && target_witness_look(&look->place, name, &look->before) < 0)
		look->before = (struct witness_numbers){0}; /* told when it is compared */
}

/* The objects, and the witness, where the target can be reached. */
static json_t *check_target(struct look *look, struct inspection *inspection, const struct inspect_identity *identity)
{
	char uuid[64];
	struct inspect_sink sink = base_sink;
	sink.context = look;
	if (!look->has_place)
		return json_null();
	if (target_mark(&look->place, uuid, sizeof(uuid)) == 0)
		check_against(look, "uuid", identity->uuid, uuid, "the mark on the target");
	check_witness(look, identity);
	int result = inspect_handles(inspection, &sink);
	target_close(&look->place);
	if (result < 0) /* the check before has told why */
		return json_null();
	if (look->open == 0 && look->stale >= STALE_ALL_MIN)
		tell_all_stale(look);
	return json_pack("{s:I, s:I}", "open", (json_int_t)look->open, "stale", (json_int_t)look->stale);
}

static int summarize(struct look *look, int64_t entries, json_t *handles)
{
	alarm(0);
	look_say("summary", json_pack("{s:o, s:I, s:o}", "entries", entries < 0 ? json_null() : json_integer(entries), "findings",
	                              (json_int_t)look->findings, "handles", handles));
	return EXIT_OK;
}

static int check_state(struct look *look)
{
	struct inspection *inspection;
	struct inspect_identity identity;
	struct inspect_sink sink = base_sink;
	char error[1024] = "";
	sink.context = look;
	reach_target(look);
	int result = inspect_open(look->state, &inspection, error, sizeof(error));
	if (result)
		return look_fail(result, "%s", error);
	int64_t entries = inspect_check(inspection, &sink, &identity);
	if (entries == -EAGAIN) {
		inspect_close(inspection);
		return look_fail(-EAGAIN, "a daemon was started meanwhile and may have changed what was being read: ask again");
	}
	check_against(look, "uuid", identity.uuid, look->uuid, "the configuration");
	check_against(look, "source", identity.source, look->source, "the configuration");
	json_t *handles = check_target(look, inspection, &identity);
	inspect_close(inspection);
	return summarize(look, entries, handles);
}

static int check_config(struct look *look)
{
	struct inspect_sink sink = base_sink;
	char error[1024] = "";
	sink.context = look;
	int result = inspect_config_check(look->config, &sink, error, sizeof(error));
	if (result < 0 && !look->findings)
		return look_fail(result, "%s", *error ? error : strerror(-result));
	return summarize(look, result, json_null());
}

/* --- dump --- */

static bool is_database(const char *name)
{
	for (size_t i = 0; inspect_database(i); i++)
		if (strcmp(inspect_database(i), name) == 0)
			return true;
	return false;
}

static int dump_state(const struct look *look, const struct inspect_sink *sink, char *error, size_t error_size)
{
	struct inspection *inspection;
	if (look->database && !is_database(look->database)) {
		snprintf(error, error_size, "there is no database %s; dmmfs-admin db --help names them", look->database);
		return -ENOENT;
	}
	int result = inspect_open(look->state, &inspection, error, error_size);
	if (result)
		return result;
	result = inspect_dump(inspection, look->database, sink);
	inspect_close(inspection);
	return result;
}

static int dump(struct look *look)
{
	struct inspect_sink sink = base_sink;
	char error[1024] = "";
	sink.progress = on_dump_progress;
	int result = look->config ? inspect_config_dump(look->config, &sink, error, sizeof(error))
	                          : dump_state(look, &sink, error, sizeof(error));
	alarm(0);
	if (result == 0)
		return EXIT_OK;
	fprintf(stderr, "%s\n", *error ? error : strerror(-result));
	return *error ? EXIT_FAILED : LOOK_PARTIAL;
}

/* --- losses --- */

static int tell_losses(const struct look *look, size_t most)
{
	struct inspection *inspection;
	char error[1024] = "";
	int result = inspect_open(look->state, &inspection, error, sizeof(error));
	if (result)
		return look_fail(result, "%s", error);
	struct losses *losses = admin_losses_new(most);
	alarm(0); /* ids ascend, so even a damaged tree has an end */
	result = losses ? inspect_errors(inspection, admin_losses_take, losses) : -ENOMEM;
	inspect_close(inspection);
	json_t *object = losses ? admin_losses_end(losses) : NULL;
	if (result == 0 && object) {
		look_say("summary", object);
		return EXIT_OK;
	}
	json_decref(object);
	return look_fail(result ? result : -ENOMEM, "the error ledger in %s can not be read: %s; see 'dmmfs-admin db check'",
	                 look->state, strerror(result ? -result : ENOMEM));
}

/* --- the command line, which dmmfs-admin writes --- */

static bool take(struct look *look, int option, const char *value)
{
	const char **const places[] = {
		['s'] = &look->state,   ['c'] = &look->config,   ['t'] = &look->target,     ['u'] = &look->uuid,
		['o'] = &look->source,  ['d'] = &look->database, ['p'] = &look->mountpoint, ['x'] = &look->to,
		['f'] = &look->confdir, ['n'] = &look->most};
	if (option == 'm') {
		look->migid = (unsigned)strtoul(value, NULL, 10);
		return true;
	}
	if (option == '?')
		return false;
	*places[option] = value;
	return true;
}

int inspect_main(int argc, char **argv)
{
	static const struct option options[] = {
		{"state", required_argument, NULL, 's'},      {"config", required_argument, NULL, 'c'},
		{"target", required_argument, NULL, 't'},     {"uuid", required_argument, NULL, 'u'},
		{"source", required_argument, NULL, 'o'},     {"database", required_argument, NULL, 'd'},
		{"to", required_argument, NULL, 'x'},         {"confdir", required_argument, NULL, 'f'},
		{"mountpoint", required_argument, NULL, 'p'}, {"most", required_argument, NULL, 'n'},
		{"migid", required_argument, NULL, 'm'},      {NULL, 0, NULL, 0}};
	struct look look = {0};
	int option;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		if (!take(&look, option, optarg))
			return EXIT_USAGE;
	const char *what = optind < argc ? argv[optind] : "";
	if (!look.state && !look.config)
		return EXIT_USAGE;
	setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}); /* a death is an answer here, not a bug to be reported */
	signal(SIGSEGV, SIG_DFL);
	signal(SIGBUS, SIG_DFL);
	look_below_mounts();
	alarm(STEP_S);
	if (strcmp(what, "check") == 0)
		return look.config ? check_config(&look) : check_state(&look);
	if (strcmp(what, "dump") == 0)
		return dump(&look);
	if (strcmp(what, "losses") == 0 && look.state)
		return tell_losses(&look, look.most ? strtoul(look.most, NULL, 10) : SIZE_MAX);
	if (strcmp(what, "export") == 0 && look.state && look.to)
		return save_state(&(struct saving){.state = look.state,
		                                   .target = look.target,
		                                   .mountpoint = look.mountpoint,
		                                   .confdir = look.confdir ? look.confdir : config_default_dir(),
		                                   .to = look.to,
		                                   .migid = look.migid});
	return EXIT_USAGE;
}
