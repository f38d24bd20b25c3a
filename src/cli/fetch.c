/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dmmfs-admin fetch: brings files and trees now, and shows how that gets on. The daemon does it; this command only watches.
 */
#include "base/clock.h"
#include "base/size.h"
#include "cli/figures.h"
#include "cli/format.h"
#include "cli/memory.h"
#include "cli/print.h"
#include "wire/bytes.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define FETCH_TIMEOUT_S 60
#define LOOK_MS 200
#define BAR 24

struct watched {
	struct cli *cli;
	uint32_t migid;
	json_int_t number;
	bool drawn;
	uint64_t began_ns;
	sigset_t signals;
};

/* All paths in `list`, and their migration, which must be one. NULL after a message. */
static const struct migration *take_paths(struct cli *cli, const struct migrations *migrations, int argc, char **argv,
                                          json_t *list)
{
	const struct migration *migration = NULL;
	for (int i = 0; i < argc; i++) {
		char *path = migrations_path(cli, migrations, argv[i]);
		if (!path)
			return NULL;
		const struct migration *holds = migrations_holding(migrations, path);
		json_t *entry = memory_must(json_object());
		bytes_set(entry, "path", path);
		json_array_append_new(list, entry);
		if (!holds)
			cli->status = cli_fail(cli, CLI_UNKNOWN, EXDEV,
			                       "%s is not below the mount point or target of a migration: 'dmmfs-admin list' "
			                       "shows them",
			                       path);
		else if (migration && holds != migration)
			cli->status = cli_fail(cli, CLI_USAGE, EXDEV,
			                       "%s is of another migration than the paths before it: fetch each by itself", path);
		free(path);
		if (!holds || (migration && holds != migration))
			return NULL;
		migration = holds;
	}
	return migration;
}

static void draw(struct watched *watched, const json_t *status)
{
	uint64_t done = member_count(status, "bytes_done"), found = member_count(status, "bytes_found");
	uint64_t elapsed_ms = (clock_monotonic_ns() - watched->began_ns) / 1000000;
	unsigned percent = format_percent(done, found);
	char bar[BAR + 1], share[FORMAT_BYTES], rate[FORMAT_BYTES], files[FORMAT_BYTES], all[FORMAT_BYTES];

	if (watched->cli->json || !print_on_terminal())
		return;
	memset(bar, '.', BAR);
	memset(bar, '#', BAR * percent / 100);
	bar[BAR] = '\0';
	printf("\r[%s] %3u %%  %s  %s of %s files  %s%s\033[K", bar, percent, format_share(done, found, share),
	       format_count(member_count(status, "files_done"), files), format_count(member_count(status, "files_found"), all),
	       format_rate(elapsed_ms ? done * 1000 / elapsed_ms : 0, rate),
	       member_true(status, "paused")        ? "  paused"
	       : member_true(status, "target_full") ? "  the target is full"
	                                            : "");
	fflush(stdout);
	watched->drawn = true;
}

static void end_line(struct watched *watched)
{
	if (watched->drawn)
		putchar('\n');
	watched->drawn = false;
}

static void print_errors(const json_t *status)
{
	size_t i;
	const json_t *entry;

	json_array_foreach(json_object_get(status, "errors"), i, entry)
	{
		char *path = member_name(entry, "path"), *detail = member_name(entry, "detail");
		fprintf(stderr, "dmmfs-admin: %s: %s%s%s\n", path, member_text(entry, "error"), *detail ? ", " : "", detail);
		free(path);
		free(detail);
	}
	uint64_t total = member_count(status, "errors_total"), shown = json_array_size(json_object_get(status, "errors"));
	if (total > shown)
		fprintf(stderr, "dmmfs-admin: and %llu more: see dmmfs-admin errors\n", (unsigned long long)(total - shown));
}

static int print_end(struct watched *watched, const json_t *status)
{
	uint64_t errors = member_count(status, "errors_total");
	char files[FORMAT_BYTES], size[FORMAT_BYTES], took[FORMAT_BYTES];

	end_line(watched);
	if (watched->cli->json) {
		json_t *object = memory_must(json_pack("{s:b, s:I}", "ok", errors == 0, "migid", (json_int_t)watched->migid));
		json_object_update(object, (json_t *)status);
		print_json(object);
		json_decref(object);
	} else {
		printf("%s: %s files, %s, in %s.\n", errors ? "Not everything is here" : "All is here",
		       format_count(member_count(status, "files_done"), files),
		       size_format(member_count(status, "bytes_done"), size, sizeof(size)),
		       format_duration((clock_monotonic_ns() - watched->began_ns) / NS_PER_S, took));
		print_errors(status);
	}
	return errors ? CLI_FAILED : CLI_OK;
}

/* False: somebody wants to wait no longer. */
static bool pause_a_moment(const struct watched *watched)
{
	struct timespec moment = {.tv_nsec = LOOK_MS * 1000000L};
	return sigtimedwait(&watched->signals, NULL, &moment) < 0;
}

static int watch(struct watched *watched)
{
	for (;;) {
		json_t *reply;
		int error = daemon_ask(watched->cli, watched->migid,
		                       json_pack("{s:s, s:I}", "op", "fetch-status", "number", watched->number), FETCH_TIMEOUT_S,
		                       &reply);
		if (error) {
			end_line(watched);
			return daemon_fail(watched->cli, watched->migid, error, reply);
		}
		const json_t *status = json_object_get(reply, "fetch");
		bool done = strcmp(member_text(status, "state"), "done") == 0;
		if (!done)
			draw(watched, status);
		int code = done ? print_end(watched, status) : CLI_OK;
		json_decref(reply);
		if (done)
			return code;
		if (!pause_a_moment(watched)) {
			end_line(watched);
			fprintf(stderr, "The fetch goes on without being watched; dmmfs-admin stat %u tells of it.\n",
			        watched->migid);
			return 128 + SIGINT;
		}
	}
}

static int fetch(struct cli *cli, const struct migration *migration, json_t *list, bool wait)
{
	json_t *reply, *request = memory_must(json_pack("{s:s, s:O}", "op", "fetch", "paths", list));
	if (strcmp(migration->state, "complete") == 0) {
		json_decref(request);
		return cli_fail(cli, CLI_FAILED, ENOENT, "migration %u is complete: there is nothing to fetch any more",
		                migration->migid);
	}
	struct watched watched = {.cli = cli, .migid = migration->migid, .began_ns = clock_monotonic_ns()};
	sigemptyset(&watched.signals);
	sigaddset(&watched.signals, SIGINT);
	sigprocmask(SIG_BLOCK, &watched.signals, NULL);
	int error = daemon_ask(cli, migration->migid, request, FETCH_TIMEOUT_S, &reply);
	if (error)
		return daemon_fail(cli, migration->migid, error, reply);
	watched.number = (json_int_t)member_count(json_object_get(reply, "fetch"), "number");
	json_decref(reply);
	if (wait)
		return watch(&watched);
	if (cli->json) {
		json_t *object = memory_must(json_pack("{s:b, s:I, s:I, s:s}", "ok", 1, "migid", (json_int_t)migration->migid,
		                                       "number", watched.number, "state", "running"));
		print_json(object);
		json_decref(object);
	} else {
		printf("Migration %u fetches it now.\n", migration->migid);
	}
	return CLI_OK;
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {{"detach", no_argument, NULL, 'n'}, CLI_OPTIONS};
	struct migrations migrations;
	bool wait = true;
	int option;
	while ((option = getopt_long(argc, argv, CLI_LETTERS, options, NULL)) != -1) {
		if (option == 'n')
			wait = false;
		else if (!cli_option(cli, &command_fetch, option))
			return cli->status;
	}
	if (!cli_arguments(cli, &command_fetch, argc - optind, 1, -1))
		return cli->status;
	int code = migrations_load(cli, &migrations);
	if (code)
		return code;
	json_t *list = memory_must(json_array());
	const struct migration *migration = take_paths(cli, &migrations, argc - optind, argv + optind, list);
	code = migration ? fetch(cli, migration, list, wait) : cli->status;
	json_decref(list);
	migrations_free(&migrations);
	return code;
}

const struct command command_fetch = {
	"fetch",
	"[--detach] PATH...",
	"bring files and trees now",
	"Brings what lies at each PATH and below it before everything else in the background, and not limited as that is,\n"
	"but after what applications wait for; shows how it gets on until all is here. Interrupting this command does not\n"
	"interrupt the fetch. What could not be brought is listed, and the exit status is 1 then.\n"
	"With --json: an object with what became of it.\n\n"
	"  --detach             return as soon as it has begun\n",
	run,
};
