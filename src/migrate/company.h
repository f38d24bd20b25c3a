/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How many workers the background may have while applications are at work on the mount.
 *
 * What hurts an application beside the background is waiting for a processor: its own threads wait for one, and so do those that answer
 * it, behind a dozen workers. So as long as somebody is there the background may want one processor less than there are, and at least
 * one. Workers that wait for a network or a disk want none, and go on hiding its latency: what counts is how much of its time
 * a worker that has a job runs or waits to run, which the kernel tells of each thread. That others use the processors as well changes
 * nothing: who wants one wants it no more for that, and who has one worker makes progress beside any load.
 *
 * No threads, no locks, no clock here: it belongs to the governor (govern.c).
 */
#ifndef DMM_MIGRATE_COMPANY_H
#define DMM_MIGRATE_COMPANY_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#define COMPANY_NO_LIMIT UINT_MAX

struct company {
	unsigned processors; /* that this process may use */
	bool here;           /* somebody is */
	double want;         /* part of its time that a worker with a job wants a processor; 0: not known */
	uint64_t worked_ns, wanted_ns;
};

void company_init(struct company *company);
/* For how long all workers together had jobs so far, and for how long they ran or waited to run. */
void company_measure(struct company *company, uint64_t worked_ns, uint64_t wanted_ns);
/* Workers of all lanes together: 1 or more, or COMPANY_NO_LIMIT. */
unsigned company_workers(const struct company *company);

#endif
