/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dmmfs-admin losses: what could not be carried. A daemon is asked; without one the state is read by `dmmfs --inspect`; of a migration
 * that is finished the configuration keeps the report.
 */
#include "cli/figures.h"
#include "cli/format.h"
#include "cli/look.h"
#include "cli/memory.h"
#include "cli/print.h"
#include "wire/bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_S 600   /* the whole ledger is read */
#define SHOWN_MOST "10" /* paths of each kind, without --paths */

struct wanted {
	const char *kind; /* this one alone, or NULL */
	bool paths;       /* all of them */
};

/* --- from the daemon -------------------------------------------------------------------------------------------------------- */

static json_t *kind_of(const json_t *losses, const char *name)
{
	size_t i;
	json_t *kind;
	json_array_foreach(json_object_get(losses, "kinds"), i, kind)
	{
		if (strcmp(member_text(kind, "kind"), name) == 0)
			return kind;
	}
	return NULL;
}

/* Entries came after the counts were taken: of a kind that there was none of, they are left for the next time. */
static void sort_in(json_t *losses, const json_t *entries)
{
	size_t i;
	json_t *entry;
	json_array_foreach(entries, i, entry)
	{
		json_t *kind = kind_of(losses, member_text(entry, "kind"));
		if (kind)
			json_array_append(json_object_get(kind, "listed"), entry);
	}
}

static int fetch_lists(struct cli *cli, uint32_t migid, const struct wanted *wanted, json_t *losses)
{
	json_int_t after = 0;
	size_t i;
	json_t *kind;
	json_array_foreach(json_object_get(losses, "kinds"), i, kind) json_object_set_new(kind, "listed", json_array());
	for (bool more = true; more;) {
		json_t *reply, *request = memory_must(json_pack("{s:s, s:I}", "op", "loss-list", "after", after));
		if (wanted->kind)
			json_object_set_new(request, "kind", json_string(wanted->kind));
		int error = daemon_ask(cli, migid, request, TIMEOUT_S, &reply);
		if (error)
			return daemon_fail(cli, migid, error, reply);
		const json_t *page = json_object_get(reply, "entries");
		size_t count = json_array_size(page);
		if (count)
			after = json_integer_value(json_object_get(json_array_get(page, count - 1), "id"));
		more = count && member_true(reply, "more");
		sort_in(losses, page);
		json_decref(reply);
	}
	return CLI_OK;
}

/* --- from the state ------------------------------------------------------------------------------------------------------------ */

static int read_state(struct cli *cli, const struct migration *migration, const struct wanted *wanted, json_t **losses)
{
	char *statedir = look_statedir(migration), how[640];
	const char *const arguments[] = {"--inspect", "losses", "--state", statedir, wanted->paths ? NULL : "--most",
	                                 SHOWN_MOST,  NULL};
	struct look look;
	int code = look_run(cli, arguments, false, NULL, NULL, &look);
	if (code == CLI_OK && look.failure) {
		char *message = member_name(look.failure, "message");
		code = cli_fail(cli, CLI_IMPOSSIBLE, figures_errno(member_text(look.failure, "error")), "%s", message);
		free(message);
	} else if (code == CLI_OK && !look.summary) {
		code = cli_fail(cli, CLI_IMPOSSIBLE, EBADMSG,
		                "the process that read the state in %s %s: see 'dmmfs-admin db check %u'", statedir,
		                look_death(&look, how), migration->migid);
	} else if (code == CLI_OK) {
		*losses = json_incref(look.summary);
	}
	look_free(&look);
	free(statedir);
	return code;
}

static int read_kept(struct cli *cli, const struct migration *migration, json_t **losses)
{
	*losses = json_loads(migration->losses, JSON_REJECT_DUPLICATES, NULL);
	if (json_is_object(*losses))
		return CLI_OK;
	json_decref(*losses);
	*losses = NULL;
	return cli_fail(cli, CLI_FAILED, ENOENT, "migration %u is finished and has left no report of losses", migration->migid);
}

static int get(struct cli *cli, const struct migration *migration, const struct wanted *wanted, json_t **losses)
{
	json_t *reply = NULL;
	if (strcmp(migration->state, "complete") == 0)
		return read_kept(cli, migration, losses);
	int error = daemon_ask(cli, migration->migid, json_pack("{s:s}", "op", "losses"), TIMEOUT_S, &reply);
	if (!reply && daemon_is_absent(error))
		return read_state(cli, migration, wanted, losses);
	if (error)
		return daemon_fail(cli, migration->migid, error, reply);
	*losses = json_incref(json_object_get(reply, "losses"));
	json_decref(reply);
	return wanted->paths ? fetch_lists(cli, migration->migid, wanted, *losses) : CLI_OK;
}

/* --- for people ------------------------------------------------------------------------------------------------------------------ */

static void keep_kind(json_t *list, const char *kind)
{
	for (size_t i = json_array_size(list); i-- > 0;)
		if (strcmp(member_text(json_array_get(list, i), "kind"), kind) != 0)
			json_array_remove(list, i);
}

/* What was lost of it, where the kind alone does not say it, and why. */
static void print_entry(const json_t *entry)
{
	const char *what = member_text(entry, "what");
	char *path = member_name(entry, "path"), *detail = member_name(entry, "detail"), *name = member_name(entry, "what");
	bool plain = strcmp(what, member_text(entry, "kind")) == 0;
	printf("    %s%s%s%s%s%s%s\n", *path ? path : ".", plain ? "" : "  ", plain ? "" : name, *detail ? ": " : "", detail,
	       *detail ? "" : "  ", *detail ? "" : member_text(entry, "error"));
	free(path);
	free(detail);
	free(name);
}

static void print_kind(const json_t *kind)
{
	char objects[FORMAT_BYTES], more[FORMAT_BYTES];
	const json_t *listed = json_object_get(kind, "listed"), *entry;
	uint64_t count = member_count(kind, "objects"), entries = member_count(kind, "losses");
	size_t i;
	printf("%s: %s object%s. %s\n", member_text(kind, "kind"), format_count(count, objects), count == 1 ? "" : "s",
	       member_text(kind, "explanation"));
	json_array_foreach(listed, i, entry) print_entry(entry);
	if (entries > json_array_size(listed))
		printf("    and %s more\n", format_count(entries - json_array_size(listed), more));
	putchar('\n');
}

static void print_losses(const json_t *losses)
{
	const json_t *never = json_object_get(losses, "never"), *kinds = json_object_get(losses, "kinds"), *one;
	size_t i;
	if (json_array_size(kinds) == 0)
		puts("Nothing that there is was lost.");
	json_array_foreach(kinds, i, one) print_kind(one);
	if (json_array_size(never) && json_array_size(kinds) == 0)
		putchar('\n');
	if (json_array_size(never))
		puts("Of no object, since the way to the source does not carry it:");
	json_array_foreach(never, i, one)
	{
		char *text = member_name(one, "explanation");
		printf("    %s: %s\n", member_text(one, "kind"), text);
		free(text);
	}
}

static int show(struct cli *cli, const struct migration *migration, const struct wanted *wanted)
{
	json_t *losses = NULL;
	int code = get(cli, migration, wanted, &losses);
	if (code == CLI_OK && wanted->kind) {
		keep_kind(json_object_get(losses, "kinds"), wanted->kind);
		keep_kind(json_object_get(losses, "never"), wanted->kind);
	}
	if (code == CLI_OK && cli->json) {
		json_object_set_new(losses, "migid", json_integer(migration->migid));
		print_json(losses);
	} else if (code == CLI_OK) {
		print_losses(losses);
	}
	json_decref(losses);
	return code;
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {
		{"kind", required_argument, NULL, 'k'}, {"paths", no_argument, NULL, 'p'}, CLI_OPTIONS};
	struct wanted wanted = {0};
	struct migrations migrations;
	int option;
	while ((option = getopt_long(argc, argv, CLI_LETTERS, options, NULL)) != -1) {
		if (option == 'k')
			wanted.kind = optarg;
		else if (option == 'p')
			wanted.paths = true;
		else if (!cli_option(cli, &command_losses, option))
			return cli->status;
	}
	if (!cli_arguments(cli, &command_losses, argc - optind, 1, 1))
		return cli->status;
	int code = migrations_load(cli, &migrations);
	if (code)
		return code;
	const struct migration *migration = migrations_meant(cli, &migrations, argv[optind]);
	code = migration ? show(cli, migration, &wanted) : cli->status;
	migrations_free(&migrations);
	return code;
}

const struct command command_losses = {
	"losses",
	"[--kind KIND] [--paths] MIGID",
	"what could not be carried",
	"What the source has and the target has not, by kind: for how many objects, what it means, and which. Then what the "
	"protocol\n"
	"can carry of no object. While the migration runs, is halted, and when it is finished: then as it was at the end.\n\n"
	"  --kind KIND          this kind alone: owner, mode, set-id, acl, sacl, xattr, streams, capability, dos-attributes,\n"
	"                       flags, times, holes, hard-link, reparse-point, name, case, drift, disagreement, skipped,\n"
	"                       object, other\n"
	"  --paths              all paths, not the first of each kind alone\n",
	run,
};
