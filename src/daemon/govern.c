/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/govern.h"

#include "property/measure.h"

void govern_settle(const struct options *options, struct govern_settings *settings)
{
	char why[512];

	rate_parse(options_value(options, "bandwidth"), &settings->bandwidth);
	latency_parse(options_value(options, "latency"), &settings->latency_us);
	schedule_parse(options_value(options, "schedule"), &settings->schedule, why, sizeof(why));
}
