/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Schedules from text and to text. A rule is taken word by word; a word says by its first characters what it is: times begin with
 * a digit, settings have a '=', the rest are days.
 */
#include "property/measure.h"
#include "property/schedule.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ALL_DAYS 0x7fu
#define WORKERS_MOST 1024u
#define WORD_SHOWN 40 /* bytes of a word in a message */
#define BLANKS " \t\n"
#define EXAMPLE "as in \"mon-fri 08:00-18:00 limit=20MB/s workers=1; * limit=none workers=max\""

static const char *const day_names[] = {"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"};

struct parse {
	struct schedule *schedule;
	struct schedule_rule *rule; /* the one that is being read */
	bool has_days, has_settings, has_limit, has_workers;
	unsigned rule_number, word_number;
	const char *word;
	char *error;
	size_t error_size;
};

/* --- complaints --- */

static const char *printable(const char *word, char shown[WORD_SHOWN + 4])
{
	size_t len = 0;

	for (; word[len] && len < WORD_SHOWN; len++)
		shown[len] = word[len] > ' ' && word[len] < 0x7f ? word[len] : '?';
	strcpy(shown + len, word[len] ? "..." : "");
	return shown;
}

__attribute__((format(printf, 2, 3))) static int refuse(const struct parse *parse, const char *format, ...)
{
	char why[256], shown[WORD_SHOWN + 4];
	va_list args;

	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	if (parse->word)
		snprintf(parse->error, parse->error_size, "rule %u, word %u, \"%s\": %s, " EXAMPLE, parse->rule_number,
		         parse->word_number, printable(parse->word, shown), why);
	else
		snprintf(parse->error, parse->error_size, "rule %u: %s, " EXAMPLE, parse->rule_number, why);
	return -EINVAL;
}

/* --- days --- */

/* 0 to 6, or -1. */
static int day_of(const char *name, size_t len)
{
	for (int day = 0; day < 7; day++)
		if ((len == 3 || len == strlen(day_names[day])) && strncasecmp(name, day_names[day], len) == 0)
			return day;
	return -1;
}

static bool is_word(const char *text, size_t len, const char *word)
{
	return len == strlen(word) && strncasecmp(text, word, len) == 0;
}

static int add_days(struct parse *parse, const char *item, size_t len)
{
	const char *dash = memchr(item, '-', len);
	size_t first_len = dash ? (size_t)(dash - item) : len;

	if (is_word(item, len, "*") || is_word(item, len, "daily")) {
		parse->rule->days = ALL_DAYS;
		return 0;
	}
	int first = day_of(item, first_len), last = dash ? day_of(dash + 1, len - first_len - 1) : first;
	if (first < 0 || last < 0)
		return refuse(parse, "days are written mon, mon-fri, sat,sun, daily or *, without blanks");
	for (int day = first;; day = (day + 1) % 7) {
		parse->rule->days |= (uint8_t)(1u << day);
		if (day == last)
			return 0;
	}
}

/* --- times --- */

/* "HH:MM", up to 24:00, as minutes; -1. Moves on behind it. */
static int take_time(const char **at)
{
	const char *digit = *at;
	int hour = 0, n = 0;

	for (; n < 2 && *digit >= '0' && *digit <= '9'; n++)
		hour = hour * 10 + (*digit++ - '0');
	if (n == 0 || digit[0] != ':' || digit[1] < '0' || digit[1] > '5' || digit[2] < '0' || digit[2] > '9')
		return -1;
	int minutes = hour * 60 + (digit[1] - '0') * 10 + (digit[2] - '0');
	*at = digit + 3;
	return minutes <= 24 * 60 ? minutes : -1;
}

static int add_range(struct parse *parse, const char *item, size_t len)
{
	struct schedule_rule *rule = parse->rule;
	const char *at = item;
	int from = take_time(&at), to = from >= 0 && *at++ == '-' ? take_time(&at) : -1;

	if (from < 0 || to < 0 || at != item + len || from == 24 * 60)
		return refuse(parse, "times are written 08:00-18:00, several with commas and without blanks");
	if (from == to)
		return refuse(parse, "a range that ends when it begins holds nothing; leave the times away for the whole day");
	if (rule->n_ranges == SCHEDULE_RANGES)
		return refuse(parse, "a rule has at most %d ranges of times; write a second rule", SCHEDULE_RANGES);
	rule->ranges[rule->n_ranges++] = (struct schedule_range){(uint16_t)from, (uint16_t)to};
	return 0;
}

/* --- settings --- */

static int set_limit(struct parse *parse, const char *value)
{
	if (parse->has_limit)
		return refuse(parse, "the rule has a limit already");
	parse->has_limit = true;
	return rate_parse(value, &parse->rule->limit_bytes_per_s) < 0 ? refuse(parse, "limit must be %s", rate_allowed) : 0;
}

static int set_workers(struct parse *parse, const char *value)
{
	char *end;

	if (parse->has_workers)
		return refuse(parse, "the rule has workers already");
	parse->has_workers = true;
	unsigned long number = strtoul(value, &end, 10);
	if (strcasecmp(value, "max") == 0)
		number = SCHEDULE_WORKERS_MAX;
	else if (*value < '0' || *value > '9' || *end || number > WORKERS_MOST)
		return refuse(parse, "workers must be a number from 0 (the background stops) to %u, or max", WORKERS_MOST);
	parse->rule->workers = (uint32_t)number;
	return 0;
}

static int set_latency(struct parse *parse, const char *value)
{
	if (parse->rule->has_latency)
		return refuse(parse, "the rule has a latency already");
	parse->rule->has_latency = true;
	return latency_parse(value, &parse->rule->latency_us) < 0 ? refuse(parse, "latency must be %s", latency_allowed) : 0;
}

static const struct {
	const char *name;
	int (*set)(struct parse *parse, const char *value);
} settings[] = {{"limit", set_limit}, {"workers", set_workers}, {"latency", set_latency}};

static int take_setting(struct parse *parse)
{
	size_t len = strcspn(parse->word, "=");

	parse->has_settings = true;
	for (size_t i = 0; i < sizeof(settings) / sizeof(*settings); i++)
		if (is_word(parse->word, len, settings[i].name))
			return settings[i].set(parse, parse->word + len + 1);
	return refuse(parse, "there are the settings limit, workers and latency");
}

/* --- rules --- */

static int each_item(struct parse *parse, int (*take)(struct parse *parse, const char *item, size_t len))
{
	const char *item = parse->word;
	int result = 0;

	while (result >= 0) {
		size_t len = strcspn(item, ",");
		result = take(parse, item, len);
		if (!item[len])
			break;
		item += len + 1;
	}
	return result;
}

static int take_word(struct parse *parse)
{
	struct schedule_rule *rule = parse->rule;
	const char *word = parse->word;

	if (strchr(word, '='))
		return take_setting(parse);
	if (parse->has_settings)
		return refuse(parse, "a rule is days, then times, then settings; the next rule comes after a ';'");
	if (*word >= '0' && *word <= '9')
		return each_item(parse, add_range);
	if (rule->n_ranges)
		return refuse(parse, "days come before times");
	parse->has_days = true;
	return each_item(parse, add_days);
}

static bool holds_always(const struct schedule_rule *rule)
{
	return rule->days == ALL_DAYS && rule->n_ranges == 0;
}

static int end_rule(struct parse *parse)
{
	struct schedule *schedule = parse->schedule;

	parse->word = NULL;
	if (!parse->has_settings)
		return refuse(parse, "it sets nothing; add limit, workers or latency");
	if (!parse->has_days)
		parse->rule->days = ALL_DAYS;
	if (schedule->n_rules > 0 && holds_always(&schedule->rules[schedule->n_rules - 1]))
		return refuse(parse, "the rule before it holds always, so this one never would; put that one last");
	schedule->n_rules++;
	return 0;
}

/* `text` is cut into words. */
static int take_rule(struct parse *parse, char *text)
{
	struct schedule *schedule = parse->schedule;
	char *rest = NULL;
	char *word = strtok_r(text, BLANKS, &rest);

	parse->word = NULL;
	parse->rule_number++;
	if (!word)
		return 0; /* what follows the last semicolon */
	if (schedule->n_rules == SCHEDULE_RULES)
		return refuse(parse, "a schedule has at most %d rules", SCHEDULE_RULES);
	parse->rule = &schedule->rules[schedule->n_rules];
	*parse->rule = (struct schedule_rule){.limit_bytes_per_s = RATE_NONE, .workers = SCHEDULE_WORKERS_MAX};
	parse->has_days = parse->has_settings = parse->has_limit = parse->has_workers = false;
	for (parse->word_number = 1; word; word = strtok_r(NULL, BLANKS, &rest), parse->word_number++) {
		parse->word = word;
		int result = take_word(parse);
		if (result < 0)
			return result;
	}
	return end_rule(parse);
}

static bool is_none(const char *text)
{
	text += strspn(text, BLANKS);
	size_t len = strcspn(text, BLANKS);
	return is_word(text, len, "none") && !text[len + strspn(text + len, BLANKS)];
}

int schedule_parse(const char *text, struct schedule *schedule, char *error, size_t error_size)
{
	struct schedule *made = calloc(1, sizeof(*made));
	char *copy = strdup(is_none(text) ? "" : text), *next = copy;
	struct parse parse = {.schedule = made, .error = error, .error_size = error_size};
	int result = 0;

	if (!made || !copy)
		abort();
	while (result >= 0 && next)
		result = take_rule(&parse, strsep(&next, ";"));
	if (result >= 0)
		*schedule = *made;
	free(copy);
	free(made);
	return result < 0 ? result : 0;
}

int schedule_check(const char *value, char *error, size_t error_size)
{
	char why[512];
	struct schedule *schedule = malloc(sizeof(*schedule));

	if (!schedule)
		abort();
	int result = schedule_parse(value, schedule, why, sizeof(why));
	free(schedule);
	if (result < 0)
		snprintf(error, error_size, "a schedule; %s", why);
	return result;
}

/* --- to text --- */

struct text {
	char *buf;
	size_t size, len;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *text, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int len = vsnprintf(text->buf + text->len, text->size - text->len, format, args);
	va_end(args);
	text->len += (size_t)len < text->size - text->len ? (size_t)len : text->size - text->len - 1;
}

/* From Monday on; three and more in a row as a range. */
static void add_day_names(struct text *text, uint8_t days)
{
	const char *comma = "";

	if (days == ALL_DAYS) {
		add(text, "*");
		return;
	}
	for (unsigned i = 0; i < 7; i++) {
		unsigned run = 0;
		while (i + run < 7 && (days & (1u << (i + run + 1) % 7)))
			run++;
		if (run == 0)
			continue;
		add(text, "%s%.3s", comma, day_names[(i + 1) % 7]);
		if (run >= 3) {
			add(text, "-%.3s", day_names[(i + run) % 7]);
			i += run - 1;
		}
		comma = ",";
	}
}

const char *schedule_rule_format(const struct schedule_rule *rule, char *buf, size_t size)
{
	struct text text = {buf, size, 0};
	char measure[MEASURE_TEXT];

	add_day_names(&text, rule->days);
	for (unsigned i = 0; i < rule->n_ranges; i++)
		add(&text, "%s%02u:%02u-%02u:%02u", i ? "," : " ", rule->ranges[i].from / 60u, rule->ranges[i].from % 60u,
		    rule->ranges[i].to / 60u, rule->ranges[i].to % 60u);
	add(&text, " limit=%s", rate_format(rule->limit_bytes_per_s, measure, sizeof(measure)));
	if (rule->workers == SCHEDULE_WORKERS_MAX)
		add(&text, " workers=max");
	else
		add(&text, " workers=%u", rule->workers);
	if (rule->has_latency)
		add(&text, " latency=%s", latency_format(rule->latency_us, measure, sizeof(measure)));
	return buf;
}

const char *schedule_format(const struct schedule *schedule, char *buf, size_t size)
{
	struct text text = {buf, size, 0};
	char rule[SCHEDULE_RULE_TEXT];

	add(&text, "%s", schedule->n_rules ? "" : "none");
	for (unsigned i = 0; i < schedule->n_rules; i++)
		add(&text, "%s%s", i ? "; " : "", schedule_rule_format(&schedule->rules[i], rule, sizeof(rule)));
	return buf;
}
