/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Schedules: what the background may take of source and machine at which hours of the week.
 *
 *     mon-fri 08:00-18:00 limit=20MB/s workers=1; sat,sun 22:00-06:00 workers=0; * limit=none workers=max
 *
 * Rules are separated by semicolons and looked at in order: the first whose days and times hold is in force. A rule is days
 * (default: all), then ranges of times (default: the whole day), then settings, at least one. A range that ends before it begins
 * goes over midnight and belongs to the day on which it begins. Where no rule is in force nothing is limited. "none" is a schedule
 * without rules.
 *
 * Times are those of a clock on the wall: a rule is in force whenever such a clock shows a time in it. A time that the change to
 * summer time leaves out is never shown, so a range that ends there ends with the change; one that is shown twice counts twice.
 *
 * Nothing here has a clock of its own. The time zone is the process's (tzset(3)); any thread may call everything.
 */
#ifndef DMM_PROPERTY_SCHEDULE_H
#define DMM_PROPERTY_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define SCHEDULE_RULES 32
#define SCHEDULE_RANGES 16     /* of one rule */
#define SCHEDULE_RULE_TEXT 384 /* bytes: enough for one rule */
#define SCHEDULE_TEXT (SCHEDULE_RULES * SCHEDULE_RULE_TEXT)
#define SCHEDULE_WORKERS_MAX UINT32_MAX
#define SCHEDULE_AHEAD_S (8 * 86400) /* how far ahead a change is looked for */

struct schedule_rule {
	uint8_t days; /* bit n: day n of the week, 0 is Sunday (tm_wday) */
	uint8_t n_ranges;
	struct schedule_range {
		uint16_t from, to; /* minutes of the day; to: up to 1440; to < from: over midnight */
	} ranges[SCHEDULE_RANGES];
	uint64_t limit_bytes_per_s; /* RATE_NONE: no limit */
	uint32_t workers;           /* 0: the background stops; SCHEDULE_WORKERS_MAX: all */
	bool has_latency;           /* otherwise the property's target holds */
	uint64_t latency_us;        /* LATENCY_OFF: no target */
};

struct schedule {
	unsigned n_rules;
	struct schedule_rule rules[SCHEDULE_RULES];
};

/* 0; -EINVAL with a sentence in `error` that says what is wrong with which word and shows how it is written. `schedule` is written
 * on success only. */
int schedule_parse(const char *text, struct schedule *schedule, char *error, size_t error_size);

/* The same for the table of properties: what follows "must be". */
int schedule_check(const char *value, char *error, size_t error_size);

/* The one form that all texts of the same meaning have; parsed again it gives the same schedule. Return `buf`. */
const char *schedule_format(const struct schedule *schedule, char *buf, size_t size);
const char *schedule_rule_format(const struct schedule_rule *rule, char *buf, size_t size);

/* The index of the rule in force at this time; -1: none. */
int schedule_rule_at(const struct schedule *schedule, time_t at);

/* When what is in force at `at` ends: the first second of something else. False: not within SCHEDULE_AHEAD_S. */
bool schedule_until(const struct schedule *schedule, time_t at, time_t *until);

#endif
