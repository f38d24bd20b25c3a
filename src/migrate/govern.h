/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The governor: how much the background may take of source and machine, now.
 *
 * Four things decide: the rule of the schedule that is in force, the property `bandwidth`, how long applications wait (load.h), and
 * whether they are there at all and want the processors (company.h). The result is a number of background workers for each lane and a rate for the bytes that they read from the source.
 *
 * Demand is never governed (I6), nor is read-ahead: it is done for an application that reads just now. No worker waits for its
 * turn while it holds a thread of a lane or a claim on a segment: who may not go on puts its job back, and the lane starts no
 * background job until there is something to take again.
 */
#ifndef DMM_MIGRATE_GOVERN_H
#define DMM_MIGRATE_GOVERN_H

#include "base/lane.h"
#include "migrate/migrate.h"

enum governed { GOVERNED_NAMES, GOVERNED_DATA };
#define GOVERNED_LANES 2

/* What follows from the settings at a time. */
struct govern_terms {
	int rule; /* index; -1: none is in force */
	uint64_t limit_bytes_per_s, latency_us;
	uint32_t workers; /* for each lane; SCHEDULE_WORKERS_MAX: all that it has */
};

struct govern;

void govern_terms(const struct govern_settings *settings, time_t now, struct govern_terms *terms);

/* With the settings of its options. */
int govern_start(struct migrate *migrate);
/* No more limits: what is queued is to be drained. */
void govern_stop(struct migrate *migrate);
void govern_free(struct migrate *migrate);

/* The lanes have other numbers of threads that the background may have. */
void govern_resize(struct migrate *migrate, unsigned names, unsigned data);

/* The background is about to read so many bytes. False: not now. */
bool govern_take(struct migrate *migrate, uint64_t bytes);
/* It did not read them after all. */
void govern_give_back(struct migrate *migrate, uint64_t bytes);
/* More background jobs run on this lane than may now: whose job can be put off puts it off. */
bool govern_exceeded(struct migrate *migrate, enum governed which);
/* A piece of background work took so long: when less than one worker is allowed a rest follows. */
void govern_worked(struct migrate *migrate, enum governed which, uint64_t took_ns);

/* An application is served, or waits. By any thread, at no cost. */
void govern_meet(struct migrate *migrate);

void govern_stat(struct migrate *migrate, struct background_stat *stat);

#endif
