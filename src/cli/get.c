/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dmmfs-admin get: properties, their values and where these come from; and what there is to set.
 */
#include "cli/format.h"
#include "cli/memory.h"
#include "cli/print.h"
#include "cli/values.h"

#include <errno.h>
#include <string.h>

#define LINE_COLUMNS 80
#define INDENT "    "

struct names {
	const char **list;
	size_t count;
};

static bool wanted(const struct names *names, const char *name)
{
	for (size_t i = 0; i < names->count; i++)
		if (strcmp(names->list[i], name) == 0)
			return true;
	return names->count == 0;
}

static bool take(struct cli *cli, struct names *names, const char *name)
{
	if (!property_find(name) && strncmp(name, SETTINGS_PLUGIN, strlen(SETTINGS_PLUGIN)) != 0) {
		cli->status = cli_fail(cli, CLI_USAGE, ENOENT,
		                       "there is no property '%s': 'dmmfs-admin get --describe' lists those there are", name);
		return false;
	}
	names->list = memory_must(reallocarray(names->list, names->count + 1, sizeof(*names->list)));
	names->list[names->count++] = name;
	return true;
}

/* --- what there is ---------------------------------------------------------------------------------------------------------- */

static json_t *describe(const struct property *property)
{
	char allowed[PROPERTY_ALLOWED_MAX];
	return memory_must(json_pack("{s:s, s:s, s:s, s:s?, s:s?, s:s, s:s}", "name", property->name, "type",
	                             property_type_name(property->type), "when", property_when_name(property->when), "default",
	                             property->standard, "without", property->without, "allowed",
	                             property_allowed(property, allowed, sizeof(allowed)), "help", property->help));
}

/* Words between blanks, indented, in lines that fit. */
static void print_wrapped(const char *text)
{
	size_t column = 0;
	while (*text) {
		size_t len = strcspn(text, " ");
		if (column && column + 1 + len > LINE_COLUMNS - strlen(INDENT)) {
			putchar('\n');
			column = 0;
		}
		column += (size_t)printf("%s%.*s", column ? " " : INDENT, (int)len, text) - (column ? 0 : strlen(INDENT));
		text += len + strspn(text + len, " ");
	}
	putchar('\n');
}

static void print_description(const struct property *property)
{
	static const char *const when[] = {
		[PROPERTY_AT_CREATE] = "given when the migration is created",
		[PROPERTY_HALTED] = "can change while no daemon runs",
		[PROPERTY_LIVE] = "can change at any time",
	};
	char allowed[PROPERTY_ALLOWED_MAX], *text;
	printf("%s\n", property->name);
	print_wrapped(property->help);
	if (asprintf(&text, "Allowed: %s. Default: %s; %s.", property_allowed(property, allowed, sizeof(allowed)),
	             property->standard ? property->standard : property->without, when[property->when]) < 0)
		memory_must(NULL);
	print_wrapped(text);
	free(text);
}

static int describe_all(const struct cli *cli, const struct names *names)
{
	json_t *list = memory_must(json_array());
	const struct property *property;
	for (size_t i = 0; (property = property_at(i)); i++) {
		if (!wanted(names, property->name))
			continue;
		if (cli->json)
			json_array_append_new(list, describe(property));
		else
			print_description(property);
	}
	if (cli->json)
		print_json(list);
	json_decref(list);
	return CLI_OK;
}

/* --- values ------------------------------------------------------------------------------------------------------------------ */

static json_t *values_of(struct cli *cli, const struct migration *migration, const struct names *names)
{
	json_t *all = values_get(cli, migration), *list = memory_must(json_array());
	for (size_t i = 0; i < json_array_size(all); i++)
		if (wanted(names, member_text(json_array_get(all, i), "name")))
			json_array_append(list, json_array_get(all, i));
	json_decref(all);
	if (!all) {
		json_decref(list);
		return NULL;
	}
	return memory_must(json_pack("{s:i, s:o}", "migid", (int)migration->migid, "properties", list));
}

static struct table *new_table(void)
{
	static const char *const heads[] = {"PROPERTY", "VALUE", "FROM"};
	return table_new(3, heads, "lll");
}

static void add_row(struct table *table, const char *name, const char *value, const char *from)
{
	table_row(table);
	table_set(table, 0, name);
	table_set(table, 1, value);
	table_set(table, 2, from);
}

/* Without a default text there is a sentence on what is in force. */
static const char *without(const char *name)
{
	const struct property *property = property_find(name);
	return property && property->without ? property->without : "-";
}

static void print_values(const json_t *object, bool with_head)
{
	const json_t *list = json_object_get(object, "properties");
	struct table *table = new_table();
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *entry = json_array_get(list, i);
		const char *name = member_text(entry, "name");
		char *value = member_name(entry, "value"), *instead = NULL;
		if (!*value && asprintf(&instead, "(%s)", without(name)) < 0)
			memory_must(NULL);
		add_row(table, name, *value ? value : instead, member_text(entry, "from"));
		free(instead);
		free(value);
	}
	if (with_head)
		printf("migration %u\n", (unsigned)member_count(object, "migid"));
	table_print(table, stdout);
	table_free(table);
}

static void print_defaults(const struct names *names)
{
	struct table *table = new_table();
	const struct property *property;
	for (size_t i = 0; (property = property_at(i)); i++) {
		char *instead = NULL;
		if (!wanted(names, property->name))
			continue;
		if (!property->standard && asprintf(&instead, "(%s)", property->without) < 0)
			memory_must(NULL);
		add_row(table, property->name, property->standard ? property->standard : instead, "default");
		free(instead);
	}
	puts("There are no migrations. These are the defaults:");
	table_print(table, stdout);
	table_free(table);
}

static int get_one(struct cli *cli, const struct migrations *migrations, const char *argument, const struct names *names)
{
	const struct migration *migration = migrations_meant(cli, migrations, argument);
	json_t *object = migration ? values_of(cli, migration, names) : NULL;
	if (!object)
		return cli->status;
	if (cli->json)
		print_json(object);
	else
		print_values(object, false);
	json_decref(object);
	return CLI_OK;
}

static int get_all(struct cli *cli, const struct migrations *migrations, const struct names *names)
{
	json_t *list = memory_must(json_array());
	int code = CLI_OK;
	for (size_t i = 0; i < migrations->count; i++) {
		json_t *object = values_of(cli, &migrations->list[i], names);
		if (!object)
			code = cli->status; /* of one: the others are shown nevertheless */
		else
			json_array_append_new(list, object);
	}
	for (size_t i = 0; i < json_array_size(list) && !cli->json; i++) {
		if (i > 0)
			putchar('\n');
		print_values(json_array_get(list, i), true);
	}
	if (cli->json && code == CLI_OK)
		print_json(list);
	else if (migrations->count == 0)
		print_defaults(names);
	json_decref(list);
	return code;
}

static int get(struct cli *cli, const char *argument, const struct names *names)
{
	struct migrations migrations;
	int code = migrations_load(cli, &migrations);
	if (code)
		return code;
	code = argument ? get_one(cli, &migrations, argument, names) : get_all(cli, &migrations, names);
	migrations_free(&migrations);
	return code;
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {
		{"property", required_argument, NULL, 'p'}, {"describe", no_argument, NULL, 'd'}, CLI_OPTIONS};
	struct names names = {0};
	bool go_on = true, described = false;
	int option, code;
	while (go_on && (option = getopt_long(argc, argv, "p:" CLI_LETTERS, options, NULL)) != -1) {
		if (option == 'd')
			described = true;
		else
			go_on = option == 'p' ? take(cli, &names, optarg) : cli_option(cli, &command_get, option);
	}
	if (!go_on || !cli_arguments(cli, &command_get, argc - optind, 0, described ? 0 : 1))
		code = cli->status;
	else
		code = described ? describe_all(cli, &names) : get(cli, argv[optind], &names);
	free(names.list);
	return code;
}

const struct command command_get = {
	"get",
	"[-p PROPERTY]... [MIGID]",
	"properties and where their values come from",
	"Shows the properties of a migration, or of all: the values in force, and whether they are defaults, were set, or\n"
	"given when it was mounted.\n"
	"With --json: for one MIGID an object with migid and properties, otherwise an array of them.\n\n"
	"  -p, --property NAME  only this one; may be given several times\n"
	"  --describe           tell instead what properties there are, what is allowed, and when they can change\n",
	run,
};
