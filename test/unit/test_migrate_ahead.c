/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * All of test_migrate.c with a source that is asked ahead.
 */
#define ASKED_AHEAD true
#include "test_migrate.c"
