/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Fault points: the table in words, and what happens at the armed one.
 *
 * Armed once, before there are threads; afterwards only the count of hits changes, atomically.
 */
#include "base/fault.h"

#include "base/log.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
	const char *name, *description;
} points[] = {
#define FAULT_POINT(id, name, what) [FAULT_##id] = {name, what},
#include "base/fault_points.h"
#undef FAULT_POINT
};

int fault_armed = -1;
static unsigned long fault_hit_wanted;
static int fault_errno; /* 0: end the process */
static atomic_ulong fault_hits;

const char *fault_name(enum fault_point point)
{
	return points[point].name;
}

const char *fault_description(enum fault_point point)
{
	return points[point].description;
}

static int find_point(const char *name, size_t name_len)
{
	for (int point = 0; point < (int)FAULT_POINTS; point++)
		if (strlen(points[point].name) == name_len && memcmp(points[point].name, name, name_len) == 0)
			return point;
	return -1;
}

static int find_errno(const char *name)
{
	for (int error = 1; error < 4096; error++)
		if (strcmp(errno_name(error), name) == 0)
			return error;
	return strcmp(name, "EOPNOTSUPP") == 0 ? EOPNOTSUPP : 0;
}

int fault_arm_from_environment(void)
{
	const char *wanted = getenv("DMMFS_FAULT");
	if (!wanted || !*wanted)
		return 0;
	const char *colon = strchr(wanted, ':');
	if (!colon || colon[1] < '0' || colon[1] > '9')
		return -EINVAL;
	int point = find_point(wanted, (size_t)(colon - wanted));
	char *end;
	errno = 0;
	unsigned long hit = strtoul(colon + 1, &end, 10);
	int error = *end == ':' ? find_errno(end + 1) : 0;
	if (point < 0 || hit == 0 || errno == ERANGE || (*end && error == 0))
		return -EINVAL;
	fault_hit_wanted = hit;
	fault_errno = error;
	atomic_store(&fault_hits, 0);
	fault_armed = point;
	return 0;
}

int fault_fire(enum fault_point point)
{
	if (atomic_fetch_add(&fault_hits, 1) + 1 != fault_hit_wanted)
		return 0;
	if (fault_errno) {
		log_warning("fault point %s: hit %lu gives %s", fault_name(point), fault_hit_wanted, errno_name(fault_errno));
		return -fault_errno;
	}
	kill(getpid(), SIGKILL);
	for (;;)
		pause();
}
