/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The picture that `watch` shows.
 */
#include "cli/screen.h"

#include "base/size.h"
#include "base/utf8.h"
#include "cli/background.h"
#include "cli/format.h"
#include "cli/memory.h"
#include "cli/print.h"
#include "cli/summary.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define BAR_MIN 10
#define BAR_MAX 30
#define REVERSE "\033[7m"
#define BOLD "\033[1m"
#define PLAIN "\033[0m"

/* --- cutting -------------------------------------------------------------------------------------------------------------- */

/* Length of an escape sequence for colours, 0: none begins here. */
static size_t escape_length(const char *text)
{
	if (strncmp(text, "\033[", 2) != 0)
		return 0;
	size_t len = 2 + strspn(text + 2, "0123456789;");
	return text[len] == 'm' ? len + 1 : 0;
}

/* Bytes of one character and the columns it takes. */
static size_t character_length(const char *text, size_t *columns)
{
	char one[8] = "";
	size_t len = escape_length(text);
	*columns = 0;
	if (len)
		return len;
	len = utf8_sequence(text);
	len = len ? len : 1;
	memcpy(one, text, len);
	*columns = format_width(one);
	return len;
}

char *screen_cut(const char *text, size_t columns)
{
	char *cut = memory_must(malloc(strlen(text) + sizeof(PLAIN))), *to = cut;
	size_t taken = 0, width;
	bool colored = false;
	while (*text) {
		size_t len = character_length(text, &width);
		if (taken + width > columns)
			break;
		colored |= *text == '\033';
		memcpy(to, text, len);
		to += len;
		text += len;
		taken += width;
	}
	strcpy(to, colored ? PLAIN : "");
	return cut;
}

/* Of a name its end, which tells more. Newly allocated. */
static char *cut_front(char *name, size_t columns)
{
	const char *at = name;
	size_t width = format_width(name);
	if (width <= columns)
		return name;
	while (*at && format_width(at) + 3 > columns) {
		size_t len = utf8_sequence(at);
		at += len ? len : 1;
	}
	char *cut = NULL;
	if (asprintf(&cut, "...%s", at) < 0)
		memory_must(NULL);
	free(name);
	return cut;
}

/* --- the list ------------------------------------------------------------------------------------------------------------- */

/* The most important ones first: what does not fit is left out. */
#define N_COLUMNS 9
static const char *const heads[N_COLUMNS] = {"  ID",      "MOUNT POINT", "STATE",   "",    "DONE",
                                             "REMAINING", "ERRORS",      "WAITING", "RATE"};

static void set_bar(struct table *table, size_t column, unsigned percent, size_t length)
{
	char bar[BAR_MAX + 3];
	if (length < BAR_MIN)
		return;
	size_t inner = (length > BAR_MAX ? BAR_MAX : length) - 2;
	memset(bar, '.', sizeof(bar));
	bar[0] = '[';
	memset(bar + 1, '#', inner * percent / 100);
	strcpy(bar + 1 + inner, "]");
	table_set(table, column, bar);
}

static void add_figures(struct table *table, const json_t *figures, size_t bar, bool chosen)
{
	char text[FORMAT_BYTES];
	unsigned percent = summary_percent(figures);
	uint64_t errors = summary_errors(figures), waiting = member_count(figures, "demand_waiting");
	set_bar(table, 3, percent, bar);
	snprintf(text, sizeof(text), "%u %%", percent);
	table_set(table, 4, text);
	table_set(table, 5, summary_remaining(figures, text));
	table_set(table, 6, format_count(errors, text));
	table_color(table, 6, errors && !chosen ? print_trouble_color() : NULL);
	table_set(table, 7, format_count(waiting, text));
	table_set(table, 8, format_rate(member_count(figures, "rate_bytes_per_s"), text));
}

static void add_row(struct table *table, const json_t *figures, size_t name_columns, size_t bar, bool chosen)
{
	char text[FORMAT_BYTES];
	const char *state = member_text(figures, "state");
	bool silent = strcmp(member_text(figures, "daemon"), "silent") == 0;
	char *name = cut_front(member_name(figures, *member_text(figures, "mountpoint") ? "mountpoint" : "target"), name_columns);
	table_row(table);
	snprintf(text, sizeof(text), "%s%u", chosen ? "> " : "  ", (unsigned)member_count(figures, "migid"));
	table_set(table, 0, text);
	table_set(table, 1, name);
	table_set(table, 2, silent ? "no answer" : state);
	table_color(table, 2, chosen ? NULL : silent ? print_trouble_color() : print_state_color(state));
	if (silent) /* nothing is known, and zeros would say that nothing is wrong */
		for (size_t i = 3; i < 9; i++)
			table_set(table, i, "?");
	else
		add_figures(table, figures, bar, chosen);
	free(name);
}

static size_t widest_line(const char *text)
{
	size_t widest = 0;
	while (*text) {
		size_t columns, width = 0;
		for (; *text && *text != '\n'; width += columns)
			text += character_length(text, &columns);
		widest = width > widest ? width : widest;
		text += *text == '\n';
	}
	return widest;
}

/* The first `n_columns` as text, lines. */
static char *compose_columns(const struct screen *screen, size_t n_columns, size_t bar)
{
	char *text = NULL;
	size_t size = 0, i, name_columns = screen->size.columns / 4 > 12 ? screen->size.columns / 4 : 12;
	json_t *figures;
	FILE *to = memory_must(open_memstream(&text, &size));
	struct table *table = table_new(N_COLUMNS, heads, "rlllrrrrr");
	json_array_foreach((json_t *)screen->list, i, figures)
		add_row(table, figures, name_columns, bar, member_count(figures, "migid") == screen->chosen);
	table_print_columns(table, n_columns, to);
	table_free(table);
	fclose(to);
	return text;
}

/* As many columns as there is room for, and a bar in what they leave. */
static char *compose_list(const struct screen *screen)
{
	for (size_t n_columns = N_COLUMNS;; n_columns--) {
		char *text = compose_columns(screen, n_columns, 0);
		size_t width = widest_line(text), room = screen->size.columns > width ? screen->size.columns - width : 0;
		if (room >= BAR_MIN) {
			free(text);
			return compose_columns(screen, n_columns, room);
		}
		if (width <= screen->size.columns || n_columns == 1)
			return text;
		free(text);
	}
}

/* --- the chosen one ------------------------------------------------------------------------------------------------------- */

static const json_t *find_chosen(const struct screen *screen)
{
	size_t i;
	json_t *figures;
	json_array_foreach((json_t *)screen->list, i,
	                   figures) if (member_count(figures, "migid") == screen->chosen) return figures;
	return NULL;
}

static void print_counts(FILE *to, const json_t *figures)
{
	char done[FORMAT_BYTES], all[FORMAT_BYTES], files_done[FORMAT_BYTES], files[FORMAT_BYTES], share[FORMAT_BYTES];
	fprintf(to, "Come over    %s of %s directories, %s of %s files, %s\n",
	        format_count(member_count(figures, "dirs_migrated"), done),
	        format_count(member_count(figures, "dirs_found"), all),
	        format_count(member_count(figures, "files_migrated"), files_done),
	        format_count(member_count(figures, "files_found"), files),
	        format_share(member_count(figures, "bytes_migrated"), member_count(figures, "bytes_found"), share));
}

static void print_trouble(FILE *to, const json_t *figures)
{
	const char *trouble = member_text(figures, "state_trouble"), *color = print_trouble_color(), *plain = *color ? PLAIN : "";
	if (*trouble)
		fprintf(to, "%sTrouble      the state can not be written (%s): applications wait until it can%s\n", color,
		        trouble, plain);
	if (member_true(figures, "target_full"))
		fprintf(to, "%sTrouble      the target is full: reads are answered from the source, nothing more comes over%s\n",
		        color, plain);
	if (summary_errors(figures))
		fprintf(to, "Errors       dmmfs-admin errors %u lists them\n", (unsigned)member_count(figures, "migid"));
	else if (summary_all_here(figures) && !summary_finished(figures))
		fprintf(to, "Everything has come over: dmmfs-admin finish %u ends the migration.\n",
		        (unsigned)member_count(figures, "migid"));
}

static void print_chosen(FILE *to, const json_t *figures)
{
	char text[4 * FORMAT_BYTES], *source = member_name(figures, "source"), *target = member_name(figures, "target"),
				     *mountpoint = member_name(figures, "mountpoint");
	bool elsewhere = *mountpoint && strcmp(mountpoint, target) != 0;
	fprintf(to, BOLD "Migration %u" PLAIN " of %s to %s%s%s\n", (unsigned)member_count(figures, "migid"), source, target,
	        elsewhere ? ", mounted at " : "", elsewhere ? mountpoint : "");
	if (strcmp(member_text(figures, "daemon"), "silent") == 0) {
		fprintf(to, "The daemon does not answer.\n");
	} else {
		print_counts(to, figures);
		fprintf(to, "Remaining    %s\n", summary_remaining_long(figures, text));
		fprintf(to, "Demand       %s\n", summary_demand(figures, text, sizeof(text)));
	}
	background_print(to, figures, "Background   ");
	print_trouble(to, figures);
	free(source);
	free(target);
	free(mountpoint);
}

static void print_log_line(FILE *to, const json_t *line)
{
	char clock[16] = "", *text = member_name(line, "text");
	const char *color = print_level_color(member_text(line, "level"));
	time_t seconds = (time_t)(member_count(line, "time_ms") / 1000);
	struct tm parts;
	if (localtime_r(&seconds, &parts))
		strftime(clock, sizeof(clock), "%H:%M:%S", &parts);
	fprintf(to, "%s  %s%s%s\n", clock, color, text, *color ? PLAIN : "");
	free(text);
}

/* --- the whole ------------------------------------------------------------------------------------------------------------ */

struct picture {
	FILE *to;
	size_t rows, columns; /* that are left; that there are */
};

static void add_line(struct picture *picture, const char *line, bool reverse)
{
	char *cut;
	if (picture->rows == 0)
		return;
	cut = screen_cut(line, picture->columns);
	fprintf(picture->to, "%s%s%s\n", reverse ? REVERSE : "", cut, reverse ? PLAIN : "");
	picture->rows--;
	free(cut);
}

static void add_lines(struct picture *picture, char *text, const char *reverse_if)
{
	for (char *line = text, *end; *line; line = end + 1) {
		end = strchr(line, '\n');
		*end = 0;
		add_line(picture, line, reverse_if && strncmp(line + strspn(line, " "), reverse_if, strlen(reverse_if)) == 0);
	}
}

static void add_title(struct picture *picture)
{
	char line[2 * FORMAT_BYTES], now[FORMAT_BYTES];
	snprintf(line, sizeof(line), BOLD "dmmfs" PLAIN "  %s  q quits, up and down choose", format_time(time(NULL), now));
	add_line(picture, line, false);
	add_line(picture, "", false);
}

/* Of the log as many of the last lines as there is room for. */
static void add_log(struct picture *picture, const json_t *lines)
{
	size_t count = json_array_size(lines);
	if (count == 0 || picture->rows < 2)
		return;
	add_line(picture, "", false);
	for (size_t i = count > picture->rows ? count - picture->rows : 0; i < count; i++) {
		char *text = NULL;
		size_t size = 0;
		FILE *to = memory_must(open_memstream(&text, &size));
		print_log_line(to, json_array_get(lines, i));
		fclose(to);
		add_lines(picture, text, NULL);
		free(text);
	}
}

static void add_chosen(struct picture *picture, const struct screen *screen)
{
	char *text = NULL;
	size_t size = 0;
	const json_t *figures = find_chosen(screen);
	if (!figures)
		return;
	FILE *to = memory_must(open_memstream(&text, &size));
	fputc('\n', to);
	print_chosen(to, figures);
	fclose(to);
	add_lines(picture, text, NULL);
	free(text);
	add_log(picture, screen->lines);
}

char *screen_compose(const struct screen *screen)
{
	char *text = NULL, *list;
	size_t size = 0;
	struct picture picture = {memory_must(open_memstream(&text, &size)), screen->size.rows, screen->size.columns};
	add_title(&picture);
	if (*screen->said)
		add_line(&picture, screen->said, false);
	else if (!screen->list)
		add_line(&picture, "Asking ...", false);
	else if (json_array_size(screen->list) == 0)
		add_line(&picture, "There are no migrations that are not finished.", false);
	if (json_array_size(screen->list)) {
		list = compose_list(screen);
		add_lines(&picture, list, ">");
		free(list);
	}
	add_chosen(&picture, screen);
	fclose(picture.to);
	return text;
}
