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
	*window = (struct window){.lock = PTHREAD_MUTEX_INITIALIZER, .depth = WINDOW_DEPTH_LEAST};
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

static void end_round(struct window *window, uint64_t now_ns)
{
	unsigned depth = window_depth(window), before = window->before;
	uint64_t mean_ns = window->sum_ns / window->reads;
	bool waits = 2 * window->waited >= window->reads;

	window->reads = window->waited = 0;
	window->sum_ns = 0;
	window->before = 0;
	if (before && (double)depth / before * (double)window->before_ns < GAIN_LEAST * (double)mean_ns) {
		set_depth(window, before);
		window->hold_until_ns = now_ns + HOLD_NS;
	} else if (!waits && depth > WINDOW_DEPTH_LEAST) {
		set_depth(window, depth - 1);
	} else if (waits && depth < WINDOW_DEPTH_MOST && now_ns >= window->hold_until_ns) {
		window->before = depth;
		window->before_ns = mean_ns;
		set_depth(window, step_up(depth));
	}
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
