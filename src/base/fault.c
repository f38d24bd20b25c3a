/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Fault points: the table in words, and what happens at the armed one.
 *
 * Armed once, before there are threads; afterwards only the counts of hits change, atomically. They lie in this process, or in a
 * file that several processes share.
 */
#include "base/fault.h"

#include "base/log.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const struct {
	const char *name, *description;
	bool can_fail;
} points[] = {
#define FAULT_POINT(id, name, what) [FAULT_##id] = {name, what, true},
#define FAULT_MOMENT(id, name, what) [FAULT_##id] = {name, what, false},
#include "base/fault_points.h"
#undef FAULT_POINT
#undef FAULT_MOMENT
};

bool fault_watched;
static int fault_armed = -1; /* a point */
static unsigned long fault_hit_wanted;
static int fault_errno; /* 0: end the process */
static _Atomic uint64_t own_hits[FAULT_POINTS], *fault_hits = own_hits;

const char *fault_name(enum fault_point point)
{
	return points[point].name;
}

const char *fault_description(enum fault_point point)
{
	return points[point].description;
}

bool fault_can_fail(enum fault_point point)
{
	return points[point].can_fail;
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

static int count_in_file(void)
{
	const char *path = getenv("DMMFS_FAULT_HITS");

	if (!path || !*path)
		return 0;
	CLEAN_FD int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, sizeof(own_hits)) < 0)
		return -EINVAL;
	void *shared = mmap(NULL, sizeof(own_hits), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (shared == MAP_FAILED)
		return -EINVAL;
	fault_hits = shared;
	fault_watched = true;
	return 0;
}

static int arm(const char *wanted)
{
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
	fault_armed = point;
	fault_watched = true;
	return 0;
}

int fault_arm_from_environment(void)
{
	const char *wanted = getenv("DMMFS_FAULT");

	memset(own_hits, 0, sizeof(own_hits));
	if (wanted && *wanted && arm(wanted) < 0)
		return -EINVAL;
	return count_in_file();
}

int fault_fire(enum fault_point point)
{
	uint64_t hit = atomic_fetch_add(&fault_hits[point], 1) + 1;

	if ((int)point != fault_armed || hit != fault_hit_wanted)
		return 0;
	if (fault_errno) {
		log_warning("fault point %s: hit %lu gives %s", fault_name(point), fault_hit_wanted, errno_name(fault_errno));
		return -fault_errno;
	}
	kill(getpid(), SIGKILL);
	for (;;)
		pause();
}
