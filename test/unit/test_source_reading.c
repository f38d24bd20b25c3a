/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Reads that are begun before they are needed: of a source that answers when the test says so, in any order, badly, or never.
 */
#include "sim.h"

#include <pthread.h>

#define BYTES 1000u
#define MOST 16

/* What was submitted and not answered; with `at_once` nothing is. */
static struct {
	struct dmm_request *waiting[MOST];
	struct dmm_conn *conns[MOST];
	unsigned n;
	bool at_once;
} plugin;

static unsigned char byte_at(uint64_t off)
{
	return (unsigned char)(off * 7 + off / 256);
}

/* All that was asked for up to `end`, and the attributes, if they are wanted. */
static void answer(struct dmm_request *request, uint64_t end)
{
	struct dmm_entry entry = {.name = "", .attr = {.mode = 0100644, .size = BYTES, .fileid = 7}};

	request->result = 0;
	for (uint64_t at = request->off; at < request->off + request->len && at < end; at++)
		((unsigned char *)request->buf)[request->result++] = byte_at(at);
	if (request->entry)
		ck_assert_int_ge(request->entry(request, &entry), 0);
	request->complete(request);
}

static void refuse(struct dmm_request *request, int error)
{
	request->result = error;
	request->complete(request);
}

static void submit(struct dmm_conn *conn, struct dmm_request *request)
{
	if (request->kind != DMM_REQ_READ) {
		request->result = sim_answer(conn, request);
		request->complete(request);
		return;
	}
	ck_assert_int_eq(*(int *)request->file, sim_number(conn));
	sim.submitted++;
	if (plugin.at_once) {
		answer(request, BYTES);
		return;
	}
	ck_assert_uint_lt(plugin.n, MOST);
	plugin.waiting[plugin.n] = request;
	plugin.conns[plugin.n++] = conn;
}

static void cancel(struct dmm_conn *conn, struct dmm_request *request)
{
	(void)conn;
	for (unsigned i = 0; i < plugin.n; i++)
		if (plugin.waiting[i] == request) {
			plugin.waiting[i] = NULL;
			refuse(request, -ECANCELED);
		}
}

static struct source *source;
static struct source_file *file;

static void setup(void)
{
	sim_setup();
	sim.plugin->threads = DMM_THREADS_ASYNC;
	sim.plugin->submit = submit;
	sim.plugin->cancel = cancel;
	plugin.n = 0;
	plugin.at_once = false;
	source = sim_open();
	file = sim_open_file(source);
}

static void teardown(void)
{
	source_file_close(file);
	source_close(source);
	sim_teardown();
}

static void check(const unsigned char *buf, uint64_t off, uint64_t len)
{
	for (uint64_t i = 0; i < len; i++)
		ck_assert_uint_eq(buf[i], byte_at(off + i));
}

struct ending {
	struct source_reading *reading;
	struct source_look look;
	uint64_t took_ns;
	int64_t got;
};

static void *end_it(void *context)
{
	struct ending *ending = context;

	ending->got = source_read_end(ending->reading, &ending->look, &ending->took_ns);
	return NULL;
}

START_TEST(test_in_any_order_and_thread)
{
	unsigned char bufs[4][100];
	struct ending endings[4] = {0};
	pthread_t thread;

	ck_assert(source_reads_begin(source));
	for (unsigned i = 0; i < 4; i++) {
		endings[i].reading = source_read_begin(file, bufs[i], i * 100, 100);
		ck_assert_ptr_nonnull(endings[i].reading);
	}
	ck_assert_uint_eq(plugin.n, 4);
	for (unsigned i = 0; i < 4; i++) {
		unsigned which = (i * 3 + 2) % 4;
		ck_assert(!source_reading_is_done(endings[which].reading));
		answer(plugin.waiting[which], BYTES);
		ck_assert(source_reading_is_done(endings[which].reading));
	}
	for (unsigned i = 0; i < 4; i++) {
		ck_assert_int_eq(pthread_create(&thread, NULL, end_it, &endings[3 - i]), 0);
		pthread_join(thread, NULL);
	}
	for (unsigned i = 0; i < 4; i++) {
		ck_assert_int_eq(endings[i].got, 100);
		ck_assert(endings[i].look.attr_known);
		ck_assert_uint_eq(endings[i].look.attr.size, BYTES);
		ck_assert_uint_gt(endings[i].took_ns, 0);
		check(bufs[i], i * 100, 100);
	}
}
END_TEST

/* The ordinary read takes over, which opens the file anew where it must. */
START_TEST(test_failures_that_pass)
{
	static const int errors[] = {-ECONNRESET, -ESTALE, -ETIMEDOUT};
	struct ending ending = {0};
	unsigned char buf[100];

	ending.reading = source_read_begin(file, buf, 50, 100);
	refuse(plugin.waiting[0], errors[_i]);
	plugin.at_once = true;
	end_it(&ending);
	ck_assert_int_eq(ending.got, 100);
	ck_assert_uint_eq(ending.took_ns, 0);
	ck_assert(ending.look.attr_known);
	check(buf, 50, 100);
	ck_assert_int_eq(sim.submitted, 2);
	ck_assert_int_eq(sim.files_opened, errors[_i] == -ETIMEDOUT ? 1 : 2);
}
END_TEST

START_TEST(test_failure_that_stays)
{
	struct ending ending = {0};
	unsigned char buf[100];

	ending.reading = source_read_begin(file, buf, 50, 100);
	refuse(plugin.waiting[0], -EIO);
	end_it(&ending);
	ck_assert_int_eq(ending.got, -EIO);
	ck_assert_int_eq(sim.submitted, 1);
	ck_assert(!ending.look.attr_known);
}
END_TEST

/* Less than was asked for: then more is asked for, and of attributes that are not of all of it nothing is made. */
START_TEST(test_short)
{
	struct ending ending = {0};
	unsigned char buf[100];

	ending.reading = source_read_begin(file, buf, 0, 100);
	answer(plugin.waiting[0], 30);
	plugin.at_once = true;
	end_it(&ending);
	ck_assert_int_eq(ending.got, 100);
	ck_assert(!ending.look.attr_known);
	check(buf, 0, 100);
	plugin.at_once = false;
	plugin.n = 0;
	ending.reading = source_read_begin(file, buf, BYTES - 40, 100);
	answer(plugin.waiting[0], BYTES);
	plugin.at_once = true;
	end_it(&ending);
	ck_assert_int_eq(ending.got, 40);
}
END_TEST

START_TEST(test_forgone)
{
	unsigned char buf[2][100];
	struct source_reading *first = source_read_begin(file, buf[0], 0, 100);
	struct source_reading *second = source_read_begin(file, buf[1], 100, 100);

	answer(plugin.waiting[1], BYTES);
	source_read_forgo(second);
	source_read_forgo(first);
	ck_assert_ptr_null(plugin.waiting[0]);
}
END_TEST

START_TEST(test_at_the_end_of_the_daemon)
{
	struct ending ending = {0};
	unsigned char buf[100];

	ending.reading = source_read_begin(file, buf, 0, 100);
	source_cancel_all(source);
	end_it(&ending);
	ck_assert_int_eq(ending.got, -ECANCELED);
	ck_assert_ptr_null(source_read_begin(file, buf, 0, 100));
}
END_TEST

/* --- of a source with one request at a time on each connection --- */

#define OPENINGS 4 /* file.c: one, and three further ones */
#define READERS 8

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned reading;
	bool all; /* so many read at once */
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void submit_blocking(struct dmm_conn *conn, struct dmm_request *request)
{
	if (request->kind != DMM_REQ_READ) {
		submit(conn, request);
		return;
	}
	pthread_mutex_lock(&gate.lock);
	gate.all |= ++gate.reading == OPENINGS;
	pthread_cond_broadcast(&gate.changed);
	while (!gate.all)
		pthread_cond_wait(&gate.changed, &gate.lock);
	gate.reading--;
	pthread_mutex_unlock(&gate.lock);
	answer(request, BYTES);
}

static void setup_blocking(void)
{
	sim_setup();
	sim.plugin->threads = DMM_THREADS_CONNECTION;
	sim.plugin->submit = submit_blocking;
	gate.all = false;
	source = sim_open();
	file = sim_open_file(source);
}

static void *read_some(void *context)
{
	unsigned char buf[100];

	(void)context;
	ck_assert_int_eq(source_read(file, buf, 0, sizeof(buf)), sizeof(buf));
	return NULL;
}

/* Or two of them would read one after the other: then this does not end. */
START_TEST(test_each_opening_has_a_connection)
{
	pthread_t readers[READERS];

	for (unsigned i = 0; i < READERS; i++)
		ck_assert_int_eq(pthread_create(&readers[i], NULL, read_some, NULL), 0);
	for (unsigned i = 0; i < READERS; i++)
		pthread_join(readers[i], NULL);
	ck_assert_int_eq(sim.files_opened, OPENINGS);
	ck_assert_int_eq(sim.connects, OPENINGS);
	ck_assert(!source_reads_begin(source));
	ck_assert_ptr_null(source_read_begin(file, readers, 0, 1));
}
END_TEST

/* --- while a session takes its time --- */

static atomic_bool slow;

/* All but the first. */
static int connect_slowly(struct dmm_instance *instance, struct dmm_conn **conn)
{
	while (slow && sim.connects > 0)
		usleep(1000);
	return sim_connect(instance, conn);
}

static void setup_slow(void)
{
	sim_setup();
	sim.plugin->threads = DMM_THREADS_CONNECTION;
	sim.plugin->connect = connect_slowly;
	sim.plugin->submit = submit_blocking;
	gate.all = true; /* nobody waits for others */
	slow = true;
	source = sim_open();
	file = sim_open_file(source);
}

static void *read_often(void *context)
{
	for (unsigned i = 0; i < 100; i++)
		read_some(context);
	return NULL;
}

/* They go on with the one that there is. */
START_TEST(test_readers_do_not_wait_for_sessions)
{
	pthread_t readers[READERS];

	for (unsigned i = 0; i < READERS; i++)
		ck_assert_int_eq(pthread_create(&readers[i], NULL, read_often, NULL), 0);
	for (unsigned i = 0; i < READERS; i++)
		pthread_join(readers[i], NULL);
	ck_assert_int_eq(sim.connects, 1);
	slow = false;
}
END_TEST

static int ignore(void *context, const struct dmm_entry *entry)
{
	(void)context, (void)entry;
	return 0;
}

static atomic_int looked;

static void *look(void *context)
{
	(void)context;
	looked = source_attr(source, sim_handle(), ignore, NULL);
	return NULL;
}

/* Who finds the one that there is at work has it as soon as it is free again, and not only when there is another one. */
START_TEST(test_the_first_that_becomes_free)
{
	struct dmm_entry entry = {.name = "", .handle = sim_handle(), .attr = {.mode = 0100644, .fileid = 7}};
	pthread_t reader, looker;

	sim.entries = &entry;
	sim.n_entries = sim.result = 1;
	looked = -1;
	gate.all = false;
	ck_assert_int_eq(pthread_create(&reader, NULL, read_some, NULL), 0);
	pthread_mutex_lock(&gate.lock);
	while (gate.reading == 0)
		pthread_cond_wait(&gate.changed, &gate.lock);
	pthread_mutex_unlock(&gate.lock);
	ck_assert_int_eq(pthread_create(&looker, NULL, look, NULL), 0);
	usleep(20000);
	ck_assert_int_eq(looked, -1);
	pthread_mutex_lock(&gate.lock);
	gate.all = true;
	pthread_cond_broadcast(&gate.changed);
	pthread_mutex_unlock(&gate.lock);
	pthread_join(reader, NULL);
	pthread_join(looker, NULL);
	ck_assert_int_eq(looked, 0);
	ck_assert_int_eq(sim.connects, 1);
	slow = false;
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("source_reading");
	TCase *tcase = tcase_create("reading");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 30);
	tcase_add_test(tcase, test_in_any_order_and_thread);
	tcase_add_loop_test(tcase, test_failures_that_pass, 0, 3);
	tcase_add_test(tcase, test_failure_that_stays);
	tcase_add_test(tcase, test_short);
	tcase_add_test(tcase, test_forgone);
	tcase_add_test(tcase, test_at_the_end_of_the_daemon);
	suite_add_tcase(suite, tcase);
	TCase *blocking = tcase_create("blocking");
	tcase_add_checked_fixture(blocking, setup_blocking, teardown);
	tcase_set_timeout(blocking, 30);
	tcase_add_loop_test(blocking, test_each_opening_has_a_connection, 0, 20);
	suite_add_tcase(suite, blocking);
	TCase *sessions = tcase_create("slow sessions");
	tcase_add_checked_fixture(sessions, setup_slow, teardown);
	tcase_set_timeout(sessions, 30);
	tcase_add_test(sessions, test_readers_do_not_wait_for_sessions);
	tcase_add_loop_test(sessions, test_the_first_that_becomes_free, 0, 5);
	suite_add_tcase(suite, sessions);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
