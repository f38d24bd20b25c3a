/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Figures in words.
 */
#include "cli/summary.h"

#include "cli/background.h"
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
	else if (!json_is_integer(eta) || (estimate && json_integer_value(eta) == 0)) /* at least nothing says nothing */
		snprintf(buf, FORMAT_BYTES, "unknown");
	else
		snprintf(buf, FORMAT_BYTES, "%s %s", estimate ? "at least" : "about",
		         format_duration(member_count(figures, "eta_s"), duration));
	return buf;
}

const char *summary_remaining_long(const json_t *figures, char *buf)
{
	summary_remaining(figures, buf);
	size_t len = strlen(buf);
	if (runs(figures) && member_true(figures, "estimate"))
		snprintf(buf + len, FORMAT_BYTES - len, ", still looking");
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
	/* Not links_pending: a file may have names outside of the source that nobody will ever see. */
	static const char *const open[] = {"dirs_pending", "files_pending", "bytes_pending", "dirs_error", "files_error"};
	if (strcmp(member_text(figures, "state"), "complete") == 0)
		return true;
	for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++)
		if (member_count(figures, open[i]))
			return false;
	return !member_true(figures, "estimate") && member_count(figures, "dirs_found") > 0;
}

bool summary_finished(const json_t *figures)
{
	return strcmp(member_text(figures, "state"), "complete") == 0 && strcmp(member_text(figures, "daemon"), "running") != 0;
}

/* --- lines ---------------------------------------------------------------------------------------------------------------- */

/* A line of parts, two blanks between them. A part that does not fit into the width any more is left out. */
struct line {
	char text[512];
	size_t width;
};

static void add_part(struct line *line, const char *part)
{
	size_t len = strlen(line->text), gap = len ? 2 : 0, end = len + gap + strlen(part);
	if (end > line->width || end >= sizeof(line->text))
		return;
	memset(line->text + len, ' ', gap);
	strcpy(line->text + len + gap, part);
}

static void add_amounts(struct line *line, const json_t *figures)
{
	char text[FORMAT_BYTES];
	add_part(line, format_share(member_count(figures, "bytes_migrated"), member_count(figures, "bytes_found"), text));
	add_part(line, format_rate(member_count(figures, "rate_bytes_per_s"), text));
}

static void add_errors(struct line *line, const json_t *figures)
{
	char text[2 * FORMAT_BYTES], count[FORMAT_BYTES];
	uint64_t errors = summary_errors(figures);
	snprintf(text, sizeof(text), "%s error%s", format_count(errors, count), errors == 1 ? "" : "s");
	if (errors)
		add_part(line, text);
}

static void add_demand(struct line *line, const json_t *figures)
{
	char text[4 * FORMAT_BYTES], p50[FORMAT_BYTES], p99[FORMAT_BYTES], waiting[FORMAT_BYTES];
	uint64_t now_waiting = member_count(figures, "demand_waiting");
	if (!member_count(figures, "demand_requests"))
		return;
	snprintf(text, sizeof(text), "demand p50 %s p99 %s", format_latency(member_count(figures, "demand_p50_us"), p50),
	         format_latency(member_count(figures, "demand_p99_us"), p99));
	add_part(line, text);
	snprintf(text, sizeof(text), "%s waiting", format_count(now_waiting, waiting));
	if (now_waiting)
		add_part(line, text);
}

static void add_background(struct line *line, const json_t *figures)
{
	char text[FORMAT_BYTES];
	if (*background_limit_short(figures, text))
		add_part(line, text);
	if (*background_yield_short(figures))
		add_part(line, background_yield_short(figures));
}

/* In a line without heads a word alone does not say of what it speaks. */
static void add_remaining(struct line *line, const json_t *figures)
{
	char text[FORMAT_BYTES], sentence[2 * FORMAT_BYTES];
	summary_remaining_long(figures, text);
	if (strcmp(text, "none") == 0)
		strcpy(text, "nothing remains");
	snprintf(sentence, sizeof(sentence), "%s%s", strncmp(text, "unknown", 7) == 0 ? "time remaining " : "", text);
	add_part(line, sentence);
}

char *summary_bar(const json_t *figures, size_t width)
{
	struct line details = {.width = sizeof(details.text)};
	unsigned percent = summary_percent(figures);
	char *text = NULL, filled[BAR_MAX + 1];
	int head = asprintf(&text, "%-8s %3u %%", member_text(figures, "state"), percent);
	if (head < 0)
		memory_must(NULL);
	size_t fixed = (size_t)head + strlen(" []");
	details.width = width > fixed + BAR_MIN + 2 ? width - fixed - BAR_MIN - 2 : 0;
	add_amounts(&details, figures);
	size_t taken = fixed + (*details.text ? 2 + strlen(details.text) : 0);
	size_t bar = width > taken ? width - taken : 0;
	bar = bar > BAR_MAX ? BAR_MAX : bar;
	if (bar < BAR_MIN)
		return text;
	memset(filled, '.', bar);
	memset(filled, '#', bar * percent / 100);
	filled[bar] = 0;
	char *line = NULL;
	if (asprintf(&line, "%s [%s]%s%s", text, filled, *details.text ? "  " : "", details.text) < 0)
		memory_must(NULL);
	free(text);
	return line;
}

char *summary_below_bar(const json_t *figures, size_t width)
{
	struct line line = {.width = width};
	add_remaining(&line, figures);
	add_errors(&line, figures);
	add_background(&line, figures);
	add_demand(&line, figures);
	return memory_must(strdup(line.text));
}

char *summary_line(const json_t *figures)
{
	struct line line = {.width = sizeof(line.text)};
	char buf[FORMAT_BYTES], percent[16];
	add_part(&line, format_time(time(NULL), buf));
	add_part(&line, member_text(figures, "state"));
	snprintf(percent, sizeof(percent), "%u %%", summary_percent(figures));
	add_part(&line, percent);
	add_amounts(&line, figures);
	add_remaining(&line, figures);
	add_errors(&line, figures);
	add_background(&line, figures);
	add_demand(&line, figures);
	return memory_must(strdup(line.text));
}
