/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Processors that stay awake while requests are frequent.
 *
 * A request is handed from the caller to a thread of ours and back, mostly between two processors. One that has nothing to do halts,
 * and is woken by an interrupt: in a virtual machine that leaves it on both sides, 20 to 40 us, more than most operations take. Linux can be
 * asked to let idle processors poll instead (/dev/cpu_dma_latency, "PM QoS" in the kernel's documentation). A store to memory wakes
 * them then.
 *
 * It is asked of the whole machine, and what polls uses power and time of the host's processors. So it is asked only while many
 * requests come, and, unless the administrator wants it, only where there are few processors. The wish ends with the
 * descriptor, so with the process, however that ends.
 *
 * Threads: one at a time; the deputy's (fs/turn.h), or whoever sees, under its lock, that there is none.
 */
#ifndef DMM_FS_AWAKE_H
#define DMM_FS_AWAKE_H

#include <stdbool.h>
#include <stdint.h>

/* In the order of the choices of the property. */
enum awake_when {
	AWAKE_AUTO, /* where there are few processors */
	AWAKE_OFF,
	AWAKE_ON,
};

struct awake {
	const char *path; /* of the device; NULL: the processors may sleep, always */
	int fd;           /* -1: they may sleep now */
	uint64_t seen;    /* requests, at the last look */
	unsigned busy;    /* looks in a row with many */
	unsigned calm;    /* looks in a row with hardly any */
};

void awake_start(struct awake *awake, enum awake_when when);
void awake_stop(struct awake *awake);

/* To be called about each millisecond, with the number of all requests so far. */
void awake_look(struct awake *awake, uint64_t requests);

/* Whether the looks must go on, or it be let go. */
static inline bool awake_is_held(const struct awake *awake)
{
	return awake->fd >= 0;
}
/* Held it is no more, until the looks show many again. */
void awake_let_go(struct awake *awake);

#endif
