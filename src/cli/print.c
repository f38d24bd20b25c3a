/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Output of commands.
 */
#include "cli/print.h"

#include "cli/format.h"
#include "cli/memory.h"
#include "wire/bytes.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

void print_json(const json_t *value)
{
	json_dumpf(value, stdout, JSON_INDENT(2));
	putchar('\n');
}

void print_json_line(const json_t *value)
{
	json_dumpf(value, stdout, JSON_COMPACT);
	putchar('\n');
	fflush(stdout);
}

bool print_on_terminal(void)
{
	const char *term = getenv("TERM");
	return isatty(STDOUT_FILENO) && term && *term && strcmp(term, "dumb") != 0;
}

static bool wants_color(void)
{
	const char *no_color = getenv("NO_COLOR");
	return !(no_color && *no_color) && print_on_terminal();
}

const char *print_state_color(const char *state)
{
	static const struct {
		const char *state, *color;
	} colors[] = {{"running", "\033[32m"},
	              {"paused", "\033[33m"},
	              {"halted", "\033[33m"},
	              {"complete", "\033[1;32m"},
	              {"failed", "\033[1;31m"}};
	if (!wants_color())
		return "";
	for (size_t i = 0; i < sizeof(colors) / sizeof(colors[0]); i++)
		if (strcmp(colors[i].state, state) == 0)
			return colors[i].color;
	return "";
}

const char *print_trouble_color(void)
{
	return wants_color() ? "\033[31m" : "";
}

const char *print_level_color(const char *level)
{
	if (!wants_color())
		return "";
	return strcmp(level, "error") == 0 ? "\033[1;31m" : strcmp(level, "warning") == 0 ? "\033[33m" : "";
}

uint64_t member_count(const json_t *object, const char *key)
{
	json_int_t value = json_integer_value(json_object_get(object, key));
	return value > 0 ? (uint64_t)value : 0;
}

const char *member_text(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));
	return value ? value : "";
}

bool member_true(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

char *member_name(const json_t *object, const char *key)
{
	char *bytes = NULL;
	if (bytes_get(object, key, &bytes))
		return memory_must(strdup(""));
	char *name = format_name(bytes);
	free(bytes);
	return name;
}
