/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dmmfs-admin upgrade: the daemon of a migration is replaced by the program that is installed now; applications go on.
 */
#include "cli/figures.h"
#include "cli/leave.h"
#include "cli/print.h"
#include "wire/bytes.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define ANSWER_TIMEOUT_S 30
#define SERVES_TIMEOUT_S 300
#define LOOK_US 20000

static int ask(struct cli *cli, const struct migration *migration, bool begin, json_t **reply)
{
	return daemon_ask(cli, migration->migid, json_pack("{s:s, s:b}", "op", "upgrade", "begin", begin), ANSWER_TIMEOUT_S,
	                  reply);
}

/* Until another process answers. While none does the socket is dead, or not there. */
static int await(struct cli *cli, const struct migration *migration, uint64_t before, json_t **reply)
{
	uint64_t end = clock_monotonic_ns() + SERVES_TIMEOUT_S * NS_PER_S;
	int error;
	do {
		usleep(LOOK_US);
		error = ask(cli, migration, false, reply);
		if (error == 0 && member_count(json_object_get(*reply, "upgrade"), "takeovers") > before)
			return 0;
		json_decref(*reply);
		*reply = NULL;
	} while (clock_monotonic_ns() < end);
	return error ? error : -ETIMEDOUT;
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
	int error = ask(cli, migration, true, &reply);
	if (error)
		return daemon_fail(cli, migration->migid, error, reply);
	uint64_t before = member_count(json_object_get(reply, "upgrade"), "takeovers");
	json_decref(reply);
	error = await(cli, migration, before, &reply);
	if (error)
		return cli_fail(cli, CLI_FAILED, error,
		                "the daemon of migration %u has given way, but no new one serves yet; applications wait for it. Its "
		                "log tells why: dmmfs-admin log %u, or the system's",
		                migration->migid, migration->migid);
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
