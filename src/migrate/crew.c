/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The entries of a large directory are listed by the thread that populates it, and made by that thread and by helpers: background jobs
 * of the names lane, as many as there are further processors, so that one directory uses a machine as well as many do. For applications
 * nothing differs: the directory appears when all of them are done and what they made is recorded in one batch (I3).
 *
 * Entries wait in chunks. The thread that lists fills them; when none is free it makes the oldest one itself, so it needs no helper to
 * come to its end, and no more than the chunks is ever kept. A helper has nothing to wait for: it goes when no chunk is left,
 * and after a few of them, and is sent again with the next one. So others have their turn on the lane, the governor's limits hold, the
 * reserve for demand is never touched (I6), and an end of the daemon meets threads that end by themselves. Once somebody waits for the
 * directory its helpers are no background any more: those that were sent as such are raised, and no limit of the background ends their turn.
 *
 * Each helper has a `making` of its own, in which it collects records, counts and names of files with several; they are
 * joined at the end, in any order: each object is in one of them alone, and the store sorts by object.
 *
 * The order in which entries are made is nearly that of the listing. Where the target takes two names of it for one (casefold) it is
 * not always the first that gets it; that the other does not is told as ever.
 *
 * Lock: crew->lock guards the queues, `error`, and which helpers are sent; a leaf. A chunk belongs to who took it.
 * The directory knows its crew, under its own lock, as long as helpers may be sent.
 */
#include "migrate/crew.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "migrate/entry.h"

#include <sched.h>
#include <stdlib.h>

/* More than these wait for each other: a name is entered into the directory by one at a time. */
#define HELPERS_MOST 3u

/* A millisecond or two of work; and what helpers have to do while the next entries are listed, a thousand at once. */
#define CHUNK_ENTRIES 32u
#define CHUNKS 16u
/* So many a helper makes until others have their turn. */
#define CHUNKS_IN_TURN 32u

struct kept {
	struct dmm_entry entry; /* what it points to is in `bytes` */
	struct verdict verdict;
	char *bytes;
	size_t bytes_size;
};

struct chunk {
	struct chunk *next;
	unsigned count;
	struct kept entries[CHUNK_ENTRIES];
};

struct helper {
	struct lane_job job;
	struct crew *crew;
	bool sent; /* its job waits or runs */
	struct making making;
};

struct crew {
	struct making *making; /* of the thread that lists */
	struct chunk *filling; /* of that thread */
	pthread_mutex_t lock;
	pthread_cond_t back;               /* a helper is not sent any more */
	struct chunk *free, *first, *last; /* from the first to the last: waiting to be made */
	int error;
	unsigned n_helpers;
	struct helper helpers[HELPERS_MOST];
	struct chunk chunks[CHUNKS];
};

/* --- chunks --- */

static struct chunk *take_free(struct crew *crew)
{
	LOCKED(&crew->lock);
	struct chunk *chunk = crew->free;

	if (chunk)
		crew->free = chunk->next;
	return chunk;
}

static void hand_out(struct crew *crew)
{
	struct chunk *chunk = crew->filling;
	LOCKED(&crew->lock);

	crew->filling = NULL;
	chunk->next = NULL;
	*(crew->first ? &crew->last->next : &crew->first) = chunk;
	crew->last = chunk;
}

/* The oldest; NULL: there is none, or the work has ended. */
static struct chunk *take_waiting(struct crew *crew)
{
	LOCKED(&crew->lock);
	struct chunk *chunk = crew->error < 0 ? NULL : crew->first;

	if (!chunk)
		return NULL;
	crew->first = chunk->next;
	return chunk;
}

static void make_chunk(struct crew *crew, struct making *making, struct chunk *chunk)
{
	int result = 0;

	for (unsigned i = 0; result >= 0 && i < chunk->count; i++) {
		making->verdict = chunk->entries[i].verdict;
		result = populate_take(making, &chunk->entries[i].entry);
	}
	chunk->count = 0;
	LOCKED(&crew->lock);
	if (result < 0 && crew->error == 0)
		crew->error = result;
	chunk->next = crew->free;
	crew->free = chunk;
}

static void keep(struct kept *kept, const struct dmm_entry *entry, const struct verdict *verdict)
{
	size_t room = entry_room(entry);

	if (room > kept->bytes_size) {
		free(kept->bytes);
		kept->bytes = buffer_alloc(2 * room);
		kept->bytes_size = 2 * room;
	}
	entry_copy(&kept->entry, entry, kept->bytes);
	kept->verdict = *verdict;
}

/* --- helpers --- */

static bool hurried(const struct crew *crew)
{
	return __atomic_load_n(&crew->making->dir->hurry, __ATOMIC_RELAXED);
}

/* What the governor says of the background holds for it. */
static bool is_governed(const struct helper *helper)
{
	return helper->job.class == LANE_BACKGROUND && !hurried(helper->crew);
}

static void help(struct lane_job *job)
{
	struct helper *helper = (struct helper *)((char *)job - offsetof(struct helper, job));
	struct crew *crew = helper->crew;
	struct migrate *migrate = helper->making.migrate;
	uint64_t began_ns = clock_monotonic_ns();
	struct chunk *chunk;

	for (unsigned n = 0; n < CHUNKS_IN_TURN && !(is_governed(helper) && govern_exceeded(migrate, GOVERNED_NAMES)); n++) {
		if (!(chunk = take_waiting(crew)))
			break;
		make_chunk(crew, &helper->making, chunk);
	}
	if (is_governed(helper))
		govern_worked(migrate, GOVERNED_NAMES, clock_monotonic_ns() - began_ns);
	LOCKED(&crew->lock);
	helper->sent = false;
	pthread_cond_signal(&crew->back);
}

/* Of an ended lane it is not sent, and who is sent already goes on. Who came between the look at the hurry and the queue did not find it
 * there to be raised; the second look sees him. */
static void send(struct crew *crew, struct helper *helper)
{
	struct lane *lane = crew->making->migrate->names;
	enum lane_class class = hurried(crew) ? LANE_READAHEAD : LANE_BACKGROUND;

	if (lane_submit(lane, &helper->job, class)) {
		if (class == LANE_BACKGROUND && hurried(crew))
			lane_promote(lane, &helper->job, LANE_READAHEAD);
		return;
	}
	LOCKED(&crew->lock);
	helper->sent = false;
}

/* One that was not sent and is now to be, since there is work for one more; NULL: all are. */
static struct helper *choose_helper(struct crew *crew)
{
	LOCKED(&crew->lock);
	for (unsigned i = 0; i < crew->n_helpers; i++) {
		struct helper *helper = &crew->helpers[i];
		if (helper->sent)
			continue;
		helper->sent = true;
		return helper;
	}
	return NULL;
}

/* Of those who went because the background was to have less one may be wanted again, too. */
void crew_hurry(struct crew *crew)
{
	for (unsigned i = 0; i < crew->n_helpers; i++)
		lane_promote(crew->making->migrate->names, &crew->helpers[i].job, LANE_READAHEAD);
	pthread_mutex_lock(&crew->lock);
	bool waits = crew->first && crew->error == 0;
	pthread_mutex_unlock(&crew->lock);
	struct helper *helper = waits ? choose_helper(crew) : NULL;
	if (helper)
		send(crew, helper);
}

static void know(struct object *dir, struct crew *crew)
{
	LOCKED(&dir->lock);
	dir->crew = crew;
}

static int error_of(struct crew *crew)
{
	LOCKED(&crew->lock);
	return crew->error;
}

static void recall(struct crew *crew, struct helper *helper)
{
	if (lane_withdraw(crew->making->migrate->names, &helper->job))
		helper->sent = false; /* nobody else knows of it any more */
	LOCKED(&crew->lock);
	while (helper->sent)
		pthread_cond_wait(&crew->back, &crew->lock);
}

static void equip(struct crew *crew, struct helper *helper)
{
	const struct making *owner = crew->making;

	helper->crew = crew;
	helper->job.run = help;
	helper->making = (struct making){
		.migrate = owner->migrate,
		.dir = owner->dir,
		.dirfd = owner->dirfd,
		.inherited_acl = owner->inherited_acl,
		.fill = owner->fill,
		.segsize = owner->segsize,
		.filled = owner->filled,
		.present = owner->present,
		.aside = owner->aside,
		.judging = owner->judging,
	};
	making_equip(&helper->making);
}

/* --- the crew --- */

static unsigned processors(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) < 0 ? 1 : (unsigned)CPU_COUNT(&set);
}

struct crew *crew_new(struct making *making)
{
	unsigned more = processors() - 1;

	if (more == 0)
		return NULL;
	struct crew *crew = must_alloc(sizeof(*crew));
	crew->making = making;
	crew->n_helpers = more < HELPERS_MOST ? more : HELPERS_MOST;
	pthread_mutex_init(&crew->lock, NULL);
	pthread_cond_init(&crew->back, NULL);
	for (unsigned i = 0; i < CHUNKS; i++) {
		crew->chunks[i].next = crew->free;
		crew->free = &crew->chunks[i];
	}
	for (unsigned i = 0; i < crew->n_helpers; i++)
		equip(crew, &crew->helpers[i]);
	know(making->dir, crew);
	return crew;
}

int crew_add(struct crew *crew, const struct dmm_entry *entry)
{
	struct making *making = crew->making;
	struct verdict verdict = making->verdict;

	while (!crew->filling && !(crew->filling = take_free(crew))) {
		struct chunk *chunk = take_waiting(crew);
		if (chunk)
			make_chunk(crew, making, chunk);
		else if (error_of(crew) < 0)
			return error_of(crew);
	}
	making->verdict = verdict; /* of this one again */
	keep(&crew->filling->entries[crew->filling->count++], entry, &verdict);
	if (crew->filling->count < CHUNK_ENTRIES)
		return 0;
	hand_out(crew);
	struct helper *helper = choose_helper(crew);
	if (helper)
		send(crew, helper);
	return error_of(crew);
}

static void free_crew(struct crew *crew)
{
	for (unsigned i = 0; i < CHUNKS; i++)
		for (unsigned j = 0; j < CHUNK_ENTRIES; j++)
			free(crew->chunks[i].entries[j].bytes);
	pthread_cond_destroy(&crew->back);
	pthread_mutex_destroy(&crew->lock);
	free(crew);
}

int crew_end(struct crew *crew, int result)
{
	struct making *making = crew->making;
	struct chunk *chunk;

	if (crew->filling)
		hand_out(crew);
	while (result >= 0 && (chunk = take_waiting(crew)))
		make_chunk(crew, making, chunk);
	pthread_mutex_lock(&crew->lock);
	if (result < 0 && crew->error == 0)
		crew->error = result; /* what waits is not made any more */
	pthread_mutex_unlock(&crew->lock);
	know(making->dir, NULL);
	for (unsigned i = 0; i < crew->n_helpers; i++)
		recall(crew, &crew->helpers[i]);
	if (result >= 0 && crew->error < 0)
		result = crew->error;
	for (unsigned i = 0; i < crew->n_helpers; i++)
		making_join(making, &crew->helpers[i].making);
	free_crew(crew);
	return result;
}
