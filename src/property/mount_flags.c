/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The flags of mount(8). Those that set something come first in each pair, so that printing finds them.
 */
#include "property/mount_flags.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

static const struct {
	const char *name;
	unsigned long set, clear;
} flags_known[] = {
	{"ro", MS_RDONLY, 0},
	{"rw", 0, MS_RDONLY},
	{"nosuid", MS_NOSUID, 0},
	{"suid", 0, MS_NOSUID},
	{"nodev", MS_NODEV, 0},
	{"dev", 0, MS_NODEV},
	{"noexec", MS_NOEXEC, 0},
	{"exec", 0, MS_NOEXEC},
	{"sync", MS_SYNCHRONOUS, 0},
	{"async", 0, MS_SYNCHRONOUS},
	{"dirsync", MS_DIRSYNC, 0},
	{"noatime", MS_NOATIME, 0},
	{"atime", 0, MS_NOATIME},
	{"nodiratime", MS_NODIRATIME, 0},
	{"diratime", 0, MS_NODIRATIME},
	{"relatime", MS_RELATIME, 0},
	{"norelatime", 0, MS_RELATIME},
	{"strictatime", MS_STRICTATIME, 0},
	{"defaults", 0, 0},
};
#define N_FLAGS (sizeof(flags_known) / sizeof(flags_known[0]))

bool mount_flag_take(const char *name, size_t name_len, unsigned long *flags)
{
	for (size_t i = 0; i < N_FLAGS; i++) {
		if (strlen(flags_known[i].name) == name_len && strncmp(name, flags_known[i].name, name_len) == 0) {
			*flags |= flags_known[i].set;
			*flags &= ~flags_known[i].clear;
			return true;
		}
	}
	return false;
}

int mount_flags_parse(const char *list, unsigned long *flags)
{
	unsigned long taken = *flags;

	for (const char *at = list;; at++) {
		size_t len = strcspn(at, ",");
		if (!mount_flag_take(at, len, &taken))
			return -EINVAL;
		at += len;
		if (!*at)
			break;
	}
	*flags = taken;
	return 0;
}

const char *mount_flags_print(unsigned long flags, char *buf, size_t buf_size)
{
	size_t used = 0;

	*buf = '\0';
	for (size_t i = 0; i < N_FLAGS && used < buf_size; i++)
		if (flags_known[i].set && (flags & flags_known[i].set) == flags_known[i].set)
			used += (size_t)snprintf(buf + used, buf_size - used, "%s%s", used ? "," : "", flags_known[i].name);
	return buf;
}

int mount_flags_check(const char *value, char *error, size_t error_size)
{
	unsigned long flags = 0;
	size_t used = 0;

	if (mount_flags_parse(value, &flags) == 0)
		return 0;
	used = (size_t)snprintf(error, error_size, "a list, with commas, of ");
	for (size_t i = 0; i < N_FLAGS && used < error_size; i++)
		used += (size_t)snprintf(error + used, error_size - used, "%s%s", i ? ", " : "", flags_known[i].name);
	return -EINVAL;
}
