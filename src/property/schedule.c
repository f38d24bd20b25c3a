/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Which rule is in force, and until when.
 *
 * A week of local time is a circle of 10080 minutes on which rules are compared. While the zone's offset stays the same, local
 * time runs as the seconds do; so the way to the next change goes minute by minute within such a stretch, without asking the C
 * library, and from stretch to stretch by looking for the second at which the offset changes.
 */
#include "property/schedule.h"

#define DAY_MIN 1440u
#define WEEK_MIN (7 * DAY_MIN)
#define WEEK_S (60 * WEEK_MIN)
#define LOOK_S 3600 /* an offset that changes twice within this time is not seen to change */

/* Second of the local week, Sunday 00:00 is 0. */
static unsigned second_of_week(time_t at)
{
	struct tm tm;

	if (!localtime_r(&at, &tm)) /* a year that is no int */
		return 0;
	return (((unsigned)tm.tm_wday * 24 + (unsigned)tm.tm_hour) * 60 + (unsigned)tm.tm_min) * 60 + (unsigned)tm.tm_sec;
}

/* How far local time is ahead, within a week. */
static unsigned offset_at(time_t at)
{
	unsigned utc = (unsigned)((at % (time_t)WEEK_S + (time_t)WEEK_S) % (time_t)WEEK_S);

	return (second_of_week(at) + WEEK_S - utc) % WEEK_S;
}

static bool in_range(const struct schedule_rule *rule, const struct schedule_range *range, unsigned day, unsigned minute)
{
	bool today = rule->days & (1u << day), yesterday = rule->days & (1u << (day + 6) % 7);

	if (range->from < range->to)
		return today && minute >= range->from && minute < range->to;
	return (today && minute >= range->from) || (yesterday && minute < range->to);
}

static bool rule_holds(const struct schedule_rule *rule, unsigned minute_of_week)
{
	unsigned day = minute_of_week / DAY_MIN, minute = minute_of_week % DAY_MIN;

	for (unsigned i = 0; i < rule->n_ranges; i++)
		if (in_range(rule, &rule->ranges[i], day, minute))
			return true;
	return rule->n_ranges == 0 && (rule->days & (1u << day));
}

static int rule_at_minute(const struct schedule *schedule, unsigned minute_of_week)
{
	for (unsigned i = 0; i < schedule->n_rules; i++)
		if (rule_holds(&schedule->rules[i], minute_of_week))
			return (int)i;
	return -1;
}

int schedule_rule_at(const struct schedule *schedule, time_t at)
{
	return rule_at_minute(schedule, second_of_week(at) / 60 % WEEK_MIN);
}

/* The first second after `at` that has another offset; `end` when there is none before. */
static time_t offset_ends(time_t at, time_t end)
{
	unsigned offset = offset_at(at);
	time_t same = at, other = at;

	while (other < end && offset_at(other) == offset) {
		same = other;
		other = end - other > LOOK_S ? other + LOOK_S : end;
	}
	if (other >= end)
		return end;
	while (other - same > 1) {
		time_t middle = same + (other - same) / 2;
		*(offset_at(middle) == offset ? &same : &other) = middle;
	}
	return other;
}

/* The first full minute in (at, end) at which something else than `rule` is in force; `end` when there is none. The offset is the
 * same all that time. */
static time_t rule_ends(const struct schedule *schedule, int rule, time_t at, time_t end)
{
	unsigned second = second_of_week(at), minute = second / 60;
	time_t next = at + 60 - (time_t)(second % 60);

	for (; next < end; next += 60) {
		minute = (minute + 1) % WEEK_MIN;
		if (rule_at_minute(schedule, minute) != rule)
			return next;
	}
	return end;
}

bool schedule_until(const struct schedule *schedule, time_t at, time_t *until)
{
	int rule = schedule_rule_at(schedule, at);
	time_t end = at + SCHEDULE_AHEAD_S;

	for (time_t from = at; from < end && schedule->n_rules;) {
		time_t stretch = offset_ends(from, end);
		time_t change = rule_ends(schedule, rule, from, stretch);
		if (change == stretch && (stretch == end || schedule_rule_at(schedule, stretch) == rule)) {
			from = stretch;
			continue;
		}
		*until = change;
		return true;
	}
	return false;
}
