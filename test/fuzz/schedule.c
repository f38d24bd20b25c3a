/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Schedules from outside: any text is refused with a sentence or becomes a schedule whose canonical text gives the same schedule,
 * and which knows at any time what is in force and a change that lies ahead.
 */
#include "property/schedule.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition) \
	do { \
		if (!(condition)) \
			abort(); \
	} while (0)

static void check_ahead(const struct schedule *schedule, time_t now)
{
	time_t until = 0;
	int rule = schedule_rule_at(schedule, now);

	MUST(rule >= -1 && rule < (int)schedule->n_rules);
	if (schedule_until(schedule, now, &until)) {
		MUST(until > now && until <= now + SCHEDULE_AHEAD_S);
		MUST(schedule_rule_at(schedule, until) != rule);
		MUST(schedule_rule_at(schedule, until - 1) == rule);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct schedule schedule, again;
	static char canonical[SCHEDULE_TEXT], second[SCHEDULE_TEXT];
	char error[512] = "", *text = malloc(size + 1);

	MUST(text);
	memcpy(text, data, size);
	text[size] = '\0';
	memset(&schedule, 0, sizeof(schedule));
	memset(&again, 0, sizeof(again));
	setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
	tzset();
	if (schedule_parse(text, &schedule, error, sizeof(error)) < 0) {
		MUST(*error);
	} else {
		schedule_format(&schedule, canonical, sizeof(canonical));
		MUST(schedule_parse(canonical, &again, error, sizeof(error)) == 0);
		MUST(strcmp(schedule_format(&again, second, sizeof(second)), canonical) == 0);
		check_ahead(&schedule, 1774656000); /* two days before the clock goes forward */
	}
	free(text);
	return 0;
}
