/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dmmfs-admin first: puts clauses in front of the order of a migration.
 */
#include "cli/memory.h"
#include "cli/path.h"
#include "cli/print.h"
#include "cli/values.h"
#include "property/rules.h"
#include "wire/bytes.h"

#include <errno.h>
#include <string.h>

/* The one that is named, or that holds one of the patterns, or the only one that has not ended. */
static const struct migration *find_meant(struct cli *cli, const struct migrations *migrations, const char *named, int argc,
                                          char **argv)
{
	const struct migration *only = NULL;
	size_t open = 0;

	if (named)
		return migrations_meant(cli, migrations, named);
	for (int i = 0; i < argc; i++) {
		const struct migration *holds = argv[i][0] == '/' ? migrations_holding(migrations, argv[i]) : NULL;
		if (holds)
			return holds;
	}
	for (size_t i = 0; i < migrations->count; i++) {
		if (strcmp(migrations->list[i].state, "complete") == 0)
			continue;
		only = &migrations->list[i];
		open++;
	}
	if (open == 1)
		return only;
	cli->status = cli_fail(cli, CLI_UNKNOWN, ENOENT, "which migration is meant? Name it with --migration MIGID");
	return NULL;
}

/* What an administrator sees below the mount point is below the top of the migration. */
static const char *below(const struct migration *migration, const char *pattern)
{
	const char *tops[] = {migration->mountpoint, migration->target};

	for (size_t i = 0; i < 2; i++) {
		if (!tops[i][0] || !path_is_below(pattern, tops[i]) || strcmp(tops[i], "/") == 0)
			continue;
		pattern += strlen(tops[i]);
		return *pattern && strcmp(pattern, "/") ? pattern : "/**";
	}
	return pattern;
}

/* A path of another migration would be taken for one from the top of this one, and match nothing. */
static bool all_of_one(struct cli *cli, const struct migrations *migrations, const struct migration *migration, int argc,
                       char **argv)
{
	for (int i = 0; i < argc; i++) {
		const struct migration *holds = argv[i][0] == '/' ? migrations_holding(migrations, argv[i]) : NULL;
		if (!holds || holds == migration || below(migration, argv[i]) != argv[i])
			continue;
		cli->status = cli_fail(cli, CLI_USAGE, EXDEV,
		                       "%s is below migration %u, and migration %u is meant: say 'first' for each by itself",
		                       argv[i], holds->migid, migration->migid);
		return false;
	}
	return true;
}

/* The clauses, then the order so far. Newly allocated; NULL after a message. */
static char *compose(struct cli *cli, const struct migration *migration, const char *so_far, int argc, char **argv)
{
	char *text = NULL, error[1024] = "";
	size_t len;
	FILE *to = memory_must(open_memstream(&text, &len));

	for (int i = 0; i < argc; i++) {
		char *clause = rules_first_clause(below(migration, argv[i]), error, sizeof(error));
		if (!clause) {
			fclose(to);
			free(text);
			cli->status = cli_fail(cli, CLI_USAGE, EINVAL, "%s", error);
			return NULL;
		}
		fprintf(to, "%s; ", clause);
		free(clause);
	}
	fputs(so_far, to);
	fclose(to);
	return memory_must(text);
}

static const char *value_of(const json_t *values, const char *name)
{
	size_t i;
	const json_t *entry;

	json_array_foreach(values, i, entry) if (strcmp(member_text(entry, "name"), name) == 0) return member_text(entry,
	                                                                                                           "value");
	return "";
}

static int put_first(struct cli *cli, const struct migration *migration, int argc, char **argv)
{
	bool in_force = false;
	json_t *values = values_get(cli, migration);
	if (!values)
		return cli->status;
	char *order = compose(cli, migration, value_of(values, "order"), argc, argv);
	json_decref(values);
	if (!order)
		return cli->status;
	int code = values_set(cli, migration, &(struct setting_change){.name = "order", .value = order}, 1, &in_force);
	if (code == CLI_OK && cli->json) {
		json_t *object = memory_must(json_pack("{s:b, s:I, s:s}", "ok", 1, "migid", (json_int_t)migration->migid,
		                                       "in_force", in_force ? "now" : "start"));
		bytes_set(object, "order", order);
		print_json(object);
		json_decref(object);
	} else if (code == CLI_OK) {
		printf("Migration %u, %s: %s\n", migration->migid, in_force ? "in force now" : "in force with its next start",
		       order);
	}
	free(order);
	return code;
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {{"migration", required_argument, NULL, 'm'}, CLI_OPTIONS};
	struct migrations migrations;
	const char *named = NULL;
	int option;
	while ((option = getopt_long(argc, argv, "m:" CLI_LETTERS, options, NULL)) != -1) {
		if (option == 'm')
			named = optarg;
		else if (!cli_option(cli, &command_first, option))
			return cli->status;
	}
	if (!cli_arguments(cli, &command_first, argc - optind, 1, -1))
		return cli->status;
	int code = migrations_load(cli, &migrations);
	if (code)
		return code;
	const struct migration *migration = find_meant(cli, &migrations, named, argc - optind, argv + optind);
	if (migration && !named && !all_of_one(cli, &migrations, migration, argc - optind, argv + optind))
		migration = NULL;
	code = migration ? put_first(cli, migration, argc - optind, argv + optind) : cli->status;
	migrations_free(&migrations);
	return code;
}

const struct command command_first = {
	"first",
	"[-m MIGID] PATTERN...",
	"bring this before all else in the background",
	"Puts a clause \"first PATTERN\" for each PATTERN in front of the property 'order', in their order; ORDER in dmmfs(8)\n"
	"tells what a PATTERN can be. One that begins with '/' is a path from the top of the migration, or an absolute path\n"
	"below its mount point, which then tells which migration is meant. A test is good as well: 'size<64K'.\n"
	"With --json: an object with ok, migid, order, in_force.\n\n"
	"  -m, --migration MIGID\n"
	"                       the migration; not needed when there is only one\n",
	run,
};
