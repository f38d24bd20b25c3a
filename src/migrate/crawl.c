/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The background: one thread that keeps the workers supplied and ends when nothing is left.
 *
 * The store is the queue: every directory with a record is to be populated, every file with a record is to be fetched. Beside it
 * a bounded frontier in memory holds directories that were just found, so that a deep tree need not wait for a commit on each
 * level. The crawl of names waits while too many files are unfinished (I12), and everything waits while the target is full.
 *
 * Where an order is asked for (order.h) its queues come first, and the store gives what they lack. What is to come last waits until
 * nothing else is left, or until it is what fills the backlog.
 *
 * Lock: one, a leaf.
 */
#include "migrate/internal.h"
#include "migrate/order.h"
#include "migrate/remains.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define FRONTIER_MAX 4096
#define REFILL 256
#define TICK_NS NS_PER_S
/* With an order: a round through the store that found nothing is not made again so soon. */
#define ROUND_PAUSE_NS NS_PER_S

struct cursor {
	uint64_t inos[REFILL];
	unsigned next, count;
	uint64_t after;
	bool fruitful; /* it gave something to do in this round */
	uint64_t pause_until_ns;
};

struct crawl {
	struct migrate *migrate;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t poked;
	bool running; /* there is a thread */
	bool news, stop;
	struct object *frontier[FRONTIER_MAX]; /* a ring */
	unsigned first, used;
	bool holding;           /* above the high-water mark of unfinished files */
	enum order_class worst; /* that may go now */
	bool late;              /* nothing is left but what is to come last */
	struct cursor dirs, files;
	uint64_t last_tick_ns;
	atomic_bool saw_everything; /* every directory but those that the administrator waives */
	atomic_bool links_purged;
	bool completed, told; /* everything is here; who wanted to know it knows */
};

/* A file that is brought, by one worker or by several. */
struct file_work {
	struct fetch_team team;
	struct object *file;
	enum lane_class lane_class;
	enum order_class class;
	struct bring *bring;
};

struct file_job {
	struct lane_job job;
	struct file_work *work;
};

/* --- news from the workers --- */

void crawl_poke(struct migrate *migrate)
{
	struct crawl *crawl = migrate->crawl;

	if (!crawl)
		return;
	LOCKED(&crawl->lock);
	crawl->news = true;
	pthread_cond_signal(&crawl->poked);
}

void crawl_offer_dir(struct migrate *migrate, struct object *dir)
{
	struct crawl *crawl = migrate->crawl;

	if (!crawl || !atomic_load(&migrate->tuned.background))
		return;
	LOCKED(&crawl->lock);
	if (crawl->used == FRONTIER_MAX || crawl->stop)
		return; /* its record will be found */
	crawl->frontier[(crawl->first + crawl->used++) % FRONTIER_MAX] = object_ref(dir);
}

void crawl_dir_done(struct migrate *migrate)
{
	crawl_poke(migrate);
}

void crawl_file_done(struct migrate *migrate)
{
	crawl_poke(migrate);
}

bool crawl_saw_everything(struct migrate *migrate)
{
	return migrate->crawl && atomic_load(&migrate->crawl->saw_everything);
}

bool crawl_links_purged(struct migrate *migrate)
{
	return migrate->crawl && atomic_load(&migrate->crawl->links_purged);
}

/* --- names --- */

static struct object *take_frontier(struct crawl *crawl)
{
	LOCKED(&crawl->lock);
	if (crawl->used == 0)
		return NULL;
	struct object *dir = crawl->frontier[crawl->first];
	crawl->first = (crawl->first + 1) % FRONTIER_MAX;
	crawl->used--;
	return dir;
}

typedef int (*after_fn)(struct store *store, uint64_t after, uint64_t *inos, size_t max);

/* The next inode number with a record that is due; 0 when the round is over. */
static uint64_t next_record(struct crawl *crawl, struct cursor *cursor, after_fn records_after)
{
	struct migrate *migrate = crawl->migrate;
	uint64_t wait_ns;

	for (;;) {
		while (cursor->next < cursor->count) {
			uint64_t ino = cursor->inos[cursor->next++];
			if (ledger_due(&migrate->ledger, ino, &wait_ns))
				return ino;
		}
		int count = records_after(migrate->store, cursor->after, cursor->inos, REFILL);
		cursor->next = 0;
		cursor->count = count > 0 ? (unsigned)count : 0;
		if (count <= 0) {
			cursor->after = 0;
			return 0;
		}
		cursor->after = cursor->inos[count - 1];
	}
}

static size_t background_load(struct lane *lane)
{
	struct lane_load load;

	lane_load(lane, &load);
	return load.queued[LANE_BACKGROUND] + load.running[LANE_BACKGROUND];
}

/* With an order few are handed to the workers at a time. */
void crawl_dir_made(struct migrate *migrate)
{
	if (order_in_use(migrate) || background_load(migrate->names) <= atomic_load(&migrate->tuned.maxnsproc))
		crawl_poke(migrate);
}

static bool lane_idle(struct lane *lane)
{
	struct lane_load load;
	size_t jobs = 0;

	lane_load(lane, &load);
	for (int class = 0; class < LANE_CLASSES; class ++)
		jobs += load.queued[class] + load.running[class];
	return jobs == 0;
}

static bool hold_for_backlog(struct crawl *crawl)
{
	struct migrate *migrate = crawl->migrate;
	struct totals totals;

	store_totals(migrate->store, &totals);
	int64_t in_trouble = totals.files_error + totals.files_waived;
	uint64_t pending = totals.files_pending > in_trouble ? (uint64_t)(totals.files_pending - in_trouble) : 0;
	if (pending >= atomic_load(&migrate->tuned.backlog_high))
		crawl->holding = true;
	else if (pending <= atomic_load(&migrate->tuned.backlog_low))
		crawl->holding = false;
	return crawl->holding;
}

/* --- in order --- */

/* What was taken from a queue, with its object; false: it is gone, or it is not its time. */
static bool load_entry(struct crawl *crawl, bool is_dir, struct queue_entry *entry)
{
	struct migrate *migrate = crawl->migrate;
	uint64_t wait_ns;
	bool due = entry->key.class == CLASS_FETCH || ledger_due(&migrate->ledger, entry->ino, &wait_ns);

	if (due && (entry->object || object_get(migrate, entry->ino, NULL, is_dir, &entry->object) > 0))
		return true;
	if (entry->object)
		object_put(entry->object);
	order_ended(migrate, entry->key.class, entry->bring, false, 0, 0);
	return false;
}

/* From the store: what no queue knows. What is to come last goes into its queue instead. */
static bool next_unordered(struct crawl *crawl, bool is_dir, struct queue_entry *entry)
{
	struct migrate *migrate = crawl->migrate;
	struct cursor *cursor = is_dir ? &crawl->dirs : &crawl->files;

	if (crawl->worst < CLASS_NORMAL || clock_monotonic_ns() < cursor->pause_until_ns)
		return false;
	for (uint64_t ino; (ino = next_record(crawl, cursor, is_dir ? store_dirs_after : store_files_after));) {
		struct verdict verdict = {.key.class = CLASS_NORMAL};
		if (order_knows(migrate, is_dir, ino) || object_get(migrate, ino, NULL, is_dir, &entry->object) <= 0)
			continue;
		if (order_judges(migrate))
			order_judge_object(migrate, entry->object, &verdict);
		entry->ino = ino;
		entry->key = verdict.key;
		entry->bring = NULL; /* a fetch finds by itself what is its */
		if (verdict.key.class != CLASS_LAST || crawl->worst == CLASS_LAST)
			return true;
		if (is_dir)
			order_offer_dirs(migrate, &entry->object, &verdict, 1);
		else
			order_offer_files(migrate, &(struct offer){.ino = ino, .verdict = verdict}, 1);
		object_put(entry->object);
	}
	if (!cursor->fruitful)
		cursor->pause_until_ns = clock_monotonic_ns() + ROUND_PAUSE_NS;
	cursor->fruitful = false;
	return false;
}

static bool next_in_order(struct crawl *crawl, bool is_dir, struct queue_entry *entry)
{
	struct object *dir;

	while (is_dir && order_judges(crawl->migrate) && (dir = take_frontier(crawl))) { /* from before it was asked for */
		struct verdict verdict;
		order_judge_object(crawl->migrate, dir, &verdict);
		order_offer_dirs(crawl->migrate, &dir, &verdict, 1);
		object_put(dir);
	}
	while (order_take(crawl->migrate, is_dir, CLASS_FIRST, crawl->worst, entry))
		if (load_entry(crawl, is_dir, entry))
			return true;
	if (is_dir && crawl->worst >= CLASS_NORMAL && (dir = take_frontier(crawl))) {
		*entry = (struct queue_entry){.ino = dir->ino, .key.class = CLASS_NORMAL, .object = dir};
		return true;
	}
	return next_unordered(crawl, is_dir, entry);
}

/* Takes the entry's references over. */
static bool start_dir(struct crawl *crawl, const struct queue_entry *entry, enum lane_class class)
{
	struct object *dir = entry->object;

	pthread_mutex_lock(&dir->lock);
	bool mine = dir->life == DIR_ABSENT && !dir->bring;
	if (mine) {
		dir->turn = entry->key.class;
		dir->bring = entry->bring;
	}
	pthread_mutex_unlock(&dir->lock);
	bool started = populate_request(dir, class);
	if (!mine)
		order_ended(crawl->migrate, entry->key.class, entry->bring, false, 0, 0);
	else if (!started)
		populate_ended(dir, false);
	crawl->dirs.fruitful = crawl->dirs.fruitful || started;
	object_put(dir);
	return started;
}

/* What is handed to the workers can not be overtaken any more: no more than keeps them busy. */
static bool has_enough(struct lane *lane, enum lane_class class)
{
	struct lane_load load;

	lane_load(lane, &load);
	return load.queued[class] + load.running[class] >= load.most + 2;
}

static bool supply_names_in_order(struct crawl *crawl)
{
	struct queue_entry entry;
	bool did = false;

	while (!has_enough(crawl->migrate->names, LANE_BACKGROUND) && !hold_for_backlog(crawl) &&
	       next_in_order(crawl, true, &entry))
		did = start_dir(crawl, &entry, LANE_BACKGROUND) || did;
	return did;
}

static bool supply_names(struct crawl *crawl)
{
	struct migrate *migrate = crawl->migrate;
	size_t most = 2 * (size_t)atomic_load(&migrate->tuned.maxnsproc);
	bool did = false;

	if (order_in_use(migrate))
		return supply_names_in_order(crawl);
	while (background_load(migrate->names) < most && !hold_for_backlog(crawl)) {
		struct object *dir = take_frontier(crawl);
		if (!dir) {
			uint64_t ino = next_record(crawl, &crawl->dirs, store_dirs_after);
			if (!ino)
				break;
			if (object_get(migrate, ino, NULL, true, &dir) <= 0)
				continue;
		}
		did = populate_request(dir, LANE_BACKGROUND) || did;
		object_put(dir);
	}
	return did;
}

/* --- data --- */

/* The last of its workers has left. */
static void end_file(struct file_work *work)
{
	struct object *file = work->file;
	struct migrate *migrate = file->migrate;

	pthread_mutex_lock(&file->lock);
	file->crawled = false;
	bool here = file->absent == 0;
	uint64_t bytes = file->file.source_size;
	pthread_mutex_unlock(&file->lock);
	order_ended(migrate, work->class, work->bring, here, 1, bytes);
	object_put(file);
	free(work);
	crawl_poke(migrate);
}

static void run_file(struct lane_job *job)
{
	struct file_job *file_job = (struct file_job *)((char *)job - offsetof(struct file_job, job));
	struct file_work *work = file_job->work;
	struct migrate *migrate = work->file->migrate;

	bool stopping = atomic_load(&migrate->stopping);
	bool governed = work->lane_class == LANE_BACKGROUND;
	if (!stopping && !target_is_full(migrate) && !fetch_all(work->file, governed, &work->team) &&
	    (governed ? background_wanted(migrate) : may_go_on(migrate)) &&
	    lane_put_back(migrate->data, job, work->lane_class)) /* demand first, or not now; then on with it */
		return;
	free(file_job);
	if (atomic_fetch_sub(&work->team.workers, 1) == 1)
		end_file(work);
}

/* One more worker. Only those who are at work, or whoever begins it, may call this. */
static bool add_worker(struct file_work *work)
{
	struct file_job *job = must_alloc(sizeof(*job));

	*job = (struct file_job){.job.run = run_file, .work = work};
	atomic_fetch_add(&work->team.workers, 1);
	if (lane_submit(work->file->migrate->data, &job->job, work->lane_class))
		return true;
	atomic_fetch_sub(&work->team.workers, 1);
	free(job);
	return false;
}

/* Where an answer takes time and workers have nothing else to do, several bring one large file. The first one comes so far alone:
 * a file that cannot be read at all fails once. */
#define FILE_WORKERS 8u

static void add_workers(struct fetch_team *team, uint64_t segments)
{
	struct file_work *work = (struct file_work *)((char *)team - offsetof(struct file_work, team));
	struct migrate *migrate = work->file->migrate;
	struct lane_load load;

	if (!source_takes_many(migrate->source))
		return;
	lane_load(migrate->data, &load);
	size_t busy = load.running[LANE_READAHEAD] + load.running[LANE_BACKGROUND];
	size_t idle = load.queued[work->lane_class] == 0 && load.most > busy ? load.most - busy : 0;
	size_t most =
		source_reads_begin(migrate->source) ? WINDOW_WORKERS : FILE_WORKERS; /* those have several on their way each */
	for (size_t n = 1; n < most && n <= idle && n < segments; n++)
		if (!add_worker(work))
			return;
}

static bool take_file(struct object *file)
{
	LOCKED(&file->lock);
	if (file->crawled || file->finishing || file->dropped)
		return false;
	file->crawled = true;
	return true;
}

/* Takes the entry's references over. */
static bool start_file(struct migrate *migrate, const struct queue_entry *entry, enum lane_class class)
{
	struct object *file = entry->object;
	struct file_work *work = take_file(file) ? must_alloc(sizeof(*work)) : NULL;

	if (work) {
		*work = (struct file_work){.team.more = add_workers,
		                           .file = file,
		                           .lane_class = class,
		                           .class = entry->key.class,
		                           .bring = entry->bring};
		if (add_worker(work))
			return true;
		pthread_mutex_lock(&file->lock);
		file->crawled = false;
		pthread_mutex_unlock(&file->lock);
		free(work);
	}
	object_put(file);
	order_ended(migrate, entry->key.class, entry->bring, false, 0, 0);
	return false;
}

void crawl_try_file(struct migrate *migrate, struct object *file)
{
	struct queue_entry entry = {.ino = file->ino, .key.class = CLASS_NORMAL, .object = object_ref(file)};

	/* Without the background it would end after a segment, and nobody would go on with it. */
	start_file(migrate, &entry, background_wanted(migrate) ? LANE_BACKGROUND : LANE_READAHEAD);
}

static bool supply_data_in_order(struct crawl *crawl)
{
	struct queue_entry entry;
	bool did = false;

	while (!has_enough(crawl->migrate->data, LANE_BACKGROUND) && next_in_order(crawl, false, &entry))
		did = start_file(crawl->migrate, &entry, LANE_BACKGROUND) || did;
	crawl->files.fruitful = crawl->files.fruitful || did;
	return did;
}

static bool supply_data(struct crawl *crawl)
{
	struct migrate *migrate = crawl->migrate;
	size_t most = 2 * (size_t)atomic_load(&migrate->tuned.maxdfproc);
	bool did = false;

	if (order_in_use(migrate))
		return supply_data_in_order(crawl);
	while (background_load(migrate->data) < most) {
		uint64_t ino = next_record(crawl, &crawl->files, store_files_after);
		if (!ino)
			break;
		struct object *file;
		if (object_get(migrate, ino, NULL, false, &file) <= 0)
			continue;
		struct queue_entry entry = {.ino = ino, .key.class = CLASS_NORMAL, .object = file};
		did = start_file(migrate, &entry, LANE_BACKGROUND) || did;
	}
	return did;
}

/* --- what an administrator fetches, and what is to come last --- */

/* On the workers of read-ahead: before what is queued for the background. */
static bool supply_fetches(struct crawl *crawl)
{
	struct migrate *migrate = crawl->migrate;
	struct queue_entry entry;
	bool did = false;

	while (!has_enough(migrate->names, LANE_READAHEAD) &&
	       order_fetching(migrate) < atomic_load(&migrate->tuned.backlog_high) &&
	       order_take(migrate, true, CLASS_FETCH, CLASS_FETCH, &entry))
		did = (load_entry(crawl, true, &entry) && start_dir(crawl, &entry, LANE_READAHEAD)) || did;
	while (!has_enough(migrate->data, LANE_READAHEAD) && order_take(migrate, false, CLASS_FETCH, CLASS_FETCH, &entry))
		did = (load_entry(crawl, false, &entry) && start_file(migrate, &entry, LANE_READAHEAD)) || did;
	return did;
}

static bool frontier_empty(struct crawl *crawl)
{
	LOCKED(&crawl->lock);
	return crawl->used == 0;
}

/* Does anything wait that comes before the last? Where the backlog is full of these, nothing more can be found before them. */
static bool others_wait(struct crawl *crawl)
{
	struct migrate *migrate = crawl->migrate;

	return order_waiting(migrate, false, CLASS_NORMAL) ||
	       (!crawl->holding && (!frontier_empty(crawl) || order_waiting(migrate, true, CLASS_NORMAL)));
}

/* Or is it at work, on its way to the queues, or in the store alone? */
static bool others_come(struct crawl *crawl)
{
	struct migrate *migrate = crawl->migrate;
	uint64_t now = clock_monotonic_ns();

	if (background_load(migrate->data) > 0 || now >= crawl->files.pause_until_ns)
		return true;
	return !crawl->holding && (now >= crawl->dirs.pause_until_ns || !lane_idle(migrate->names) ||
	                           store_backlog(migrate->store) > 0 || order_any_coming(migrate));
}

static bool last_may_go(struct crawl *crawl)
{
	if (!order_in_use(crawl->migrate) || others_wait(crawl))
		crawl->late = false;
	else if (!crawl->late)
		crawl->late = !others_come(crawl);
	return crawl->late;
}

static bool supply(struct crawl *crawl)
{
	if (store_is_behind(crawl->migrate->store))
		return false; /* a commit brings news, or the next look sees it */
	bool did = order_in_use(crawl->migrate) && supply_fetches(crawl);

	crawl->worst = order_turn(crawl->migrate);
	if (crawl->worst == CLASS_FETCH) /* on demand only */
		return did;
	did = supply_names(crawl) || did;
	did = supply_data(crawl) || did;
	if (did || crawl->worst < CLASS_NORMAL || !last_may_go(crawl))
		return did;
	crawl->worst = CLASS_LAST;
	did = supply_names(crawl);
	return supply_data(crawl) || did;
}

/* --- the end --- */

static bool no_records(after_fn records_after, struct store *store)
{
	uint64_t ino;

	return records_after(store, 0, &ino, 1) == 0;
}

/* Their records will be found. */
static void empty_frontier(struct crawl *crawl)
{
	for (struct object *dir; (dir = take_frontier(crawl));)
		object_put(dir);
}

/* What is waived is not waited for; it may come over all the same, and may be taken back. */
static bool names_settled(const struct totals *totals)
{
	return totals->dirs_found - totals->dirs_migrated <= totals->dirs_waived;
}

static bool data_settled(const struct totals *totals)
{
	return totals->files_pending <= totals->files_waived;
}

/* Nothing in memory, nothing on its way, no record of any directory: then no name is still to come. */
static void purge_links(struct crawl *crawl)
{
	struct migrate *migrate = crawl->migrate;

	if (atomic_load(&crawl->links_purged) || !no_records(store_dirs_after, migrate->store))
		return;
	births_purge(migrate);
	atomic_store(&crawl->links_purged, true);
}

/* Every directory was seen: nothing in memory, nothing on its way, no record that somebody waits for. */
static void check_saw_everything(struct crawl *crawl)
{
	struct migrate *migrate = crawl->migrate;
	struct totals totals;

	store_totals(migrate->store, &totals);
	if (atomic_load(&crawl->saw_everything) && !names_settled(&totals)) {
		atomic_store(&crawl->saw_everything, false); /* what was waived is to come after all */
		crawl->completed = crawl->told = false;
	}
	bool known = atomic_load(&crawl->saw_everything) && (atomic_load(&crawl->links_purged) || totals.dirs_waived);
	if (known || !names_settled(&totals) || !frontier_empty(crawl) || !lane_idle(migrate->names) ||
	    store_flush(migrate->store) < 0)
		return;
	store_totals(migrate->store, &totals);
	if (!names_settled(&totals))
		return;
	purge_links(crawl);
	if (!atomic_exchange(&crawl->saw_everything, true))
		log_event(LOG_LEVEL_INFO, "seen", "what=%s", "every directory");
}

static void tell_complete(struct crawl *crawl)
{
	struct migrate *migrate = crawl->migrate;
	void (*complete)(void *context) = atomic_load(&migrate->complete);

	if (!complete)
		crawl->told = false; /* who wants to know it later is told then */
	if (crawl->told || !complete)
		return;
	crawl->told = true;
	complete(migrate->complete_context);
}

/* For the custody record; only the first time counts. */
static void note_completed(struct migrate *migrate)
{
	char text[32];

	if (store_meta_get(migrate->store, MIGRATE_COMPLETED, text, sizeof(text)) != -ENOENT)
		return;
	snprintf(text, sizeof(text), "%llu", (unsigned long long)(clock_wall_ns() / NS_PER_S));
	int result = store_meta_put(migrate->store, MIGRATE_COMPLETED, text);
	if (result < 0)
		log_warning("when everything had come over cannot be recorded: error=%s", errno_name(result));
}

static void check_complete(struct crawl *crawl)
{
	struct migrate *migrate = crawl->migrate;
	struct totals totals;

	store_totals(migrate->store, &totals);
	if (crawl->completed && !data_settled(&totals))
		crawl->completed = crawl->told = false;
	if (crawl->completed) {
		tell_complete(crawl);
		return;
	}
	if (!atomic_load(&crawl->saw_everything) || !lane_idle(migrate->data) || store_flush(migrate->store) < 0)
		return;
	store_totals(migrate->store, &totals);
	if (!names_settled(&totals) || !data_settled(&totals))
		return;
	if (totals.files_waived + totals.dirs_waived > 0 && remains_pending(migrate->store, migrate->target) != 0)
		return; /* what is waived may be no object that is pending: a finding of a verification */
	crawl->completed = true;
	note_completed(migrate);
	log_event(LOG_LEVEL_INFO, "complete", "directories=%lld files=%lld bytes=%lld waived=%lld",
	          (long long)totals.dirs_migrated, (long long)totals.files_migrated, (long long)totals.bytes_migrated,
	          (long long)(totals.dirs_waived + totals.files_waived + totals.names_waived));
	tell_complete(crawl);
}

/* --- the thread --- */

static void tick(struct crawl *crawl)
{
	uint64_t now = clock_monotonic_ns();

	if (now - crawl->last_tick_ns < TICK_NS)
		return;
	crawl->last_tick_ns = now;
	progress_tick(crawl->migrate);
}

static bool work(struct crawl *crawl)
{
	struct migrate *migrate = crawl->migrate;
	bool unreachable = outage_look(migrate);

	if (atomic_load(&migrate->paused) || target_is_full(migrate))
		return false;
	/* An unreachable source: begin nothing; what is waived, or came before, may still be all. */
	if (!unreachable && supply(crawl))
		return true;
	if (!atomic_load(&migrate->tuned.background)) {
		struct totals totals;
		empty_frontier(crawl); /* it may have been on until now */
		store_totals(migrate->store, &totals);
		if (!names_settled(&totals))
			return false; /* demand alone may bring everything, too, but not yet */
	}
	if (lane_idle(migrate->names) && store_backlog(migrate->store) > 0)
		store_hurry(migrate->store); /* nothing to do until it is known what is next */
	check_saw_everything(crawl);
	check_complete(crawl);
	return false;
}

static void rest(struct crawl *crawl, bool busy)
{
	struct timespec until = clock_after_ns((busy ? 20 : 200) * NS_PER_MS);

	LOCKED(&crawl->lock);
	while (!crawl->news && !crawl->stop)
		if (pthread_cond_clockwait(&crawl->poked, &crawl->lock, CLOCK_MONOTONIC, &until) == ETIMEDOUT)
			break;
	crawl->news = false;
}

static void *run(void *context)
{
	struct crawl *crawl = context;

	pthread_setname_np(pthread_self(), "crawl");
	while (!atomic_load(&crawl->migrate->stopping)) {
		tick(crawl);
		rest(crawl, work(crawl));
	}
	return NULL;
}

void crawl_new(struct migrate *migrate)
{
	struct crawl *crawl = must_alloc(sizeof(*crawl));

	crawl->migrate = migrate;
	pthread_mutex_init(&crawl->lock, NULL);
	pthread_cond_init(&crawl->poked, NULL);
	migrate->crawl = crawl;
}

int crawl_start(struct migrate *migrate)
{
	struct crawl *crawl = migrate->crawl;
	int error = pthread_create(&crawl->thread, NULL, run, crawl);

	crawl->running = error == 0;
	return -error;
}

void crawl_stop(struct migrate *migrate)
{
	struct crawl *crawl = migrate->crawl;

	pthread_mutex_lock(&crawl->lock);
	crawl->stop = true;
	pthread_cond_signal(&crawl->poked);
	pthread_mutex_unlock(&crawl->lock);
	if (crawl->running)
		pthread_join(crawl->thread, NULL);
	empty_frontier(crawl);
}
