/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dmmfs-admin halt: a migration goes out of memory; on disk it stays as it is.
 *
 * The daemon is asked, not the service manager, since it refuses while files are open and says who has them; a unit ends with it
 * and is not started again. The manager is told as well, for a daemon that died and is about to be started anew.
 */
#include "cli/figures.h"
#include "cli/format.h"
#include "cli/leave.h"
#include "cli/memory.h"
#include "cli/print.h"
#include "cli/run.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <unistd.h>

#define SERVES_TIMEOUT_S 60
#define LOOK_US 20000

/* A daemon that was killed leaves its mount, in which everything fails. Where its keeper is about to start another one the look waits for
 * that: then the mount lives. */
static int detach_dead_mount(struct cli *cli, const struct migration *migration, bool *lives)
{
	struct statfs st;
	const char *path = migration->mountpoint;
	*lives = false;
	if (!leave_is_mounted(migration))
		return CLI_OK;
	*lives = statfs(path, &st) == 0 || errno != ENOTCONN;
	if (!*lives && umount2(path, MNT_DETACH) < 0)
		return cli_fail(cli, CLI_FAILED, errno, "the dead mount at %s can not be detached: %s", path, strerror(errno));
	return CLI_OK;
}

static bool daemon_runs(struct cli *cli, const struct migration *migration)
{
	json_t *figures = figures_get(cli, migration);
	bool runs = strcmp(member_text(figures, "daemon"), "none") != 0;
	json_decref(figures);
	return runs;
}

static int halt_once(struct cli *cli, const struct migration *migration, const struct leave *leave, bool *was_running,
                     bool *lives)
{
	struct ran ran;
	*lives = false;
	*was_running = daemon_runs(cli, migration);
	int code = *was_running ? leave_ask(cli, migration, "halt", leave) : CLI_OK;
	if (code)
		return code;
	if (run_by_systemd(cli)) {
		run_systemctl("stop", migration->migid, &ran);
		ran_free(&ran);
	}
	return detach_dead_mount(cli, migration, lives);
}

/* Is it between two daemons? One that ended in order has noted that it did. */
static bool goes_on(const struct migration *migration, bool was_running, bool lives)
{
	return !was_running && lives && strcmp(migration->state, "running") == 0;
}

int halt_migration(struct cli *cli, const struct migration *migration, const struct leave *leave, bool *was_running)
{
	uint64_t end = clock_monotonic_ns() + SERVES_TIMEOUT_S * NS_PER_S;
	bool lives;
	int code = halt_once(cli, migration, leave, was_running, &lives);
	while (code == CLI_OK && goes_on(migration, *was_running, lives) && clock_monotonic_ns() < end) {
		usleep(LOOK_US);
		code = halt_once(cli, migration, leave, was_running, &lives);
	}
	if (code == CLI_OK && goes_on(migration, *was_running, lives))
		return cli_fail(
			cli, CLI_FAILED, ETIMEDOUT,
			"migration %u is still mounted at %s, but its daemon does not answer: 'dmmfs-admin log %u' tells why; "
			"unmount it, or call this again",
			migration->migid, migration->mountpoint, migration->migid);
	return code;
}

static void print_success(const struct cli *cli, const struct migration *migration, const struct leave *leave, bool was_running)
{
	const char *state = leave->lazy && was_running ? "detached" : "halted";
	char *mountpoint = format_name(migration->mountpoint);
	if (cli->json) {
		json_t *object = leave_result(migration, state);
		json_object_set_new(object, "was_running", json_boolean(was_running));
		print_json(object);
		json_decref(object);
	} else if (!was_running) {
		printf("Migration %u was halted already.\n", migration->migid);
	} else if (leave->lazy) {
		printf("Migration %u is detached from %s; what is open goes on, it halts when that is closed.\n",
		       migration->migid, mountpoint);
	} else {
		printf("Migration %u is halted, %s is unmounted. What lies there now is not whole: 'dmmfs-admin start %u' goes "
		       "on.\n",
		       migration->migid, mountpoint, migration->migid);
	}
	free(mountpoint);
}

static int halt(struct cli *cli, const struct migration *migration, const struct leave *leave)
{
	bool was_running;
	if (strcmp(migration->state, "complete") == 0)
		return cli_fail(cli, CLI_REFUSED, EINVAL, "migration %u is complete: nothing of it runs", migration->migid);
	int code = halt_migration(cli, migration, leave, &was_running);
	if (code == CLI_OK)
		print_success(cli, migration, leave, was_running);
	return code;
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {
		{"lazy", no_argument, NULL, 'l'}, {"wait", required_argument, NULL, 'w'}, CLI_OPTIONS};
	struct leave leave = {0};
	struct migrations migrations;
	int option;
	while ((option = getopt_long(argc, argv, CLI_LETTERS, options, NULL)) != -1) {
		if (option == 'l')
			leave.lazy = true;
		else if (option == 'w' ? !cli_seconds(cli, "--wait", optarg, 0, &leave.wait_s)
		                       : !cli_option(cli, &command_halt, option))
			return cli->status;
	}
	if (!cli_arguments(cli, &command_halt, argc - optind, 1, 1))
		return cli->status;
	int code = migrations_load(cli, &migrations);
	if (code)
		return code;
	const struct migration *migration = migrations_meant(cli, &migrations, argv[optind]);
	code = migration ? halt(cli, migration, &leave) : cli->status;
	migrations_free(&migrations);
	return code;
}

const struct command command_halt = {
	.name = "halt",
	.arguments = "[--lazy] [--wait SECONDS] MIGID",
	.summary = "unmount it and end its daemon; it stays on disk",
	.help = "Unmounts a migration and ends its daemon. On disk all stays as it is, and 'start' goes on there. Refuses with "
		"exit\n"
		"status 4 while files are open on the mount; says who has them open. What lies on the target meanwhile is not "
		"whole:\n"
		"nobody must use it.\n\n"
		"  --lazy               detach at once, whatever is open; what is open goes on working\n"
		"  --wait SECONDS       wait so long for open files to be closed\n",
	.run = run,
};
