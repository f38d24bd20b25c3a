/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * All of a file, by workers of the background or of what an administrator fetches.
 *
 * A worker holds several segments at once, in the order in which it claimed them: their reads are begun together and stored one after the
 * other, so while one is written to the target the others are on their way. How many is the window's to say (window.h); with a source
 * that cannot begin reads it is one. A worker that is to stop claims no more and stores what it has, since those bytes are coming already;
 * after a failure it lets go of what nobody waits for. So a claim is never left behind. Whoever needs a segment that its worker has not
 * come to yet takes it over, with its read (fetch.c): demand does not stand behind others of the background (I6).
 *
 * The first segment of a file comes alone: with it the file is compared with its listing, and what cannot be read at all fails once.
 */
#include "migrate/fetch.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>

struct worker {
	struct object *object;
	struct fetch_team *team;
	bool governed;
	uint64_t generation;   /* of the object, as far as was seen */
	uint64_t next;         /* segment to look from */
	unsigned first, count; /* of what is held */
	struct fetch held[WINDOW_DEPTH_MOST];
	char *bufs[WINDOW_DEPTH_MOST]; /* of segments; each is kept for the next one */
};

/* --- claims --- */

/* Under lock: from this segment on the next one nobody works on. */
static bool find_next(const struct object *object, uint64_t *segment)
{
	if (object->dropped || object->finishing || object->absent == 0)
		return false;
	for (uint64_t s = *segment; s < object->n_segments; s++) {
		if (segment_resident(object, s) || segment_get(object->claimed, s))
			continue;
		*segment = s;
		return true;
	}
	return false;
}

static uint64_t next_bytes(struct object *object, uint64_t *segment)
{
	LOCKED(&object->lock);
	return find_next(object, segment) ? segment_bytes(object, *segment) : 0;
}

static bool claim_next(struct object *object, uint64_t *segment, struct fetch *fetch)
{
	LOCKED(&object->lock);
	if (!find_next(object, segment))
		return false;
	segment_set(object->claimed, *segment, true);
	fetch->segment = *segment;
	fetch->next = object->held;
	object->held = fetch;
	return true;
}

/* Whether it may be fetched is asked before it is claimed: demand for a claimed segment waits for who claimed it. */
enum turn { TURN_GO, TURN_NOT_NOW, TURN_NOTHING_LEFT };

static enum turn take_turn(struct object *object, uint64_t *segment, bool governed, struct fetch *fetch)
{
	struct migrate *migrate = object->migrate;
	uint64_t bytes = next_bytes(object, segment);

	if (bytes == 0)
		return TURN_NOTHING_LEFT;
	if (governed && !govern_take(migrate, bytes))
		return TURN_NOT_NOW;
	if (claim_next(object, segment, fetch))
		return TURN_GO;
	if (governed)
		govern_give_back(migrate, bytes);
	return TURN_NOTHING_LEFT;
}

static void unclaim(struct object *object, uint64_t segment)
{
	LOCKED(&object->lock);
	if (segment < object->n_segments)
		segment_set(object->claimed, segment, false);
}

static bool demand_presses(struct migrate *migrate)
{
	struct lane_load load;

	lane_load(migrate->data, &load);
	return load.queued[LANE_DEMAND] > 0;
}

static bool ought_to_stop(struct migrate *migrate, bool governed)
{
	if (!governed)
		return !may_go_on(migrate) || demand_presses(migrate);
	return !background_wanted(migrate) || demand_presses(migrate) || govern_exceeded(migrate, GOVERNED_DATA);
}

static uint64_t left_to_fetch(struct object *object)
{
	LOCKED(&object->lock);
	return object->absent;
}

/* --- a worker --- */

/* How many it may hold now. Where holes are to be known nothing is read before. */
static unsigned depth(struct worker *worker)
{
	struct migrate *migrate = worker->object->migrate;

	if (!source_reads_begin(migrate->source) || source_capabilities(migrate->source) & DMM_CAP_EXTENTS)
		return 1;
	return window_depth(&migrate->window);
}

/* Begins to read it, unless that was taken over meanwhile. */
static void begin(struct object *object, struct fetch *fetch)
{
	fetch_begin(fetch);
	pthread_mutex_lock(&object->lock);
	bool taken = fetch->taken;
	fetch->is_begun = !taken;
	pthread_mutex_unlock(&object->lock);
	if (taken)
		fetch_end_begun(fetch);
}

/* Its turn has come. False: somebody has taken it over. */
static bool take_up(struct object *object, struct fetch *fetch)
{
	LOCKED(&object->lock);
	struct fetch **at = &object->held;

	if (fetch->taken)
		return false;
	while (*at != fetch)
		at = &(*at)->next;
	*at = fetch->next;
	return true;
}

/* Claims segments and begins to read them. One that could not be begun is the last: it would be claimed for nothing. */
static enum turn fill(struct worker *worker)
{
	struct object *object = worker->object;
	unsigned most = depth(worker);
	enum turn turn = TURN_GO;
	bool begun = true;

	while (begun && worker->count < most) {
		unsigned at = (worker->first + worker->count) % WINDOW_DEPTH_MOST;
		struct fetch *fetch = &worker->held[at];
		if (!worker->bufs[at])
			worker->bufs[at] = buffer_alloc(object->file.segsize);
		*fetch = (struct fetch){.object = object, .background = true, .buf = worker->bufs[at]};
		turn = take_turn(object, &worker->next, worker->governed, fetch);
		if (turn != TURN_GO)
			break;
		worker->next++;
		worker->count++;
		if (most > 1)
			begin(object, fetch);
		begun = fetch->reading != NULL;
	}
	return turn;
}

/* The next one in turn that is still ours; NULL: none. */
static struct fetch *take_oldest(struct worker *worker)
{
	while (worker->count > 0) {
		unsigned at = worker->first++ % WINDOW_DEPTH_MOST;
		worker->count--;
		if (take_up(worker->object, &worker->held[at]))
			return &worker->held[at];
		worker->bufs[at] = worker->held[at].buf; /* it may have gone with the segment */
	}
	return NULL;
}

/* Where to go on: from the beginning, when the file is brought anew since. */
static void look_again(struct worker *worker)
{
	struct object *object = worker->object;
	LOCKED(&object->lock);

	if (worker->generation != object->generation)
		worker->next = 0;
	worker->generation = object->generation;
}

/* A failure of one worker of several, or one more of a worker, is left to be met again by whoever comes to the segment alone: or one
 * trouble of the source would count as often as segments are on their way. Not when somebody waits: then it is told at once. */
static bool leave_quietly(struct worker *worker, uint64_t segment, bool again)
{
	struct object *object = worker->object;
	LOCKED(&object->lock);

	if (object->waiters || (!again && atomic_load(&worker->team->workers) < 2))
		return false;
	if (segment < object->n_segments)
		segment_set(object->claimed, segment, false);
	return true;
}

static bool bring(struct worker *worker, struct fetch *fetch)
{
	struct object *object = worker->object;
	struct migrate *migrate = object->migrate;
	uint64_t began_ns = clock_monotonic_ns();
	bool waits = fetch->reading && !source_reading_is_done(fetch->reading);
	int result = fetch_segment(fetch, fetch->buf, false);

	fetch_end_begun(fetch);
	if (fetch->took_ns)
		window_note(&migrate->window, fetch->took_ns, waits, clock_monotonic_ns());
	if (result < 0 && result != -ENOSPC && result != -EDQUOT && leave_quietly(worker, fetch->segment, false))
		return false;
	unclaim(object, fetch->segment);
	fetch_settle(object, fetch->segment, result);
	if (worker->governed)
		govern_worked(migrate, GOVERNED_DATA, clock_monotonic_ns() - began_ns);
	return result >= 0;
}

/* After a failure. */
static void let_go(struct worker *worker)
{
	struct fetch *fetch;

	while ((fetch = take_oldest(worker))) {
		uint64_t bytes = fetch->reading_len;
		fetch_end_begun(fetch);
		if (!leave_quietly(worker, fetch->segment, true))
			bring(worker, fetch);
		else if (worker->governed)
			govern_give_back(worker->object->migrate, bytes);
	}
}

/* True: it is not to be gone on with, since all is claimed, or for a failure. */
static bool work(struct worker *worker)
{
	struct migrate *migrate = worker->object->migrate;
	enum turn turn = TURN_GO;
	bool stops = false;

	for (;;) {
		if (!stops)
			turn = fill(worker);
		struct fetch *fetch = take_oldest(worker);
		if (!fetch && (stops || turn != TURN_GO))
			return !stops && turn == TURN_NOTHING_LEFT;
		if (fetch && !bring(worker, fetch))
			break;
		stops = stops || ought_to_stop(migrate, worker->governed);
		if (fetch && !stops && !atomic_exchange(&worker->team->grown, true))
			worker->team->more(worker->team, left_to_fetch(worker->object));
		look_again(worker);
	}
	let_go(worker);
	return true;
}

bool fetch_all(struct object *object, bool governed, struct fetch_team *team)
{
	struct worker worker = {.object = object, .team = team, .governed = governed};

	file_catch_up(object);
	look_again(&worker);
	bool over = work(&worker);
	for (unsigned i = 0; i < WINDOW_DEPTH_MOST; i++)
		free(worker.bufs[i]);
	return over;
}
