/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dmmfs-admin: the administrator's command. Finds the command that is meant and runs it.
 */
#include "cli/cli.h"
#include "cli/print.h"
#include "dmmfs-config.h"

#include <errno.h>
#include <locale.h>
#include <string.h>
#include <unistd.h>

/* In the order in which --help and the manual page show them. */
static const struct command *const commands[] = {
	/* clang-format off */
	&command_plan,
	&command_create,
	&command_start,
	&command_halt,
	&command_pause,
	&command_resume,
	&command_upgrade,
	&command_delete,
	&command_list,
	&command_show,
	&command_stat,
	&command_watch,
	&command_set,
	&command_get,
	&command_where,
	&command_fetch,
	&command_first,
	&command_finish,
	&command_errors,
	&command_losses,
	&command_retry,
	&command_waive,
	&command_verify,
	&command_report,
	&command_log,
	&command_db,
	/* clang-format on */
};
#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

#define ARGUMENTS_COLUMNS 32

static void print_usage(FILE *to)
{
	fputs("usage: dmmfs-admin [--confdir DIR] [--rundir DIR] COMMAND [OPTIONS] [ARGUMENTS]\n\n", to);
	for (size_t i = 0; i < N_COMMANDS; i++) {
		const char *arguments = commands[i]->arguments;
		fprintf(to, "  %-7s ", commands[i]->name);
		if (strlen(arguments) > ARGUMENTS_COLUMNS) { /* what it does stands below, in its column */
			fprintf(to, "%s\n%10s", arguments, "");
			arguments = "";
		}
		fprintf(to, "%-*s %s\n", ARGUMENTS_COLUMNS, arguments, commands[i]->summary);
	}
	fputs("\nEach takes --json, and --help, which tells more. A MIGID is a number that 'list' shows, or the mount point or "
	      "the target.\n",
	      to);
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	return NULL;
}

/* Options before the command. False: the program ends with cli->status. */
static bool read_options(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {{"version", no_argument, NULL, 'V'}, CLI_OPTIONS};
	int option;
	while ((option = getopt_long(argc, argv, "+V" CLI_LETTERS, options, NULL)) != -1) {
		switch (option) {
		case 'V':
			puts("dmmfs-admin " DMM_VERSION);
			cli->status = CLI_OK;
			return false;
		case 'h':
			print_usage(stdout);
			cli->status = CLI_OK;
			return false;
		case '?':
			fputs("see dmmfs-admin --help\n", stderr);
			cli->status = CLI_USAGE;
			return false;
		default:
			cli_option(cli, NULL, option);
		}
	}
	return true;
}

static int run(struct cli *cli, int argc, char **argv)
{
	static char name[] = "dmmfs-admin";
	argv[0] = name; /* what getopt's messages begin with */
	if (!read_options(cli, argc, argv))
		return cli->status;
	if (optind >= argc) {
		print_usage(stderr);
		return CLI_USAGE;
	}
	argc -= optind;
	argv += optind;
	const struct command *command = find_command(argv[0]);
	if (!command)
		return cli_fail(cli, CLI_USAGE, EINVAL, "there is no command '%s': see dmmfs-admin --help", argv[0]);
	argv[0] = name;
	optind = 0; /* glibc: begin anew, with the command's own letters */
	return command->run(cli, argc, argv);
}

int main(int argc, char **argv)
{
	struct cli cli = {0};
	/* What a shell left open for us may lie on the mount that is to go, and must not go on to a daemon that is started. */
	close_range(3, ~0u, 0);
	setlocale(LC_CTYPE, "");
	cli_absolute_environment();
	int status = run(&cli, argc, argv);
	json_decref(cli.uuids);
	/* Output that nobody got is no success: a full disk, a closed pipe. */
	if ((fflush(stdout) != 0 || ferror(stdout)) && status == CLI_OK) {
		fprintf(stderr, "dmmfs-admin: standard output: %s\n", strerror(errno));
		return CLI_FAILED;
	}
	return status;
}
