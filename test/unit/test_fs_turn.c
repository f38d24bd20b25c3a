/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Whose turn it is to ask for a request: a pipe instead of the kernel's descriptor, a byte for each request. Whatever the turns
 * decide, every request must be served, also while others are busy for as long as it takes: a test that hangs has failed.
 */
#include "fs/turn.h"

#include "base/clock.h"

#include <check.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <unistd.h>

#define THREADS 4
#define FEW 2 /* as on a machine with two processors */
#define QUICK 'q'
#define STUCK 's' /* until somebody says that it may go on */
#define SLOW 'w'  /* the same, and known to take long */
#define END 'e'

static struct turn turn;
static int requests[2];
static sem_t served, go_on;
static pthread_t threads[THREADS];

/* In the place of the C library's. */
static unsigned processors = 2;

int sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set)
{
	(void)pid;
	CPU_ZERO_S(size, set);
	for (unsigned i = 0; i < processors; i++)
		CPU_SET_S(i, size, set);
	return 0;
}

static void serve(char request)
{
	turn_taken(&turn, request == SLOW ? FUSE_WRITE : FUSE_LOOKUP, 1);
	if (request == STUCK || request == SLOW)
		sem_wait(&go_on);
	sem_post(&served);
}

static void *receive(void *context)
{
	char request;

	(void)context;
	for (;;) {
		turn_await(&turn, requests[0]);
		if (read(requests[0], &request, 1) != 1 || request == END)
			break;
		serve(request);
	}
	turn_end(&turn);
	return NULL;
}

static void ask(char request)
{
	ck_assert_int_eq(write(requests[1], &request, 1), 1);
}

static void start(void)
{
	ck_assert_int_eq(pipe(requests), 0);
	sem_init(&served, 0, 0);
	sem_init(&go_on, 0, 0);
	turn_start(&turn, THREADS, AWAKE_ON);
	turn.awake.path = "/dev/null";
	turn.few = FEW;
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, receive, NULL), 0);
}

/* Whoever waits in turn_await() must come out of it as well. */
static void stop(void)
{
	ask(END);
	close(requests[1]);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	close(requests[0]);
	turn_stop(&turn);
}

static void ask_closely(int count)
{
	for (int i = 0; i < count; i++) {
		ask(QUICK);
		sem_wait(&served);
	}
}

START_TEST(requests_that_follow_each_other_are_served)
{
	ask_closely(20000);
}
END_TEST

START_TEST(requests_after_a_rest_are_served)
{
	for (int i = 0; i < 20; i++) {
		ask_closely(100);
		usleep(2000);
	}
}
END_TEST

START_TEST(many_at_once_are_served)
{
	for (int round = 0; round < 50; round++) {
		for (int i = 0; i < 200; i++)
			ask(QUICK);
		for (int i = 0; i < 200; i++)
			sem_wait(&served);
	}
}
END_TEST

/* All but one thread are busy without an end, one after the other: what comes then is served all the same. */
static void check_others_serve(char kind)
{
	for (int busy = 1; busy < THREADS; busy++) {
		ask_closely(1000);
		ask(kind);
		ask_closely(1000);
	}
	for (int busy = 1; busy < THREADS; busy++)
		sem_post(&go_on);
	for (int busy = 1; busy < THREADS; busy++)
		sem_wait(&served);
	ask_closely(1000);
}

START_TEST(nobody_waits_for_one_that_is_stuck)
{
	check_others_serve(STUCK);
}
END_TEST

START_TEST(nobody_waits_for_what_takes_long)
{
	check_others_serve(SLOW);
}
END_TEST

static bool rest_is_parked(void)
{
	pthread_mutex_lock(&turn.lock);
	bool is = turn.parked == THREADS - FEW && turn.asking == FEW;
	pthread_mutex_unlock(&turn.lock);
	return is;
}

/* Several callers at once: nobody polls, and the kernel's queue has no more threads in it than can be of use. */
START_TEST(as_many_ask_as_there_are_processors)
{
	pthread_mutex_lock(&turn.lock);
	turn.most = 0; /* to the turns all requests here are of one caller */
	pthread_mutex_unlock(&turn.lock);
	while (!rest_is_parked())
		usleep(100);
	for (int i = 0; i < 1000; i++) {
		ask(STUCK);
		ask(STUCK);
		sem_post(&go_on);
		sem_post(&go_on);
		sem_wait(&served);
		sem_wait(&served);
		pthread_mutex_lock(&turn.lock);
		ck_assert_uint_le(turn.asking, FEW);
		pthread_mutex_unlock(&turn.lock);
	}
}
END_TEST

static void *await_turn(void *context)
{
	turn_await(&turn, requests[0]);
	return context;
}

/* As the condition variables of some C libraries do: the summons is there, and nobody is woken. */
START_TEST(a_wake_up_that_is_lost_is_made_up_for)
{
	pthread_t thread;
	bool parked = false;

	turn_start(&turn, THREADS, AWAKE_OFF);
	turn.most = 1;
	turn.close = 1000; /* hot */
	turn.last_ns = NS_PER_S;
	turn.asking = 1; /* somebody asks, so one parks */
	ck_assert_int_eq(pthread_create(&thread, NULL, await_turn, NULL), 0);
	while (!parked) {
		usleep(1000);
		pthread_mutex_lock(&turn.lock);
		parked = turn.parked == 1 && !turn.has_deputy;
		turn.summons = parked;
		turn.asking -= parked; /* or it would poll the pipe that is not there */
		turn.close = parked ? 0 : turn.close;
		pthread_mutex_unlock(&turn.lock);
	}
	pthread_join(thread, NULL);
	turn_stop(&turn);
}
END_TEST

/* The deputy is called away, and nobody is left who would see that requests are rare again: they must not stay awake for nothing. */
START_TEST(processors_sleep_when_nobody_looks_after_them)
{
	pthread_t thread;
	bool called = false;

	turn_start(&turn, THREADS, AWAKE_OFF);
	turn.awake.fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	ck_assert(awake_is_held(&turn.awake));
	turn.asking = turn.few; /* so one parks */
	ck_assert_int_eq(pthread_create(&thread, NULL, await_turn, NULL), 0);
	while (!called) {
		pthread_mutex_lock(&turn.lock);
		called = turn.has_deputy;
		turn.asking -= called ? turn.few : 0; /* those who asked are busy, for long */
		pthread_mutex_unlock(&turn.lock);
	}
	pthread_join(thread, NULL);
	ck_assert_uint_eq(turn.asking, 1);
	ck_assert(!awake_is_held(&turn.awake));
	turn_stop(&turn);
}
END_TEST

/* Many requests of a new caller came before anybody asked again. */
START_TEST(a_new_caller_has_not_been_alone_for_long)
{
	turn_start(&turn, THREADS, AWAKE_OFF);
	turn.most = 1;
	turn.close = 1000;
	turn.last_ns = NS_PER_S;
	turn.alone_ns = NS_PER_S + 1;
	turn.asking = 1; /* who comes next would park, and nobody would wake it, if one were to poll */
	turn_await(&turn, requests[0]);
	ck_assert_uint_eq(turn.asking, 2);
	turn_stop(&turn);
}
END_TEST

/* Where there are as many processors as threads, or more: who looks after them does not ask. */
START_TEST(one_is_left_for_the_processors)
{
	for (processors = 1; processors <= 2 * THREADS; processors++) {
		turn_start(&turn, THREADS, AWAKE_ON);
		ck_assert_uint_lt(turn.few, THREADS);
		ck_assert_uint_ge(turn.few, 2);
		turn_stop(&turn);
		turn_start(&turn, THREADS, AWAKE_OFF);
		ck_assert_uint_eq(turn.few, processors < 2 ? 2 : processors);
		turn_stop(&turn);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("turn");
	TCase *alone = tcase_create("alone");
	TCase *tests = tcase_create("turn");

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, start, stop);
	tcase_add_test(tests, requests_that_follow_each_other_are_served);
	tcase_add_test(tests, requests_after_a_rest_are_served);
	tcase_add_test(tests, many_at_once_are_served);
	tcase_add_test(tests, nobody_waits_for_one_that_is_stuck);
	tcase_add_test(tests, nobody_waits_for_what_takes_long);
	tcase_add_test(tests, as_many_ask_as_there_are_processors);
	suite_add_tcase(suite, tests);
	tcase_set_timeout(alone, 60);
	tcase_add_test(alone, a_wake_up_that_is_lost_is_made_up_for);
	tcase_add_test(alone, processors_sleep_when_nobody_looks_after_them);
	tcase_add_test(alone, one_is_left_for_the_processors);
	tcase_add_test(alone, a_new_caller_has_not_been_alone_for_long);
	suite_add_tcase(suite, alone);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
