/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Properties of a migration that runs: what is in force, and changing it.
 */
#ifndef DMM_DAEMON_APPLY_H
#define DMM_DAEMON_APPLY_H

#include "daemon/daemon.h"

/* Answers to admin/ (migrate/report.h). */
int daemon_set(void *context, const struct setting_change *changes, size_t n, char *error, size_t error_size);
int daemon_get(void *context, int (*each)(void *each_context, const char *name, const char *value, const char *from),
               void *each_context);

/* When the socket is there: what was set between our reading of the database and now takes effect, too. */
void daemon_catch_up(struct daemon *daemon);

#endif
