/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A directory for what tests put on disk. Each test begins with an empty one, which it need not tidy up. When the last test of its case has
 * run the directory goes with all that is in it, also with what was left by a test that failed: the process that runs the tests takes it
 * away, not the one that failed. Only a program that is killed itself leaves one.
 */
#ifndef DMM_TEST_SCRATCH_H
#define DMM_TEST_SCRATCH_H

#include <check.h>

/* Before the case gets fixtures that use it. */
void scratch_add(TCase *tcase);

/* The path of what has this name there; a few may be in use at once. */
const char *scratch_path(const char *name);

#endif
