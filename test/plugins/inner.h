/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The posix plugin behind a plugin for tests, which spoils its answers: instances and connections are the posix plugin's own, so the
 * functions here are members of struct dmm_plugin as they stand.
 *
 * DMMFS_SLOW_INNER names the posix plugin; default: BUILD/plugins/posix.so, found from the place of the plugin for tests.
 */
#ifndef DMM_TEST_INNER_H
#define DMM_TEST_INNER_H

#include "dmmfs/plugin.h"

extern const struct dmm_plugin *inner; /* from the first inner_open() on that succeeds, for good */

/* Opens the directory that comes behind `scheme` in config->source. */
int inner_open(const struct dmm_config *config, const char *scheme, struct dmm_instance **instance);
void inner_close(struct dmm_instance *instance);
int inner_connect(struct dmm_instance *instance, struct dmm_conn **conn);
void inner_disconnect(struct dmm_conn *conn);
uint64_t inner_capabilities(struct dmm_conn *conn); /* no descriptor: all data passes through READ */

#endif
