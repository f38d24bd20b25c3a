/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dmmfs-admin upgrade: the daemon of a migration is replaced by the program that is installed now; applications go on.
 */
#include "cli/figures.h"
#include "cli/leave.h"
#include "cli/print.h"
#include "cli/run.h"
#include "wire/bytes.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ANSWER_TIMEOUT_S 30
#define SERVES_TIMEOUT_S 300
#define LOOK_US 20000

static int ask(struct cli *cli, const struct migration *migration, bool begin, json_t **reply)
{
	return daemon_ask(cli, migration->migid, json_pack("{s:s, s:b}", "op", "upgrade", "begin", begin), ANSWER_TIMEOUT_S,
	                  reply);
}

/* The keeper, which is the same process all the time. -1: it is not to be seen from here, or there is no such call. */
static int watch_keeper(const json_t *status)
{
	pid_t pid = (pid_t)member_count(status, "keeper");
	char path[32], name[16] = "";
	int fd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	FILE *comm = fd < 0 ? NULL : fopen(path, "re");
	/* Another one may have the number where we are. */
	bool known = comm && fgets(name, sizeof(name), comm) && strcmp(name, "dmmfs-keeper\n") == 0;
	if (comm)
		fclose(comm);
	if (!known)
		cleanup_close(&fd);
	return fd;
}

/* Nobody is there any more who would start another process: the migration was halted meanwhile, or given up. Under a service manager
 * that keeps a mount without a keeper another keeper may come. */
static bool is_over(const struct cli *cli, const struct migration *migration, int keeper)
{
	struct pollfd end = {.fd = keeper, .events = POLLIN};
	return keeper >= 0 && poll(&end, 1, 0) > 0 && (!run_by_systemd(cli) || !leave_is_mounted(migration));
}

/* Until another process answers. While none does the socket is dead, or not there. -ECANCELED: none will. */
static int await(struct cli *cli, const struct migration *migration, uint64_t before, int keeper, json_t **reply)
{
	uint64_t end = clock_monotonic_ns() + SERVES_TIMEOUT_S * NS_PER_S;
	int error;
	do {
		usleep(LOOK_US);
		bool over = is_over(cli, migration, keeper); /* looked at first: who served until then has answered */
		error = ask(cli, migration, false, reply);
		if (error == 0 && member_count(json_object_get(*reply, "upgrade"), "takeovers") > before)
			return 0;
		json_decref(*reply);
		*reply = NULL;
		if (over)
			return -ECANCELED;
	} while (clock_monotonic_ns() < end);
	return error ? error : -ETIMEDOUT;
}

static int fail(struct cli *cli, uint32_t migid, int error)
{
	if (error == -ECANCELED)
		return cli_fail(
			cli, CLI_SILENT, error,
			"migration %u was stopped before a new daemon served it, or was given up: 'dmmfs-admin start %u' goes "
			"on where it was, and 'dmmfs-admin log %u' tells what happened",
			migid, migid, migid);
	return cli_fail(cli, CLI_FAILED, error,
	                "the daemon of migration %u has given way, but no new one serves yet; applications wait for it. Its log "
	                "tells why: dmmfs-admin log %u, or the system's",
	                migid, migid);
}

static void print_success(const struct cli *cli, const struct migration *migration, const json_t *status)
{
	const char *version = member_text(status, "version");
	if (cli->json) {
		json_t *object = leave_result(migration, "running");
		json_object_set_new(object, "version", json_string(version));
		json_object_set_new(object, "pid", json_integer((json_int_t)member_count(status, "pid")));
		json_object_set_new(object, "pause_ms", json_integer((json_int_t)member_count(status, "pause_ms")));
		print_json(object);
		json_decref(object);
	} else {
		printf("Migration %u is served by dmmfs %s, process %u. Nobody served for %u ms.\n", migration->migid, version,
		       (unsigned)member_count(status, "pid"), (unsigned)member_count(status, "pause_ms"));
	}
}

static int upgrade(struct cli *cli, const struct migration *migration)
{
	json_t *reply = NULL;
	int error = ask(cli, migration, false, &reply);
	if (error)
		return daemon_fail(cli, migration->migid, error, reply);
	CLEAN_FD int keeper = watch_keeper(json_object_get(reply, "upgrade")); /* before it can end */
	json_decref(reply);
	error = ask(cli, migration, true, &reply);
	if (error)
		return daemon_fail(cli, migration->migid, error, reply);
	uint64_t before = member_count(json_object_get(reply, "upgrade"), "takeovers");
	json_decref(reply);
	error = await(cli, migration, before, keeper, &reply);
	if (error)
		return fail(cli, migration->migid, error);
	print_success(cli, migration, json_object_get(reply, "upgrade"));
	json_decref(reply);
	return CLI_OK;
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {CLI_OPTIONS};
	struct migrations migrations;
	int option;
	while ((option = getopt_long(argc, argv, CLI_LETTERS, options, NULL)) != -1)
		if (!cli_option(cli, &command_upgrade, option))
			return cli->status;
	if (!cli_arguments(cli, &command_upgrade, argc - optind, 1, 1))
		return cli->status;
	int code = migrations_load(cli, &migrations);
	if (code)
		return code;
	const struct migration *migration = migrations_meant(cli, &migrations, argv[optind]);
	code = migration ? upgrade(cli, migration) : cli->status;
	migrations_free(&migrations);
	return code;
}

const struct command command_upgrade = {
	.name = "upgrade",
	.arguments = "MIGID",
	.summary = "replace its daemon by the installed one",
	.help = "The daemon of a migration gives way to the program that is installed now. The mount stays, what is open stays open, and\n"
		"what applications ask for meanwhile waits for some milliseconds. Returns when the new daemon serves. Refuses, and\n"
		"changes nothing, when that program can not be started or can not go on from where this one is.\n",
	.run = run,
};
