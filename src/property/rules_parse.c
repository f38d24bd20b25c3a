/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The text of an order, to and from rules.
 */
#include "property/rules_private.h"

#include "base/size.h"
#include "property/glob.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const verbs[] = {[RULE_FIRST] = "first", [RULE_LAST] = "last", [RULE_SKIP] = "skip"};
static const char *const orders[] = {[ORDER_FOUND] = "found", [ORDER_SMALL] = "small", [ORDER_NEW] = "new"};

static const struct {
	const char *head;
	enum test_kind kind;
} tests[] = {
	{"size<", TEST_SIZE_BELOW},   {"size>", TEST_SIZE_ABOVE},   {"age<", TEST_AGE_BELOW},  {"age>", TEST_AGE_ABOVE},
	{"depth<", TEST_DEPTH_BELOW}, {"depth>", TEST_DEPTH_ABOVE}, {"depth=", TEST_DEPTH_IS},
};

static const struct {
	char letter;
	uint64_t seconds;
} age_units[] = {{'y', 365 * 86400}, {'w', 7 * 86400}, {'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};

#define N(array) (sizeof(array) / sizeof((array)[0]))

struct parser {
	const char *at;
	struct rules *rules;
	unsigned number; /* of the clause, from 1 */
	const char *start;
	char *error;
	size_t error_size;
};

static int __attribute__((format(printf, 2, 3))) refuse(const struct parser *parser, const char *format, ...)
{
	char why[512];
	va_list args;
	size_t len = strcspn(parser->start, ";");

	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	snprintf(parser->error, parser->error_size, "clause %u of the order (%.*s): %s", parser->number,
	         (int)(len < 80 ? len : 80), parser->start, why);
	return -EINVAL;
}

static void *must(void *memory)
{
	if (!memory)
		abort();
	return memory;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_blanks(struct parser *parser)
{
	while (is_blank(*parser->at))
		parser->at++;
}

/* --- words --- */

struct word {
	char *text;
	bool quoted, is_list;
};

/* parser->at is behind the opening quote. */
static int read_quoted(struct parser *parser, char quote, char *text)
{
	for (;; parser->at++) {
		if (!*parser->at)
			return refuse(parser, "the quote %c is not closed", quote);
		if (*parser->at == quote && *++parser->at != quote)
			break;
		*text++ = *parser->at;
	}
	*text = '\0';
	if (*parser->at && *parser->at != ';' && !is_blank(*parser->at))
		return refuse(parser, "behind a closing quote a blank or ';' must follow");
	return 0;
}

static int read_bare(struct parser *parser, char *text)
{
	size_t len = strcspn(parser->at, "; \t\r\n");

	memcpy(text, parser->at, len);
	text[len] = '\0';
	parser->at += len;
	if (strpbrk(text, "'\""))
		return refuse(parser, "a quote in the middle of '%.100s'; quote the whole, and double a quote within", text);
	return 0;
}

/* 1: a word; 0: the clause is over. */
static int read_word(struct parser *parser, struct word *word)
{
	skip_blanks(parser);
	if (!*parser->at || *parser->at == ';')
		return 0;
	*word = (struct word){.is_list = *parser->at == '@'};
	parser->at += word->is_list;
	word->quoted = *parser->at == '\'' || *parser->at == '"';
	word->text = must(malloc(strlen(parser->at) + 1));
	int result;
	if (word->quoted) {
		char quote = *parser->at++;
		result = read_quoted(parser, quote, word->text);
	} else {
		result = read_bare(parser, word->text);
	}
	if (result < 0)
		free(word->text);
	return result < 0 ? result : 1;
}

/* --- tests --- */

static int parse_count(const char *text, uint64_t max, uint64_t *count)
{
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	*count = strtoull(text, &end, 10);
	return *end || errno || *count > max ? -EINVAL : 0;
}

static int parse_age(const char *text, uint64_t *seconds)
{
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	uint64_t count = strtoull(text, &end, 10);
	for (size_t i = 0; i < N(age_units) && !errno; i++)
		if (end[0] == age_units[i].letter && end[1] == '\0')
			return __builtin_mul_overflow(count, age_units[i].seconds, seconds) || *seconds > INT64_MAX / 2 ? -ERANGE
			                                                                                                : 0;
	return -EINVAL;
}

static int parse_value(struct parser *parser, enum test_kind kind, const char *word, const char *text, uint64_t *value)
{
	if (kind <= TEST_SIZE_ABOVE)
		return size_parse(text, value) < 0 ? refuse(parser, "'%.100s' needs a size, as 64K or 1.5G", word) : 0;
	if (kind <= TEST_AGE_ABOVE)
		return parse_age(text, value) < 0
		               ? refuse(parser, "'%.100s' needs a number with s, m, h, d, w or y, as 12h or 365d", word)
		               : 0;
	return parse_count(text, 1000000, value) < 0 ? refuse(parser, "'%.100s' needs a number, as 3", word) : 0;
}

/* 1: it is a test; 0: it is none. */
static int take_test(struct parser *parser, struct clause *clause, const char *word)
{
	for (size_t i = 0; i < N(tests); i++) {
		size_t len = strlen(tests[i].head);
		if (strncmp(word, tests[i].head, len))
			continue;
		if (clause->tests & 1u << tests[i].kind)
			return refuse(parser, "'%.6s' is given twice", tests[i].head);
		clause->tests |= 1u << tests[i].kind;
		int result = parse_value(parser, tests[i].kind, word, word + len, &clause->values[tests[i].kind]);
		return result < 0 ? result : 1;
	}
	if (strncmp(word, "owner=", 6) == 0) {
		if (clause->owner)
			return refuse(parser, "'owner=' is given twice");
		if (!word[6])
			return refuse(parser, "'owner=' needs a user's name or number");
		clause->owner = must(strdup(word + 6));
		return 1;
	}
	return 0;
}

static int take_place(struct parser *parser, struct clause *clause, struct word *word)
{
	if (word->is_list && word->text[0] != '/')
		return refuse(parser, "'@%.100s' must be the absolute path of a list", word->text);
	if (!word->is_list && !word->quoted && strpbrk(word->text, "<>="))
		return refuse(
			parser,
			"'%.100s' is no test: those are size< size> age< age> owner= depth< depth> depth=; quote it when it is "
			"a name",
			word->text);
	size_t len = strlen(word->text);
	while (!word->is_list && len > 1 && word->text[len - 1] == '/' && word->text[len - 2] != '\\')
		word->text[--len] = '\0'; /* a shell's completion writes directories so */
	const char *complaint = word->is_list                  ? NULL
	                        : strcmp(word->text, "/") == 0 ? "is the top; '/**' is everything"
	                                                       : glob_complaint(word->text);
	if (complaint)
		return refuse(parser, "the pattern '%.100s' %s", word->text, complaint);
	clause->places = must(realloc(clause->places, (clause->n_places + 1) * sizeof(*clause->places)));
	clause->places[clause->n_places++] = (struct place){.text = word->text, .is_list = word->is_list};
	word->text = NULL;
	return 0;
}

/* --- clauses --- */

static int take_conditions(struct parser *parser, struct clause *clause)
{
	struct word word;
	int result;

	while ((result = read_word(parser, &word)) > 0) {
		result = word.quoted || word.is_list ? 0 : take_test(parser, clause, word.text);
		if (result == 0)
			result = take_place(parser, clause, &word);
		free(word.text);
		if (result < 0)
			return result;
	}
	if (result == 0 && clause->n_places == 0 && clause->tests == 0 && !clause->owner)
		return refuse(parser, "'%s' of what? Name a pattern or a test, as in first '/projects/**' or last size>1G",
		              verbs[clause->verb]);
	return result;
}

static int take_order(struct parser *parser, enum rule_order order)
{
	struct word word;
	int result = read_word(parser, &word);

	if (result > 0) {
		result = refuse(parser, "'%s' stands alone; '%.100s' is too much", orders[order], word.text);
		free(word.text);
	}
	if (result < 0)
		return result;
	if (parser->rules->has_order)
		return refuse(parser, "the general order is given twice");
	parser->rules->has_order = true;
	parser->rules->order = order;
	return 0;
}

static int take_clause(struct parser *parser, const char *head)
{
	struct rules *rules = parser->rules;

	for (size_t i = 0; i < N(orders); i++)
		if (strcmp(head, orders[i]) == 0)
			return take_order(parser, (enum rule_order)i);
	for (size_t i = 0; i < N(verbs); i++) {
		if (strcmp(head, verbs[i]))
			continue;
		if (rules->count == RULES_CLAUSES_MAX)
			return refuse(parser, "there are more than %u clauses", RULES_CLAUSES_MAX);
		rules->clauses = must(realloc(rules->clauses, (rules->count + 1) * sizeof(*rules->clauses)));
		struct clause *clause = &rules->clauses[rules->count++];
		*clause = (struct clause){.verb = (enum rule_verb)i};
		return take_conditions(parser, clause);
	}
	return refuse(parser, "'%.100s' is none of first, last, skip, small, new, found", head);
}

static int parse_all(struct parser *parser)
{
	for (int result;; parser->at++) {
		struct word word;
		skip_blanks(parser);
		parser->start = parser->at;
		parser->number++;
		result = read_word(parser, &word);
		if (result > 0) {
			result = word.quoted || word.is_list ? refuse(parser, "it must begin with first, last or skip")
			                                     : take_clause(parser, word.text);
			free(word.text);
		} else if (result == 0) {
			parser->number--; /* empty: as behind the last ';' */
		}
		if (result < 0)
			return result;
		if (!*parser->at)
			return 0;
	}
}

int rules_parse(const char *text, struct rules **rules, char *error, size_t error_size)
{
	struct parser parser = {.at = text, .error = error, .error_size = error_size};

	if (strlen(text) > RULES_TEXT_MAX) {
		snprintf(error, error_size, "the order is longer than %u KiB; put paths into a list, as in first @/a/file",
		         RULES_TEXT_MAX >> 10);
		return -E2BIG;
	}
	parser.rules = must(calloc(1, sizeof(*parser.rules)));
	int result = parse_all(&parser);
	if (result < 0)
		rules_free(parser.rules);
	else
		*rules = parser.rules;
	return result;
}

/* --- printing --- */

/* As a word that reads back as the same. */
static void print_quoted(FILE *to, const char *text)
{
	putc('\'', to);
	for (; *text; text++) {
		if (*text == '\'')
			putc('\'', to);
		putc(*text, to);
	}
	putc('\'', to);
}

static void print_value(FILE *to, enum test_kind kind, uint64_t value)
{
	char text[SIZE_TEXT];

	if (kind <= TEST_SIZE_ABOVE) {
		fputs(size_print(value, text, sizeof(text)), to);
	} else if (kind <= TEST_AGE_ABOVE) {
		size_t unit = 0;
		while (unit + 1 < N(age_units) && (value == 0 || value % age_units[unit].seconds))
			unit++;
		fprintf(to, "%llu%c", (unsigned long long)(value / age_units[unit].seconds), age_units[unit].letter);
	} else {
		fprintf(to, "%llu", (unsigned long long)value);
	}
}

static void print_clause(FILE *to, const struct clause *clause)
{
	fputs(verbs[clause->verb], to);
	for (unsigned i = 0; i < clause->n_places; i++) {
		fputs(clause->places[i].is_list ? " @" : " ", to);
		print_quoted(to, clause->places[i].text);
	}
	for (size_t i = 0; i < N(tests); i++) {
		if (!(clause->tests & 1u << tests[i].kind))
			continue;
		fprintf(to, " %s", tests[i].head);
		print_value(to, tests[i].kind, clause->values[tests[i].kind]);
	}
	if (clause->owner)
		fprintf(to, " owner=%s", clause->owner);
}

static char *print(const struct rules *rules, unsigned first, unsigned end, bool with_order)
{
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	if (!to)
		return NULL;
	for (unsigned i = first; i < end; i++) {
		fputs(i > first ? "; " : "", to);
		print_clause(to, &rules->clauses[i]);
	}
	if (with_order)
		fprintf(to, "%s%s", end > first ? "; " : "", orders[rules->order]);
	return fclose(to) ? NULL : text;
}

char *rules_print(const struct rules *rules)
{
	return print(rules, 0, rules->count, rules->order != ORDER_FOUND || rules->count == 0);
}

char *rules_clause(const struct rules *rules, unsigned clause)
{
	return print(rules, clause, clause + 1, false);
}

static bool is_test(const char *argument)
{
	for (size_t i = 0; i < N(tests); i++)
		if (strncmp(argument, tests[i].head, strlen(tests[i].head)) == 0)
			return true;
	return strncmp(argument, "owner=", 6) == 0 || strncmp(argument, "@/", 2) == 0;
}

char *rules_first_clause(const char *argument, char *error, size_t error_size)
{
	char *text = NULL, *printed = NULL;
	size_t len;
	struct rules *rules;
	FILE *to = must(open_memstream(&text, &len));

	fputs("first ", to);
	if (is_test(argument))
		fputs(argument, to);
	else
		print_quoted(to, argument);
	if (fclose(to) == 0 && rules_parse(text, &rules, error, error_size) == 0) {
		if (rules->count == 1 && !rules->has_order)
			printed = rules_print(rules);
		else
			snprintf(error, error_size, "'%.100s' is more than one clause; set the property order instead", argument);
		rules_free(rules);
	}
	free(text);
	return printed;
}
