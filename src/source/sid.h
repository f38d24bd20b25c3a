/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Security identifiers of Windows ([MS-DTYP] 2.4.2), and the lines of a map of ids (idmap.h) that give them ids:
 *
 *     sid S-1-5-21-1-2-3-1001 10042    one; as a user and as a group
 *     sid S-1-5-21-1-2-3-* 100000      a domain: its relative id is added, so ...-1105 becomes 101105
 *     sid * 65534                      all that nothing else names
 *
 * S-1-22-1-N and S-1-22-2-N, which Samba gives to users and groups that have no other, are the user N and the group N at the
 * source, and go through the lines for those.
 */
#ifndef DMM_SOURCE_SID_H
#define DMM_SOURCE_SID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SID_PARTS 15
#define SID_TEXT 192 /* bytes of the longest text, with its NUL */

struct sid {
	uint8_t count; /* of parts */
	uint64_t authority;
	uint32_t parts[SID_PARTS]; /* those above `count` are 0 */
};

/* How many bytes it takes; -EBADMSG: there is none. */
int sid_read(const uint8_t *bytes, size_t len, struct sid *sid);
/* -EINVAL: this is no SID. */
int sid_parse(const char *text, struct sid *sid);
const char *sid_text(const struct sid *sid, char text[SID_TEXT]);
int sid_compare(const struct sid *one, const struct sid *other);

/* The lines. All zero: none. */
struct sid_line {
	struct sid sid; /* of a domain the part before the relative id */
	bool is_domain;
	uint32_t to;
	unsigned line;
};

struct sid_lines {
	struct sid_line *all;
	size_t count, room;
	bool has_rest;
	uint32_t rest;
};

/* Takes a line: what stands before and behind the blank. NULL, or what is wrong with it. */
const char *sid_lines_take(struct sid_lines *lines, const char *from, uint32_t to, unsigned line);
/* Once all are taken. False: `one` and `other` are lines of the same SID. */
bool sid_lines_sort(struct sid_lines *lines, unsigned *one, unsigned *other);
void sid_lines_free(struct sid_lines *lines);
bool sid_lines_find(const struct sid_lines *lines, const struct sid *sid, uint32_t *id);

#endif
