/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Sizes in text. All arithmetic is in integers: "0.1P" and "1.999999999999999999G" mean exactly what they say, down to the byte.
 */
#include "base/size.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define SIZE_LIMIT ((uint64_t)INT64_MAX)

/* A multiple of 2^-50 has at most 50 decimal places, so digits behind the 50th can not change a result that is cut off. */
#define FRACTION_DIGITS 50

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The digits at *text as a number; one too large becomes UINT64_MAX, which is out of range whatever the unit. */
static uint64_t parse_whole(const char **text)
{
	uint64_t value = 0;
	for (; is_digit(**text); (*text)++) {
		uint64_t digit = (uint64_t)(**text - '0');
		if (__builtin_mul_overflow(value, 10u, &value) || __builtin_add_overflow(value, digit, &value)) {
			while (is_digit(**text))
				(*text)++;
			return UINT64_MAX;
		}
	}
	return value;
}

/* 0.digits times 2^shift, cut off. Doubling the decimal fraction pushes one binary digit at a time over the point. */
static uint64_t scale_fraction(const char *digits, size_t count, unsigned shift)
{
	unsigned char place[FRACTION_DIGITS] = {0};
	uint64_t value = 0;
	if (count > FRACTION_DIGITS)
		count = FRACTION_DIGITS;
	for (size_t i = 0; i < count; i++)
		place[i] = (unsigned char)(digits[i] - '0');
	for (unsigned bit = 0; bit < shift; bit++) {
		unsigned carry = 0;
		for (size_t i = count; i-- > 0;) {
			unsigned doubled = place[i] * 2u + carry;
			place[i] = (unsigned char)(doubled % 10);
			carry = doubled / 10;
		}
		value = value << 1 | carry;
	}
	return value;
}

/* The shift that an optional unit letter at *text stands for. */
static unsigned parse_unit(const char **text)
{
	static const char letters[] = "KMGTPkmgtp";
	const char *found = **text ? strchr(letters, **text) : NULL;
	if (!found)
		return 0;
	(*text)++;
	return 10 * (unsigned)((found - letters) % 5 + 1);
}

int size_parse(const char *text, uint64_t *bytes)
{
	const char *fraction = "";
	size_t fraction_digits = 0;
	if (!text || !is_digit(*text))
		return -EINVAL;
	uint64_t whole = parse_whole(&text);
	if (*text == '.') {
		fraction = ++text;
		while (is_digit(*text))
			text++;
		fraction_digits = (size_t)(text - fraction);
		if (fraction_digits == 0)
			return -EINVAL;
	}
	unsigned shift = parse_unit(&text);
	if (*text == 'B' || *text == 'b')
		text++;
	if (*text)
		return -EINVAL;
	/* The fraction adds less than one unit, so it never carries a whole part that fits over the limit: 2^63-1 is all ones. */
	if (whole > SIZE_LIMIT >> shift)
		return -ERANGE;
	*bytes = (whole << shift) + scale_fraction(fraction, fraction_digits, shift);
	return 0;
}

const char *size_print(uint64_t bytes, char *buf, size_t buf_size)
{
	static const char *const letters[] = {"", "K", "M", "G", "T", "P"};
	size_t unit = 0;
	while (bytes && bytes % 1024 == 0 && unit + 1 < sizeof(letters) / sizeof(letters[0])) {
		bytes /= 1024;
		unit++;
	}
	snprintf(buf, buf_size, "%llu%s", (unsigned long long)bytes, letters[unit]);
	return buf;
}

/* "1 MiB" is exact, "1.0 MiB" is rounded. */
const char *size_format(uint64_t bytes, char *buf, size_t buf_size)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	size_t unit = 0;
	/* 1023.95 of a unit would be written 1024.0: such a value belongs to the next one. */
	while (unit + 1 < sizeof(units) / sizeof(units[0]) && bytes >= (1024ull << 10 * unit) - ((1ull << 10 * unit) / 20))
		unit++;
	uint64_t one = 1ull << 10 * unit;
	if (bytes % one == 0)
		snprintf(buf, buf_size, "%llu %s", (unsigned long long)(bytes / one), units[unit]);
	else
		snprintf(buf, buf_size, "%.1f %s", (double)bytes / (double)one, units[unit]);
	return buf;
}
