/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Lines of the log of a migration. What base/log.c writes is read back here; a logfile may be shared by many migrations, be cut in
 * the middle of a line, and hold what others wrote: whatever is no line of this migration is passed over.
 */
#include "cli/loglines.h"

#include "base/cleanup.h"
#include "cli/figures.h"
#include "cli/memory.h"
#include "cli/print.h"
#include "wire/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define ASK_TIMEOUT_S 10
#define WINDOW_BYTES (256 << 10) /* of the end of a file, looked at first */
#define WINDOW_MAX (256 << 20)

/* --- one line ------------------------------------------------------------------------------------------------------------- */

/* Takes "migid=N " off; NULL when it is another's. */
static const char *text_of(const char *text, uint32_t migid)
{
	char prefix[32];
	int len = snprintf(prefix, sizeof(prefix), "migid=%u ", migid);
	return strncmp(text, prefix, (size_t)len) == 0 ? text + len : NULL;
}

static json_t *make_line(int64_t time_ms, const char *level, const char *text)
{
	json_t *line = memory_must(json_pack("{s:I, s:s}", "time_ms", (json_int_t)time_ms, "level", level));
	bytes_set(line, "text", text);
	return line;
}

/* "2026-01-31T12:00:00.123+0100"; returns what follows, or NULL. */
static const char *parse_time(const char *text, int64_t *time_ms)
{
	struct tm parts = {0};
	unsigned ms, hours, minutes;
	char sign;
	int len = 0;
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &parts);
	if (!rest || sscanf(rest, ".%3u%c%2u%2u%n", &ms, &sign, &hours, &minutes, &len) != 4 || len == 0)
		return NULL;
	int64_t offset_s = (int64_t)(hours * 3600 + minutes * 60) * (sign == '-' ? -1 : 1);
	*time_ms = ((int64_t)timegm(&parts) - offset_s) * 1000 + ms;
	return rest + len;
}

json_t *loglines_parse(const char *bytes, size_t len, uint32_t migid)
{
	static const char *const levels[] = {"error", "warning", "info", "debug"};
	CLEAN_FREE char *copy = memory_must(malloc(len + 1));
	memcpy(copy, bytes, len);
	copy[len] = '\0';
	int64_t time_ms;
	const char *rest = parse_time(copy, &time_ms);
	for (size_t i = 0; rest && i < sizeof(levels) / sizeof(levels[0]); i++) {
		size_t level = strlen(levels[i]);
		if (strncmp(rest + 1, levels[i], level) || strncmp(rest + 1 + level, ": ", 2))
			continue;
		const char *text = text_of(rest + 1 + level + 2, migid);
		return text ? make_line(time_ms, levels[i], text) : NULL;
	}
	return NULL;
}

/* --- fields --------------------------------------------------------------------------------------------------------------- */

static unsigned nibble(char digit)
{
	return digit <= '9' ? (unsigned)(digit - '0') : (unsigned)(digit - 'a' + 10);
}

static bool is_byte(const char *text)
{
	return text[0] == 'x' && text[1] && strspn(text + 1, "0123456789abcdef") >= 2;
}

/* The value at `text`, with its quoting undone, in `value`, which is as long as the text; returns what follows. */
static const char *take_value(const char *text, char *value)
{
	bool quoted = *text == '"';
	for (text += quoted; *text && *text != (quoted ? '"' : ' '); text++) {
		if (*text == '\\' && is_byte(text + 1)) {
			*value++ = (char)(nibble(text[2]) << 4 | nibble(text[3]));
			text += 3;
		} else {
			text += *text == '\\' && text[1];
			*value++ = *text;
		}
	}
	*value = 0;
	return text + (quoted && *text);
}

json_t *loglines_fields(const char *text)
{
	json_t *fields = memory_must(json_object());
	CLEAN_FREE char *value = memory_must(malloc(strlen(text) + 1));
	if (strncmp(text, "event=", strlen("event=")) != 0)
		return fields;
	while (*text) {
		size_t len = strcspn(text, "= ");
		char key[64];
		if (text[len] != '=' || len == 0 || len >= sizeof(key))
			break;
		snprintf(key, sizeof(key), "%.*s", (int)len, text);
		text = take_value(text + len + 1, value);
		bytes_set(fields, key, value);
		text += strspn(text, " ");
	}
	return fields;
}

/* --- where they are ------------------------------------------------------------------------------------------------------- */

int loglines_of_daemon(const struct cli *cli, uint32_t migid, json_int_t after, size_t last, json_t **lines, json_int_t *run)
{
	json_t *reply, *entry;
	size_t i;
	json_t *request = json_pack("{s:s, s:I, s:I}", "op", "log", "after", after, "last", (json_int_t)last);
	int error = daemon_ask(cli, migid, request, cli->timeout_s ? cli->timeout_s : ASK_TIMEOUT_S, &reply);
	if (error) {
		json_decref(reply);
		return error;
	}
	*lines = memory_must(json_array());
	*run = json_integer_value(json_object_get(reply, "run"));
	json_array_foreach(json_object_get(reply, "log"), i, entry)
	{
		char *text = NULL;
		const char *shown = bytes_get(entry, "text", &text) ? "" : text;
		const char *stripped = text_of(shown, migid);
		json_t *line = make_line(json_integer_value(json_object_get(entry, "time_ms")), member_text(entry, "level"),
		                         stripped ? stripped : shown);
		json_object_set(line, "id", json_object_get(entry, "id"));
		json_array_append_new(*lines, line);
		free(text);
	}
	json_decref(reply);
	return 0;
}

/* Of the file's last bytes the last lines. */
static json_t *parse_window(const char *bytes, size_t len, bool whole, uint32_t migid, size_t last)
{
	json_t *lines = memory_must(json_array());
	const char *end = bytes + len, *at = bytes;
	if (!whole) /* begins in the middle of a line */
		at = memchr(bytes, '\n', len) ? (const char *)memchr(bytes, '\n', len) + 1 : end;
	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		if (!newline)
			break; /* still being written */
		json_t *line = loglines_parse(at, (size_t)(newline - at), migid);
		if (line)
			json_array_append_new(lines, line);
		if (json_array_size(lines) > 2 * last + 1000)
			for (size_t i = json_array_size(lines) - last; i > 0; i--)
				json_array_remove(lines, 0);
		at = newline + 1;
	}
	while (json_array_size(lines) > last)
		json_array_remove(lines, 0);
	return lines;
}

int loglines_of_file(const char *path, uint32_t migid, size_t last, json_t **lines)
{
	struct stat st;
	CLEAN_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	for (off_t window = WINDOW_BYTES;; window *= 8) {
		off_t from = st.st_size > window ? st.st_size - window : 0;
		size_t len = (size_t)(st.st_size - from);
		CLEAN_FREE char *bytes = memory_must(malloc(len + 1));
		ssize_t got = pread(fd, bytes, len, from);
		if (got < 0)
			return -errno;
		*lines = parse_window(bytes, (size_t)got, from == 0, migid, last);
		if (from == 0 || json_array_size(*lines) >= last || window >= WINDOW_MAX)
			return 0;
		json_decref(*lines);
	}
}

static const char *level_of_priority(const char *priority)
{
	int number = atoi(priority);
	return number <= 3 ? "error" : number == 4 ? "warning" : number <= 6 ? "info" : "debug";
}

int loglines_of_journal(uint32_t migid, size_t last, json_t **lines)
{
	CLEAN_FREE char *text = NULL;
	size_t size = 0;
	if (access("/run/systemd/journal/socket", F_OK) < 0)
		return -ENOENT;
	/* The newest first, as long as there are too few. */
	FILE *journal = popen("journalctl --quiet --reverse --identifier=dmmfs --output=json 2>/dev/null", "re");
	if (!journal)
		return -errno;
	*lines = memory_must(json_array());
	while (json_array_size(*lines) < last && getline(&text, &size, journal) > 0) {
		json_t *entry = json_loads(text, 0, NULL);
		const char *message = text_of(member_text(entry, "MESSAGE"), migid);
		if (message)
			json_array_insert_new(*lines, 0,
			                      make_line(atoll(member_text(entry, "__REALTIME_TIMESTAMP")) / 1000,
			                                level_of_priority(member_text(entry, "PRIORITY")), message));
		json_decref(entry);
	}
	pclose(journal);
	return 0;
}
