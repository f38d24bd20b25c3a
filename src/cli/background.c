/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli/background.h"

#include "cli/format.h"
#include "cli/print.h"

#include <string.h>
#include <time.h>

static const json_t *background_of(const json_t *figures)
{
	const json_t *background = json_object_get(figures, "background");
	return strcmp(member_text(figures, "state"), "running") == 0 && json_is_object(background) ? background : NULL;
}

static bool has(const json_t *object, const char *key)
{
	return json_is_integer(json_object_get(object, key)) || json_is_string(json_object_get(object, key));
}

static void print_rule(FILE *to, const json_t *background)
{
	char until[FORMAT_BYTES];
	bool ends = has(background, "rule_until");
	if (ends)
		format_time((int64_t)member_count(background, "rule_until"), until);
	if (has(background, "rule"))
		fprintf(to, "rule %u%s%s: %s", (unsigned)member_count(background, "rule"), ends ? ", until " : "",
		        ends ? until : "", member_text(background, "rule_text"));
	else
		fprintf(to, "no rule of the schedule until %s", until);
}

static void print_limits(FILE *to, const json_t *background)
{
	char rate[FORMAT_BYTES];
	if (member_count(background, "data_workers") == 0) {
		fprintf(to, "stopped: only what applications ask for comes over");
		return;
	}
	if (has(background, "limit_bytes_per_s"))
		fprintf(to, "at most %s", format_rate(member_count(background, "limit_bytes_per_s"), rate));
	else
		fprintf(to, "no limit");
	fprintf(to, ", %u of %u workers for directories, %u of %u for files", (unsigned)member_count(background, "names_workers"),
	        (unsigned)member_count(background, "names_workers_max"), (unsigned)member_count(background, "data_workers"),
	        (unsigned)member_count(background, "data_workers_max"));
}

static void print_yield(FILE *to, const json_t *background)
{
	const char *whom = member_text(background, "yields_to");
	bool demand = strcmp(whom, "demand") == 0;
	char latency[FORMAT_BYTES], target[FORMAT_BYTES];
	format_latency(member_count(background, "latency_target_us"), target);
	if (demand || strcmp(whom, "operations") == 0)
		fprintf(to, "yields, down to %u %%: %s took %s (p90) in the last second, more than %s",
		        (unsigned)member_count(background, "share_pct"), demand ? "waits for the source" : "operations",
		        format_latency(member_count(background, demand ? "demand_p90_us" : "served_p90_us"), latency), target);
	else if (strcmp(whom, "recovering") == 0)
		fprintf(to, "yielded, back at %u %%: applications wait less than %s again",
		        (unsigned)member_count(background, "share_pct"), target);
	else
		fprintf(to, "does not yield: applications wait less than %s", target);
}

static bool leaves_processors(const json_t *background)
{
	return strcmp(member_text(background, "yields_to"), "company") == 0;
}

void background_print(FILE *to, const json_t *figures, const char *head)
{
	const json_t *background = background_of(figures);
	int indent = (int)strlen(head);
	if (!background)
		return;
	fputs(head, to);
	if (has(background, "rule") || has(background, "rule_until")) {
		print_rule(to, background);
		fprintf(to, "\n%*s", indent, "");
	}
	print_limits(to, background);
	if (leaves_processors(background))
		fprintf(to, "\n%*sleaves a processor to the applications that are at work", indent, "");
	else if (has(background, "latency_target_us")) {
		fprintf(to, "\n%*s", indent, "");
		print_yield(to, background);
	}
	fputc('\n', to);
}

/* "18:00" within a day, otherwise "Mon 18:00". */
static const char *format_until(int64_t until, char *buf)
{
	time_t seconds = (time_t)until;
	struct tm tm;
	*buf = '\0';
	if (localtime_r(&seconds, &tm))
		strftime(buf, FORMAT_BYTES, seconds - time(NULL) < 86400 ? "%H:%M" : "%a %H:%M", &tm);
	return buf;
}

const char *background_limit_short(const json_t *figures, char *buf)
{
	const json_t *background = background_of(figures);
	char rate[FORMAT_BYTES], until[FORMAT_BYTES];
	*buf = '\0';
	if (!background)
		return buf;
	if (member_count(background, "data_workers") == 0)
		snprintf(buf, FORMAT_BYTES, "background stopped");
	else if (has(background, "limit_bytes_per_s"))
		snprintf(buf, FORMAT_BYTES, "limit %s", format_rate(member_count(background, "limit_bytes_per_s"), rate));
	size_t len = strlen(buf);
	if (len && has(background, "rule_until"))
		snprintf(buf + len, FORMAT_BYTES - len, " until %s",
		         format_until((int64_t)member_count(background, "rule_until"), until));
	return buf;
}

const char *background_yield_short(const json_t *figures)
{
	const char *to = member_text(background_of(figures), "yields_to");
	bool yields = strcmp(to, "demand") == 0 || strcmp(to, "operations") == 0 || strcmp(to, "company") == 0;

	return yields ? "yields to applications" : "";
}
