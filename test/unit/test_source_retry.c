/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The source port against a source that fails, hangs and comes back: tries, pauses, deadlines, cancellation, lost connections,
 * and the four thread models.
 */
#include "sim.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "source/internal.h"

#include <pthread.h>
#include <sched.h>

static uint64_t started_ns;

static void start_clock(void)
{
	started_ns = clock_monotonic_ns();
}

static uint64_t elapsed_ms(void)
{
	return (clock_monotonic_ns() - started_ns) / NS_PER_MS;
}

/* --- tries ----------------------------------------------------------------------------------------------------------------------- */

static int fail_with, fail_times;

/* Fails the first times, then gives five bytes. OPEN and CLOSE always work. */
static int64_t heal(struct dmm_conn *conn, struct dmm_request *request)
{
	if (request->kind == DMM_REQ_OPEN || request->kind == DMM_REQ_CLOSE)
		return sim_answer(conn, request);
	if (fail_times > 0) {
		fail_times--;
		return -fail_with;
	}
	memcpy(request->buf, "hello", 5);
	return 5;
}

START_TEST(test_heals)
{
	static const int errors[] = {EINTR, EAGAIN, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH, EREMOTEIO, ECONNREFUSED};
	char buf[5];
	struct source_counters counters;
	sim.answer = heal;
	struct source *source = sim_open();
	struct source_file *file = sim_open_file(source);
	fail_with = errors[_i];
	fail_times = 2;
	start_clock();
	ck_assert_int_eq(source_read(file, buf, 0, 5), 5);
	if (fail_with != EINTR)
		ck_assert_uint_ge(elapsed_ms(), 150); /* 50 and 100 */
	ck_assert_int_eq(sim.connects, 1);
	source_counters(source, &counters);
	ck_assert_uint_eq(counters.retries, 2);
	ck_assert_uint_eq(counters.errors, 0);
	ck_assert_uint_eq(counters.requests[DMM_REQ_READ], 1);

	fail_times = 3;
	ck_assert_int_eq(source_read(file, buf, 0, 5), -fail_with);
	ck_assert_int_eq(fail_times, 0);
	source_counters(source, &counters);
	ck_assert_uint_eq(counters.errors, 1);
	source_file_close(file);
	source_close(source);
}
END_TEST

START_TEST(test_lasting_errors)
{
	static const int errors[] = {EIO, EACCES, ENOENT, EPERM, EBADMSG, ENOMEM, EOPNOTSUPP, EINVAL};
	char buf[5];
	sim.answer = heal;
	struct source *source = sim_open();
	struct source_file *file = sim_open_file(source);
	fail_with = errors[_i];
	fail_times = 1;
	ck_assert_int_eq(source_read(file, buf, 0, 5), -fail_with);
	ck_assert_int_eq(source_read(file, buf, 0, 5), 5);
	source_file_close(file);
	source_close(source);
}
END_TEST

/* --- hard and soft ------------------------------------------------------------------------------------------------------------------ */

static struct source_reach reach_of(struct source *source)
{
	struct source_reach reach;

	source_reach(source, &reach);
	return reach;
}

static void be_patient(struct source *source, bool hard)
{
	source_set_patience(source, &(struct source_patience){.hard = hard, .tries = 3});
}

START_TEST(test_classes)
{
	static const int outages[] = {EAGAIN,    ETIMEDOUT, ECONNRESET,   ECONNABORTED, ECONNREFUSED, EPIPE,    ENOTCONN,
	                              ESHUTDOWN, EHOSTDOWN, EHOSTUNREACH, ENETDOWN,     ENETUNREACH,  ENETRESET};
	static const int objects[] = {0, EIO, EACCES, ENOENT, ESTALE, EPERM, EINTR, EREMOTEIO, ECANCELED, EBADMSG};
	for (size_t i = 0; i < sizeof(outages) / sizeof(*outages); i++)
		ck_assert_msg(source_is_outage(-outages[i]), "%s", strerrorname_np(outages[i]));
	for (size_t i = 0; i < sizeof(objects) / sizeof(*objects); i++)
		ck_assert_msg(!source_is_outage(-objects[i]), "%s", strerrorname_np(objects[i]));
}
END_TEST

static atomic_bool unreachable;
static atomic_uint refused_attempts;

static int64_t answer_when_reachable(struct dmm_conn *conn, struct dmm_request *request)
{
	if (request->kind == DMM_REQ_OPEN || request->kind == DMM_REQ_CLOSE)
		return sim_answer(conn, request);
	if (unreachable) {
		refused_attempts++;
		return -ETIMEDOUT;
	}
	if (request->kind == DMM_REQ_READLINK)
		return -EACCES; /* an answer, too */
	memcpy(request->buf, "hello", 5);
	return 5;
}

struct reader {
	struct source *source;
	pthread_t thread;
	int64_t result;
};

static void *read_link(void *context)
{
	struct reader *reader = context;
	char buf[16];

	reader->result = source_readlink(reader->source, sim_handle(), buf, sizeof(buf));
	return NULL;
}

static void await_down(struct source *source)
{
	for (int i = 0; i < 500 && !reach_of(source).down; i++)
		usleep(10000);
	ck_assert(reach_of(source).down);
}

START_TEST(test_soft_gives_up)
{
	sim.answer = answer_when_reachable;
	struct source *source = sim_open();
	struct reader reader = {.source = source};
	be_patient(source, false);
	unreachable = true;
	refused_attempts = 0;
	read_link(&reader);
	ck_assert_int_eq(reader.result, -ETIMEDOUT);
	ck_assert_uint_eq(refused_attempts, 3);
	ck_assert(reach_of(source).down);
	ck_assert_int_eq(reach_of(source).error, ETIMEDOUT);
	ck_assert_uint_gt(reach_of(source).since_ns, 0);
	unreachable = false;
	read_link(&reader);
	ck_assert_int_eq(reader.result, -EACCES); /* of the object; but somebody answers */
	ck_assert(!reach_of(source).down);
	ck_assert_uint_eq(reach_of(source).recoveries, 1);
	source_close(source);
}
END_TEST

/* How long they wait on when the source can be reached again. */
static uint64_t recover(void)
{
	struct source *source = sim_open();
	struct reader readers[4], last = {.source = source};
	be_patient(source, true);
	refused_attempts = 0;
	unreachable = true;
	for (int i = 0; i < 4; i++) {
		readers[i] = (struct reader){.source = source, .result = 1};
		pthread_create(&readers[i].thread, NULL, read_link, &readers[i]);
	}
	await_down(source);
	usleep(1500000); /* pauses have grown */
	ck_assert_uint_gt(refused_attempts, 12);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(readers[i].result, 1);
	unreachable = false;
	start_clock();
	read_link(&last); /* the first to be answered wakes all others */
	for (int i = 0; i < 4; i++) {
		pthread_join(readers[i].thread, NULL);
		ck_assert_int_eq(readers[i].result, -EACCES);
	}
	uint64_t took_ms = elapsed_ms();
	ck_assert(!reach_of(source).down);
	source_close(source);
	return took_ms;
}

/* No pause comes to its end in that time, if once in a few attempts the machine is not busy otherwise. */
START_TEST(test_hard_waits)
{
	sim.answer = answer_when_reachable;
	for (int i = 0; i < 5; i++)
		if (recover() < 400)
			return;
	ck_abort_msg("they are not waked");
}
END_TEST

START_TEST(test_hard_becomes_soft)
{
	sim.answer = answer_when_reachable;
	struct source *source = sim_open();
	struct reader reader = {.source = source, .result = 1};
	be_patient(source, true);
	unreachable = true;
	pthread_create(&reader.thread, NULL, read_link, &reader);
	await_down(source);
	usleep(1000000);
	ck_assert_int_eq(reader.result, 1);
	be_patient(source, false);
	pthread_join(reader.thread, NULL);
	ck_assert_int_eq(reader.result, -ETIMEDOUT);
	unreachable = true;
	be_patient(source, true);
	reader.result = 1;
	pthread_create(&reader.thread, NULL, read_link, &reader);
	usleep(200000);
	source_cancel_all(source);
	pthread_join(reader.thread, NULL);
	ck_assert_int_eq(reader.result, -ECANCELED);
	unreachable = false;
	source_close(source);
}
END_TEST

/* One object that does not answer while others do is its own trouble, and no outage. */
static int64_t answer_all_but_one(struct dmm_conn *conn, struct dmm_request *request)
{
	if (request->kind != DMM_REQ_READLINK)
		return sim_answer(conn, request);
	if (memcmp(request->handle.data, "handle", 6) == 0)
		return -ETIMEDOUT;
	return 3;
}

static atomic_uint answered_others;

/* Not before others were answered. */
static int64_t answer_all_but_one_late(struct dmm_conn *conn, struct dmm_request *request)
{
	int64_t result = answer_all_but_one(conn, request);

	if (request->kind == DMM_REQ_READLINK && result > 0)
		answered_others++;
	for (unsigned before = answered_others; result == -ETIMEDOUT && answered_others < before + 3;)
		usleep(1000);
	return result;
}

static void *read_others(void *context)
{
	struct source *source = context;
	char buf[16];

	while (unreachable) {
		source_readlink(source, (struct dmm_bytes){"other!", 6}, buf, sizeof(buf));
		usleep(1000);
	}
	return NULL;
}

START_TEST(test_one_bad_object)
{
	pthread_t others;
	sim.answer = answer_all_but_one;
	struct source *source = sim_open();
	struct reader reader = {.source = source};
	be_patient(source, true);
	unreachable = true; /* as long as others read */
	pthread_create(&others, NULL, read_others, source);
	read_link(&reader);
	ck_assert_int_eq(reader.result, -ETIMEDOUT);
	ck_assert(!reach_of(source).down);
	ck_assert_uint_eq(reach_of(source).recoveries, 0);
	unreachable = false;
	pthread_join(others, NULL);
	source_close(source);
}
END_TEST

/* Also when it has only one attempt. */
START_TEST(test_one_bad_object_soft)
{
	pthread_t others;
	sim.answer = answer_all_but_one_late;
	struct source *source = sim_open();
	struct reader reader = {.source = source};
	source_set_patience(source, &(struct source_patience){.tries = 1});
	unreachable = true;
	pthread_create(&others, NULL, read_others, source);
	read_link(&reader);
	ck_assert_int_eq(reader.result, -ETIMEDOUT);
	ck_assert(!reach_of(source).down);
	ck_assert_uint_eq(reach_of(source).recoveries, 0);
	unreachable = false;
	pthread_join(others, NULL);
	source_close(source);
}
END_TEST

/* Stale: of a handle it is asked once more, an open file is opened anew. */
START_TEST(test_stale)
{
	char buf[6];
	sim.answer = heal;
	struct source *source = sim_open();
	fail_with = ESTALE;
	fail_times = 1;
	ck_assert_int_eq(source_readlink(source, sim_handle(), buf, sizeof(buf)), 5);
	fail_times = 2;
	ck_assert_int_eq(source_readlink(source, sim_handle(), buf, sizeof(buf)), -ESTALE);
	ck_assert_int_eq(fail_times, 0);

	struct source_file *file = sim_open_file(source);
	ck_assert_int_eq(sim.files_opened, 1);
	fail_times = 1;
	ck_assert_int_eq(source_read(file, buf, 0, 5), 5);
	ck_assert_int_eq(sim.files_opened, 2);
	ck_assert_int_eq(sim.files_closed, 1);
	source_file_close(file);
	source_close(source);
}
END_TEST

/* Entries were reported: the plugin's listing stands behind them, another try would leave them out. */
static int listings;

static int64_t fail_after_an_entry(struct dmm_conn *conn, struct dmm_request *request)
{
	if (request->kind != DMM_REQ_LIST)
		return sim_answer(conn, request);
	listings++;
	struct dmm_entry entry = {.name = "a", .name_len = 1, .error = EACCES};
	int ret = request->entry(request, &entry);
	return ret < 0 ? ret : -EAGAIN;
}

static int count_entry(void *context, const struct dmm_entry *entry)
{
	++*(int *)context;
	return 0;
}

START_TEST(test_not_twice)
{
	int count = 0;
	sim.answer = fail_after_an_entry;
	struct source *source = sim_open();
	struct source_file *dir = sim_open_file(source);
	ck_assert_int_eq(source_list(dir, count_entry, &count), -EAGAIN);
	ck_assert_int_eq(count, 0);
	ck_assert_int_eq(listings, 1);
	source_file_close(dir);
	source_close(source);
}
END_TEST

/* --- lost connections ---------------------------------------------------------------------------------------------------------------- */

START_TEST(test_connection_lost)
{
	static const int errors[] = {ECONNRESET, ECONNABORTED, EPIPE, ENOTCONN, ESHUTDOWN};
	char buf[5];
	sim.answer = heal;
	struct source_options options = sim_options();
	options.connections = 1; /* none is made beside it */
	if (_i % 2)
		sim.plugin->threads = DMM_THREADS_CONNECTION;
	struct source *source = sim_open_with(&options);
	struct source_file *file = sim_open_file(source), *other = sim_open_file(source);
	ck_assert_int_eq(sim.connects, 1);
	fail_with = errors[_i];
	fail_times = 1;
	ck_assert_int_eq(source_read(file, buf, 0, 5), 5);
	ck_assert_int_eq(sim.connects, 2);
	ck_assert_int_eq(sim.disconnects, 0); /* `other` is still open on it */
	ck_assert_int_eq(source_read(other, buf, 0, 5), 5);
	ck_assert_int_eq(sim.connects, 2);
	ck_assert_int_eq(sim.disconnects, 1);
	source_file_close(file);
	source_file_close(other);
	source_close(source);
}
END_TEST

static int lists;

static int64_t lose_listing(struct dmm_conn *conn, struct dmm_request *request)
{
	if (request->kind != DMM_REQ_LIST)
		return sim_answer(conn, request);
	struct dmm_entry entry = {.name = "a", .name_len = 1, .error = EACCES};
	if (++lists % 2 == 0)
		return -ECONNRESET;
	request->entry(request, &entry);
	return 1;
}

/* Half a listing cannot go on elsewhere. */
START_TEST(test_listing_lost)
{
	int count = 0;
	sim.answer = lose_listing;
	struct source *source = sim_open();
	struct source_file *dir = sim_open_file(source);
	ck_assert_int_eq(source_list(dir, count_entry, &count), 1);
	ck_assert_int_eq(source_list(dir, count_entry, &count), -ECONNRESET);
	ck_assert_int_eq(source_list(dir, count_entry, &count), -ENOTCONN);
	ck_assert_int_eq(lists, 2);
	ck_assert_int_eq(count, 1);
	source_file_close(dir);
	source_close(source);
}
END_TEST

static atomic_int connects_to_fail;

static int connect_later(struct dmm_instance *instance, struct dmm_conn **conn)
{
	return connects_to_fail-- > 0 ? -ECONNREFUSED : sim_connect(instance, conn);
}

START_TEST(test_server_starts_late)
{
	sim.plugin->connect = connect_later;
	connects_to_fail = 2;
	struct source *source = sim_open();
	ck_assert_int_eq(sim.connects, 1);
	source_close(source);
}
END_TEST

/* --- thread models ------------------------------------------------------------------------------------------------------------------- */

/* Sessions that a server ends, and then grants no others: nothing that an object could be blamed for. */
static atomic_bool revoked;

static int connect_when_granted(struct dmm_instance *instance, struct dmm_conn **conn)
{
	return revoked ? -EACCES : sim_connect(instance, conn);
}

static int64_t answer_when_granted(struct dmm_conn *conn, struct dmm_request *request)
{
	if (request->kind != DMM_REQ_READLINK)
		return sim_answer(conn, request);
	if (revoked)
		return -ECONNABORTED;
	memcpy(request->buf, "hello", 5);
	return 5;
}

START_TEST(test_revoked)
{
	char buf[16];
	sim.answer = answer_when_granted;
	sim.plugin->connect = connect_when_granted;
	struct source *source = sim_open();
	struct reader reader = {.source = source};
	be_patient(source, true);
	revoked = true;
	pthread_create(&reader.thread, NULL, read_link, &reader);
	await_down(source);
	for (int i = 0; i < 500 && reach_of(source).error != EACCES; i++)
		usleep(10000);
	ck_assert_int_eq(reach_of(source).error, EACCES);
	revoked = false;
	pthread_join(reader.thread, NULL);
	ck_assert_int_eq(reader.result, 5);
	ck_assert(!reach_of(source).down);

	be_patient(source, false);
	revoked = true;
	ck_assert_int_eq(source_readlink(source, sim_handle(), buf, sizeof(buf)), -EHOSTDOWN);
	revoked = false;
	source_close(source);
}
END_TEST

static atomic_int in_flight, most_in_flight, on_connection[100];
static bool one_on_each;

/* Takes a little, and sees how many others are there. */
static int64_t crowd(struct dmm_conn *conn, struct dmm_request *request)
{
	if (request->kind != DMM_REQ_READ)
		return sim_answer(conn, request);
	int here = ++on_connection[sim_number(conn)];
	if (one_on_each)
		ck_assert_int_eq(here, 1);
	int now = ++in_flight, most = most_in_flight;
	while (now > most && !atomic_compare_exchange_weak(&most_in_flight, &most, now))
		;
	usleep(2000);
	in_flight--;
	on_connection[sim_number(conn)]--;
	return 1;
}

static void *read_a_lot(void *context)
{
	struct source *source = context;
	struct source_file *file = sim_open_file(source);
	char byte;
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(source_read(file, &byte, 0, 1), 1);
	source_file_close(file);
	return NULL;
}

#define READERS 8

static void run_readers(struct source *source)
{
	pthread_t threads[READERS];
	for (int i = 0; i < READERS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, read_a_lot, source), 0);
	for (int i = 0; i < READERS; i++)
		pthread_join(threads[i], NULL);
}

START_TEST(test_serial)
{
	sim.plugin->threads = DMM_THREADS_SERIAL;
	sim.answer = crowd;
	struct source *source = sim_open();
	run_readers(source);
	ck_assert_int_eq(most_in_flight, 1);
	ck_assert_int_eq(sim.connects, 1);
	source_close(source);
}
END_TEST

START_TEST(test_parallel)
{
	sim.answer = crowd;
	struct source *source = sim_open();
	run_readers(source);
	ck_assert_int_gt(most_in_flight, 1);
	ck_assert_int_eq(sim.connects, 1);
	source_close(source);
}
END_TEST

START_TEST(test_one_on_each_connection)
{
	struct source_options options = sim_options();
	options.connections = 3;
	sim.plugin->threads = DMM_THREADS_CONNECTION;
	sim.answer = crowd;
	one_on_each = true;
	struct source *source = sim_open_with(&options);
	run_readers(source);
	ck_assert_int_gt(most_in_flight, 1);
	ck_assert_int_le(most_in_flight, 3);
	ck_assert_int_le(sim.connects, 3);
	source_close(source);
}
END_TEST

static atomic_int sessions_most;

/* Several are asked for at once. */
static int connect_some(struct dmm_instance *instance, struct dmm_conn **conn)
{
	static pthread_mutex_t server = PTHREAD_MUTEX_INITIALIZER;
	LOCKED(&server);

	return sim.connects >= sessions_most ? -EUSERS : sim_connect(instance, conn);
}

/* A server that admits two sessions serves everybody with two. Later it is asked again. */
START_TEST(test_server_sets_the_limit)
{
	sim.plugin->threads = DMM_THREADS_CONNECTION;
	sim.plugin->connect = connect_some;
	sim.answer = crowd;
	one_on_each = true;
	sessions_most = 2;
	struct source *source = sim_open();
	run_readers(source);
	ck_assert_int_eq(sim.connects, 2);
	sessions_most = 100;
	pthread_mutex_lock(&source->pool.lock);
	source->pool.limited_ns -= 61 * NS_PER_S;
	pthread_mutex_unlock(&source->pool.lock);
	while (sim.connects == 2)
		run_readers(source);
	source_close(source);
}
END_TEST

/* --- refusals that say nothing of how many a server admits --- */

static atomic_int attempts;
static atomic_bool refusing;

/* The second does not come through, and learns that only after the server has admitted others. */
static int connect_late(struct dmm_instance *instance, struct dmm_conn **conn)
{
	if (attempts++ != 1)
		return sim_connect(instance, conn);
	while (sim.connects < 2)
		usleep(1000);
	usleep(20000);
	return -ETIMEDOUT;
}

static int connect_unless_refusing(struct dmm_instance *instance, struct dmm_conn **conn)
{
	return attempts++ && refusing ? -ECONNREFUSED : sim_connect(instance, conn);
}

/* Of the pool, when nothing is being made. */
static unsigned limit_in_the_end(struct source *source)
{
	pthread_mutex_lock(&source->pool.lock);
	while (source->pool.connecting)
		pthread_cond_wait(&source->pool.changed, &source->pool.lock);
	unsigned limit = source->pool.limit;
	pthread_mutex_unlock(&source->pool.lock);
	return limit;
}

static struct source *open_four(void)
{
	struct source_options options = sim_options();

	options.connections = 4;
	attempts = 0;
	sim.plugin->threads = DMM_THREADS_CONNECTION;
	sim.answer = heal;
	return sim_open_with(&options);
}

START_TEST(test_refused_before_others_were_admitted)
{
	sim.plugin->connect = connect_late;
	struct source *source = open_four();
	ck_assert_uint_eq(limit_in_the_end(source), 4);
	source_close(source);
}
END_TEST

/* It refuses already when its sessions have not ended yet. What it does when it is back is another matter. */
START_TEST(test_server_that_starts_anew)
{
	char buf[5];

	sim.plugin->connect = connect_unless_refusing;
	refusing = true;
	struct source *source = open_four();
	struct source_file *file = sim_open_file(source);
	ck_assert_uint_eq(limit_in_the_end(source), 1);
	refusing = false;
	fail_with = ECONNRESET;
	fail_times = 1;
	ck_assert_int_eq(source_read(file, buf, 0, sizeof(buf)), 5);
	ck_assert_uint_eq(limit_in_the_end(source), 4);
	ck_assert_int_eq(sim.connects, 5);
	source_file_close(file);
	source_close(source);
}
END_TEST

/* --- answers from another thread --------------------------------------------------------------------------------------------------- */

/* The plugin's own thread answers what was submitted, last come first served. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct dmm_request *pending[64];
	unsigned count, cancels;
	bool stop, hang;
	pthread_t thread;
} own = {.lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER};

static void *answer_pending(void *context)
{
	pthread_mutex_lock(&own.lock);
	for (;;) {
		struct dmm_request *request;
		while (!own.stop && (own.count == 0 || own.hang))
			pthread_cond_wait(&own.more, &own.lock);
		if (own.count == 0)
			break;
		request = own.pending[--own.count];
		pthread_mutex_unlock(&own.lock);
		if (request->kind == DMM_REQ_READ)
			memset(request->buf, 'r', request->len);
		request->result = request->kind == DMM_REQ_READ ? (int64_t)request->len : 0;
		request->complete(request);
		pthread_mutex_lock(&own.lock);
	}
	pthread_mutex_unlock(&own.lock);
	return NULL;
}

static void submit_elsewhere(struct dmm_conn *conn, struct dmm_request *request)
{
	if (request->kind == DMM_REQ_OPEN || request->kind == DMM_REQ_CLOSE) {
		sim_submit(conn, request);
		return;
	}
	pthread_mutex_lock(&own.lock);
	ck_assert_uint_lt(own.count, 64);
	own.pending[own.count++] = request;
	if (!own.hang)
		pthread_cond_signal(&own.more);
	pthread_mutex_unlock(&own.lock);
}

/* May come for a request that is complete, or not yet submitted. */
static void cancel_elsewhere(struct dmm_conn *conn, struct dmm_request *request)
{
	bool found = false;
	pthread_mutex_lock(&own.lock);
	own.cancels++;
	for (unsigned i = 0; i < own.count && !found; i++) {
		if (own.pending[i] != request)
			continue;
		own.pending[i] = own.pending[--own.count];
		found = true;
	}
	pthread_mutex_unlock(&own.lock);
	if (found) {
		ck_assert(atomic_load(&request->cancelled));
		request->result = -ECANCELED;
		request->complete(request);
	}
}

static void async_setup(void)
{
	sim_setup();
	sim.plugin->threads = DMM_THREADS_ASYNC;
	sim.plugin->submit = submit_elsewhere;
	sim.plugin->cancel = cancel_elsewhere;
	ck_assert_int_eq(pthread_create(&own.thread, NULL, answer_pending, NULL), 0);
}

static void async_teardown(void)
{
	pthread_mutex_lock(&own.lock);
	own.stop = true;
	pthread_cond_signal(&own.more);
	pthread_mutex_unlock(&own.lock);
	pthread_join(own.thread, NULL);
	sim_teardown();
}

START_TEST(test_async)
{
	struct source *source = sim_open();
	run_readers(source);
	ck_assert_int_eq(sim.connects, 1);
	source_close(source);
}
END_TEST

START_TEST(test_deadline)
{
	struct source_options options = sim_options();
	char byte;
	options.timeout_ms = 40;
	options.tries = 2;
	own.hang = true;
	struct source *source = sim_open_with(&options);
	struct source_file *file = sim_open_file(source);
	start_clock();
	ck_assert_int_eq(source_read(file, &byte, 0, 1), -ETIMEDOUT);
	ck_assert_uint_ge(elapsed_ms(), 40 + 50 + 40);
	ck_assert_uint_lt(elapsed_ms(), 20000);
	ck_assert_uint_eq(own.cancels, 2);
	source_file_close(file);
	source_close(source);
}
END_TEST

static void *read_hanging(void *context)
{
	char byte;
	return (void *)(intptr_t)source_read(context, &byte, 0, 1);
}

static void wait_until_pending(unsigned count)
{
	unsigned now = 0;
	while (now < count) {
		sched_yield();
		pthread_mutex_lock(&own.lock);
		now = own.count;
		pthread_mutex_unlock(&own.lock);
	}
}

START_TEST(test_cancel_wakes_requests)
{
	pthread_t threads[4];
	void *ret;
	char byte;
	own.hang = true;
	struct source *source = sim_open();
	struct source_file *file = sim_open_file(source);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, read_hanging, file), 0);
	wait_until_pending(4);
	source_cancel_all(source);
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], &ret);
		ck_assert_int_eq((intptr_t)ret, -ECANCELED);
	}
	/* From now on nothing waits, but what is open can be closed. */
	ck_assert_int_eq(source_read(file, &byte, 0, 1), -ECANCELED);
	ck_assert_int_eq(source_root(source, count_entry, NULL), -ECANCELED);
	source_file_close(file);
	ck_assert_int_eq(sim.files_closed, 1);
	source_close(source);
}
END_TEST

/* --- cancellation of what sleeps here ------------------------------------------------------------------------------------------------- */

/* How long a reader stays that is cancelled while it sleeps before its next attempt. */
static uint64_t cancel_a_sleeper(void)
{
	struct source_options options = sim_options();
	pthread_t thread;
	void *ret;
	options.tries = 100;
	sim.answer = heal;
	fail_with = EAGAIN;
	fail_times = 100;
	struct source *source = sim_open_with(&options);
	struct source_file *file = sim_open_file(source);
	start_clock();
	ck_assert_int_eq(pthread_create(&thread, NULL, read_hanging, file), 0);
	usleep(400000); /* by now the pauses are long: 50, 100, 200, 400, ... */
	source_cancel_all(source);
	pthread_join(thread, &ret);
	ck_assert_int_eq((intptr_t)ret, -ECANCELED);
	uint64_t took_ms = elapsed_ms();
	source_file_close(file);
	source_close(source);
	return took_ms;
}

/* The pause would end after 750 ms; that the machine has time for us is needed once in a few attempts. */
START_TEST(test_cancel_wakes_sleepers)
{
	for (int i = 0; i < 5; i++)
		if (cancel_a_sleeper() < 700)
			return;
	ck_abort_msg("it sleeps on");
}
END_TEST

static atomic_bool leave;

static int64_t stay(struct dmm_conn *conn, struct dmm_request *request)
{
	if (request->kind != DMM_REQ_READ)
		return sim_answer(conn, request);
	in_flight++;
	while (!leave && !atomic_load(&request->cancelled))
		usleep(1000);
	return leave ? 1 : -ECANCELED;
}

/* One connection, which somebody else has. */
START_TEST(test_cancel_wakes_waiters)
{
	struct source_options options = sim_options();
	pthread_t threads[2];
	void *ret;
	options.connections = 1;
	sim.plugin->threads = DMM_THREADS_CONNECTION;
	sim.answer = stay;
	struct source *source = sim_open_with(&options);
	struct source_file *file = sim_open_file(source);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, read_hanging, file), 0);
	while (in_flight == 0)
		sched_yield();
	usleep(20000);
	ck_assert_int_eq(in_flight, 1);
	source_cancel_all(source);
	for (int i = 0; i < 2; i++) {
		pthread_join(threads[i], &ret);
		ck_assert_int_eq((intptr_t)ret, -ECANCELED);
	}
	source_file_close(file);
	source_close(source);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("source-retry");
	TCase *tcase = tcase_create("blocking");
	tcase_set_timeout(tcase, 30);
	tcase_add_checked_fixture(tcase, sim_setup, sim_teardown);
	tcase_add_loop_test(tcase, test_heals, 0, 7);
	tcase_add_loop_test(tcase, test_lasting_errors, 0, 8);
	tcase_add_test(tcase, test_classes);
	tcase_add_test(tcase, test_soft_gives_up);
	tcase_add_test(tcase, test_hard_waits);
	tcase_add_test(tcase, test_hard_becomes_soft);
	tcase_add_test(tcase, test_one_bad_object);
	tcase_add_test(tcase, test_one_bad_object_soft);
	tcase_add_test(tcase, test_stale);
	tcase_add_test(tcase, test_not_twice);
	tcase_add_loop_test(tcase, test_connection_lost, 0, 5);
	tcase_add_test(tcase, test_listing_lost);
	tcase_add_test(tcase, test_server_starts_late);
	tcase_add_test(tcase, test_revoked);
	tcase_add_test(tcase, test_serial);
	tcase_add_test(tcase, test_parallel);
	tcase_add_test(tcase, test_one_on_each_connection);
	tcase_add_test(tcase, test_server_sets_the_limit);
	tcase_add_test(tcase, test_refused_before_others_were_admitted);
	tcase_add_test(tcase, test_server_that_starts_anew);
	tcase_add_test(tcase, test_cancel_wakes_sleepers);
	tcase_add_test(tcase, test_cancel_wakes_waiters);
	suite_add_tcase(suite, tcase);

	tcase = tcase_create("async");
	tcase_set_timeout(tcase, 30);
	tcase_add_checked_fixture(tcase, async_setup, async_teardown);
	tcase_add_test(tcase, test_async);
	tcase_add_test(tcase, test_deadline);
	tcase_add_test(tcase, test_cancel_wakes_requests);
	suite_add_tcase(suite, tcase);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
