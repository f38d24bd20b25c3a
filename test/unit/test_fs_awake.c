/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * When processors are asked to stay awake, and when no longer: a file instead of the kernel's device.
 */
#include "fs/awake.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SOON 10   /* looks after which what many requests bring has come */
#define LONG 1000 /* looks after which it has gone */
#define MANY 50   /* requests from one look to the next */
#define A_FEW 3

static char path[64];
static struct awake awake;
static uint64_t requests;

static void start(void)
{
	snprintf(path, sizeof(path), "/tmp/dmmfs-awake-XXXXXX");
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	close(fd);
	awake_start(&awake, AWAKE_ON);
	awake.path = path;
	requests = 0;
}

static void stop(void)
{
	awake_stop(&awake);
	unlink(path);
}

static void look(int times, uint64_t each)
{
	for (int i = 0; i < times; i++) {
		requests += each;
		awake_look(&awake, requests);
	}
}

START_TEST(many_requests_keep_processors_awake)
{
	int32_t latency_us = -1;
	FILE *device;

	look(SOON, MANY);
	ck_assert(awake_is_held(&awake));
	device = fopen(path, "re");
	ck_assert_ptr_nonnull(device);
	ck_assert_uint_eq(fread(&latency_us, sizeof(latency_us), 1, device), 1);
	fclose(device);
	ck_assert_int_eq(latency_us, 0);
}
END_TEST

START_TEST(a_pause_is_waited_for)
{
	look(SOON, MANY);
	look(SOON, 0);
	ck_assert(awake_is_held(&awake));
	look(LONG, A_FEW);
	ck_assert(awake_is_held(&awake));
}
END_TEST

START_TEST(without_requests_they_may_sleep)
{
	look(SOON, MANY);
	look(LONG, 0);
	ck_assert(!awake_is_held(&awake));
	look(SOON, MANY);
	ck_assert(awake_is_held(&awake));
}
END_TEST

START_TEST(few_requests_are_not_worth_it)
{
	look(LONG, A_FEW);
	ck_assert(!awake_is_held(&awake));
	for (int i = 0; i < SOON; i++) {
		look(1, MANY);
		look(1, 0);
	}
	ck_assert(!awake_is_held(&awake));
}
END_TEST

START_TEST(where_there_is_no_device_nobody_asks_twice)
{
	unlink(path);
	look(SOON, MANY);
	ck_assert(!awake_is_held(&awake));
	ck_assert_ptr_null(awake.path);
	look(SOON, MANY);
	ck_assert(!awake_is_held(&awake));
}
END_TEST

START_TEST(who_does_not_want_it_does_not_get_it)
{
	awake_start(&awake, AWAKE_OFF);
	ck_assert_ptr_null(awake.path);
	look(SOON, MANY);
	ck_assert(!awake_is_held(&awake));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("awake");
	TCase *tests = tcase_create("awake");

	tcase_add_checked_fixture(tests, start, stop);
	tcase_add_test(tests, many_requests_keep_processors_awake);
	tcase_add_test(tests, a_pause_is_waited_for);
	tcase_add_test(tests, without_requests_they_may_sleep);
	tcase_add_test(tests, few_requests_are_not_worth_it);
	tcase_add_test(tests, where_there_is_no_device_nobody_asks_twice);
	tcase_add_test(tests, who_does_not_want_it_does_not_get_it);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
