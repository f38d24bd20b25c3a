/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Open addressing over pointers to copies; never more than half full.
 */
#include "migrate/names.h"

#include "migrate/internal.h"

#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

struct name_set {
	char **slots;
	size_t cap, count; /* cap: a power of two */
};

struct name_set *name_set_new(void)
{
	return must_alloc(sizeof(struct name_set));
}

void name_set_free(struct name_set *set)
{
	for (size_t i = 0; i < set->cap; i++)
		free(set->slots[i]);
	free(set->slots);
	free(set);
}

static size_t find(const struct name_set *set, const char *name)
{
	size_t at = XXH3_64bits(name, strlen(name)) & (set->cap - 1);

	while (set->slots[at] && strcmp(set->slots[at], name))
		at = (at + 1) & (set->cap - 1);
	return at;
}

static void grow(struct name_set *set)
{
	struct name_set larger = {.cap = set->cap ? set->cap * 2 : 64, .count = set->count};

	larger.slots = must_alloc(larger.cap * sizeof(char *));
	for (size_t i = 0; i < set->cap; i++)
		if (set->slots[i])
			larger.slots[find(&larger, set->slots[i])] = set->slots[i];
	free(set->slots);
	*set = larger;
}

bool name_set_add(struct name_set *set, const char *name)
{
	if (set->count * 2 >= set->cap)
		grow(set);
	size_t at = find(set, name);
	if (set->slots[at])
		return false;
	set->slots[at] = must_alloc(strlen(name) + 1);
	strcpy(set->slots[at], name);
	set->count++;
	return true;
}

size_t name_set_count(const struct name_set *set)
{
	return set->count;
}

bool name_set_has(const struct name_set *set, const char *name)
{
	return set->cap && set->slots[find(set, name)];
}

bool name_set_empty(const struct name_set *set)
{
	return set->count == 0;
}

const char *name_set_next(const struct name_set *set, size_t *at)
{
	while (*at < set->cap && !set->slots[*at])
		(*at)++;
	return *at < set->cap ? set->slots[(*at)++] : NULL;
}
