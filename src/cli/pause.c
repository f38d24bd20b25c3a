/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dmmfs-admin pause, resume: the background of a migration stops and goes on, for applications all stays as it is.
 *
 * Without a daemon the setting is written that it heeds when it starts.
 */
#include "cli/figures.h"
#include "cli/leave.h"
#include "cli/print.h"
#include "state/config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ANSWER_TIMEOUT_S 30

static int set_in_database(struct cli *cli, uint32_t migid, bool pause)
{
	struct config *config;
	char why[1024] = "";
	const char *dir = cli->confdir ? cli->confdir : config_default_dir();
	int error = config_open(dir, 0, &config, why, sizeof(why));
	if (error)
		return cli_fail(cli, CLI_FAILED, error, "%s", *why ? why : strerror(-error));
	error = config_set(config, migid, "paused", pause ? "on" : NULL);
	config_close(config);
	if (error)
		return cli_fail(cli, CLI_FAILED, error, "the configuration database in %s can not be written: %s", dir,
		                strerror(-error));
	return CLI_OK;
}

static int set(struct cli *cli, const struct migration *migration, bool pause, bool *running)
{
	json_t *reply;
	int error =
		daemon_ask(cli, migration->migid, json_pack("{s:s}", "op", pause ? "pause" : "resume"), ANSWER_TIMEOUT_S, &reply);
	*running = error == 0;
	if (error && !reply && daemon_is_absent(error))
		return set_in_database(cli, migration->migid, pause);
	if (error)
		return daemon_fail(cli, migration->migid, error, reply);
	json_decref(reply);
	return CLI_OK;
}

static void print_success(const struct cli *cli, const struct migration *migration, bool pause, bool running)
{
	if (cli->json) {
		json_t *object = leave_result(migration, !running ? "halted" : pause ? "paused" : "running");
		json_object_set_new(object, "paused", json_boolean(pause));
		print_json(object);
		json_decref(object);
	} else if (running) {
		printf(pause ? "Migration %u is paused: what applications ask for still comes over, nothing else does.\n"
		             : "Migration %u goes on in the background.\n",
		       migration->migid);
	} else {
		printf(pause ? "Migration %u is halted; it will be paused when it starts.\n"
		             : "Migration %u is halted; it will work in the background when it starts.\n",
		       migration->migid);
	}
}

static int run(struct cli *cli, int argc, char **argv, const struct command *command, bool pause)
{
	static const struct option options[] = {CLI_OPTIONS};
	struct migrations migrations;
	bool running;
	int option;
	while ((option = getopt_long(argc, argv, CLI_LETTERS, options, NULL)) != -1)
		if (!cli_option(cli, command, option))
			return cli->status;
	if (!cli_arguments(cli, command, argc - optind, 1, 1))
		return cli->status;
	int code = migrations_load(cli, &migrations);
	if (code)
		return code;
	const struct migration *migration = migrations_meant(cli, &migrations, argv[optind]);
	if (!migration)
		code = cli->status;
	else if (strcmp(migration->state, "complete") == 0)
		code = cli_fail(cli, CLI_REFUSED, EINVAL, "migration %u is complete: nothing of it runs", migration->migid);
	else if ((code = set(cli, migration, pause, &running)) == CLI_OK)
		print_success(cli, migration, pause, running);
	migrations_free(&migrations);
	return code;
}

static int run_pause(struct cli *cli, int argc, char **argv)
{
	return run(cli, argc, argv, &command_pause, true);
}

static int run_resume(struct cli *cli, int argc, char **argv)
{
	return run(cli, argc, argv, &command_resume, false);
}

const struct command command_pause = {
	.name = "pause",
	.arguments = "MIGID",
	.summary = "stop its work in the background",
	.help = "Stops the work of a migration in the background, also over restarts, until 'resume'. For applications all stays "
                "as it\n"
		"is: what they ask for comes over.\n\n",
	.run = run_pause,
};

const struct command command_resume = {
	.name = "resume",
	.arguments = "MIGID",
	.summary = "let it work in the background again",
	.help = "Ends a pause.\n\n",
	.run = run_resume,
};
