/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the check looks for: for each rule its name, what it means when it is broken, and what to do. See check.c.
 */
#include "state/inspect_private.h"

#include <stdarg.h>
#include <stdio.h>

#define PUT_BACK \
	"save what is there ('dmmfs-admin db export'), halt the migration, and make a new state ('dmmfs-admin db rebuild') or " \
	"put " \
	"back a saved one ('SAVED STATES' in dmmfs-admin(8)) before anything is finished"
#define PUT_BACK_ALL \
	"halt the migration, make a new state ('dmmfs-admin db rebuild') or put back a saved one ('SAVED STATES' in " \
	"dmmfs-admin(8)), and look for the cause: the disk, its controller, what else writes there"

static const struct {
	const char *name, *means, *remedy;
} rules[RULES] = {
	[RULE_CUT_OFF] = {"cut-off", "the end of the database is lost; who reads it is killed by the system", PUT_BACK_ALL},
	[RULE_PAGES] = {"pages", "pages of the database were overwritten or are lost; a daemon that meets them ends",
                        PUT_BACK_ALL},
	[RULE_DATABASE_MISSING] = {"database-missing", "all entries of this database are lost; no daemon opens this state",
                                   PUT_BACK_ALL},
	[RULE_DATABASE_UNKNOWN] = {"database-unknown", "something else than dmmfs wrote here, or a page is damaged",
                                   "ask who did; dmmfs does not look at it"},
	[RULE_ORDER] = {"order", "the tree of this database is damaged: entries behind this one may not be found", PUT_BACK_ALL},
	[RULE_CHAIN] = {"chain", "entries of this database are lost; a daemon gives EIO for what they may have stood for",
                        PUT_BACK_ALL},
	[RULE_COUNT] = {"count", "entries of this database are lost or doubled", PUT_BACK_ALL},
	[RULE_KEY] = {"key", "nobody finds this entry; what it stood for is taken for finished", PUT_BACK},
	[RULE_RECORD] =
		{"record",
                 "the object of this entry can not be brought over, its users get EBADMSG; a daemon that has to change the entry "
                 "records nothing any more",
                 PUT_BACK},
	[RULE_META] = {"meta", "the store does not know itself; no daemon opens this state", PUT_BACK_ALL},
	[RULE_IDENTITY] = {"identity", "it can not be proven whose state this is; a beginning that was cut off looks the same",
                           "start the migration: a beginning that was cut off is completed, another state is refused"},
	[RULE_SEGMENTS_ORPHANED] = {"segments-orphaned",
                                    "a new file with this inode number could take segments for its own that it does not have",
                                    PUT_BACK},
	[RULE_SEGMENTS_BEYOND] = {"segments-beyond",
                                  "the record of the file or its segments are wrong: data that has not come over "
                                  "may pass for data that has",
                                  PUT_BACK},
	[RULE_SEGMENTS_EMPTY] = {"segments-empty", "nothing: it says what no entry would say",
                                 "none is needed; dmmfs does not write such entries, so look for what did"},
	[RULE_SEGMENTS_LOST] =
		{"segments-lost",
                 "marks of this file are lost or of another time: it can not be opened, lest bytes of the source go "
                 "over an application's",
                 PUT_BACK},
	[RULE_LINK_INDEX] = {"link-index",
                             "a file with several names shows a wrong number of them, or gets an object of its own for "
                             "a name that is still to come",
                             PUT_BACK},
	[RULE_ERROR_ID] = {"error-id", "the next failure may get the number of this one and replace it",
                           "retry or waive the entry; then look for what else is wrong"},
	[RULE_TOTALS] = {"totals",
                         "the figures of 'stat' are wrong, and the end may be seen too early or never; no data is touched by it",
                         "before 'finish' compare target and source with 'dmmfs-admin verify --full'; send the dump to the "
                         "people who make dmmfs"},
	[RULE_CONFIG_KEY] = {"configuration-key",
                             "this setting is not seen by anybody, and programs that walk the database end there",
                             "halt all migrations, move the database away and start each again from its mount options: it is "
                             "written anew from the targets"},
	[RULE_CONFIG_VALUE] = {"configuration-value", "what reads this setting fails", "set it again ('dmmfs-admin set')"},
	[RULE_CONFIG_MIGRATION] = {"configuration-migration", "this migration can not be started from the database",
                                   "mount it again with its options, which writes the settings anew; or delete it"},
};

void inspect_tell(const struct inspect_sink *sink, enum rule rule, const char *database, const char *key, const char *format, ...)
{
	char what[1024];
	va_list args;
	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	sink->finding(sink->context, &(struct finding){.rule = rules[rule].name,
	                                               .database = database,
	                                               .key = key,
	                                               .what = what,
	                                               .means = rules[rule].means,
	                                               .remedy = rules[rule].remedy});
}
