/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Numbers, names and tables for people.
 */
#include "cli/format.h"

#include "base/size.h"
#include "base/utf8.h"
#include "cli/memory.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wchar.h>

const char *format_count(uint64_t count, char *buf)
{
	char digits[24];
	int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)count);
	char *to = buf;
	for (int i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			*to++ = ',';
		*to++ = digits[i];
	}
	*to = 0;
	return buf;
}

const char *format_duration(uint64_t seconds, char *buf)
{
	unsigned long long minutes = seconds / 60, hours = minutes / 60, days = hours / 24;
	if (days)
		snprintf(buf, FORMAT_BYTES, "%llu d %llu h", days, hours % 24);
	else if (hours)
		snprintf(buf, FORMAT_BYTES, "%llu h %llu min", hours, minutes % 60);
	else if (minutes)
		snprintf(buf, FORMAT_BYTES, "%llu min %llu s", minutes, (unsigned long long)seconds % 60);
	else
		snprintf(buf, FORMAT_BYTES, "%llu s", (unsigned long long)seconds);
	return buf;
}

const char *format_latency(uint64_t us, char *buf)
{
	/* The limits lie where the smaller unit would be rounded up to 1000. */
	if (us < 1000)
		snprintf(buf, FORMAT_BYTES, "%u us", (unsigned)us);
	else if (us < 9950)
		snprintf(buf, FORMAT_BYTES, "%.1f ms", (double)us / 1e3);
	else if (us < 999500)
		snprintf(buf, FORMAT_BYTES, "%.0f ms", (double)us / 1e3);
	else
		snprintf(buf, FORMAT_BYTES, "%.1f s", (double)us / 1e6);
	return buf;
}

const char *format_rate(uint64_t bytes_per_s, char *buf)
{
	size_format(bytes_per_s, buf, FORMAT_BYTES - 2);
	return strcat(buf, "/s");
}

const char *format_time(int64_t seconds, char *buf)
{
	time_t time = (time_t)seconds;
	struct tm parts;
	if (!localtime_r(&time, &parts) || strftime(buf, FORMAT_BYTES, "%Y-%m-%d %H:%M:%S", &parts) == 0)
		snprintf(buf, FORMAT_BYTES, "%lld", (long long)seconds);
	return buf;
}

const char *format_share(uint64_t done, uint64_t all, char *buf)
{
	char some[24], whole[24];
	size_format(done, some, sizeof(some));
	size_format(all, whole, sizeof(whole));
	char *unit = strchr(some, ' '), *unit_of_all = strchr(whole, ' ');
	if (strcmp(unit, unit_of_all) == 0)
		*unit = 0;
	snprintf(buf, FORMAT_BYTES, "%s of %s", some, whole);
	return buf;
}

unsigned format_percent(uint64_t done, uint64_t all)
{
	if (done >= all)
		return 100;
	/* Without overflow, and not above 99 by rounding. */
	unsigned percent = (unsigned)((double)done / (double)all * 100);
	return percent > 99 ? 99 : percent;
}

char *format_name(const char *bytes)
{
	char *name = memory_must(malloc(strlen(bytes) * 4 + 1)), *to = name;
	while (*bytes)
		to += utf8_show(&bytes, to);
	*to = 0;
	return name;
}

static wchar_t decode(const char *text, size_t len)
{
	if (len == 1)
		return *text;
	unsigned point = (unsigned char)*text & (0x7fu >> len);
	for (size_t i = 1; i < len; i++)
		point = point << 6 | ((unsigned char)text[i] & 0x3f);
	return (wchar_t)point;
}

size_t format_width(const char *text)
{
	size_t width = 0;
	while (*text) {
		size_t len = utf8_sequence(text);
		/* -1 for what the locale can not print, the C locale above all: most likely one column. */
		int columns = len ? wcwidth(decode(text, len)) : 1;
		width += columns < 0 ? 1 : (size_t)columns;
		text += len ? len : 1;
	}
	return width;
}

/* --- tables ---------------------------------------------------------------------------------------------------------------- */

struct cell {
	char *text;
	const char *color;
};

struct table {
	size_t n_columns, n_rows;
	char *alignment;
	struct cell *cells; /* row by row, the heads first */
};

static struct cell *cell_at(const struct table *table, size_t row, size_t column)
{
	return &table->cells[row * table->n_columns + column];
}

struct table *table_new(size_t n_columns, const char *const *heads, const char *alignment)
{
	struct table *table = memory_must(calloc(1, sizeof(*table)));
	table->n_columns = n_columns;
	table->alignment = memory_must(strdup(alignment));
	table_row(table);
	for (size_t column = 0; column < n_columns; column++)
		table_set(table, column, heads[column]);
	return table;
}

void table_row(struct table *table)
{
	size_t cells = (table->n_rows + 1) * table->n_columns;
	table->cells = memory_must(reallocarray(table->cells, cells, sizeof(struct cell)));
	memset(cell_at(table, table->n_rows, 0), 0, table->n_columns * sizeof(struct cell));
	table->n_rows++;
}

void table_set(struct table *table, size_t column, const char *text)
{
	struct cell *cell = cell_at(table, table->n_rows - 1, column);
	free(cell->text);
	cell->text = text ? memory_must(strdup(text)) : NULL;
}

void table_color(struct table *table, size_t column, const char *color)
{
	cell_at(table, table->n_rows - 1, column)->color = color;
}

static size_t column_width(const struct table *table, size_t column)
{
	size_t widest = 0;
	for (size_t row = 0; row < table->n_rows; row++) {
		const char *text = cell_at(table, row, column)->text;
		size_t width = text ? format_width(text) : 0;
		widest = width > widest ? width : widest;
	}
	return widest;
}

/* How many columns of the row have to be written; at least the first. */
static size_t columns_used(const struct table *table, size_t row, size_t used)
{
	while (used > 1 && (!cell_at(table, row, used - 1)->text || !*cell_at(table, row, used - 1)->text))
		used--;
	return used;
}

static void print_cell(const struct cell *cell, char alignment, size_t width, bool last, FILE *to)
{
	const char *text = cell->text ? cell->text : "";
	int blanks = (int)(width - format_width(text));
	if (alignment == 'r')
		fprintf(to, "%*s", blanks, "");
	if (cell->color && *cell->color)
		fprintf(to, "%s%s\033[0m", cell->color, text);
	else
		fputs(text, to);
	if (alignment != 'r' && !last) /* no blanks at the end of a line */
		fprintf(to, "%*s", blanks, "");
	fputs(last ? "\n" : "  ", to);
}

void table_print(const struct table *table, FILE *to)
{
	table_print_columns(table, table->n_columns, to);
}

void table_print_columns(const struct table *table, size_t n_columns, FILE *to)
{
	size_t *widths = memory_must(calloc(table->n_columns, sizeof(*widths)));
	for (size_t column = 0; column < table->n_columns; column++)
		widths[column] = column_width(table, column);
	for (size_t row = 0; row < table->n_rows; row++) {
		size_t used = columns_used(table, row, n_columns);
		for (size_t column = 0; column < used; column++)
			print_cell(cell_at(table, row, column), table->alignment[column], widths[column], column + 1 == used, to);
	}
	free(widths);
}

void table_free(struct table *table)
{
	if (!table)
		return;
	for (size_t i = 0; i < table->n_rows * table->n_columns; i++)
		free(table->cells[i].text);
	free(table->cells);
	free(table->alignment);
	free(table);
}
