/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Options that every command takes, and how commands complain.
 */
#include "base/log.h"
#include "cli/cli.h"
#include "cli/format.h"
#include "cli/memory.h"
#include "cli/print.h"
#include "wire/bytes.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define YEAR_S (365u * 86400)

static void print_help(const struct command *command)
{
	printf("usage: dmmfs-admin %s %s\n\n%s", command->name, command->arguments, command->help);
	fputs("  --json               print JSON\n"
	      "  --confdir DIR        the configuration database; else DMMFS_CONFDIR, else /var/lib/dmmfs\n"
	      "  --rundir DIR         the daemons' sockets; else DMMFS_RUNDIR, else /run/dmmfs\n",
	      stdout);
	puts(command->has_h ? "  --help               print this" : "  -h, --help           print this");
}

/* Commands leave the directory in which they were called, which may lie on the mount that is to go. */
static const char *absolute(const char *path, char room[PATH_MAX])
{
	char here[PATH_MAX];

	if (*path == '/' || !getcwd(here, sizeof(here)) || snprintf(room, PATH_MAX, "%s/%s", here, path) >= PATH_MAX)
		return path;
	return room;
}

void cli_absolute_environment(void)
{
	static const char *const names[] = {"DMMFS_CONFDIR", "DMMFS_RUNDIR"};
	char room[PATH_MAX];

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		const char *value = getenv(names[i]);
		if (value && *value && *value != '/')
			setenv(names[i], absolute(value, room), 1);
	}
}

bool cli_option(struct cli *cli, const struct command *command, int option)
{
	static char confdir[PATH_MAX], rundir[PATH_MAX];

	switch (option) {
	case OPTION_JSON:
		cli->json = true;
		return true;
	case OPTION_CONFDIR:
		cli->confdir = absolute(optarg, confdir);
		return true;
	case OPTION_RUNDIR:
		cli->rundir = absolute(optarg, rundir);
		return true;
	case 'h':
		print_help(command);
		cli->status = CLI_OK;
		return false;
	default: /* getopt has said what is wrong */
		fprintf(stderr, "see dmmfs-admin %s --help\n", command->name);
		cli->status = CLI_USAGE;
		return false;
	}
}

bool cli_arguments(struct cli *cli, const struct command *command, int count, int min, int max)
{
	if (count < min)
		cli->status = cli_misused(cli, command, "'%s' needs %s", command->name, command->arguments);
	else if (max >= 0 && count > max)
		cli->status = cli_misused(cli, command, "'%s' takes no more than %s", command->name,
		                          *command->arguments ? command->arguments : "options");
	else
		return true;
	return false;
}

bool cli_seconds(struct cli *cli, const char *option, const char *text, unsigned min, unsigned *seconds)
{
	char *end;
	errno = 0;
	unsigned long value = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || errno || value < min || value > YEAR_S) {
		cli->status = cli_fail(cli, CLI_USAGE, EINVAL, "%s takes a whole number of seconds from %u to %u, not '%s'",
		                       option, min, YEAR_S, text);
		return false;
	}
	*seconds = (unsigned)value;
	return true;
}

static void complain(struct cli *cli, enum exit_code code, int error, const char *message)
{
	if (cli->quiet) {
		snprintf(cli->said, sizeof(cli->said), "%s", message);
		return;
	}
	fprintf(stderr, "dmmfs-admin: %s\n", message);
	if (!cli->json)
		return;
	json_t *object = memory_must(json_pack("{s:b, s:s, s:i}", "ok", 0, "error", errno_name(error), "exit", (int)code));
	bytes_set(object, "message", message);
	if (cli->failures)
		json_array_append(cli->failures, object);
	else
		print_json_line(object);
	json_decref(object);
}

static char *compose(const char *format, va_list args)
{
	char *raw = NULL;
	if (vasprintf(&raw, format, args) < 0)
		memory_must(NULL);
	return raw;
}

int cli_fail(struct cli *cli, enum exit_code code, int error, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	char *raw = compose(format, args), *shown = format_name(raw);
	va_end(args);
	complain(cli, code, error, shown);
	free(raw);
	free(shown);
	return code;
}

int cli_misused(struct cli *cli, const struct command *command, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	char *raw = compose(format, args), *shown = format_name(raw);
	va_end(args);
	complain(cli, CLI_USAGE, EINVAL, shown);
	fprintf(stderr, "see dmmfs-admin %s --help\n", command->name);
	free(raw);
	free(shown);
	return CLI_USAGE;
}
