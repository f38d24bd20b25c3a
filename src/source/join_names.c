/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The names of one directory of the second side: a table by name, and, for what no name matches, two sorted lists of what is left:
 * by the name without upper and lower case, and by the number of the file. Memory is bounded; so is time, whatever a server says.
 */
#include "source/join.h"

#include "base/utf8.h"

#include <ctype.h>
#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <wctype.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

/* A server may say a name twice when a directory changes; one that says all of them again goes round in a circle. */
#define REPEATED_MOST 1000

struct join_key {
	uint64_t key;
	uint32_t index;
};

void join_names_init(struct join_names *names, size_t most)
{
	*names = (struct join_names){.most = most ? most : UINT32_MAX - 1};
}

void join_names_free(struct join_names *names)
{
	free(names->all);
	free(names->bytes);
	free(names->buckets);
	free(names->folded);
	free(names->ids);
	*names = (struct join_names){0};
}

const char *join_names_name(const struct join_names *names, const struct join_name *name)
{
	return names->bytes + name->bytes;
}

struct dmm_bytes join_names_handle(const struct join_names *names, const struct join_name *name)
{
	return (struct dmm_bytes){names->bytes + name->bytes + name->name_len + 1, name->handle_len};
}

/* --- by name --- */

static uint32_t *bucket_of(const struct join_names *names, const char *name, size_t len)
{
	return &names->buckets[XXH3_64bits(name, len) & (names->n_buckets - 1)];
}

struct join_name *join_names_find(const struct join_names *names, const char *name, size_t len)
{
	for (uint32_t at = names->n_buckets ? *bucket_of(names, name, len) : 0; at; at = names->all[at - 1].next) {
		struct join_name *one = &names->all[at - 1];
		if (one->name_len == len && memcmp(join_names_name(names, one), name, len) == 0)
			return one;
	}
	return NULL;
}

static int grow_bytes(struct join_names *names, size_t need)
{
	size_t size = names->size ? names->size : 4096;

	while (size - names->used < need)
		size *= 2;
	if (size == names->size)
		return 0;
	char *bytes = realloc(names->bytes, size);
	if (!bytes)
		return -ENOMEM;
	names->bytes = bytes;
	names->size = size;
	return 0;
}

static int grow_table(struct join_names *names)
{
	size_t cap = names->cap ? names->cap * 2 : 64;
	struct join_name *all = realloc(names->all, cap * sizeof(*all));

	if (!all)
		return -ENOMEM;
	names->all = all;
	uint32_t *buckets = calloc(cap, sizeof(*buckets));
	if (!buckets)
		return -ENOMEM;
	free(names->buckets);
	names->cap = names->n_buckets = cap;
	names->buckets = buckets;
	for (size_t i = 0; i < names->count; i++) {
		uint32_t *bucket = bucket_of(names, join_names_name(names, &all[i]), all[i].name_len);
		all[i].next = *bucket;
		*bucket = (uint32_t)i + 1;
	}
	return 0;
}

int join_names_add(void *context, const struct dmm_entry *entry)
{
	struct join_names *names = context;
	size_t need = entry->name_len + 1 + entry->handle.len;

	if (join_names_find(names, entry->name, entry->name_len))
		return ++names->repeated > names->count + REPEATED_MOST ? -EBADMSG : 0;
	if (names->count >= names->most || names->used + need + names->count * sizeof(struct join_name) > JOIN_NAMES_BYTES)
		return -EMSGSIZE;
	int ret = grow_bytes(names, need);
	if (ret == 0 && names->count == names->cap)
		ret = grow_table(names);
	if (ret < 0)
		return ret;
	struct join_name *name = &names->all[names->count];
	*name = (struct join_name){
		.bytes = names->used,
		.name_len = (uint32_t)entry->name_len,
		.handle_len = (uint32_t)entry->handle.len,
		.error = entry->error,
		.facts = join_facts_of(&entry->attr),
	};
	memcpy(names->bytes + names->used, entry->name, entry->name_len + 1);
	if (entry->handle.len)
		memcpy(names->bytes + names->used + entry->name_len + 1, entry->handle.data, entry->handle.len);
	names->used += need;
	uint32_t *bucket = bucket_of(names, entry->name, entry->name_len);
	name->next = *bucket;
	*bucket = (uint32_t)++names->count;
	return 0;
}

/* --- what is left --- */

static uint32_t decode(const char *text, size_t len)
{
	uint32_t c = (unsigned char)text[0] & (len == 1 ? 0x7fu : 0xffu >> (len + 1));

	for (size_t i = 1; i < len; i++)
		c = c << 6 | ((unsigned char)text[i] & 0x3f);
	return c;
}

/* Near enough to what servers do: the simple mapping of letters, without a normal form. Names end with a NUL. */
static size_t fold(locale_t locale, const char *name, uint32_t folded[DMM_NAME_MAX])
{
	size_t count = 0;

	for (size_t len; *name && count < DMM_NAME_MAX; name += len ? len : 1) {
		len = utf8_sequence(name);
		uint32_t c = len ? decode(name, len) : 0x110000u + (unsigned char)*name;
		if (c < 0x80)
			c = (uint32_t)tolower((int)c);
		else if (locale && c < 0x110000u)
			c = (uint32_t)towlower_l((wint_t)c, locale);
		folded[count++] = c;
	}
	return count;
}

static locale_t letters(void)
{
	return newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0); /* without it the letters of ASCII have to do */
}

static uint64_t fold_key(locale_t locale, const char *name)
{
	uint32_t folded[DMM_NAME_MAX];

	return XXH3_64bits(folded, fold(locale, name, folded) * sizeof(*folded));
}

static int by_key(const void *a, const void *b)
{
	const struct join_key *x = a, *y = b;

	return x->key < y->key ? -1 : x->key > y->key;
}

int join_names_rest(struct join_names *names)
{
	locale_t locale = letters();

	names->folded = calloc(names->count + 1, sizeof(*names->folded));
	names->ids = calloc(names->count + 1, sizeof(*names->ids));
	names->n_rest = 0;
	for (size_t i = 0; names->folded && names->ids && i < names->count; i++) {
		const struct join_name *name = &names->all[i];
		if (name->matched || name->error)
			continue;
		names->folded[names->n_rest] = (struct join_key){fold_key(locale, join_names_name(names, name)), (uint32_t)i};
		names->ids[names->n_rest++] = (struct join_key){name->facts.fileid, (uint32_t)i};
	}
	if (locale)
		freelocale(locale);
	if (!names->folded || !names->ids)
		return -ENOMEM;
	qsort(names->folded, names->n_rest, sizeof(*names->folded), by_key);
	qsort(names->ids, names->n_rest, sizeof(*names->ids), by_key);
	return 0;
}

/* The one with this key. */
static struct join_name *only(const struct join_names *names, const struct join_key *keys, uint64_t key)
{
	const struct join_key wanted = {.key = key};
	const struct join_key *found = bsearch(&wanted, keys, names->n_rest, sizeof(*keys), by_key);

	if (!found || (found > keys && found[-1].key == key) || (found + 1 < keys + names->n_rest && found[1].key == key))
		return NULL;
	struct join_name *name = &names->all[found->index];
	return name->matched ? NULL : name;
}

static struct join_name *by_case(const struct join_names *names, const char *name)
{
	uint32_t one[DMM_NAME_MAX], other[DMM_NAME_MAX];
	locale_t locale = letters();
	struct join_name *found = only(names, names->folded, fold_key(locale, name));

	if (found) {
		size_t len = fold(locale, name, one);
		if (len != fold(locale, join_names_name(names, found), other) || memcmp(one, other, len * sizeof(*one)) != 0)
			found = NULL;
	}
	if (locale)
		freelocale(locale);
	return found;
}

struct join_name *join_names_like(const struct join_names *names, const struct dmm_entry *entry)
{
	struct join_name *found = names->n_rest ? by_case(names, entry->name) : NULL;

	if (found || !names->n_rest || !entry->attr.fileid)
		return found;
	found = only(names, names->ids, entry->attr.fileid);
	const struct join_facts facts = join_facts_of(&entry->attr);
	return found && join_compare(&facts, &found->facts) == 0 ? found : NULL;
}

/* --- names --- */

/* CON, LPT1 and their like, with any ending. */
static bool is_device(const char *name, size_t len)
{
	static const char *const devices[] = {"CON", "PRN", "AUX", "NUL", "COM", "LPT"};
	const char *dot = memchr(name, '.', len);
	size_t base = dot ? (size_t)(dot - name) : len;

	for (size_t i = 0; i < sizeof(devices) / sizeof(*devices); i++)
		if (base >= 3 && strncasecmp(name, devices[i], 3) == 0)
			return i < 4 ? base == 3 : base == 4 && name[3] >= '1' && name[3] <= '9';
	return false;
}

bool join_name_is_legal(const char *name, size_t len)
{
	for (size_t at = 0; at < len;) {
		size_t sequence = utf8_sequence(name + at);
		if (!sequence || (unsigned char)name[at] < ' ' || strchr("\\:*?\"<>|", name[at]))
			return false;
		at += sequence;
	}
	return len > 0 && name[len - 1] != ' ' && name[len - 1] != '.' && !is_device(name, len);
}

bool join_name_is_made_up(const char *name, size_t len)
{
	const char *dot = memchr(name, '.', len), *tilde = memchr(name, '~', len);
	size_t base = dot ? (size_t)(dot - name) : len;

	if (!tilde || base > 8 || (size_t)(tilde - name) >= base || (dot && len - base > 4))
		return false;
	for (size_t i = 0; i < len; i++)
		if (islower((unsigned char)name[i]) || (unsigned char)name[i] >= 0x80)
			return false;
	return true;
}
