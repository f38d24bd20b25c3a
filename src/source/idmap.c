/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A map of ids: for users and for groups an array of ranges, ascending and without overlap, searched by halves.
 */
#include "source/idmap.h"

#include "base/cleanup.h"
#include "source/sid.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MOST (16u << 20)
#define ID_MOST 4294967294u /* 2^32 - 1 means "no id" to the kernel */

struct range {
	uint32_t first, last, to;
	unsigned line;
};

struct ids {
	struct range *ranges;
	size_t count, room;
	bool has_rest;
	uint32_t rest;
};

/* Names, as NFSv4 has them. */
struct named {
	char *name;
	uint32_t to;
	unsigned line;
};

struct names {
	struct named *all;
	size_t count, room;
	bool has_rest;
	uint32_t rest;
};

struct idmap {
	struct ids users, groups;
	struct sid_lines sids;
	struct names user_names, group_names;
};

struct parse {
	const char *name;
	unsigned line;
	char *error;
	size_t error_size;
};

__attribute__((format(printf, 2, 3))) static int refuse(const struct parse *parse, const char *format, ...)
{
	char what[256];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	snprintf(parse->error, parse->error_size, "%s: line %u: %s", parse->name, parse->line, what);
	return -EINVAL;
}

/* --- lines --- */

/* Digits at *at, which is moved behind them. */
static bool take_id(const char **at, uint32_t *id)
{
	uint64_t value = 0;
	const char *digit = *at;

	for (; *digit >= '0' && *digit <= '9' && value <= ID_MOST; digit++)
		value = value * 10 + (uint64_t)(*digit - '0');
	if (digit == *at || value > ID_MOST)
		return false;
	*at = digit;
	*id = (uint32_t)value;
	return true;
}

static int add(struct ids *ids, const struct range *range)
{
	if (ids->count == ids->room) {
		size_t room = ids->room ? 2 * ids->room : 64;
		struct range *ranges = reallocarray(ids->ranges, room, sizeof(*ranges));
		if (!ranges)
			return -ENOMEM;
		ids->ranges = ranges;
		ids->room = room;
	}
	ids->ranges[ids->count++] = *range;
	return 0;
}

static int take_rest(const struct parse *parse, struct ids *ids, const char *to)
{
	if (ids->has_rest)
		return refuse(parse, "there is a line with '*' already");
	if (!take_id(&to, &ids->rest) || *to)
		return refuse(parse, "behind '*' one id is expected, from 0 to %u", ID_MOST);
	ids->has_rest = true;
	return 0;
}

static int take_range(const struct parse *parse, struct ids *ids, const char *from, const char *to)
{
	struct range range = {.line = parse->line};

	if (!take_id(&from, &range.first))
		return refuse(parse, "an id or a range of ids is expected, such as 1000 or 1000-1999");
	range.last = range.first;
	if (*from == '-') {
		from++;
		if (!take_id(&from, &range.last) || range.last < range.first)
			return refuse(parse, "the end of a range is an id that is not below its beginning");
	}
	if (*from || !take_id(&to, &range.to) || *to)
		return refuse(parse, "one id, or a range and the first id that it becomes: uid 1000-1999 5000");
	if (range.to > ID_MOST - (range.last - range.first))
		return refuse(parse, "the range would become ids above %u", ID_MOST);
	return add(ids, &range);
}

static int take_sid(const struct parse *parse, struct sid_lines *sids, const char *from, const char *to)
{
	uint32_t id;

	if (!take_id(&to, &id) || *to)
		return refuse(parse, "behind a SID one id is expected, from 0 to %u", ID_MOST);
	const char *wrong = sid_lines_take(sids, from, id, parse->line);
	return wrong ? refuse(parse, "%s", wrong) : 0;
}

static int sort_sids(struct parse *parse, struct sid_lines *sids)
{
	unsigned one, other;

	if (sid_lines_sort(sids, &one, &other))
		return 0;
	parse->line = one > other ? one : other;
	return refuse(parse, "this SID is in line %u already", one > other ? other : one);
}

/* Blanks in a name are written as fstab(5) has them: \040. */
static void unescape(char *name)
{
	char *to = name;

	for (const char *from = name; *from; to++) {
		if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' && from[2] <= '7' && from[3] >= '0' &&
		    from[3] <= '7' && (from[1] | from[2] | from[3]) != '0') {
			*to = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = '\0';
}

static int add_name(struct names *names, const struct named *named)
{
	if (names->count == names->room) {
		size_t room = names->room ? 2 * names->room : 64;
		struct named *all = reallocarray(names->all, room, sizeof(*all));
		if (!all)
			return -ENOMEM;
		names->all = all;
		names->room = room;
	}
	names->all[names->count] = *named;
	names->all[names->count].name = strdup(named->name);
	return names->all[names->count++].name ? 0 : -ENOMEM;
}

static int take_name(const struct parse *parse, struct names *names, char *from, const char *to)
{
	struct named named = {.name = from, .line = parse->line};
	bool rest = strcmp(from, "*") == 0;

	if (!take_id(&to, &named.to) || *to)
		return refuse(parse, "behind a name one id is expected, from 0 to %u", ID_MOST);
	if (rest && names->has_rest)
		return refuse(parse, "there is a line with '*' already");
	if (rest) {
		names->has_rest = true;
		names->rest = named.to;
		return 0;
	}
	unescape(from);
	return add_name(names, &named);
}

static int take_line(const struct parse *parse, struct idmap *map, char *line)
{
	char *rest = line, *kind, *from, *to;

	line[strcspn(line, "#")] = '\0';
	kind = strtok_r(rest, " \t\r", &rest);
	if (!kind)
		return 0;
	from = strtok_r(NULL, " \t\r", &rest);
	to = strtok_r(NULL, " \t\r", &rest);
	bool complete = from && to && !strtok_r(NULL, " \t\r", &rest);
	if (complete && strcmp(kind, "sid") == 0)
		return take_sid(parse, &map->sids, from, to);
	if (complete && strcmp(kind, "user") == 0)
		return take_name(parse, &map->user_names, from, to);
	if (complete && strcmp(kind, "group") == 0)
		return take_name(parse, &map->group_names, from, to);
	if ((strcmp(kind, "uid") && strcmp(kind, "gid")) || !complete)
		return refuse(parse, "write 'uid FROM TO', 'gid FROM TO', 'sid SID TO', 'user NAME ID' or 'group NAME ID'");
	struct ids *ids = *kind == 'u' ? &map->users : &map->groups;
	return strcmp(from, "*") == 0 ? take_rest(parse, ids, to) : take_range(parse, ids, from, to);
}

/* --- the whole --- */

static int compare(const void *left, const void *right)
{
	const struct range *a = left, *b = right;

	return a->first < b->first ? -1 : a->first > b->first;
}

static int sort(struct parse *parse, struct ids *ids)
{
	if (ids->count)
		qsort(ids->ranges, ids->count, sizeof(*ids->ranges), compare);
	for (size_t i = 1; i < ids->count; i++) {
		const struct range *before = &ids->ranges[i - 1], *range = &ids->ranges[i];
		if (range->first > before->last)
			continue;
		parse->line = range->line > before->line ? range->line : before->line;
		return refuse(parse, "id %u is in line %u already", range->first,
		              range->line > before->line ? before->line : range->line);
	}
	return 0;
}

static int compare_names(const void *left, const void *right)
{
	return strcmp(((const struct named *)left)->name, ((const struct named *)right)->name);
}

static int sort_names(struct parse *parse, struct names *names)
{
	if (names->count)
		qsort(names->all, names->count, sizeof(*names->all), compare_names);
	for (size_t i = 1; i < names->count; i++) {
		unsigned one = names->all[i - 1].line, other = names->all[i].line;
		if (compare_names(&names->all[i - 1], &names->all[i]) != 0)
			continue;
		parse->line = one > other ? one : other;
		return refuse(parse, "this name is in line %u already", one > other ? other : one);
	}
	return 0;
}

static int take_lines(struct parse *parse, struct idmap *map, char *text)
{
	int ret = 0;

	while (ret >= 0 && text) {
		char *line = strsep(&text, "\n");
		parse->line++;
		ret = take_line(parse, map, line);
	}
	if (ret >= 0)
		ret = sort(parse, &map->users);
	if (ret >= 0)
		ret = sort_sids(parse, &map->sids);
	if (ret >= 0)
		ret = sort(parse, &map->groups);
	if (ret >= 0)
		ret = sort_names(parse, &map->user_names);
	return ret < 0 ? ret : sort_names(parse, &map->group_names);
}

int idmap_parse(const char *text, size_t len, const char *name, struct idmap **result, char *error, size_t error_size)
{
	struct parse parse = {.name = name, .error = error, .error_size = error_size};
	struct idmap *map = calloc(1, sizeof(*map));
	CLEAN_FREE char *copy = malloc(len + 1);
	int ret = map && copy ? 0 : -ENOMEM;

	if (copy) {
		memcpy(copy, text, len);
		copy[len] = '\0';
	}
	if (ret < 0)
		snprintf(error, error_size, "%s: out of memory", name);
	else if (strlen(copy) != len)
		ret = refuse(&parse, "a byte 0: this is not a text file");
	if (ret >= 0)
		ret = take_lines(&parse, map, copy);
	if (ret < 0)
		idmap_free(map);
	else
		*result = map;
	return ret;
}

int idmap_load(const char *path, struct idmap **map, char *error, size_t error_size)
{
	CLEAN_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	CLEAN_FREE char *text = NULL;
	struct stat st;
	ssize_t len = -1;

	if (fd >= 0 && fstat(fd, &st) == 0) {
		if (!S_ISREG(st.st_mode) || st.st_size > FILE_MOST) {
			snprintf(error, error_size, "%s: a map of ids is a text file of at most %u MiB", path, FILE_MOST >> 20);
			return -EINVAL;
		}
		text = malloc((size_t)st.st_size + 1);
		len = text ? read(fd, text, (size_t)st.st_size) : -1;
	}
	if (len < 0) {
		int failure = -errno;
		snprintf(error, error_size, "the map of ids %s cannot be read: %s", path, strerror(-failure));
		return failure;
	}
	return idmap_parse(text, (size_t)len, path, map, error, error_size);
}

static void free_names(struct names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->all[i].name);
	free(names->all);
}

void idmap_free(struct idmap *map)
{
	if (!map)
		return;
	sid_lines_free(&map->sids);
	free_names(&map->user_names);
	free_names(&map->group_names);
	free(map->users.ranges);
	free(map->groups.ranges);
	free(map);
}

/* --- use --- */

static uint32_t look_up(const struct ids *ids, uint32_t id)
{
	size_t low = 0, high = ids->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct range *range = &ids->ranges[middle];
		if (id < range->first)
			high = middle;
		else if (id > range->last)
			low = middle + 1;
		else
			return range->to + (id - range->first);
	}
	return ids->has_rest ? ids->rest : id;
}

uint32_t idmap_uid(const struct idmap *map, uint32_t uid)
{
	return look_up(&map->users, uid);
}

uint32_t idmap_gid(const struct idmap *map, uint32_t gid)
{
	return look_up(&map->groups, gid);
}

static bool find_name(const struct names *names, const char *name, uint32_t *id)
{
	struct named *found = names->count ? bsearch(&(struct named){.name = (char *)name}, names->all, names->count,
	                                             sizeof(*names->all), compare_names)
	                                   : NULL;

	if (found)
		*id = found->to;
	return found;
}

/* Lines "user SID ID" and "group SID ID" are for one kind alone. */
static bool names_sids(const struct names *names)
{
	for (size_t i = 0; i < names->count; i++)
		if (strncmp(names->all[i].name, "S-1-", 4) == 0)
			return true;
	return false;
}

bool idmap_has_sids(const struct idmap *map)
{
	return map->sids.count || map->sids.has_rest || names_sids(&map->user_names) || names_sids(&map->group_names);
}

/* What Samba makes of an id that has no SID (authority 22: Unix). */
static bool is_unix_id(const struct sid *sid, uint32_t kind)
{
	return sid->authority == 22 && sid->count == 2 && sid->parts[0] == kind && sid->parts[1] <= ID_MOST;
}

/* A line for this kind goes first; one for the other alone says that it is none of this. */
static bool find_sid(const struct idmap *map, const struct sid *sid, const struct names *kind, const struct names *other,
                     uint32_t *id)
{
	char text[SID_TEXT];
	uint32_t unwanted;

	sid_text(sid, text);
	return find_name(kind, text, id) || (!find_name(other, text, &unwanted) && sid_lines_find(&map->sids, sid, id));
}

bool idmap_sid_user(const struct idmap *map, const struct sid *sid, uint32_t *uid)
{
	if (is_unix_id(sid, 1)) {
		*uid = idmap_uid(map, sid->parts[1]);
		return true;
	}
	return !is_unix_id(sid, 2) && find_sid(map, sid, &map->user_names, &map->group_names, uid);
}

bool idmap_sid_group(const struct idmap *map, const struct sid *sid, uint32_t *gid)
{
	if (is_unix_id(sid, 2)) {
		*gid = idmap_gid(map, sid->parts[1]);
		return true;
	}
	return !is_unix_id(sid, 1) && find_sid(map, sid, &map->group_names, &map->user_names, gid);
}

bool idmap_user(const struct idmap *map, const char *name, uint32_t *uid)
{
	return find_name(&map->user_names, name, uid);
}

bool idmap_group(const struct idmap *map, const char *name, uint32_t *gid)
{
	return find_name(&map->group_names, name, gid);
}

bool idmap_other_users(const struct idmap *map, uint32_t *uid)
{
	*uid = map->user_names.has_rest ? map->user_names.rest : *uid;
	return map->user_names.has_rest;
}

bool idmap_other_groups(const struct idmap *map, uint32_t *gid)
{
	*gid = map->group_names.has_rest ? map->group_names.rest : *gid;
	return map->group_names.has_rest;
}

void idmap_acl(const struct idmap *map, void *value, size_t len)
{
	struct posix_acl_xattr_header *header = value;
	struct posix_acl_xattr_entry *entry = (void *)(header + 1);

	if (len < sizeof(*header) || le32toh(header->a_version) != POSIX_ACL_XATTR_VERSION)
		return;
	for (size_t left = len - sizeof(*header); left >= sizeof(*entry); left -= sizeof(*entry), entry++) {
		uint32_t id = le32toh(entry->e_id);
		if (le16toh(entry->e_tag) == ACL_USER)
			entry->e_id = htole32(idmap_uid(map, id));
		else if (le16toh(entry->e_tag) == ACL_GROUP)
			entry->e_id = htole32(idmap_gid(map, id));
	}
}
