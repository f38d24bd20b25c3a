/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * When to try again, and the pause before it (invariant I7); and whether the source can be reached at all.
 *
 * An error either says something of one object (EIO, ENOENT, EACCES ...), and is given back at once; or it passes, and is tried
 * again. Of those that pass, most mean that nobody answers (source_is_outage()). With a patience that is
 *
 *   soft   a request is given up after `tries` attempts;
 *   hard   it waits for the source, without end, like a hard mount of NFS. Yet one object that does not answer, while others do,
 *          is that object's trouble: attempts that failed while somebody else was answered are counted, and bounded.
 *
 * "The source is unreachable" is one condition of the whole source: it begins when a request has used up its attempts and nobody
 * was answered meanwhile, and ends with the first answer, whatever that says. Then all that wait try again at once.
 *
 * Each pause is twice as long as the one before, up to a limit, and ends at once at the end of the daemon.
 */
#include "source/join.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"

#include <errno.h>

#define PAUSE_FIRST_NS (50 * NS_PER_MS)
#define PAUSE_MOST_NS (3 * NS_PER_S)

bool source_is_outage(int error)
{
	switch (error) {
	case -EAGAIN:
	case -ETIMEDOUT:
	case -ECONNRESET:
	case -ECONNABORTED:
	case -ECONNREFUSED: /* a server that starts anew */
	case -EPIPE:
	case -ENOTCONN:
	case -ESHUTDOWN:
	case -EHOSTDOWN:
	case -EHOSTUNREACH:
	case -ENETDOWN:
	case -ENETRESET:
	case -ENETUNREACH:
		return true;
	default:
		return false;
	}
}

bool error_passes(int64_t result)
{
	return result == -EINTR || result == -EREMOTEIO || source_is_outage((int)result);
}

bool error_ends_connection(int64_t result)
{
	switch (result) {
	case -ECONNRESET:
	case -ECONNABORTED:
	case -ENETRESET:
	case -EPIPE:
	case -ENOTCONN:
	case -ESHUTDOWN:
		return true;
	default:
		return false;
	}
}

bool source_listing_is_lost(int error)
{
	return error_ends_connection(error);
}

/* --- can it be reached? --- */

static void go_down(struct source *source, int error)
{
	LOCKED(&source->sleep_lock);
	if (error == -EHOSTDOWN && atomic_load(&source->refusal))
		error = -atomic_load(&source->refusal);
	source->down_error = -error;
	if (atomic_load(&source->down))
		return;
	source->down_since_ns = clock_wall_ns();
	source->down_from_ns = clock_monotonic_ns();
	atomic_store(&source->down, true);
	log_event(LOG_LEVEL_WARNING, "unreachable", "error=%s patience=%s plugin=%s", errno_name(error),
	          atomic_load(&source->hard) ? "hard" : "soft", source->module.plugin.name);
}

/* A server that was starting anew may have refused connections that it admits now. */
static void restore_connections(struct connection_pool *pool)
{
	LOCKED(&pool->lock);
	pool->limit = pool->wanted;
	pthread_cond_broadcast(&pool->changed);
}

static void come_back(struct source *source)
{
	uint64_t down_ns;

	pthread_mutex_lock(&source->sleep_lock);
	bool was_down = atomic_exchange(&source->down, false);
	down_ns = clock_monotonic_ns() - source->down_from_ns;
	if (was_down) {
		source->wakes++;
		source->recoveries++;
		pthread_cond_broadcast(&source->sleep);
	}
	pthread_mutex_unlock(&source->sleep_lock);
	if (!was_down)
		return;
	restore_connections(&source->pool);
	log_event(LOG_LEVEL_INFO, "reachable", "unreachable_s=%llu plugin=%s", (unsigned long long)(down_ns / NS_PER_S),
	          source->module.plugin.name);
}

void reach_answered(struct source *source)
{
	atomic_fetch_add_explicit(&source->answers, 1, memory_order_relaxed);
	if (atomic_load_explicit(&source->down, memory_order_relaxed))
		come_back(source);
}

void source_reach(const struct source *source, struct source_reach *reach)
{
	struct source *changed = (struct source *)source;

	if (source->join) {
		join_reach(source->join, reach);
		return;
	}
	LOCKED(&changed->sleep_lock);

	*reach = (struct source_reach){.recoveries = source->recoveries};
	if (!atomic_load(&source->down))
		return;
	reach->down = true;
	reach->since_ns = source->down_since_ns;
	reach->error = source->down_error;
}

void source_set_patience(struct source *source, const struct source_patience *patience)
{
	if (source->join) {
		source_set_patience(source->join->first, patience);
		source_set_patience(source->join->second, patience);
		return;
	}
	LOCKED(&source->sleep_lock);
	atomic_store(&source->hard, patience->hard);
	atomic_store(&source->tries, patience->tries > 0 ? patience->tries : 1);
	atomic_store(&source->timeout_ns, patience->timeout_ms * NS_PER_MS);
	source->wakes++; /* who waits without end may have to give up now */
	pthread_cond_broadcast(&source->sleep);
}

/* --- trying again --- */

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
	uint64_t wakes = source->wakes;
	while (ret == 0 && !atomic_load(&source->cancelled) && source->wakes == wakes)
		ret = pthread_cond_clockwait(&source->sleep, &source->sleep_lock, CLOCK_MONOTONIC, &until);
	pthread_mutex_unlock(&source->sleep_lock);
}

struct retry retry_begin(struct source *source)
{
	return (struct retry){.source = source, .answers = atomic_load_explicit(&source->answers, memory_order_relaxed)};
}

/* When a server ends its sessions every connection that we have finds that out by itself. That is no attempt of the request's, as
 * long as there may be another one of these. */
static bool one_of_many(struct retry *retry, int64_t result)
{
	struct connection_pool *pool = &retry->source->pool;

	return error_ends_connection(result) && pool->exclusive && retry->lost++ < pool->wanted;
}

/* One more failure that passes: is that enough? */
static bool used_up(struct retry *retry, int64_t result)
{
	struct source *source = retry->source;
	unsigned tries = atomic_load(&source->tries);
	uint64_t answers = atomic_load_explicit(&source->answers, memory_order_relaxed);
	bool answered = answers != retry->answers;

	retry->answers = answers;
	retry->failed++;
	retry->beside += answered;
	if (!source_is_outage((int)result))
		return retry->failed >= tries;
	if (retry->failed >= tries && !answered)
		go_down(source, (int)result);
	return atomic_load(&source->hard) ? retry->beside >= tries : retry->failed >= tries;
}

bool retry_again(struct retry *retry, int64_t result, bool delivered)
{
	bool stale = result == -ESTALE && !retry->stale;

	if (result != -EINTR && result != -ECANCELED && !source_is_outage((int)result))
		reach_answered(retry->source);
	if (delivered || !(stale || error_passes(result)))
		return false;
	bool free_of_charge = one_of_many(retry, result);
	if (!free_of_charge && used_up(retry, result))
		return false;
	retry->stale = retry->stale || stale;
	if (result != -EINTR && !stale && !free_of_charge)
		pause_for(retry->source, pause_ns(retry->failed));
	if (atomic_load(&retry->source->cancelled))
		return false;
	count_retry(retry->source);
	return true;
}
