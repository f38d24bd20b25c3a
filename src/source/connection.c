/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Connections, by thread model:
 *
 *   SERIAL, PARALLEL, ASYNC   one, which everybody uses at once (SERIAL: one after the other, see call.c)
 *   CONNECTION                a pool that grows to its limit; each carries one request at a time
 *
 * A connection that lost its session (error_ends_connection) takes no new requests. Another one is made for the next request,
 * and files are opened anew on it (file.c); the old one ends with its last request and its last file.
 *
 * While there is a connection another one is made by a thread of our own: whoever waits takes the first that becomes free, be it new or
 * not, since from far away a session takes a second.
 *
 * A server that admits fewer sessions than we would like sets the limit: when one more is refused while others live, those
 * have to do, for a minute. Not when it admitted others meanwhile, since it may have been away when that one was begun; and what it refused
 * while it went down does not hold when the last of those has ended.
 */
#include "source/internal.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <stdlib.h>

#define MAKERS 4 /* sessions that are made at once */
/* After which a server that admitted no more is asked again, if more are wanted: it may have been so for a moment. */
#define LIMITED_NS (60 * NS_PER_S)

void pool_init(struct connection_pool *pool, bool exclusive, unsigned limit)
{
	*pool = (struct connection_pool){.exclusive = exclusive, .limit = exclusive ? limit : 1, .wanted = exclusive ? limit : 1};
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->changed, NULL);
}

void pool_destroy(struct source *source)
{
	struct connection_pool *pool = &source->pool;

	atomic_store(&source->cancelled, true); /* what is to be made and was not begun */
	lane_stop(pool->makers);
	while (pool->list) {
		struct connection *connection = pool->list;

		pool->list = connection->next;
		source->module.plugin.disconnect(connection->conn);
		free(connection);
	}
	pthread_cond_destroy(&pool->changed);
	pthread_mutex_destroy(&pool->lock);
}

/* The least burdened that can take a request now, or NULL. `unused`: only one without files. */
static struct connection *pick(const struct connection_pool *pool, bool unused)
{
	struct connection *best = NULL;

	for (struct connection *at = pool->list; at; at = at->next) {
		if (at->broken || (pool->exclusive && at->users > 0) || (unused && at->files > 0))
			continue;
		if (!best || at->files < best->files)
			best = at;
	}
	return best;
}

static unsigned count_sound(const struct connection_pool *pool)
{
	unsigned count = 0;

	for (const struct connection *at = pool->list; at; at = at->next)
		count += !at->broken;
	return count;
}

/* Under lock: somebody who waits may go on. */
static void note_change(struct connection_pool *pool)
{
	pool->changes++;
	pthread_cond_broadcast(&pool->changed);
}

/* --- making one --- */

/* Called, with this one counted in pool->connecting, and returns with the lock held, which is given up meanwhile. 0 also when it was refused
 * and others were not: to be looked at again. */
static int make(struct source *source)
{
	struct connection_pool *pool = &source->pool;
	struct connection *connection = calloc(1, sizeof(*connection));
	uint64_t made = pool->made;
	int ret = -ENOMEM;

	pthread_mutex_unlock(&pool->lock);
	if (connection)
		ret = source->module.plugin.connect(source->instance, &connection->conn);
	pthread_mutex_lock(&pool->lock);
	pool->connecting--;
	note_change(pool);
	if (ret < 0) {
		free(connection);
		return pool->made != made && count_sound(pool) > 0 ? 0 : ret;
	}
	pool->made++;
	connection->next = pool->list;
	pool->list = connection;
	return 0;
}

/* Under lock. While others live a failure to make one more says how many the server admits: 0. */
static int admitted(struct source *source, int ret)
{
	struct connection_pool *pool = &source->pool;
	unsigned sound = count_sound(pool);

	if (ret >= 0 || sound == 0)
		return ret;
	if (pool->limit <= sound)
		return 0;
	pool->limit = sound;
	pool->limited_ns = clock_monotonic_ns();
	if (pool->told != sound)
		log_warning("no further connection to the source: plugin=%s connections=%u error=%s", source->module.plugin.name,
		            sound, errno_name(ret));
	pool->told = sound;
	return 0;
}

struct maker {
	struct lane_job job;
	struct source *source;
};

static void make_aside(struct lane_job *job)
{
	struct maker *maker = (struct maker *)((char *)job - offsetof(struct maker, job));
	struct source *source = maker->source;
	struct connection_pool *pool = &source->pool;

	free(maker);
	pthread_mutex_lock(&pool->lock);
	if (atomic_load(&source->cancelled)) {
		pool->connecting--;
		note_change(pool);
	} else {
		admitted(source, make(source)); /* without any, whoever waits tries himself and is told */
	}
	pthread_mutex_unlock(&pool->lock);
}

/* Under lock. In threads that live as long as the source: a process that a connection is may end with the thread that made it. */
static bool have_makers(struct connection_pool *pool)
{
	const struct lane_options options = {.name = "connect", .max = MAKERS};

	if (!pool->makers && lane_start(&options, &pool->makers) < 0)
		pool->makers = NULL;
	return pool->makers;
}

/* Under lock: has more made beside us, until so many are being made. False: no more are to be. */
static bool want_more(struct source *source, unsigned wanted)
{
	struct connection_pool *pool = &source->pool;
	bool room;

	if (pool->limit < pool->wanted && clock_monotonic_ns() - pool->limited_ns >= LIMITED_NS)
		pool->limit = pool->wanted;
	while ((room = count_sound(pool) + pool->connecting < pool->limit) && pool->connecting < wanted) {
		struct maker *maker = have_makers(pool) ? malloc(sizeof(*maker)) : NULL;
		if (!maker)
			break;
		*maker = (struct maker){.job.run = make_aside, .source = source};
		pool->connecting++;
		if (!lane_submit(pool->makers, &maker->job, LANE_DEMAND))
			abort(); /* demand is always taken */
	}
	return room || pool->connecting > 0;
}

/* --- taking and giving --- */

/* Under lock: nothing is there for us. Waits for the first that becomes free or is made; where there is none at all, makes it, since a
 * failure is for us to know. */
static int await_one(struct source *source)
{
	struct connection_pool *pool = &source->pool;

	if (count_sound(pool) == 0)
		pool->limit = pool->wanted;
	if (count_sound(pool) == 0 && pool->connecting < pool->limit) {
		pool->connecting++;
		int ret = make(source);
		if (ret >= 0 && pool->exclusive)
			want_more(source, FURTHER_MOST);
		return admitted(source, ret);
	}
	pool->waiting++;
	if (pool->exclusive)
		want_more(source, pool->waiting);
	pthread_cond_wait(&pool->changed, &pool->lock);
	pool->waiting--;
	return 0;
}

int connection_take(struct source *source, struct connection **connection)
{
	struct connection_pool *pool = &source->pool;
	struct connection *picked = NULL;
	int ret = 0;

	pthread_mutex_lock(&pool->lock);
	while (ret == 0) {
		if (atomic_load(&source->cancelled)) {
			ret = -ECANCELED;
			break;
		}
		picked = pick(pool, false);
		if (picked)
			break;
		ret = await_one(source);
	}
	if (picked)
		picked->users++;
	pthread_mutex_unlock(&pool->lock);
	if (ret == 0)
		*connection = picked;
	return ret;
}

int connection_take_again(struct source *source, struct connection **connection)
{
	int ret = connection_take(source, connection);

	if (ret >= 0 || ret == -ECANCELED || ret == -ENOMEM || ret == -EINTR)
		return ret;
	atomic_store(&source->refusal, -ret);
	return source_is_outage(ret) ? ret : -EHOSTDOWN;
}

int connection_take_this(struct source *source, struct connection *connection, bool closing)
{
	struct connection_pool *pool = &source->pool;
	int ret = 0;

	pthread_mutex_lock(&pool->lock);
	while (ret == 0) {
		if (!closing && atomic_load(&source->cancelled))
			ret = -ECANCELED;
		else if (!closing && connection->broken)
			ret = -ENOTCONN;
		else if (!pool->exclusive || connection->users == 0)
			break;
		else
			pthread_cond_wait(&pool->changed, &pool->lock);
	}
	if (ret == 0)
		connection->users++;
	pthread_mutex_unlock(&pool->lock);
	return ret;
}

int connection_try_this(struct source *source, struct connection *connection)
{
	struct connection_pool *pool = &source->pool;
	int ret = 0;

	pthread_mutex_lock(&pool->lock);
	if (atomic_load(&source->cancelled))
		ret = -ECANCELED;
	else if (connection->broken)
		ret = -ENOTCONN;
	else if (!pool->exclusive || connection->users == 0)
		ret = 1;
	connection->users += ret == 1;
	pthread_mutex_unlock(&pool->lock);
	return ret;
}

struct connection *connection_try_unused(struct source *source, unsigned wanted)
{
	struct connection_pool *pool = &source->pool;

	pthread_mutex_lock(&pool->lock);
	struct connection *picked = pick(pool, true);
	if (!picked && !want_more(source, wanted))
		picked = pick(pool, false);
	if (picked)
		picked->users++;
	pthread_mutex_unlock(&pool->lock);
	return picked;
}

uint64_t connection_changes(struct source *source)
{
	pthread_mutex_lock(&source->pool.lock);
	uint64_t changes = source->pool.changes;
	pthread_mutex_unlock(&source->pool.lock);
	return changes;
}

void connection_await_change(struct source *source, uint64_t since)
{
	struct connection_pool *pool = &source->pool;

	pthread_mutex_lock(&pool->lock);
	while (pool->changes == since && !atomic_load(&source->cancelled))
		pthread_cond_wait(&pool->changed, &pool->lock);
	pthread_mutex_unlock(&pool->lock);
}

static void unlink_connection(struct connection_pool *pool, struct connection *connection)
{
	struct connection **at = &pool->list;

	while (*at != connection)
		at = &(*at)->next;
	*at = connection->next;
}

/* Takes out those that carry nothing: whatever ended one has probably ended them, too, and each of them would cost whoever finds
 * that out an attempt. */
static struct connection *take_idle(struct connection_pool *pool)
{
	struct connection *idle = NULL;

	for (struct connection **at = &pool->list; *at;) {
		struct connection *one = *at;
		if (one->users > 0 || one->files > 0) {
			at = &one->next;
			continue;
		}
		*at = one->next;
		one->next = idle;
		idle = one;
	}
	return idle;
}

static void end_all(struct source *source, struct connection *list)
{
	for (struct connection *next; list; list = next) {
		next = list->next;
		source->module.plugin.disconnect(list->conn);
		free(list);
	}
}

void connection_give(struct source *source, struct connection *connection, int64_t result, int files)
{
	struct connection_pool *pool = &source->pool;
	struct connection *ended = NULL;
	bool over;

	pthread_mutex_lock(&pool->lock);
	connection->files += (unsigned)files;
	if (error_ends_connection(result) && !connection->broken) {
		connection->broken = true;
		ended = take_idle(pool);
		log_info("the connection to the source is lost: plugin=%s error=%s", source->module.plugin.name,
		         errno_name((int)result));
	}
	connection->users--;
	over = connection->broken && connection->users == 0 && connection->files == 0;
	if (over) {
		unlink_connection(pool, connection);
		connection->next = ended;
		ended = connection;
	}
	if (pool->exclusive || connection->broken)
		note_change(pool);
	pthread_mutex_unlock(&pool->lock);
	end_all(source, ended);
}
