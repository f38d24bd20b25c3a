/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dmmfs-admin: what its commands share.
 *
 * A command is one file that defines a struct command, listed in main.c. It reads its options with getopt_long(3), gets
 * migrations from find.h and their figures from figures.h, prints with format.h and print.h, and returns one of the exit codes.
 * Diagnostics go to standard error through cli_fail(): one sentence that names the thing and the remedy; with --json the
 * same as an object to standard output.
 */
#ifndef DMM_CLI_CLI_H
#define DMM_CLI_CLI_H

#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum exit_code {
	CLI_OK = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	CLI_UNKNOWN = 3,    /* no such migration */
	CLI_REFUSED = 4,    /* something is pending, in error or busy */
	CLI_SILENT = 5,     /* the daemon does not run or does not answer */
	CLI_FINDINGS = 6,   /* what was looked at is not as it should be */
	CLI_IMPOSSIBLE = 7, /* it can not be looked at, or not be done at all */
};

struct cli {
	const char *confdir, *rundir;
	bool json;
	int status;         /* what to return when cli_option() ended the command */
	unsigned timeout_s; /* for figures; 0: what is usual */
	bool quiet;         /* what cli_fail() says is kept in `said`, nothing is printed */
	char said[512];
	json_t *failures; /* NULL, or an array that takes the objects of cli_fail() instead of standard output */
	json_t *uuids;    /* of the migrations that were read last, by migid: what their daemons are asked for */
};

struct command {
	const char *name;
	const char *arguments; /* for the usage line */
	const char *summary;   /* half a line */
	const char *help;      /* options and an explanation, whole lines */
	int (*run)(struct cli *cli, int argc, char **argv);
	bool has_h; /* -h is an option of its own, help is --help alone */
};

extern const struct command command_create;
extern const struct command command_start;
extern const struct command command_halt;
extern const struct command command_pause;
extern const struct command command_resume;
extern const struct command command_upgrade;
extern const struct command command_delete;
extern const struct command command_list;
extern const struct command command_show;
extern const struct command command_stat;
extern const struct command command_watch;
extern const struct command command_set;
extern const struct command command_get;
extern const struct command command_where;
extern const struct command command_fetch, command_first, command_finish;
extern const struct command command_errors;
extern const struct command command_losses;
extern const struct command command_retry;
extern const struct command command_waive;
extern const struct command command_verify;
extern const struct command command_report;
extern const struct command command_log;
extern const struct command command_db;
extern const struct command command_plan;

/* Options that every command takes; at the end of its table and of its letters. */
enum { OPTION_JSON = 0x1000, OPTION_CONFDIR, OPTION_RUNDIR };
/* clang-format off */
#define CLI_OPTIONS \
	{"json", no_argument, NULL, OPTION_JSON}, {"confdir", required_argument, NULL, OPTION_CONFDIR}, \
	{"rundir", required_argument, NULL, OPTION_RUNDIR}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}
/* clang-format on */
#define CLI_LETTERS "h"

/* An option that the command itself does not know. False: the command ends with cli->status. */
bool cli_option(struct cli *cli, const struct command *command, int option);

/* The directories that the environment names, so that they are found from any directory. */
void cli_absolute_environment(void);

/* False, after a message, when there are fewer or more arguments than that; `max` -1: no limit. cli->status is set. */
bool cli_arguments(struct cli *cli, const struct command *command, int count, int min, int max);

/* A whole number of seconds from `min` to a year. False after a message. */
bool cli_seconds(struct cli *cli, const char *option, const char *text, unsigned min, unsigned *seconds);

/* Says why, returns `code`. `error`: its errno's name in the JSON, negative or positive. */
int cli_fail(struct cli *cli, enum exit_code code, int error, const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Beside, "see dmmfs-admin NAME --help". Returns CLI_USAGE. */
int cli_misused(struct cli *cli, const struct command *command, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
