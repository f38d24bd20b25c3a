/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Asking a daemon to leave its mount.
 */
#include "cli/leave.h"

#include "cli/figures.h"
#include "cli/format.h"
#include "cli/memory.h"
#include "cli/print.h"
#include "wire/bytes.h"

#include <errno.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ANSWER_TIMEOUT_S 600 /* beside the time to wait: checking that all is there may take */

/* Whoever calls us from below the mount holds it, and will not think of it. */
static bool is_our_shell(const json_t *holder)
{
	return member_count(holder, "pid") == (uint64_t)getppid();
}

static void print_holders(const json_t *holders)
{
	static const char *const heads[] = {"PID", "COMMAND", "OPEN FILE"};
	struct table *table = table_new(3, heads, "rll");
	for (size_t i = 0; i < json_array_size(holders); i++) {
		const json_t *holder = json_array_get(holders, i);
		char pid[16], *command = member_name(holder, "command"), *path = member_name(holder, "path");
		snprintf(pid, sizeof(pid), "%u", (unsigned)member_count(holder, "pid"));
		table_row(table);
		table_set(table, 0, pid);
		table_set(table, 1, command);
		table_set(table, 2, path);
		free(command);
		free(path);
	}
	table_print(table, stderr);
	table_free(table);
}

/* The holders go with the object that cli_fail() would print, so this prints its own. */
static int fail_busy(const struct cli *cli, json_t *reply)
{
	char *message = member_name(reply, "message");
	const json_t *holders = json_object_get(reply, "holders");
	fprintf(stderr, "dmmfs-admin: %s\n", message);
	for (size_t i = 0; i < json_array_size(holders); i++)
		if (is_our_shell(json_array_get(holders, i)))
			fprintf(stderr,
			        "dmmfs-admin: process %u is the one that called this command: leave the mount (cd /) and "
			        "call it again\n",
			        (unsigned)getppid());
	if (cli->json) {
		json_object_set_new(reply, "exit", json_integer(CLI_REFUSED));
		print_json(reply);
	} else if (json_array_size(holders) > 0) {
		print_holders(holders);
	}
	free(message);
	json_decref(reply);
	return CLI_REFUSED;
}

int leave_ask(struct cli *cli, const struct migration *migration, const char *op, const struct leave *leave)
{
	json_t *reply,
		*request = json_pack("{s:s, s:b, s:I}", "op", op, "lazy", leave->lazy, "wait_s", (json_int_t)leave->wait_s);
	if (chdir("/") < 0)
		return cli_fail(cli, CLI_FAILED, errno, "the directory that this command stands in can not be left");
	int error = daemon_ask(cli, migration->migid, request, leave->wait_s + ANSWER_TIMEOUT_S, &reply);
	if (error == -EBUSY && reply)
		return fail_busy(cli, reply);
	if (error)
		return daemon_fail(cli, migration->migid, error, reply);
	json_decref(reply);
	return CLI_OK;
}

json_t *leave_result(const struct migration *migration, const char *state)
{
	json_t *object =
		memory_must(json_pack("{s:b, s:I, s:s}", "ok", 1, "migid", (json_int_t)migration->migid, "state", state));
	bytes_set(object, "target", migration->target);
	return object;
}

bool leave_is_mounted(const struct migration *migration)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	bool found = false;
	for (struct mntent *mount; mounts && (mount = getmntent(mounts));)
		if (strcmp(mount->mnt_dir, migration->mountpoint) == 0)
			found = strcmp(mount->mnt_type, "fuse.dmmfs") == 0;
	if (mounts)
		endmntent(mounts);
	return found;
}
