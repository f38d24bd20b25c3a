/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Which kernel runs. For what cannot be asked of it: whether something is done right, or will be there when something is mounted.
 */
#ifndef DMM_BASE_KERNEL_H
#define DMM_BASE_KERNEL_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/utsname.h>

static inline bool kernel_is_since(unsigned major, unsigned minor)
{
	struct utsname name;
	unsigned found_major, found_minor;

	if (uname(&name) < 0 || sscanf(name.release, "%u.%u", &found_major, &found_minor) != 2)
		return false;
	return found_major > major || (found_major == major && found_minor >= minor);
}

#endif
