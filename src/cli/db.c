/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dmmfs-admin db: checks, dumps and saves what the databases hold (the error recovery of the DMM specification), and makes a state
 * anew (rebuild.c). All but that changes nothing. The looking is done by `dmmfs --inspect` (look.h), whose death is one of the answers.
 */
#include "cli/find.h"
#include "cli/format.h"
#include "cli/look.h"
#include "cli/memory.h"
#include "cli/print.h"
#include "cli/rebuild.h"
#include "state/config.h"
#include "wire/bytes.h"

#include "base/cleanup.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

struct db {
	struct cli *cli;
	const char *database, *state; /* --database, --state */
	struct rebuild_wish wish;     /* of rebuild */
	const struct migration *migration;
	char *statedir; /* resolved; NULL: the configuration database */
	json_t *findings;
	char *place; /* database that was walked last */
};

#define ARGUMENTS_MAX 24
#define DUMP_REFUSED 32 /* exit status of dmmfs: nothing could be printed; its last words say why */

/* --- what is looked at ------------------------------------------------------------------------------------------------------ */

/* The arguments of dmmfs --inspect. */
static void compose(const struct db *db, const char *what, const char *to, const char **arguments, char migid[16])
{
	const struct migration *migration = db->migration;
	const char *uuid = migration ? json_string_value(json_object_get(migration->properties, "uuid")) : NULL;
	const char *confdir = db->cli->confdir ? db->cli->confdir : config_default_dir();
	size_t n = 0;
	arguments[n++] = "--inspect";
	arguments[n++] = what;
	arguments[n++] = db->statedir ? "--state" : "--config";
	arguments[n++] = db->statedir ? db->statedir : confdir;
	const char *const more[][2] = {{"--target", migration ? migration->target : NULL},
	                               {"--mountpoint", migration ? migration->mountpoint : NULL},
	                               {"--uuid", uuid},
	                               {"--source", migration ? migration->source : NULL},
	                               {"--database", db->database},
	                               {"--to", to},
	                               {"--confdir", to ? confdir : NULL},
	                               {"--migid", migration ? migid : NULL}};
	snprintf(migid, 16, "%u", migration ? migration->migid : 0);
	for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
		if (!more[i][1] || !*more[i][1])
			continue;
		arguments[n++] = more[i][0];
		arguments[n++] = more[i][1];
	}
	arguments[n] = NULL;
}

static int fail_as(struct cli *cli, const json_t *failure, enum exit_code code)
{
	static const struct {
		const char *name;
		int error;
	} errors[] = {{"ENOENT", ENOENT}, {"EBADMSG", EBADMSG}, {"EPROTO", EPROTO}, {"EEXIST", EEXIST}, {"EINVAL", EINVAL},
	              {"EAGAIN", EAGAIN}, {"EACCES", EACCES},   {"ENOSPC", ENOSPC}, {"EROFS", EROFS}};
	int error = EIO;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (strcmp(errors[i].name, member_text(failure, "error")) == 0)
			error = errors[i].error;
	char *message = member_name(failure, "message");
	cli_fail(cli, code, error, "%s", message);
	free(message);
	return code;
}

/* --- check ------------------------------------------------------------------------------------------------------------------ */

static void take_line(void *context, const char *what, const json_t *object)
{
	struct db *db = context;
	if (strcmp(what, "finding") == 0)
		json_array_append(db->findings, (json_t *)object);
	if (strcmp(what, "progress") == 0) {
		free(db->place);
		db->place = memory_must(strdup(member_text(object, "database")));
	}
}

/* The process that looked is dead: it met pages that nobody can read. */
static void add_death(struct db *db, const struct look *look)
{
	char how[640], what[800];
	const char *place = db->place && *db->place ? db->place : NULL;
	snprintf(what, sizeof(what), "the process that read %s %s", place ? "this database" : "the file", look_death(look, how));
	json_t *finding = memory_must(json_object());
	bytes_set(finding, "rule", "pages");
	bytes_set(finding, "database", place);
	bytes_set(finding, "key", NULL);
	bytes_set(finding, "what", what);
	bytes_set(finding, "means",
	          "pages of data.mdb are damaged or lost; a daemon that meets them dies, too, and what comes behind them was not "
	          "looked at");
	bytes_set(
		finding, "remedy",
		"halt the migration, keep a copy of the directory as it is ('db dump' prints what can still be read), put back a "
		"saved state ('SAVED STATES' in dmmfs-admin(8)), and look for the cause: the disk, its controller, what else "
		"writes there");
	json_array_append_new(db->findings, finding);
}

static void print_finding(const json_t *finding)
{
	char *key = member_name(finding, "key"), *what = member_name(finding, "what");
	const char *database = member_text(finding, "database");
	printf("%s%s%s%s%s: %s\n", print_trouble_color(), *database ? database : "data.mdb", *key ? " " : "", key,
	       *print_trouble_color() ? "\033[0m" : "", what);
	printf("    means: %s\n    do:    %s\n", member_text(finding, "means"), member_text(finding, "remedy"));
	free(key);
	free(what);
}

static void print_handles(const json_t *handles)
{
	char open[FORMAT_BYTES], stale[FORMAT_BYTES];
	if (json_is_object(handles))
		printf("Objects on the target: %s there, %s gone.\n", format_count(member_count(handles, "open"), open),
		       format_count(member_count(handles, "stale"), stale));
}

static void print_check(const struct db *db, const struct look *look, uint64_t count)
{
	char *name = format_name(db->statedir ? db->statedir : "the configuration");
	char entries[FORMAT_BYTES], findings[FORMAT_BYTES];
	for (size_t i = 0; i < json_array_size(db->findings); i++)
		print_finding(json_array_get(db->findings, i));
	if (count > json_array_size(db->findings))
		printf("%s more are not listed.\n", format_count(count - json_array_size(db->findings), findings));
	if (count)
		printf("%s: %s finding%s.\n", name, format_count(count, findings), count == 1 ? "" : "s");
	else
		printf("%s: clean, %s entries.\n", name, format_count(member_count(look->summary, "entries"), entries));
	print_handles(json_object_get(look->summary, "handles"));
	free(name);
}

static void print_check_json(const struct db *db, const struct look *look, uint64_t count)
{
	json_t *entries = json_object_get(look->summary, "entries"), *handles = json_object_get(look->summary, "handles");
	json_t *object = memory_must(json_pack("{s:b, s:I, s:O, s:o, s:o}", "clean", count == 0, "count", (json_int_t)count,
	                                       "findings", db->findings, "entries", entries ? json_incref(entries) : json_null(),
	                                       "handles", handles ? json_incref(handles) : json_null()));
	if (db->migration)
		json_object_set_new(object, "migid", json_integer(db->migration->migid));
	else
		json_object_set_new(object, "migid", json_null());
	bytes_set(object, "directory", db->statedir ? db->statedir : db->cli->confdir ? db->cli->confdir : config_default_dir());
	print_json(object);
	json_decref(object);
}

static int check(struct db *db)
{
	const char *arguments[ARGUMENTS_MAX];
	char migid[16];
	struct look look;
	compose(db, "check", NULL, arguments, migid);
	db->findings = memory_must(json_array());
	int code = look_run(db->cli, arguments, false, take_line, db, &look);
	if (code == CLI_OK && look.failure) {
		code = fail_as(db->cli, look.failure, CLI_IMPOSSIBLE);
	} else if (code == CLI_OK) {
		if (!look.summary)
			add_death(db, &look);
		uint64_t count = look.summary ? member_count(look.summary, "findings") : json_array_size(db->findings);
		if (db->cli->json)
			print_check_json(db, &look, count);
		else
			print_check(db, &look, count);
		code = count ? CLI_FINDINGS : CLI_OK;
	}
	json_decref(db->findings);
	free(db->place);
	look_free(&look);
	return code;
}

/* --- dump and export ---------------------------------------------------------------------------------------------------------- */

static int dump(struct db *db)
{
	const char *arguments[ARGUMENTS_MAX];
	char migid[16], how[640];
	struct look look;
	compose(db, "dump", NULL, arguments, migid);
	int code = look_run(db->cli, arguments, true, NULL, NULL, &look);
	if (code == CLI_OK && look.signal == SIGPIPE)
		code = CLI_FAILED; /* whoever read has seen enough */
	else if (code == CLI_OK && look.status == DUMP_REFUSED)
		code = cli_fail(db->cli, CLI_IMPOSSIBLE, EBADMSG, "%s", look.words);
	else if (code == CLI_OK && look.status != 0)
		code = cli_fail(db->cli, CLI_FINDINGS, EBADMSG,
		                "the dump is not complete, the process that read the database %s: see 'dmmfs-admin db check'",
		                look_death(&look, how));
	look_free(&look);
	return code;
}

static int export(struct db *db, const char *to)
{
	const char *arguments[ARGUMENTS_MAX];
	char migid[16], how[640];
	struct look look;
	compose(db, "export", to, arguments, migid);
	int code = look_run(db->cli, arguments, false, NULL, NULL, &look);
	if (code == CLI_OK && look.failure) {
		const char *error = member_text(look.failure, "error");
		bool refused = strcmp(error, "EEXIST") == 0 || strcmp(error, "EINVAL") == 0;
		bool damaged = strcmp(error, "EBADMSG") == 0 || strcmp(error, "EPROTO") == 0 || strcmp(error, "ENOENT") == 0;
		code = fail_as(db->cli, look.failure, refused ? CLI_REFUSED : damaged ? CLI_IMPOSSIBLE : CLI_FAILED);
	} else if (code == CLI_OK && !look.summary) {
		code = cli_fail(db->cli, CLI_IMPOSSIBLE, EBADMSG,
		                "the process that read the state %s; what it wrote is in %s.partial. Keep a copy of the state's "
		                "directory as it is, and see 'dmmfs-admin db check'",
		                look_death(&look, how), to);
	} else if (code == CLI_OK && db->cli->json) {
		json_t *object = memory_must(json_pack("{s:b}", "ok", 1));
		bytes_set(object, "directory", to);
		print_json(object);
		json_decref(object);
	} else if (code == CLI_OK) {
		char *name = format_name(to);
		printf("The state is saved in %s.\n", name);
		free(name);
	}
	look_free(&look);
	return code;
}

/* --- the command line --------------------------------------------------------------------------------------------------------- */

static int run_on(struct db *db, const struct migrations *migrations, const char *what, const char *to)
{
	if (strcmp(what, "check") == 0)
		return check(db);
	if (strcmp(what, "dump") == 0)
		return dump(db);
	if (strcmp(what, "rebuild") == 0)
		return rebuild_migration(db->cli, migrations, db->migration, &db->wish);
	CLEAN_FREE char *path = migrations_path(db->cli, migrations, to);
	return path ? export(db, path) : db->cli->status;
}

/* MIGID is the argument, unless --state names a directory; then it may be left out. */
static int choose(struct db *db, struct migrations *migrations, const char *argument)
{
	if (!argument && !db->state)
		return CLI_OK; /* the configuration */
	if (argument) {
		int code = migrations_load(db->cli, migrations);
		if (code)
			return code;
		db->migration = migrations_meant(db->cli, migrations, argument);
		if (!db->migration)
			return db->cli->status;
	}
	char *resolved = db->state ? realpath(db->state, NULL) : NULL;
	db->statedir = resolved ? resolved : db->state ? memory_must(strdup(db->state)) : look_statedir(db->migration);
	if (!db->state && strcmp(db->migration->state, "complete") == 0)
		return cli_fail(db->cli, CLI_REFUSED, ENOENT, "migration %u is complete: its state is gone, as it should be",
		                db->migration->migid);
	return CLI_OK;
}

static int run_db(struct db *db, int argc, char **argv)
{
	static const char *const words[] = {"check", "dump", "export", "rebuild"};
	const size_t n_words = sizeof(words) / sizeof(*words);
	struct migrations migrations = {0};
	size_t word = 0;
	while (word < n_words && (argc == 0 || strcmp(argv[0], words[word]) != 0))
		word++;
	bool saves = word == 2, rebuilds = word == 3;
	int needed = saves && !db->state ? 3 : saves || rebuilds ? 2 : 1;
	if (word == n_words || argc < needed || argc > 2 + saves)
		return cli_misused(db->cli, &command_db, "'db' needs check, dump, export or rebuild, then %s",
		                   command_db.arguments);
	if (rebuilds ? db->state || db->database : db->wish.force || db->wish.quick || db->wish.n_paths)
		return cli_misused(db->cli, &command_db, "%s",
		                   rebuilds ? "'db rebuild' takes neither --state nor --database"
		                            : "-f, --quick, --keep and --take are for 'db rebuild'");
	if (geteuid() != 0)
		return cli_fail(db->cli, CLI_FAILED, EPERM, "only root may look at databases: run it again with sudo");
	const char *migid = argc > 1 + saves ? argv[1] : NULL;
	int code = choose(db, &migrations, migid);
	if (!code)
		code = run_on(db, &migrations, words[word], argv[argc - 1]);
	free(db->statedir);
	migrations_free(&migrations);
	return code;
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {{"database", required_argument, NULL, 'd'},
	                                        {"state", required_argument, NULL, 's'},
	                                        {"force", no_argument, NULL, 'f'},
	                                        {"quick", no_argument, NULL, 'q'},
	                                        {"keep", required_argument, NULL, 'k'},
	                                        {"take", required_argument, NULL, 't'},
	                                        CLI_OPTIONS};
	struct db db = {.cli = cli};
	int option;
	while ((option = getopt_long(argc, argv, "f" CLI_LETTERS, options, NULL)) != -1) {
		if (option == 'd')
			db.database = optarg;
		else if (option == 's')
			db.state = optarg;
		else if (option == 'f' || option == 'q')
			*(option == 'f' ? &db.wish.force : &db.wish.quick) = true;
		else if (option == 'k' || option == 't')
			rebuild_wish_path(&db.wish, option == 'k' ? "--keep" : "--take", optarg);
		else if (!cli_option(cli, &command_db, option))
			return cli->status;
	}
	int code = run_db(&db, argc - optind, argv + optind);
	rebuild_wish_free(&db.wish);
	return code;
}

const struct command command_db = {
	"db",
	"check|dump|export|rebuild [--database NAME] [--state DIR] [MIGID] [DIR]",
	"check, print, save or make anew a database",
	"Looks at the state of a migration, whether its daemon runs or not. Without MIGID check and dump look at the "
        "configuration\n"
	"database.\n\n"
	"  check [MIGID]        is everything as it must be? Each finding says what it means and what to do. Exit status 0: "
	"clean,\n"
	"                       6: there are findings, 7: the database can not be opened\n"
	"  dump [MIGID]         every entry as JSON, one in a line\n"
	"  export MIGID DIR     saves the state in a new directory: a copy that dmmfs can go on with, the dump, the settings\n\n"
	"  rebuild MIGID        compares source and target, for a new state if the old one is lost or can not be believed. "
        "Shows "
	"what\n"
	"                       is to be decided (exit status 6) and changes nothing; with -f it makes the state so\n\n"
	"  -f, --force          make the new state; the old one is kept beside it\n"
	"  --quick              do not read files that have the source's size and time and no holes\n"
	"  --keep PATH          what differs there, or below, stays as it is here: missing, or with holes\n"
	"  --take PATH          the source's comes instead; what is here moves aside, to NAME.collision-1\n"
	"  --database NAME      dump this database only: meta, identity, dirs, files, segments, links, links-ino, errors,\n"
	"                       digests\n"
	"  --state DIR          look at the state in this directory, a saved one, say\n",
	run,
};
