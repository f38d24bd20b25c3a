/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Owner, permissions and POSIX ACL of an object from the security descriptor among its attributes, where the map of ids has SIDs.
 */
#ifndef DMM_MIGRATE_DESCRIPTOR_H
#define DMM_MIGRATE_DESCRIPTOR_H

#include "source/descriptor.h"
#include "target/make.h"

/* `attr` and `xattrs` become as the descriptor says, as far as the map knows its SIDs; what it does not know is told, and stays as the
 * source says of every object. NULL map, or no descriptor: nothing happens. 0 or -ENOMEM; a damaged descriptor is a loss. */
int descriptor_apply(const struct idmap *map, struct xattr_set *xattrs, struct dmm_attr *attr, descriptor_loss_fn loss,
                     void *context);

#endif
