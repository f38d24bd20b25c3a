/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Lanes: the reserve is kept, demand goes first, a promoted job overtakes, pause holds what may wait, stop drains.
 *
 * Jobs wait at a gate, so that the tests see states and measure no time.
 */
#include "base/lane.h"

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct gate {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool open;
	int arrived, left;
	int order[64]; /* ids in the order in which they ran */
};

struct gated_job {
	struct lane_job job;
	struct gate *gate;
	int id;
	bool waits;
};

static struct gate gate_new(void)
{
	return (struct gate){.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
}

static void gated_run(struct lane_job *job)
{
	struct gated_job *gated = (struct gated_job *)((char *)job - offsetof(struct gated_job, job));
	struct gate *gate = gated->gate;
	pthread_mutex_lock(&gate->lock);
	gate->order[gate->arrived++ % 64] = gated->id;
	pthread_cond_broadcast(&gate->changed);
	while (gated->waits && !gate->open)
		pthread_cond_wait(&gate->changed, &gate->lock);
	gate->left++;
	pthread_cond_broadcast(&gate->changed);
	pthread_mutex_unlock(&gate->lock);
}

static void gate_open(struct gate *gate)
{
	pthread_mutex_lock(&gate->lock);
	gate->open = true;
	pthread_cond_broadcast(&gate->changed);
	pthread_mutex_unlock(&gate->lock);
}

/* True when the counter reaches `wanted`, for which a busy machine may take long. */
static bool wait_for(struct gate *gate, const int *counter, int wanted)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 50;
	pthread_mutex_lock(&gate->lock);
	while (*counter < wanted && pthread_cond_timedwait(&gate->changed, &gate->lock, &until) == 0)
		;
	bool reached = *counter >= wanted;
	pthread_mutex_unlock(&gate->lock);
	return reached;
}

static struct lane *start(unsigned max, unsigned reserve)
{
	struct lane *lane;
	ck_assert_int_eq(lane_start(&(struct lane_options){.name = "test", .max = max, .reserve = reserve}, &lane), 0);
	return lane;
}

static void submit(struct lane *lane, struct gated_job *job, struct gate *gate, int id, bool waits, enum lane_class class)
{
	*job = (struct gated_job){.job.run = gated_run, .gate = gate, .id = id, .waits = waits};
	ck_assert(lane_submit(lane, &job->job, class));
}

START_TEST(test_options)
{
	struct lane *lane = NULL;
	ck_assert_int_eq(lane_start(&(struct lane_options){.name = "x", .max = 0, .reserve = 0}, &lane), -EINVAL);
	ck_assert_int_eq(lane_start(&(struct lane_options){.name = "x", .max = 2, .reserve = 2}, &lane), -EINVAL);
	ck_assert_ptr_null(lane);
	lane_stop(NULL);
	lane_stop(start(3, 1));
}
END_TEST

/* With far more blocked background and read-ahead jobs than threads, exactly max - reserve run, and demand runs at once. */
START_TEST(test_reserve_is_kept)
{
	struct gate slow = gate_new(), quick = gate_new();
	struct gated_job jobs[20], demand[6];
	struct lane_load load;
	struct lane *lane = start(5, 2);
	for (int i = 0; i < 20; i++)
		submit(lane, &jobs[i], &slow, i, true, i % 2 ? LANE_READAHEAD : LANE_BACKGROUND);
	ck_assert(wait_for(&slow, &slow.arrived, 3));
	for (int i = 0; i < 6; i++) {
		submit(lane, &demand[i], &quick, i, false, LANE_DEMAND);
		ck_assert(wait_for(&quick, &quick.left, i + 1));
	}
	lane_load(lane, &load);
	ck_assert_uint_eq(load.running[LANE_READAHEAD] + load.running[LANE_BACKGROUND], 3);
	ck_assert_uint_eq(load.queued[LANE_READAHEAD] + load.queued[LANE_BACKGROUND], 17);
	ck_assert_uint_eq(load.queued[LANE_DEMAND], 0);
	ck_assert_int_eq(slow.arrived, 3);
	gate_open(&slow);
	lane_stop(lane);
	ck_assert_int_eq(slow.left, 20);
}
END_TEST

/* Demand may have all threads; nothing else gets a turn before it. */
START_TEST(test_demand_takes_all)
{
	struct gate gate = gate_new();
	struct gated_job demand[4], background;
	struct lane_load load;
	struct lane *lane = start(4, 1);
	for (int i = 0; i < 4; i++)
		submit(lane, &demand[i], &gate, i, true, LANE_DEMAND);
	ck_assert(wait_for(&gate, &gate.arrived, 4));
	submit(lane, &background, &gate, 9, false, LANE_BACKGROUND);
	lane_load(lane, &load);
	ck_assert_uint_eq(load.running[LANE_DEMAND], 4);
	ck_assert_uint_eq(load.queued[LANE_BACKGROUND], 1);
	gate_open(&gate);
	lane_stop(lane);
	ck_assert_int_eq(gate.order[4], 9);
}
END_TEST

START_TEST(test_order_and_promotion)
{
	struct gate gate = gate_new();
	struct gated_job blocker, jobs[6];
	struct lane *lane = start(1, 0);
	submit(lane, &blocker, &gate, 0, true, LANE_DEMAND);
	ck_assert(wait_for(&gate, &gate.arrived, 1));
	ck_assert_msg(!lane_promote(lane, &blocker.job, LANE_DEMAND), "a running job was promoted");
	submit(lane, &jobs[0], &gate, 1, false, LANE_BACKGROUND);
	submit(lane, &jobs[1], &gate, 2, false, LANE_BACKGROUND);
	submit(lane, &jobs[2], &gate, 3, false, LANE_READAHEAD);
	submit(lane, &jobs[3], &gate, 4, false, LANE_READAHEAD);
	submit(lane, &jobs[4], &gate, 5, false, LANE_DEMAND);
	submit(lane, &jobs[5], &gate, 6, false, LANE_BACKGROUND);
	ck_assert(lane_promote(lane, &jobs[1].job, LANE_DEMAND));
	ck_assert(lane_promote(lane, &jobs[5].job, LANE_READAHEAD));
	/* Less urgent than it is: it stays where it is. */
	ck_assert(lane_promote(lane, &jobs[4].job, LANE_BACKGROUND));
	gate_open(&gate);
	ck_assert(wait_for(&gate, &gate.left, 7));
	ck_assert_msg(!lane_promote(lane, &jobs[0].job, LANE_DEMAND), "a finished job was promoted");
	static const int wanted[] = {0, 2, 5, 6, 3, 4, 1};
	ck_assert_mem_eq(gate.order, wanted, sizeof(wanted));
	lane_stop(lane);
}
END_TEST

START_TEST(test_put_back)
{
	struct gate gate = gate_new();
	struct gated_job blocker, jobs[3];
	struct lane *lane = start(1, 0);
	submit(lane, &blocker, &gate, 0, true, LANE_BACKGROUND);
	ck_assert(wait_for(&gate, &gate.arrived, 1));
	submit(lane, &jobs[0], &gate, 1, false, LANE_BACKGROUND);
	submit(lane, &jobs[1], &gate, 2, false, LANE_BACKGROUND);
	jobs[2] = (struct gated_job){.job.run = gated_run, .gate = &gate, .id = 3};
	ck_assert(lane_put_back(lane, &jobs[2].job, LANE_BACKGROUND));
	gate_open(&gate);
	lane_stop(lane);
	static const int wanted[] = {0, 3, 1, 2};
	ck_assert_mem_eq(gate.order, wanted, sizeof(wanted));
}
END_TEST

/* What waits can be had back, and what runs can not. */
START_TEST(test_withdraw)
{
	struct gate gate = gate_new();
	struct gated_job blocker, jobs[3];
	struct lane *lane = start(1, 0);
	submit(lane, &blocker, &gate, 0, true, LANE_BACKGROUND);
	ck_assert(wait_for(&gate, &gate.arrived, 1));
	for (int i = 0; i < 3; i++)
		submit(lane, &jobs[i], &gate, i + 1, false, i == 1 ? LANE_READAHEAD : LANE_BACKGROUND);
	ck_assert(!lane_withdraw(lane, &blocker.job));
	ck_assert(lane_withdraw(lane, &jobs[0].job));
	ck_assert(!lane_withdraw(lane, &jobs[0].job));
	ck_assert(lane_withdraw(lane, &jobs[1].job));
	ck_assert(lane_submit(lane, &jobs[0].job, LANE_BACKGROUND)); /* it is as any other again */
	gate_open(&gate);
	lane_stop(lane);
	static const int wanted[] = {0, 3, 1};
	ck_assert_int_eq(gate.arrived, 3);
	ck_assert_mem_eq(gate.order, wanted, sizeof(wanted));
}
END_TEST

START_TEST(test_pause)
{
	struct gate held = gate_new(), demand = gate_new();
	struct gated_job jobs[4], urgent[3];
	struct lane_load load;
	struct lane *lane = start(3, 1);
	lane_pause(lane, true);
	for (int i = 0; i < 4; i++)
		submit(lane, &jobs[i], &held, i, false, i % 2 ? LANE_READAHEAD : LANE_BACKGROUND);
	for (int i = 0; i < 3; i++)
		submit(lane, &urgent[i], &demand, i, false, LANE_DEMAND);
	ck_assert(wait_for(&demand, &demand.left, 3));
	lane_load(lane, &load);
	ck_assert_uint_eq(load.queued[LANE_READAHEAD], 2);
	ck_assert_uint_eq(load.queued[LANE_BACKGROUND], 2);
	ck_assert_int_eq(held.arrived, 0);
	/* A promoted job is demand and goes on. */
	ck_assert(lane_promote(lane, &jobs[0].job, LANE_DEMAND));
	ck_assert(wait_for(&held, &held.left, 1));
	lane_pause(lane, false);
	ck_assert(wait_for(&held, &held.left, 4));
	lane_stop(lane);
}
END_TEST

/* A limit holds background alone, is raised and lowered while jobs run, and does not outlive the lane. */
/* A lane that grows and shrinks: max and reserve hold for what starts from then on. */
START_TEST(test_resize)
{
	struct gate held = gate_new(), more = gate_new();
	struct gated_job jobs[10], demand[4];
	struct lane_load load;
	struct lane *lane = start(3, 1);
	ck_assert_int_eq(lane_resize(lane, 0, 0), -EINVAL);
	ck_assert_int_eq(lane_resize(lane, 2, 2), -EINVAL);
	for (int i = 0; i < 10; i++)
		submit(lane, &jobs[i], &held, i, true, LANE_BACKGROUND);
	ck_assert(wait_for(&held, &held.arrived, 2));
	ck_assert_int_eq(lane_resize(lane, 8, 2), 0);
	ck_assert(wait_for(&held, &held.arrived, 6));
	ck_assert_int_eq(lane_resize(lane, 4, 1), 0); /* six run: demand has to wait, too */
	for (int i = 0; i < 4; i++)
		submit(lane, &demand[i], &more, i, true, LANE_DEMAND);
	usleep(20000);
	lane_load(lane, &load);
	ck_assert_uint_eq(load.running[LANE_BACKGROUND], 6);
	ck_assert_uint_eq(load.queued[LANE_DEMAND], 4);
	gate_open(&held);
	ck_assert(wait_for(&more, &more.arrived, 4)); /* demand may have all four, but no more run */
	lane_load(lane, &load);
	ck_assert_uint_eq(load.running[LANE_DEMAND], 4);
	gate_open(&more);
	lane_stop(lane);
	ck_assert_int_eq(held.left, 10);
	ck_assert_int_eq(more.left, 4);
}
END_TEST

START_TEST(test_limit)
{
	struct gate held = gate_new(), ahead = gate_new();
	struct gated_job jobs[12], readahead[2];
	struct lane_load load;
	struct lane *lane = start(6, 1);
	lane_limit(lane, 2);
	for (int i = 0; i < 8; i++)
		submit(lane, &jobs[i], &held, i, true, LANE_BACKGROUND);
	ck_assert(wait_for(&held, &held.arrived, 2));
	for (int i = 0; i < 2; i++)
		submit(lane, &readahead[i], &ahead, i, false, LANE_READAHEAD);
	ck_assert(wait_for(&ahead, &ahead.left, 2));
	lane_load(lane, &load);
	ck_assert_uint_eq(load.limit, 2);
	ck_assert_uint_eq(load.running[LANE_BACKGROUND], 2);
	ck_assert_int_eq(held.arrived, 2);
	lane_limit(lane, 4);
	ck_assert(wait_for(&held, &held.arrived, 4));
	lane_limit(lane, 0);
	gate_open(&held);
	ck_assert(wait_for(&held, &held.left, 4));
	for (int i = 8; i < 12; i++)
		submit(lane, &jobs[i], &held, i, false, LANE_BACKGROUND);
	usleep(20000);
	lane_load(lane, &load);
	ck_assert_uint_eq(load.queued[LANE_BACKGROUND], 8);
	ck_assert_uint_eq(load.running[LANE_BACKGROUND], 0);
	lane_stop(lane);
	ck_assert_int_eq(held.left, 12);
}
END_TEST

START_TEST(test_stop_drains_a_paused_lane)
{
	struct gate gate = gate_new();
	struct gated_job jobs[30];
	struct lane *lane = start(3, 2);
	lane_pause(lane, true);
	for (int i = 0; i < 30; i++)
		submit(lane, &jobs[i], &gate, i, false, LANE_BACKGROUND);
	lane_stop(lane);
	ck_assert_int_eq(gate.left, 30);
}
END_TEST

/* A job that submits itself again until it is refused, and demand beside it, which never is. */
struct endless {
	struct lane_job job, last;
	struct lane *lane;
	atomic_int runs;
	atomic_bool refused, last_ran;
};

static void run_last(struct lane_job *job)
{
	struct endless *endless = (struct endless *)((char *)job - offsetof(struct endless, last));
	atomic_store(&endless->last_ran, true);
}

static void run_endless(struct lane_job *job)
{
	struct endless *endless = (struct endless *)((char *)job - offsetof(struct endless, job));
	atomic_fetch_add(&endless->runs, 1);
	if (lane_submit(endless->lane, job, LANE_BACKGROUND))
		return;
	atomic_store(&endless->refused, true);
	ck_assert(lane_submit(endless->lane, &endless->last, LANE_DEMAND));
}

START_TEST(test_stop_refuses_background)
{
	struct endless endless = {.job.run = run_endless, .last.run = run_last};
	endless.lane = start(2, 1);
	ck_assert(lane_submit(endless.lane, &endless.job, LANE_BACKGROUND));
	while (atomic_load(&endless.runs) < 100)
		usleep(100);
	lane_stop(endless.lane);
	ck_assert(atomic_load(&endless.refused));
	ck_assert(atomic_load(&endless.last_ran));
}
END_TEST

struct names {
	atomic_int started, stopped;
	atomic_bool wrong;
};

static void note_start(void *context)
{
	struct names *names = context;
	char name[16];
	pthread_getname_np(pthread_self(), name, sizeof(name));
	if (strncmp(name, "a-long-nam-", 11) != 0)
		atomic_store(&names->wrong, true);
	atomic_fetch_add(&names->started, 1);
}

static void note_stop(void *context)
{
	atomic_fetch_add(&((struct names *)context)->stopped, 1);
}

START_TEST(test_thread_hooks_and_names)
{
	struct names names = {0};
	struct lane *lane;
	char name[] = "a-long-name-of-a-lane";
	struct lane_options options = {
		.name = name, .max = 12, .reserve = 3, .thread_start = note_start, .thread_stop = note_stop, .context = &names};
	ck_assert_int_eq(lane_start(&options, &lane), 0);
	memset(name, 'x', sizeof(name) - 1); /* the lane has a copy */
	lane_stop(lane);
	ck_assert_int_eq(atomic_load(&names.started), 12);
	ck_assert_int_eq(atomic_load(&names.stopped), 12);
	ck_assert(!atomic_load(&names.wrong));
}
END_TEST

/* Many threads submit and promote at once: every job runs once. */
#define STORM_THREADS 4
#define STORM_JOBS 5000

struct storm_job {
	struct lane_job job;
	atomic_int runs;
};

struct storm {
	struct lane *lane;
	struct storm_job *jobs;
	unsigned seed;
};

static void run_storm(struct lane_job *job)
{
	atomic_fetch_add(&((struct storm_job *)((char *)job - offsetof(struct storm_job, job)))->runs, 1);
}

static void *storm_thread(void *arg)
{
	struct storm *storm = arg;
	for (int i = 0; i < STORM_JOBS; i++) {
		storm->jobs[i].job.run = run_storm;
		lane_submit(storm->lane, &storm->jobs[i].job, (enum lane_class)(rand_r(&storm->seed) % LANE_CLASSES));
		int other = rand_r(&storm->seed) % (i + 1);
		lane_promote(storm->lane, &storm->jobs[other].job, (enum lane_class)(rand_r(&storm->seed) % LANE_CLASSES));
		if (i % 100 == 0)
			lane_pause(storm->lane, i % 200 == 0);
	}
	return NULL;
}

START_TEST(test_storm)
{
	struct storm storms[STORM_THREADS];
	pthread_t threads[STORM_THREADS];
	struct lane *lane = start(6, 2);
	for (int i = 0; i < STORM_THREADS; i++) {
		storms[i] = (struct storm){lane, calloc(STORM_JOBS, sizeof(struct storm_job)), (unsigned)i};
		ck_assert_int_eq(pthread_create(&threads[i], NULL, storm_thread, &storms[i]), 0);
	}
	for (int i = 0; i < STORM_THREADS; i++)
		pthread_join(threads[i], NULL);
	lane_stop(lane);
	for (int i = 0; i < STORM_THREADS; i++) {
		for (int job = 0; job < STORM_JOBS; job++)
			ck_assert_int_eq(atomic_load(&storms[i].jobs[job].runs), 1);
		free(storms[i].jobs);
	}
}
END_TEST

#define SPIN_NS 20000000ull

static uint64_t processor_ns(void)
{
	struct timespec ran;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ran);
	return (uint64_t)ran.tv_sec * 1000000000u + (uint64_t)ran.tv_nsec;
}

static void spin(struct lane_job *job)
{
	uint64_t until_ns = processor_ns() + SPIN_NS; /* its thread has used some before */

	while (processor_ns() < until_ns)
		;
	gated_run(job);
}

/* Who works and who waits are told apart; asleep or not, a job counts. */
START_TEST(test_time)
{
	struct gate gate = gate_new();
	struct gated_job job = {.job.run = spin, .gate = &gate, .waits = true};
	struct lane_time before, after;
	struct lane *lane = start(2, 1);
	if (access("/proc/self/schedstat", R_OK) < 0) {
		ck_assert_int_lt(lane_time(lane, &before), 0);
		lane_stop(lane);
		return;
	}
	ck_assert_int_eq(lane_time(lane, &before), 0);
	ck_assert_uint_eq(before.worked_ns, 0);
	ck_assert(lane_submit(lane, &job.job, LANE_BACKGROUND));
	ck_assert(wait_for(&gate, &gate.arrived, 1));
	usleep(SPIN_NS / 1000);
	ck_assert_int_eq(lane_time(lane, &before), 0);
	ck_assert_uint_ge(before.worked_ns, 2 * SPIN_NS);
	ck_assert_uint_ge(before.wanted_ns, SPIN_NS);
	gate_open(&gate);
	ck_assert(wait_for(&gate, &gate.left, 1));
	ck_assert_int_eq(lane_time(lane, &after), 0);
	ck_assert_uint_ge(after.worked_ns, before.worked_ns);
	ck_assert_uint_ge(after.wanted_ns, before.wanted_ns);
	lane_stop(lane);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lane");
	TCase *tests = tcase_create("lane");
	tcase_add_test(tests, test_options);
	tcase_add_test(tests, test_reserve_is_kept);
	tcase_add_test(tests, test_demand_takes_all);
	tcase_add_test(tests, test_order_and_promotion);
	tcase_add_test(tests, test_put_back);
	tcase_add_test(tests, test_withdraw);
	tcase_add_test(tests, test_pause);
	tcase_add_test(tests, test_resize);
	tcase_add_test(tests, test_limit);
	tcase_add_test(tests, test_stop_drains_a_paused_lane);
	tcase_add_test(tests, test_stop_refuses_background);
	tcase_add_test(tests, test_thread_hooks_and_names);
	tcase_add_test(tests, test_storm);
	tcase_add_test(tests, test_time);
	tcase_set_timeout(tests, 60);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
