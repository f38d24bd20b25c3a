/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dmmfs-admin retry, dmmfs-admin waive: what the administrator decides about errors.
 */
#include "cli/figures.h"
#include "cli/format.h"
#include "cli/memory.h"
#include "cli/print.h"
#include "wire/bytes.h"

#include <errno.h>
#include <string.h>

#define DECIDE_TIMEOUT_S 60

struct decision {
	const struct command *command;
	const char *op;                /* and the key of the reply */
	const char *done, *done_other; /* of the entries that changed, and of the rest */
};

/* A number is an id; an absolute path is resolved as far as that does not touch the mount; any other is as `errors` prints it. */
static int add_entry(struct cli *cli, const struct migrations *migrations, json_t *entries, const char *argument)
{
	json_t *entry = memory_must(json_object());
	json_array_append_new(entries, entry);
	if (*argument && argument[strspn(argument, "0123456789")] == 0) {
		errno = 0;
		long long id = strtoll(argument, NULL, 10);
		if (id <= 0 || errno)
			return cli_fail(cli, CLI_USAGE, EINVAL, "%s is no number of an error: 'dmmfs-admin errors' shows them",
			                argument);
		json_object_set_new(entry, "id", json_integer(id));
		return CLI_OK;
	}
	while (strncmp(argument, "./", 2) == 0)
		argument += 2;
	char *path = *argument == '/' ? migrations_path(cli, migrations, argument) : memory_must(strdup(argument));
	if (!path)
		return cli->status;
	bytes_set(entry, "path", path);
	free(path);
	return CLI_OK;
}

static void print_count(const char *text, uint64_t count)
{
	char digits[FORMAT_BYTES];
	printf("%s %s%s.\n", format_count(count, digits), count == 1 ? "error is " : "errors are ", text);
}

static void print_done(const struct cli *cli, const struct decision *decision, uint32_t migid, const json_t *reply)
{
	const json_t *told = json_object_get(reply, decision->op);
	uint64_t changed = member_count(told, "changed"), unchanged = member_count(told, "unchanged");
	if (cli->json) {
		json_t *object = memory_must(json_pack("{s:b, s:I, s:I, s:I}", "ok", 1, "migid", (json_int_t)migid, "changed",
		                                       (json_int_t)changed, "unchanged", (json_int_t)unchanged));
		print_json(object);
		json_decref(object);
		return;
	}
	if (changed || !unchanged)
		print_count(decision->done, changed);
	if (unchanged)
		print_count(decision->done_other, unchanged);
}

static int decide(struct cli *cli, const struct decision *decision, const struct migration *migration, json_t *entries)
{
	json_t *reply, *request = memory_must(json_pack("{s:s}", "op", decision->op));
	if (json_array_size(entries))
		json_object_set(request, "entries", entries);
	int error = daemon_ask(cli, migration->migid, request, DECIDE_TIMEOUT_S, &reply);
	if (error)
		return daemon_fail(cli, migration->migid, error, reply);
	print_done(cli, decision, migration->migid, reply);
	json_decref(reply);
	return CLI_OK;
}

/* The last argument is the migration, those before are the errors. */
static int decide_named(struct cli *cli, const struct decision *decision, int argc, char **argv)
{
	struct migrations migrations;
	int code = migrations_load(cli, &migrations);
	if (code)
		return code;
	json_t *entries = memory_must(json_array());
	const struct migration *migration = migrations_meant(cli, &migrations, argv[argc - 1]);
	code = migration ? CLI_OK : cli->status;
	for (int i = 0; code == CLI_OK && i < argc - 1; i++)
		code = add_entry(cli, &migrations, entries, argv[i]);
	if (code == CLI_OK && strcmp(migration->state, "complete") == 0)
		code = cli_fail(cli, CLI_FAILED, ENOENT, "migration %u is complete: there is nothing to decide any more",
		                migration->migid);
	if (code == CLI_OK)
		code = decide(cli, decision, migration, entries);
	json_decref(entries);
	migrations_free(&migrations);
	return code;
}

static int run_retry(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {CLI_OPTIONS};
	static const struct decision retry = {&command_retry, "retry", "tried again", "fixed already"};
	int option;
	while ((option = getopt_long(argc, argv, CLI_LETTERS, options, NULL)) != -1)
		if (!cli_option(cli, &command_retry, option))
			return cli->status;
	if (!cli_arguments(cli, &command_retry, argc - optind, 1, -1))
		return cli->status;
	return decide_named(cli, &retry, argc - optind, argv + optind);
}

static int run_waive(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {{"all", no_argument, NULL, 'a'}, CLI_OPTIONS};
	static const struct decision waive = {&command_waive, "waive", "waived", "waived or fixed already"};
	bool all = false;
	int option;
	while ((option = getopt_long(argc, argv, CLI_LETTERS, options, NULL)) != -1) {
		all = all || option == 'a';
		if (option != 'a' && !cli_option(cli, &command_waive, option))
			return cli->status;
	}
	if (!cli_arguments(cli, &command_waive, argc - optind, 1, -1))
		return cli->status;
	if (all != (argc - optind == 1))
		return cli_misused(cli, &command_waive, "name the errors to be waived, or say --all for all that are open");
	return decide_named(cli, &waive, argc - optind, argv + optind);
}

const struct command command_retry = {
	"retry",
	"[PATH|ID]... MIGID",
	"try what is in error again, now",
	"Tries what is in error again, now and with all its attempts: what is named, or everything that is retrying or waiting.\n"
	"An ID is the number that 'errors' shows. A PATH is absolute, or as 'errors' prints it, and means the object there and\n"
	"everything below it. What is waived is tried again when it is named, and is waived no longer.\n\n",
	run_retry,
};

const struct command command_waive = {
	"waive",
	"[--all] [PATH|ID]... MIGID",
	"accept the loss of what is in error",
	"Accepts the loss of what is named, as for 'retry': the background tries it no more, and 'finish' goes ahead without it\n"
	"and lists it. Applications still get the error, and it is still fixed when it comes over after all.\n"
	"At finish a file that no application has changed is removed from the target; one that was changed is kept, and what of\n"
	"it is missing is listed. 'retry' takes it back.\n\n"
	"  --all                everything that is retrying or waiting\n",
	run_waive,
};
