/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The modes of the program that look and change nothing: what dmmfs-admin runs for `db` and `plan`, since what they need, state,
 * target and source, is known in the house alone.
 *
 *   dmmfs --inspect check|dump|export ...            a state, or the configuration (inspect.c, save.c)
 *   dmmfs --inspect losses [--most COUNT] ...         the loss report of a state, so many paths of each kind
 *   dmmfs --plan SECONDS SOURCE MOUNTPOINT -o ...    what a migration would meet (plan.c, verdict.c); SECONDS: for the walk, 0: no end
 *   dmmfs --rebuild --migid N [--apply] ...          a new state from source and target (rebuild.c); without --apply it only looks
 *
 * They say what they find on standard output, an object of JSON in each line with one key that tells what it is: "progress",
 * "finding", "summary", "failure"; a dump prints the entries themselves. A "summary" is the last word; whoever gets
 * none knows that the process died. This is between the two programs and nobody else; dmmfs-admin(8) documents what people get.
 */
#ifndef DMM_DAEMON_LOOK_H
#define DMM_DAEMON_LOOK_H

#include <jansson.h>

/* Exit status of a dump that came to an end too soon. */
#define LOOK_PARTIAL 33

/* The modes: from the command line without the name of the program to an exit status. */
int inspect_main(int argc, char **argv);
int plan_main(int argc, char **argv);
/* rebuild.c: the one that changes something, with --apply. */
int rebuild_main(int argc, char **argv);

/* Prints {what: object}, and gives the object up. */
void look_say(const char *what, json_t *object);
/* {"failure": {"error": ..., "message": ...}}; returns EXIT_FAILED. */
int look_fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Detaches the mounts of dmmfs in a name space of this process alone, so that what they cover can be reached: the target itself.
 * Nobody else notices. Where that is not allowed it does nothing. */
void look_below_mounts(void);

/* save.c: `dmmfs --inspect export` */
struct saving {
	const char *state, *target, *mountpoint, *confdir, *to;
	unsigned migid;
};
int save_state(const struct saving *saving);

#endif
