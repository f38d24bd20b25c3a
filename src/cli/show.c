/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dmmfs-admin show: everything that is known about migrations: their settings and their figures.
 */
#include "base/size.h"
#include "cli/background.h"
#include "cli/figures.h"
#include "cli/format.h"
#include "cli/memory.h"
#include "cli/print.h"
#include "cli/summary.h"

#include <string.h>

/* The figures, and what only the database knows. */
static json_t *describe(struct cli *cli, const struct migration *migration)
{
	json_t *object = figures_get(cli, migration);
	json_object_set_new(object, "created", migration->created ? json_integer(migration->created) : json_null());
	json_object_set_new(object, "finished", migration->finished ? json_integer(migration->finished) : json_null());
	json_object_set(object, "properties", migration->properties);
	return object;
}

static void print_value(const char *name, const char *value)
{
	printf("  %-12s %s\n", name, value);
}

static void print_name(const json_t *object, const char *name, const char *key)
{
	char *value = member_name(object, key);
	if (*value)
		print_value(name, value);
	free(value);
}

static void print_time(const json_t *object, const char *name, const char *key)
{
	char text[FORMAT_BYTES];
	if (json_is_integer(json_object_get(object, key)))
		print_value(name, format_time(json_integer_value(json_object_get(object, key)), text));
}

static void print_state(const json_t *object)
{
	char duration[FORMAT_BYTES];
	const char *state = member_text(object, "state"), *daemon = member_text(object, "daemon"),
		   *color = print_state_color(state);
	printf("  %-12s %s%s%s", "state", color, state, *color ? "\033[0m" : "");
	if (strcmp(daemon, "running") == 0)
		printf(", up %s", format_duration(member_count(object, "uptime_s"), duration));
	else if (strcmp(daemon, "ending") == 0)
		printf(", the daemon comes to its end");
	else if (strcmp(daemon, "silent") == 0)
		printf(", the daemon does not answer");
	putchar('\n');
}

static void print_figures(const json_t *object)
{
	char text[4 * FORMAT_BYTES], share[FORMAT_BYTES];
	if (strcmp(member_text(object, "daemon"), "silent") == 0)
		return; /* nothing is known, and zeros would say that nothing is wrong */
	snprintf(text, sizeof(text), "%u %%, %s", summary_percent(object),
	         format_share(member_count(object, "bytes_migrated"), member_count(object, "bytes_found"), share));
	print_value("done", text);
	print_value("remaining", summary_remaining_long(object, text));
	print_value("errors", format_count(summary_errors(object), text));
	print_value("demand", summary_demand(object, text, sizeof(text)));
	background_print(stdout, object, "  background   ");
}

static void print_properties(const json_t *properties)
{
	for (void *at = json_object_iter((json_t *)properties); at; at = json_object_iter_next((json_t *)properties, at)) {
		const char *name = json_object_iter_key(at);
		if (strcmp(name, "escaped") != 0)
			print_name(properties, name, name);
	}
}

static void print_description(const json_t *object)
{
	printf("migration %u\n", (unsigned)member_count(object, "migid"));
	print_state(object);
	print_name(object, "source", "source");
	print_name(object, "target", "target");
	print_name(object, "mount point", "mountpoint");
	print_name(object, "state dir", "statedir");
	print_time(object, "created", "created");
	print_time(object, "finished", "finished");
	print_figures(object);
	print_properties(json_object_get(object, "properties"));
}

/* Those that are named, or all. An exit code. */
static int choose(struct cli *cli, const struct migrations *migrations, int argc, char **argv, json_t *list)
{
	for (int i = 0; i < argc; i++) {
		const struct migration *migration = migrations_meant(cli, migrations, argv[i]);
		if (!migration)
			return cli->status;
		json_array_append_new(list, describe(cli, migration));
	}
	for (size_t i = 0; i < migrations->count && argc == 0; i++)
		json_array_append_new(list, describe(cli, &migrations->list[i]));
	return CLI_OK;
}

static void print_list(const struct cli *cli, const json_t *list, bool one)
{
	if (cli->json) {
		print_json(one ? json_array_get(list, 0) : list);
		return;
	}
	if (json_array_size(list) == 0)
		puts("There are no migrations.");
	for (size_t i = 0; i < json_array_size(list); i++) {
		if (i > 0)
			putchar('\n');
		print_description(json_array_get(list, i));
	}
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {CLI_OPTIONS};
	struct migrations migrations;
	int option;
	while ((option = getopt_long(argc, argv, CLI_LETTERS, options, NULL)) != -1)
		if (!cli_option(cli, &command_show, option))
			return cli->status;
	int code = migrations_load(cli, &migrations);
	if (code)
		return code;
	json_t *list = memory_must(json_array());
	code = choose(cli, &migrations, argc - optind, argv + optind, list);
	if (code == CLI_OK)
		print_list(cli, list, argc - optind == 1);
	json_decref(list);
	migrations_free(&migrations);
	return code;
}

const struct command command_show = {
	"show",
	"[MIGID...]",
	"all that is known about migrations",
	"Shows settings, times and figures of the migrations named, or of all.\n"
	"With --json: for one MIGID an object, otherwise an array; the keys of 'stat', and created, finished, properties.\n\n",
	run,
};
