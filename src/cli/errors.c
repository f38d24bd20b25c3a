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
#include <time.h>

#define ERRORS_TIMEOUT_S 60

/* The daemon gives the ledger in pages; each begins after the last entry of the one before. An exit code. */
static int fetch_all(struct cli *cli, uint32_t migid, const char *state, json_t *all)
{
	json_int_t after = 0;
	for (bool more = true; more;) {
		json_t *reply, *request = memory_must(json_pack("{s:s, s:I}", "op", "errors", "after", after));
		if (state)
			json_object_set_new(request, "state", json_string(state));
		int error = daemon_ask(cli, migid, request, ERRORS_TIMEOUT_S, &reply);
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

/* When it is tried again by itself. */
static const char *format_next(const json_t *entry, char *text)
{
	int64_t next = (int64_t)member_count(entry, "next"), now = (int64_t)time(NULL);
	if (!json_is_integer(json_object_get(entry, "next")))
		return "-";
	char duration[FORMAT_BYTES];
	if (next <= now)
		return "now";
	snprintf(text, FORMAT_BYTES, "in %s", format_duration((uint64_t)(next - now), duration));
	return text;
}

static void add_row(struct table *table, const json_t *entry)
{
	char text[FORMAT_BYTES], *path = member_name(entry, "path"), *detail = member_name(entry, "detail");
	const char *told = member_text(entry, "told");
	table_row(table);
	table_set(table, 0, format_count(member_count(entry, "id"), text));
	table_set(table, 1, member_text(entry, "state"));
	table_set(table, 2, format_count(member_count(entry, "tries"), text));
	table_set(table, 3, format_time((int64_t)member_count(entry, "first"), text));
	table_set(table, 4, format_time((int64_t)member_count(entry, "last"), text));
	table_set(table, 5, format_next(entry, text));
	table_set(table, 6, member_text(entry, "what"));
	table_set(table, 7, member_text(entry, "error"));
	table_set(table, 8, *told ? told : "-");
	table_set(table, 9, path);
	table_set(table, 10, detail);
	free(path);
	free(detail);
}

static void print_table(const json_t *all)
{
	static const char *const heads[] = {"ID",    "STATE", "TRIES", "FIRST", "LAST", "NEXT",
	                                    "DOING", "ERROR", "TOLD",  "PATH",  ""};
	if (json_array_size(all) == 0) {
		puts("No errors.");
		return;
	}
	struct table *table = table_new(11, heads, "rlrllllllll");
	for (size_t i = 0; i < json_array_size(all); i++)
		add_row(table, json_array_get(all, i));
	table_print(table, stdout);
	table_free(table);
}

static int print_errors(struct cli *cli, const struct migration *migration, const char *state)
{
	json_t *all = memory_must(json_array());
	/* Nothing that is in error can be complete: no daemon has to be asked. */
	int code = strcmp(migration->state, "complete") == 0 ? CLI_OK : fetch_all(cli, migration->migid, state, all);
	if (code == CLI_OK && cli->json)
		print_json(all);
	else if (code == CLI_OK)
		print_table(all);
	json_decref(all);
	return code;
}

static bool take_state(struct cli *cli, const char *text)
{
	static const char *const states[] = {"retrying", "waiting", "waived", "fixed"};
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		if (strcmp(text, states[i]) == 0)
			return true;
	cli->status = cli_misused(cli, &command_errors, "--state is retrying, waiting, waived or fixed, not '%s'", text);
	return false;
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {{"state", required_argument, NULL, 's'}, CLI_OPTIONS};
	const char *state = NULL;
	struct migrations migrations;
	int option;
	while ((option = getopt_long(argc, argv, CLI_LETTERS, options, NULL)) != -1) {
		if (option == 's')
			state = optarg;
		if (option == 's' ? !take_state(cli, optarg) : !cli_option(cli, &command_errors, option))
			return cli->status;
	}
	if (!cli_arguments(cli, &command_errors, argc - optind, 1, 1))
		return cli->status;
	int code = migrations_load(cli, &migrations);
	if (code)
		return code;
	const struct migration *migration = migrations_meant(cli, &migrations, argv[optind]);
	code = migration ? print_errors(cli, migration, state) : cli->status;
	migrations_free(&migrations);
	return code;
}

const struct command command_errors = {
	"errors",
	"[--state STATE] MIGID",
	"what could not be migrated, and why",
	"Lists the failures that nobody has settled: being retried, waiting for the administrator, or waived; when it was tried\n"
	"and will be, and what error an application was told because of it. An entry goes away when what it names has come "
        "over.\n"
	"With --json: an array.\n\n"
	"  --state STATE        those that are retrying, waiting or waived alone; or fixed: the last that were, since the\n"
	"                       daemon was started\n",
	run,
};
