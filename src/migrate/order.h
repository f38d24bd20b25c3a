/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What comes before what: the property "order" (property/rules.h), what users touched, and what an administrator fetches.
 *
 * An object is judged by its path when its directory is populated; what is not finished then waits in one of two queues
 * (queue.h), of directories and of files, from which the crawl takes. After a start and after a change of the rules a thread of
 * its own walks what is there and fills the queues anew; until it is through, what it has not seen comes later than it should, never
 * not at all: the store has the records.
 *
 * Without rules, without a fetch and while nobody touches anything the queues are empty, and all this costs one load for each
 * directory (order_in_use).
 *
 *   order        rules and queues: judging, offering, taking
 *   order_walk   the thread: what is there already; what lies beside what users touched
 *   bring        dmmfs-admin fetch
 *
 * Locks: the rules' (readers judge), then order->lock (queues). Both lie between the object lock and the table shards.
 */
#ifndef DMM_MIGRATE_ORDER_H
#define DMM_MIGRATE_ORDER_H

#include "migrate/queue.h"
#include "migrate/report.h"
#include "property/rules.h"

struct migrate;
struct object;
struct order;

struct verdict {
	bool skip; /* it is not to come over */
	struct order_key key;
	int clause; /* of the rules, -1: none */
	struct bring *bring;
};

/* A file on record, to be offered once the record is committed. */
struct offer {
	uint64_t ino, bytes;
	struct verdict verdict;
};

int order_start(struct migrate *migrate);
/* Ends the thread, before the lanes end. */
void order_stop(struct migrate *migrate);
/* Gives references to objects back, after the lanes have ended. */
void order_free(struct migrate *migrate);

/* Must objects be judged now? Else all are alike. */
bool order_judges(const struct migrate *migrate);
/* Is there anything in the queues, or could there be? */
bool order_in_use(const struct migrate *migrate);
void order_judge(struct migrate *migrate, const struct rule_object *object, struct verdict *verdict);
/* The text of the clause that skips this object; "" when none does now. */
void order_skip_clause(struct migrate *migrate, const struct rule_object *object, char *text, size_t size);
/* The same of an object that is there, by its present path; what is there already is never skipped. */
void order_judge_object(struct migrate *migrate, struct object *object, struct verdict *verdict);
/* Does the data of a small file come with its directory, when that is populated in its turn? */
bool order_fills(struct migrate *migrate, const struct verdict *verdict, uint64_t size, enum order_class turn);

/* Directories with a verdict each; takes references of its own. */
void order_offer_dirs(struct migrate *migrate, struct object *const *dirs, const struct verdict *verdicts, size_t count);
void order_offer_files(struct migrate *migrate, const struct offer *offers, size_t count);
/* A batch that offers files when it is committed is on its way, was committed. */
void order_coming(struct migrate *migrate, int batches);

/* For the crawl. The caller gets the entry's reference, and ends the entry with order_ended(). */
bool order_take(struct migrate *migrate, bool is_dir, enum order_class best, enum order_class worst, struct queue_entry *entry);
bool order_knows(struct migrate *migrate, bool is_dir, uint64_t ino);
/* Does anything of this class or better wait in a queue? Is anything on its way there? */
bool order_waiting(struct migrate *migrate, bool is_dir, enum order_class worst);
bool order_any_coming(struct migrate *migrate);
size_t order_fetching(struct migrate *migrate); /* files in the queue for a fetch */
/* Which classes may go now, but for the last. */
enum order_class order_turn(struct migrate *migrate);

/* An object that was taken is done with. `here`: all of it is on the target now; so many files and bytes of a fetch. */
void order_ended(struct migrate *migrate, enum order_class class, struct bring *bring, bool here, uint64_t files, uint64_t bytes);
/* Files came with their directory, so many of each class; of those of the fetch so many bytes. */
void order_filled(struct migrate *migrate, const uint64_t files[ORDER_CLASSES], struct bring *bring, uint64_t bytes);

/* A user had to wait for this object: what lies beside it comes sooner. Under its lock or not; never blocks. */
void order_touch(struct migrate *migrate, const struct object *object);

/* For `where`: the class and clause of an object, and how many come before it. */
void order_report(struct migrate *migrate, struct object *object, struct where_report *report);
void order_stat(struct migrate *migrate, struct migration_stat *stat);

#endif
