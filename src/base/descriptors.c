/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/descriptors.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#define FEW 1024u /* where the limit cannot be told */

unsigned descriptors_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return FEW;
	return limit.rlim_cur > DESCRIPTORS_MOST ? DESCRIPTORS_MOST : (unsigned)limit.rlim_cur;
}

void descriptors_make_room(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	CLEAN_FD int any = open("/", O_PATH | O_CLOEXEC);
	/* The table never shrinks. Without memory for it, it grows as it would have. */
	CLEAN_FD int last = any < 0 ? -1 : fcntl(any, F_DUPFD_CLOEXEC, (int)descriptors_limit() - 1);
	(void)last;
}
