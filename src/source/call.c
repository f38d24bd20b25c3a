/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Life of a call: built on the stack of the thread that wants the answer, entered into the list of what is in flight, submitted,
 * waited for, taken out of the list. Whatever the plugin's thread model, the thread sleeps on call.finished until complete()
 * was called; for a plugin that blocks in submit() that has happened already.
 *
 * Who wants several answers begins several calls and ends them in any order (ahead.c): then the plugin must be DMM_THREADS_ASYNC.
 *
 * A call must not leave before the plugin completed it, since the plugin writes into it and into the caller's buffer. At its
 * deadline, and at the end of the daemon, it is therefore cancelled and waited for.
 */
#include "source/join.h"

#include "base/clock.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

static struct call *call_of(struct dmm_request *request)
{
	return (struct call *)((char *)request - offsetof(struct call, request));
}

/* --- what the plugin calls ---------------------------------------------------------------------------------------------------- */

static int refuse(struct call *call, int error)
{
	if (error < 0 && !call->refused)
		call->refused = error;
	return error;
}

static bool is_acl(const char *name)
{
	return strcmp(name, "system.posix_acl_access") == 0 || strcmp(name, "system.posix_acl_default") == 0;
}

static int give_mapped_acl(struct call *call, const char *name, const void *value, size_t len)
{
	void *copy = malloc(len + 1);
	int ret = copy ? 0 : -ENOMEM;

	if (copy) {
		memcpy(copy, value, len);
		idmap_acl(call->source->idmap, copy, len);
		ret = call->xattr(call->context, name, copy, len);
	}
	free(copy);
	return ret;
}

/* They came unasked: of what is not sound nothing is made, since who needs them asks. */
static int on_read_attr(struct call *call, const struct dmm_entry *entry)
{
	struct dmm_entry checked;

	if (check_object(entry, call->handle, &checked) < 0)
		return 0;
	if (call->entry)
		return refuse(call, call->entry(call->context, &checked));
	call->look->attr = checked.attr;
	call->look->attr.owner_name = call->look->attr.group_name = (struct dmm_bytes){0}; /* they do not live as long */
	call->look->attr_known = true;
	return 0;
}

static int on_entry(struct dmm_request *request, const struct dmm_entry *entry)
{
	struct call *call = call_of(request);
	char printable[PRINTABLE_MAX];
	struct dmm_entry checked;

	if (call->refused)
		return call->refused;
	if ((request->kind == DMM_REQ_READ || request->kind == DMM_REQ_WHOLE) && (call->entry || call->look))
		return on_read_attr(call, entry);
	if (!call->entry)
		return refuse(call, -EBADMSG);
	if (request->kind == DMM_REQ_LIST) {
		check_entry(entry, &checked, printable);
	} else {
		int ret = call->delivered ? -EBADMSG : check_object(entry, request->handle, &checked);

		if (ret < 0)
			return refuse(call, ret);
	}
	call->delivered++;
	owner_resolve(call->source, &checked);
	return refuse(call, call->entry(call->context, &checked));
}

static int on_xattr(struct dmm_request *request, const char *name, const void *value, size_t len)
{
	struct call *call = call_of(request);
	int ret;

	if (call->refused)
		return call->refused;
	ret = call->xattr ? check_xattr(name, value, len) : -EBADMSG;
	if (ret >= 0)
		ret = check_xattr_room(&call->name_bytes, name);
	if (ret < 0)
		return refuse(call, ret);
	call->delivered++;
	if (call->source->idmap && is_acl(name))
		return refuse(call, give_mapped_acl(call, name, value, len));
	return refuse(call, call->xattr(call->context, name, value, len));
}

/* Of a loss that nobody asks about nothing is made. */
static int on_loss(struct dmm_request *request, const char *kind, const char *detail)
{
	struct call *call = call_of(request);

	if (call->refused)
		return call->refused;
	if (!call->xattr || !kind || !detail)
		return refuse(call, -EBADMSG);
	call->delivered++; /* or another attempt would tell of it again */
	return call->loss ? refuse(call, call->loss(call->context, kind, detail)) : 0;
}

static int on_extent(struct dmm_request *request, const struct dmm_extent *extent)
{
	struct call *call = call_of(request);
	struct dmm_extent clipped;
	int ret;

	if (call->refused)
		return call->refused;
	ret = call->extent ? check_extent(call, extent, &clipped) : -EBADMSG;
	if (ret <= 0)
		return refuse(call, ret);
	call->delivered++;
	call->extent_end = clipped.off + clipped.len;
	return refuse(call, call->extent(call->context, &clipped));
}

static void on_complete(struct dmm_request *request)
{
	struct call *call = call_of(request);

	if (call->look && call->look->came && !call->refused && request->result == (int64_t)request->len)
		call->look->came(call->look);
	pthread_mutex_lock(&call->lock);
	call->done = true;
	pthread_cond_signal(&call->finished);
	pthread_mutex_unlock(&call->lock);
}

/* --- in flight ------------------------------------------------------------------------------------------------------------------ */

unsigned shard_here(void)
{
	int cpu = sched_getcpu();

	return cpu < 0 ? 0 : (unsigned)cpu % SHARDS;
}

static void enlist(struct call *call)
{
	call->shard = shard_here();
	struct shard *shard = &call->source->shards[call->shard];

	pthread_mutex_lock(&shard->lock);
	call->prev = NULL;
	call->next = shard->calls;
	if (call->next)
		call->next->prev = call;
	shard->calls = call;
	pthread_mutex_unlock(&shard->lock);
}

static void delist(struct call *call)
{
	struct shard *shard = &call->source->shards[call->shard];

	pthread_mutex_lock(&shard->lock);
	if (call->prev)
		call->prev->next = call->next;
	else
		shard->calls = call->next;
	if (call->next)
		call->next->prev = call->prev;
	pthread_mutex_unlock(&shard->lock);
}

static void cancel(struct call *call)
{
	const struct dmm_plugin *plugin = &call->source->module.plugin;

	atomic_store(&call->request.cancelled, true);
	if (plugin->cancel)
		plugin->cancel(call->connection->conn, &call->request);
}

/* A file is closed even then: its plugin's memory and the server's share want to be given back. */
void call_cancel_all(struct source *source)
{
	for (unsigned i = 0; i < SHARDS; i++) {
		struct shard *shard = &source->shards[i];

		pthread_mutex_lock(&shard->lock);
		for (struct call *call = shard->calls; call; call = call->next)
			if (call->request.kind != DMM_REQ_CLOSE)
				cancel(call);
		pthread_mutex_unlock(&shard->lock);
	}
}

/* True: it had to be cancelled at its deadline. The plugin has the first chance to see to that, but not the only one. */
static bool wait_for(struct call *call)
{
	uint64_t deadline_ns = call->request.deadline_ns;
	struct timespec until = {.tv_sec = (time_t)(deadline_ns / NS_PER_S), .tv_nsec = (long)(deadline_ns % NS_PER_S)};
	bool late = false;

	pthread_mutex_lock(&call->lock);
	while (!call->done) {
		if (deadline_ns == 0 || late) {
			pthread_cond_wait(&call->finished, &call->lock);
		} else if (pthread_cond_clockwait(&call->finished, &call->lock, CLOCK_MONOTONIC, &until) == ETIMEDOUT &&
		           !call->done) {
			late = true;
			pthread_mutex_unlock(&call->lock);
			cancel(call);
			pthread_mutex_lock(&call->lock);
		}
	}
	pthread_mutex_unlock(&call->lock);
	return late;
}

/* What is the same in each attempt is the call's maker's; the rest is set here. */
static void prepare(struct call *call, struct connection *connection)
{
	call->connection = connection;
	call->done = false;
	call->unwanted = false;
	call->refused = 0;
	call->extent_end = call->request.off;
	call->name_bytes = 0;
	bool unasked = call->request.kind == DMM_REQ_READ || call->request.kind == DMM_REQ_WHOLE;
	call->request.entry = call->entry || call->look || !unasked ? on_entry : NULL;
	if (call->look)
		call->look->attr_known = false;
	call->request.xattr = on_xattr;
	call->request.extent = on_extent;
	call->request.loss = on_loss;
	call->request.complete = on_complete;
	call->request.host = call;
	call->request.result = 0;
	atomic_store(&call->request.cancelled, false);
}

/* Of what a plugin is to see: false, when the source is being cancelled. */
static bool begin(struct call *call, struct connection *connection)
{
	struct source *source = call->source;
	bool closing = call->request.kind == DMM_REQ_CLOSE;
	uint64_t timeout_ns = atomic_load_explicit(&source->timeout_ns, memory_order_relaxed);

	prepare(call, connection);
	enlist(call);
	/* After enlisting: whoever cancels all either finds us in the list, or was seen here. */
	if (atomic_load(&source->cancelled) && !closing) {
		delist(call);
		return false;
	}
	if (timeout_ns && !closing)
		call->request.deadline_ns = clock_monotonic_ns() + timeout_ns;
	return true;
}

bool call_send(struct call *call, struct connection *connection)
{
	if (!begin(call, connection))
		return false;
	call->source->module.plugin.submit(connection->conn, &call->request);
	return true;
}

bool call_send_many(struct call *calls, size_t n, struct connection *connection)
{
	struct dmm_request *requests[SOURCE_AHEAD_MOST];

	for (size_t i = 0; i < n; i++) {
		requests[i] = &calls[i].request;
		if (begin(&calls[i], connection))
			continue;
		while (i--)
			delist(&calls[i]);
		return false;
	}
	calls->source->module.plugin.submit_many(connection->conn, requests, n);
	return true;
}

bool call_is_done(struct call *call)
{
	pthread_mutex_lock(&call->lock);
	bool done = call->done;
	pthread_mutex_unlock(&call->lock);
	return done;
}

void call_forgo(struct call *call)
{
	call->unwanted = true;
	cancel(call);
}

int64_t call_await(struct call *call)
{
	bool late = wait_for(call);

	delist(call);
	if (call->refused)
		return call->refused;
	if (call->request.result != -ECANCELED)
		return check_result(call);
	if (call->unwanted || atomic_load(&call->source->cancelled))
		return -ECANCELED;
	return late ? -ETIMEDOUT : -EIO; /* nobody asked for it */
}

int64_t call_once(struct call *call, struct connection *connection)
{
	bool serial = call->source->module.plugin.threads == DMM_THREADS_SERIAL;

	if (serial)
		pthread_mutex_lock(&call->source->serial);
	int64_t result = call_send(call, connection) ? call_await(call) : -ECANCELED;
	if (serial)
		pthread_mutex_unlock(&call->source->serial);
	return result;
}

int64_t call_run(struct call *call)
{
	struct retry retry = retry_begin(call->source);
	int64_t result;

	do {
		struct connection *connection;

		result = connection_take_again(call->source, &connection);
		if (result < 0)
			continue;
		result = call_once(call, connection);
		connection_give(call->source, connection, result, 0);
	} while (retry_again(&retry, result, call->delivered > 0 || call->refused));
	count_result(call->source, call->request.kind, result);
	return result < 0 && atomic_load(&call->source->cancelled) ? -ECANCELED : result;
}

/* --- counters ------------------------------------------------------------------------------------------------------------------- */

void count_result(struct source *source, enum dmm_request_kind kind, int64_t result)
{
	struct shard *shard = &source->shards[shard_here()];

	pthread_mutex_lock(&shard->lock);
	shard->counters.requests[kind]++;
	if (result < 0)
		shard->counters.errors++;
	else if (kind == DMM_REQ_READ || kind == DMM_REQ_WHOLE)
		shard->counters.bytes_read += (uint64_t)result;
	pthread_mutex_unlock(&shard->lock);
}

void count_retry(struct source *source)
{
	struct shard *shard = &source->shards[shard_here()];

	pthread_mutex_lock(&shard->lock);
	shard->counters.retries++;
	pthread_mutex_unlock(&shard->lock);
}

void source_counters(const struct source *source, struct source_counters *counters)
{
	*counters = (struct source_counters){0};
	if (source->join) {
		join_counters(source->join, counters);
		return;
	}
	for (unsigned i = 0; i < SHARDS; i++) {
		struct shard *shard = (struct shard *)&source->shards[i];

		pthread_mutex_lock(&shard->lock);
		for (unsigned kind = 0; kind < sizeof(counters->requests) / sizeof(counters->requests[0]); kind++)
			counters->requests[kind] += shard->counters.requests[kind];
		counters->bytes_read += shard->counters.bytes_read;
		counters->errors += shard->counters.errors;
		counters->retries += shard->counters.retries;
		pthread_mutex_unlock(&shard->lock);
	}
}
