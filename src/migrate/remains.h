/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What is left on the target of objects whose loss the administrator has waived, when a migration finishes.
 *
 * After finish nothing says any more which bytes never came over, and they would read as zeros. So
 *   - a file that no application has changed is removed: the source has all of it;
 *   - a file that an application has changed is kept, for its bytes exist nowhere else; what of it was never fetched reads as
 *     zeros, and is told range by range;
 *   - a directory whose entries never came over stays, with the attributes it had and without what an attempt has left in it: what
 *     was born before the migration was there before and stays;
 *   - a name that was never made is not there.
 *
 * No mount, no migration: a store and a target. All of it may be done again after a kill.
 */
#ifndef DMM_MIGRATE_REMAINS_H
#define DMM_MIGRATE_REMAINS_H

#include "state/store.h"
#include "target/target.h"

/* Gives each waived entry of the ledger, losses and drift among them, with what becomes of it in `detail`; nothing is changed. */
int remains_tell(struct store *store, const struct target *target, int (*each)(void *context, const struct error_record *record),
                 void *context);

/* 1 when a file or a directory has not come over and is not waived either: whatever the counters say, the state must stay then.
 * 0: there is none, negative errno. As of the last commit. */
int remains_pending(struct store *store, const struct target *target);

/* Makes it so; durable on return. */
int remains_settle(struct store *store, const struct target *target);

#endif
