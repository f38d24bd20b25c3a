/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dmmfs-admin report: the custody record of a migration, as of now, or as it was when it was finished.
 */
#include "base/size.h"
#include "cli/figures.h"
#include "cli/format.h"
#include "cli/memory.h"
#include "cli/print.h"
#include "cli/verify.h"

#include <errno.h>
#include <string.h>

#define TIMEOUT_S 600 /* all digests are read */

static void print_text(const char *head, const json_t *report, const char *key)
{
	char *text = member_name(report, key);
	if (*text)
		printf("%-12s %s\n", head, text);
	free(text);
}

static void print_time(const char *head, const json_t *report, const char *key)
{
	char text[FORMAT_BYTES];
	uint64_t when = member_count(report, key);
	if (when)
		printf("%-12s %s\n", head, format_time((int64_t)when, text));
}

static void print_identity(const json_t *report)
{
	printf("Migration %u: %s\n\n", (unsigned)member_count(report, "migid"), member_text(report, "state"));
	print_text("Source", report, "source");
	print_text("Target", report, "target");
	print_text("Mount point", report, "mountpoint");
	print_text("Uuid", report, "uuid");
	print_text("Machine", report, "machine");
	print_text("Dmmfs", report, "version");
	print_time("Created", report, "created");
	print_time("Started", report, "started");
	print_time("All here", report, "completed");
	print_time("Finished", report, "finished");
	print_time("Written", report, "written");
	putchar('\n');
}

static void add_counts(struct table *table, const json_t *totals, const char *head, const char *kind)
{
	static const char *const columns[] = {"found", "migrated"};
	table_row(table);
	table_set(table, 0, head);
	for (size_t i = 0; i < 2; i++) {
		char key[32], text[FORMAT_BYTES];
		snprintf(key, sizeof(key), "%s_%s", kind, columns[i]);
		uint64_t count = member_count(totals, key);
		bool bytes = strcmp(kind, "bytes") == 0;
		table_set(table, i + 1, bytes ? size_format(count, text, sizeof(text)) : format_count(count, text));
	}
}

static void print_counts(const json_t *report)
{
	static const char *const heads[] = {"", "FOUND", "MIGRATED"};
	const json_t *totals = json_object_get(report, "totals"), *digests = json_object_get(report, "digests");
	char count[FORMAT_BYTES], size[FORMAT_BYTES];
	struct table *table = table_new(3, heads, "lrr");
	add_counts(table, totals, "Directories", "dirs");
	add_counts(table, totals, "Files", "files");
	add_counts(table, totals, "Data", "bytes");
	table_print(table, stdout);
	table_free(table);
	printf("\nDigests      of %s files, %s\n", format_count(member_count(digests, "files"), count),
	       size_format(member_count(digests, "bytes"), size, sizeof(size)));
	printf("Of them all  %s\n", member_text(digests, "digest"));
}

static void print_list(const json_t *report, const char *key, const char *head)
{
	const json_t *group = json_object_get(report, key), *listed = json_object_get(group, "listed");
	char text[FORMAT_BYTES];
	uint64_t count = member_count(group, "count");
	printf("%-12s %s\n", head, count ? format_count(count, text) : "none");
	for (size_t i = 0; i < json_array_size(listed); i++) {
		const json_t *entry = json_array_get(listed, i);
		char *path = member_name(entry, "path"), *detail = member_name(entry, "detail");
		printf("             %s: %s%s%s%s%s\n", member_text(entry, "what"), path, *detail ? ", " : "", detail,
		       *member_text(entry, "error") ? ", " : "", member_text(entry, "error"));
		free(path);
		free(detail);
	}
	if (count > json_array_size(listed) && json_array_size(listed))
		puts("             ...");
}

/* The single ones are among the losses. */
static void print_skipped(const json_t *report)
{
	char text[FORMAT_BYTES];
	uint64_t count = member_count(json_object_get(report, "totals"), "skipped");
	printf("%-12s %s%s\n", "Skipped", count ? format_count(count, text) : "none",
	       !count       ? ""
	       : count == 1 ? " name, by the order"
	                    : " names, by the order");
}

static void print_report(const json_t *report)
{
	const json_t *verify = json_object_get(report, "verify");
	char when[FORMAT_BYTES];
	print_identity(report);
	print_counts(report);
	putchar('\n');
	print_list(report, "errors", "Errors");
	print_list(report, "waivers", "Waived");
	print_skipped(report);
	print_list(report, "losses", "Losses");
	print_list(report, "drift", "Drift");
	print_list(report, "fixed", "Fixed");
	if (!json_is_object(verify)) {
		puts("\nNot verified.");
		return;
	}
	printf("\nVerified: %s, %s\n", member_text(verify, "state"), format_time((int64_t)member_count(verify, "started"), when));
	verify_print(verify);
}

/* NULL after a message; cli->status is set. */
static json_t *fetch(struct cli *cli, const struct migration *migration)
{
	json_t *reply, *report;
	int error = daemon_ask(cli, migration->migid, json_pack("{s:s}", "op", "report"), TIMEOUT_S, &reply);
	if (error) {
		cli->status = daemon_fail(cli, migration->migid, error, reply);
		return NULL;
	}
	report = json_incref(json_object_get(reply, "report"));
	json_decref(reply);
	return report;
}

static json_t *read_kept(struct cli *cli, const struct migration *migration)
{
	json_t *report = migration->report ? json_loads(migration->report, 0, NULL) : NULL;
	if (!json_is_object(report)) {
		json_decref(report);
		cli->status =
			cli_fail(cli, CLI_FAILED, ENOENT, "migration %u is finished and has left no report", migration->migid);
		return NULL;
	}
	if (migration->finished)
		json_object_set_new(report, "finished", json_integer(migration->finished));
	return report;
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {CLI_OPTIONS};
	struct migrations migrations;
	int option;
	while ((option = getopt_long(argc, argv, CLI_LETTERS, options, NULL)) != -1)
		if (!cli_option(cli, &command_report, option))
			return cli->status;
	if (!cli_arguments(cli, &command_report, argc - optind, 1, 1))
		return cli->status;
	int code = migrations_load(cli, &migrations);
	if (code)
		return code;
	const struct migration *migration = migrations_meant(cli, &migrations, argv[optind]);
	json_t *report = !migration                                  ? NULL
	                 : strcmp(migration->state, "complete") == 0 ? read_kept(cli, migration)
	                                                             : fetch(cli, migration);
	if (report && cli->json)
		print_json(report);
	else if (report)
		print_report(report);
	code = report ? CLI_OK : cli->status;
	json_decref(report);
	migrations_free(&migrations);
	return code;
}

const struct command command_report = {
	"report",
	"MIGID",
	"the custody record",
	"What was moved from where to where, when and by what; how much; the digest of all digests; what was lost, waived, has\n"
	"drifted or was changed; what the last verification found. While the migration runs as of now; of a finished one as it "
	"was\n"
	"at the end.\n\n",
	run,
};
