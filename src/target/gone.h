/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Is an object of the target gone, or can it not be read? open_by_handle_at(2) gives ESTALE for both: the kernel makes it of every
 * error of a handle but ENOMEM, of an inode that the disk does not give as well. A record goes with its object, so this is decided
 * here alone, and in doubt an object is there: EIO, which is told and tried again.
 *
 * An object is gone when its file system has no reason to be doubted:
 *
 *   all        it is not read-only, its root can be looked at, and the witness opened (where there is none: the root synced)
 *   ext4       it has counted no error since the target was opened (errors_count in sysfs), and told of none, which is sooner
 *              (FAN_FS_ERROR, Linux 5.16)
 *   btrfs      none of its devices has, and all of them can be asked
 *   xfs        it has no inode of this number and generation (XFS_IOC_BULKSTAT, which tells errors as they are)
 *
 * Errors are those since the target was opened: after a repair of the file system a new start believes it again.
 *
 * Threads: any.
 */
#ifndef DMM_TARGET_GONE_H
#define DMM_TARGET_GONE_H

#include "target/target.h"

/* What the file system says of itself is remembered, and what it says more is a reason to doubt it. target_open() does it, with
 * "/sys"; a test gives another directory. `sysfs` is kept. */
void target_trust(struct target *target, const char *sysfs);

/* After ESTALE from open_by_handle_at(2). Says why in the log when not. */
bool target_is_gone(const struct target *target, const struct handle *handle);

#endif
