/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The flags of mount(8) that a migration can be mounted with, by name.
 */
#ifndef DMM_PROPERTY_MOUNT_FLAGS_H
#define DMM_PROPERTY_MOUNT_FLAGS_H

#include <stdbool.h>
#include <stddef.h>

/* Applies one flag to `flags` (MS_*). False: this is none. */
bool mount_flag_take(const char *name, size_t name_len, unsigned long *flags);

/* The same for a list with commas; -EINVAL when something in it is none. */
int mount_flags_parse(const char *list, unsigned long *flags);

/* The shortest list that mount_flags_parse() makes these flags of; empty for none. Returns `buf`. */
const char *mount_flags_print(unsigned long flags, char *buf, size_t buf_size);

/* For the table of properties. */
int mount_flags_check(const char *value, char *error, size_t error_size);

#endif
