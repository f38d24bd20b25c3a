/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dmmfs-admin errors: what could not be migrated, and why.
 */
#include "cli/figures.h"
#include "cli/format.h"
#include "cli/memory.h"
#include "cli/print.h"

#include <errno.h>
#include <string.h>

#define ERRORS_TIMEOUT_S 60

/* The daemon gives the ledger in pages; each begins after the last entry of the one before. An exit code. */
static int fetch_all(struct cli *cli, uint32_t migid, json_t *all)
{
	json_int_t after = 0;
	for (bool more = true; more;) {
		json_t *reply;
		int error =
			daemon_ask(cli, migid, json_pack("{s:s, s:I}", "op", "errors", "after", after), ERRORS_TIMEOUT_S, &reply);
		if (error)
			return daemon_fail(cli, migid, error, reply);
		json_t *page = json_object_get(reply, "errors");
		size_t count = json_array_size(page);
		if (count)
			after = json_integer_value(json_object_get(json_array_get(page, count - 1), "id"));
		more = count && member_true(reply, "more");
		json_array_extend(all, page);
		json_decref(reply);
	}
	return CLI_OK;
}

static void add_row(struct table *table, const json_t *entry)
{
	char text[FORMAT_BYTES], *path = member_name(entry, "path"), *detail = member_name(entry, "detail");
	const char *told = member_text(entry, "told");
	table_row(table);
	table_set(table, 0, member_text(entry, "state"));
	table_set(table, 1, format_count(member_count(entry, "tries"), text));
	table_set(table, 2, format_time((int64_t)member_count(entry, "last"), text));
	table_set(table, 3, member_text(entry, "what"));
	table_set(table, 4, member_text(entry, "error"));
	table_set(table, 5, *told ? told : "-");
	table_set(table, 6, path);
	table_set(table, 7, detail);
	free(path);
	free(detail);
}

static void print_table(const json_t *all)
{
	static const char *const heads[] = {"STATE", "TRIES", "LAST", "DOING", "ERROR", "TOLD", "PATH", ""};
	if (json_array_size(all) == 0) {
		puts("No errors.");
		return;
	}
	struct table *table = table_new(8, heads, "lrllllll");
	for (size_t i = 0; i < json_array_size(all); i++)
		add_row(table, json_array_get(all, i));
	table_print(table, stdout);
	table_free(table);
}

static int print_errors(struct cli *cli, const struct migration *migration)
{
	json_t *all = memory_must(json_array());
	/* Nothing that is in error can be complete: no daemon has to be asked. */
	int code = strcmp(migration->state, "complete") == 0 ? CLI_OK : fetch_all(cli, migration->migid, all);
	if (code == CLI_OK && cli->json)
		print_json(all);
	else if (code == CLI_OK)
		print_table(all);
	json_decref(all);
	return code;
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {CLI_OPTIONS};
	struct migrations migrations;
	int option;
	while ((option = getopt_long(argc, argv, CLI_LETTERS, options, NULL)) != -1)
		if (!cli_option(cli, &command_errors, option))
			return cli->status;
	if (!cli_arguments(cli, &command_errors, argc - optind, 1, 1))
		return cli->status;
	int code = migrations_load(cli, &migrations);
	if (code)
		return code;
	const struct migration *migration = migrations_meant(cli, &migrations, argv[optind]);
	code = migration ? print_errors(cli, migration) : cli->status;
	migrations_free(&migrations);
	return code;
}

const struct command command_errors = {
	"errors",
	"MIGID",
	"what could not be migrated, and why",
	"Lists the failures that nobody has settled: being retried, waiting for the administrator, or waived; and what error\n"
	"an application was told because of it. An entry goes away when what it names has come over.\n"
	"With --json: an array.\n\n",
	run,
};
