/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dmmfs-admin list: all migrations, a line for each.
 */
#include "base/size.h"
#include "cli/figures.h"
#include "cli/format.h"
#include "cli/print.h"
#include "cli/summary.h"

#include <string.h>

static void add_figures(struct table *table, const json_t *figures)
{
	char text[FORMAT_BYTES];
	uint64_t errors = summary_errors(figures);
	snprintf(text, sizeof(text), "%u %%", summary_percent(figures));
	table_set(table, 2, text);
	table_set(table, 3, size_format(member_count(figures, "bytes_found"), text, sizeof(text)));
	table_set(table, 4, format_rate(member_count(figures, "rate_bytes_per_s"), text));
	table_set(table, 5, summary_remaining(figures, text));
	table_set(table, 6, format_count(errors, text));
	table_color(table, 6, errors ? print_trouble_color() : NULL);
}

static void add_row(struct table *table, const json_t *figures)
{
	char text[FORMAT_BYTES];
	const char *state = member_text(figures, "state");
	char *source = member_name(figures, "source"), *mountpoint = member_name(figures, "mountpoint");
	bool silent = strcmp(member_text(figures, "daemon"), "silent") == 0;
	table_row(table);
	snprintf(text, sizeof(text), "%u", (unsigned)member_count(figures, "migid"));
	table_set(table, 0, text);
	table_set(table, 1, silent ? "no answer" : state);
	table_color(table, 1, silent ? print_trouble_color() : print_state_color(state));
	if (silent) /* nothing is known, and zeros would say that nothing is wrong */
		for (size_t i = 2; i < 7; i++)
			table_set(table, i, "?");
	else
		add_figures(table, figures);
	table_set(table, 7, source);
	table_set(table, 8, *mountpoint ? mountpoint : "-");
	free(source);
	free(mountpoint);
}

static void print_table(const json_t *list)
{
	static const char *const heads[] = {"MIGID",     "STATE",  "DONE",   "FOUND",      "RATE",
	                                    "REMAINING", "ERRORS", "SOURCE", "MOUNT POINT"};
	if (json_array_size(list) == 0) {
		puts("There are no migrations. dmmfs-admin create -p source=SOURCE -p target=DIRECTORY begins one.");
		return;
	}
	struct table *table = table_new(9, heads, "rlrrrlrll");
	for (size_t i = 0; i < json_array_size(list); i++)
		add_row(table, json_array_get(list, i));
	table_print(table, stdout);
	table_free(table);
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {CLI_OPTIONS};
	struct migrations migrations;
	int option;
	while ((option = getopt_long(argc, argv, CLI_LETTERS, options, NULL)) != -1)
		if (!cli_option(cli, &command_list, option))
			return cli->status;
	if (!cli_arguments(cli, &command_list, argc - optind, 0, 0))
		return cli->status;
	int code = migrations_load(cli, &migrations);
	if (code)
		return code;
	json_t *list = json_array();
	for (size_t i = 0; i < migrations.count; i++)
		json_array_append_new(list, figures_get(cli, &migrations.list[i]));
	if (cli->json)
		print_json(list);
	else
		print_table(list);
	json_decref(list);
	migrations_free(&migrations);
	return CLI_OK;
}

const struct command command_list = {
	"list",
	"",
	"all migrations, a line for each",
	"Lists all migrations that this machine knows, also those that have ended.\n"
	"With --json: an array of objects like those of 'stat'.\n\n",
	run,
};
