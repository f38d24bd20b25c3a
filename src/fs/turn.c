/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fs/turn.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <linux/fuse.h>
#include <poll.h>
#include <sched.h>
#include <string.h>

#define POLL_NS (100 * NS_PER_US) /* so long a request is waited for without sleep */
#define LOST_NS (30 * NS_PER_US)  /* between two looks: somebody else had the processor */
#define DEPUTY_NS NS_PER_MS
/* Condition variables of glibc before 2.41 can lose a wake-up. Who was summoned sees it by itself after so long. */
#define SURE_NS NS_PER_S
#define CLOSE_ALL 16 /* `close` when all of late followed closely */
#define HOT (CLOSE_ALL / 2)
/* One of two callers may well be alone for some milliseconds, and a thread that polls then takes the processor that the other needs. */
#define ALONE_NS (30 * NS_PER_MS)
#define BACKLOG 8

void turn_start(struct turn *turn, unsigned threads, enum awake_when awake)
{
	pthread_condattr_t attr;
	cpu_set_t processors;

	memset(turn, 0, sizeof(*turn));
	pthread_mutex_init(&turn->lock, NULL);
	pthread_cond_init(&turn->summoned, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&turn->deputed, &attr);
	pthread_condattr_destroy(&attr);
	unsigned count = sched_getaffinity(0, sizeof(processors), &processors) < 0 ? 1 : (unsigned)CPU_COUNT(&processors);
	turn->few = count < 2 ? 2 : count;
	turn->most = count / 2;
	turn->wanted = 1;
	awake_start(&turn->awake, awake);
	if (turn->awake.path && threads > 2 && turn->few > threads - 1)
		turn->few = threads - 1;
}

void turn_stop(struct turn *turn)
{
	awake_stop(&turn->awake);
	pthread_cond_destroy(&turn->deputed);
	pthread_cond_destroy(&turn->summoned);
	pthread_mutex_destroy(&turn->lock);
}

/* --- under lock --- */

static bool is_hot(const struct turn *turn)
{
	return turn->most && turn->close >= HOT && turn->last_ns >= turn->alone_ns + ALONE_NS;
}

/* One more is to ask. */
static void summon(struct turn *turn)
{
	if (turn->parked > turn->summons + (turn->has_deputy ? 1 : 0)) {
		turn->summons++;
		pthread_cond_signal(&turn->summoned);
	} else if (turn->has_deputy) {
		turn->call_deputy = true;
		pthread_cond_signal(&turn->deputed);
	}
}

/* Nobody else is deputy meanwhile. */
static void look_at_processors(struct turn *turn)
{
	uint64_t taken = turn->taken;

	pthread_mutex_unlock(&turn->lock);
	awake_look(&turn->awake, taken);
	pthread_mutex_lock(&turn->lock);
}

/* Returns whether it is to ask: it is summoned, or finds that nobody does. False: there was no request between two looks, and whoever
 * asks is asleep. */
static bool be_deputy(struct turn *turn)
{
	bool asks, idle;

	turn->has_deputy = true;
	do {
		uint64_t seen = turn->taken;
		uint64_t until = clock_monotonic_ns() + DEPUTY_NS;
		struct timespec time = {.tv_sec = (time_t)(until / NS_PER_S), .tv_nsec = (long)(until % NS_PER_S)};
		pthread_cond_timedwait(&turn->deputed, &turn->lock, &time);
		look_at_processors(turn);
		bool quiet = turn->taken == seen;
		asks = turn->ended || turn->call_deputy || (!turn->asking && quiet);
		idle = turn->asking && !turn->polling && quiet && !awake_is_held(&turn->awake);
	} while (!asks && !idle);
	turn->has_deputy = turn->call_deputy = false;
	return asks;
}

static void wait_for_summons(struct turn *turn)
{
	struct timespec until = clock_after_ns(SURE_NS);

	pthread_cond_clockwait(&turn->summoned, &turn->lock, CLOCK_MONOTONIC, &until);
}

/* Nobody comes from work as long as the others do all of it; so each looks now and then whether that is much. */
static void park(struct turn *turn)
{
	bool asks = false, is_due = true;

	turn->parked++;
	while (!asks && !turn->ended && !turn->summons) {
		if (!turn->has_deputy && (turn->polling || is_due || awake_is_held(&turn->awake))) {
			asks = be_deputy(turn);
			is_due = false;
		} else {
			uint64_t seen = turn->taken;
			wait_for_summons(turn);
			is_due = turn->taken != seen && !turn->has_deputy && turn->awake.path;
		}
	}
	turn->summons -= !asks && turn->summons > 0;
	turn->parked--;
}

/* --- asking --- */

/* Returns whether there is something to read. */
static bool poll_for(int fd, bool *at_once, bool *lost)
{
	struct pollfd look = {.fd = fd, .events = POLLIN};
	uint64_t start = clock_monotonic_ns(), now = start, before;

	*at_once = *lost = false;
	do {
		if (poll(&look, 1, 0) != 0) {
			*at_once = now == start;
			return true;
		}
		sched_yield();
		before = now;
		now = clock_monotonic_ns();
		if (now - before > LOST_NS) {
			*lost = true;
			return false;
		}
	} while (now - start < POLL_NS);
	return false;
}

/* How many it takes: the one that polls never waits as long as there are too few. */
static void note_backlog(struct turn *turn, bool at_once)
{
	turn->backlog = at_once ? turn->backlog + 1 : 0;
	if (turn->backlog < BACKLOG)
		return;
	turn->backlog = 0;
	if (turn->wanted < turn->most)
		turn->wanted++;
	if (turn->asking < turn->wanted)
		summon(turn);
}

/* Returns whether there is something to read. */
static bool poll_in_turn(struct turn *turn, int fd)
{
	bool at_once, lost;

	turn->polling = true;
	pthread_mutex_unlock(&turn->lock);
	bool found = poll_for(fd, &at_once, &lost);
	pthread_mutex_lock(&turn->lock);
	turn->polling = false;
	if (lost)
		turn->close = 0;
	if (found) {
		note_backlog(turn, at_once);
	} else {
		turn->wanted = 1;
		turn->backlog = 0;
	}
	return found;
}

void turn_await(struct turn *turn, int fd)
{
	LOCKED(&turn->lock);

	while (!turn->ended && turn->asking >= (is_hot(turn) ? turn->wanted : turn->few))
		park(turn);
	turn->asking++;
	turn->last_ns = clock_monotonic_ns();
	bool found = is_hot(turn) && !turn->polling && !turn->ended && poll_in_turn(turn, fd);
	/* It may sleep now, and two are to ask then, or one to look. */
	if (!found && turn->asking < 2 && !turn->has_deputy)
		summon(turn);
	/* Nor would anybody see that requests are rare again. Those that are parked do, by themselves. */
	if (!turn->has_deputy && !turn->parked && awake_is_held(&turn->awake))
		awake_let_go(&turn->awake);
}

static bool takes_long(uint32_t opcode)
{
	switch (opcode) {
	case FUSE_READ:
	case FUSE_WRITE:
	case FUSE_FSYNC:
	case FUSE_FSYNCDIR:
	case FUSE_FALLOCATE:
	case FUSE_COPY_FILE_RANGE:
	case FUSE_SETATTR:
		return true;
	default:
		return false;
	}
}

void turn_taken(struct turn *turn, uint32_t opcode, uint32_t caller)
{
	LOCKED(&turn->lock);

	turn->asking--;
	turn->taken++;
	uint64_t now = clock_monotonic_ns();
	bool other = caller && caller != turn->caller;
	if (now - turn->last_ns >= POLL_NS || other)
		turn->close = 0;
	else
		turn->close += turn->close < CLOSE_ALL;
	if (other) {
		turn->caller = caller;
		turn->alone_ns = now;
	}
	if (!turn->asking && (!turn->has_deputy || takes_long(opcode)))
		summon(turn);
}

void turn_missed(struct turn *turn)
{
	LOCKED(&turn->lock);

	turn->asking--;
}

void turn_end(struct turn *turn)
{
	LOCKED(&turn->lock);

	turn->ended = true;
	pthread_cond_broadcast(&turn->summoned);
	pthread_cond_signal(&turn->deputed);
}
