/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The steps of the window. See window.h.
 */
#include "migrate/window.h"

#include "base/cleanup.h"
#include "base/clock.h"

#define ROUND 24 /* reads that are compared with as many others */
#define HOLD_NS (10 * NS_PER_S)
/* With so much more on its way the rate has to grow by a twentieth. */
#define GAIN_LEAST 1.05

void window_init(struct window *window)
{
	*window = (struct window){.lock = PTHREAD_MUTEX_INITIALIZER, .depth = WINDOW_DEPTH_LEAST, .good = WINDOW_DEPTH_LEAST};
}

bool window_take(struct window *window, uint64_t bytes)
{
	if (atomic_fetch_add(&window->bytes, bytes) + bytes <= WINDOW_BYTES)
		return true;
	atomic_fetch_sub(&window->bytes, bytes);
	return false;
}

void window_give(struct window *window, uint64_t bytes)
{
	atomic_fetch_sub(&window->bytes, bytes);
}

static void set_depth(struct window *window, unsigned depth)
{
	atomic_store(&window->depth, depth);
	window->settling = WINDOW_WORKERS * depth;
}

/* By half, but at least by one. */
static unsigned step_up(unsigned depth)
{
	unsigned up = depth + (depth > 2 ? depth / 2 : 1);

	return up < WINDOW_DEPTH_MOST ? up : WINDOW_DEPTH_MOST;
}

/* With so much more on its way each read took longer by as much, and long. */
static bool was_in_vain(const struct window *window, unsigned depth, uint64_t mean_ns)
{
	return mean_ns > WINDOW_SPARE_NS &&
	       (double)depth / window->before * (double)window->before_ns < GAIN_LEAST * (double)mean_ns;
}

/* False: back. */
static bool end_trial(struct window *window, uint64_t mean_ns, uint64_t now_ns)
{
	unsigned depth = window_depth(window), before = window->before;
	bool in_vain = was_in_vain(window, depth, mean_ns);

	window->before = 0;
	window->good = in_vain ? before : depth;
	if (in_vain) {
		set_depth(window, before);
		window->hold_until_ns = now_ns + HOLD_NS;
	}
	return !in_vain;
}

static void try_more(struct window *window, uint64_t mean_ns, uint64_t now_ns)
{
	unsigned depth = window_depth(window), up = step_up(depth);

	if (depth < window->good) {
		set_depth(window, up < window->good ? up : window->good);
	} else if (up > depth && now_ns >= window->hold_until_ns) {
		window->before = depth;
		window->before_ns = mean_ns;
		set_depth(window, up);
	}
}

static void end_round(struct window *window, uint64_t now_ns)
{
	uint64_t mean_ns = window->sum_ns / window->reads;
	bool waits = 2 * window->waited >= window->reads;

	window->reads = window->waited = 0;
	window->sum_ns = 0;
	if (window->before && !end_trial(window, mean_ns, now_ns))
		return;
	if (waits)
		try_more(window, mean_ns, now_ns);
	else if (window_depth(window) > WINDOW_DEPTH_LEAST)
		set_depth(window, window_depth(window) - 1);
}

void window_note(struct window *window, uint64_t took_ns, bool waited, uint64_t now_ns)
{
	LOCKED(&window->lock);

	if (window->settling > 0) {
		window->settling--;
		return;
	}
	window->reads++;
	window->waited += waited;
	window->sum_ns += took_ns;
	if (window->reads == ROUND)
		end_round(window, now_ns);
}
