/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Asking ahead: whoever deals with many objects one after the other tells what it will want of the next ones, so that their answers
 * are on their way meanwhile. One window belongs to one thread; it takes the objects in the order in which it added them.
 *
 * Each answer gets one attempt here. When that fails in a way that passes (retry.c), what was wanted is "not known": the taker asks by
 * the ordinary call, where trying again, hard and soft, and the end of the daemon are. After the first sign that nobody answers the
 * window is shut, and asks for nothing until somebody was answered; so an outage is met by one call, not by all of a window.
 *
 * Life of an object: added, its steps begun; taken when all of them have ended. Text and xattrs are one step each; data is OPEN, READ,
 * ATTR when the attributes did not come with the data, CLOSE, each begun by the window's thread when it finds the one before done,
 * so that no thread of the plugin ever has to.
 *
 * With a plugin that can only block (DMM_THREADS_CONNECTION) threads of the source ask instead (ahead_threads.c). So it is with a source
 * that is two (join.h), whatever its plugins are. A plugin without round trips gains nothing and has no window.
 */
#include "source/ahead.h"
#include "source/join.h"

#include <errno.h>
#include <stdlib.h>

/* --- one step --- */

static void note_outage(struct source_ahead *ahead, int64_t result)
{
	if (!source_is_outage((int)result) || ahead->shut)
		return;
	ahead->shut = true;
	ahead->answers = atomic_load(&ahead->source->answers);
}

static bool is_shut(struct source_ahead *ahead)
{
	if (ahead->shut && atomic_load(&ahead->source->answers) != ahead->answers)
		ahead->shut = false;
	return ahead->shut || atomic_load(&ahead->source->cancelled);
}

static void begin(struct source_ahead *ahead, struct step *step, struct connection *home)
{
	struct source *source = ahead->source;
	bool closing = step->call.request.kind == DMM_REQ_CLOSE;
	int ret = home ? connection_take_this(source, home, closing) : connection_take(source, &home);

	step->begun = false;
	if (ret < 0) {
		note_outage(ahead, ret);
		return;
	}
	step->begun = call_send(&step->call, home);
	if (!step->begun)
		connection_give(source, home, 0, 0);
}

/* Waits for it. True: that is the answer; false: it is to be asked for again. */
static bool end(struct source_ahead *ahead, struct step *step, int64_t *result)
{
	struct source *source = ahead->source;
	enum dmm_request_kind kind = step->call.request.kind;

	if (!step->begun)
		return false;
	step->begun = false;
	int64_t got = call_await(&step->call);
	int files = kind == DMM_REQ_OPEN && got >= 0 ? 1 : kind == DMM_REQ_CLOSE ? -1 : 0;
	connection_give(source, step->call.connection, got, files);
	if (got < 0 && (error_passes(got) || got == -ESTALE || got == -ECANCELED)) {
		note_outage(ahead, got);
		return false;
	}
	reach_answered(source);
	count_result(source, kind, got);
	*result = got;
	return true;
}

static void begin_by_handle(struct source_ahead *ahead, struct asked *asked, struct step *step, enum dmm_request_kind kind)
{
	step->call = (struct call)CALL(ahead->source, kind);
	step->call.request.handle = asked->wish.handle;
	if (kind == DMM_REQ_READLINK) {
		step->call.request.buf = asked->wish.link;
		step->call.request.len = asked->wish.link_size;
	} else if (kind == DMM_REQ_XATTRS) {
		step->call.xattr = asked->wish.xattr;
		step->call.loss = asked->wish.loss;
		step->call.context = asked->wish.context;
	}
	begin(ahead, step, NULL);
}

/* --- data --- */

int asked_take_attr(void *context, const struct dmm_entry *entry)
{
	struct source_found *found = context;

	found->attr = entry->attr;
	found->attr_known = true;
	return 0;
}

static void begin_stage(struct source_ahead *ahead, struct asked *asked, enum stage stage)
{
	static const enum dmm_request_kind kinds[] = {[STAGE_OPEN] = DMM_REQ_OPEN,
	                                              [STAGE_READ] = DMM_REQ_READ,
	                                              [STAGE_ATTR] = DMM_REQ_ATTR,
	                                              [STAGE_CLOSE] = DMM_REQ_CLOSE};
	struct call *call = &asked->data.call;

	asked->stage = stage;
	*call = (struct call)CALL(ahead->source, kinds[stage]);
	if (stage == STAGE_READ || stage == STAGE_CLOSE)
		call->request.file = asked->file;
	else
		call->request.handle = asked->wish.handle;
	if (stage == STAGE_READ) {
		call->request.buf = asked->wish.data;
		call->request.len = asked->wish.bytes;
		call->handle = asked->wish.handle;
	}
	if (stage == STAGE_READ || stage == STAGE_ATTR) {
		call->entry = asked_take_attr;
		call->context = &asked->found;
	}
	begin(ahead, &asked->data, asked->file ? asked->home : NULL);
}

static void opened(struct source_ahead *ahead, struct asked *asked)
{
	struct source_found *found = &asked->found;
	int64_t result;

	asked->stage = STAGE_NONE;
	found->data_known = end(ahead, &asked->data, &result);
	if (found->data_known && result >= 0) {
		asked->file = asked->data.call.request.file;
		asked->home = asked->data.call.connection;
		found->data_known = false;
		begin_stage(ahead, asked, ahead->forgone ? STAGE_CLOSE : STAGE_READ);
	} else if (found->data_known) {
		found->data = result;
	}
}

static void was_read(struct source_ahead *ahead, struct asked *asked)
{
	struct source_found *found = &asked->found;

	found->data_known = end(ahead, &asked->data, &found->data);
	if (found->data_known && found->data >= 0 && (uint64_t)found->data < asked->wish.bytes)
		found->data_known = false; /* the end, or less than there is: source_read() tells which */
	if (!found->data_known)
		found->attr_known = false;
	bool look = found->data_known && found->data >= 0 && !found->attr_known;
	begin_stage(ahead, asked, look ? STAGE_ATTR : STAGE_CLOSE);
}

/* The step of the data that is on its way has ended, or is waited for here. */
static void next_stage(struct source_ahead *ahead, struct asked *asked)
{
	int64_t result;

	switch (asked->stage) {
	case STAGE_NONE:
		break;
	case STAGE_OPEN:
		opened(ahead, asked);
		break;
	case STAGE_READ:
		was_read(ahead, asked);
		break;
	case STAGE_ATTR:
		if (!end(ahead, &asked->data, &result) || result < 0)
			asked->found.attr_known = false;
		begin_stage(ahead, asked, STAGE_CLOSE);
		break;
	case STAGE_CLOSE:
		end(ahead, &asked->data, &result);
		asked->file = NULL;
		asked->stage = STAGE_NONE;
		break;
	}
}

static bool may_go_on(struct asked *asked)
{
	return asked->stage != STAGE_NONE && (!asked->data.begun || call_is_done(&asked->data.call));
}

/* --- the window --- */

static bool has_round_trips(const struct source *source)
{
	enum dmm_thread_model threads = source->module.plugin.threads;

	return threads == DMM_THREADS_ASYNC || threads == DMM_THREADS_CONNECTION;
}

static bool needs_threads(const struct source *source)
{
	return source->join || source->module.plugin.threads == DMM_THREADS_CONNECTION;
}

static bool has_threads(const struct source_ahead *ahead)
{
	return needs_threads(ahead->source);
}

struct source_ahead *source_ahead_new(struct source *source, bool urgent)
{
	bool gains = source->join ? has_round_trips(source->join->first) || has_round_trips(source->join->second)
	                          : has_round_trips(source);

	if (gains && needs_threads(source))
		gains = ask_threads_have(source);
	struct source_ahead *ahead = gains ? calloc(1, sizeof(*ahead)) : NULL;

	if (!ahead)
		return NULL;
	ahead->source = source;
	ahead->many = !source->join && source->capabilities & DMM_CAP_WHOLE && source->module.plugin.submit_many;
	ahead->class = urgent ? LANE_DEMAND : LANE_BACKGROUND;
	pthread_mutex_init(&ahead->lock, NULL);
	pthread_cond_init(&ahead->changed, NULL);
	return ahead;
}

static struct asked *object_at(struct source_ahead *ahead, unsigned i)
{
	return &ahead->objects[(ahead->first + i) % SOURCE_AHEAD_MOST];
}

/* What has ended goes on to its next step. */
static void pump(struct source_ahead *ahead)
{
	for (unsigned i = 0; i < ahead->used; i++)
		while (may_go_on(object_at(ahead, i)))
			next_stage(ahead, object_at(ahead, i));
}

static void begin_all(struct source_ahead *ahead, struct asked *asked)
{
	const struct source_wish *wish = &asked->wish;

	if (wish->link)
		begin_by_handle(ahead, asked, &asked->link, DMM_REQ_READLINK);
	if (wish->xattr)
		begin_by_handle(ahead, asked, &asked->xattrs, DMM_REQ_XATTRS);
	if (wish->data)
		begin_stage(ahead, asked, STAGE_OPEN);
	while (may_go_on(asked))
		next_stage(ahead, asked);
}

void source_ahead_add(struct source_ahead *ahead, const struct source_wish *wish)
{
	struct asked *asked = object_at(ahead, ahead->used++);

	*asked = (struct asked){.wish = *wish, .ahead = ahead};
	if (has_threads(ahead))
		ask_threads_add(ahead, asked);
	else if (!is_shut(ahead))
		begin_all(ahead, asked);
}

/* Each object's data, wherever it is. */
static void forgo_data(struct source_ahead *ahead)
{
	pthread_mutex_lock(&ahead->lock);
	bool already = ahead->forgone;
	ahead->forgone = true;
	pthread_mutex_unlock(&ahead->lock);
	for (unsigned i = 0; i < ahead->used && !already; i++) {
		struct asked *asked = object_at(ahead, i);
		if (asked->stage != STAGE_NONE && asked->stage != STAGE_CLOSE && asked->data.begun)
			call_forgo(&asked->data.call);
	}
}

static void end_all(struct source_ahead *ahead, struct asked *asked)
{
	struct source_found *found = &asked->found;
	int64_t result;

	if (end(ahead, &asked->link, &result)) {
		found->link_known = true;
		found->link = readlink_result(asked->wish.link, asked->wish.link_size, result);
	}
	if (end(ahead, &asked->xattrs, &result)) {
		found->xattrs_known = true;
		found->xattrs = (int)result;
	}
	while (asked->stage != STAGE_NONE)
		next_stage(ahead, asked);
}

void source_ahead_take(struct source_ahead *ahead, bool data, struct source_found *found)
{
	struct asked *asked = object_at(ahead, 0);

	if (!data)
		forgo_data(ahead);
	if (has_threads(ahead)) {
		ask_threads_await(ahead, asked);
	} else {
		end_all(ahead, asked);
		pump(ahead);
	}
	*found = asked->found;
	ahead->first = (ahead->first + 1) % SOURCE_AHEAD_MOST;
	ahead->used--;
}

void source_ahead_free(struct source_ahead *ahead)
{
	struct source_found found;

	if (!ahead)
		return;
	while (ahead->used)
		source_ahead_take(ahead, false, &found);
	pthread_cond_destroy(&ahead->changed);
	pthread_mutex_destroy(&ahead->lock);
	free(ahead);
}
