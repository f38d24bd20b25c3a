/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Lines of the log of a migration, wherever they are kept: in the memory of its daemon, in its logfile, in the journal.
 *
 * A line is a JSON object: time_ms, level, text (without the migid before it); one of a daemon has an id, too.
 */
#ifndef DMM_CLI_LOGLINES_H
#define DMM_CLI_LOGLINES_H

#include "cli/cli.h"

#include <stddef.h>

/* The lines with an id above `after` that the daemon has, and of these the last ones; *run tells its runs apart. Errors as of
 * daemon_ask(), without a reply. */
int loglines_of_daemon(const struct cli *cli, uint32_t migid, json_int_t after, size_t last, json_t **lines, json_int_t *run);

/* The last lines of a migration in a logfile. 0 or negative errno. */
int loglines_of_file(const char *path, uint32_t migid, size_t last, json_t **lines);

/* The same of the journal; -ENOENT: this machine has none. */
int loglines_of_journal(uint32_t migid, size_t last, json_t **lines);

/* A line of a logfile as an object; NULL: it is of another migration, or none. */
json_t *loglines_parse(const char *text, size_t len, uint32_t migid);

/* The fields of an event: an object of strings, "event" among them; empty for a sentence. Never NULL. */
json_t *loglines_fields(const char *text);

#endif
