/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "property/measure.h"

#include "base/clock.h"
#include "base/duration.h"
#include "base/size.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define RATE_WORD 64 /* bytes: more digits than that mean nothing */

const char rate_allowed[] = "none, or a rate from 1KB/s to 1PB/s, for example 20MB/s";
const char latency_allowed[] = "off, or a time from 100us to 60s, for example 20ms";

int rate_parse(const char *text, uint64_t *bytes_per_s)
{
	char word[RATE_WORD];
	size_t len = strlen(text);
	uint64_t bytes;

	if (strcasecmp(text, "none") == 0) {
		*bytes_per_s = RATE_NONE;
		return 0;
	}
	if (len > 2 && strcasecmp(text + len - 2, "/s") == 0)
		len -= 2;
	if (len >= sizeof(word))
		return -EINVAL;
	memcpy(word, text, len);
	word[len] = '\0';
	int result = size_parse(word, &bytes);
	if (result < 0)
		return result;
	if (bytes < RATE_MIN || bytes > RATE_MAX)
		return -ERANGE;
	*bytes_per_s = bytes;
	return 0;
}

const char *rate_format(uint64_t bytes_per_s, char *buf, size_t size)
{
	static const char units[] = "KMGTP";
	size_t unit = 0;

	while (unit < 5 && bytes_per_s % (1ull << 10 * (unit + 1)) == 0)
		unit++;
	if (bytes_per_s == RATE_NONE)
		snprintf(buf, size, "none");
	else if (unit == 0)
		snprintf(buf, size, "%lluB/s", (unsigned long long)bytes_per_s);
	else
		snprintf(buf, size, "%llu%cB/s", (unsigned long long)bytes_per_s >> 10 * unit, units[unit - 1]);
	return buf;
}

int latency_parse(const char *text, uint64_t *us)
{
	uint64_t ns;

	if (strcasecmp(text, "off") == 0) {
		*us = LATENCY_OFF;
		return 0;
	}
	int result = duration_parse(text, &ns);
	if (result < 0)
		return result;
	if (ns / NS_PER_US < LATENCY_MIN_US || ns / NS_PER_US > LATENCY_MAX_US)
		return -ERANGE;
	*us = ns / NS_PER_US;
	return 0;
}

const char *latency_format(uint64_t us, char *buf, size_t size)
{
	if (us == LATENCY_OFF)
		snprintf(buf, size, "off");
	else
		duration_print(us * NS_PER_US, buf, size);
	return buf;
}
