/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Room for descriptors. Linux doubles the table of them when it is full, and in a process that has threads it waits for all processors to
 * have passed a quiet point then (synchronize_rcu): 10 ms and more, in which whoever opens something waits, in the midst of a request. So
 * the table gets its size before there are threads.
 */
#ifndef DMM_BASE_DESCRIPTORS_H
#define DMM_BASE_DESCRIPTORS_H

/* Raises the limit as far as it may be, and makes the table as large as that, up to DESCRIPTORS_MOST. To be called before the first
 * thread is started; later it works as well, and waits. */
void descriptors_make_room(void);

/* How many this process may have open, DESCRIPTORS_MOST at most. */
unsigned descriptors_limit(void);

#define DESCRIPTORS_MOST 65536u

#endif
