/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Schedules: what is understood and what is refused; which rule is in force, and until when, also over changes to and from summer
 * time. Random schedules at random times in several zones are compared with a search minute by minute, and their texts with what
 * becomes of them when they are read again.
 */
#include "property/measure.h"
#include "property/schedule.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Rules instead of names, so that it does not matter what the machine has in /usr/share/zoneinfo. */
#define BERLIN "CET-1CEST,M3.5.0,M10.5.0/3"

static const char *const zones[] = {
	"UTC0",
	BERLIN,
	"EST5EDT,M3.2.0,M11.1.0",
	"<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", /* half an hour of summer time */
	"<+0545>-5:45",
	"IST-1GMT0,M10.5.0,M3.5.0/1",      /* winter is the exception */
	"<-04>4<-03>,M9.1.6/24,M4.1.6/24", /* changes at midnight */
	"EET-2EEST,M3.5.4/24,M10.5.5/1",   /* the first hour of a day is left out */
	"<-02>2<-01>,M3.5.0/-1,M10.5.0/0", /* changes in the evening before */
};
#define ZONES (sizeof(zones) / sizeof(*zones))

static uint64_t random_state;

static uint64_t random_below(uint64_t limit)
{
	random_state += 0x9e3779b97f4a7c15ull;
	uint64_t z = random_state;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return (z ^ (z >> 31)) % limit;
}

static void seed_random(void)
{
	const char *seed = getenv("DMMFS_TEST_SEED");
	random_state = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL);
	printf("DMMFS_TEST_SEED=%llu\n", (unsigned long long)random_state);
	fflush(stdout);
}

static void set_zone(const char *zone)
{
	setenv("TZ", zone, 1);
	tzset();
}

static time_t at(int year, int month, int day, int hour, int minute, int is_dst)
{
	struct tm tm = {.tm_year = year - 1900,
	                .tm_mon = month - 1,
	                .tm_mday = day,
	                .tm_hour = hour,
	                .tm_min = minute,
	                .tm_isdst = is_dst};
	return mktime(&tm);
}

static struct schedule parsed(const char *text)
{
	struct schedule schedule;
	char error[512] = "";

	memset(&schedule, 0, sizeof(schedule));
	ck_assert_msg(schedule_parse(text, &schedule, error, sizeof(error)) == 0, "'%s': %s", text, error);
	return schedule;
}

static void expect_text(const char *text, const char *wanted)
{
	char buf[SCHEDULE_TEXT];
	struct schedule schedule = parsed(text);

	ck_assert_str_eq(schedule_format(&schedule, buf, sizeof(buf)), wanted);
	schedule = parsed(buf);
	ck_assert_str_eq(schedule_format(&schedule, buf, sizeof(buf)), wanted);
}

static void expect_refused(const char *text, const char *why)
{
	struct schedule schedule = {.n_rules = 4711};
	char error[512] = "";

	ck_assert_msg(schedule_parse(text, &schedule, error, sizeof(error)) == -EINVAL, "'%s' was taken", text);
	ck_assert_msg(strstr(error, why), "'%s': the message is: %s", text, error);
	ck_assert_msg(strstr(error, "mon-fri 08:00-18:00"), "no example: %s", error);
	ck_assert_uint_eq(schedule.n_rules, 4711);
}

START_TEST(test_texts)
{
	expect_text("mon-fri 08:00-18:00 limit=20MB/s workers=1; * limit=none workers=max",
	            "mon-fri 08:00-18:00 limit=20MB/s workers=1; * limit=none workers=max");
	expect_text("none", "none");
	expect_text("  None ", "none");
	expect_text("", "none");
	expect_text(" ; ;", "none");
	expect_text("daily limit=1.5m", "* limit=1536KB/s workers=max");
	expect_text("8:00-9:30 limit=1000000b/S;", "* 08:00-09:30 limit=1000000B/s workers=max");
	expect_text("Saturday,sun workers=0", "sat,sun limit=none workers=0");
	expect_text("sun-sat workers=2", "* limit=none workers=2");
	expect_text("fri-mon workers=2", "mon,fri-sun limit=none workers=2");
	expect_text("fri-fri workers=2", "fri limit=none workers=2");
	expect_text("mon tue,wed 22:00-06:00,00:00-24:00 12:00-13:00 latency=5ms",
	            "mon-wed 22:00-06:00,00:00-24:00,12:00-13:00 limit=none workers=max latency=5ms");
	expect_text("LIMIT=NONE WORKERS=MAX LATENCY=OFF", "* limit=none workers=max latency=off");
	expect_text("latency=1500ms", "* limit=none workers=max latency=1500ms");
}
END_TEST

START_TEST(test_refusals)
{
	expect_refused("mon-fri", "sets nothing");
	expect_refused("mon-fri; * limit=1M", "rule 1: it sets nothing");
	expect_refused("* limit=1M; mon workers=0", "rule 2: the rule before it holds always");
	expect_refused("mo limit=1M", "rule 1, word 1, \"mo\": days are written");
	expect_refused("mon- limit=1M", "days are written");
	expect_refused("mon, tue limit=1M", "word 1, \"mon,\"");
	expect_refused("mon limit=1M; tue 8-18 limit=1M", "rule 2, word 2, \"8-18\": times are written");
	expect_refused("08:00-25:00 limit=1M", "times are written");
	expect_refused("08:00-24:01 limit=1M", "times are written");
	expect_refused("24:00-08:00 limit=1M", "times are written");
	expect_refused("08:60-09:00 limit=1M", "times are written");
	expect_refused("08:00-09:000 limit=1M", "times are written");
	expect_refused("08:00 limit=1M", "times are written");
	expect_refused("08:00-08:00 limit=1M", "holds nothing");
	expect_refused("08:00-09:00 mon limit=1M", "days come before times");
	expect_refused("limit=1M mon", "days, then times, then settings");
	expect_refused("limit=1M limit=2M", "a limit already");
	expect_refused("workers=1 workers=1", "workers already");
	expect_refused("latency=1ms latency=off", "a latency already");
	expect_refused("limit=0", "limit must be none, or a rate from 1KB/s");
	expect_refused("limit=", "limit must be");
	expect_refused("limit=fast", "limit must be");
	expect_refused("workers=-1", "workers must be a number");
	expect_refused("workers=1025", "workers must be a number");
	expect_refused("workers=99999999999999999999", "workers must be a number");
	expect_refused("workers=", "workers must be a number");
	expect_refused("latency=20", "latency must be off, or a time");
	expect_refused("latency=1h", "latency must be");
	expect_refused("speed=1", "there are the settings limit, workers and latency");
	expect_refused("=1", "there are the settings");
	expect_refused("none none", "days are written");
	expect_refused("m\xc3\xb6n workers=1", "\"m??n\"");
	expect_refused("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa workers=1", "aaa...\"");
}
END_TEST

START_TEST(test_measures)
{
	uint64_t value = 4711;
	char buf[MEASURE_TEXT];

	ck_assert_int_eq(rate_parse("20MB/s", &value), 0);
	ck_assert_uint_eq(value, 20 << 20);
	ck_assert_int_eq(rate_parse("none", &value), 0);
	ck_assert_uint_eq(value, RATE_NONE);
	ck_assert_int_eq(rate_parse("1023", &value), -ERANGE);
	ck_assert_int_eq(rate_parse("2P", &value), -ERANGE);
	ck_assert_int_eq(rate_parse("/s", &value), -EINVAL);
	ck_assert_int_eq(rate_parse("", &value), -EINVAL);
	ck_assert_int_eq(rate_parse("1M/s/s", &value), -EINVAL);
	ck_assert_int_eq(rate_parse("0000000000000000000000000000000000000000000000000000000000000000000001M", &value), -EINVAL);
	ck_assert_uint_eq(value, RATE_NONE);
	ck_assert_str_eq(rate_format(RATE_MAX, buf, sizeof(buf)), "1PB/s");
	ck_assert_str_eq(rate_format(1025, buf, sizeof(buf)), "1025B/s");
	ck_assert_int_eq(latency_parse("1s", &value), 0);
	ck_assert_uint_eq(value, 1000000);
	ck_assert_int_eq(latency_parse("99us", &value), -ERANGE);
	ck_assert_int_eq(latency_parse("61s", &value), -ERANGE);
	ck_assert_int_eq(latency_parse("99999999999999999999999s", &value), -ERANGE);
	ck_assert_int_eq(latency_parse("ms", &value), -EINVAL);
	ck_assert_int_eq(latency_parse("20", &value), -EINVAL);
	ck_assert_uint_eq(value, 1000000);
	ck_assert_int_eq(latency_parse("1.5ms", &value), 0);
	ck_assert_uint_eq(value, 1500);
}
END_TEST

/* In force at `now` is rule `wanted` (from 0; -1: none), until `until` (0: for more than eight days). */
static void expect_rule(const struct schedule *schedule, time_t now, int wanted, time_t until)
{
	time_t found = 0;
	bool ends = schedule_until(schedule, now, &found);

	ck_assert_int_eq(schedule_rule_at(schedule, now), wanted);
	ck_assert_int_eq(ends, until != 0);
	ck_assert_int_eq(found, until);
}

START_TEST(test_working_hours)
{
	struct schedule schedule = parsed("mon-fri 08:00-18:00 workers=1; * workers=max");

	set_zone(BERLIN);
	expect_rule(&schedule, at(2026, 11, 18, 12, 0, -1), 0, at(2026, 11, 18, 18, 0, -1)); /* a Wednesday */
	expect_rule(&schedule, at(2026, 11, 18, 8, 0, -1), 0, at(2026, 11, 18, 18, 0, -1));
	expect_rule(&schedule, at(2026, 11, 18, 8, 0, -1) - 1, 1, at(2026, 11, 18, 8, 0, -1));
	expect_rule(&schedule, at(2026, 11, 18, 18, 0, -1) - 1, 0, at(2026, 11, 18, 18, 0, -1));
	expect_rule(&schedule, at(2026, 11, 20, 18, 0, -1), 1, at(2026, 11, 23, 8, 0, -1));
}
END_TEST

START_TEST(test_midnight)
{
	struct schedule schedule = parsed("fri 22:00-06:00 workers=0");

	set_zone(BERLIN);
	expect_rule(&schedule, at(2026, 11, 20, 23, 0, -1), 0, at(2026, 11, 21, 6, 0, -1));
	expect_rule(&schedule, at(2026, 11, 21, 5, 59, -1), 0, at(2026, 11, 21, 6, 0, -1));
	expect_rule(&schedule, at(2026, 11, 21, 22, 0, -1), -1, at(2026, 11, 27, 22, 0, -1));
	expect_rule(&schedule, at(2026, 11, 20, 5, 0, -1), -1, at(2026, 11, 20, 22, 0, -1));
}
END_TEST

START_TEST(test_never_changes)
{
	struct schedule always = parsed("* workers=1"), none = parsed("none");

	set_zone(BERLIN);
	expect_rule(&always, at(2026, 3, 27, 12, 0, -1), 0, 0);
	expect_rule(&none, at(2026, 3, 27, 12, 0, -1), -1, 0);
}
END_TEST

/* On 29 March 2026 the clock goes from 02:00 to 03:00, on 25 October from 03:00 back to 02:00. */
START_TEST(test_summer_time)
{
	struct schedule inside = parsed("sun 02:10-02:50 workers=0"), over = parsed("sun 01:30-02:30 workers=0"),
			night = parsed("sat 22:00-06:00 workers=0");
	time_t forward, back;

	set_zone(BERLIN);
	forward = at(2026, 3, 29, 3, 0, -1);
	back = at(2026, 10, 25, 2, 0, 0);
	ck_assert_int_eq(forward - at(2026, 3, 29, 1, 59, -1), 60);

	/* left out: 02:10 to 02:50 is never shown; of 01:30 to 02:30 half an hour */
	expect_rule(&inside, forward - 3600, -1, at(2026, 4, 5, 2, 10, -1));
	expect_rule(&over, forward - 600, 0, forward);
	expect_rule(&night, forward - 600, 0, at(2026, 3, 29, 6, 0, -1));
	ck_assert_int_eq(at(2026, 3, 29, 6, 0, -1) - at(2026, 3, 28, 22, 0, -1), 7 * 3600);

	/* twice */
	expect_rule(&inside, back - 1, -1, at(2026, 10, 25, 2, 10, 0));
	expect_rule(&inside, at(2026, 10, 25, 2, 20, 1), 0, at(2026, 10, 25, 2, 50, 1));
	expect_rule(&inside, at(2026, 10, 25, 2, 20, 0), 0, at(2026, 10, 25, 2, 50, 0));
	expect_rule(&over, at(2026, 10, 25, 2, 20, 1), 0, at(2026, 10, 25, 2, 30, 1));
	expect_rule(&over, at(2026, 10, 25, 2, 40, 1), -1, back);
	expect_rule(&over, back, 0, at(2026, 10, 25, 2, 30, 0));
}
END_TEST

/* --- random ones --- */

static struct schedule random_schedule(void)
{
	struct schedule schedule;

	memset(&schedule, 0, sizeof(schedule));
	schedule.n_rules = (unsigned)random_below(5);
	for (unsigned i = 0; i < schedule.n_rules; i++) {
		struct schedule_rule *rule = &schedule.rules[i];
		rule->days = (uint8_t)(1 + random_below(127));
		rule->n_ranges = (uint8_t)random_below(4);
		if (rule->days == 127 && rule->n_ranges == 0)
			rule->n_ranges = 1; /* as the only thing that is refused behind it */
		for (unsigned r = 0; r < rule->n_ranges; r++) {
			/* half of them about the time of the night at which zones change */
			uint64_t span = random_below(2) ? 240 : 1440;
			rule->ranges[r].from = (uint16_t)random_below(span);
			do
				rule->ranges[r].to = (uint16_t)random_below(span + 1);
			while (rule->ranges[r].to == rule->ranges[r].from);
		}
		rule->limit_bytes_per_s = random_below(2) ? RATE_NONE : (uint64_t)RATE_MIN << random_below(40);
		rule->workers = random_below(2) ? SCHEDULE_WORKERS_MAX : (uint32_t)random_below(1025);
		rule->has_latency = random_below(2);
		rule->latency_us = rule->has_latency && random_below(2) ? 100 + random_below(60000000 - 100) : LATENCY_OFF;
	}
	return schedule;
}

static bool oracle_holds(const struct schedule_rule *rule, const struct tm *tm)
{
	int minute = tm->tm_hour * 60 + tm->tm_min;

	for (unsigned i = 0; i < rule->n_ranges; i++) {
		int from = rule->ranges[i].from, to = rule->ranges[i].to;
		/* as it began on each day of the week, in minutes before now */
		for (int back = 0; back < 2; back++) {
			int length = to > from ? to - from : to + 1440 - from;
			int since = minute + back * 1440 - from;
			if ((rule->days >> (tm->tm_wday + 7 - back) % 7 & 1) && since >= 0 && since < length)
				return true;
		}
	}
	return rule->n_ranges == 0 && (rule->days >> tm->tm_wday & 1);
}

static int oracle_rule_at(const struct schedule *schedule, time_t now)
{
	struct tm tm;

	localtime_r(&now, &tm);
	for (unsigned i = 0; i < schedule->n_rules; i++)
		if (oracle_holds(&schedule->rules[i], &tm))
			return (int)i;
	return -1;
}

/* Minute by minute. Zones change at full minutes of UTC. */
static time_t oracle_until(const struct schedule *schedule, time_t now)
{
	int rule = oracle_rule_at(schedule, now);

	for (time_t next = now - now % 60 + 60; next < now + SCHEDULE_AHEAD_S; next += 60)
		if (oracle_rule_at(schedule, next) != rule)
			return next;
	return 0;
}

/* Often within eight days before a change of the zone. */
static time_t random_time(void)
{
	time_t now = at(2020, 1, 1, 0, 0, -1) + (time_t)random_below(20ull * 365 * 86400);
	struct tm before, after;

	if (random_below(3) == 0)
		return now;
	localtime_r(&now, &before);
	for (int day = 0; day < 400; day++) {
		time_t next = now + 86400;
		localtime_r(&next, &after);
		if (after.tm_gmtoff != before.tm_gmtoff)
			return next - (time_t)random_below(random_below(2) ? 3 * 86400 : 10800);
		now = next;
	}
	return now;
}

START_TEST(test_random_until)
{
	random_state += (uint64_t)_i << 32; /* each runs in a process of its own, with the same beginning */
	struct schedule schedule = random_schedule();
	char text[SCHEDULE_TEXT];

	schedule_format(&schedule, text, sizeof(text));
	for (size_t zone = 0; zone < ZONES; zone++) {
		set_zone(zones[zone]);
		for (int round = 0; round < 2; round++) {
			time_t now = random_time(), wanted = oracle_until(&schedule, now), until = 0;
			schedule_until(&schedule, now, &until);
			ck_assert_msg(schedule_rule_at(&schedule, now) == oracle_rule_at(&schedule, now),
			              "TZ='%s' @%lld: rule %d, not %d, of %s", zones[zone], (long long)now,
			              schedule_rule_at(&schedule, now), oracle_rule_at(&schedule, now), text);
			ck_assert_msg(until == wanted, "TZ='%s' @%lld: until %lld, not %lld, of %s", zones[zone], (long long)now,
			              (long long)until, (long long)wanted, text);
		}
	}
}
END_TEST

START_TEST(test_random_texts)
{
	for (int round = 0; round < 1000; round++) {
		struct schedule schedule = random_schedule(), again;
		char text[SCHEDULE_TEXT], error[512] = "";

		memset(&again, 0, sizeof(again));
		schedule_format(&schedule, text, sizeof(text));
		ck_assert_msg(schedule_parse(text, &again, error, sizeof(error)) == 0, "'%s': %s", text, error);
		ck_assert_msg(memcmp(&schedule, &again, sizeof(schedule)) == 0, "%s", text);
	}
}
END_TEST

START_TEST(test_largest)
{
	struct schedule schedule = {.n_rules = SCHEDULE_RULES};
	char text[SCHEDULE_TEXT + 64], error[512];

	for (unsigned i = 0; i < SCHEDULE_RULES; i++) {
		struct schedule_rule *rule = &schedule.rules[i];
		*rule = (struct schedule_rule){.days = 0x55,
		                               .n_ranges = SCHEDULE_RANGES,
		                               .limit_bytes_per_s = RATE_MAX - 1,
		                               .workers = 1024,
		                               .has_latency = true,
		                               .latency_us = 59999999};
		for (unsigned r = 0; r < SCHEDULE_RANGES; r++)
			rule->ranges[r] = (struct schedule_range){1000, 1440};
	}
	schedule_format(&schedule, text, SCHEDULE_TEXT);
	ck_assert_int_eq(schedule_parse(text, &schedule, error, sizeof(error)), 0);
	strcat(text, "; * workers=1");
	ck_assert_int_eq(schedule_parse(text, &schedule, error, sizeof(error)), -EINVAL);
	ck_assert_ptr_nonnull(strstr(error, "at most 32 rules"));
	expect_refused("1:00-2:00,1:00-2:00,1:00-2:00,1:00-2:00,1:00-2:00,1:00-2:00,1:00-2:00,1:00-2:00,1:00-2:00,1:00-2:00,"
	               "1:00-2:00,1:00-2:00,1:00-2:00,1:00-2:00,1:00-2:00,1:00-2:00,1:00-2:00 workers=1",
	               "at most 16 ranges");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("schedule");
	TCase *tcase = tcase_create("all");
	SRunner *runner;

	seed_random();
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, test_texts);
	tcase_add_test(tcase, test_refusals);
	tcase_add_test(tcase, test_measures);
	tcase_add_test(tcase, test_working_hours);
	tcase_add_test(tcase, test_midnight);
	tcase_add_test(tcase, test_never_changes);
	tcase_add_test(tcase, test_summer_time);
	tcase_add_loop_test(tcase, test_random_until, 0, 100);
	tcase_add_test(tcase, test_random_texts);
	tcase_add_test(tcase, test_largest);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
