/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Figures in words.
 */
#include "cli/summary.h"

#include "base/size.h"
#include "cli/format.h"
#include "cli/memory.h"
#include "cli/print.h"

#include <string.h>
#include <time.h>

#define BAR_MIN 10
#define BAR_MAX 40

static bool runs(const json_t *figures)
{
	const char *state = member_text(figures, "state");
	return strcmp(state, "running") == 0 || strcmp(state, "paused") == 0;
}

unsigned summary_percent(const json_t *figures)
{
	uint64_t pending = member_count(figures, "dirs_pending") + member_count(figures, "files_pending");
	uint64_t done = member_count(figures, "bytes_migrated"), all = member_count(figures, "bytes_found");
	if (strcmp(member_text(figures, "state"), "complete") == 0)
		return 100;
	if (all == 0) {
		done = member_count(figures, "files_migrated") + member_count(figures, "dirs_migrated");
		all = member_count(figures, "files_found") + member_count(figures, "dirs_found");
	}
	/* A migration that has found nothing yet is at its beginning, not at its end. */
	unsigned percent = all ? format_percent(done, all) : 0;
	bool open = pending || member_true(figures, "estimate");
	return percent == 100 && open ? 99 : percent;
}

const char *summary_remaining(const json_t *figures, char *buf)
{
	char duration[FORMAT_BYTES];
	const json_t *eta = json_object_get(figures, "eta_s");
	bool estimate = member_true(figures, "estimate");
	if (!runs(figures))
		snprintf(buf, FORMAT_BYTES, "-");
	else if (summary_all_here(figures))
		snprintf(buf, FORMAT_BYTES, "none");
	else if (!json_is_integer(eta))
		snprintf(buf, FORMAT_BYTES, "unknown%s", estimate ? ", still looking" : "");
	else
		snprintf(buf, FORMAT_BYTES, "%s %s%s", estimate ? "at least" : "about",
		         format_duration(member_count(figures, "eta_s"), duration), estimate ? ", still looking" : "");
	return buf;
}

const char *summary_demand(const json_t *figures, char *buf, size_t buf_size)
{
	char requests[FORMAT_BYTES], waiting[FORMAT_BYTES], p50[FORMAT_BYTES], p99[FORMAT_BYTES];
	uint64_t count = member_count(figures, "demand_requests");
	if (count == 0)
		snprintf(buf, buf_size, "none yet");
	else
		snprintf(buf, buf_size, "%s request%s, %s waiting, p50 %s, p99 %s", format_count(count, requests),
		         count == 1 ? "" : "s", format_count(member_count(figures, "demand_waiting"), waiting),
		         format_latency(member_count(figures, "demand_p50_us"), p50),
		         format_latency(member_count(figures, "demand_p99_us"), p99));
	return buf;
}

uint64_t summary_errors(const json_t *figures)
{
	return member_count(figures, "files_error") + member_count(figures, "dirs_error");
}

bool summary_all_here(const json_t *figures)
{
	static const char *const open[] = {"dirs_pending",  "files_pending", "bytes_pending",
	                                   "links_pending", "dirs_error",    "files_error"};
	if (strcmp(member_text(figures, "state"), "complete") == 0)
		return true;
	for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++)
		if (member_count(figures, open[i]))
			return false;
	return !member_true(figures, "estimate") && member_count(figures, "dirs_found") > 0;
}

/* --- one line ------------------------------------------------------------------------------------------------------------- */

/* Adds a part as long as the line stays within `width`; what does not fit is left out. */
static void add_part(char *line, size_t line_size, size_t width, const char *part)
{
	size_t len = strlen(line);
	if (len + 2 + strlen(part) <= width && len + 2 + strlen(part) < line_size)
		sprintf(line + len, "  %s", part);
}

static void add_details(const json_t *figures, char *line, size_t line_size, size_t width)
{
	char text[3 * FORMAT_BYTES], size[FORMAT_BYTES], count[FORMAT_BYTES], duration[FORMAT_BYTES];
	add_part(line, line_size, width,
	         format_share(member_count(figures, "bytes_migrated"), member_count(figures, "bytes_found"), text));
	snprintf(text, sizeof(text), "%s/s", size_format(member_count(figures, "rate_bytes_per_s"), size, sizeof(size)));
	add_part(line, line_size, width, text);
	add_part(line, line_size, width, summary_remaining(figures, duration));
	uint64_t errors = summary_errors(figures);
	snprintf(text, sizeof(text), "%s error%s", format_count(errors, count), errors == 1 ? "" : "s");
	if (errors)
		add_part(line, line_size, width, text);
	snprintf(text, sizeof(text), "demand p50 %s", format_latency(member_count(figures, "demand_p50_us"), size));
	snprintf(text + strlen(text), sizeof(text) - strlen(text), " p99 %s",
	         format_latency(member_count(figures, "demand_p99_us"), size));
	if (member_count(figures, "demand_requests"))
		add_part(line, line_size, width, text);
}

char *summary_bar(const json_t *figures, size_t width)
{
	char details[512] = "";
	unsigned percent = summary_percent(figures);
	const char *state = member_text(figures, "state");
	size_t fixed = strlen(state) + strlen(" 100 % [") + strlen("]");
	size_t for_details = width > fixed + BAR_MIN ? width - fixed - BAR_MIN : 0;
	add_details(figures, details, sizeof(details), for_details);
	size_t bar = width > fixed + strlen(details) ? width - fixed - strlen(details) : 0;
	bar = bar > BAR_MAX ? BAR_MAX : bar;
	size_t full = bar * percent / 100;
	char *line = memory_must(malloc(strlen(state) + BAR_MAX + sizeof(details) + 32));
	int len = sprintf(line, "%s %3u %%", state, percent);
	if (bar >= BAR_MIN) {
		len += sprintf(line + len, " [");
		memset(line + len, '#', full);
		memset(line + len + full, '.', bar - full);
		len += (int)bar;
		len += sprintf(line + len, "]");
	}
	strcpy(line + len, details);
	return line;
}

char *summary_line(const json_t *figures)
{
	char time_now[FORMAT_BYTES], details[512] = "", *line = NULL;
	add_details(figures, details, sizeof(details), sizeof(details));
	if (asprintf(&line, "%s  %s  %u %%%s", format_time(time(NULL), time_now), member_text(figures, "state"),
	             summary_percent(figures), details) < 0)
		memory_must(NULL);
	return line;
}
