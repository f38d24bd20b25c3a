/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dmmfs-admin start: a daemon serves a migration. Through the service manager where there is one, otherwise by itself.
 *
 * Two that start one migration at once both succeed, and there is one daemon: the state belongs to one at a time.
 */
#include "base/clock.h"
#include "cli/figures.h"
#include "cli/format.h"
#include "cli/leave.h"
#include "cli/memory.h"
#include "cli/print.h"
#include "cli/run.h"
#include "wire/bytes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define OTHER_START_S 10 /* from its mount to its socket */
#define LOOK_US 100000

static bool is_served(struct cli *cli, const struct migration *migration)
{
	json_t *reply;
	int error = daemon_ask(cli, migration->migid, json_pack("{s:s}", "op", "stat"), 10, &reply);
	json_decref(reply);
	return error == 0;
}

/* Our start failed because another one was faster, and that one is not answering yet. */
static bool other_start_serves(struct cli *cli, const struct migration *migration)
{
	uint64_t deadline_ns = clock_monotonic_ns() + OTHER_START_S * NS_PER_S;
	while (leave_is_mounted(migration) && clock_monotonic_ns() < deadline_ns) {
		if (is_served(cli, migration))
			return true;
		usleep(LOOK_US);
	}
	return false;
}

static int start_unit(struct cli *cli, const struct migration *migration)
{
	struct ran ran;
	run_systemctl("start", migration->migid, &ran);
	int code = CLI_OK;
	if (ran.status != 0)
		code = cli_fail(cli, CLI_FAILED, EIO,
		                "migration %u does not start: 'systemctl status dmmfs@%u' and 'journalctl -u dmmfs@%u' tell why",
		                migration->migid, migration->migid, migration->migid);
	ran_free(&ran);
	return code;
}

static int start_daemon(struct cli *cli, const struct migration *migration)
{
	char migid[16];
	struct ran ran;
	int code = CLI_OK;
	snprintf(migid, sizeof(migid), "%u", migration->migid);
	run_daemon(cli, (const char *const[]){"--migid", migid, NULL}, &ran);
	if (ran.status != 0 && !other_start_serves(cli, migration))
		code = cli_fail(cli, CLI_FAILED, EIO, "migration %u does not start: %s", migration->migid, ran.message);
	else if (ran.status == 0 && *ran.message)
		fprintf(stderr, "dmmfs-admin: %s\n", ran.message);
	ran_free(&ran);
	return code;
}

int start_migration(struct cli *cli, const struct migration *migration, bool *was_running)
{
	*was_running = false;
	if (strcmp(migration->state, "complete") == 0)
		return cli_fail(cli, CLI_REFUSED, EINVAL, "migration %u is complete: there is nothing to start",
		                migration->migid);
	if (strcmp(migration->state, "deleting") == 0)
		return cli_fail(cli, CLI_REFUSED, EINPROGRESS,
		                "migration %u is being deleted, and that was cut off: 'dmmfs-admin delete' completes it",
		                migration->migid);
	*was_running = is_served(cli, migration);
	if (*was_running)
		return CLI_OK;
	return run_by_systemd(cli) ? start_unit(cli, migration) : start_daemon(cli, migration);
}

/* As it is now; a finish that was cut off is completed by a start. */
static void print_success(struct cli *cli, const struct migration *migration, bool was_running)
{
	json_t *figures = figures_get(cli, migration);
	char *mountpoint = format_name(migration->mountpoint);
	const char *state = member_text(figures, "state");
	if (cli->json) {
		json_t *object = leave_result(migration, state);
		json_object_set_new(object, "was_running", json_boolean(was_running));
		print_json(object);
		json_decref(object);
	} else if (strcmp(member_text(figures, "daemon"), "running") != 0) {
		printf("Migration %u is %s.\n", migration->migid, state);
	} else {
		printf("Migration %u %s: %s can be used%s.\n", migration->migid, was_running ? "runs already" : "runs", mountpoint,
		       strcmp(state, "paused") == 0 ? ", its work in the background is paused" : "");
	}
	free(mountpoint);
	json_decref(figures);
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {CLI_OPTIONS};
	struct migrations migrations;
	bool was_running;
	int option;
	while ((option = getopt_long(argc, argv, CLI_LETTERS, options, NULL)) != -1)
		if (!cli_option(cli, &command_start, option))
			return cli->status;
	if (!cli_arguments(cli, &command_start, argc - optind, 1, 1))
		return cli->status;
	int code = migrations_load(cli, &migrations);
	if (code)
		return code;
	const struct migration *migration = migrations_meant(cli, &migrations, argv[optind]);
	code = migration ? start_migration(cli, migration, &was_running) : cli->status;
	if (code == CLI_OK)
		print_success(cli, migration, was_running);
	migrations_free(&migrations);
	return code;
}

const struct command command_start = {
	.name = "start",
	.arguments = "MIGID",
	.summary = "mount it and go on",
	.help = "Mounts a migration that is halted or was just created, and returns when it can be used. Where systemd runs, its "
                "unit\n"
		"dmmfs@MIGID.service does it. Starting one that runs is no error.\n\n",
	.run = run,
};
