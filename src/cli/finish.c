/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dmmfs-admin finish: ends a migration of which everything has come over.
 *
 * The daemon's yes means that the mount is gone; then it still takes its state away and notes the end in the database. This
 * command returns when that is done, so that what comes after it in a script finds a plain tree.
 */
#include "base/clock.h"
#include "cli/figures.h"
#include "cli/format.h"
#include "cli/leave.h"
#include "cli/memory.h"
#include "cli/print.h"
#include "wire/bytes.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define AFTER_TIMEOUT_S 120
#define LOOK_US 50000

/* What was waived and what became of it, as the daemon noted it at the end: an array. */
static json_t *read_waived(struct cli *cli, uint32_t migid)
{
	struct migrations migrations;
	char digits[16];
	json_t *waived = NULL;
	if (migrations_load(cli, &migrations))
		return memory_must(json_array());
	snprintf(digits, sizeof(digits), "%u", migid);
	const struct migration *migration = migrations_meant(cli, &migrations, digits);
	if (migration)
		waived = json_loads(migration->waived, JSON_REJECT_DUPLICATES, NULL);
	migrations_free(&migrations);
	return json_is_array(waived) ? waived : memory_must(json_array());
}

/* Losses and drift kept nothing from coming over: their number is enough. */
static void print_waived(const json_t *waived)
{
	static const char *const heads[] = {"WAIVED", "ERROR", ""};
	struct table *table = table_new(3, heads, "lll");
	size_t rows = 0, total = json_array_size(waived);
	for (size_t i = 0; i < total; i++) {
		const json_t *entry = json_array_get(waived, i);
		const char *kind = member_text(entry, "kind");
		if (strcmp(kind, "loss") == 0 || strcmp(kind, "drift") == 0)
			continue;
		char *path = member_name(entry, "path"), *detail = member_name(entry, "detail");
		table_row(table);
		table_set(table, 0, path);
		table_set(table, 1, member_text(entry, "error"));
		table_set(table, 2, detail);
		rows++;
		free(path);
		free(detail);
	}
	if (rows)
		table_print(table, stdout);
	table_free(table);
	if (total > rows)
		printf("Besides, %zu thing%s %s skipped, or could not be carried, or changed at the source: 'dmmfs-admin report' "
		       "tells of %s.\n",
		       total - rows, total - rows == 1 ? "" : "s", total - rows == 1 ? "was" : "were",
		       total - rows == 1 ? "it" : "them");
}

/* The state of the migration in the database. Newly allocated; NULL after a message. */
static char *read_state(struct cli *cli, uint32_t migid)
{
	struct migrations migrations;
	char digits[16], *state = NULL;
	if (migrations_load(cli, &migrations))
		return NULL;
	snprintf(digits, sizeof(digits), "%u", migid);
	const struct migration *migration = migrations_meant(cli, &migrations, digits);
	if (migration)
		state = memory_must(strdup(migration->state));
	migrations_free(&migrations);
	return state;
}

/* Until the daemon has noted the end. */
static int wait_for_end(struct cli *cli, uint32_t migid)
{
	uint64_t deadline_ns = clock_monotonic_ns() + AFTER_TIMEOUT_S * NS_PER_S;
	for (;;) {
		char *state = read_state(cli, migid);
		if (!state)
			return CLI_FAILED;
		bool complete = strcmp(state, "complete") == 0, failed = strcmp(state, "failed") == 0;
		free(state);
		if (complete)
			return CLI_OK;
		if (failed)
			return cli_fail(cli, CLI_FAILED, EIO, "migration %u has failed while it ended: see its log", migid);
		if (clock_monotonic_ns() >= deadline_ns)
			return cli_fail(cli, CLI_SILENT, ETIMEDOUT,
			                "the mount of migration %u is gone, but its daemon does not come to an end: see its log",
			                migid);
		usleep(LOOK_US);
	}
}

static void print_success(struct cli *cli, const struct migration *migration, const struct leave *finish)
{
	char *target = format_name(migration->target);
	const char *state = finish->lazy ? "detached" : "complete";
	json_t *waived = finish->lazy ? memory_must(json_array()) : read_waived(cli, migration->migid);
	if (cli->json) {
		json_t *object =
			memory_must(json_pack("{s:b, s:I, s:s}", "ok", 1, "migid", (json_int_t)migration->migid, "state", state));
		bytes_set(object, "target", migration->target);
		json_object_set(object, "waived", waived);
		print_json(object);
		json_decref(object);
	} else if (finish->lazy) {
		printf("Migration %u is detached from its mount point; what is open goes on, the rest happens when it is "
		       "closed.\n",
		       migration->migid);
	} else {
		printf("Migration %u is complete: %s is a plain tree.\n", migration->migid, target);
		print_waived(waived);
	}
	json_decref(waived);
	free(target);
}

static int finish_migration(struct cli *cli, const struct migration *migration, const struct leave *finish)
{
	if (strcmp(migration->state, "complete") == 0) {
		print_success(cli, migration, &(struct leave){.lazy = false});
		return CLI_OK;
	}
	int code = leave_ask(cli, migration, "finish", finish);
	if (code)
		return code;
	code = finish->lazy ? CLI_OK : wait_for_end(cli, migration->migid);
	if (code == CLI_OK)
		print_success(cli, migration, finish);
	return code;
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {
		{"lazy", no_argument, NULL, 'l'}, {"wait", required_argument, NULL, 'w'}, CLI_OPTIONS};
	struct leave finish = {0};
	struct migrations migrations;
	int option;
	while ((option = getopt_long(argc, argv, CLI_LETTERS, options, NULL)) != -1) {
		if (option == 'l')
			finish.lazy = true;
		else if (option == 'w' ? !cli_seconds(cli, "--wait", optarg, 0, &finish.wait_s)
		                       : !cli_option(cli, &command_finish, option))
			return cli->status;
	}
	if (!cli_arguments(cli, &command_finish, argc - optind, 1, 1))
		return cli->status;
	int code = migrations_load(cli, &migrations);
	if (code)
		return code;
	const struct migration *migration = migrations_meant(cli, &migrations, argv[optind]);
	code = migration ? finish_migration(cli, migration, &finish) : cli->status;
	migrations_free(&migrations);
	return code;
}

const struct command command_finish = {
	"finish",
	"[--lazy] [--wait SECONDS] MIGID",
	"end it: unmount, take all traces away",
	"Ends a migration when everything has come over: unmounts, removes its state, leaves a plain tree. What is waived is\n"
	"not waited for; what becomes of it is listed. Refuses with\n"
	"exit status 4 while something is pending or in error, or while files are open on the mount; says who has them open.\n\n"
	"  --lazy               detach at once, whatever is open; what is open goes on working\n"
	"  --wait SECONDS       wait so long for open files to be closed\n",
	run,
};
