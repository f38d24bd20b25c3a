/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dmmfs-admin watch: all migrations, live. On a terminal a picture that fills it; elsewhere a line for each migration each time,
 * or with --json an object.
 *
 * A thread asks the daemons, so that one which does not answer holds up neither keys nor the others for long; it hands what it
 * found over and keeps nothing of it. The main thread draws. Lock: one, for what is handed over.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/figures.h"
#include "cli/loglines.h"
#include "cli/memory.h"
#include "cli/print.h"
#include "cli/screen.h"
#include "cli/summary.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EVERY_DEFAULT_S 2
#define TIMEOUT_S 2
#define LOG_LINES 100

struct watch {
	struct cli cli; /* of the thread that asks */
	unsigned every_s;
	bool all;
	atomic_uint chosen;
	int news, kick;       /* eventfds: something was handed over; ask again now */
	pthread_mutex_t lock; /* guards what follows */
	json_t *list, *lines; /* handed over */
	char said[512];
};

/* --- asking --------------------------------------------------------------------------------------------------------------- */

static bool is_finished(const struct migration *migration)
{
	return strcmp(migration->state, "complete") == 0;
}

/* All figures; NULL: they cannot be had, and cli->said says why. */
static json_t *ask_all(struct cli *cli, bool all)
{
	struct migrations migrations;
	if (migrations_load(cli, &migrations))
		return NULL;
	json_t *list = memory_must(json_array());
	for (size_t i = 0; i < migrations.count; i++)
		if (all || !is_finished(&migrations.list[i]))
			json_array_append_new(list, figures_get(cli, &migrations.list[i]));
	migrations_free(&migrations);
	return list;
}

static bool has_migid(const json_t *list, uint32_t migid)
{
	size_t i;
	json_t *figures;
	json_array_foreach((json_t *)list, i, figures) if (member_count(figures, "migid") == migid) return true;
	return false;
}

static json_t *ask_log(struct watch *watch, const json_t *list)
{
	json_t *lines = NULL;
	json_int_t run;
	uint32_t chosen = atomic_load(&watch->chosen);
	if (!has_migid(list, chosen)) {
		chosen = (uint32_t)member_count(json_array_get(list, 0), "migid");
		atomic_store(&watch->chosen, chosen);
	}
	if (chosen)
		loglines_of_daemon(&watch->cli, chosen, 0, LOG_LINES, &lines, &run);
	return lines;
}

static void hand_over(struct watch *watch, json_t *list, json_t *lines)
{
	LOCKED(&watch->lock);
	json_decref(watch->list);
	json_decref(watch->lines);
	watch->list = list;
	watch->lines = lines;
	snprintf(watch->said, sizeof(watch->said), "%s", list ? "" : watch->cli.said);
	eventfd_write(watch->news, 1);
}

static void *ask_main(void *arg)
{
	struct watch *watch = arg;
	for (;;) {
		uint64_t kicks;
		json_t *list = ask_all(&watch->cli, watch->all);
		json_t *lines = ask_log(watch, list);
		hand_over(watch, list, lines);
		struct timespec rest = {.tv_sec = watch->every_s};
		fd_set fds;
		FD_ZERO(&fds);
		FD_SET(watch->kick, &fds);
		if (pselect(watch->kick + 1, &fds, NULL, NULL, &rest, NULL) > 0)
			eventfd_read(watch->kick, &kicks);
	}
	return NULL;
}

/* --- the terminal --------------------------------------------------------------------------------------------------------- */

static void draw(struct watch *watch)
{
	LOCKED(&watch->lock);
	struct terminal_size size = terminal_size();
	size.columns--; /* the last one stays free: what clears the rest of a line would take its character */
	struct screen screen = {.size = size,
	                        .list = watch->list,
	                        .lines = watch->lines,
	                        .chosen = atomic_load(&watch->chosen),
	                        .said = watch->said};
	char *picture = screen_compose(&screen), *line = picture;
	fputs("\033[H", stdout);
	for (size_t row = 0; *line; row++) {
		char *end = strchr(line, '\n');
		printf("%s%.*s\033[K", row ? "\n" : "", (int)(end - line), line);
		line = end + 1;
	}
	fputs("\033[J", stdout);
	fflush(stdout);
	free(picture);
}

/* The one above or below the chosen one. */
static void choose(struct watch *watch, int step)
{
	LOCKED(&watch->lock);
	size_t count = json_array_size(watch->list), at = 0;
	for (size_t i = 0; i < count; i++)
		if (member_count(json_array_get(watch->list, i), "migid") == atomic_load(&watch->chosen))
			at = i;
	at = step < 0 ? at - (at > 0) : at + (at + 1 < count);
	atomic_store(&watch->chosen, (unsigned)member_count(json_array_get(watch->list, at), "migid"));
	json_decref(watch->lines); /* those of the other one */
	watch->lines = NULL;
	eventfd_write(watch->kick, 1);
}

static int watch_terminal(struct watch *watch)
{
	pthread_t thread;
	eventfd_t news;
	watch->news = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	watch->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int error = watch->news < 0 || watch->kick < 0 ? -errno : terminal_begin();
	if (error)
		return cli_fail(&watch->cli, CLI_FAILED, error, "the terminal cannot be had: %s", strerror(-error));
	watch->cli.quiet = true;
	error = pthread_create(&thread, NULL, ask_main, watch);
	if (error) {
		terminal_end();
		watch->cli.quiet = false;
		return cli_fail(&watch->cli, CLI_FAILED, error, "no thread can be had: %s", strerror(error));
	}
	for (;;) {
		enum terminal_event event = terminal_wait(watch->news, 1000);
		eventfd_read(watch->news, &news);
		if (event == TERMINAL_QUIT || event == TERMINAL_SIGNAL || ferror(stdout)) {
			terminal_end();
			if (event == TERMINAL_SIGNAL)
				terminal_die();
			/* Without the end of the program that threads must be gone for: ours may wait for a daemon that hangs. */
			_exit(fflush(stdout) != 0 || ferror(stdout) ? CLI_FAILED : CLI_OK);
		}
		if (event == TERMINAL_UP || event == TERMINAL_DOWN)
			choose(watch, event == TERMINAL_UP ? -1 : 1);
		draw(watch);
	}
}

/* --- elsewhere ------------------------------------------------------------------------------------------------------------ */

static void print_one(const struct cli *cli, const json_t *figures)
{
	if (cli->json) {
		print_json_line(figures);
		return;
	}
	char *line = summary_line(figures);
	printf("%u  %s\n", (unsigned)member_count(figures, "migid"), line);
	free(line);
}

static int watch_lines(struct watch *watch)
{
	while (!ferror(stdout)) {
		size_t i;
		json_t *figures, *list = ask_all(&watch->cli, watch->all);
		if (!list)
			return CLI_FAILED;
		json_array_foreach(list, i, figures) print_one(&watch->cli, figures);
		json_decref(list);
		fflush(stdout);
		sleep(watch->every_s);
	}
	return CLI_FAILED; /* nobody listens any more */
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {
		{"all", no_argument, NULL, 'a'}, {"watch", required_argument, NULL, 'w'}, CLI_OPTIONS};
	struct watch watch = {.every_s = EVERY_DEFAULT_S, .lock = PTHREAD_MUTEX_INITIALIZER};
	int option;
	while ((option = getopt_long(argc, argv, "aw:" CLI_LETTERS, options, NULL)) != -1) {
		if (option == 'a')
			watch.all = true;
		else if (option == 'w' ? !cli_seconds(cli, "-w", optarg, 1, &watch.every_s)
		                       : !cli_option(cli, &command_watch, option))
			return cli->status;
	}
	if (!cli_arguments(cli, &command_watch, argc - optind, 0, 0))
		return cli->status;
	watch.cli = *cli;
	watch.cli.timeout_s = TIMEOUT_S;
	return !cli->json && print_on_terminal() ? watch_terminal(&watch) : watch_lines(&watch);
}

const struct command command_watch = {
	"watch",
	"[-a] [-w SECONDS]",
	"all migrations, live",
	"Fills the terminal with all migrations that are not finished, and with what is known about the chosen one: what may "
	"take\n"
	"the background, trouble, the last lines of its log. The keys up and down choose, q quits.\n"
	"Elsewhere than on a terminal: a line for each migration each time; with --json an object.\n\n"
	"  -a, --all            those that are finished, too\n"
	"  -w, --watch SECONDS  look again each so many seconds; 2 when this is not given\n",
	run,
};
