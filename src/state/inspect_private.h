/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What inspect.c, check.c and check_config.c share: an environment that is open for reading, and how a finding is told.
 */
#ifndef DMM_STATE_INSPECT_PRIVATE_H
#define DMM_STATE_INSPECT_PRIVATE_H

#include "state/inspect.h"
#include "state/store_private.h"

struct inspection {
	char *dir;
	int dir_fd;
	bool has_readers; /* the table of readers is used */
	MDB_env *env;
	MDB_dbi dbi[DATABASES];
	bool has[DATABASES];
	uint64_t format;
};

enum rule {
	RULE_CUT_OFF,
	RULE_PAGES,
	RULE_DATABASE_MISSING,
	RULE_DATABASE_UNKNOWN,
	RULE_ORDER,
	RULE_CHAIN,
	RULE_COUNT,
	RULE_KEY,
	RULE_RECORD,
	RULE_META,
	RULE_IDENTITY,
	RULE_SEGMENTS_ORPHANED,
	RULE_SEGMENTS_BEYOND,
	RULE_SEGMENTS_EMPTY,
	RULE_SEGMENTS_LOST,
	RULE_LINK_INDEX,
	RULE_ERROR_ID,
	RULE_TOTALS,
	RULE_CONFIG_KEY,
	RULE_CONFIG_VALUE,
	RULE_CONFIG_MIGRATION,
	RULES
};

/* Fills in what the rule means, and hands it to the sink. */
void inspect_tell(const struct inspect_sink *sink, enum rule rule, const char *database, const char *key, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

/* Calls `each` for every entry of a database, in a transaction. The walk ends with MDB_CORRUPTED, after a finding, where the order of
 * keys breaks: a damaged tree may lead back to where it came from. `described` gives the key for people. */
struct walk {
	const struct inspect_sink *sink;
	const char *database;
	const char *(*key_text)(void *context, const MDB_val *key, char text[]);
	int (*each)(void *context, const MDB_val *key, const MDB_val *value);
	void *context;
	uint64_t entries; /* out */
};
int inspect_walk(MDB_txn *txn, MDB_dbi dbi, struct walk *walk);

#endif
