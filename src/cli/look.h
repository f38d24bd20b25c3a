/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Running the daemon's program in a mode that looks and changes nothing: what needs the house (state, target, source) is done there,
 * in a process that may die of a damaged database; what it says is shown here. src/daemon/look.h describes its lines.
 */
#ifndef DMM_CLI_LOOK_H
#define DMM_CLI_LOOK_H

#include "cli/cli.h"

struct look {
	int status;      /* its exit status; -1: a signal ended it */
	int signal;      /* that one */
	json_t *summary; /* its last word, or NULL */
	json_t *failure; /* or what kept it from looking */
	char words[512]; /* the last line of its standard error */
};

/* Runs it with these arguments (NULL at the end). `line` gets each other line, by its one key; it may be NULL. With `through` its
 * standard output is ours and no line is read. An exit code: not CLI_OK, after a message, when it could not be run at all. */
int look_run(struct cli *cli, const char *const *arguments, bool through,
             void (*line)(void *context, const char *what, const json_t *object), void *context, struct look *look);
void look_free(struct look *look);

/* The directory of a migration's state, newly allocated. */
struct migration;
char *look_statedir(const struct migration *migration);

/* How it died, in half a sentence. Returns `text`. */
const char *look_death(const struct look *look, char text[640]);

#endif
