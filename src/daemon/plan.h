/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What plan.c (looking) and verdict.c (what follows from it) share.
 */
#ifndef DMM_DAEMON_PLAN_H
#define DMM_DAEMON_PLAN_H

#include "daemon/options.h"
#include "migrate/survey.h"

#include <jansson.h>
#include <stdbool.h>

struct plan {
	struct options options;
	struct target target;
	bool has_target;
	struct target_limits limits;
	struct source *source;
	struct rules *order; /* NULL: there is none */
	struct survey survey;
	bool has_survey;
	unsigned walk_s; /* the walk may take so long; 0: as long as it takes */
	json_t *findings;
	bool stops, loses; /* a finding keeps the migration from beginning; something will not come over */
};

enum weight { NOTE, LOSS, STOP };

/* A finding; an object of it, for examples. */
json_t *plan_find(struct plan *plan, enum weight weight, const char *kind, uint64_t count, const char *remedy, const char *format,
                  ...) __attribute__((format(printf, 6, 7)));

/* What follows from what was seen. */
void verdict_judge(struct plan *plan);
/* All as one object. */
json_t *verdict_object(const struct plan *plan);

#endif
