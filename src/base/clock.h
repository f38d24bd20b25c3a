/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Time, in nanoseconds. Intervals and deadlines use the monotonic clock; only what is shown or stored uses the wall clock, which an
 * administrator sets, or a server of time: by a year, or back by a day. So no wait may end by it.
 */
#ifndef DMM_BASE_CLOCK_H
#define DMM_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_S 1000000000ull
#define NS_PER_MS 1000000ull
#define NS_PER_US 1000ull

static inline uint64_t clock_read_ns(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static inline uint64_t clock_monotonic_ns(void)
{
	return clock_read_ns(CLOCK_MONOTONIC);
}

static inline uint64_t clock_wall_ns(void)
{
	return clock_read_ns(CLOCK_REALTIME);
}

/* So long from now, for pthread_cond_clockwait(.., CLOCK_MONOTONIC, ..). */
static inline struct timespec clock_after_ns(uint64_t ns)
{
	uint64_t until = clock_monotonic_ns() + ns;

	return (struct timespec){.tv_sec = (time_t)(until / NS_PER_S), .tv_nsec = (long)(until % NS_PER_S)};
}

#endif
