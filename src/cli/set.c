/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dmmfs-admin set: changes properties of a migration, all that are named or none.
 */
#include "cli/memory.h"
#include "cli/print.h"
#include "cli/values.h"
#include "wire/bytes.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

struct wanted {
	struct setting_change *changes; /* names and values are ours */
	size_t count;
};

/* A path means what it means here: the daemon is elsewhere. */
static char *value_of(const char *name, const char *text)
{
	const struct property *property = property_find(name);
	char *here = NULL, *absolute = NULL;
	if (!property || property->type != PROPERTY_PATH || !*text || *text == '/' || !(here = getcwd(NULL, 0)))
		return memory_must(strdup(text));
	if (asprintf(&absolute, "%s/%s", strcmp(here, "/") == 0 ? "" : here, text) < 0)
		absolute = NULL;
	free(here);
	return memory_must(absolute);
}

/* The last of several for one property counts. */
static struct setting_change *change_of(struct wanted *wanted, char *name)
{
	for (size_t i = 0; i < wanted->count; i++) {
		if (strcmp(wanted->changes[i].name, name) == 0) {
			free(name);
			free((char *)wanted->changes[i].value);
			return &wanted->changes[i];
		}
	}
	wanted->changes = memory_must(reallocarray(wanted->changes, wanted->count + 1, sizeof(*wanted->changes)));
	wanted->changes[wanted->count].name = name;
	return &wanted->changes[wanted->count++];
}

static bool take(struct cli *cli, struct wanted *wanted, const char *text)
{
	const char *equals = strchr(text, '=');
	if (!equals || equals == text) {
		cli->status =
			cli_misused(cli, &command_set, "-p takes PROPERTY=VALUE, or PROPERTY= for its default, not '%s'", text);
		return false;
	}
	char *name = memory_must(strndup(text, (size_t)(equals - text))), *value = value_of(name, equals + 1);
	change_of(wanted, name)->value = value;
	return true;
}

static void free_wanted(struct wanted *wanted)
{
	for (size_t i = 0; i < wanted->count; i++) {
		free((char *)wanted->changes[i].name);
		free((char *)wanted->changes[i].value);
	}
	free(wanted->changes);
}

static void print_success(const struct cli *cli, const struct migration *migration, const struct wanted *wanted, bool in_force)
{
	if (!cli->json) {
		printf("Migration %u: %s.\n", migration->migid, in_force ? "in force now" : "in force with its next start");
		return;
	}
	json_t *properties = memory_must(json_object());
	for (size_t i = 0; i < wanted->count; i++)
		bytes_set(properties, wanted->changes[i].name, *wanted->changes[i].value ? wanted->changes[i].value : NULL);
	json_t *object = memory_must(json_pack("{s:b, s:i, s:s, s:o}", "ok", 1, "migid", (int)migration->migid, "in_force",
	                                       in_force ? "now" : "start", "properties", properties));
	print_json(object);
	json_decref(object);
}

static int set(struct cli *cli, const char *argument, const struct wanted *wanted)
{
	struct migrations migrations;
	bool in_force;
	int code = migrations_load(cli, &migrations);
	if (code)
		return code;
	const struct migration *migration = migrations_meant(cli, &migrations, argument);
	code = migration ? values_set(cli, migration, wanted->changes, wanted->count, &in_force) : cli->status;
	if (code == CLI_OK)
		print_success(cli, migration, wanted, in_force);
	migrations_free(&migrations);
	return code;
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {{"property", required_argument, NULL, 'p'}, CLI_OPTIONS};
	struct wanted wanted = {0};
	bool go_on = true;
	int option, code;
	while (go_on && (option = getopt_long(argc, argv, "p:" CLI_LETTERS, options, NULL)) != -1)
		go_on = option == 'p' ? take(cli, &wanted, optarg) : cli_option(cli, &command_set, option);
	if (!go_on || !cli_arguments(cli, &command_set, argc - optind, 1, 1))
		code = cli->status;
	else if (wanted.count == 0)
		code = cli_misused(cli, &command_set, "'set' needs -p PROPERTY=VALUE");
	else
		code = set(cli, argv[optind], &wanted);
	free_wanted(&wanted);
	return code;
}

const struct command command_set = {
	"set",
	"-p PROPERTY=VALUE... MIGID",
	"change properties, at once where that can be",
	"Changes properties of a migration. If one of the values is wrong, or can not be changed now, none changes.\n"
	"'get --describe' tells what there is, what is allowed, and when it can change.\n"
	"With --json: an object with ok, migid, properties, in_force.\n\n"
	"  -p, --property PROPERTY=VALUE\n"
	"                       may be given several times; an empty value goes back to the default\n",
	run,
};
