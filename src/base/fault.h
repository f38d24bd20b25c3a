/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Fault points: named places between the steps of every phased commit, where a test can end the process or inject an error.
 *
 * All points are listed in one table (fault_points.h), so that a runner can enumerate them and a new one is covered without
 * anyone remembering. DMMFS_FAULT=name:N[:ERRNO-NAME] arms one: at its Nth hit the process ends by SIGKILL, or the call returns
 * the negative errno. Unarmed, a point costs one load and a branch.
 */
#ifndef DMM_BASE_FAULT_H
#define DMM_BASE_FAULT_H

enum fault_point {
#define FAULT_POINT(id, name, what) FAULT_##id,
#include "base/fault_points.h"
#undef FAULT_POINT
	FAULT_POINTS
};

/* Reads DMMFS_FAULT once, at start. -EINVAL when it names no point. */
int fault_arm_from_environment(void);

const char *fault_name(enum fault_point point);
const char *fault_description(enum fault_point point);

extern int fault_armed; /* the armed point, or -1 */
int fault_fire(enum fault_point point);

/* 0, or the negative errno to return at once. */
static inline int fault_hit(enum fault_point point)
{
	return __builtin_expect(fault_armed == (int)point, 0) ? fault_fire(point) : 0;
}

#endif
