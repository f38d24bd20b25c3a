/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Running programs: the daemon, which is also the one that can make and delete a migration, and systemctl.
 */
#ifndef DMM_CLI_RUN_H
#define DMM_CLI_RUN_H

#include "cli/cli.h"

struct ran {
	int status;   /* exit status; 128 + the signal that ended it; -1: it could not be run */
	char *output; /* of standard output */
	char *message; /* the last line of standard error that begins with the program's name, without that; "" when there is none */
};

/* The path of the daemon's program. */
const char *run_daemon_program(void);

/* Runs the daemon's program with these arguments (NULL at the end), in the configuration that was named to us. What it says beside
 * its message goes to our standard error. A message for people is there whenever the status is not 0. */
void run_daemon(const struct cli *cli, const char *const *arguments, struct ran *ran);

/* Runs `systemctl VERB dmmfs@MIGID.service`. */
void run_systemctl(const char *verb, uint32_t migid, struct ran *ran);
void ran_free(struct ran *ran);

/* Does the service manager run this configuration's migrations? It runs those of the machine, from the installed program. */
bool run_by_systemd(const struct cli *cli);

#endif
