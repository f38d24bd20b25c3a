/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Rules and queues.
 */
#include "migrate/order_private.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* For so long after a start what no clause puts first waits for what the walk may find. */
#define WALK_PATIENCE_NS (2 * NS_PER_S)
/* With small files first: what is no larger costs as much to put off as to bring. */
#define SMALL_FILL_BYTES 65536u

/* --- judging --- */

bool order_judges(const struct migrate *migrate)
{
	return atomic_load_explicit(&migrate->order->judging, memory_order_relaxed);
}

bool order_in_use(const struct migrate *migrate)
{
	return order_judges(migrate) || atomic_load_explicit(&migrate->order->queued, memory_order_relaxed) > 0;
}

static uint64_t rank_of(const struct order *order, const struct rule_object *object)
{
	switch (order->rules ? rules_order(order->rules) : ORDER_FOUND) {
	case ORDER_SMALL:
		return object->is_dir ? 0 : object->size;
	case ORDER_NEW:
		return (uint64_t)INT64_MAX - (uint64_t)object->mtime_s;
	case ORDER_FOUND:
		break;
	}
	return 0;
}

static void apply_rules(const struct order *order, const struct rule_object *object, struct verdict *verdict)
{
	int clause = order->rules ? rules_match(order->rules, object, (int64_t)(clock_wall_ns() / NS_PER_S)) : -1;

	if (clause < 0)
		return;
	verdict->clause = clause;
	verdict->key.clause = (unsigned)clause;
	switch (rules_verb(order->rules, (unsigned)clause)) {
	case RULE_FIRST:
		verdict->key.class = CLASS_FIRST;
		break;
	case RULE_LAST:
		verdict->key.class = CLASS_LAST;
		break;
	case RULE_SKIP:
		verdict->skip = true;
		verdict->key.clause = 0;
		break;
	}
}

static void apply_fetches(struct order *order, const struct rule_object *object, struct verdict *verdict)
{
	for (unsigned i = 0; i < BRINGS_MAX; i++) {
		struct bring *bring = &order->brings[i];
		if (!bring->paths || (verdict->bring && verdict->bring->number < bring->number))
			continue;
		if (bring->all || paths_match(bring->paths, object->path) ||
		    (object->is_dir && paths_lead(bring->paths, object->path))) {
			verdict->bring = bring;
			verdict->key.class = CLASS_FETCH;
			verdict->key.clause = bring->number;
		}
	}
}

void order_judge(struct migrate *migrate, const struct rule_object *object, struct verdict *verdict)
{
	struct order *order = migrate->order;

	pthread_rwlock_rdlock(&order->rules_lock);
	*verdict = (struct verdict){.key = {.class = CLASS_NORMAL, .rank = rank_of(order, object)}, .clause = -1};
	apply_rules(order, object, verdict);
	if (!verdict->skip)
		apply_fetches(order, object, verdict);
	pthread_rwlock_unlock(&order->rules_lock);
}

void order_skip_clause(struct migrate *migrate, const struct rule_object *object, char *text, size_t size)
{
	struct order *order = migrate->order;
	struct verdict verdict = {.clause = -1};

	*text = '\0';
	pthread_rwlock_rdlock(&order->rules_lock);
	apply_rules(order, object, &verdict);
	if (verdict.skip) {
		CLEAN_FREE char *clause = rules_clause(order->rules, (unsigned)verdict.clause);
		snprintf(text, size, "%s", clause ? clause : "");
	}
	pthread_rwlock_unlock(&order->rules_lock);
}

void order_judge_object(struct migrate *migrate, struct object *object, struct verdict *verdict)
{
	char path[PATH_MAX] = "";
	struct stat st = {0};
	CLEAN_FD int fd = target_open_handle(migrate->target, &object->handle, O_PATH);

	if (fd >= 0 && fstat(fd, &st) == 0 && target_path(migrate->target, fd, path, sizeof(path)) < 0)
		path[0] = '\0'; /* of a file it can not always be told; then its size, age and owner decide */
	pthread_mutex_lock(&object->lock);
	struct rule_object asked = {.path = path,
	                            .is_dir = object->is_dir,
	                            .size = object->is_dir ? 0 : object->file.source_size,
	                            .mtime_s = object->mtime.sec,
	                            .owner = st.st_uid};
	pthread_mutex_unlock(&object->lock);
	order_judge(migrate, &asked, verdict);
	verdict->skip = false;
}

bool order_fills(struct migrate *migrate, const struct verdict *verdict, uint64_t size, enum order_class turn)
{
	struct order *order = migrate->order;
	/* What users touched is brought for its own sake, and with it what is in it. */
	enum order_class latest = turn == CLASS_RAISED ? CLASS_NORMAL : turn;

	if (verdict->key.class > latest)
		return false;
	if (verdict->key.class == CLASS_FETCH)
		return true;
	pthread_rwlock_rdlock(&order->rules_lock);
	enum rule_order general = order->rules ? rules_order(order->rules) : ORDER_FOUND;
	pthread_rwlock_unlock(&order->rules_lock);
	return general == ORDER_FOUND || (general == ORDER_SMALL && size <= SMALL_FILL_BYTES);
}

/* --- queues --- */

static void drop_entry(const struct queue_entry *entry)
{
	if (entry->bring)
		atomic_fetch_sub(&entry->bring->in_hand, 1);
	if (entry->object)
		object_put(entry->object);
}

static void count_queued(struct order *order)
{
	atomic_store(&order->queued, order->dirs.used + order->files.used);
}

/* Where there is no background nothing else is ever taken. */
static bool wanted(const struct order *order, const struct verdict *verdict)
{
	return !order->stop && (atomic_load(&order->migrate->tuned.background) || verdict->key.class == CLASS_FETCH);
}

bool order_put(struct order *order, bool is_dir, const struct queue_entry *entry)
{
	if (entry->bring)
		atomic_fetch_add(&entry->bring->in_hand, 1);
	bool is_new = queue_put(is_dir ? &order->dirs : &order->files, entry);
	count_queued(order);
	return is_new;
}

void order_offer_dirs(struct migrate *migrate, struct object *const *dirs, const struct verdict *verdicts, size_t count)
{
	struct order *order = migrate->order;
	LOCKED(&order->lock);

	for (size_t i = 0; i < count; i++) {
		if (!wanted(order, &verdicts[i]))
			continue;
		struct queue_entry entry = {.ino = dirs[i]->ino, .key = verdicts[i].key, .bring = verdicts[i].bring};
		if (order->dirs.used < HELD_MAX)
			entry.object = object_ref(dirs[i]);
		order_put(order, true, &entry);
	}
}

void order_offer_files(struct migrate *migrate, const struct offer *offers, size_t count)
{
	struct order *order = migrate->order;
	LOCKED(&order->lock);

	for (size_t i = 0; i < count; i++) {
		if (!wanted(order, &offers[i].verdict))
			continue;
		struct bring *bring = offers[i].verdict.bring;
		struct queue_entry entry = {.ino = offers[i].ino, .key = offers[i].verdict.key, .bring = bring};
		if (order_put(order, false, &entry) && bring) {
			atomic_fetch_add(&bring->files_found, 1);
			atomic_fetch_add(&bring->bytes_found, offers[i].bytes);
		}
	}
}

void order_coming(struct migrate *migrate, int batches)
{
	atomic_fetch_add(&migrate->order->coming, batches);
}

bool order_take(struct migrate *migrate, bool is_dir, enum order_class best, enum order_class worst, struct queue_entry *entry)
{
	struct order *order = migrate->order;

	if (atomic_load_explicit(&order->queued, memory_order_relaxed) == 0)
		return false;
	LOCKED(&order->lock);
	bool taken = queue_take(is_dir ? &order->dirs : &order->files, best, worst, entry);
	count_queued(order);
	return taken;
}

bool order_knows(struct migrate *migrate, bool is_dir, uint64_t ino)
{
	struct order *order = migrate->order;
	LOCKED(&order->lock);

	return queue_find(is_dir ? &order->dirs : &order->files, ino) != NULL;
}

bool order_waiting(struct migrate *migrate, bool is_dir, enum order_class worst)
{
	struct order *order = migrate->order;
	LOCKED(&order->lock);

	return queue_any(is_dir ? &order->dirs : &order->files, CLASS_FETCH, worst);
}

bool order_any_coming(struct migrate *migrate)
{
	return atomic_load(&migrate->order->coming) > 0;
}

size_t order_fetching(struct migrate *migrate)
{
	struct order *order = migrate->order;
	LOCKED(&order->lock);

	return order->files.counts[CLASS_FETCH];
}

enum order_class order_turn(struct migrate *migrate)
{
	struct order *order = migrate->order;

	if (!atomic_load(&migrate->tuned.background))
		return CLASS_FETCH;
	if (!atomic_load(&order->walking))
		return CLASS_NORMAL;
	LOCKED(&order->lock);
	return clock_monotonic_ns() - order->walk_began_ns < WALK_PATIENCE_NS ? CLASS_RAISED : CLASS_NORMAL;
}

void order_ended(struct migrate *migrate, enum order_class class, struct bring *bring, bool here, uint64_t files, uint64_t bytes)
{
	if (here && class != CLASS_NORMAL)
		atomic_fetch_add_explicit(&migrate->order->done[class], 1, memory_order_relaxed);
	if (!bring)
		return;
	if (here) {
		atomic_fetch_add(&bring->files_done, files);
		atomic_fetch_add(&bring->bytes_done, bytes);
	}
	atomic_fetch_sub(&bring->in_hand, 1);
}

void order_filled(struct migrate *migrate, const uint64_t files[ORDER_CLASSES], struct bring *bring, uint64_t bytes)
{
	for (int class = 0; class < ORDER_CLASSES; class ++)
		if (class != CLASS_NORMAL && files[class])
			atomic_fetch_add_explicit(&migrate->order->done[class], files[class], memory_order_relaxed);
	if (!bring)
		return;
	atomic_fetch_add(&bring->files_found, files[CLASS_FETCH]);
	atomic_fetch_add(&bring->bytes_found, bytes);
	atomic_fetch_add(&bring->files_done, files[CLASS_FETCH]);
	atomic_fetch_add(&bring->bytes_done, bytes);
}

/* --- the rules --- */

void order_judging_changed(struct order *order)
{
	bool judging = order->rules != NULL;

	for (unsigned i = 0; i < BRINGS_MAX; i++)
		judging = judging || order->brings[i].paths;
	atomic_store(&order->judging, judging);
}

/* The queues are filled anew by the walk; what is fetched stays. */
static void begin_anew(struct order *order)
{
	LOCKED(&order->lock);
	queue_clear(&order->dirs);
	queue_clear(&order->files);
	count_queued(order);
	for (unsigned i = 0; i < BRINGS_MAX; i++)
		order->brings[i].look = order->brings[i].look || order->brings[i].state == FETCH_RUNNING;
	order->walk_wanted = order->rules != NULL && atomic_load(&order->migrate->tuned.background);
	order->walk_began_ns = clock_monotonic_ns();
	atomic_store(&order->walking, order->walk_wanted);
	pthread_cond_signal(&order->changed);
}

static void use_rules(struct order *order, struct rules *rules)
{
	bool plain = rules_count(rules) == 0 && rules_order(rules) == ORDER_FOUND;
	char *text = rules_print(rules);

	pthread_rwlock_wrlock(&order->rules_lock);
	struct rules *old = order->rules;
	order->rules = plain ? NULL : rules;
	free(order->text);
	order->text = text;
	order_judging_changed(order);
	pthread_rwlock_unlock(&order->rules_lock);
	rules_free(plain ? rules : old);
	if (plain)
		rules_free(old);
	begin_anew(order);
}

int migrate_set_order(struct migrate *migrate, const char *text, char *error, size_t error_size)
{
	struct rules *rules;
	int result = rules_parse(text, &rules, error, error_size);

	if (result < 0)
		return result;
	result = rules_load(rules, error, error_size);
	if (result < 0) {
		rules_free(rules);
		return result;
	}
	use_rules(migrate->order, rules);
	log_info("the order is set: %s", migrate->order->text);
	crawl_poke(migrate);
	return 0;
}

void migrate_set_learn(struct migrate *migrate, bool learn)
{
	atomic_store(&migrate->order->learn, learn);
}

/* A list that was lost since it was set keeps no migration from going on. */
static int begin_with(struct order *order, const char *text)
{
	char error[1024] = "";
	struct rules *rules;
	int result = rules_parse(text, &rules, error, sizeof(error));

	if (result < 0) {
		log_error("%s", error);
		return result;
	}
	if (rules_load(rules, error, sizeof(error)) < 0)
		log_warning("a clause of the order has no effect: %s", error);
	use_rules(order, rules);
	return 0;
}

int order_start(struct migrate *migrate)
{
	struct order *order = migrate->order = must_alloc(sizeof(*order));

	order->migrate = migrate;
	order->dirs.drop = order->files.drop = drop_entry;
	pthread_rwlock_init(&order->rules_lock, NULL);
	pthread_mutex_init(&order->lock, NULL);
	pthread_cond_init(&order->changed, NULL);
	atomic_store(&order->learn, migrate->options.learn);
	order->next_bring = 1;
	int result = begin_with(order, migrate->options.order ? migrate->options.order : "");
	if (result < 0)
		return result;
	int failure = pthread_create(&order->thread, NULL, order_walk_thread, order);
	order->started = failure == 0;
	return -failure;
}

void order_stop(struct migrate *migrate)
{
	struct order *order = migrate->order;

	if (!order || !order->started)
		return;
	pthread_mutex_lock(&order->lock);
	order->stop = true;
	pthread_cond_signal(&order->changed);
	pthread_mutex_unlock(&order->lock);
	pthread_join(order->thread, NULL);
	pthread_mutex_lock(&order->lock);
	queue_clear(&order->dirs);
	queue_clear(&order->files);
	count_queued(order);
	pthread_mutex_unlock(&order->lock);
}

void order_free(struct migrate *migrate)
{
	struct order *order = migrate->order;

	if (!order)
		return;
	bring_free(order);
	rules_free(order->rules);
	free(order->text);
	free(order);
}

/* --- reports --- */

static const char *const class_names[ORDER_CLASSES] = {[CLASS_FETCH] = "fetch",
                                                       [CLASS_FIRST] = "first",
                                                       [CLASS_RAISED] = "raised",
                                                       [CLASS_NORMAL] = "normal",
                                                       [CLASS_LAST] = "last"};

static void report_clause(struct order *order, int clause, struct where_report *report)
{
	pthread_rwlock_rdlock(&order->rules_lock);
	if (clause >= 0 && order->rules && (unsigned)clause < rules_count(order->rules)) {
		CLEAN_FREE char *text = rules_clause(order->rules, (unsigned)clause);
		snprintf(report->clause, sizeof(report->clause), "%s", text ? text : "");
	}
	pthread_rwlock_unlock(&order->rules_lock);
}

void order_report(struct migrate *migrate, struct object *object, struct where_report *report)
{
	struct order *order = migrate->order;
	struct verdict verdict;

	order_judge_object(migrate, object, &verdict);
	report_clause(order, verdict.clause, report);
	enum order_class class = verdict.key.class;
	LOCKED(&order->lock);
	struct queue *queue = object->is_dir ? &order->dirs : &order->files;
	const struct queue_entry *entry = queue_find(queue, object->ino);
	if (entry) {
		class = entry->key.class;
		report->ahead = (int64_t)queue_ahead(queue, object->ino);
	}
	report->order_class = class_names[class];
}

void order_stat(struct migrate *migrate, struct migration_stat *stat)
{
	struct order *order = migrate->order;
	struct order_stat *to = &stat->order;

	pthread_rwlock_rdlock(&order->rules_lock);
	snprintf(to->rules, sizeof(to->rules), "%s", order->text);
	pthread_rwlock_unlock(&order->rules_lock);
	to->learn = atomic_load(&order->learn);
	to->building = atomic_load(&order->walking);
	to->raised = atomic_load(&order->raised);
	to->done_fetch = atomic_load(&order->done[CLASS_FETCH]);
	to->done_first = atomic_load(&order->done[CLASS_FIRST]);
	to->done_raised = atomic_load(&order->done[CLASS_RAISED]);
	to->done_last = atomic_load(&order->done[CLASS_LAST]);
	LOCKED(&order->lock);
	to->waiting_fetch = order->dirs.counts[CLASS_FETCH] + order->files.counts[CLASS_FETCH];
	to->waiting_first = order->dirs.counts[CLASS_FIRST] + order->files.counts[CLASS_FIRST];
	to->waiting_raised = order->dirs.counts[CLASS_RAISED] + order->files.counts[CLASS_RAISED];
	to->waiting_last = order->dirs.counts[CLASS_LAST] + order->files.counts[CLASS_LAST];
}
