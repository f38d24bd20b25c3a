/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dmmfs-admin where: where the bytes of a file are now. Only the daemon looks at the file: this program could wait for the
 * source.
 */
#include "base/log.h"
#include "base/size.h"
#include "cli/figures.h"
#include "cli/format.h"
#include "cli/memory.h"
#include "cli/path.h"
#include "cli/print.h"
#include "wire/bytes.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define WHERE_TIMEOUT_S 30

static const char *in_words(const char *where)
{
	static const struct {
		const char *where, *words;
	} table[] = {{"source", "at the source"},
	             {"resident", "on the target"},
	             {"changed", "on the target, changed by an application"},
	             {"hole", "a hole"}};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (strcmp(table[i].where, where) == 0)
			return table[i].words;
	return where;
}

static void print_ranges(const json_t *ranges, uint64_t left_out)
{
	static const char *const heads[] = {"FROM", "LENGTH", "WHERE"};
	char text[FORMAT_BYTES];
	struct table *table = table_new(3, heads, "rrl");
	for (size_t i = 0; i < json_array_size(ranges); i++) {
		const json_t *range = json_array_get(ranges, i);
		const char *where = member_text(range, "where");
		table_row(table);
		table_set(table, 0, format_count(member_count(range, "offset"), text));
		table_set(table, 1, size_format(member_count(range, "length"), text, sizeof(text)));
		table_set(table, 2, in_words(where));
	}
	table_print(table, stdout);
	table_free(table);
	if (left_out)
		printf("%s more ranges are left out\n", format_count(left_out, text));
}

/* What fits on the line of the name. */
static void print_place(const json_t *report, const char *path)
{
	char size[FORMAT_BYTES], share[FORMAT_BYTES];
	const json_t *ranges = json_object_get(report, "ranges");
	const char *type = member_text(report, "type");
	uint64_t bytes = member_count(report, "size"), absent = member_count(report, "bytes_source");
	bool finished = member_true(report, "finished");
	if (strcmp(type, "unknown") == 0)
		printf("%s: at the source\n", path);
	else if (strcmp(type, "directory") == 0)
		printf("%s: directory, %s\n", path, finished ? "its entries have come over" : "its entries are at the source");
	else if (strcmp(type, "file") != 0)
		printf("%s: %s, %s\n", path, type, finished ? "on the target" : "at the source");
	else if (json_array_size(ranges) == 1 && !finished)
		printf("%s: %s, %s\n", path, size_format(bytes, size, sizeof(size)),
		       in_words(member_text(json_array_get(ranges, 0), "where")));
	else if (finished)
		printf("%s: %s, on the target\n", path, size_format(bytes, size, sizeof(size)));
	else
		printf("%s: %s on the target\n", path, format_share(bytes > absent ? bytes - absent : 0, bytes, share));
}

/* When the background brings what is pending. */
static void print_turn(const json_t *turn)
{
	const char *class = member_text(turn, "class");
	char *clause = member_name(turn, "clause"), text[FORMAT_BYTES];

	if (*class && strcmp(class, "normal") != 0)
		printf("  %s%s%s%s\n",
		       strcmp(class, "raised") == 0  ? "comes sooner: something beside it was touched"
		       : strcmp(class, "fetch") == 0 ? "is being fetched"
		       : strcmp(class, "first") == 0 ? "comes first"
		                                     : "comes last",
		       *clause ? " (" : "", clause, *clause ? ")" : "");
	if (json_is_integer(json_object_get(turn, "ahead")))
		printf("  %s to come before it\n", format_count(member_count(turn, "ahead"), text));
	free(clause);
}

static void print_report(const json_t *report)
{
	char *path = member_name(report, "path"), *detail = member_name(report, "error_detail");
	const json_t *ranges = json_object_get(report, "ranges");
	print_place(report, path);
	if (*member_text(report, "error"))
		printf("  in error: %s%s%s\n", member_text(report, "error"), *detail ? ", " : "", detail);
	else if (*detail)
		printf("  %s\n", detail);
	print_turn(json_object_get(report, "order"));
	if (json_array_size(ranges) > 1)
		print_ranges(ranges, member_count(report, "ranges_left_out"));
	free(path);
	free(detail);
}

static const char *type_name(mode_t mode)
{
	return S_ISREG(mode)    ? "file"
	       : S_ISDIR(mode)  ? "directory"
	       : S_ISLNK(mode)  ? "symlink"
	       : S_ISFIFO(mode) ? "fifo"
	       : S_ISSOCK(mode) ? "socket"
	       : S_ISCHR(mode)  ? "character device"
	                        : "block device";
}

/* Below a mount point apart from the target is now what lies beneath, perhaps the source; unless somebody shows the target there. */
static bool was_mounted_there(const struct migration *migration, const char *path)
{
	struct stat shown, target;
	if (path_is_below(path, migration->target) || !path_is_below(path, migration->mountpoint))
		return false;
	return stat(migration->mountpoint, &shown) < 0 || stat(migration->target, &target) < 0 || shown.st_dev != target.st_dev ||
	       shown.st_ino != target.st_ino;
}

/* Of a migration that is complete there is no mount: what lies on the target is all there is, and looking there waits for
 * nobody. */
static int report_of_complete(struct cli *cli, const struct migration *migration, const char *path, json_t **report)
{
	struct stat st;
	char mode[8];
	if (was_mounted_there(migration, path))
		return cli_fail(cli, CLI_FAILED, ENOENT,
		                "%s: migration %u is complete and no longer mounted there: its tree is %s", path,
		                migration->migid, migration->target);
	if (lstat(path, &st) < 0)
		return cli_fail(cli, CLI_FAILED, errno, "%s: %s", path, strerror(errno));
	json_int_t size = S_ISREG(st.st_mode) ? st.st_size : 0;
	snprintf(mode, sizeof(mode), "%04o", st.st_mode & 07777);
	*report = memory_must(json_pack("{s:s, s:s, s:I, s:b, s:n, s:s, s:i, s:I, s:i, s:i, s:[], s:i, s:n}", "type",
	                                type_name(st.st_mode), "mode", mode, "size", (json_int_t)st.st_size, "finished", 1,
	                                "error", "error_detail", "", "bytes_source", 0, "bytes_resident", size, "bytes_changed",
	                                0, "bytes_hole", 0, "ranges", "ranges_left_out", 0, "order"));
	if (size > 0)
		json_array_append_new(json_object_get(*report, "ranges"),
		                      json_pack("{s:i, s:I, s:s}", "offset", 0, "length", size, "where", "resident"));
	bytes_set(*report, "path", path);
	return CLI_OK;
}

static int report_of_daemon(struct cli *cli, const struct migration *migration, const char *path, json_t **report)
{
	json_t *reply, *request = memory_must(json_pack("{s:s}", "op", "where"));
	bytes_set(request, "path", path);
	int error = daemon_ask(cli, migration->migid, request, WHERE_TIMEOUT_S, &reply);
	if (error)
		return daemon_fail(cli, migration->migid, error, reply);
	*report = json_incref(json_object_get(reply, "where"));
	json_decref(reply);
	return CLI_OK;
}

static int find_out(struct cli *cli, const struct migrations *migrations, const char *argument, json_t **report)
{
	char *path = migrations_path(cli, migrations, argument);
	if (!path)
		return cli->status;
	const struct migration *migration = migrations_holding(migrations, path);
	int code;
	if (!migration)
		code = cli_fail(cli, CLI_UNKNOWN, EXDEV,
		                "%s is not below the mount point or target of a migration: 'dmmfs-admin list' shows them", path);
	else if (strcmp(migration->state, "complete") == 0)
		code = report_of_complete(cli, migration, path, report);
	else
		code = report_of_daemon(cli, migration, path, report);
	if (code == CLI_OK)
		json_object_set_new(*report, "migid", json_integer(migration->migid));
	free(path);
	return code;
}

/* All arguments, as far as possible; the exit code is that of the first failure. */
static int find_out_all(struct cli *cli, const struct migrations *migrations, int argc, char **argv)
{
	int status = CLI_OK;
	json_t *list = memory_must(json_array());
	cli->failures = list; /* one array, in the order of the arguments */
	for (int i = 0; i < argc; i++) {
		json_t *report = NULL;
		int code = find_out(cli, migrations, argv[i], &report);
		status = status ? status : code;
		if (code == CLI_OK && !cli->json)
			print_report(report);
		if (code == CLI_OK)
			json_array_append(list, report);
		json_decref(report);
	}
	if (cli->json && argc > 1)
		print_json(list);
	else if (cli->json)
		print_json(json_array_get(list, 0));
	cli->failures = NULL;
	json_decref(list);
	return status;
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {CLI_OPTIONS};
	struct migrations migrations;
	int option;
	while ((option = getopt_long(argc, argv, CLI_LETTERS, options, NULL)) != -1)
		if (!cli_option(cli, &command_where, option))
			return cli->status;
	if (!cli_arguments(cli, &command_where, argc - optind, 1, -1))
		return cli->status;
	int code = migrations_load(cli, &migrations);
	if (code)
		return code;
	code = find_out_all(cli, &migrations, argc - optind, argv + optind);
	migrations_free(&migrations);
	return code;
}

const struct command command_where = {
	"where",
	"PATH...",
	"where the bytes of a file are now",
	"Tells for each file which bytes are at the source, on the target, or changed by an application, and whether\n"
	"it is in error. Asking moves nothing.\n"
	"With --json: for one PATH an object, for several an array in their order.\n\n",
	run,
};
