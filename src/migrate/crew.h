/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Several threads that make the entries of one large directory.
 */
#ifndef DMM_MIGRATE_CREW_H
#define DMM_MIGRATE_CREW_H

#include "migrate/make.h"

/* A directory with fewer entries is made by one thread. */
#define CREW_FROM 256u

/* NULL: one thread is all that there is. */
struct crew *crew_new(struct making *making);
/* The entry is made, soon or now. As populate_take(), of this one or of one that was added before; then no more are to be added. */
int crew_add(struct crew *crew, const struct dmm_entry *entry);
/* Makes all that are left, or none of them when the listing has failed with `result`; nobody but the caller is at work afterwards, and all
 * that was made is accounted for in its `making`. Returns `result`, or what ended the work; frees the crew. */
int crew_end(struct crew *crew, int result);
/* Somebody waits for the directory now. Under its lock. */
void crew_hurry(struct crew *crew);

#endif
