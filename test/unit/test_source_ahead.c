/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Asking ahead, of a source that answers in any order, fails some requests, never answers others, goes away, and is cancelled; and
 * of one that blocks. Whatever happens: objects come in the order in which they were added, what is known is right, and each file
 * that was opened is closed.
 */
#include "sim.h"

#include "base/clock.h"

#include <pthread.h>

#define ANSWERS 4 /* threads of the plugin */
#define OBJECTS 500u
#define BYTES 100u

/* --- a plugin with many requests on their way --- */

struct waiting {
	struct dmm_conn *conn;
	struct dmm_request *request;
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct waiting all[4096];
	unsigned n, most, seed;
	bool stop;
	enum { ANSWER_ALL, ANSWER_ALL_BUT_READS, ANSWER_NONE } mute; /* but what is cancelled, and closing */
	pthread_t threads[ANSWERS];
	int64_t (*answer)(unsigned object, struct dmm_conn *conn, struct dmm_request *request);
	atomic_uint attempts[OBJECTS];
} plugin = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static unsigned object_of(const struct dmm_request *request)
{
	unsigned object = 0;

	if (request->handle.data)
		memcpy(&object, request->handle.data, sizeof(object));
	return object;
}

/* One that may be answered, anywhere in what waits; -1: none. */
static int pick(void)
{
	unsigned from = plugin.n ? (unsigned)rand_r(&plugin.seed) % plugin.n : 0;

	for (unsigned i = 0; i < plugin.n; i++) {
		unsigned at = (from + i) % plugin.n;
		const struct dmm_request *request = plugin.all[at].request;
		if (plugin.mute == ANSWER_ALL || (plugin.mute == ANSWER_ALL_BUT_READS && request->kind != DMM_REQ_READ) ||
		    request->kind == DMM_REQ_CLOSE || atomic_load(&request->cancelled))
			return (int)at;
	}
	return -1;
}

static void *answer_them(void *context)
{
	(void)context;
	for (;;) {
		int at;
		pthread_mutex_lock(&plugin.lock);
		while ((at = pick()) < 0 && !plugin.stop)
			pthread_cond_wait(&plugin.changed, &plugin.lock);
		if (at < 0) {
			pthread_mutex_unlock(&plugin.lock);
			return NULL;
		}
		struct waiting one = plugin.all[at];
		plugin.all[at] = plugin.all[--plugin.n];
		pthread_mutex_unlock(&plugin.lock);
		bool cancelled = atomic_load(&one.request->cancelled) && one.request->kind != DMM_REQ_CLOSE;
		one.request->result = cancelled ? -ECANCELED : plugin.answer(object_of(one.request), one.conn, one.request);
		one.request->complete(one.request);
	}
}

static void submit_async(struct dmm_conn *conn, struct dmm_request *request)
{
	pthread_mutex_lock(&plugin.lock);
	sim.submitted += request->kind != DMM_REQ_CLOSE;
	plugin.all[plugin.n++] = (struct waiting){conn, request};
	if (plugin.n > plugin.most)
		plugin.most = plugin.n;
	pthread_cond_broadcast(&plugin.changed);
	pthread_mutex_unlock(&plugin.lock);
}

static void wake(struct dmm_conn *conn, struct dmm_request *request)
{
	(void)conn, (void)request;
	pthread_mutex_lock(&plugin.lock);
	pthread_cond_broadcast(&plugin.changed);
	pthread_mutex_unlock(&plugin.lock);
}

static void set_mute(int mute)
{
	pthread_mutex_lock(&plugin.lock);
	plugin.mute = mute;
	pthread_cond_broadcast(&plugin.changed);
	pthread_mutex_unlock(&plugin.lock);
}

static unsigned char byte_of(unsigned object, unsigned i)
{
	return (unsigned char)(object * 7 + i);
}

static int tell_attr(unsigned object, struct dmm_request *request)
{
	struct dmm_entry entry = {.name = "", .attr = {.mode = 0100644, .size = BYTES, .fileid = object}};

	return request->entry(request, &entry);
}

/* The file that a request is about: an opened file is the number of its object behind that of its connection. */
static int64_t answer_well(unsigned object, struct dmm_conn *conn, struct dmm_request *request)
{
	int *file = (int *)request->file;
	char text[32];

	switch (request->kind) {
	case DMM_REQ_OPEN:
		file = malloc(2 * sizeof(*file));
		file[0] = sim_number(conn);
		file[1] = (int)object;
		request->file = (struct dmm_file *)file;
		sim.files_opened++;
		return 0;
	case DMM_REQ_CLOSE:
		return sim_answer(conn, request);
	case DMM_REQ_READ:
		ck_assert_int_eq(file[0], sim_number(conn));
		for (unsigned i = 0; i < request->len; i++)
			((unsigned char *)request->buf)[i] = byte_of((unsigned)file[1], i);
		return (int64_t)request->len;
	case DMM_REQ_ATTR:
		return tell_attr(object, request) < 0 ? -EBADMSG : 1;
	case DMM_REQ_READLINK:
		snprintf(request->buf, request->len, "to-%u", object);
		return (int64_t)strlen(request->buf);
	case DMM_REQ_XATTRS:
		snprintf(text, sizeof(text), "user.%u", file ? (unsigned)file[1] : object);
		return request->xattr(request, text, "value", 5);
	default:
		return -EOPNOTSUPP;
	}
}

static void setup(void)
{
	sim_setup();
	plugin.n = plugin.most = 0;
	plugin.seed = 4711;
	plugin.stop = false;
	plugin.mute = ANSWER_ALL;
	plugin.answer = answer_well;
	memset((void *)plugin.attempts, 0, sizeof(plugin.attempts));
	sim.plugin->threads = DMM_THREADS_ASYNC;
	sim.plugin->submit = submit_async;
	sim.plugin->cancel = wake;
	for (int i = 0; i < ANSWERS; i++)
		ck_assert_int_eq(pthread_create(&plugin.threads[i], NULL, answer_them, NULL), 0);
}

static void teardown(void)
{
	pthread_mutex_lock(&plugin.lock);
	plugin.stop = true;
	pthread_cond_broadcast(&plugin.changed);
	pthread_mutex_unlock(&plugin.lock);
	for (int i = 0; i < ANSWERS; i++)
		pthread_join(plugin.threads[i], NULL);
	sim_teardown();
}

/* --- who asks --- */

struct want {
	unsigned object;
	char link[32], xattr[32];
	unsigned n_xattrs;
	unsigned char data[BYTES];
};

static struct want wants[OBJECTS];

static int keep_xattr(void *context, const char *name, const void *value, size_t len)
{
	struct want *want = context;

	ck_assert_int_eq(len, 5);
	snprintf(want->xattr, sizeof(want->xattr), "%s", name);
	want->n_xattrs++;
	return 0;
}

static void add(struct source_ahead *ahead, unsigned object)
{
	struct want *want = &wants[object];

	*want = (struct want){.object = object};
	source_ahead_add(ahead, &(struct source_wish){.handle = {&want->object, sizeof(want->object)},
	                                              .link = want->link,
	                                              .link_size = sizeof(want->link),
	                                              .xattr = keep_xattr,
	                                              .context = want,
	                                              .data = want->data,
	                                              .bytes = BYTES});
}

static void check_data(unsigned object)
{
	for (unsigned i = 0; i < BYTES; i++)
		ck_assert_uint_eq(wants[object].data[i], byte_of(object, i));
}

static void check_all(unsigned object, const struct source_found *found)
{
	char text[32];

	ck_assert(found->link_known && found->xattrs_known && found->data_known && found->attr_known);
	snprintf(text, sizeof(text), "to-%u", object);
	ck_assert_str_eq(wants[object].link, text);
	ck_assert_int_eq(found->link, (int)strlen(text));
	snprintf(text, sizeof(text), "user.%u", object);
	ck_assert_str_eq(wants[object].xattr, text);
	ck_assert_uint_eq(wants[object].n_xattrs, 1);
	ck_assert_int_eq(found->xattrs, 0);
	ck_assert_int_eq(found->data, BYTES);
	check_data(object);
	ck_assert_uint_eq(found->attr.fileid, object);
}

/* All objects through a full window. */
static void run_all(struct source_ahead *ahead, void (*check)(unsigned object, const struct source_found *found))
{
	struct source_found found;
	unsigned added = 0;

	for (set_mute(ANSWER_NONE); added < SOURCE_AHEAD_MOST; added++)
		add(ahead, added);
	set_mute(ANSWER_ALL);
	for (unsigned taken = 0; taken < OBJECTS; taken++) {
		while (added < OBJECTS && added - taken < SOURCE_AHEAD_MOST)
			add(ahead, added++);
		source_ahead_take(ahead, true, &found);
		check(taken, &found);
	}
}

/* The same of a source that answers so. */
static void run_source(int64_t (*answer)(unsigned object, struct dmm_conn *conn, struct dmm_request *request),
                       void (*check)(unsigned object, const struct source_found *found))
{
	plugin.answer = answer;
	struct source *source = sim_open();
	struct source_ahead *ahead = source_ahead_new(source, false);
	run_all(ahead, check);
	source_ahead_free(ahead);
	source_close(source);
}

START_TEST(test_any_order)
{
	struct source *source = sim_open();
	struct source_ahead *ahead = source_ahead_new(source, false);
	struct source_counters counters;
	ck_assert_ptr_nonnull(ahead);
	run_all(ahead, check_all);
	ck_assert_uint_gt(plugin.most, SOURCE_AHEAD_MOST); /* two for each object at least */
	source_counters(source, &counters);
	ck_assert_uint_eq(counters.requests[DMM_REQ_READ], OBJECTS);
	ck_assert_uint_eq(counters.bytes_read, OBJECTS * BYTES);
	ck_assert_uint_eq(counters.errors, 0);
	source_ahead_free(ahead);
	source_close(source);
}
END_TEST

/* --- attributes that come with the data --- */

static int64_t answer_with_attr(unsigned object, struct dmm_conn *conn, struct dmm_request *request)
{
	ck_assert_int_ne(request->kind, DMM_REQ_ATTR);
	if (request->kind == DMM_REQ_READ) {
		ck_assert_ptr_nonnull(request->entry);
		int ret = tell_attr((unsigned)((int *)request->file)[1], request);
		if (ret < 0)
			return ret;
	}
	return answer_well(object, conn, request);
}

START_TEST(test_attr_with_data)
{
	run_source(answer_with_attr, check_all);
}
END_TEST

/* Attributes that cannot be right are asked for, and do not spoil the data. */
static int64_t answer_with_bad_attr(unsigned object, struct dmm_conn *conn, struct dmm_request *request)
{
	struct dmm_entry entry = {.name = "", .attr = {.mode = 0, .size = UINT64_MAX}};

	if (request->kind == DMM_REQ_READ && request->entry(request, &entry) < 0)
		return -EBADMSG;
	return answer_well(object, conn, request);
}

START_TEST(test_bad_attr_with_data)
{
	run_source(answer_with_bad_attr, check_all);
}
END_TEST

/* An ordinary read is not offered any. */
static int64_t answer_unasked(unsigned object, struct dmm_conn *conn, struct dmm_request *request)
{
	if (request->kind == DMM_REQ_READ)
		ck_assert_ptr_null(request->entry);
	return answer_well(object, conn, request);
}

START_TEST(test_plain_read)
{
	unsigned object = 3;
	struct source_file *file;
	plugin.answer = answer_unasked;
	struct source *source = sim_open();
	ck_assert_int_eq(source_file_open(source, (struct dmm_bytes){&object, sizeof(object)}, &file), 0);
	ck_assert_int_eq(source_read(file, wants[3].data, 0, BYTES), BYTES);
	check_data(3);
	source_file_close(file);
	source_close(source);
}
END_TEST

/* --- failures --- */

/* By the last digit: 1 cannot be opened, 2 cannot be read, 3 passes, 4 is short, 5 gives no attributes, 6 is stale, 7 cannot be
 * linked and has bad xattrs. */
static int64_t answer_badly(unsigned object, struct dmm_conn *conn, struct dmm_request *request)
{
	unsigned file = request->kind == DMM_REQ_READ ? (unsigned)((int *)request->file)[1] : object;

	switch (request->kind) {
	case DMM_REQ_OPEN:
		return object % 10 == 1 ? -EACCES : answer_well(object, conn, request);
	case DMM_REQ_READ:
		if (file % 10 == 4)
			request->len = BYTES / 2;
		if (file % 10 == 3 || file % 10 == 6)
			return file % 10 == 3 ? -EREMOTEIO : -ESTALE;
		return file % 10 == 2 ? -EIO : answer_well(object, conn, request);
	case DMM_REQ_ATTR:
		return object % 10 == 5 ? -EIO : answer_well(object, conn, request);
	case DMM_REQ_READLINK:
		return object % 10 == 7 ? -EINVAL : answer_well(object, conn, request);
	case DMM_REQ_XATTRS:
		return object % 10 == 7 ? request->xattr(request, "", "x", 1) : answer_well(object, conn, request);
	default:
		return answer_well(object, conn, request);
	}
}

static void check_bad(unsigned object, const struct source_found *found)
{
	unsigned digit = object % 10;

	ck_assert(found->link_known && found->xattrs_known);
	ck_assert_int_eq(found->link < 0, digit == 7);
	ck_assert_int_eq(found->xattrs, digit == 7 ? -EBADMSG : 0);
	ck_assert_int_eq(found->data_known, digit != 3 && digit != 4 && digit != 6);
	if (found->data_known)
		ck_assert_int_eq(found->data, digit == 1 ? -EACCES : digit == 2 ? -EIO : (int)BYTES);
	ck_assert_int_eq(found->attr_known, found->data_known && found->data == BYTES && digit != 5);
	if (found->data_known && found->data == BYTES)
		check_data(object);
}

START_TEST(test_failures)
{
	run_source(answer_badly, check_bad);
}
END_TEST

/* The session breaks now and then: what was on it is not known, the rest goes on with another one. */
static int64_t answer_and_break(unsigned object, struct dmm_conn *conn, struct dmm_request *request)
{
	if (request->kind == DMM_REQ_XATTRS && object % 50 == 49 && plugin.attempts[object]++ == 0)
		return -ECONNRESET;
	return answer_well(object, conn, request);
}

static void check_known(unsigned object, const struct source_found *found)
{
	if (found->link_known)
		ck_assert_int_gt(found->link, 0);
	if (found->data_known && found->data == BYTES)
		check_data(object);
}

START_TEST(test_lost_connections)
{
	run_source(answer_and_break, check_known);
	ck_assert_int_ge(sim.connects, 2);
}
END_TEST

/* --- no answers --- */

START_TEST(test_silence_is_met_once)
{
	struct source_options options = sim_options();
	struct source_found found;
	char text[16];
	options.timeout_ms = 50;
	options.tries = 1;
	struct source *source = sim_open_with(&options);
	struct source_ahead *ahead = source_ahead_new(source, false);
	unsigned object = 1;
	set_mute(ANSWER_NONE);
	for (unsigned i = 0; i < SOURCE_AHEAD_MOST; i++)
		add(ahead, i);
	source_ahead_take(ahead, true, &found);
	ck_assert(!found.link_known && !found.xattrs_known && !found.data_known);
	int submitted = sim.submitted;
	for (unsigned i = 1; i < OBJECTS; i++) { /* the window is shut: the rest is not asked for, and not waited for */
		add(ahead, (i + SOURCE_AHEAD_MOST - 1) % OBJECTS);
		source_ahead_take(ahead, true, &found);
		ck_assert(!found.link_known && !found.xattrs_known && !found.data_known);
	}
	ck_assert_int_eq(sim.submitted, submitted);
	set_mute(ANSWER_ALL);
	while (source_readlink(source, (struct dmm_bytes){&object, sizeof(object)}, text, sizeof(text)) < 0)
		;
	for (unsigned i = 1; i < SOURCE_AHEAD_MOST; i++)
		source_ahead_take(ahead, true, &found);
	for (unsigned i = 0; i < SOURCE_AHEAD_MOST; i++) /* somebody was answered */
		add(ahead, i);
	for (unsigned i = 0; i < SOURCE_AHEAD_MOST; i++) {
		source_ahead_take(ahead, true, &found);
		check_all(i, &found);
	}
	source_ahead_free(ahead);
	source_close(source);
}
END_TEST

/* Somebody waits: what is not data comes as ever, and no data is waited for. */
START_TEST(test_data_is_forgone)
{
	struct source_found found;
	struct source *source = sim_open();
	struct source_ahead *ahead = source_ahead_new(source, true);
	set_mute(ANSWER_ALL_BUT_READS);
	for (unsigned i = 0; i < 40; i++)
		add(ahead, i);
	for (unsigned i = 0; i < 40; i++) {
		source_ahead_take(ahead, false, &found);
		ck_assert(found.link_known && found.xattrs_known && !found.data_known && !found.attr_known);
	}
	set_mute(ANSWER_ALL);
	source_ahead_free(ahead);
	source_close(source);
}
END_TEST

static void *cancel_soon(void *context)
{
	usleep(50000);
	source_cancel_all(context);
	return NULL;
}

START_TEST(test_cancelled)
{
	struct source_found found;
	pthread_t thread;
	struct source *source = sim_open();
	struct source_ahead *ahead = source_ahead_new(source, false);
	set_mute(ANSWER_NONE);
	for (unsigned i = 0; i < SOURCE_AHEAD_MOST; i++)
		add(ahead, i);
	ck_assert_int_eq(pthread_create(&thread, NULL, cancel_soon, source), 0);
	source_ahead_take(ahead, true, &found);
	ck_assert(!found.link_known && !found.xattrs_known && !found.data_known);
	pthread_join(thread, NULL);
	int submitted = sim.submitted;
	add(ahead, 100);
	ck_assert_int_eq(sim.submitted, submitted);
	source_ahead_free(ahead);
	source_close(source);
}
END_TEST

/* --- a plugin that blocks --- */

static atomic_uint at_once, most_at_once, blocked;

static void submit_blocking(struct dmm_conn *conn, struct dmm_request *request)
{
	unsigned now = ++at_once, most = most_at_once;

	while (now > most && !atomic_compare_exchange_weak(&most_at_once, &most, now))
		;
	if (blocked++ % 2) /* the others are done before who asks has turned away */
		usleep(100);
	request->result = plugin.answer(object_of(request), conn, request);
	at_once--;
	request->complete(request);
}

/* Each object's text fails once in a way that passes. */
static int64_t answer_at_second(unsigned object, struct dmm_conn *conn, struct dmm_request *request)
{
	if (request->kind == DMM_REQ_READLINK && object % 100 == 0 && plugin.attempts[object]++ == 0)
		return -EINTR;
	return answer_well(object, conn, request);
}

START_TEST(test_threads)
{
	plugin.answer = answer_at_second;
	sim.plugin->threads = DMM_THREADS_CONNECTION;
	sim.plugin->submit = submit_blocking;
	most_at_once = 0;
	struct source *source = sim_open();
	struct source_ahead *ahead = source_ahead_new(source, false);
	ck_assert_ptr_nonnull(ahead);
	run_all(ahead, check_all);
	ck_assert_uint_gt(most_at_once, 1);
	for (unsigned i = 0; i < SOURCE_AHEAD_MOST; i++)
		add(ahead, i);
	source_ahead_free(ahead); /* with what is on its way */
	source_close(source);
}
END_TEST

/* --- several readers of one file of a plugin that blocks: each on a connection of its own, up to a few --- */

#define READERS 8

static struct source_file *shared_file;
static atomic_uint lost_sessions;

static int64_t answer_and_lose(unsigned object, struct dmm_conn *conn, struct dmm_request *request)
{
	if (request->kind == DMM_REQ_READ && ++lost_sessions % 97 == 0)
		return -ECONNRESET;
	return answer_well(object, conn, request);
}

static void *read_much(void *context)
{
	unsigned char data[BYTES];

	for (unsigned n = 0; n < 100; n++) {
		ck_assert_int_eq(source_read(shared_file, data, 0, BYTES), BYTES);
		ck_assert_uint_eq(data[1], byte_of(3, 1));
		*(unsigned *)context += 1;
	}
	return NULL;
}

START_TEST(test_many_readers)
{
	unsigned object = 3, reads[READERS] = {0}, all = 0;
	pthread_t threads[READERS];
	sim.plugin->threads = DMM_THREADS_CONNECTION;
	sim.plugin->submit = submit_blocking;
	plugin.answer = _i ? answer_and_lose : answer_well;
	most_at_once = lost_sessions = 0;
	struct source *source = sim_open();
	ck_assert(source_takes_many(source));
	ck_assert_int_eq(source_file_open(source, (struct dmm_bytes){&object, sizeof(object)}, &shared_file), 0);
	for (unsigned i = 0; i < READERS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, read_much, &reads[i]), 0);
	for (unsigned i = 0; i < READERS; i++) {
		pthread_join(threads[i], NULL);
		all += reads[i];
	}
	ck_assert_uint_eq(all, READERS * 100);
	ck_assert_int_gt(sim.files_opened, 1);
	ck_assert_uint_gt(most_at_once, 1);
	if (!_i)
		ck_assert_int_le(sim.files_opened, 4);
	source_file_close(shared_file);
	source_close(source); /* and each was closed on its own connection: see sim_teardown() */
}
END_TEST

/* --- whole objects, many at once --- */

static atomic_uint batches, in_batches, most_in_batch;
static int64_t (*answer_one_whole)(unsigned object, struct dmm_request *request);

static int64_t whole_well(unsigned object, struct dmm_request *request)
{
	char text[32];

	snprintf(text, sizeof(text), "user.%u", object);
	int ret = request->xattr(request, text, "value", 5);
	if (ret < 0 || !request->entry)
		return ret;
	for (unsigned i = 0; i < request->len; i++)
		((unsigned char *)request->buf)[i] = byte_of(object, i);
	ret = tell_attr(object, request);
	return ret < 0 ? ret : (int64_t)request->len;
}

static void submit_many(struct dmm_conn *conn, struct dmm_request *const *requests, size_t n)
{
	(void)conn;
	batches++;
	in_batches += (unsigned)n;
	most_in_batch = n > most_in_batch ? (unsigned)n : most_in_batch;
	if (batches % 2)
		usleep(100);
	for (size_t i = n; i--;) { /* in any order */
		ck_assert_int_eq(requests[i]->kind, DMM_REQ_WHOLE);
		requests[i]->result = answer_one_whole(object_of(requests[i]), requests[i]);
		requests[i]->complete(requests[i]);
	}
}

static uint64_t can_whole(struct dmm_conn *conn)
{
	(void)conn;
	return DMM_CAP_XATTR | DMM_CAP_WHOLE;
}

static void add_whole(struct source_ahead *ahead, unsigned object)
{
	struct want *want = &wants[object];

	*want = (struct want){.object = object};
	source_ahead_add(ahead, &(struct source_wish){.handle = {&want->object, sizeof(want->object)},
	                                              .xattr = keep_xattr,
	                                              .context = want,
	                                              .data = want->data,
	                                              .bytes = BYTES});
}

static struct source *open_whole(int64_t (*answer)(unsigned object, struct dmm_request *request))
{
	answer_one_whole = answer;
	batches = in_batches = most_in_batch = 0;
	sim.plugin->threads = DMM_THREADS_CONNECTION;
	sim.plugin->submit = submit_blocking;
	sim.plugin->submit_many = submit_many;
	sim.plugin->capabilities = can_whole;
	return sim_open();
}

static void run_whole(struct source *source, void (*check)(unsigned object, const struct source_found *found))
{
	struct source_ahead *ahead = source_ahead_new(source, false);
	struct source_found found;
	unsigned added = 0;

	ck_assert_ptr_nonnull(ahead);
	for (unsigned taken = 0; taken < OBJECTS; taken++) {
		while (added < OBJECTS && added - taken < SOURCE_AHEAD_MOST / 2)
			add_whole(ahead, added++);
		source_ahead_take(ahead, true, &found);
		check(taken, &found);
	}
	for (unsigned i = 0; i < SOURCE_AHEAD_MOST; i++)
		add_whole(ahead, i);
	source_ahead_free(ahead); /* with what is on its way, and what was not sent */
}

static void check_whole(unsigned object, const struct source_found *found)
{
	char text[32];

	ck_assert(found->xattrs_known && found->data_known && found->attr_known);
	snprintf(text, sizeof(text), "user.%u", object);
	ck_assert_str_eq(wants[object].xattr, text);
	ck_assert_uint_eq(wants[object].n_xattrs, 1);
	ck_assert_int_eq(found->xattrs, 0);
	ck_assert_int_eq(found->data, BYTES);
	check_data(object);
	ck_assert_uint_eq(found->attr.fileid, object);
}

START_TEST(test_whole)
{
	struct source *source = open_whole(whole_well);
	run_whole(source, check_whole);
	ck_assert_int_eq(sim.files_opened, 0); /* no ordinary call */
	ck_assert_uint_gt(most_in_batch, 8);
	ck_assert_uint_lt(batches, OBJECTS / 4);
	source_close(source);
}
END_TEST

/* By the last digit: 1 does not come this way, 2 takes its session with it, 3 fails when something was given, 4 is short, 5 brings no
 * attributes, 6 brings such that cannot be. */
static int64_t whole_badly(unsigned object, struct dmm_request *request)
{
	struct dmm_entry bad = {.name = "", .attr = {.mode = 0, .size = UINT64_MAX}};
	unsigned digit = object % 10;
	int64_t ret;

	if (digit == 1)
		return -EOPNOTSUPP;
	if (digit == 2 && object % 100 == 2)
		return -ECONNABORTED;
	if (digit == 3) {
		ret = request->xattr(request, "user.part", "value", 5);
		return ret < 0 ? ret : -EIO;
	}
	if (digit == 5 || digit == 6) {
		int (*entry)(struct dmm_request *, const struct dmm_entry *) = request->entry;
		if (digit == 6 && entry && entry(request, &bad) < 0)
			return -EBADMSG;
		ret = request->xattr(request, "user.5", "value", 5);
		for (unsigned i = 0; i < request->len; i++)
			((unsigned char *)request->buf)[i] = byte_of(object, i);
		return ret < 0 ? ret : (int64_t)request->len;
	}
	ret = whole_well(object, request);
	return digit == 4 && ret > 0 ? ret / 2 : ret;
}

static void check_badly(unsigned object, const struct source_found *found)
{
	unsigned digit = object % 10;

	ck_assert_int_eq(found->xattrs_known, digit != 3);
	ck_assert_int_eq(found->data_known, digit != 3 && digit != 4);
	ck_assert_int_eq(found->attr_known, digit != 3 && digit != 4 && digit != 5 && digit != 6);
	ck_assert_uint_eq(wants[object].n_xattrs, 1); /* none is given twice */
	if (found->data_known) {
		ck_assert_int_eq(found->data, BYTES);
		check_data(object);
	}
}

START_TEST(test_whole_badly)
{
	plugin.answer = answer_well;
	struct source *source = open_whole(whole_badly);
	run_whole(source, check_badly);
	ck_assert_int_ge(sim.files_opened, OBJECTS / 10); /* the ordinary calls */
	source_close(source);
}
END_TEST

/* Links, and data of more than DMM_WHOLE_MOST, come one by one, in their turn among the others. */
START_TEST(test_whole_among_others)
{
	struct source *source = open_whole(whole_well);
	struct source_ahead *ahead = source_ahead_new(source, false);
	struct source_found found;
	plugin.answer = answer_well;
	for (unsigned i = 0; i < SOURCE_AHEAD_MOST; i++)
		(i % 5 == 4 ? add : add_whole)(ahead, i);
	for (unsigned i = 0; i < SOURCE_AHEAD_MOST; i++) {
		source_ahead_take(ahead, true, &found);
		(i % 5 == 4 ? check_all : check_whole)(i, &found);
	}
	ck_assert_int_eq(sim.files_opened, SOURCE_AHEAD_MOST / 5);
	source_ahead_free(ahead);
	source_close(source);
}
END_TEST

START_TEST(test_whole_forgoes_data)
{
	struct source *source = open_whole(whole_well);
	struct source_ahead *ahead = source_ahead_new(source, true);
	struct source_found found;
	for (unsigned i = 0; i < 40; i++)
		add_whole(ahead, i);
	for (unsigned i = 0; i < 40; i++) {
		source_ahead_take(ahead, false, &found);
		ck_assert(found.xattrs_known);
		ck_assert_int_eq(found.data_known, found.attr_known);
	}
	for (unsigned i = 0; i < 10; i++)
		add_whole(ahead, i);
	for (unsigned i = 0; i < 10; i++) {
		source_ahead_take(ahead, false, &found);
		ck_assert(found.xattrs_known && !found.data_known);
	}
	ck_assert_int_eq(sim.files_opened, 0);
	source_ahead_free(ahead);
	source_close(source);
}
END_TEST

/* At the end of the daemon nothing more is sent, and nothing hangs. */
START_TEST(test_whole_cancelled)
{
	struct source *source = open_whole(whole_well);
	struct source_ahead *ahead = source_ahead_new(source, false);
	struct source_found found;
	source_cancel_all(source);
	for (unsigned i = 0; i < 20; i++)
		add_whole(ahead, i);
	for (unsigned i = 0; i < 20; i++) {
		source_ahead_take(ahead, true, &found);
		ck_assert_int_lt(found.data_known ? found.data : -1, 0);
	}
	ck_assert_uint_eq(batches, 0);
	source_ahead_free(ahead);
	source_close(source);
}
END_TEST

/* Nothing is gained where there is no round trip, or where one request comes after the other. */
START_TEST(test_without)
{
	sim.plugin->threads = _i ? DMM_THREADS_SERIAL : DMM_THREADS_PARALLEL;
	struct source *source = sim_open();
	ck_assert_ptr_null(source_ahead_new(source, false));
	source_ahead_free(NULL);
	source_close(source);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("source_ahead");
	TCase *tcase = tcase_create("ahead");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 30);
	tcase_add_test(tcase, test_any_order);
	tcase_add_test(tcase, test_attr_with_data);
	tcase_add_test(tcase, test_bad_attr_with_data);
	tcase_add_test(tcase, test_plain_read);
	tcase_add_test(tcase, test_failures);
	tcase_add_test(tcase, test_lost_connections);
	tcase_add_test(tcase, test_silence_is_met_once);
	tcase_add_test(tcase, test_data_is_forgone);
	tcase_add_test(tcase, test_cancelled);
	tcase_add_test(tcase, test_threads);
	tcase_add_loop_test(tcase, test_many_readers, 0, 2);
	tcase_add_test(tcase, test_whole);
	tcase_add_test(tcase, test_whole_badly);
	tcase_add_test(tcase, test_whole_among_others);
	tcase_add_test(tcase, test_whole_forgoes_data);
	tcase_add_test(tcase, test_whole_cancelled);
	tcase_add_loop_test(tcase, test_without, 0, 2);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
