/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dmmfs-admin log: what happened to a migration.
 *
 * A daemon that runs is asked for what it has in memory; the logfile and the journal are looked at for what it has not, and when
 * none runs. With -f the daemon is asked again and again: nothing depends on how a file is rotated. When it ends, its last lines are
 * taken from the logfile, which may get them after its socket has gone, and the next daemon is waited for.
 */
#include "base/clock.h"
#include "cli/figures.h"
#include "cli/format.h"
#include "cli/loglines.h"
#include "cli/memory.h"
#include "cli/print.h"
#include "wire/bytes.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LINES_DEFAULT 50
#define LINES_MAX 1000000
#define POLL_US 250000
#define LOOKS_MOST 20 /* for the last words of a daemon that has ended */

struct log {
	struct cli *cli;
	uint32_t migid;
	char *logfile; /* NULL: none */
	size_t last;
	bool follow;
	unsigned absent;  /* so often no daemon was found, one after another; the first time, that is said */
	struct stat seen; /* the logfile, when it was looked at last */
	json_int_t after, run;
	json_t *newest; /* of what was printed; NULL: nothing was */
};

/* --- printing ------------------------------------------------------------------------------------------------------------- */

/* What programs get: besides the line, which event it is and its fields. */
static json_t *describe(const struct log *log, const json_t *line)
{
	char *text = NULL;
	json_t *object = json_copy((json_t *)line);
	json_t *fields = loglines_fields(bytes_get(line, "text", &text) ? "" : text);
	json_t *event = json_object_get(fields, "event");
	json_object_del(object, "id");
	json_object_set_new(object, "migid", json_integer(log->migid));
	json_object_set_new(object, "event", event ? json_incref(event) : json_null());
	json_object_del(fields, "event");
	json_object_set_new(object, "fields", fields);
	free(text);
	return object;
}

static void print_text(const json_t *line)
{
	char when[FORMAT_BYTES], *text = member_name(line, "text");
	uint64_t time_ms = member_count(line, "time_ms");
	const char *level = member_text(line, "level"), *color = print_level_color(level);
	printf("%s.%03u  %s%-7s%s  %s\n", format_time((int64_t)(time_ms / 1000), when), (unsigned)(time_ms % 1000), color, level,
	       *color ? "\033[0m" : "", text);
	free(text);
}

/* In an array, or when it goes on, a line each. */
static void print_lines(struct log *log, json_t *lines)
{
	json_t *line, *array = log->cli->json && !log->follow ? memory_must(json_array()) : NULL;
	size_t i;
	json_array_foreach(lines, i, line)
	{
		json_t *object = log->cli->json ? describe(log, line) : NULL;
		if (array)
			json_array_append(array, object);
		else if (object)
			print_json_line(object);
		else
			print_text(line);
		json_decref(object);
	}
	if (array)
		print_json(array);
	json_decref(array);
	if (json_array_size(lines)) {
		json_decref(log->newest);
		log->newest = json_incref(json_array_get(lines, json_array_size(lines) - 1));
	}
	fflush(stdout);
}

static void take_ids(struct log *log, const json_t *lines)
{
	if (json_array_size(lines))
		log->after = json_integer_value(json_object_get(json_array_get(lines, json_array_size(lines) - 1), "id"));
}

/* --- the lines that there are ------------------------------------------------------------------------------------------------ */

static int fail_without(struct log *log)
{
	if (log->logfile)
		return cli_fail(log->cli, CLI_FAILED, ENOENT,
		                "no daemon runs for migration %u and its logfile %s cannot be read: is it where it was written?",
		                log->migid, log->logfile);
	return cli_fail(log->cli, CLI_SILENT, ENOENT,
	                "no daemon runs for migration %u, and it has neither a logfile nor is there a journal: give it one with "
	                "logfile=FILE, it is written from the next start on",
	                log->migid);
}

/* The logfile, when it knows more than the daemon; what the daemon has may be empty. */
static json_t *look_in_file(const struct log *log, json_t *lines)
{
	json_t *kept = NULL;
	if (!log->logfile || json_array_size(lines) >= log->last)
		return lines;
	if (loglines_of_file(log->logfile, log->migid, log->last, &kept) == 0 && json_array_size(kept) > json_array_size(lines)) {
		json_decref(lines);
		return kept;
	}
	json_decref(kept);
	return lines;
}

/* An exit code. */
static int print_present(struct log *log)
{
	json_t *lines = NULL;
	int error = loglines_of_daemon(log->cli, log->migid, 0, log->last, &lines, &log->run);
	if (error == 0)
		take_ids(log, lines);
	lines = look_in_file(log, lines);
	if (!lines && error && loglines_of_journal(log->migid, log->last, &lines) < 0 && !log->follow)
		return daemon_is_absent(error) ? fail_without(log) : daemon_fail(log->cli, log->migid, error, NULL);
	if (error && !daemon_is_absent(error) && !log->follow)
		fprintf(stderr, "dmmfs-admin: the daemon of migration %u does not answer; this is what its log has\n",
		        log->migid);
	print_lines(log, lines);
	json_decref(lines);
	return CLI_OK;
}

/* --- following ------------------------------------------------------------------------------------------------------------ */

/* What the logfile or the journal has behind the newest line that was printed: the last words of a daemon. */
static void catch_up(struct log *log)
{
	json_t *lines = NULL, *line, *fresh = memory_must(json_array());
	size_t i;
	int error = log->logfile ? loglines_of_file(log->logfile, log->migid, LINES_MAX, &lines)
	                         : loglines_of_journal(log->migid, LINES_DEFAULT, &lines);
	if (error == 0) {
		json_array_foreach(lines, i, line)
		{
			uint64_t time_ms = member_count(line, "time_ms"), newest_ms = member_count(log->newest, "time_ms");
			if (time_ms == newest_ms && strcmp(member_text(line, "text"), member_text(log->newest, "text")) == 0)
				json_array_clear(fresh);
			else if (time_ms >= newest_ms)
				json_array_append(fresh, line);
		}
	}
	print_lines(log, fresh);
	json_decref(fresh);
	json_decref(lines);
}

static bool is_complete(struct log *log)
{
	struct migrations migrations;
	bool complete = false;
	if (migrations_load(log->cli, &migrations))
		return true;
	for (size_t i = 0; i < migrations.count; i++)
		complete |= migrations.list[i].migid == log->migid && strcmp(migrations.list[i].state, "complete") == 0;
	migrations_free(&migrations);
	return complete;
}

/* To look at the journal costs a process. */
static bool may_have_more(struct log *log)
{
	struct stat st = {0};
	if (!log->logfile)
		return log->absent == 0 || log->absent == LOOKS_MOST / 4 || log->absent == LOOKS_MOST;
	if (stat(log->logfile, &st) < 0)
		return log->absent == 0;
	bool changed = st.st_ino != log->seen.st_ino || st.st_size != log->seen.st_size ||
	               st.st_mtim.tv_sec != log->seen.st_mtim.tv_sec || st.st_mtim.tv_nsec != log->seen.st_mtim.tv_nsec;
	log->seen = st;
	return changed || log->absent == 0;
}

/* The last line of all, or there is none to come. */
static bool has_ended(const struct log *log)
{
	return strncmp(member_text(log->newest, "text"), "event=stop", 10) == 0 || log->absent >= LOOKS_MOST ||
	       (!log->logfile && access("/run/systemd/journal/socket", F_OK) < 0);
}

/* False: nothing will come any more. */
static bool wait_for_daemon(struct log *log)
{
	bool complete = is_complete(log);
	if (may_have_more(log))
		catch_up(log);
	if (complete && has_ended(log))
		return false;
	if (log->absent == 0 && !complete)
		fprintf(stderr, "dmmfs-admin: no daemon runs for migration %u; waiting for the next one\n", log->migid);
	log->absent++;
	return true;
}

static void take_fresh(struct log *log, json_t *lines, json_int_t run)
{
	json_int_t first = json_integer_value(json_object_get(json_array_get(lines, 0), "id"));
	if (run == log->run && first > log->after + 1)
		fprintf(stderr, "dmmfs-admin: %lld lines came too fast\n", (long long)(first - log->after - 1));
	log->run = run;
	log->absent = 0;
	take_ids(log, lines);
	print_lines(log, lines);
}

/* Asks again, from the beginning when it is another daemon. */
static int follow(struct log *log)
{
	while (!ferror(stdout)) {
		json_t *lines = NULL;
		json_int_t run = 0;
		int error = loglines_of_daemon(log->cli, log->migid, log->after, LINES_MAX, &lines, &run);
		if (error == 0 && run != log->run) {
			log->after = 0;
			json_decref(lines);
			error = loglines_of_daemon(log->cli, log->migid, 0, LINES_MAX, &lines, &run);
		}
		if (error == 0)
			take_fresh(log, lines, run);
		json_decref(lines);
		if (daemon_is_absent(error) && !wait_for_daemon(log))
			return CLI_OK;
		usleep(POLL_US);
	}
	return CLI_FAILED;
}

/* --- the command ---------------------------------------------------------------------------------------------------------- */

static bool take_count(struct cli *cli, const char *text, size_t *count)
{
	char *end;
	errno = 0;
	unsigned long value = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || errno || value > LINES_MAX) {
		cli->status = cli_fail(cli, CLI_USAGE, EINVAL, "-n takes a whole number of lines from 0 to %d, not '%s'",
		                       LINES_MAX, text);
		return false;
	}
	*count = value;
	return true;
}

static int show_log(struct log *log, const struct migration *migration)
{
	log->migid = migration->migid;
	if (bytes_get(migration->properties, "logfile", &log->logfile) || !*log->logfile) {
		free(log->logfile);
		log->logfile = NULL;
	}
	int code = print_present(log);
	if (code == CLI_OK && log->follow)
		code = follow(log);
	free(log->logfile);
	json_decref(log->newest);
	return code;
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {
		{"follow", no_argument, NULL, 'f'}, {"lines", required_argument, NULL, 'n'}, CLI_OPTIONS};
	struct log log = {.cli = cli, .last = LINES_DEFAULT};
	struct migrations migrations;
	int option;
	while ((option = getopt_long(argc, argv, "fn:" CLI_LETTERS, options, NULL)) != -1) {
		if (option == 'f')
			log.follow = true;
		else if (option == 'n' ? !take_count(cli, optarg, &log.last) : !cli_option(cli, &command_log, option))
			return cli->status;
	}
	if (!cli_arguments(cli, &command_log, argc - optind, 1, 1))
		return cli->status;
	int code = migrations_load(cli, &migrations);
	if (code)
		return code;
	const struct migration *migration = migrations_meant(cli, &migrations, argv[optind]);
	code = migration ? show_log(&log, migration) : cli->status;
	migrations_free(&migrations);
	return code;
}

const struct command command_log = {
	"log",
	"[-f] [-n LINES] MIGID",
	"what happened to it",
	"Prints the last lines of the log of a migration: from its daemon, else from its logfile, else from the journal.\n\n"
	"  -f, --follow         go on as lines come, also over a new start of the daemon, until the migration is finished\n"
	"  -n, --lines LINES    so many lines that are there already; 50 when this is not given\n",
	run,
};
