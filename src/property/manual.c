/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A program of its own: writes what the table of properties says into a manual page or another text.
 *
 * usage: write-properties TEMPLATE OUTPUT
 *
 * A line of TEMPLATE that is nothing but one of these words becomes
 *
 *   @OPTIONS@     what can be given on a mount line, with a heading for each group
 *   @PROPERTIES@  all, with when they can change
 *
 * and @NAMES@ anywhere in a line the names, with blanks between.
 */
#include "property/property.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- roff --- */

/* `begins`: at the beginning of a line, where a point or an apostrophe would make a request. */
static void put_char(FILE *to, char c, int begins)
{
	if (begins && (c == '.' || c == '\''))
		fputs("\\&", to);
	if (c == '\\')
		fputs("\\e", to);
	else if (c == '-')
		fputs("\\-", to);
	else
		putc(c, to);
}

static void put_text(FILE *to, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		put_char(to, text[i], i == 0);
}

static int is_choice(const struct property *property, const char *word, size_t len)
{
	static const char *const switches[] = {"on", "off", NULL};
	const char *const *choices = property->type == PROPERTY_BOOL ? switches : property->choices;

	for (; choices && *choices; choices++)
		if (strlen(*choices) == len && strncmp(*choices, word, len) == 0)
			return 1;
	return 0;
}

static void put_word(FILE *to, const struct property *property, const char *word, size_t len)
{
	size_t bare = len;

	while (bare > 0 && strchr(".,;:", word[bare - 1]))
		bare--;
	if (is_choice(property, word, bare)) {
		fputs("\\fB", to);
		put_text(to, word, bare);
		fputs("\\fR", to);
		word += bare;
		len -= bare;
	}
	put_text(to, word, len);
}

/* Sentences, each on a line of its own. */
static void put_help(FILE *to, const struct property *property, const char *text)
{
	while (*text) {
		size_t len = strcspn(text, " "), blanks = strspn(text + len, " ");
		put_word(to, property, text, len);
		putc(len && text[len - 1] == '.' ? '\n' : text[len] ? ' ' : '\n', to);
		text += len + blanks;
	}
}

/* SIZE is a place for something, on is what it says. */
static void put_argument(FILE *to, const char *argument)
{
	while (*argument) {
		size_t len = 0;
		while (isalnum((unsigned char)argument[len]))
			len++;
		if (len == 0) {
			put_char(to, *argument++, 0);
			continue;
		}
		fprintf(to, "\\f%c%.*s\\fR", isupper((unsigned char)*argument) ? 'I' : 'B', (int)len, argument);
		argument += len;
	}
}

static void put_name(FILE *to, const struct property *property)
{
	const char *argument = property_argument(property);

	fprintf(to, ".TP\n\\fB%s=\\fR", property->name);
	if (argument)
		put_argument(to, argument);
	for (size_t i = 0; !argument && property->choices[i]; i++) {
		fputs(i ? "|" : "", to);
		put_argument(to, property->choices[i]);
	}
	if (property->also || property->type == PROPERTY_RATE)
		fprintf(to, "|\\fB%s\\fR", property->also ? property->also : "none");
	putc('\n', to);
}

static void put_default(FILE *to, const struct property *property)
{
	fprintf(to, "Default: %s", property->standard ? "\\fB" : "");
	if (property->standard)
		put_text(to, property->standard, strlen(property->standard));
	else
		put_text(to, property->without, strlen(property->without));
	fprintf(to, "%s.\n", property->standard ? "\\fR" : "");
}

/* What the form of the argument does not say. */
static void put_allowed(FILE *to, const struct property *property)
{
	char allowed[PROPERTY_ALLOWED_MAX];

	if (property->type == PROPERTY_PATH || property->type == PROPERTY_BOOL || property->type == PROPERTY_CHOICE ||
	    (property->type == PROPERTY_TEXT && !property->allowed))
		return;
	property_allowed(property, allowed, sizeof(allowed));
	fputs("It is ", to);
	put_text(to, allowed, strlen(allowed));
	fputs(".\n", to);
}

/* --- words of templates --- */

static void put_options(FILE *to)
{
	const struct property *property;
	const char *group = "";

	for (size_t i = 0; (property = property_at(i)); i++) {
		if (property->positional)
			continue;
		if (strcmp(group, property->group) != 0)
			fprintf(to, ".SS %s\n", property->group);
		group = property->group;
		put_name(to, property);
		put_help(to, property, property->help);
		put_allowed(to, property);
		put_default(to, property);
	}
}

static void put_properties(FILE *to)
{
	static const char *const when[] = {
		[PROPERTY_AT_CREATE] = "It is given when the migration is created.",
		[PROPERTY_HALTED] = "It can change while no daemon runs.",
		[PROPERTY_LIVE] = "It can change at any time, and is in force at once.",
	};
	const struct property *property;

	for (size_t i = 0; (property = property_at(i)); i++) {
		put_name(to, property);
		put_help(to, property, property->help);
		put_allowed(to, property);
		put_default(to, property);
		fprintf(to, "%s\n", when[property->when]);
	}
}

static void put_names(FILE *to)
{
	for (size_t i = 0; property_at(i); i++)
		fprintf(to, "%s%s", i ? " " : "", property_at(i)->name);
}

static void put_line(FILE *to, char *line)
{
	char *names = strstr(line, "@NAMES@");

	if (strcmp(line, "@OPTIONS@\n") == 0) {
		put_options(to);
	} else if (strcmp(line, "@PROPERTIES@\n") == 0) {
		put_properties(to);
	} else if (names) {
		*names = '\0';
		fputs(line, to);
		put_names(to);
		fputs(names + strlen("@NAMES@"), to);
	} else {
		fputs(line, to);
	}
}

int main(int argc, char **argv)
{
	FILE *from = argc == 3 ? fopen(argv[1], "r") : NULL, *to = from ? fopen(argv[2], "w") : NULL;
	char *line = NULL;
	size_t size = 0;

	if (!to) {
		perror(argc == 3 ? argv[1] : "usage: write-properties TEMPLATE OUTPUT");
		return 1;
	}
	while (getline(&line, &size, from) > 0)
		put_line(to, line);
	free(line);
	fclose(from);
	return fclose(to) == 0 ? 0 : 1;
}
