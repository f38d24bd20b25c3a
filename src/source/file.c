/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Open files. A source_file outlives the plugin's own file: when the connection that carried it is lost, or the server does not
 * know it any more (ESTALE), it is opened anew by its handle, once for all who use it. A directory is not, once its listing has
 * begun: nothing says that another listing would go on at the same place. Nor is a file whose descriptor was given out.
 *
 * Life of an opening: made with two references, the file's and that of its first user; replaced in file->now by a newer one, or
 * taken out by source_file_close(); closed by whoever drops the last reference.
 *
 * Where a connection carries one request at a time (DMM_THREADS_CONNECTION) a file that several read at once has further openings, each
 * on a connection of its own. Whoever finds all in use opens it on another connection if one is free; if not, one is made, and meanwhile he
 * waits for whatever comes first: that one, or an opening that is free again.
 *
 * Of a source that is two (join.h) a file is the first side's own; a directory stands for a listing of both, and does nothing else.
 */
#include "source/join.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct opening {
	struct connection *connection;
	struct dmm_file *file;
	unsigned references;
};

struct source_file {
	struct source *source;
	pthread_mutex_t lock; /* guards what follows; held while the file is opened anew, so that this is done once */
	struct opening *now;  /* NULL while there is none */
	struct opening *further[FURTHER_MOST];
	unsigned opening;            /* further ones that are being made */
	unsigned waiting;            /* for any of them */
	bool pinned;                 /* must stay the one it is */
	uint64_t listed;             /* entries so far; of whoever lists it */
	struct join_listing *joined; /* a directory of two sources: nothing else of this is used */
	size_t handle_len;
	unsigned char handle[];
};

/* On a connection that was taken for it, which is given back. */
static int64_t open_on(struct source *source, struct dmm_bytes handle, struct connection *connection, struct opening **result)
{
	struct opening *opening = malloc(sizeof(*opening));
	struct call call = CALL(source, DMM_REQ_OPEN);

	call.request.handle = handle;
	int64_t ret = opening ? call_once(&call, connection) : -ENOMEM;
	connection_give(source, connection, ret, ret >= 0 ? 1 : 0);
	if (ret < 0) {
		free(opening);
		return ret;
	}
	*opening = (struct opening){.connection = connection, .file = call.request.file, .references = 1};
	*result = opening;
	return 0;
}

static int64_t open_once(struct source *source, struct dmm_bytes handle, struct opening **result)
{
	struct connection *connection;
	int64_t ret = connection_take_again(source, &connection);

	return ret < 0 ? ret : open_on(source, handle, connection, result);
}

static void opening_close(struct source *source, struct opening *opening)
{
	struct call call = CALL(source, DMM_REQ_CLOSE);
	int64_t ret;

	call.request.file = opening->file;
	connection_take_this(source, opening->connection, true);
	ret = call_once(&call, opening->connection);
	connection_give(source, opening->connection, ret, -1);
	count_result(source, DMM_REQ_CLOSE, ret);
	free(opening);
}

static int open_joined(struct source *source, struct dmm_bytes bytes, struct source_file **result)
{
	struct join_handle handle;
	int ret = join_handle_parse(bytes, &handle);

	if (ret < 0)
		return ret;
	if (!(handle.flags & JOIN_DIR))
		return source_file_open(source->join->first, handle.first, result);
	struct source_file *dir = calloc(1, sizeof(*dir));
	if (!dir)
		return -ENOMEM;
	dir->source = source;
	ret = join_listing_open(source->join, bytes, 0, &dir->joined);
	if (ret < 0) {
		free(dir);
		return ret;
	}
	*result = dir;
	return 0;
}

int source_file_open(struct source *source, struct dmm_bytes handle, struct source_file **result)
{
	struct retry retry = retry_begin(source);
	struct source_file *file;
	int64_t ret;

	if (source->join)
		return open_joined(source, handle, result);
	if (!handle.data || handle.len == 0 || handle.len > DMM_HANDLE_MAX)
		return -EINVAL;
	file = malloc(sizeof(*file) + handle.len);
	if (!file)
		return -ENOMEM;
	*file = (struct source_file){.source = source, .handle_len = handle.len};
	memcpy(file->handle, handle.data, handle.len);
	do
		ret = open_once(source, handle, &file->now);
	while (retry_again(&retry, ret, false));
	count_result(source, DMM_REQ_OPEN, ret);
	if (ret < 0) {
		free(file);
		return atomic_load(&source->cancelled) ? -ECANCELED : (int)ret;
	}
	pthread_mutex_init(&file->lock, NULL);
	*result = file;
	return 0;
}

void source_file_close(struct source_file *file)
{
	if (!file)
		return;
	if (file->joined) {
		join_listing_close(file->joined);
		free(file);
		return;
	}
	if (file->now)
		opening_close(file->source, file->now);
	for (unsigned i = 0; i < FURTHER_MOST; i++)
		if (file->further[i])
			opening_close(file->source, file->further[i]);
	pthread_mutex_destroy(&file->lock);
	free(file);
}

/* Where the file has it; NULL: no more. */
static struct opening **place_of(struct source_file *file, const struct opening *opening)
{
	for (unsigned i = 0; i < FURTHER_MOST; i++)
		if (file->further[i] == opening)
			return &file->further[i];
	return file->now == opening ? &file->now : NULL;
}

/* Gives back a use. When it failed because this opening is of no use any more, the next user opens anew. */
static void drop(struct source_file *file, struct opening *opening, bool useless)
{
	bool last;

	pthread_mutex_lock(&file->lock);
	struct opening **place = place_of(file, opening);
	if (useless && place && !file->pinned) {
		*place = NULL;
		opening->references--;
	}
	last = --opening->references == 0;
	pthread_mutex_unlock(&file->lock);
	if (last)
		opening_close(file->source, opening);
}

static int64_t use(struct source_file *file, struct opening **opening)
{
	int64_t ret = 0;

	pthread_mutex_lock(&file->lock);
	if (!file->now)
		ret = open_once(file->source, (struct dmm_bytes){file->handle, file->handle_len}, &file->now);
	if (ret >= 0) {
		*opening = file->now;
		file->now->references++;
	}
	pthread_mutex_unlock(&file->lock);
	return ret;
}

/* --- of a file that several read at once --- */

/* Under lock: of its own, or further. */
static struct opening *opening_at(struct source_file *file, unsigned i)
{
	return i == 0 ? file->now : file->further[i - 1];
}

/* Takes the first of its connections that is free: 1. 0: all are in use, and *wanted more openings are, for as many readers. -ENOTCONN: it
 * is broken; -ECANCELED. */
static int64_t try_openings(struct source_file *file, struct opening **opening, unsigned *wanted)
{
	unsigned have = file->opening, further = file->opening, readers = file->waiting;

	for (unsigned i = 0; i <= FURTHER_MOST; i++) {
		struct opening *at = opening_at(file, i);
		if (!at)
			continue;
		int64_t ret = connection_try_this(file->source, at->connection);
		if (ret != 0) {
			at->references++;
			*opening = at;
			return ret;
		}
		have++;
		further += i > 0;
		readers += at->references - 1;
	}
	unsigned vacant = file->pinned ? 0 : FURTHER_MOST - further;
	*wanted = readers <= have ? 0 : readers - have < vacant ? readers - have : vacant;
	return 0;
}

/* Under lock. */
static struct opening **vacant_place(struct source_file *file)
{
	struct opening **place = file->further;

	while (*place)
		place++;
	return place;
}

/* Under lock: is it one of ours, which became free just now? */
static bool is_ours(struct source_file *file, const struct connection *connection)
{
	for (unsigned i = 0; i <= FURTHER_MOST; i++) {
		struct opening *at = opening_at(file, i);
		if (at && at->connection == connection)
			return true;
	}
	return false;
}

/* One more on a connection that nobody needs now, opened without the lock and beside others. -EAGAIN: there is no such connection. */
static int64_t open_further(struct source_file *file, unsigned wanted)
{
	struct connection *connection = connection_try_unused(file->source, wanted);
	struct opening *made;

	if (!connection)
		return -EAGAIN;
	if (is_ours(file, connection)) {
		connection_give(file->source, connection, 0, 0);
		return 0;
	}
	file->opening++;
	pthread_mutex_unlock(&file->lock);
	int64_t ret = open_on(file->source, (struct dmm_bytes){file->handle, file->handle_len}, connection, &made);
	pthread_mutex_lock(&file->lock);
	file->opening--;
	if (ret >= 0)
		*vacant_place(file) = made;
	return ret;
}

/* Under lock: it has none of its own, and no further ones. */
static bool has_none(struct source_file *file)
{
	for (unsigned i = 0; i <= FURTHER_MOST; i++)
		if (opening_at(file, i))
			return false;
	return true;
}

/* Any opening, with its connection. */
static int64_t acquire_any(struct source_file *file, struct opening **opening)
{
	bool refused = false;
	unsigned wanted = 0;
	int64_t ret = 0;

	pthread_mutex_lock(&file->lock);
	file->waiting++;
	while (ret == 0) {
		uint64_t changes = connection_changes(file->source);
		if (has_none(file))
			ret = open_once(file->source, (struct dmm_bytes){file->handle, file->handle_len}, &file->now);
		if (ret >= 0)
			ret = try_openings(file, opening, &wanted);
		if (ret != 0)
			break;
		int64_t further = wanted && !refused ? open_further(file, wanted) : -EAGAIN;
		refused = refused || (further < 0 && further != -EAGAIN); /* then those there are have to do */
		if (further != -EAGAIN)
			continue;
		pthread_mutex_unlock(&file->lock);
		connection_await_change(file->source, changes);
		pthread_mutex_lock(&file->lock);
	}
	file->waiting--;
	pthread_mutex_unlock(&file->lock);
	return ret;
}

static void pin(struct source_file *file)
{
	pthread_mutex_lock(&file->lock);
	file->pinned = true;
	pthread_mutex_unlock(&file->lock);
}

/* An opening and its connection. */
static int64_t acquire(struct source_file *file, struct opening **opening)
{
	int64_t ret = use(file, opening);

	return ret < 0 ? ret : connection_take_this(file->source, (*opening)->connection, false);
}

int64_t file_acquire(struct source_file *file, struct call *call, struct opening **opening)
{
	bool any = call->request.kind == DMM_REQ_READ && file->source->pool.exclusive;

	*opening = NULL;
	int64_t ret = any ? acquire_any(file, opening) : acquire(file, opening);
	if (ret >= 0)
		call->request.file = (*opening)->file;
	else if (*opening)
		drop(file, *opening, error_ends_connection(ret));
	return ret;
}

void file_release(struct source_file *file, const struct call *call, struct opening *opening, int64_t result)
{
	connection_give(file->source, opening->connection, result, 0);
	drop(file, opening, !call->refused && (error_ends_connection(result) || result == -ESTALE));
}

struct connection *opening_connection(const struct opening *opening)
{
	return opening->connection;
}

struct source *file_source(const struct source_file *file)
{
	return file->joined ? NULL : file->source;
}

struct dmm_bytes file_handle(const struct source_file *file)
{
	return (struct dmm_bytes){file->handle, file->handle_len};
}

static int64_t attempt(struct source_file *file, struct call *call)
{
	struct opening *opening;
	int64_t ret = file_acquire(file, call, &opening);

	if (ret < 0)
		return ret;
	ret = call_once(call, opening->connection);
	file_release(file, call, opening, ret);
	return ret;
}

/* What was open is gone, and another opening would not do. */
static bool is_lost(struct source_file *file, int64_t result)
{
	bool pinned;

	if (!error_ends_connection(result) && result != -ESTALE)
		return false;
	pthread_mutex_lock(&file->lock);
	pinned = file->pinned;
	pthread_mutex_unlock(&file->lock);
	return pinned;
}

static int64_t run(struct source_file *file, struct call *call)
{
	struct retry retry = retry_begin(file->source);
	int64_t ret;

	if (file->joined)
		return -EISDIR;
	do
		ret = attempt(file, call);
	while (!is_lost(file, ret) && retry_again(&retry, ret, call->delivered > 0 || call->refused));
	count_result(file->source, call->request.kind, ret);
	return ret < 0 && atomic_load(&file->source->cancelled) ? -ECANCELED : ret;
}

int source_list(struct source_file *dir, source_entry_fn entry, void *context)
{
	struct call call = CALL(dir->source, DMM_REQ_LIST);
	struct gather gather = {0};
	int64_t ret;

	if (dir->joined)
		return join_list(dir->joined, entry, context);
	call.entry = gather_add;
	call.context = &gather;
	ret = run(dir, &call);
	if (ret > 0 && !dir->pinned)
		pin(dir);
	int refused = ret > 0 ? gather_deliver(&gather, entry, context) : 0;
	gather_free(&gather);
	if (refused < 0 || ret < 0)
		return refused < 0 ? refused : (int)ret;
	dir->listed += (uint64_t)ret;
	uint64_t most = atomic_load_explicit(&dir->source->entries_max, memory_order_relaxed);
	return most && dir->listed > most ? -EOVERFLOW : (int)ret;
}

int source_unlisted(const struct source_file *dir)
{
	return dir->joined ? join_listing_unlisted(dir->joined) : 0;
}

/* A short read is followed by another one: only nothing is the end of the file. Who asks for what is there pays nothing. */
int64_t source_read(struct source_file *file, void *buf, uint64_t off, uint64_t len)
{
	uint64_t done = 0;

	while (done < len) {
		struct call call = CALL(file->source, DMM_REQ_READ);
		int64_t ret;

		call.request.off = off + done;
		call.request.len = len - done;
		call.request.buf = (char *)buf + done;
		ret = run(file, &call);
		if (ret < 0)
			return ret;
		if (ret == 0)
			break;
		done += (uint64_t)ret;
	}
	return (int64_t)done;
}

/* What is put together of several reads has come only with the last of them, and has no attributes that are of all. */
int64_t source_read_look(struct source_file *file, void *buf, uint64_t off, uint64_t len, struct source_look *look)
{
	struct call call = CALL(file->source, DMM_REQ_READ);

	call.request.off = off;
	call.request.len = len;
	call.request.buf = buf;
	call.handle = (struct dmm_bytes){file->handle, file->handle_len};
	call.look = look;
	return file_read_rest(file, buf, off, len, run(file, &call), look);
}

int64_t file_read_rest(struct source_file *file, void *buf, uint64_t off, uint64_t len, int64_t got, struct source_look *look)
{
	if (got <= 0 || (uint64_t)got == len)
		return got;
	look->attr_known = false;
	int64_t rest = source_read(file, (char *)buf + got, off + (uint64_t)got, len - (uint64_t)got);
	if (rest >= 0 && look->came && (uint64_t)(got + rest) == len)
		look->came(look);
	return rest < 0 ? rest : got + rest;
}

int source_extents(struct source_file *file, uint64_t off, uint64_t len, source_extent_fn extent, void *context)
{
	struct call call = CALL(file->source, DMM_REQ_EXTENTS);

	call.request.off = off;
	call.request.len = len;
	call.extent = extent;
	call.context = context;
	return (int)run(file, &call);
}

int source_file_xattrs(struct source_file *file, source_xattr_fn xattr, source_loss_fn loss, void *context)
{
	struct call call = CALL(file->source, DMM_REQ_XATTRS);

	call.xattr = xattr;
	call.loss = loss;
	call.context = context;
	return (int)run(file, &call);
}

bool source_takes_many(const struct source *source)
{
	if (source->join)
		return source_takes_many(source->join->first);
	return source->module.plugin.threads == DMM_THREADS_ASYNC ||
	       (source->pool.exclusive && source->pool.wanted > FURTHER_MOST);
}

int source_file_fd(struct source_file *file)
{
	const struct dmm_plugin *plugin = &file->source->module.plugin;
	struct opening *opening;
	int64_t ret;

	if (file->joined || !plugin->file_fd || !(file->source->capabilities & DMM_CAP_FD))
		return -EOPNOTSUPP;
	ret = use(file, &opening);
	if (ret < 0)
		return (int)ret;
	pin(file);
	ret = plugin->file_fd(opening->file);
	drop(file, opening, false);
	return (int)ret;
}
