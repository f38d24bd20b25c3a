/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Fault points: named places between the steps of every phased commit, where a test can end the process or inject an error.
 *
 * All points are listed in one table (fault_points.h), so that a runner can enumerate them and a new one is covered without
 * anyone remembering. DMMFS_FAULT=name:N[:ERRNO-NAME] arms one: at its Nth hit the process ends by SIGKILL, or the call returns
 * the negative errno. DMMFS_FAULT_HITS=FILE counts the hits of all points there, for all processes that are given the file: the
 * Nth hit is then the Nth of all of them. It is an array of unsigned 64 bit integers, in the order of the table. Without either, a
 * point costs one load and a branch.
 */
#ifndef DMM_BASE_FAULT_H
#define DMM_BASE_FAULT_H

#include <stdbool.h>

enum fault_point {
#define FAULT_POINT(id, name, what) FAULT_##id,
#define FAULT_MOMENT FAULT_POINT
#include "base/fault_points.h"
#undef FAULT_POINT
#undef FAULT_MOMENT
	FAULT_POINTS
};

/* Reads DMMFS_FAULT and DMMFS_FAULT_HITS once, at start. -EINVAL when the one names no point or the other no file. */
int fault_arm_from_environment(void);

const char *fault_name(enum fault_point point);
const char *fault_description(enum fault_point point);
bool fault_can_fail(enum fault_point point); /* false: nothing can fail there, a process can only end */

extern bool fault_watched; /* something is armed, or hits are counted */
int fault_fire(enum fault_point point);

/* 0, or the negative errno to return at once. */
static inline int fault_hit(enum fault_point point)
{
	return __builtin_expect(fault_watched, 0) ? fault_fire(point) : 0;
}

/* Where nothing can fail (FAULT_MOMENT in the table). */
static inline void fault_moment(enum fault_point point)
{
	if (__builtin_expect(fault_watched, 0))
		fault_fire(point);
}

#endif
