/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Asking ahead of a plugin that can only block: threads of the source (source->helpers) make the calls, fewer than there are
 * connections, so that demand finds one.
 *
 * Where the plugin gives whole objects (DMM_CAP_WHOLE), up to BATCH_MOST of them are asked for at once on one connection: one round
 * trip for all. They wait for each other until they are a batch, until an object is added that cannot be in one, or until the taker would
 * have to wait. Whatever does not come that way, a single object or all of a batch whose session ended, is asked for by the ordinary
 * calls, all that one object needs in one thread; where trying again, hard and soft, is.
 */
#include "source/ahead.h"
#include "source/join.h"

#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>

/* Of the threads so many are there for those whom somebody waits for. */
#define HELPERS_RESERVED 2

/* Several batches of one window are on their way at once. */
#define BATCH_MOST 16u
#define BATCH_BYTES (512u << 10)

/* --- one by one --- */

static void ask(struct source *source, struct asked *asked, bool data)
{
	const struct source_wish *wish = &asked->wish;
	struct source_found *found = &asked->found;
	struct source_file *file = NULL;

	if (wish->link) {
		found->link = source_readlink(source, wish->handle, wish->link, wish->link_size);
		found->link_known = true;
	}
	if (wish->data && data) {
		found->data = source_file_open(source, wish->handle, &file);
		if (found->data >= 0)
			found->data = source_read(file, wish->data, 0, wish->bytes);
		found->data_known = true;
	}
	if (file && found->data == (int64_t)wish->bytes)
		source_attr(source, wish->handle, asked_take_attr, found);
	if (wish->xattr) {
		found->xattrs = source_attributes(source, wish->handle, file, wish->xattr, wish->loss, wish->context);
		found->xattrs_known = true;
	}
	source_file_close(file);
}

/* --- many at once --- */

static struct asked *after(struct asked *asked, unsigned n)
{
	struct asked *objects = asked->ahead->objects;

	return &objects[((unsigned)(asked - objects) + n) % SOURCE_AHEAD_MOST];
}

static bool comes_whole(const struct source_ahead *ahead, const struct source_wish *wish)
{
	return ahead->many && !wish->link && wish->xattr && wish->bytes <= DMM_WHOLE_MOST;
}

static int on_xattr(void *context, const char *name, const void *value, size_t len)
{
	const struct source_wish *wish = &((struct asked *)context)->wish;

	return wish->xattr(wish->context, name, value, len);
}

static int on_loss(void *context, const char *kind, const char *detail)
{
	const struct source_wish *wish = &((struct asked *)context)->wish;

	return wish->loss ? wish->loss(wish->context, kind, detail) : 0;
}

static int on_entry(void *context, const struct dmm_entry *entry)
{
	return asked_take_attr(&((struct asked *)context)->found, entry);
}

static void make_call(struct call *call, struct asked *asked, bool data)
{
	const struct source_wish *wish = &asked->wish;

	*call = (struct call)CALL(asked->ahead->source, DMM_REQ_WHOLE);
	call->request.handle = call->handle = wish->handle;
	call->xattr = on_xattr;
	call->loss = on_loss;
	call->context = asked;
	if (wish->data && data) {
		call->request.buf = wish->data;
		call->request.len = wish->bytes;
		call->entry = on_entry;
	}
}

/* Less data than there should be: the ordinary call tells why. */
static void was_answered(struct asked *asked, struct call *call, int64_t got)
{
	struct source_found *found = &asked->found;

	asked->partly = got < 0 && call->delivered > 0;
	if (got >= 0) {
		reach_answered(call->source);
		found->xattrs_known = true;
		found->data_known = call->request.len > 0 && (uint64_t)got == call->request.len;
		found->data = got;
	}
	if (!found->data_known)
		found->attr_known = false;
	if (got != -EOPNOTSUPP)
		count_result(call->source, DMM_REQ_WHOLE, got);
}

/* Those that do not come stay unknown. */
static void ask_whole(struct asked *first, bool data)
{
	struct source *source = first->ahead->source;
	struct call calls[BATCH_MOST];
	struct connection *connection;
	int64_t lost = 0;

	if (connection_take_again(source, &connection) < 0)
		return;
	for (unsigned i = 0; i < first->batch; i++)
		make_call(&calls[i], after(first, i), data);
	bool sent = call_send_many(calls, first->batch, connection);
	for (unsigned i = 0; i < first->batch && sent; i++) {
		int64_t got = call_await(&calls[i]);
		was_answered(after(first, i), &calls[i], got);
		lost = error_ends_connection(got) ? got : lost;
	}
	connection_give(source, connection, lost, 0);
}

static bool is_known(const struct asked *asked)
{
	return asked->partly || asked->found.xattrs_known;
}

static void end(struct source_ahead *ahead, struct asked *asked)
{
	LOCKED(&ahead->lock);
	asked->done = true;
	pthread_cond_signal(&ahead->changed);
}

/* At once, so that the taker adds as many as a batch has before it waits again. Keeps the others in `objects`; how many. */
static unsigned end_known(struct source_ahead *ahead, struct asked **objects, unsigned n)
{
	unsigned unknown = 0;
	LOCKED(&ahead->lock);

	for (unsigned i = 0; i < n; i++) {
		if (is_known(objects[i]))
			objects[i]->done = true;
		else
			objects[unknown++] = objects[i];
	}
	pthread_cond_signal(&ahead->changed);
	return unknown;
}

/* Each object may be taken, and be another one's, as soon as it has ended. */
static void run_batch(struct lane_job *job)
{
	struct asked *first = (struct asked *)((char *)job - offsetof(struct asked, job));
	struct source_ahead *ahead = first->ahead;
	struct asked *objects[BATCH_MOST];
	unsigned n = first->batch;

	pthread_mutex_lock(&ahead->lock);
	bool data = !ahead->forgone;
	pthread_mutex_unlock(&ahead->lock);
	for (unsigned i = 0; i < n; i++)
		objects[i] = after(first, i);
	if (comes_whole(ahead, &first->wish)) {
		ask_whole(first, data);
		n = end_known(ahead, objects, n);
	}
	for (unsigned i = 0; i < n; i++) {
		ask(ahead->source, objects[i], data);
		end(ahead, objects[i]);
	}
}

/* --- the window's thread --- */

bool ask_threads_have(struct source *source)
{
	const struct lane_options options = {.name = "ask",
	                                     .max = source->pool.wanted / 2,
	                                     .reserve = HELPERS_RESERVED < source->pool.wanted / 2 ? HELPERS_RESERVED : 0};
	LOCKED(&source->sleep_lock);

	if (source->helpers || source->pool.wanted < 4)
		return source->helpers != NULL;
	int ret = lane_start(&options, &source->helpers);
	if (ret < 0)
		log_warning("no threads to ask the source ahead: error=%s", errno_name(ret));
	return ret >= 0;
}

/* What is refused, since the threads are ending, is not known. */
static void submit(struct source_ahead *ahead, struct asked *first, unsigned n)
{
	first->batch = n;
	first->job.run = run_batch;
	if (lane_submit(ahead->source->helpers, &first->job, ahead->class))
		return; /* and maybe done already */
	for (unsigned i = 0; i < n; i++)
		end(ahead, after(first, i));
}

static void send_unsent(struct source_ahead *ahead)
{
	unsigned n = ahead->unsent;

	ahead->unsent = 0;
	ahead->waiting = 0;
	if (n > 0)
		submit(ahead, &ahead->objects[(ahead->first + ahead->used - n) % SOURCE_AHEAD_MOST], n);
}

void ask_threads_add(struct source_ahead *ahead, struct asked *asked)
{
	if (!comes_whole(ahead, &asked->wish)) {
		ahead->used--; /* without this one */
		send_unsent(ahead);
		ahead->used++;
		submit(ahead, asked, 1);
		return;
	}
	ahead->unsent++;
	ahead->waiting += asked->wish.bytes;
	if (ahead->unsent == BATCH_MOST || ahead->waiting >= BATCH_BYTES)
		send_unsent(ahead);
}

static bool is_done(struct source_ahead *ahead, const struct asked *asked)
{
	LOCKED(&ahead->lock);
	return asked->done;
}

void ask_threads_await(struct source_ahead *ahead, struct asked *asked)
{
	if (!is_done(ahead, asked))
		send_unsent(ahead);
	LOCKED(&ahead->lock);
	while (!asked->done)
		pthread_cond_wait(&ahead->changed, &ahead->lock);
}
