/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Orders and lists of paths from outside: any text is refused with a sentence, or becomes rules that print to a text which reads
 * back as the same; and asking them of the text itself as a path ends.
 */
#include "property/paths.h"
#include "property/rules.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition) \
	do { \
		if (!(condition)) \
			abort(); \
	} while (0)

static void check_rules(const char *text)
{
	char error[256] = "";
	struct rules *rules, *again;

	if (rules_parse(text, &rules, error, sizeof(error)) < 0) {
		MUST(*error);
		return;
	}
	char *printed = rules_print(rules);
	MUST(printed && rules_parse(printed, &again, error, sizeof(error)) == 0);
	char *twice = rules_print(again);
	MUST(twice && strcmp(printed, twice) == 0);
	struct rule_object object = {.path = text + strspn(text, "/"), .size = strlen(text)};
	for (int is_dir = 0; is_dir < 2; is_dir++) {
		object.is_dir = is_dir;
		MUST(rules_match(rules, &object, 0) == rules_match(again, &object, 0));
	}
	rules_free(rules);
	rules_free(again);
	free(printed);
	free(twice);
}

static void check_paths(const uint8_t *data, size_t size)
{
	char error[256] = "";
	struct paths *paths;

	if (paths_parse("list", (const char *)data, size, &paths, error, sizeof(error)) < 0) {
		MUST(*error);
		return;
	}
	for (size_t i = 0; i < paths_count(paths); i++) {
		MUST(paths_match(paths, paths_at(paths, i)));
		MUST(paths_lead(paths, ""));
	}
	paths_free(paths);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	MUST(text);
	memcpy(text, data, size);
	text[size] = '\0';
	check_rules(text);
	check_paths(data, size);
	free(text);
	return 0;
}
