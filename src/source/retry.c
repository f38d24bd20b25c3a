/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * When to try again, and the pause before it (invariant I7): only after errors that pass, a bounded number of times, each pause
 * twice as long as the one before, up to a limit. A pause ends at once at the end of the daemon.
 */
#include "source/internal.h"

#include "base/clock.h"

#include <errno.h>

#define PAUSE_FIRST_NS (50 * NS_PER_MS)
#define PAUSE_MOST_NS (10 * NS_PER_S)

static bool error_passes(int64_t result)
{
	switch (result) {
	case -EINTR:
	case -EAGAIN:
	case -ETIMEDOUT:
	case -ECONNRESET:
	case -ECONNABORTED:
	case -ECONNREFUSED: /* a server that starts anew */
	case -EPIPE:
	case -ENOTCONN:
	case -ESHUTDOWN:
	case -EHOSTUNREACH:
	case -ENETUNREACH:
	case -EREMOTEIO:
		return true;
	default:
		return false;
	}
}

bool error_ends_connection(int64_t result)
{
	switch (result) {
	case -ECONNRESET:
	case -ECONNABORTED:
	case -EPIPE:
	case -ENOTCONN:
	case -ESHUTDOWN:
		return true;
	default:
		return false;
	}
}

/* The pause before the attempt after `failed` ones. */
static uint64_t pause_ns(unsigned failed)
{
	uint64_t ns = PAUSE_FIRST_NS;

	while (--failed > 0 && ns < PAUSE_MOST_NS)
		ns *= 2;
	return ns < PAUSE_MOST_NS ? ns : PAUSE_MOST_NS;
}

static void pause_for(struct source *source, uint64_t ns)
{
	uint64_t until_ns = clock_monotonic_ns() + ns;
	struct timespec until = {.tv_sec = (time_t)(until_ns / NS_PER_S), .tv_nsec = (long)(until_ns % NS_PER_S)};
	int ret = 0;

	pthread_mutex_lock(&source->sleep_lock);
	while (ret == 0 && !atomic_load(&source->cancelled))
		ret = pthread_cond_clockwait(&source->sleep, &source->sleep_lock, CLOCK_MONOTONIC, &until);
	pthread_mutex_unlock(&source->sleep_lock);
}

bool retry_again(struct retry *retry, int64_t result, bool delivered)
{
	bool stale = result == -ESTALE && !retry->stale;

	if (delivered || !(stale || error_passes(result)) || ++retry->failed >= retry->source->tries)
		return false;
	retry->stale = retry->stale || stale;
	if (result != -EINTR && !stale)
		pause_for(retry->source, pause_ns(retry->failed));
	if (atomic_load(&retry->source->cancelled))
		return false;
	count_retry(retry->source);
	return true;
}
