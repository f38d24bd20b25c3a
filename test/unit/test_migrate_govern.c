/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the background may take: the bucket and the load with a simulated clock, the terms that follow from settings, and a
 * migration whose background is stopped and let go while demand goes on.
 */
#include "migrate/bucket.h"
#include "migrate/company.h"
#include "migrate_world.h"

#include "property/measure.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define MIB (1u << 20)
#define SEGSIZE 4096u

/* --- the bucket --- */

/* Workers that take pieces as fast as they are allowed to, for so long; the most and the least of any `window_ns` of it. */
struct flow {
	uint64_t rate, smallest, largest; /* bytes */
	uint64_t for_ns, window_ns;
	uint64_t most, least, total;
};

static void simulate(struct flow *flow)
{
	enum { STEPS_MAX = 100000 };
	static uint64_t taken[STEPS_MAX];
	struct bucket bucket = {0};
	const uint64_t step_ns = NS_PER_MS, start_ns = 12345 * NS_PER_S;
	uint64_t steps = flow->for_ns / step_ns, in_window = 0, window = flow->window_ns / step_ns;
	unsigned seed = 1;

	ck_assert_uint_le(steps, STEPS_MAX);
	bucket_set(&bucket, flow->rate, start_ns);
	flow->most = flow->total = 0;
	flow->least = UINT64_MAX;
	for (uint64_t i = 0; i < steps; i++) {
		uint64_t now_ns = start_ns + i * step_ns;
		taken[i] = 0;
		for (int worker = 0; worker < 12; worker++) {
			uint64_t bytes = flow->smallest + (uint64_t)rand_r(&seed) % (flow->largest - flow->smallest + 1);
			if (bucket_take(&bucket, bytes, now_ns))
				taken[i] += bytes;
			else if (bucket_wait_ns(&bucket, now_ns) == 0)
				ck_abort_msg("it refuses, and says that nobody need wait");
		}
		flow->total += taken[i];
		in_window += taken[i];
		if (i + 1 < window)
			continue;
		flow->most = in_window > flow->most ? in_window : flow->most;
		flow->least = in_window < flow->least ? in_window : flow->least;
		in_window -= taken[i + 1 - window];
	}
}

/* A limit of 1 MiB, in segments of as much: within a tenth over any five seconds. */
START_TEST(bucket_keeps_the_rate_of_segments)
{
	struct flow flow = {MIB, MIB, MIB, 60 * NS_PER_S, 5 * NS_PER_S, 0, 0, 0};

	simulate(&flow);
	ck_assert_uint_le(flow.most, 5 * MIB + MIB / 2);
	ck_assert_uint_ge(flow.least, 4 * MIB); /* a segment more or less lies at the edge */
	ck_assert_uint_ge(flow.total, 59 * MIB);
}
END_TEST

START_TEST(bucket_keeps_the_rate_of_small_pieces)
{
	static const uint64_t rates[] = {64 << 10, MIB, 20 * MIB, 1000ull * MIB};

	for (size_t i = 0; i < sizeof(rates) / sizeof(*rates); i++) {
		struct flow flow = {rates[i], 1, 64 << 10, 30 * NS_PER_S, 5 * NS_PER_S, 0, 0, 0};
		simulate(&flow);
		uint64_t wanted = 5 * rates[i];
		ck_assert_msg(flow.most <= wanted + wanted / 10 + (64 << 10), "%llu", (unsigned long long)flow.most);
		/* 12 pieces a millisecond are no more than this */
		if (rates[i] < 300 * MIB)
			ck_assert_msg(flow.least >= wanted - wanted / 10 - (64 << 10), "%llu of %llu",
			              (unsigned long long)flow.least, (unsigned long long)wanted);
	}
}
END_TEST

START_TEST(bucket_debt)
{
	struct bucket bucket = {0};

	ck_assert(bucket_take(&bucket, UINT64_MAX, 1)); /* no limit */
	ck_assert_uint_eq(bucket_wait_ns(&bucket, 1), 0);
	bucket_set(&bucket, MIB, NS_PER_S);
	ck_assert(bucket_take(&bucket, 64 * MIB, NS_PER_S));
	ck_assert(!bucket_take(&bucket, 1, NS_PER_S));
	uint64_t wait_ns = bucket_wait_ns(&bucket, NS_PER_S);
	ck_assert_uint_ge(wait_ns, 64 * NS_PER_S);
	ck_assert_uint_le(wait_ns, 65 * NS_PER_S);
	struct bucket later = bucket;
	ck_assert(!bucket_take(&later, 1, NS_PER_S + wait_ns - NS_PER_MS));
	ck_assert(bucket_take(&later, 1, NS_PER_S + wait_ns));
	bucket_set(&bucket, 64 * MIB, 2 * NS_PER_S); /* a higher rate pays it sooner */
	ck_assert_uint_le(bucket_wait_ns(&bucket, 2 * NS_PER_S), NS_PER_S + 60 * NS_PER_MS);
	ck_assert(bucket_take(&bucket, 1, 4 * NS_PER_S));
	ck_assert(bucket_take(&bucket, 64 * MIB, 4 * NS_PER_S));
	bucket_give_back(&bucket, 64 * MIB);
	ck_assert(bucket_take(&bucket, 1, 4 * NS_PER_S + 1)); /* that was a hole */
	ck_assert(bucket_take(&bucket, 640 * MIB, 5 * NS_PER_S));
	bucket_set(&bucket, 0, 5 * NS_PER_S);
	ck_assert(bucket_take(&bucket, 640 * MIB, 5 * NS_PER_S));
}
END_TEST

/* --- the load --- */

static void ticks(struct load *load, unsigned count, uint64_t target_us, uint64_t waiting)
{
	for (unsigned i = 0; i < count; i++)
		load_tick(load, target_us, waiting);
}

START_TEST(load_yields_and_recovers)
{
	struct load *load = calloc(1, sizeof(*load));
	double before = 1;

	load_init(load);
	for (int tick = 0; tick < 60; tick++) { /* nobody gets an answer in time */
		for (int i = 0; i < 10; i++)
			load_note(load, LOAD_DEMAND, 50000);
		load_tick(load, 20000, 0);
		ck_assert(load->share <= before);
		before = load->share;
	}
	ck_assert(load->over[LOAD_DEMAND] && !load->over[LOAD_SERVED]);
	ck_assert(load->share == LOAD_SHARE_MIN); /* a trickle, never nothing */
	ck_assert_uint_ge(load->p90_us[LOAD_DEMAND], 40000);
	ck_assert_uint_le(load->p90_us[LOAD_DEMAND], 62000);

	for (int tick = 0; tick < 8; tick++) { /* in time again: slowly */
		load_note(load, LOAD_DEMAND, 5000);
		load_tick(load, 20000, 0);
	}
	ck_assert(load->share > 2 * LOAD_SHARE_MIN && load->share < 0.5);
	ticks(load, LOAD_TICKS + 1 + 2, 20000, 0);
	ck_assert(load->samples[LOAD_DEMAND] == 0);
	ck_assert_msg(load->share == 1, "%f", load->share); /* nobody is there */
	free(load);
}
END_TEST

START_TEST(load_tells_kinds_apart)
{
	struct load *load = calloc(1, sizeof(*load));

	load_init(load);
	for (int i = 0; i < 100000; i++) /* quick operations do not hide the slow ones of the other kind */
		load_note(load, LOAD_SERVED, 30);
	load_note(load, LOAD_DEMAND, 900000);
	load_tick(load, 20000, 0);
	ck_assert(load->over[LOAD_DEMAND] && !load->over[LOAD_SERVED]);
	ticks(load, LOAD_TICKS + 1, 20000, 0);
	load_note(load, LOAD_SERVED, 900000); /* a single one is none */
	load_tick(load, 20000, 0);
	ck_assert(!load->over[LOAD_SERVED]);
	load_note(load, LOAD_SERVED, 900000);
	load_tick(load, 20000, 0);
	ck_assert(load->over[LOAD_SERVED]);
	free(load);
}
END_TEST

START_TEST(load_sees_who_waits_in_vain)
{
	struct load *load = calloc(1, sizeof(*load));

	load_init(load);
	ticks(load, 12, 20000, 3);
	ck_assert(load->over[LOAD_DEMAND]);
	ck_assert_uint_ge(load->p90_us[LOAD_DEMAND], 2500000);
	ck_assert(load->share < 0.2);
	ticks(load, 1, 0, 3); /* no target, no yielding */
	ck_assert(load->share == 1);
	free(load);
}
END_TEST

/* Latency that grows with what the background takes comes to rest about the target. */
START_TEST(load_finds_the_balance)
{
	struct load *load = calloc(1, sizeof(*load));
	double sum = 0;

	load_init(load);
	for (int tick = 0; tick < 400; tick++) {
		for (int i = 0; i < 20; i++)
			load_note(load, LOAD_SERVED, (uint64_t)(2000 + 60000 * load->share));
		load_tick(load, 20000, 0);
		sum += tick >= 200 ? load->share : 0;
	}
	ck_assert_msg(sum / 200 > 0.1 && sum / 200 < 0.45, "%f", sum / 200);
	free(load);
}
END_TEST

START_TEST(load_knows_whether_somebody_is_there)
{
	struct load *load = calloc(1, sizeof(*load));

	load_init(load);
	ck_assert(!load_company(load, 0));
	ck_assert(load_company(load, 1)); /* for the source */
	load_note(load, LOAD_SERVED, 1);
	ck_assert(!load_company(load, 0)); /* a look */
	load_note(load, LOAD_DEMAND, 1);
	ck_assert(load_company(load, 0));
	ticks(load, LOAD_TICKS, 0, 0); /* no target for that */
	ck_assert(load_company(load, 0));
	ticks(load, 1, 0, 0);
	ck_assert(!load_company(load, 0));
	free(load);
}
END_TEST

/* --- company --- */

START_TEST(company_has_a_processor_left)
{
	struct company company;

	company_init(&company);
	ck_assert_uint_ge(company.processors, 1);
	company = (struct company){.processors = 4, .here = true};
	ck_assert_uint_eq(company_workers(&company), COMPANY_NO_LIMIT); /* nothing is known */
	company_measure(&company, NS_PER_S, NS_PER_S);
	ck_assert_uint_eq(company_workers(&company), 3);
	company.processors = 2;
	ck_assert_uint_eq(company_workers(&company), 1);
	company.processors = 1; /* it never stands still */
	ck_assert_uint_eq(company_workers(&company), 1);
	company.here = false;
	ck_assert_uint_eq(company_workers(&company), COMPANY_NO_LIMIT);
}
END_TEST

/* Workers that wait for a network hide its latency, and want next to nothing. */
START_TEST(company_leaves_alone_who_wants_no_processor)
{
	struct company company = {.processors = 2, .here = true};
	uint64_t worked_ns = NS_PER_S, wanted_ns = NS_PER_S / 100;

	company_measure(&company, worked_ns, wanted_ns);
	ck_assert_uint_eq(company_workers(&company), 100);
	for (int i = 0; i < 8; i++) { /* now they work */
		worked_ns += NS_PER_S;
		wanted_ns += NS_PER_S;
		company_measure(&company, worked_ns, wanted_ns);
	}
	ck_assert_uint_eq(company_workers(&company), 1);
	for (int i = 0; i < 8; i++) /* and wait again */
		company_measure(&company, worked_ns += NS_PER_S, wanted_ns);
	ck_assert_uint_gt(company_workers(&company), 100);
}
END_TEST

/* What is too little to say anything is not lost, and a processor that is counted late is not wanted twice. */
START_TEST(company_counts_what_was_measured)
{
	struct company company = {.processors = 2, .here = true};

	for (unsigned i = 1; i <= 9; i++)
		company_measure(&company, i * NS_PER_MS, 0);
	ck_assert_uint_eq(company_workers(&company), COMPANY_NO_LIMIT);
	company_measure(&company, 10 * NS_PER_MS, 5 * NS_PER_MS);
	ck_assert_double_eq(company.want, 0.5);
	company_measure(&company, 20 * NS_PER_MS, 500 * NS_PER_MS);
	ck_assert_double_eq(company.want, 0.75);
	ck_assert_uint_eq(company_workers(&company), 1);
}
END_TEST

/* --- terms --- */

START_TEST(terms_follow_rule_and_properties)
{
	struct govern_settings settings = {.bandwidth = 10 * MIB, .latency_us = 20000};
	struct govern_terms terms;
	char error[512];
	const time_t monday_noon = 1795435200; /* 23 November 2026, 12:00 UTC */

	setenv("TZ", "UTC0", 1);
	tzset();
	govern_terms(&settings, monday_noon, &terms);
	ck_assert_int_eq(terms.rule, -1);
	ck_assert_uint_eq(terms.limit_bytes_per_s, 10 * MIB);
	ck_assert_uint_eq(terms.workers, SCHEDULE_WORKERS_MAX);
	ck_assert_uint_eq(terms.latency_us, 20000);

	ck_assert_int_eq(schedule_parse("mon 12:00-13:00 limit=5M workers=2 latency=off; mon limit=20M; tue limit=none workers=0",
	                                &settings.schedule, error, sizeof(error)),
	                 0);
	govern_terms(&settings, monday_noon, &terms);
	ck_assert_int_eq(terms.rule, 0);
	ck_assert_uint_eq(terms.limit_bytes_per_s, 5 * MIB); /* the smaller of both */
	ck_assert_uint_eq(terms.workers, 2);
	ck_assert_uint_eq(terms.latency_us, LATENCY_OFF);
	govern_terms(&settings, monday_noon + 3600, &terms);
	ck_assert_int_eq(terms.rule, 1);
	ck_assert_uint_eq(terms.limit_bytes_per_s, 10 * MIB);
	ck_assert_uint_eq(terms.latency_us, 20000);
	govern_terms(&settings, monday_noon + 86400, &terms);
	ck_assert_int_eq(terms.rule, 2);
	ck_assert_uint_eq(terms.limit_bytes_per_s, 10 * MIB);
	ck_assert_uint_eq(terms.workers, 0);
	settings.bandwidth = RATE_NONE;
	govern_terms(&settings, monday_noon + 86400, &terms);
	ck_assert_uint_eq(terms.limit_bytes_per_s, RATE_NONE);
}
END_TEST

/* --- a migration --- */

static void setup(void)
{
	world_by_segments(SEGSIZE);
	store_options.linger_ms = 50;
}

static void set_schedule(const char *text)
{
	struct govern_settings settings = options.govern;
	char error[512];

	ck_assert_int_eq(schedule_parse(text, &settings.schedule, error, sizeof(error)), 0);
	migrate_set_govern(migrate, &settings);
}

START_TEST(no_workers_stop_the_background_only)
{
	char error[512];

	fake_file(1, 0, "one", 64 * SEGSIZE);
	fake_dir(2, 0, "dir");
	fake_file(3, 2, "two", 64 * SEGSIZE);
	ck_assert_int_eq(schedule_parse("* workers=0", &options.govern.schedule, error, sizeof(error)), 0);
	world_open();
	usleep(400000);
	ck_assert_int_eq(figures()->totals.dirs_migrated, 0);
	ck_assert_int_eq(app_names(""), 0);
	ck_assert_int_eq(app_read("one", SEGSIZE), fake_byte(1, SEGSIZE));
	usleep(400000);
	struct migration_stat stat = *figures();
	ck_assert_int_eq(stat.totals.dirs_migrated, 1);
	ck_assert_uint_eq(stat.background_bytes, 0);
	ck_assert_uint_gt(stat.demand_bytes, 0);
	ck_assert_uint_eq(stat.background.rule, 1);
	ck_assert_str_eq(stat.background.rule_text, "* limit=none workers=0");
	ck_assert_int_eq(stat.background.rule_until, 0);
	ck_assert_uint_eq(stat.background.data_workers, 0);
	ck_assert_uint_eq(stat.background.data_workers_max, 12);
	set_schedule("* workers=1");
	await_complete();
	ck_assert_uint_eq(figures()->background.data_workers, 1);
	world_close();
}
END_TEST

/* Whether the background comes near its limit, while nothing else has the processors; it never goes beyond it. */
static bool near_the_limit(double limit)
{
	uint64_t begin_ns = clock_monotonic_ns(), before = figures()->background_bytes, before_ns = clock_monotonic_ns();
	usleep(1000000);
	uint64_t after_ns = clock_monotonic_ns();
	double bytes = (double)(figures()->background_bytes - before), ns_per_s = (double)NS_PER_S;
	ck_assert_double_lt(bytes / (double)(clock_monotonic_ns() - begin_ns), 1.3 * limit / ns_per_s);
	return bytes / (double)(after_ns - before_ns) > 0.6 * limit / ns_per_s;
}

/* 512 segments would take eight seconds; without the limit they come at once. */
START_TEST(a_limit_holds_and_can_be_changed)
{
	bool near = false;

	fake_file(1, 0, "one", 512 * SEGSIZE);
	options.govern.bandwidth = 64 * SEGSIZE;
	world_open();
	usleep(300000); /* names, and the first segments */
	for (int i = 0; i < 5 && !near; i++)
		near = near_the_limit(64 * SEGSIZE);
	ck_assert(near);
	ck_assert_uint_eq(figures()->background.limit_bytes_per_s, 64 * SEGSIZE);
	options.govern.bandwidth = RATE_NONE;
	migrate_set_govern(migrate, &options.govern);
	await_complete();
	ck_assert_uint_eq(figures()->background_bytes, 512 * SEGSIZE);
	world_close();
}
END_TEST

START_TEST(small_files_count_too)
{
	char names[20][8];

	options.fill_with_dir = 1 << 20;
	options.govern.bandwidth = 40 * SEGSIZE;
	for (unsigned i = 0; i < 20; i++) {
		snprintf(names[i], sizeof(names[i]), "f%u", i);
		fake_file(i + 1, 0, names[i], 4 * SEGSIZE); /* two seconds' worth all in all */
	}
	uint64_t began_ns = clock_monotonic_ns();
	world_open();
	await_complete();
	ck_assert_uint_ge(clock_monotonic_ns() - began_ns, NS_PER_S * 3 / 2);
	ck_assert_uint_eq(figures()->background_bytes, 80 * SEGSIZE);
	world_close();
}
END_TEST

/* Stopping does not wait for a debt, a rest or a rule. */
START_TEST(a_stop_waits_for_nothing)
{
	fake_file(1, 0, "one", 512 * SEGSIZE);
	options.govern.bandwidth = RATE_MIN;
	world_open();
	usleep(300000);
	uint64_t began_ns = clock_monotonic_ns();
	world_close();
	ck_assert_uint_lt(clock_monotonic_ns() - began_ns, 30 * NS_PER_S); /* the debt is one of minutes */
}
END_TEST

static TCase *pure_tests(void)
{
	TCase *tcase = tcase_create("pure");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, bucket_keeps_the_rate_of_segments);
	tcase_add_test(tcase, bucket_keeps_the_rate_of_small_pieces);
	tcase_add_test(tcase, bucket_debt);
	tcase_add_test(tcase, load_yields_and_recovers);
	tcase_add_test(tcase, load_tells_kinds_apart);
	tcase_add_test(tcase, load_sees_who_waits_in_vain);
	tcase_add_test(tcase, load_finds_the_balance);
	tcase_add_test(tcase, load_knows_whether_somebody_is_there);
	tcase_add_test(tcase, company_has_a_processor_left);
	tcase_add_test(tcase, company_leaves_alone_who_wants_no_processor);
	tcase_add_test(tcase, company_counts_what_was_measured);
	tcase_add_test(tcase, terms_follow_rule_and_properties);
	return tcase;
}

static void add_migration_tests(TCase *tcase)
{
	tcase_add_test(tcase, no_workers_stop_the_background_only);
	tcase_add_test(tcase, a_limit_holds_and_can_be_changed);
	tcase_add_test(tcase, small_files_count_too);
	tcase_add_test(tcase, a_stop_waits_for_nothing);
}

int main(void)
{
	Suite *suite = suite_create("govern");

	suite_add_tcase(suite, pure_tests());
	if (world_is_possible())
		add_migration_tests(world_case(suite, "migration", setup));
	return world_run(suite);
}
