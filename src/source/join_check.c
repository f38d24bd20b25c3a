/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * At the start: do both sides show the same tree? A share of another directory would fill the ledger with an entry for each object,
 * and the administrator would find out when all is done. So the top directory is compared, and some of those below it, as far as a
 * few seconds reach.
 *
 * What is compared is names, types and sizes. Either side may hide something from us (a user who may not see everything, a name
 * that SMB does not have), so what is judged is how much of the smaller side the other one has: less than half is refused.
 */
#include "source/join.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/utf8.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define DIRS_MOST 16
#define ENTRIES_MOST 20000 /* a directory with more of them is not compared */
#define TIME_MOST_NS (5 * NS_PER_S)
#define TIMES_LEAST 8 /* objects of which the times alone differ, before that is told */

struct dir {
	struct dir *next;
	struct dmm_bytes handle; /* behind the struct */
};

struct checking {
	const struct join *join;
	struct dir *first, **last;
	size_t dirs, entries;
	size_t same, other, first_only, second_only; /* objects */
	size_t times;                                /* of the same, those with another time */
	char first_name[2 * UTF8_SHOWN_BYTES + 64], second_name[2 * UTF8_SHOWN_BYTES + 64];
};

static void keep_name(char *kept, size_t size, const char *name)
{
	size_t len = 0;

	if (*kept)
		return;
	while (*name && len + UTF8_SHOWN_BYTES < size)
		len += utf8_show(&name, kept + len);
	kept[len] = '\0';
}

static int queue(struct checking *checking, struct dmm_bytes handle)
{
	if (checking->dirs == DIRS_MOST)
		return 0;
	struct dir *dir = malloc(sizeof(*dir) + handle.len);
	if (!dir)
		return -ENOMEM;
	*dir = (struct dir){.handle = {dir + 1, handle.len}};
	memcpy(dir + 1, handle.data, handle.len);
	*checking->last = dir;
	checking->last = &dir->next;
	checking->dirs++;
	return 0;
}

static int compare(void *context, const struct dmm_entry *entry)
{
	struct checking *checking = context;
	struct join_handle handle;

	if (++checking->entries > ENTRIES_MOST)
		return -ERANGE;
	if (entry->error == EREMOTE) {
		checking->second_only++;
		keep_name(checking->second_name, sizeof(checking->second_name), entry->name);
		return 0;
	}
	if (entry->error || join_handle_parse(entry->handle, &handle) < 0 ||
	    !(S_ISREG(entry->attr.mode) || S_ISDIR(entry->attr.mode)))
		return 0;
	if (handle.flags & JOIN_ALONE) {
		checking->first_only++;
		keep_name(checking->first_name, sizeof(checking->first_name), entry->name);
	}
	checking->other += (handle.flags & (JOIN_TYPE | JOIN_SIZE)) != 0;
	if (handle.second.len == 0 || (handle.flags & JOIN_SIZE))
		return 0;
	checking->same++;
	checking->times += (handle.flags & JOIN_MTIME) != 0;
	return S_ISDIR(entry->attr.mode) ? queue(checking, entry->handle) : 0;
}

static int compare_dir(struct checking *checking, struct dmm_bytes handle)
{
	struct join_listing *listing;
	int ret = join_listing_open(checking->join, handle, ENTRIES_MOST, &listing);

	if (ret < 0)
		return ret;
	while ((ret = join_list(listing, compare, checking)) > 0)
		;
	if (ret >= 0 && join_listing_unlisted(listing))
		ret = -join_listing_unlisted(listing);
	join_listing_close(listing);
	return ret;
}

static int take_root(void *context, const struct dmm_entry *entry)
{
	return S_ISDIR(entry->attr.mode) ? queue(context, entry->handle) : -ENOTDIR;
}

static int refuse(const struct checking *checking, const struct source_options *options, char *error, size_t error_size)
{
	size_t first = checking->same + checking->other + checking->first_only,
	       second = checking->same + checking->other + checking->second_only;
	char only_first[128] = "", only_second[128] = "";

	if (first + second == 0 || (first && second && checking->same * 2 >= (first < second ? first : second)))
		return 0;
	if (*checking->first_name)
		snprintf(only_first, sizeof(only_first), ", \"%s\" on the first alone", checking->first_name);
	if (*checking->second_name)
		snprintf(only_second, sizeof(only_second), ", \"%s\" on the second alone", checking->second_name);
	snprintf(error, error_size,
	         "%s and %s do not show the same tree: of %zu files and directories of the first and %zu of the second that were "
	         "compared %zu are the same%s%s; name in cifs= the share, and the directory in it, that the source exports, with "
	         "credentials of a user who sees all of it.",
	         options->source, options->nt->source, first, second, checking->same, only_first, only_second);
	return -ESTALE;
}

/* A directory that cannot be compared is no reason not to start, but the top is. */
static int walk(struct checking *checking, const struct source_options *options, char *error, size_t error_size)
{
	uint64_t until_ns = clock_monotonic_ns() + TIME_MOST_NS;
	int ret = 0;

	for (struct dir *dir = checking->first; dir && ret == 0; dir = dir->next) {
		bool top = dir == checking->first;
		if (!top && clock_monotonic_ns() > until_ns)
			break;
		int compared = compare_dir(checking, dir->handle);
		if (compared < 0 && compared != -ERANGE && compared != -EMSGSIZE && top) {
			snprintf(error, error_size,
			         "The top directory of %s and %s cannot be compared: %s; the user must be able to list it.",
			         options->source, options->nt->source, strerror(-compared));
			ret = compared;
		}
		if (compared == -ERANGE)
			break;
		if (compared >= 0)
			ret = refuse(checking, options, error, error_size);
	}
	return ret;
}

int join_check(const struct join *join, const struct source_options *options, char *error, size_t error_size)
{
	struct checking checking = {.join = join, .last = &checking.first};
	int ret = join_root(join, take_root, &checking);

	if (ret < 0)
		snprintf(error, error_size, "The roots of %s and %s cannot be compared: %s; both must be directories.",
		         options->source, options->nt->source, strerror(-ret));
	else
		ret = walk(&checking, options, error, error_size);
	if (ret >= 0 && checking.times >= TIMES_LEAST && checking.times == checking.same)
		log_warning(
			"both sides show the same names, but no time of the %zu that were compared is the same: is %s a copy of "
			"%s? each will be listed as a loss",
			checking.same, options->nt->source, options->source);
	for (struct dir *dir = checking.first, *next; dir; dir = next) {
		next = dir->next;
		free(dir);
	}
	return ret;
}
