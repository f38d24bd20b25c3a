/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What rules_parse.c makes and rules.c asks.
 */
#ifndef DMM_PROPERTY_RULES_PRIVATE_H
#define DMM_PROPERTY_RULES_PRIVATE_H

#include "property/paths.h"
#include "property/rules.h"

enum test_kind {
	TEST_SIZE_BELOW,
	TEST_SIZE_ABOVE,
	TEST_AGE_BELOW,
	TEST_AGE_ABOVE,
	TEST_DEPTH_BELOW,
	TEST_DEPTH_ABOVE,
	TEST_DEPTH_IS
};
#define TESTS 7

/* A pattern, or with `is_list` the name of a file and, once loaded, what it holds. */
struct place {
	char *text;
	bool is_list;
	struct paths *paths;
};

struct clause {
	enum rule_verb verb;
	struct place *places;
	unsigned n_places;
	unsigned tests;         /* bits of enum test_kind */
	uint64_t values[TESTS]; /* bytes, seconds, names */
	char *owner;            /* as written; NULL: any */
	bool has_uid;           /* known */
	uid_t uid;
};

struct rules {
	struct clause *clauses;
	unsigned count;
	enum rule_order order;
	bool has_order; /* it is written */
};

#endif
