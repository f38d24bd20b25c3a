/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * SIDs as bytes and as text, and the sorted lines of a map. See sid.h.
 */
#include "source/sid.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ID_MOST 4294967294u /* 2^32 - 1 means "no id" to the kernel */

int sid_read(const uint8_t *bytes, size_t len, struct sid *sid)
{
	uint32_t part;

	*sid = (struct sid){0};
	if (len < 8 || bytes[0] != 1 || bytes[1] > SID_PARTS || len < 8 + 4u * bytes[1])
		return -EBADMSG;
	sid->count = bytes[1];
	for (size_t i = 2; i < 8; i++)
		sid->authority = sid->authority << 8 | bytes[i];
	for (size_t i = 0; i < sid->count; i++) {
		memcpy(&part, bytes + 8 + 4 * i, sizeof(part));
		sid->parts[i] = le32toh(part);
	}
	return 8 + 4 * sid->count;
}

/* Digits, no more than fit; *at is moved behind them. */
static bool take_number(const char **at, uint64_t most, uint64_t *number)
{
	const char *digit = *at;

	for (*number = 0; *digit >= '0' && *digit <= '9' && *number <= most; digit++)
		*number = *number * 10 + (uint64_t)(*digit - '0');
	if (digit == *at || *number > most)
		return false;
	*at = digit;
	return true;
}

/* Authorities from 2^32 on are written in hexadecimal digits. */
static bool take_authority(const char **at, uint64_t *authority)
{
	char *end;

	if (strncmp(*at, "0x", 2) != 0)
		return take_number(at, UINT32_MAX, authority);
	if (strspn(*at + 2, "0123456789abcdefABCDEF") != 12)
		return false;
	*authority = strtoull(*at, &end, 16);
	*at = end;
	return true;
}

/* Up to what is no part. */
static int parse(const char **at, struct sid *sid)
{
	uint64_t part;

	*sid = (struct sid){0};
	if (strncmp(*at, "S-1-", 4) != 0)
		return -EINVAL;
	*at += 4;
	if (!take_authority(at, &sid->authority))
		return -EINVAL;
	while ((*at)[0] == '-' && (*at)[1] >= '0' && (*at)[1] <= '9') {
		++*at;
		if (sid->count == SID_PARTS || !take_number(at, UINT32_MAX, &part))
			return -EINVAL;
		sid->parts[sid->count++] = (uint32_t)part;
	}
	return 0;
}

int sid_parse(const char *text, struct sid *sid)
{
	int ret = parse(&text, sid);

	return ret < 0 || *text ? -EINVAL : 0;
}

const char *sid_text(const struct sid *sid, char text[SID_TEXT])
{
	size_t len = (size_t)(sid->authority > UINT32_MAX ? snprintf(text, SID_TEXT, "S-1-0x%012" PRIx64, sid->authority)
	                                                  : snprintf(text, SID_TEXT, "S-1-%" PRIu64, sid->authority));

	for (size_t i = 0; i < sid->count; i++)
		len += (size_t)snprintf(text + len, SID_TEXT - len, "-%" PRIu32, sid->parts[i]);
	return text;
}

int sid_compare(const struct sid *one, const struct sid *other)
{
	if (one->authority != other->authority)
		return one->authority < other->authority ? -1 : 1;
	if (one->count != other->count)
		return one->count < other->count ? -1 : 1;
	for (size_t i = 0; i < one->count; i++)
		if (one->parts[i] != other->parts[i])
			return one->parts[i] < other->parts[i] ? -1 : 1;
	return 0;
}

/* --- lines --- */

static int compare_lines(const void *left, const void *right)
{
	const struct sid_line *one = left, *other = right;
	int order = sid_compare(&one->sid, &other->sid);

	return order ? order : one->is_domain - other->is_domain;
}

static const char *add(struct sid_lines *lines, const struct sid_line *line)
{
	if (lines->count == lines->room) {
		size_t room = lines->room ? 2 * lines->room : 64;
		struct sid_line *all = reallocarray(lines->all, room, sizeof(*all));
		if (!all)
			return "out of memory";
		lines->all = all;
		lines->room = room;
	}
	lines->all[lines->count++] = *line;
	return NULL;
}

const char *sid_lines_take(struct sid_lines *lines, const char *from, uint32_t to, unsigned number)
{
	struct sid_line line = {.to = to, .line = number};

	if (strcmp(from, "*") == 0) {
		if (lines->has_rest)
			return "there is a line with 'sid *' already";
		lines->has_rest = true;
		lines->rest = to;
		return NULL;
	}
	if (parse(&from, &line.sid) < 0)
		return "a SID is expected, such as S-1-5-21-1-2-3-1001, or a domain: S-1-5-21-1-2-3-*";
	line.is_domain = strcmp(from, "-*") == 0;
	if (*from && !line.is_domain)
		return "behind the SID of a domain '-*' is expected, and behind any other nothing";
	if (line.is_domain && line.sid.count == SID_PARTS)
		return "a SID has no more than 15 parts";
	return add(lines, &line);
}

bool sid_lines_sort(struct sid_lines *lines, unsigned *one, unsigned *other)
{
	if (lines->count)
		qsort(lines->all, lines->count, sizeof(*lines->all), compare_lines);
	for (size_t i = 1; i < lines->count; i++) {
		if (compare_lines(&lines->all[i - 1], &lines->all[i]) != 0)
			continue;
		*one = lines->all[i - 1].line;
		*other = lines->all[i].line;
		return false;
	}
	return true;
}

void sid_lines_free(struct sid_lines *lines)
{
	free(lines->all);
	*lines = (struct sid_lines){0};
}

static const struct sid_line *find(const struct sid_lines *lines, const struct sid *sid, bool is_domain)
{
	struct sid_line wanted = {.sid = *sid, .is_domain = is_domain};

	if (is_domain) {
		if (sid->count == 0)
			return NULL;
		wanted.sid.count--;
	}
	return lines->count ? bsearch(&wanted, lines->all, lines->count, sizeof(*lines->all), compare_lines) : NULL;
}

bool sid_lines_find(const struct sid_lines *lines, const struct sid *sid, uint32_t *id)
{
	const struct sid_line *line = find(lines, sid, false);

	if (line) {
		*id = line->to;
		return true;
	}
	line = find(lines, sid, true);
	if (line && line->to <= ID_MOST - sid->parts[sid->count - 1] && sid->parts[sid->count - 1] <= ID_MOST) {
		*id = line->to + sid->parts[sid->count - 1];
		return true;
	}
	if (lines->has_rest)
		*id = lines->rest;
	return lines->has_rest;
}
