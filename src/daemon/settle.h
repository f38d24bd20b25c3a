/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Steps of a start that options.c and settle.c share.
 */
#ifndef DMM_DAEMON_SETTLE_H
#define DMM_DAEMON_SETTLE_H

#include "daemon/options.h"

/* Source, target and mount point as they are known by: absolute, without links. */
int options_resolve(struct options *options, char *error, size_t error_size);

#endif
