/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Spans of time in text. All arithmetic is in integers: "0.1s" is 100000000 ns, not about that.
 */
#include "base/duration.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define DURATION_LIMIT ((uint64_t)INT64_MAX)

static const struct unit {
	const char *name;
	uint64_t ns;
} units[] = {
	{"d", 86400000000000}, {"h", 3600000000000}, {"m", 60000000000}, {"s", 1000000000}, {"ms", 1000000}, {"us", 1000},
};
#define N_UNITS (sizeof(units) / sizeof(units[0]))

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static const struct unit *find_unit(const char *name)
{
	for (size_t i = 0; i < N_UNITS; i++)
		if (strcmp(name, units[i].name) == 0)
			return &units[i];
	return NULL;
}

/* 0.digits of a unit, cut off. Places behind the 18th are less than a nanosecond even of a day. */
static uint64_t scale_fraction(const char *digits, size_t count, uint64_t unit_ns)
{
	uint64_t value = 0, scale = 1;
	for (size_t i = 0; i < count && i < 18; i++) {
		value = value * 10 + (uint64_t)(digits[i] - '0');
		scale *= 10;
	}
	return (uint64_t)((unsigned __int128)value * unit_ns / scale);
}

int duration_parse(const char *text, uint64_t *ns)
{
	uint64_t whole = 0;
	bool too_large = false;
	if (!text || !is_digit(*text))
		return -EINVAL;
	for (; is_digit(*text); text++)
		too_large |= __builtin_mul_overflow(whole, 10u, &whole) ||
		             __builtin_add_overflow(whole, (uint64_t)(*text - '0'), &whole);
	const char *fraction = text;
	if (*text == '.' && !is_digit(*(fraction = ++text)))
		return -EINVAL;
	while (is_digit(*text))
		text++;
	const struct unit *unit = find_unit(text);
	if (!unit)
		return -EINVAL;
	uint64_t part = scale_fraction(fraction, (size_t)(text - fraction), unit->ns);
	if (too_large || __builtin_mul_overflow(whole, unit->ns, &whole) || whole > DURATION_LIMIT - part)
		return -ERANGE;
	*ns = whole + part;
	return 0;
}

const char *duration_print(uint64_t ns, char *buf, size_t buf_size)
{
	size_t unit = 0;
	while (unit + 1 < N_UNITS && (ns % units[unit].ns || ns == 0))
		unit++;
	snprintf(buf, buf_size, "%llu%s", (unsigned long long)(ns / units[unit].ns), ns ? units[unit].name : "s");
	return buf;
}
