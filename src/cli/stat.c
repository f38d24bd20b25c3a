/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dmmfs-admin stat: the figures of a migration, once or again and again until it is complete.
 *
 * On a terminal -w redraws two lines in place; elsewhere it writes a line, or with --json an object, each time.
 */
#include "base/clock.h"
#include "base/size.h"
#include "cli/background.h"
#include "cli/figures.h"
#include "cli/format.h"
#include "cli/print.h"
#include "cli/summary.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* --- once ----------------------------------------------------------------------------------------------------------------- */

static void add_counts(struct table *table, const json_t *figures, const char *head, const char *what, bool bytes)
{
	static const char *const columns[] = {"found", "migrated", "pending", "error"};
	table_row(table);
	table_set(table, 0, head);
	for (size_t i = 0; i < 4; i++) {
		char key[32], text[FORMAT_BYTES];
		snprintf(key, sizeof(key), "%s_%s", what, columns[i]);
		uint64_t count = member_count(figures, key);
		if (bytes && i == 3)
			continue; /* errors are counted in files */
		table_set(table, i + 1, bytes ? size_format(count, text, sizeof(text)) : format_count(count, text));
		table_color(table, i + 1, i == 3 && count ? print_trouble_color() : NULL);
	}
}

static void print_counts(const json_t *figures)
{
	static const char *const heads[] = {"", "FOUND", "MIGRATED", "PENDING", "IN ERROR"};
	struct table *table = table_new(5, heads, "lrrrr");
	add_counts(table, figures, "Directories", "dirs", false);
	add_counts(table, figures, "Files", "files", false);
	add_counts(table, figures, "Data", "bytes", true);
	table_print(table, stdout);
	table_free(table);
}

static void print_title(const json_t *figures)
{
	char duration[FORMAT_BYTES], *source = member_name(figures, "source"), *mountpoint = member_name(figures, "mountpoint");
	const char *state = member_text(figures, "state"), *color = print_state_color(state);
	printf("Migration %u of %s to %s: %s%s%s", (unsigned)member_count(figures, "migid"), source, mountpoint, color, state,
	       *color ? "\033[0m" : "");
	if (strcmp(member_text(figures, "daemon"), "running") == 0)
		printf(", up %s", format_duration(member_count(figures, "uptime_s"), duration));
	puts("\n");
	free(source);
	free(mountpoint);
}

static void print_order(const json_t *order, uint64_t skipped)
{
	static const char *const classes[] = {"fetch", "first", "raised", "last"};
	char *rules = member_name(order, "rules"), text[FORMAT_BYTES];
	bool any = false;

	if (*rules && strcmp(rules, "found") != 0)
		printf("Order        %s%s\n", rules, member_true(order, "building") ? " (being applied)" : "");
	free(rules);
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
		char key[32];
		snprintf(key, sizeof(key), "done_%s", classes[i]);
		uint64_t done = member_count(order, key);
		snprintf(key, sizeof(key), "waiting_%s", classes[i]);
		uint64_t waiting = member_count(order, key);
		if (done + waiting == 0)
			continue;
		printf("%s%s: %s done", any ? "; " : "In order     ", classes[i], format_count(done, text));
		if (waiting)
			printf(", %s waiting", format_count(waiting, text));
		any = true;
	}
	if (any)
		putchar('\n');
	if (skipped)
		printf("Skipped      %s %s\n", format_count(skipped, text), skipped == 1 ? "name" : "names");
}

static void print_now(const json_t *figures)
{
	char text[4 * FORMAT_BYTES], size[FORMAT_BYTES], count[FORMAT_BYTES];
	printf("Done         %u %%%s\n", summary_percent(figures),
	       member_true(figures, "estimate") ? " of what has been found" : "");
	printf("Rate         %s, %s files/s\n", format_rate(member_count(figures, "rate_bytes_per_s"), size),
	       format_count(member_count(figures, "rate_files_per_s"), count));
	printf("Remaining    %s\n", summary_remaining_long(figures, text));
	printf("Demand       %s\n", summary_demand(figures, text, sizeof(text)));
	printf("Moved        %s on demand,", size_format(member_count(figures, "demand_bytes"), size, sizeof(size)));
	printf(" %s in the background\n", size_format(member_count(figures, "background_bytes"), size, sizeof(size)));
	background_print(stdout, figures, "Background   ");
	print_order(json_object_get(figures, "order"), member_count(figures, "skipped"));
}

static void print_trouble(const json_t *figures)
{
	unsigned migid = (unsigned)member_count(figures, "migid");
	const char *trouble = member_text(figures, "state_trouble");
	if (*trouble)
		printf("Trouble      the state can not be written (%s): applications wait until it can\n", trouble);
	if (member_count(figures, "source_unreachable_since")) {
		char since[FORMAT_BYTES];
		printf("Trouble      the source is unreachable since %s (%s)\n",
		       format_time((int64_t)member_count(figures, "source_unreachable_since"), since),
		       member_text(figures, "source_error"));
	}
	if (member_true(figures, "target_full"))
		puts("Trouble      the target is full: reads are answered from the source, nothing more comes over");
	if (summary_errors(figures))
		printf("Errors       dmmfs-admin errors %u lists them\n", migid);
	else if (summary_all_here(figures) && !summary_finished(figures))
		printf("Everything has come over: dmmfs-admin finish %u ends the migration.\n", migid);
}

/* No daemon runs, but none has noted its end. */
static bool has_died(const struct migration *migration, const json_t *figures)
{
	return strcmp(member_text(figures, "daemon"), "none") == 0 &&
	       (strcmp(migration->state, "running") == 0 || strcmp(migration->state, "paused") == 0);
}

static int print_once(struct cli *cli, const struct migration *migration)
{
	json_t *figures = figures_get(cli, migration);
	int code = CLI_OK;
	if (strcmp(member_text(figures, "daemon"), "silent") == 0) {
		code = daemon_fail(cli, migration->migid, -ETIMEDOUT, NULL);
	} else if (cli->json) {
		print_json(figures);
	} else {
		print_title(figures);
		print_counts(figures);
		putchar('\n');
		print_now(figures);
		print_trouble(figures);
		if (has_died(migration, figures))
			printf("The daemon died, and these figures are of its last orderly end: dmmfs-admin start %u goes on where it "
			       "was.\n",
			       (unsigned)migration->migid);
	}
	json_decref(figures);
	return code;
}

/* --- watching ------------------------------------------------------------------------------------------------------------- */

struct watch {
	struct cli *cli;
	uint32_t migid;
	unsigned every_s;
	bool terminal;
	bool drawn; /* the cursor stands at the end of two lines that are redrawn */
	sigset_t signals;
};

static size_t terminal_width(void)
{
	struct winsize size;
	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

static void show_figures(struct watch *watch, const json_t *figures)
{
	if (watch->cli->json) {
		print_json_line(figures);
		return;
	}
	if (!watch->terminal) {
		char *line = summary_line(figures);
		puts(line);
		free(line);
	} else {
		/* The last column stays free: some terminals begin a new line as soon as it is written. */
		size_t width = terminal_width() - 1;
		char *bar = summary_bar(figures, width), *below = summary_below_bar(figures, width);
		printf("%s\r%s\033[K\n%s\033[K", watch->drawn ? "\033[A" : "", bar, below);
		watch->drawn = true;
		free(bar);
		free(below);
	}
	fflush(stdout);
}

static void end_line(struct watch *watch)
{
	if (watch->drawn)
		putchar('\n');
	fflush(stdout);
	watch->drawn = false;
}

/* What to say and to return when there is no reason to go on; -1: there is one. The migration is read anew from the database, in
 * which a daemon notes its end. */
static int judge(struct watch *watch, const json_t *figures)
{
	const char *state = member_text(figures, "state"), *daemon = member_text(figures, "daemon");
	bool complete = strcmp(state, "complete") == 0;
	if (strcmp(daemon, "silent") == 0 && !complete) {
		end_line(watch);
		return daemon_fail(watch->cli, watch->migid, -ETIMEDOUT, NULL);
	}
	if (summary_all_here(figures)) {
		end_line(watch);
		if (!watch->cli->json && summary_finished(figures))
			printf("Migration %u is complete.\n", watch->migid);
		else if (!watch->cli->json)
			printf("Everything has come over: dmmfs-admin finish %u ends the migration.\n", watch->migid);
		return CLI_OK;
	}
	if (strcmp(state, "failed") == 0) {
		end_line(watch);
		return cli_fail(watch->cli, CLI_FAILED, EIO, "migration %u has failed: see its log", watch->migid);
	}
	if (strcmp(daemon, "none") == 0) {
		end_line(watch);
		return daemon_fail(watch->cli, watch->migid, -ENOENT, NULL);
	}
	return -1;
}

static int look(struct watch *watch)
{
	struct migrations migrations;
	char migid[16];
	int code = migrations_load(watch->cli, &migrations);
	if (code)
		return code;
	snprintf(migid, sizeof(migid), "%u", watch->migid);
	const struct migration *migration = migrations_meant(watch->cli, &migrations, migid);
	code = watch->cli->status;
	if (migration) {
		json_t *figures = figures_get(watch->cli, migration);
		show_figures(watch, figures);
		code = judge(watch, figures);
		json_decref(figures);
	}
	migrations_free(&migrations);
	return code;
}

/* Waits until the monotonic time is `until_ns`. False when it was interrupted; a change of the window's size is no interruption,
 * the next drawing takes it up. */
static bool sleep_until(struct watch *watch, uint64_t until_ns)
{
	for (;;) {
		uint64_t now_ns = clock_monotonic_ns(), rest_ns = until_ns > now_ns ? until_ns - now_ns : 0;
		struct timespec rest = {(time_t)(rest_ns / NS_PER_S), (long)(rest_ns % NS_PER_S)};
		int signal_number = sigtimedwait(&watch->signals, NULL, &rest);
		if (signal_number > 0) {
			end_line(watch);
			signal(signal_number, SIG_DFL);
			raise(signal_number);
			sigprocmask(SIG_UNBLOCK, &watch->signals, NULL);
			return false;
		}
		if (errno == EAGAIN)
			return true;
	}
}

static int print_again(struct cli *cli, uint32_t migid, unsigned every_s)
{
	struct watch watch = {.cli = cli, .migid = migid, .every_s = every_s, .terminal = !cli->json && print_on_terminal()};
	sigemptyset(&watch.signals);
	sigaddset(&watch.signals, SIGINT);
	sigaddset(&watch.signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &watch.signals, NULL);
	uint64_t next_ns = clock_monotonic_ns();
	for (;;) {
		int code = look(&watch);
		if (code >= 0)
			return code;
		if (ferror(stdout)) /* nobody listens any more */
			return CLI_FAILED;
		/* A daemon that answers slowly makes looks rarer, never more. */
		next_ns += every_s * NS_PER_S;
		if (next_ns < clock_monotonic_ns())
			next_ns = clock_monotonic_ns();
		if (!sleep_until(&watch, next_ns))
			return CLI_FAILED;
	}
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {{"watch", required_argument, NULL, 'w'}, CLI_OPTIONS};
	struct migrations migrations;
	unsigned every_s = 0;
	int option;
	while ((option = getopt_long(argc, argv, "w:" CLI_LETTERS, options, NULL)) != -1) {
		if (option == 'w' && !cli_seconds(cli, "-w", optarg, 1, &every_s))
			return cli->status;
		if (option != 'w' && !cli_option(cli, &command_stat, option))
			return cli->status;
	}
	if (!cli_arguments(cli, &command_stat, argc - optind, 1, 1))
		return cli->status;
	int code = migrations_load(cli, &migrations);
	if (code)
		return code;
	const struct migration *migration = migrations_meant(cli, &migrations, argv[optind]);
	code = cli->status;
	if (migration)
		code = every_s ? print_again(cli, migration->migid, every_s) : print_once(cli, migration);
	migrations_free(&migrations);
	return code;
}

const struct command command_stat = {
	"stat",
	"[-w SECONDS] MIGID",
	"figures: how far it is, how fast",
	"Prints what was found, has come over, is pending and in error, the rate, the time remaining, and how long\n"
	"applications wait. Without a daemon: the figures kept from its last run.\n\n"
	"  -w, --watch SECONDS  print it again each so many seconds, until everything has come over\n",
	run,
};
