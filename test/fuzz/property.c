/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A value from outside, for every property: refused with a sentence, or right; and a right one means a number within the range of
 * the table. Sizes and durations that are read are printed as text that is read as the same.
 */
#include "property/property.h"

#include "base/duration.h"
#include "base/size.h"
#include "property/mount_flags.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition) \
	do { \
		if (!(condition)) \
			abort(); \
	} while (0)

static void check_number(const struct property *property, const char *value)
{
	uint64_t number = property_number(property, value);

	if (property->also && number == PROPERTY_ALSO)
		return;
	MUST(number >= property->min && (!property->max || number <= property->max));
	MUST(!property->multiple || number % property->multiple == 0);
}

static void check_round_trips(const char *value)
{
	char text[64];
	uint64_t number, again = 0;
	unsigned long flags = 0, same = 0;

	if (size_parse(value, &number) == 0)
		MUST(size_parse(size_print(number, text, sizeof(text)), &again) == 0 && again == number);
	if (duration_parse(value, &number) == 0 && number % 1000 == 0)
		MUST(duration_parse(duration_print(number, text, sizeof(text)), &again) == 0 && again == number);
	if (mount_flags_parse(value, &flags) == 0 && flags) {
		char list[256];
		MUST(mount_flags_parse(mount_flags_print(flags, list, sizeof(list)), &same) == 0 && same == flags);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *value = malloc(size + 1), error[1024];
	const struct property *property;

	memcpy(value, data, size);
	value[size] = '\0';
	for (size_t i = 0; (property = property_at(i)); i++) {
		error[0] = '\0';
		if (property_check(property, value, error, sizeof(error)) < 0)
			MUST(strncmp(error, property->name, strlen(property->name)) == 0 || strstr(error, property->name));
		else if (property->type != PROPERTY_TEXT && property->type != PROPERTY_PATH)
			check_number(property, value);
	}
	check_round_trips(value);
	free(value);
	return 0;
}
