/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The window against a line of a rate and a length: full when that can be, no more than needed otherwise.
 */
#include "base/clock.h"
#include "migrate/window.h"

#include <check.h>

#define SEGMENT (1u << 20)

static struct window window;
static uint64_t now_ns;

static void setup(void)
{
	window_init(&window);
	now_ns = 1000 * NS_PER_S;
}

/* What a read takes with so many on their way: its own time, or that of all that are queued before it. */
static uint64_t read_takes_ns(unsigned in_flight, double per_second, double round_trip_s)
{
	double alone = round_trip_s + 1 / per_second, queued = in_flight / per_second;

	return (uint64_t)((queued > alone ? queued : alone) * (double)NS_PER_S);
}

static void carry(unsigned reads, double per_second, double round_trip_s)
{
	for (unsigned i = 0; i < reads; i++) {
		unsigned in_flight = WINDOW_WORKERS * window_depth(&window);
		uint64_t took_ns = read_takes_ns(in_flight, per_second, round_trip_s);
		now_ns += took_ns / in_flight;
		window_note(&window, took_ns, true, now_ns);
	}
}

/* 20 on their way fill this one. */
START_TEST(a_long_line_is_filled)
{
	carry(1000, 1000, 0.019);
	ck_assert_uint_ge(WINDOW_WORKERS * window_depth(&window), 20);
}
END_TEST

START_TEST(a_line_that_is_longer_than_can_be_filled_has_the_most)
{
	carry(1000, 10000, 0.1);
	ck_assert_uint_eq(window_depth(&window), WINDOW_DEPTH_MOST);
}
END_TEST

/* Two on their way fill it, more only stand in its queue: one try, and then a pause. */
START_TEST(a_short_line_gets_no_queue)
{
	unsigned deeper = 0;

	for (unsigned i = 0; i < 1000; i++) {
		carry(1, 119, 0.001);
		deeper += window_depth(&window) > WINDOW_DEPTH_LEAST;
	}
	ck_assert_uint_eq(window_depth(&window), WINDOW_DEPTH_LEAST);
	ck_assert_uint_gt(deeper, 0);
	ck_assert_uint_lt(deeper, 100);
}
END_TEST

/* Two steps more than fill it: the target may stop for a moment, and nobody stands behind more than a short queue. */
START_TEST(a_fast_line_has_some_to_spare)
{
	carry(1000, 297, 0.020);
	uint64_t takes_ns = read_takes_ns(WINDOW_WORKERS * window_depth(&window), 297, 0.020);
	ck_assert_uint_eq(window_depth(&window), WINDOW_DEPTH_LEAST + 2);
	ck_assert_uint_le(takes_ns, WINDOW_SPARE_NS);
}
END_TEST

/* For a while nobody waits, since the target stands; then it is what it was, with no trial and no pause. */
START_TEST(it_comes_back_to_what_was_good)
{
	carry(1000, 297, 0.020);
	for (unsigned i = 0; i < 100; i++)
		window_note(&window, NS_PER_MS, false, now_ns += NS_PER_MS);
	ck_assert_uint_eq(window_depth(&window), WINDOW_DEPTH_LEAST);
	for (unsigned i = 0; i < 150; i++) {
		carry(1, 297, 0.020);
		ck_assert_uint_le(window_depth(&window), WINDOW_DEPTH_LEAST + 2);
	}
	ck_assert_uint_eq(window_depth(&window), WINDOW_DEPTH_LEAST + 2);
}
END_TEST

/* The target is the limit: what was asked for is there before it is wanted. */
START_TEST(it_shrinks_when_nobody_waits)
{
	carry(1000, 10000, 0.1);
	for (unsigned i = 0; i < 1000; i++)
		window_note(&window, NS_PER_MS, false, now_ns += NS_PER_MS);
	ck_assert_uint_eq(window_depth(&window), WINDOW_DEPTH_LEAST);
}
END_TEST

START_TEST(bytes_are_bounded)
{
	unsigned taken = 0;

	while (window_take(&window, SEGMENT))
		taken++;
	ck_assert_uint_eq(taken, WINDOW_BYTES / SEGMENT);
	window_give(&window, SEGMENT);
	ck_assert(!window_take(&window, SEGMENT + 1));
	ck_assert(window_take(&window, SEGMENT));
	ck_assert(!window_take(&window, 1));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("window");
	TCase *tcase = tcase_create("window");
	tcase_add_checked_fixture(tcase, setup, NULL);
	tcase_add_test(tcase, a_long_line_is_filled);
	tcase_add_test(tcase, a_line_that_is_longer_than_can_be_filled_has_the_most);
	tcase_add_test(tcase, a_short_line_gets_no_queue);
	tcase_add_test(tcase, a_fast_line_has_some_to_spare);
	tcase_add_test(tcase, it_comes_back_to_what_was_good);
	tcase_add_test(tcase, it_shrinks_when_nobody_waits);
	tcase_add_test(tcase, bytes_are_bounded);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
