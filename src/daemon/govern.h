/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The properties bandwidth, schedule and latency, as the governor of a migration takes them.
 */
#ifndef DMM_DAEMON_GOVERN_H
#define DMM_DAEMON_GOVERN_H

#include "daemon/options.h"

/* Of values that are right. */
void govern_settle(const struct options *options, struct govern_settings *settings);

#endif
