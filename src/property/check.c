/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Is a value right, and if not, what is? And what properties ask of each other.
 */
#include "property/property.h"

#include "base/duration.h"
#include "base/size.h"
#include "property/measure.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SHOWN_MAX 200 /* bytes of a wrong value in a message */

/* --- what is allowed, in words --- */

struct words {
	char *buf;
	size_t used, size;
};

__attribute__((format(printf, 2, 3))) static void add(struct words *words, const char *format, ...)
{
	va_list args;

	if (words->used >= words->size)
		return;
	va_start(args, format);
	words->used += (size_t)vsnprintf(words->buf + words->used, words->size - words->used, format, args);
	va_end(args);
}

static void print_number(const struct property *property, uint64_t number, char *buf, size_t size)
{
	if (property->type == PROPERTY_SIZE)
		size_print(number, buf, size);
	else if (property->type == PROPERTY_DURATION)
		duration_print(number, buf, size);
	else
		snprintf(buf, size, "%llu", (unsigned long long)number);
}

static void add_range(struct words *words, const struct property *property)
{
	char min[SIZE_TEXT + DURATION_TEXT], max[SIZE_TEXT + DURATION_TEXT];

	print_number(property, property->min, min, sizeof(min));
	print_number(property, property->max, max, sizeof(max));
	if (property->max)
		add(words, " from %s to %s", min, max);
	else if (property->min)
		add(words, " of at least %s", min);
}

static void add_form(struct words *words, const struct property *property, const char *what, const char *form)
{
	char multiple[SIZE_TEXT];

	if (property->multiple) {
		size_print(property->multiple, multiple, sizeof(multiple));
		add(words, "a multiple of %s", multiple);
	} else {
		add(words, "%s", what);
	}
	add_range(words, property);
	add(words, ", written %s", form);
}

static void add_choices(struct words *words, const struct property *property)
{
	for (size_t i = 0; property->choices[i]; i++)
		add(words, "%s%s", i == 0 ? "" : property->choices[i + 1] ? ", " : " or ", property->choices[i]);
}

const char *property_allowed(const struct property *property, char *buf, size_t buf_size)
{
	struct words words = {buf, 0, buf_size};

	if (property->allowed) {
		add(&words, "%s", property->allowed);
		return buf;
	}
	switch (property->type) {
	case PROPERTY_TEXT:
		add(&words, "text without control characters");
		break;
	case PROPERTY_PATH:
		add(&words, "an absolute path");
		break;
	case PROPERTY_SIZE:
		add_form(&words, property, "a size", "N[.N][KMGTP][B], for example 1M");
		break;
	case PROPERTY_RATE:
		add(&words, "%s", rate_allowed);
		break;
	case PROPERTY_COUNT:
		add(&words, "a number");
		add_range(&words, property);
		break;
	case PROPERTY_BOOL:
		add(&words, "on or off");
		break;
	case PROPERTY_CHOICE:
		add_choices(&words, property);
		break;
	case PROPERTY_DURATION:
		add_form(&words, property, "a time", "N[.N] and us, ms, s, m, h or d, for example 20ms");
		break;
	}
	if (property->also)
		add(&words, "; or %s", property->also);
	return buf;
}

/* --- values --- */

static int parse_count(const char *value, uint64_t *number)
{
	uint64_t read = 0;

	if (!*value || value[strspn(value, "0123456789")])
		return -EINVAL;
	for (; *value; value++)
		if (__builtin_mul_overflow(read, 10u, &read) || __builtin_add_overflow(read, (uint64_t)(*value - '0'), &read))
			return -ERANGE;
	*number = read;
	return 0;
}

static int parse_choice(const char *const *choices, const char *value, uint64_t *number)
{
	for (size_t i = 0; choices[i]; i++) {
		if (strcmp(value, choices[i]) == 0) {
			*number = i;
			return 0;
		}
	}
	return -EINVAL;
}

static int parse(const struct property *property, const char *value, uint64_t *number)
{
	static const char *const switches[] = {"off", "on", NULL};

	if (property->also && strcmp(value, property->also) == 0) {
		*number = PROPERTY_ALSO;
		return 0;
	}
	switch (property->type) {
	case PROPERTY_SIZE:
		return size_parse(value, number);
	case PROPERTY_RATE:
		return rate_parse(value, number);
	case PROPERTY_COUNT:
		return parse_count(value, number);
	case PROPERTY_BOOL:
		return parse_choice(switches, value, number);
	case PROPERTY_CHOICE:
		return parse_choice(property->choices, value, number);
	case PROPERTY_DURATION:
		return duration_parse(value, number);
	default:
		return -EINVAL;
	}
}

static bool number_allowed(const struct property *property, const char *value)
{
	uint64_t number;

	if (parse(property, value, &number) < 0)
		return false;
	if (property->also && number == PROPERTY_ALSO)
		return true;
	return number >= property->min && (!property->max || number <= property->max) &&
	       (!property->multiple || number % property->multiple == 0);
}

static bool has_controls(const char *value)
{
	for (; *value; value++)
		if ((unsigned char)*value < 0x20 || *value == 0x7f)
			return true;
	return false;
}

static bool form_allowed(const struct property *property, const char *value)
{
	switch (property->type) {
	case PROPERTY_TEXT:
		return !has_controls(value);
	case PROPERTY_PATH:
		return *value == '/'; /* names may hold any bytes */
	default:
		return number_allowed(property, value);
	}
}

int property_check(const struct property *property, const char *value, char *error, size_t error_size)
{
	char allowed[PROPERTY_ALLOWED_MAX];

	if (!*value) {
		snprintf(error, error_size, "%s needs a value: %s", property->name,
		         property_allowed(property, allowed, sizeof(allowed)));
		return -EINVAL;
	}
	if (strlen(value) > PROPERTY_VALUE_MAX) {
		snprintf(error, error_size, "%s: must be no longer than %d bytes", property->name,
		         PROPERTY_VALUE_MAX);
		return -EINVAL;
	}
	if (!form_allowed(property, value))
		property_allowed(property, allowed, sizeof(allowed));
	else if (!property->check || property->check(value, allowed, sizeof(allowed)) >= 0)
		return 0;
	snprintf(error, error_size, "%s=%.*s: must be %s", property->name, SHOWN_MAX, value, allowed);
	return -EINVAL;
}

uint64_t property_number(const struct property *property, const char *value)
{
	uint64_t number = 0;

	parse(property, value, &number);
	return number;
}

/* --- what properties ask of each other --- */

struct set {
	property_lookup lookup;
	void *context;
};

static uint64_t number_of(const struct set *set, const char *name)
{
	const struct property *property = property_find(name);
	const char *value = set->lookup(set->context, property);

	return property_number(property, value ? value : property->standard);
}

int property_check_set(property_lookup lookup, void *context, char *error, size_t error_size)
{
	static const struct {
		const char *greater, *lesser;
		bool may_equal;
	} pairs[] = {
		{"maxnsproc", "resnsproc", false},
		{"maxdfproc", "resdfproc", false},
		{"highwater", "lowwater", true},
	};
	const struct set set = {lookup, context};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		uint64_t greater = number_of(&set, pairs[i].greater), lesser = number_of(&set, pairs[i].lesser);
		if (greater > lesser || (greater == lesser && pairs[i].may_equal))
			continue;
		snprintf(error, error_size, "%s must be greater than %s%s, and %llu is not greater than %llu: set both",
		         pairs[i].greater, pairs[i].lesser, pairs[i].may_equal ? " or the same" : "", (unsigned long long)greater,
		         (unsigned long long)lesser);
		return -EINVAL;
	}
	return 0;
}

/* --- names --- */

const char *property_type_name(enum property_type type)
{
	static const char *const names[] = {
		[PROPERTY_TEXT] = "text",     [PROPERTY_PATH] = "path",     [PROPERTY_SIZE] = "size",
		[PROPERTY_RATE] = "rate",     [PROPERTY_COUNT] = "count",   [PROPERTY_BOOL] = "switch",
		[PROPERTY_CHOICE] = "choice", [PROPERTY_DURATION] = "time",
	};

	return names[type];
}

const char *property_when_name(enum property_when when)
{
	static const char *const names[] = {
		[PROPERTY_AT_CREATE] = "create", [PROPERTY_HALTED] = "halted", [PROPERTY_LIVE] = "live"};

	return names[when];
}

const char *property_argument(const struct property *property)
{
	static const char *const names[] = {
		[PROPERTY_TEXT] = "TEXT", [PROPERTY_PATH] = "PATH",   [PROPERTY_SIZE] = "SIZE", [PROPERTY_RATE] = "RATE",
		[PROPERTY_COUNT] = "N",   [PROPERTY_BOOL] = "on|off", [PROPERTY_CHOICE] = NULL, [PROPERTY_DURATION] = "TIME",
	};

	return property->argument ? property->argument : names[property->type];
}
