/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The comparing is done by `dmmfs --rebuild` (look.h); this asks for it and shows what it found.
 */
#include "cli/rebuild.h"

#include "base/cleanup.h"
#include "base/size.h"
#include "cli/format.h"
#include "cli/look.h"
#include "cli/memory.h"
#include "cli/path.h"
#include "cli/print.h"
#include "wire/bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct rebuilding {
	struct cli *cli;
	const struct migration *migration;
	json_t *findings;
	bool progress; /* shown on a terminal */
};

void rebuild_wish_path(struct rebuild_wish *wish, const char *option, const char *path)
{
	wish->paths = memory_must(reallocarray(wish->paths, wish->n_paths + 1, sizeof(*wish->paths)));
	wish->paths[wish->n_paths].option = option;
	wish->paths[wish->n_paths++].path = path;
}

void rebuild_wish_free(struct rebuild_wish *wish)
{
	free(wish->paths);
}

/* --- for people ----------------------------------------------------------------------------------------------------------------- */

static const struct {
	const char *kind, *what, *means;
} kinds[] = {
	{"differs", "differ from the source",
         "the target's stay, as an application's; --take brings the source's, what is here moves aside"},
	{"kind", "are other objects than at the source",
         "the target's stay; --take brings the source's, what is here moves aside"},
	{"blank", "were changed here and have holes where the source has data",
         "the holes are filled from the source; --keep leaves zeros"},
	{"missing", "are at the source only",
         "they come over again, in case they never did; --keep leaves out what was removed here"},
	{"only-target", "are on the target only", "they stay, as an application's"},
	{"renamed", "had not come over and have another name here", "they go on under that name"},
	{"unreadable", "could not be compared", "they stay as they are: look at them, then repeat this"},
};

static void take_line(void *context, const char *what, const json_t *object)
{
	struct rebuilding *rebuilding = context;
	char objects[FORMAT_BYTES], bytes[FORMAT_BYTES];
	if (strcmp(what, "finding") == 0)
		json_array_append(rebuilding->findings, (json_t *)object);
	if (rebuilding->progress && strcmp(what, "progress") == 0)
		fprintf(stderr, "\r\033[K%s objects, %s compared", format_count(member_count(object, "objects"), objects),
		        size_format(member_count(object, "bytes"), bytes, sizeof(bytes)));
}

static void print_kind(const struct rebuilding *rebuilding, const json_t *summary, size_t kind)
{
	uint64_t count = member_count(json_object_get(summary, "found"), kinds[kind].kind), told = 0;
	char text[FORMAT_BYTES];
	size_t i;
	json_t *finding;
	if (!count)
		return;
	printf("%s%s %s%s: %s.\n", print_trouble_color(), format_count(count, text), kinds[kind].what,
	       *print_trouble_color() ? "\033[0m" : "", kinds[kind].means);
	json_array_foreach(rebuilding->findings, i, finding)
	{
		if (strcmp(member_text(finding, "kind"), kinds[kind].kind) != 0)
			continue;
		char *path = member_name(finding, "path"), *detail = member_name(finding, "detail");
		const char *choice = member_text(finding, "choice");
		printf("    %s%s%s%s%s\n", *path ? path : ".", *detail ? "  " : "", detail, *choice ? "  --" : "", choice);
		free(path);
		free(detail);
		told++;
	}
	if (told < count)
		printf("    and %s more\n", format_count(count - told, text));
}

static void print_counts(const json_t *summary)
{
	char same[FORMAT_BYTES], bytes[FORMAT_BYTES], absent[FORMAT_BYTES], rest[FORMAT_BYTES], dirs[FORMAT_BYTES],
		not_there[FORMAT_BYTES];
	printf("%s files (%s) are here, %s lack data (%s). %s directories are here, %s have not come over.\n",
	       format_count(member_count(summary, "files_same") + member_count(summary, "others_same"), same),
	       size_format(member_count(summary, "bytes_same"), bytes, sizeof(bytes)),
	       format_count(member_count(summary, "files_absent"), absent),
	       size_format(member_count(summary, "bytes_absent"), rest, sizeof(rest)),
	       format_count(member_count(summary, "directories"), dirs),
	       format_count(member_count(summary, "directories_absent"), not_there));
}

static void print_result(const struct rebuilding *rebuilding, const json_t *summary)
{
	const json_t *unused = json_object_get(summary, "unused");
	for (size_t kind = 0; kind < sizeof(kinds) / sizeof(*kinds); kind++)
		print_kind(rebuilding, summary, kind);
	print_counts(summary);
	for (size_t i = 0; i < json_array_size(unused); i++) {
		char *path = member_name(json_array_get(unused, i), "path");
		printf("%s%s: there is nothing to choose there.%s\n", print_trouble_color(), path,
		       *print_trouble_color() ? "\033[0m" : "");
		free(path);
	}
	if (member_true(summary, "quick"))
		puts("Files of the source's size and time were not read (--quick): one that was changed and given its old time "
		     "back "
		     "is not found out.");
	if (!member_true(summary, "applied")) {
		printf("Nothing was changed. 'dmmfs-admin db rebuild -f %u' makes the new state so.\n",
		       rebuilding->migration->migid);
		return;
	}
	char *place = member_name(summary, "statedir"), *kept = member_name(summary, "kept");
	printf("The new state is in %s%s%s. 'dmmfs-admin start %u' goes on.\n", place,
	       *kept ? "; the old one is kept there as " : "", kept, rebuilding->migration->migid);
	free(place);
	free(kept);
}

/* --- the command ---------------------------------------------------------------------------------------------------------------- */

static bool has_choices(const json_t *summary)
{
	const char *key;
	json_t *count;
	json_object_foreach(json_object_get(summary, "found"), key, count) if (json_integer_value(count) &&
	                                                                       strcmp(key, "only-target") != 0 &&
	                                                                       strcmp(key, "renamed") != 0) return true;
	return false;
}

static int show(struct rebuilding *rebuilding, const struct look *look)
{
	char how[640];
	if (rebuilding->progress)
		fputs("\r\033[K", stderr);
	if (look->failure) {
		char *message = member_name(look->failure, "message");
		int code = cli_fail(rebuilding->cli, CLI_FAILED, EIO, "%s", message);
		free(message);
		return code;
	}
	if (!look->summary)
		return cli_fail(
			rebuilding->cli, CLI_FAILED, EIO,
			"the process that made the new state %s; the old one is as it was, or put aside: repeat the command",
			look_death(look, how));
	if (rebuilding->cli->json) {
		json_object_set(look->summary, "findings", rebuilding->findings);
		json_object_set_new(look->summary, "migid", json_integer(rebuilding->migration->migid));
		print_json(look->summary);
	} else {
		print_result(rebuilding, look->summary);
	}
	return !member_true(look->summary, "applied") && has_choices(look->summary) ? CLI_FINDINGS : CLI_OK;
}

/* Below the top; as it is when it is written so already. */
static char *below_top(struct cli *cli, const struct migrations *migrations, const struct migration *migration, const char *typed)
{
	if (*typed != '/')
		return memory_must(strdup(typed));
	CLEAN_FREE char *path = migrations_path(cli, migrations, typed);
	if (!path)
		return NULL;
	const char *const tops[] = {migration->mountpoint, migration->target};
	for (size_t i = 0; i < 2; i++)
		if (path_is_below(path, tops[i])) {
			const char *below = path + strlen(tops[i]);
			return memory_must(strdup(below + strspn(below, "/")));
		}
	cli->status = cli_fail(cli, CLI_USAGE, EXDEV,
	                       "%s lies neither below the mount point %s nor below the target %s: name a path that does, or one "
	                       "below the top, without a slash before it",
	                       typed, migration->mountpoint, migration->target);
	return NULL;
}

int rebuild_migration(struct cli *cli, const struct migrations *migrations, const struct migration *migration,
                      const struct rebuild_wish *wish)
{
	struct rebuilding rebuilding = {.cli = cli, .migration = migration};
	const char **arguments = memory_must(calloc(2 * wish->n_paths + 8, sizeof(*arguments)));
	char **paths = memory_must(calloc(wish->n_paths + 1, sizeof(*paths))), migid[16];
	size_t n = 0;
	int code = CLI_OK;
	snprintf(migid, sizeof(migid), "%u", migration->migid);
	arguments[n++] = "--rebuild";
	arguments[n++] = "--migid";
	arguments[n++] = migid;
	if (wish->force)
		arguments[n++] = "--apply";
	if (wish->quick)
		arguments[n++] = "--quick";
	for (size_t i = 0; code == CLI_OK && i < wish->n_paths; i++) {
		arguments[n++] = wish->paths[i].option;
		arguments[n++] = paths[i] = below_top(cli, migrations, migration, wish->paths[i].path);
		code = paths[i] ? CLI_OK : cli->status;
	}
	if (cli->confdir)
		setenv("DMMFS_CONFDIR", cli->confdir, 1);
	rebuilding.findings = memory_must(json_array());
	rebuilding.progress = isatty(STDERR_FILENO) && !cli->json;
	if (code == CLI_OK) {
		struct look look;
		code = look_run(cli, arguments, false, take_line, &rebuilding, &look);
		if (code == CLI_OK)
			code = show(&rebuilding, &look);
		look_free(&look);
	}
	json_decref(rebuilding.findings);
	for (size_t i = 0; i < wish->n_paths; i++)
		free(paths[i]);
	free(paths);
	free(arguments);
	return code;
}
