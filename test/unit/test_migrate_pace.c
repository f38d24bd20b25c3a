/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The time remaining: right for a steady pace from the first seconds on, calm when the pace jumps, silent when nobody can tell.
 */
#include "base/clock.h"
#include "migrate/pace.h"

#include <check.h>

static uint64_t now_ns, bytes, files;

static void move(struct pace *pace, unsigned seconds, uint64_t bytes_per_s, uint64_t files_per_s)
{
	for (unsigned i = 0; i < seconds; i++) {
		now_ns += NS_PER_S;
		bytes += bytes_per_s;
		files += files_per_s;
		pace_tick(pace, now_ns, bytes, files);
	}
}

static struct pace fresh(void)
{
	struct pace pace = {0};
	now_ns = 1000 * NS_PER_S;
	bytes = files = 0;
	pace_tick(&pace, now_ns, 0, 0);
	return pace;
}

START_TEST(test_steady)
{
	for (unsigned seconds = 3; seconds < 1000; seconds = seconds * 2 + 1) {
		struct pace pace = fresh();
		move(&pace, seconds, 1000, 10);
		ck_assert_int_eq(pace_remaining(&pace, 100000, 10), 100);
		ck_assert_int_eq(pace_remaining(&pace, 1000, 5000), 500);
		ck_assert_int_eq(pace_remaining(&pace, 0, 0), 0);
	}
}
END_TEST

START_TEST(test_nobody_can_tell)
{
	struct pace pace = {0};
	ck_assert_int_eq(pace_remaining(&pace, 1, 1), -1);
	ck_assert_int_eq(pace_remaining(&pace, 0, 0), 0);
	pace = fresh();
	move(&pace, 1, 1000, 10);
	ck_assert_int_eq(pace_remaining(&pace, 1000, 10), -1);
	pace = fresh();
	move(&pace, 60, 0, 0);
	ck_assert_int_eq(pace_remaining(&pace, 1, 1), -1);
	pace = fresh();
	move(&pace, 60, 1, 0);
	ck_assert_int_eq(pace_remaining(&pace, INT64_MAX, 0), -1);
	ck_assert_int_eq(pace_remaining(&pace, 0, 7), -1); /* no file has come to its end yet */
	ck_assert_int_eq(pace_remaining(&pace, 60, 7), 60);
}
END_TEST

START_TEST(test_calm)
{
	struct pace pace = fresh();
	move(&pace, 300, 1000, 10);
	move(&pace, 1, 100000, 10); /* one second at a hundred times the rate */
	int64_t after = pace_remaining(&pace, 1000000, 0);
	ck_assert_int_gt(after, 300);
	move(&pace, 240, 100, 10); /* a limit came into force: believed within minutes */
	int64_t slow = pace_remaining(&pace, 1000000, 0);
	ck_assert_int_gt(slow, 6000);
	ck_assert_int_le(slow, 10000);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pace");
	TCase *tests = tcase_create("pace");
	tcase_add_test(tests, test_steady);
	tcase_add_test(tests, test_nobody_can_tell);
	tcase_add_test(tests, test_calm);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
