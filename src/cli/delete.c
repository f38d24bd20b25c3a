/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dmmfs-admin delete: a migration that is not to be finished, or of which only the entry is left.
 *
 * What is lost by it is told before, and -f says that it is meant. The work is done by the daemon's program, which knows the state
 * and the target; this command halts the migration first, and prints what was done.
 */
#include "base/size.h"
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

struct deletion {
	bool force, remove;
	struct leave leave;
};

/* --- a daemon that runs ------------------------------------------------------------------------------------------------------- */

static int refuse_running(struct cli *cli, const struct migration *migration, const json_t *figures)
{
	char files[FORMAT_BYTES], bytes[FORMAT_BYTES], dirs[FORMAT_BYTES];
	return cli_fail(cli, CLI_REFUSED, EBUSY,
	                "migration %u is running: %s files (%s) and the entries of %s directories have not come over; "
	                "'dmmfs-admin halt %u' halts it, -f halts it and deletes it without them",
	                migration->migid, format_count(member_count(figures, "files_pending"), files),
	                size_format(member_count(figures, "bytes_pending"), bytes, sizeof(bytes)),
	                format_count(member_count(figures, "dirs_pending"), dirs), migration->migid);
}

static int halt_first(struct cli *cli, const struct migration *migration, const struct deletion *deletion)
{
	json_t *figures = figures_get(cli, migration);
	bool was_running, runs = strcmp(member_text(figures, "daemon"), "none") != 0;
	int code = runs && !deletion->force ? refuse_running(cli, migration, figures) : CLI_OK;
	json_decref(figures);
	return code ? code : halt_migration(cli, migration, &deletion->leave, &was_running);
}

/* --- what was done ------------------------------------------------------------------------------------------------------------ */

static const char *count_of(const json_t *report, const char *key, char *buf)
{
	return format_count(member_count(report, key), buf);
}

static const char *bytes_of(const json_t *report, const char *key, char *buf)
{
	return size_format(member_count(report, key), buf, FORMAT_BYTES);
}

static void print_changed(const json_t *report)
{
	const json_t *changed = json_object_get(report, "changed");
	char count[FORMAT_BYTES], bytes[FORMAT_BYTES];
	if (json_array_size(changed) == 0)
		return;
	printf("These files were changed on the target before all of their data had come over. They stay; what they lack reads "
	       "as "
	       "zeros (%s files, %s):\n",
	       count_of(report, "files_changed", count), bytes_of(report, "bytes_changed", bytes));
	for (size_t i = 0; i < json_array_size(changed); i++) {
		char *path = member_name(json_array_get(changed, i), "path");
		printf("  %s lacks %s\n", path, bytes_of(json_array_get(changed, i), "bytes_absent", bytes));
		free(path);
	}
}

static void print_report(const json_t *report)
{
	char files[FORMAT_BYTES], dirs[FORMAT_BYTES], bytes[FORMAT_BYTES], *target = member_name(report, "target");
	const char *data = member_text(report, "data");
	printf("Migration %u is deleted.\n", (unsigned)member_count(report, "migid"));
	if (strcmp(data, "untouched") == 0)
		printf("Its entry is gone; nothing in %s was touched.\n", target);
	else if (strcmp(data, "removed") == 0)
		printf("All that was below %s is removed: %s files, %s directories, %s.\n", target,
		       count_of(report, "files_removed", files), count_of(report, "dirs_removed", dirs),
		       bytes_of(report, "bytes_removed", bytes));
	else
		printf("What is whole stays in %s. Not there: %s files that lacked %s of their data, and the entries of %s "
		       "directories.\n",
		       target, count_of(report, "files_absent", files), bytes_of(report, "bytes_absent", bytes),
		       count_of(report, "dirs_absent", dirs));
	print_changed(report);
	free(target);
}

static enum exit_code code_of(const char *error)
{
	static const char *const refusals[] = {"EINPROGRESS", "EPERM", "EBUSY"};
	for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++)
		if (strcmp(error, refusals[i]) == 0)
			return CLI_REFUSED;
	return CLI_FAILED;
}

static int take_report(struct cli *cli, const struct ran *ran)
{
	json_t *report = json_loads(ran->output, 0, NULL);
	int code = CLI_OK;
	if (!report || (ran->status != 0 && !*member_text(report, "error"))) {
		code = cli_fail(cli, CLI_FAILED, EIO, "%s; repeat the command to go on", ran->message);
	} else if (!member_true(report, "ok")) {
		char *message = NULL;
		bytes_get(report, "message", &message);
		code = cli_fail(cli, code_of(member_text(report, "error")), figures_errno(member_text(report, "error")), "%s",
		                message ? message : "");
		free(message);
	} else if (cli->json) {
		print_json(report);
	} else {
		print_report(report);
	}
	json_decref(report);
	return code;
}

/* --- the command -------------------------------------------------------------------------------------------------------------- */

static int delete (struct cli *cli, const struct migration *migration, const struct deletion *deletion)
{
	char migid[16];
	struct ran ran;
	int code = strcmp(migration->state, "complete") == 0 ? CLI_OK : halt_first(cli, migration, deletion);
	if (code)
		return code;
	snprintf(migid, sizeof(migid), "%u", migration->migid);
	run_daemon(cli,
	           (const char *const[]){"--delete", deletion->remove ? "remove" : "keep", "--migid", migid,
	                                 deletion->force ? "--force" : NULL, NULL},
	           &ran);
	code = take_report(cli, &ran);
	ran_free(&ran);
	if (code == CLI_OK && run_by_systemd(cli)) {
		run_systemctl("disable", migration->migid, &ran);
		ran_free(&ran);
	}
	return code;
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {{"force", no_argument, NULL, 'f'},
	                                        {"keep", no_argument, NULL, 'k'},
	                                        {"remove", no_argument, NULL, 'r'},
	                                        {"wait", required_argument, NULL, 'w'},
	                                        CLI_OPTIONS};
	struct deletion deletion = {0};
	struct migrations migrations;
	bool keep = false;
	int option;
	while ((option = getopt_long(argc, argv, "f" CLI_LETTERS, options, NULL)) != -1) {
		if (option == 'f')
			deletion.force = true;
		else if (option == 'k')
			keep = true;
		else if (option == 'r')
			deletion.remove = true;
		else if (option == 'w' ? !cli_seconds(cli, "--wait", optarg, 0, &deletion.leave.wait_s)
		                       : !cli_option(cli, &command_delete, option))
			return cli->status;
	}
	if (keep && deletion.remove)
		return cli_misused(cli, &command_delete, "--keep and --remove exclude each other");
	if (!cli_arguments(cli, &command_delete, argc - optind, 1, 1))
		return cli->status;
	int code = migrations_load(cli, &migrations);
	if (code)
		return code;
	const struct migration *migration = migrations_meant(cli, &migrations, argv[optind]);
	code = migration ? delete (cli, migration, &deletion) : cli->status;
	migrations_free(&migrations);
	return code;
}

const struct command command_delete = {
	.name = "delete",
	.arguments = "[-f] [--keep | --remove] MIGID",
	.summary = "give it up; of a complete one forget the entry",
	.help = "Deletes a migration. Of one that is complete, or never ran, only the entry goes. Of another, what has come over "
                "whole\n"
		"stays; files of which data is missing are removed from the target, the source has them. Those that were changed "
                "on\n"
		"the target stay and are listed: what they lack reads as zeros. If it is cut off, repeat it.\n\n"
		"  -f, --force          also when it runs, when something has not come over, and for --remove\n"
		"  --keep               keep what has come over; the default\n"
		"  --remove             remove everything below the target, what applications made there too\n"
		"  --wait SECONDS       with -f: wait so long for open files to be closed\n",
	.run = run,
};
