/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the modes that look have in common. See look.h.
 */
#include "daemon/look.h"

#include "daemon/options.h"

#include "base/log.h"
#include "wire/bytes.h"

#include <mntent.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

void look_say(const char *what, json_t *object)
{
	json_t *line = json_pack("{s:o}", what, object);
	json_dumpf(line, stdout, JSON_COMPACT);
	putchar('\n');
	fflush(stdout); /* what follows may be the end of the process */
	json_decref(line);
}

int look_fail(int error, const char *format, ...)
{
	char message[1024];
	va_list args;
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	json_t *object = json_pack("{s:s}", "error", errno_name(error));
	bytes_set(object, "message", message);
	look_say("failure", object);
	return EXIT_FAILED;
}

#define MOUNTS_MAX 1024

/* From the last to the first, since one may lie below another. */
static void detach_all(FILE *mounts)
{
	char *paths[MOUNTS_MAX];
	size_t n = 0;
	for (struct mntent *mount; n < MOUNTS_MAX && (mount = getmntent(mounts));)
		if (strcmp(mount->mnt_type, "fuse.dmmfs") == 0)
			paths[n++] = strdup(mount->mnt_dir);
	while (n-- > 0) {
		if (paths[n] && umount2(paths[n], MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
			log_debug("a mount stays in the way: %s", paths[n]);
		free(paths[n]);
	}
}

void look_below_mounts(void)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return;
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	if (!mounts)
		return;
	detach_all(mounts);
	endmntent(mounts);
}
