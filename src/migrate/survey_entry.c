/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What one entry of a directory means for a migration: what it counts for, and whether the target can hold it.
 */
#include "migrate/survey_private.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "migrate/internal.h"
#include "wire/bytes.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <wctype.h>

/* Attributes cost a request each: of so many objects all are looked at, then of one in so many. */
#define XATTRS_ALL 20000
#define XATTRS_ONE_IN 16

/* What a directory needs at least, and for each entry, roughly: a name and its number. */
#define ENTRY_BYTES 64

char *survey_path(const char *dir, const char *name)
{
	char *path;
	if (asprintf(&path, "%s%s%s", dir, *dir && *name ? "/" : "", name) < 0)
		abort();
	return path;
}

static void keep_example(struct survey_example *examples, uint64_t n, const char *dir, const char *name, const char *detail)
{
	if (n >= SURVEY_EXAMPLES)
		return;
	examples[n].path = survey_path(dir, name);
	snprintf(examples[n].detail, sizeof(examples[n].detail), "%s", detail);
}

void survey_note(struct surveying *surveying, enum survey_problem problem, const char *dir, const char *name, const char *format,
                 ...)
{
	char detail[96];
	va_list args;
	va_start(args, format);
	vsnprintf(detail, sizeof(detail), format, args);
	va_end(args);
	LOCKED(&surveying->lock);
	keep_example(surveying->survey->examples[problem], surveying->survey->problems[problem]++, dir, name, detail);
}

/* Under lock. */
static void keep_greatest(struct survey_place *place, uint64_t value, const char *dir, const char *name)
{
	if (place->path && value <= place->value)
		return;
	free(place->path);
	*place = (struct survey_place){survey_path(dir, name), value};
}

/* --- names --- */

static bool dos_takes(const char *name, size_t len)
{
	for (const char *at = name; *at; at++)
		if ((unsigned char)*at < ' ' || strchr("\\:*?\"<>|", *at))
			return false;
	return name[len - 1] != ' ' && name[len - 1] != '.' && bytes_are_utf8(name);
}

static void check_name(struct listing *listing, const struct dmm_entry *entry)
{
	struct surveying *surveying = listing->surveying;
	const struct target_limits *limits = surveying->options->limits;
	if (limits->name_max && entry->name_len > limits->name_max)
		survey_note(surveying, SURVEY_NAME_LONG, listing->dir->path, entry->name, "%zu bytes", entry->name_len);
	if (limits->dos_names && !dos_takes(entry->name, entry->name_len))
		survey_note(surveying, SURVEY_NAME_BYTES, listing->dir->path, entry->name, "%s", "");
	if (!limits->folds_case)
		return;
	listing->names = realloc(listing->names, (listing->n_names + 1) * sizeof(*listing->names));
	if (!listing->names || !(listing->names[listing->n_names++] = strdup(entry->name)))
		abort();
}

/* Near enough to what file systems do: the simple mapping of letters, without a normal form. */
static int compare_folded(const void *a, const void *b)
{
	return strcasecmp(*(char *const *)a, *(char *const *)b);
}

void survey_compare_names(struct listing *listing)
{
	if (listing->n_names)
		qsort(listing->names, listing->n_names, sizeof(*listing->names), compare_folded);
	for (size_t i = 1; i < listing->n_names; i++)
		if (compare_folded(&listing->names[i - 1], &listing->names[i]) == 0)
			survey_note(listing->surveying, SURVEY_NAME_CASE, listing->dir->path, listing->names[i], "as %s",
			            listing->names[i - 1]);
	for (size_t i = 0; i < listing->n_names; i++)
		free(listing->names[i]);
	free(listing->names);
}

/* --- attributes --- */

struct attributes {
	struct listing *listing;
	const char *name; /* of the entry */
	uint64_t bytes;
};

/* Asks the target once for each name. Under lock. */
static bool is_held(struct surveying *surveying, const char *name)
{
	for (size_t i = 0; i < surveying->n_xattrs; i++)
		if (strcmp(surveying->xattrs[i].name, name) == 0)
			return surveying->xattrs[i].held;
	bool held = !surveying->options->target || target_holds_xattr(surveying->options->target, name) != 0;
	if (surveying->n_xattrs < XATTR_NAMES) {
		surveying->xattrs[surveying->n_xattrs].name = strdup(name);
		surveying->xattrs[surveying->n_xattrs++].held = held;
	}
	return held;
}

static int take_xattr(void *context, const char *name, const void *value, size_t len)
{
	struct attributes *attributes = context;
	struct surveying *surveying = attributes->listing->surveying;
	if (strcmp(name, TARGET_MARK) == 0)
		return 0; /* is left behind */
	pthread_mutex_lock(&surveying->lock);
	bool held = is_held(surveying, name);
	pthread_mutex_unlock(&surveying->lock);
	if (!held)
		survey_note(surveying, SURVEY_XATTR, attributes->listing->dir->path, attributes->name, "%s", name);
	else
		attributes->bytes += len;
	return 0;
}

static bool look_at_xattrs(struct surveying *surveying)
{
	const struct survey *survey = surveying->survey;
	LOCKED(&surveying->lock);
	uint64_t objects = survey->dirs + survey->files;
	bool look = surveying->has_xattrs && (objects < XATTRS_ALL || objects % XATTRS_ONE_IN == 0);
	surveying->survey->looked_at_xattrs += look;
	return look;
}

static void check_xattrs(struct listing *listing, const struct dmm_entry *entry)
{
	struct surveying *surveying = listing->surveying;
	struct attributes attributes = {.listing = listing, .name = entry->name};
	if (!look_at_xattrs(surveying))
		return;
	int result = source_xattrs(surveying->source, entry->handle, NULL, take_xattr, &attributes);
	if (result < 0 && result != -EOPNOTSUPP && !atomic_load(&surveying->stop))
		survey_note(surveying, SURVEY_UNREADABLE, listing->dir->path, entry->name, "attributes: %s", strerror(-result));
	if (attributes.bytes > surveying->options->limits->xattr_max)
		survey_note(surveying, SURVEY_XATTR_LARGE, listing->dir->path, entry->name, "%llu bytes",
		            (unsigned long long)attributes.bytes);
}

/* --- counting --- */

/* True the first time. Under lock. Identities are mixed into one number: two of 2^32 files would collide once in a while, and one of
 * them not be counted. */
static bool first_name(struct surveying *surveying, const struct dmm_attr *attr)
{
	uint64_t id = (attr->fileid ^ attr->fsid * 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu;
	id = id ^ id >> 32 ? id ^ id >> 32 : 1;
	if (surveying->n_links * 2 >= surveying->links_room) {
		size_t old_room = surveying->links_room;
		uint64_t *old = surveying->links;
		surveying->links_room = old_room ? old_room * 2 : 1024;
		surveying->links = must_alloc(surveying->links_room * sizeof(*surveying->links));
		for (size_t i = 0; i < old_room; i++) {
			size_t at = old[i] % surveying->links_room;
			while (old[i] && surveying->links[at])
				at = (at + 1) % surveying->links_room;
			if (old[i])
				surveying->links[at] = old[i];
		}
		free(old);
	}
	size_t at = id % surveying->links_room;
	for (; surveying->links[at]; at = (at + 1) % surveying->links_room)
		if (surveying->links[at] == id)
			return false;
	surveying->links[at] = id;
	surveying->n_links++;
	return true;
}

/* Under lock. */
static void count_file(struct listing *listing, const struct dmm_entry *entry)
{
	struct surveying *surveying = listing->surveying;
	struct survey *survey = surveying->survey;
	const struct dmm_attr *attr = &entry->attr;
	uint64_t block = surveying->options->limits->block_bytes ? surveying->options->limits->block_bytes : 4096;
	uint64_t used = (attr->valid & DMM_ATTR_USED) && attr->used < attr->size ? attr->used : attr->size;
	bool linked = (attr->valid & DMM_ATTR_NLINK) && attr->nlink > 1;

	survey->files++;
	survey->linked_names += linked;
	if (linked && !first_name(surveying, attr))
		return;
	survey->linked_files += linked;
	survey->bytes += attr->size;
	survey->bytes_allocated += used;
	survey->bytes_needed += (used + block - 1) / block * block;
	keep_greatest(&survey->largest_file, attr->size, listing->dir->path, entry->name);
	survey_offer(surveying, entry, listing->dir->path);
}

/* Under lock. */
static void count_dir(struct listing *listing, const struct dmm_entry *entry)
{
	struct surveying *surveying = listing->surveying;
	struct survey *survey = surveying->survey;
	const struct survey_dir *parent = listing->dir;
	size_t parent_len = strlen(parent->path);
	struct survey_dir *dir = must_alloc(sizeof(*dir) + entry->handle.len + parent_len + entry->name_len + 2);

	survey->dirs++;
	survey->bytes_needed += surveying->options->limits->block_bytes;
	memcpy(dir + 1, entry->handle.data, entry->handle.len);
	dir->handle = (struct dmm_bytes){dir + 1, entry->handle.len};
	dir->path = (char *)(dir + 1) + entry->handle.len;
	sprintf(dir->path, "%s%s%s", parent->path, parent_len ? "/" : "", entry->name);
	dir->fsid = entry->attr.fsid;
	dir->depth = parent->depth + 1;
	keep_greatest(&survey->deepest, dir->depth, parent->path, entry->name);
	if (dir->fsid != parent->fsid)
		keep_example(survey->mount_examples, survey->mounts++, parent->path, entry->name, "");
	survey_add_dir(surveying, dir);
}

static void count(struct listing *listing, const struct dmm_entry *entry)
{
	struct surveying *surveying = listing->surveying;
	struct survey *survey = surveying->survey;
	const struct dmm_attr *attr = &entry->attr;
	LOCKED(&surveying->lock);

	listing->entries++;
	survey->bytes_needed += ENTRY_BYTES;
	survey->special_flags += (attr->valid & DMM_ATTR_FLAGS) && attr->flags;
	keep_greatest(&survey->longest_name, entry->name_len, listing->dir->path, entry->name);
	switch (attr->mode & S_IFMT) {
	case S_IFREG:
		count_file(listing, entry);
		break;
	case S_IFDIR:
		count_dir(listing, entry);
		break;
	case S_IFLNK:
		survey->symlinks++;
		break;
	case S_IFIFO:
		survey->fifos++;
		break;
	case S_IFSOCK:
		survey->sockets++;
		break;
	default:
		survey->devices++;
	}
}

/* --- what the order leaves out --- */

static bool is_skipped(struct listing *listing, const struct dmm_entry *entry)
{
	const struct rules *order = listing->surveying->options->order;
	if (!order)
		return false;
	CLEAN_FREE char *path = survey_path(listing->dir->path, entry->name);
	struct rule_object object = {.path = path,
	                             .is_dir = S_ISDIR(entry->attr.mode),
	                             .size = S_ISREG(entry->attr.mode) ? entry->attr.size : 0,
	                             .mtime_s = entry->attr.mtime.sec,
	                             .owner = entry->attr.uid};
	int clause = rules_match(order, &object, (int64_t)(clock_wall_ns() / NS_PER_S));
	if (clause < 0 || rules_verb(order, (unsigned)clause) != RULE_SKIP)
		return false;
	CLEAN_FREE char *text = rules_clause(order, (unsigned)clause);
	survey_note(listing->surveying, SURVEY_SKIPPED, listing->dir->path, entry->name, "%s", text ? text : "");
	return true;
}

/* --- the entry --- */

static void check_limits(struct listing *listing, const struct dmm_entry *entry)
{
	struct surveying *surveying = listing->surveying;
	const struct target_limits *limits = surveying->options->limits;
	const struct dmm_attr *attr = &entry->attr;
	bool plain = S_ISREG(attr->mode) || S_ISDIR(attr->mode);

	if (S_ISREG(attr->mode) && attr->size > limits->file_max)
		survey_note(surveying, SURVEY_FILE_LARGE, listing->dir->path, entry->name, "%llu bytes",
		            (unsigned long long)attr->size);
	if (attr->mtime.sec < limits->time_min_s || attr->mtime.sec > limits->time_max_s)
		survey_note(surveying, SURVEY_TIME, listing->dir->path, entry->name, "%lld s after 1970-01-01",
		            (long long)attr->mtime.sec);
	if (limits->plain_only && (!plain || (S_ISREG(attr->mode) && attr->nlink > 1)))
		survey_note(surveying, SURVEY_KIND, listing->dir->path, entry->name, "%s",
		            plain                 ? "several names"
		            : S_ISLNK(attr->mode) ? "a symbolic link"
		                                  : "a special file");
}

static void check_sides(struct listing *listing, const struct dmm_entry *entry)
{
	char sentence[1024];

	if (source_disagreement(listing->surveying->source, entry, sentence, sizeof(sentence)))
		survey_note(listing->surveying, SURVEY_DISAGREES, listing->dir->path, entry->name, "%s", sentence);
}

int survey_entry(void *context, const struct dmm_entry *entry)
{
	struct listing *listing = context;
	struct surveying *surveying = listing->surveying;

	if (entry->error == EREMOTE) {
		survey_note(surveying, SURVEY_REMOTE, listing->dir->path, entry->name, "%s", "");
		return 0;
	}
	if (entry->error) {
		survey_note(surveying, SURVEY_UNREADABLE, listing->dir->path, entry->name, "%s", strerror(entry->error));
		return 0;
	}
	if (is_skipped(listing, entry))
		return atomic_load(&surveying->stop) ? -ECANCELED : 0;
	check_sides(listing, entry);
	check_name(listing, entry);
	check_limits(listing, entry);
	check_xattrs(listing, entry);
	count(listing, entry);
	return atomic_load(&surveying->stop) ? -ECANCELED : 0;
}
