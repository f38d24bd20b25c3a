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
 * A server that admits fewer sessions than we would like sets the limit: when one more is refused while others live, those
 * have to do.
 */
#include "source/internal.h"

#include "base/log.h"

#include <errno.h>
#include <stdlib.h>

void pool_init(struct connection_pool *pool, bool exclusive, unsigned limit)
{
	*pool = (struct connection_pool){.exclusive = exclusive, .limit = exclusive ? limit : 1, .wanted = exclusive ? limit : 1};
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->changed, NULL);
}

void pool_destroy(struct source *source)
{
	struct connection_pool *pool = &source->pool;

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

/* Called and returns with the lock held, which is given up meanwhile. The new connection is in the list. */
static int connect_one(struct source *source)
{
	struct connection_pool *pool = &source->pool;
	struct connection *connection = calloc(1, sizeof(*connection));
	int ret;

	if (!connection)
		return -ENOMEM;
	pool->connecting++;
	pthread_mutex_unlock(&pool->lock);
	ret = source->module.plugin.connect(source->instance, &connection->conn);
	pthread_mutex_lock(&pool->lock);
	pool->connecting--;
	pthread_cond_broadcast(&pool->changed);
	if (ret < 0) {
		free(connection);
		return ret;
	}
	connection->next = pool->list;
	pool->list = connection;
	return 0;
}

/* With the lock held: makes one, or waits until something changed. */
static int connect_or_wait(struct source *source)
{
	struct connection_pool *pool = &source->pool;
	unsigned sound = count_sound(pool);
	int ret;

	if (sound + pool->connecting >= pool->limit) {
		pthread_cond_wait(&pool->changed, &pool->lock);
		return 0;
	}
	ret = connect_one(source);
	if (ret < 0 && (sound = count_sound(pool)) > 0 && pool->limit > sound) {
		pool->limit = sound;
		log_warning("no further connection to the source: plugin=%s connections=%u error=%s", source->module.plugin.name,
		            sound, errno_name(ret));
		return 0;
	}
	return ret;
}

static int take(struct source *source, bool unused, struct connection **connection)
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
		picked = pick(pool, unused);
		if (picked)
			break;
		if (unused && count_sound(pool) + pool->connecting >= pool->limit)
			unused = false;
		else
			ret = connect_or_wait(source);
	}
	if (picked)
		picked->users++;
	pthread_mutex_unlock(&pool->lock);
	if (ret == 0)
		*connection = picked;
	return ret;
}

int connection_take(struct source *source, struct connection **connection)
{
	return take(source, false, connection);
}

int connection_take_again(struct source *source, bool unused, struct connection **connection)
{
	int ret = take(source, unused, connection);

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
		pthread_cond_broadcast(&pool->changed);
	pthread_mutex_unlock(&pool->lock);
	end_all(source, ended);
}
