/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dmmfs-admin plan: a look before the leap. The looking is done by `dmmfs --plan` (look.h); this asks for it and shows what it saw.
 */
#include "cli/format.h"
#include "cli/look.h"
#include "cli/memory.h"
#include "cli/print.h"
#include "wire/bytes.h"

#include "base/cleanup.h"
#include "base/size.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Properties at most; the daemon knows how many there are. */
#define PROPERTIES_MAX 128

struct plan {
	struct cli *cli;
	const char *source, *target, *mountpoint;
	const char *options[PROPERTIES_MAX]; /* property=value, all but these three */
	size_t n_options;
	unsigned quick_s;
	bool progress; /* shown on a terminal */
};

/* --- properties --------------------------------------------------------------------------------------------------------------- */

/* In a list of mount options a comma ends a value, and a backslash takes that from it. */
static char *escape_commas(const char *text)
{
	char *escaped = memory_must(malloc(2 * strlen(text) + 1)), *to = escaped;
	for (; *text; *to++ = *text++)
		if (*text == ',' || *text == '\\')
			*to++ = '\\';
	*to = 0;
	return escaped;
}

static bool take_property(struct plan *plan, char *text)
{
	const char *value = strchr(text, '=');
	const struct {
		const char *name;
		const char **place;
	} places[] = {{"source", &plan->source}, {"target", &plan->target}, {"mountpoint", &plan->mountpoint}};
	if (!value || value == text || !value[1] || plan->n_options == PROPERTIES_MAX) {
		plan->cli->status = cli_misused(plan->cli, &command_plan, "-p takes property=value, not '%s'", text);
		return false;
	}
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		size_t len = strlen(places[i].name);
		if (strncmp(text, places[i].name, len) == 0 && text[len] == '=') {
			*places[i].place = value + 1;
			return true;
		}
	}
	plan->options[plan->n_options++] = text;
	return true;
}

/* --- for people ------------------------------------------------------------------------------------------------------------------ */

static void take_line(void *context, const char *what, const json_t *object)
{
	const struct plan *plan = context;
	char objects[FORMAT_BYTES], bytes[FORMAT_BYTES];
	if (!plan->progress || strcmp(what, "progress") != 0)
		return;
	fprintf(stderr, "\r\033[K%s objects, %s", format_count(member_count(object, "objects"), objects),
	        size_format(member_count(object, "bytes"), bytes, sizeof(bytes)));
}

static void print_count(const json_t *objects, const char *key, const char *name)
{
	char text[FORMAT_BYTES];
	uint64_t count = member_count(objects, key);
	if (count)
		printf("  %14s  %s\n", format_count(count, text), name);
}

static void print_place(const json_t *looked, const char *key, const char *unit, const char *name, bool is_size)
{
	char text[FORMAT_BYTES], *path;
	const json_t *place = json_object_get(looked, key);
	if (!json_is_object(place))
		return;
	uint64_t value = member_count(place, unit);
	path = member_name(place, "path");
	printf("  %14s  %s: %s\n", is_size ? size_format(value, text, sizeof(text)) : format_count(value, text), name,
	       *path ? path : ".");
	free(path);
}

static void print_objects(const json_t *looked)
{
	const json_t *objects = json_object_get(looked, "objects");
	char bytes[FORMAT_BYTES], allocated[FORMAT_BYTES];
	printf("%s\n", member_true(looked, "complete") ? "There is" : "There is at least");
	print_count(objects, "directories", "directories");
	print_count(objects, "files", "files");
	print_count(objects, "files_several_names", "of them with several names");
	print_count(objects, "symlinks", "symbolic links");
	print_count(objects, "fifos", "fifos");
	print_count(objects, "sockets", "sockets");
	print_count(objects, "devices", "devices");
	printf("  %14s  in files, %s of it allocated\n", size_format(member_count(looked, "bytes"), bytes, sizeof(bytes)),
	       size_format(member_count(looked, "bytes_allocated"), allocated, sizeof(allocated)));
	print_place(looked, "largest_file", "bytes", "the largest file", true);
	print_place(looked, "largest_directory", "entries", "entries in the largest directory", false);
	print_place(looked, "deepest_directory", "depth", "levels down to the deepest directory", false);
	print_place(looked, "longest_name", "bytes", "bytes in the longest name", false);
}

static void print_target(const json_t *looked)
{
	const json_t *place = json_object_get(looked, "file_system");
	char need[FORMAT_BYTES], have[FORMAT_BYTES], inodes[FORMAT_BYTES];
	const json_t *free_inodes = json_object_get(place, "free_inodes");
	if (!json_is_object(place))
		return;
	printf("About %s are needed on the target (%s), which has %s free",
	       size_format(member_count(looked, "bytes_needed"), need, sizeof(need)),
	       *member_text(place, "type") ? member_text(place, "type") : "of an unknown type",
	       size_format(member_count(place, "free_bytes"), have, sizeof(have)));
	if (json_is_integer(free_inodes))
		printf(", with %s free inodes", format_count(member_count(place, "free_inodes"), inodes));
	printf(".\n%s\n",
	       member_true(looked, "passthrough_expected")
	               ? "Files that have come over are served by the kernel itself (passthrough)."
	               : "Files that have come over are served by the daemon: this kernel has no passthrough for them.");
}

static void print_duration(const json_t *looked)
{
	const json_t *rates = json_object_get(looked, "rates"), *duration = json_object_get(looked, "duration");
	char list[FORMAT_BYTES], read[FORMAT_BYTES], least[FORMAT_BYTES], most[FORMAT_BYTES];
	printf("The source was listed at %s objects a second", format_count(member_count(rates, "list_objects_per_s"), list));
	if (member_count(rates, "sample_files"))
		printf(" and read at %s (%s files, %llu at a time)", format_rate(member_count(rates, "read_bytes_per_s"), read),
		       format_count(member_count(rates, "sample_files"), most),
		       (unsigned long long)member_count(rates, "workers"));
	puts("; what lay in a cache is slower the first time.");
	if (json_is_object(duration))
		printf("Everything will be there in %s%s to %s; what counts most is %s. The target was not measured.\n",
		       member_true(looked, "complete") ? "" : "at least ",
		       format_duration(member_count(duration, "least_s"), least),
		       format_duration(member_count(duration, "most_s"), most), member_text(duration, "bound_by"));
}

static void print_finding(const json_t *finding)
{
	static const char *const words[][2] = {{"stop", "STOP"}, {"loss", "LOSS"}, {"note", "note"}};
	const char *weight = member_text(finding, "weight"), *color = strcmp(weight, "note") ? print_trouble_color() : "";
	char *what = member_name(finding, "what"), *remedy = member_name(finding, "remedy");
	const json_t *examples = json_object_get(finding, "examples");
	for (size_t i = 0; i < 3; i++)
		if (strcmp(words[i][0], weight) == 0)
			printf("%s%s%s  %s\n", color, words[i][1], *color ? "\033[0m" : "", what);
	for (size_t i = 0; i < json_array_size(examples); i++) {
		char *path = member_name(json_array_get(examples, i), "path");
		char *detail = member_name(json_array_get(examples, i), "detail");
		printf("        %s%s%s\n", *path ? path : ".", *detail ? "  " : "", detail);
		free(path);
		free(detail);
	}
	if (*remedy)
		printf("      do: %s\n", remedy);
	free(what);
	free(remedy);
}

static void print_plan(const json_t *looked)
{
	const json_t *findings = json_object_get(looked, "findings");
	char *source = member_name(looked, "source"), *target = member_name(looked, "target");
	const char *verdict = member_text(looked, "verdict");
	printf("From %s to %s\n\n", source, target);
	if (member_true(looked, "looked")) {
		print_objects(looked);
		putchar('\n');
		print_target(looked);
		print_duration(looked);
		putchar('\n');
	}
	for (size_t i = 0; i < json_array_size(findings); i++)
		print_finding(json_array_get(findings, i));
	puts(strcmp(verdict, "clear") == 0    ? "Nothing stands in the way."
	     : strcmp(verdict, "losses") == 0 ? "It can begin, but not everything will come over as it is."
	                                      : "It can not begin.");
	free(source);
	free(target);
}

/* --- the command ----------------------------------------------------------------------------------------------------------------- */

static int show(struct plan *plan, const struct look *look)
{
	char how[640];
	if (plan->progress)
		fputs("\r\033[K", stderr);
	if (look->failure) {
		char *message = member_name(look->failure, "message");
		int code = cli_fail(plan->cli, CLI_IMPOSSIBLE, EINVAL, "%s", message);
		free(message);
		return code;
	}
	if (!look->summary)
		return cli_fail(plan->cli, CLI_FAILED, EIO, "the process that looked %s", look_death(look, how));
	if (plan->cli->json)
		print_json(look->summary);
	else
		print_plan(look->summary);
	const char *verdict = member_text(look->summary, "verdict");
	return strcmp(verdict, "clear") == 0 ? CLI_OK : strcmp(verdict, "losses") == 0 ? CLI_FINDINGS : CLI_IMPOSSIBLE;
}

static int look(struct plan *plan)
{
	const char *arguments[2 * PROPERTIES_MAX + 8];
	char *escaped[PROPERTIES_MAX + 1], quick[16], *target = NULL;
	struct look looked;
	size_t n = 0, n_escaped = 0;
	if (asprintf(&target, "target=%s", plan->target) < 0)
		memory_must(NULL);
	snprintf(quick, sizeof(quick), "%u", plan->quick_s);
	plan->options[plan->n_options++] = target;
	arguments[n++] = "--plan";
	arguments[n++] = quick;
	arguments[n++] = plan->source;
	arguments[n++] = plan->mountpoint ? plan->mountpoint : plan->target;
	for (size_t i = 0; i < plan->n_options; i++) {
		arguments[n++] = "-o";
		arguments[n++] = escaped[n_escaped++] = escape_commas(plan->options[i]);
	}
	arguments[n] = NULL;
	plan->progress = isatty(STDERR_FILENO) && !plan->cli->json;
	int code = look_run(plan->cli, arguments, false, take_line, plan, &looked);
	if (code == CLI_OK)
		code = show(plan, &looked);
	look_free(&looked);
	for (size_t i = 0; i < n_escaped; i++)
		free(escaped[i]);
	free(target);
	return code;
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {
		{"property", required_argument, NULL, 'p'}, {"quick", required_argument, NULL, 'q'}, CLI_OPTIONS};
	struct plan plan = {.cli = cli};
	int option;
	while ((option = getopt_long(argc, argv, "p:" CLI_LETTERS, options, NULL)) != -1) {
		bool good = option == 'p'   ? take_property(&plan, optarg)
		            : option == 'q' ? cli_seconds(cli, "--quick", optarg, 1, &plan.quick_s)
		                            : cli_option(cli, &command_plan, option);
		if (!good)
			return cli->status;
	}
	if (!cli_arguments(cli, &command_plan, argc - optind, 0, 0))
		return cli->status;
	if (!plan.source || !plan.target)
		return cli_misused(cli, &command_plan, "'plan' needs -p source=... and -p target=...");
	if (geteuid() != 0)
		return cli_fail(cli, CLI_FAILED, EPERM, "only root sees all of a file tree: run it again with sudo");
	return look(&plan);
}

const struct command command_plan = {
	"plan",
	"[--quick SECONDS] -p source=... -p target=... [-p PROPERTY=VALUE]...",
	"look before the leap: what is there, what will not come over",
	"Walks over the source, looks at the target, and says how much there is, what will not fit or not come over, and how "
	"long\n"
	"it will take. Changes nothing, on neither side. Exit status 0: nothing stands in the way, 6: something will not come "
	"over,\n"
	"7: it can not be migrated.\n\n"
	"  -p PROPERTY=VALUE    source, target, and others as for 'create'\n"
	"  --property\n"
	"  --quick SECONDS      walk for so long only; what is told then is an estimate\n",
	run,
};
