/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Which clause of an order decides about an object.
 */
#include "property/rules_private.h"

#include "property/glob.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_TESTS (1u << TEST_SIZE_BELOW | 1u << TEST_SIZE_ABOVE | 1u << TEST_AGE_BELOW | 1u << TEST_AGE_ABOVE)

void rules_free(struct rules *rules)
{
	if (!rules)
		return;
	for (unsigned i = 0; i < rules->count; i++) {
		struct clause *clause = &rules->clauses[i];
		for (unsigned n = 0; n < clause->n_places; n++) {
			free(clause->places[n].text);
			paths_free(clause->places[n].paths);
		}
		free(clause->places);
		free(clause->owner);
	}
	free(rules->clauses);
	free(rules);
}

/* --- loading --- */

static int find_owner(struct clause *clause, char *error, size_t error_size)
{
	char buffer[4096], *end;
	struct passwd entry, *found = NULL;

	unsigned long number = strtoul(clause->owner, &end, 10);
	if (!*end && number < (uid_t)-1 && clause->owner[0] >= '0' && clause->owner[0] <= '9') {
		clause->uid = (uid_t)number;
	} else {
		int failure = getpwnam_r(clause->owner, &entry, buffer, sizeof(buffer), &found);
		if (!found) {
			snprintf(error, error_size, "owner=%.100s: there is no such user%s%s; a number is good, too",
			         clause->owner, failure ? ": " : "", failure ? strerror(failure) : "");
			return -ENOENT;
		}
		clause->uid = found->pw_uid;
	}
	clause->has_uid = true;
	return 0;
}

static int load_clause(struct clause *clause, char *error, size_t error_size)
{
	int result = clause->owner ? find_owner(clause, error, error_size) : 0;

	for (unsigned i = 0; result >= 0 && i < clause->n_places; i++)
		if (clause->places[i].is_list)
			result = paths_read(clause->places[i].text, &clause->places[i].paths, error, error_size);
	return result;
}

int rules_load(struct rules *rules, char *error, size_t error_size)
{
	int result = 0;

	for (unsigned i = 0; i < rules->count; i++) {
		char unheard[1];
		int loaded = load_clause(&rules->clauses[i], result ? unheard : error, result ? sizeof(unheard) : error_size);
		result = result ? result : loaded;
	}
	return result;
}

int rules_check(const char *text, char *error, size_t error_size)
{
	char why[768];
	struct rules *rules;
	int result = rules_parse(text, &rules, why, sizeof(why));

	if (result < 0)
		snprintf(error, error_size, "clauses with ';' between; %s", why);
	else
		rules_free(rules);
	return result;
}

/* --- asking --- */

unsigned rules_count(const struct rules *rules)
{
	return rules->count;
}

enum rule_verb rules_verb(const struct rules *rules, unsigned clause)
{
	return rules->clauses[clause].verb;
}

enum rule_order rules_order(const struct rules *rules)
{
	return rules->order;
}

bool rules_have(const struct rules *rules, enum rule_verb verb)
{
	for (unsigned i = 0; i < rules->count; i++)
		if (rules->clauses[i].verb == verb)
			return true;
	return false;
}

bool rules_ask_owner(const struct rules *rules)
{
	for (unsigned i = 0; i < rules->count; i++)
		if (rules->clauses[i].owner)
			return true;
	return false;
}

static bool place_matches(const struct place *place, const char *path)
{
	if (place->is_list)
		return place->paths && paths_match(place->paths, path);
	return glob_match(place->text, path);
}

static bool place_leads(const struct place *place, const char *path)
{
	if (place->is_list)
		return place->paths && paths_lead(place->paths, path);
	return glob_leads(place->text, path);
}

static bool any_place(const struct clause *clause, const char *path, bool (*holds)(const struct place *, const char *))
{
	for (unsigned i = 0; i < clause->n_places; i++)
		if (holds(&clause->places[i], path))
			return true;
	return false;
}

static uint64_t depth_of(const char *path)
{
	uint64_t depth = *path != '\0';

	for (; *path; path++)
		depth += *path == '/';
	return depth;
}

static bool test_holds(enum test_kind kind, uint64_t value, const struct rule_object *object, int64_t now_s)
{
	switch (kind) {
	case TEST_SIZE_BELOW:
		return object->size < value;
	case TEST_SIZE_ABOVE:
		return object->size > value;
	case TEST_AGE_BELOW: /* what is dated in the future is younger than anything */
		return object->mtime_s > now_s - (int64_t)value;
	case TEST_AGE_ABOVE:
		return object->mtime_s < now_s - (int64_t)value;
	case TEST_DEPTH_BELOW:
		return depth_of(object->path) < value;
	case TEST_DEPTH_ABOVE:
		return depth_of(object->path) > value;
	case TEST_DEPTH_IS:
		return depth_of(object->path) == value;
	}
	return false;
}

static bool tests_hold(const struct clause *clause, const struct rule_object *object, int64_t now_s)
{
	if (object->is_dir && (clause->owner || (clause->tests & FILE_TESTS)))
		return false;
	if (clause->owner && (!clause->has_uid || clause->uid != object->owner))
		return false;
	for (unsigned kind = 0; kind < TESTS; kind++)
		if ((clause->tests & 1u << kind) && !test_holds((enum test_kind)kind, clause->values[kind], object, now_s))
			return false;
	return true;
}

int rules_match(const struct rules *rules, const struct rule_object *object, int64_t now_s)
{
	for (unsigned i = 0; i < rules->count; i++) {
		const struct clause *clause = &rules->clauses[i];
		if (object->is_dir && clause->verb == RULE_FIRST && any_place(clause, object->path, place_leads))
			return (int)i;
		if (!tests_hold(clause, object, now_s))
			continue;
		if (clause->n_places == 0 ? *object->path != '\0' : any_place(clause, object->path, place_matches))
			return (int)i;
	}
	return -1;
}
