/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dmmfs-admin create: a new migration in the configuration, and, unless it is to be halted, its start.
 *
 * The daemon's program checks and writes, as for a mount: it knows what a source plugin takes, and opens the source.
 */
#include "cli/leave.h"
#include "cli/memory.h"
#include "cli/print.h"
#include "cli/run.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct creation {
	const char *source, *target, *mountpoint;
	bool halted;
	char **arguments; /* for the daemon: pairs of "-o" and an option; ended by NULL */
	size_t count;
};

static void add_argument(struct creation *creation, char *argument)
{
	creation->arguments = memory_must(reallocarray(creation->arguments, creation->count + 2, sizeof(char *)));
	creation->arguments[creation->count++] = memory_must(argument);
	creation->arguments[creation->count] = NULL;
}

/* In a mount option a comma ends the value, and a backslash takes the meaning from what follows. */
static char *escape(const char *option)
{
	char *escaped = memory_must(malloc(2 * strlen(option) + 1)), *to = escaped;
	for (; *option; option++) {
		if (*option == ',' || *option == '\\')
			*to++ = '\\';
		*to++ = *option;
	}
	*to = 0;
	return escaped;
}

static void add_option(struct creation *creation, const char *option)
{
	add_argument(creation, strdup("-o"));
	add_argument(creation, escape(option));
}

/* True when `text` is NAME=VALUE of this name. */
static bool is_property(const char *text, const char *name, const char **value)
{
	size_t len = strlen(name);
	if (strncmp(text, name, len) != 0 || text[len] != '=')
		return false;
	*value = text + len + 1;
	return true;
}

static bool take_property(struct cli *cli, struct creation *creation, const char *text)
{
	const char *equals = strchr(text, '=');
	if (!equals || equals == text) {
		cli->status = cli_misused(cli, &command_create, "-p takes PROPERTY=VALUE, not '%s'", text);
		return false;
	}
	if (!is_property(text, "source", &creation->source) && !is_property(text, "target", &creation->target) &&
	    !is_property(text, "mountpoint", &creation->mountpoint))
		add_option(creation, text);
	return true;
}

static void free_creation(struct creation *creation)
{
	for (size_t i = 0; i < creation->count; i++)
		free(creation->arguments[i]);
	free(creation->arguments);
}

/* --- making ----------------------------------------------------------------------------------------------------------------- */

static int make(struct cli *cli, struct creation *creation, uint32_t *migid)
{
	struct ran ran;
	int code = CLI_OK;
	char *target;
	if (asprintf(&target, "target=%s", creation->target) < 0)
		memory_must(NULL);
	add_option(creation, target);
	free(target);
	add_argument(creation, strdup("--create"));
	add_argument(creation, strdup("--"));
	add_argument(creation, strdup(creation->source));
	add_argument(creation, strdup(creation->mountpoint ? creation->mountpoint : creation->target));
	run_daemon(cli, (const char *const *)creation->arguments, &ran);
	if (ran.status != 0)
		code = cli_fail(cli, ran.status == 1 ? CLI_USAGE : CLI_FAILED, ran.status == 1 ? EINVAL : EIO, "%s", ran.message);
	else if (sscanf(ran.output, "%u", migid) != 1)
		code = cli_fail(cli, CLI_FAILED, EPROTO, "the program of the daemon did not say which migration it made");
	else if (*ran.message)
		fprintf(stderr, "dmmfs-admin: %s\n", ran.message);
	ran_free(&ran);
	return code;
}

static void print_success(const struct cli *cli, const struct migration *migration, const char *state)
{
	if (cli->json) {
		json_t *object = leave_result(migration, state);
		print_json(object);
		json_decref(object);
	} else {
		printf("%u\n", migration->migid);
	}
}

static const struct migration *find(const struct migrations *migrations, uint32_t migid)
{
	for (size_t i = 0; i < migrations->count; i++)
		if (migrations->list[i].migid == migid)
			return &migrations->list[i];
	return NULL;
}

static int start_new(struct cli *cli, const struct migration *migration)
{
	bool was_running;
	int code = start_migration(cli, migration, &was_running);
	if (code)
		fprintf(stderr, "dmmfs-admin: migration %u is made and stays, halted: 'dmmfs-admin start %u' tries again\n",
		        migration->migid, migration->migid);
	return code;
}

static int create(struct cli *cli, struct creation *creation)
{
	struct migrations migrations;
	uint32_t migid;
	int code = make(cli, creation, &migid);
	if (!code)
		code = migrations_load(cli, &migrations);
	if (code)
		return code;
	const struct migration *migration = find(&migrations, migid);
	if (!migration)
		code = cli_fail(cli, CLI_FAILED, ENOENT, "migration %u was made, and deleted by somebody else at once", migid);
	else if (!creation->halted)
		code = start_new(cli, migration);
	if (code == CLI_OK)
		print_success(cli, migration, creation->halted ? "halted" : "running");
	migrations_free(&migrations);
	return code;
}

static bool check(struct cli *cli, const struct creation *creation)
{
	if (creation->source && creation->target)
		return true;
	cli->status = cli_misused(cli, &command_create, "'create' needs -p source=... and -p target=...");
	return false;
}

static int run(struct cli *cli, int argc, char **argv)
{
	enum { OPTION_HELP = 'H' };
	static const struct option options[] = {{"help", no_argument, NULL, OPTION_HELP},
	                                        {"halted", no_argument, NULL, 'h'},
	                                        {"property", required_argument, NULL, 'p'},
	                                        CLI_OPTIONS};
	struct creation creation = {0};
	bool go_on = true;
	int option;
	while (go_on && (option = getopt_long(argc, argv, "p:" CLI_LETTERS, options, NULL)) != -1) {
		if (option == 'h')
			creation.halted = true;
		else if (option == 'p')
			go_on = take_property(cli, &creation, optarg);
		else
			go_on = cli_option(cli, &command_create, option == OPTION_HELP ? 'h' : option);
	}
	go_on = go_on && cli_arguments(cli, &command_create, argc - optind, 0, 0) && check(cli, &creation);
	int code = go_on ? create(cli, &creation) : cli->status;
	free_creation(&creation);
	return code;
}

const struct command command_create = {
	.name = "create",
	.arguments = "[-h] -p PROPERTY=VALUE...",
	.summary = "make a migration and start it; -h: only make it",
	.help = "Makes a migration, prints its MIGID and starts it. Everything is checked first, the source is opened once, "
                "nothing is\n"
		"written to the target. If the start fails the migration stays, halted.\n\n"
		"  -h, --halted         do not start it\n"
		"  -p, --property PROPERTY=VALUE\n"
		"                       source and target are needed; mountpoint is the target unless it is given. dmmfs(8) has "
                "the\n"
		"                       others: what is a mount option there is a property here\n",
	.run = run,
	.has_h = true,
};
