/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * One thread, which looks at the clock on the wall and at the load four times a second, and between when a lane that is shut can
 * be opened: because a debt of the bucket is paid, or a rest is over. The wall clock is asked anew each time, so that a clock that
 * was set, or a machine that slept, is no special case. The first application that comes wakes it, and as long as somebody is there it
 * looks more often what the workers want of the processors.
 *
 * A share that is less than one worker is one worker that rests after each piece of work, in proportion to what it took.
 *
 * Lock: one, a leaf but for those of the lanes. `restrained` lets who may take what he likes pass by it.
 */
#include "migrate/govern.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "migrate/bucket.h"
#include "migrate/company.h"
#include "migrate/internal.h"
#include "property/measure.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REST_MAX_NS (5 * NS_PER_S)
#define COMPANY_LOOK_NS (100 * NS_PER_MS)
#define ALONE_MEASURE_NS (2 * NS_PER_S) /* what workers want is known when somebody comes, and costs little until then */

struct governed_lane {
	struct lane *lane;
	unsigned max;     /* threads that background may have at most, as the lane says */
	unsigned allowed; /* of these, by rule and load */
	bool crowded;     /* it has less than it could, for the sake of applications that want the processors */
	double fraction;  /* of its time that the only worker works: 1, or less than that */
	unsigned set;     /* what the lane was told */
	uint64_t rest_until_ns;
};

struct govern {
	struct migrate *migrate;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t poked;
	bool stop;
	struct govern_settings settings;
	struct govern_terms terms;
	char logged[SCHEDULE_RULE_TEXT]; /* the rule that was in force when one was logged last; "none" */
	struct bucket bucket;
	struct governed_lane lanes[GOVERNED_LANES];
	struct company company;
	atomic_bool alone; /* nobody is there: who comes tells so */
	uint64_t next_tick_ns, next_look_ns, next_measure_ns;
	atomic_bool restrained; /* there is a limit, or a lane has less than it could have */
};

/* --- what holds --- */

void govern_terms(const struct govern_settings *settings, time_t now, struct govern_terms *terms)
{
	*terms = (struct govern_terms){.rule = schedule_rule_at(&settings->schedule, now),
	                               .limit_bytes_per_s = settings->bandwidth,
	                               .latency_us = settings->latency_us,
	                               .workers = SCHEDULE_WORKERS_MAX};
	if (terms->rule < 0)
		return;
	const struct schedule_rule *rule = &settings->schedule.rules[terms->rule];
	terms->workers = rule->workers;
	if (rule->has_latency)
		terms->latency_us = rule->latency_us;
	if (rule->limit_bytes_per_s != RATE_NONE &&
	    (terms->limit_bytes_per_s == RATE_NONE || rule->limit_bytes_per_s < terms->limit_bytes_per_s))
		terms->limit_bytes_per_s = rule->limit_bytes_per_s;
}

static const char *rule_text(const struct govern *govern, char *buf, size_t size)
{
	if (govern->terms.rule < 0)
		return "none";
	return schedule_rule_format(&govern->settings.schedule.rules[govern->terms.rule], buf, size);
}

/* Of an edit, too, that has another rule in the same place. */
static void log_rule(struct govern *govern)
{
	char buf[SCHEDULE_RULE_TEXT];
	const char *text = rule_text(govern, buf, sizeof(buf));

	if (strcmp(text, govern->logged) == 0)
		return;
	log_event(LOG_LEVEL_INFO, "rule", "number=%d rule=%s", govern->terms.rule + 1, text);
	snprintf(govern->logged, sizeof(govern->logged), "%s", text);
}

static void renew_terms(struct govern *govern)
{
	tzset(); /* the zone of the machine may have been changed */
	govern_terms(&govern->settings, time(NULL), &govern->terms);
	bucket_set(&govern->bucket, govern->terms.limit_bytes_per_s, clock_monotonic_ns());
	log_rule(govern);
}

/* --- lanes --- */

static bool has_work(struct governed_lane *governed)
{
	struct lane_load load;

	lane_load(governed->lane, &load);
	return load.queued[LANE_BACKGROUND] + load.running[LANE_BACKGROUND] > 0;
}

/* What applications leave to this lane. */
static unsigned beside_company(struct govern *govern, enum governed which)
{
	struct governed_lane *governed = &govern->lanes[which], *other = &govern->lanes[GOVERNED_LANES - 1 - which];
	uint64_t workers = company_workers(&govern->company);

	if (workers == COMPANY_NO_LIMIT)
		return COMPANY_NO_LIMIT;
	workers = workers * governed->max / (governed->max + (has_work(other) ? other->max : 0));
	return workers > 1 ? (unsigned)workers : 1;
}

static void share_out(struct govern *govern, enum governed which)
{
	struct governed_lane *governed = &govern->lanes[which];
	struct lane_load load;

	lane_load(governed->lane, &load);
	governed->max = load.most;
	unsigned most = govern->terms.workers < governed->max ? govern->terms.workers : governed->max;
	unsigned beside = beside_company(govern, which);
	governed->crowded = beside < most;
	most = governed->crowded ? beside : most;
	double wanted = most * govern->migrate->load.share;

	governed->fraction = wanted < 1 ? wanted : 1;
	governed->allowed = most == 0 ? 0 : wanted < 1 ? 1 : (unsigned)wanted;
}

static void tell_lane(struct governed_lane *governed, bool shut)
{
	unsigned limit = shut ? 0 : governed->allowed;

	if (governed->set == limit)
		return;
	governed->set = limit;
	lane_limit(governed->lane, limit);
}

/* How long until the lane can be opened; 0: it is as open as it may be. */
static uint64_t shut_for_ns(struct govern *govern, enum governed which, uint64_t now_ns)
{
	const struct governed_lane *governed = &govern->lanes[which];
	uint64_t debt_ns = which == GOVERNED_DATA ? bucket_wait_ns(&govern->bucket, now_ns) : 0;
	uint64_t rest_ns = governed->rest_until_ns > now_ns ? governed->rest_until_ns - now_ns : 0;

	return debt_ns > rest_ns ? debt_ns : rest_ns;
}

/* Tells the lanes. Returns how long until that changes by itself. */
static uint64_t apply(struct govern *govern, uint64_t now_ns)
{
	uint64_t soonest_ns = UINT64_MAX;
	bool restrained = govern->terms.limit_bytes_per_s != RATE_NONE;

	for (int which = 0; which < GOVERNED_LANES; which++) {
		struct governed_lane *governed = &govern->lanes[which];
		share_out(govern, (enum governed)which);
		uint64_t shut_ns = shut_for_ns(govern, (enum governed)which, now_ns);
		tell_lane(governed, shut_ns > 0);
		if (shut_ns && shut_ns < soonest_ns)
			soonest_ns = shut_ns;
		restrained = restrained || governed->allowed < governed->max || governed->fraction < 1;
	}
	atomic_store(&govern->restrained, restrained);
	return soonest_ns;
}

/* --- the thread --- */

static uint64_t demand_waiting(const struct migrate *migrate)
{
	return atomic_load_explicit(&migrate->progress.demand_waiting, memory_order_relaxed);
}

static void tick(struct govern *govern, uint64_t now_ns)
{
	struct migrate *migrate = govern->migrate;

	if (now_ns < govern->next_tick_ns)
		return;
	govern->next_tick_ns = now_ns + LOAD_TICK_NS;
	renew_terms(govern);
	load_tick(&migrate->load, govern->terms.latency_us, demand_waiting(migrate));
}

/* Who is there, and what the workers want. What the system does not tell limits nobody. */
static void look(struct govern *govern, uint64_t now_ns)
{
	struct migrate *migrate = govern->migrate;
	struct lane_time names, data;
	bool somebody_came = !govern->company.here && !atomic_load_explicit(&govern->alone, memory_order_relaxed);

	if (now_ns < govern->next_look_ns && !somebody_came)
		return;
	govern->company.here = load_company(&migrate->load, demand_waiting(migrate));
	atomic_store_explicit(&govern->alone, !govern->company.here, memory_order_relaxed);
	govern->next_look_ns = now_ns + (govern->company.here ? COMPANY_LOOK_NS : LOAD_TICK_NS);
	if (!govern->company.here && now_ns < govern->next_measure_ns)
		return;
	govern->next_measure_ns = now_ns + ALONE_MEASURE_NS;
	if (lane_time(migrate->names, &names) >= 0 && lane_time(migrate->data, &data) >= 0)
		company_measure(&govern->company, names.worked_ns + data.worked_ns, names.wanted_ns + data.wanted_ns);
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void *run(void *context)
{
	struct govern *govern = context;
	struct timespec until;

	pthread_setname_np(pthread_self(), "govern");
	LOCKED(&govern->lock);
	while (!govern->stop) {
		uint64_t now_ns = clock_monotonic_ns();
		tick(govern, now_ns);
		look(govern, now_ns);
		uint64_t wait_ns = apply(govern, now_ns), wake_ns = sooner(govern->next_tick_ns, govern->next_look_ns);
		if (wait_ns < wake_ns - now_ns)
			wake_ns = now_ns + wait_ns;
		until = (struct timespec){.tv_sec = (time_t)(wake_ns / NS_PER_S), .tv_nsec = (long)(wake_ns % NS_PER_S)};
		pthread_cond_timedwait(&govern->poked, &govern->lock, &until);
	}
	return NULL;
}

int govern_start(struct migrate *migrate)
{
	struct govern *govern = must_alloc(sizeof(*govern));
	pthread_condattr_t attr;

	govern->migrate = migrate;
	govern->settings = migrate->options.govern;
	strcpy(govern->logged, "none");
	pthread_mutex_init(&govern->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&govern->poked, &attr);
	pthread_condattr_destroy(&attr);
	govern->lanes[GOVERNED_NAMES] = (struct governed_lane){.lane = migrate->names, .set = UINT_MAX};
	govern->lanes[GOVERNED_DATA] = (struct governed_lane){.lane = migrate->data, .set = UINT_MAX};
	company_init(&govern->company);
	atomic_store(&govern->alone, true);
	migrate->govern = govern;
	renew_terms(govern);
	apply(govern, clock_monotonic_ns()); /* before the first job */
	int error = pthread_create(&govern->thread, NULL, run, govern);
	if (error)
		govern->stop = true; /* there is nothing to stop */
	return -error;
}

void govern_stop(struct migrate *migrate)
{
	struct govern *govern = migrate->govern;

	if (!govern || govern->stop) /* it never came to be */
		return;
	pthread_mutex_lock(&govern->lock);
	govern->stop = true;
	pthread_cond_signal(&govern->poked);
	pthread_mutex_unlock(&govern->lock);
	pthread_join(govern->thread, NULL);
}

void govern_free(struct migrate *migrate)
{
	struct govern *govern = migrate->govern;

	if (!govern)
		return;
	pthread_cond_destroy(&govern->poked);
	pthread_mutex_destroy(&govern->lock);
	free(govern);
}

void govern_resize(struct migrate *migrate, unsigned names, unsigned data)
{
	struct govern *govern = migrate->govern;
	LOCKED(&govern->lock);

	govern->lanes[GOVERNED_NAMES].max = names;
	govern->lanes[GOVERNED_DATA].max = data;
	apply(govern, clock_monotonic_ns());
	pthread_cond_signal(&govern->poked);
}

void migrate_set_govern(struct migrate *migrate, const struct govern_settings *settings)
{
	struct govern *govern = migrate->govern;
	LOCKED(&govern->lock);

	govern->settings = *settings;
	renew_terms(govern);
	apply(govern, clock_monotonic_ns());
	pthread_cond_signal(&govern->poked);
}

/* --- the background's questions --- */

bool govern_take(struct migrate *migrate, uint64_t bytes)
{
	struct govern *govern = migrate->govern;

	if (!atomic_load_explicit(&govern->restrained, memory_order_relaxed))
		return true;
	LOCKED(&govern->lock);
	uint64_t now_ns = clock_monotonic_ns();
	if (govern->terms.workers == 0 || !bucket_take(&govern->bucket, bytes, now_ns))
		return false;
	if (govern->bucket.closed) {
		tell_lane(&govern->lanes[GOVERNED_DATA], true);
		pthread_cond_signal(&govern->poked); /* which opens it again in time */
	}
	return true;
}

void govern_give_back(struct migrate *migrate, uint64_t bytes)
{
	struct govern *govern = migrate->govern;

	if (!atomic_load_explicit(&govern->restrained, memory_order_relaxed))
		return;
	LOCKED(&govern->lock);
	bucket_give_back(&govern->bucket, bytes);
	pthread_cond_signal(&govern->poked);
}

bool govern_exceeded(struct migrate *migrate, enum governed which)
{
	struct lane_load load;

	if (!atomic_load_explicit(&migrate->govern->restrained, memory_order_relaxed))
		return false;
	lane_load(which == GOVERNED_NAMES ? migrate->names : migrate->data, &load);
	return load.running[LANE_BACKGROUND] > load.limit;
}

void govern_worked(struct migrate *migrate, enum governed which, uint64_t took_ns)
{
	struct govern *govern = migrate->govern;
	struct governed_lane *governed = &govern->lanes[which];

	if (!atomic_load_explicit(&govern->restrained, memory_order_relaxed))
		return;
	LOCKED(&govern->lock);
	if (governed->fraction >= 1 || governed->allowed == 0)
		return;
	double rest_ns = (double)took_ns * (1 / governed->fraction - 1);
	governed->rest_until_ns = clock_monotonic_ns() + (uint64_t)fmin(rest_ns, (double)REST_MAX_NS);
	tell_lane(governed, true);
	pthread_cond_signal(&govern->poked);
}

/* Without its lock: a signal that comes too early to be heard is made good by its next look. */
void govern_meet(struct migrate *migrate)
{
	struct govern *govern = migrate->govern;

	if (!atomic_load_explicit(&govern->alone, memory_order_relaxed))
		return;
	atomic_store_explicit(&govern->alone, false, memory_order_relaxed);
	pthread_cond_signal(&govern->poked);
}

/* --- reports --- */

static enum yields_to yields_to(const struct load *load, bool crowded)
{
	if (load->share >= 1)
		return crowded ? YIELDS_TO_COMPANY : YIELDS_TO_NOBODY;
	return load->over[LOAD_DEMAND] ? YIELDS_TO_DEMAND : load->over[LOAD_SERVED] ? YIELDS_TO_OPERATIONS : YIELDS_RECOVERING;
}

void govern_stat(struct migrate *migrate, struct background_stat *stat)
{
	struct govern *govern = migrate->govern;
	const struct governed_lane *names = &govern->lanes[GOVERNED_NAMES], *data = &govern->lanes[GOVERNED_DATA];
	bool on = atomic_load(&migrate->tuned.background);
	LOCKED(&govern->lock);
	time_t now = time(NULL), until;

	*stat = (struct background_stat){
		.rule = (unsigned)(govern->terms.rule + 1),
		.limit_bytes_per_s = govern->terms.limit_bytes_per_s,
		.names_workers = on ? names->allowed : 0,
		.names_workers_max = names->max,
		.data_workers = on ? data->allowed : 0,
		.data_workers_max = data->max,
		.latency_target_us = govern->terms.latency_us,
		.demand_p90_us = migrate->load.p90_us[LOAD_DEMAND],
		.served_p90_us = migrate->load.p90_us[LOAD_SERVED],
		.share_pct = (unsigned)ceil(100 * migrate->load.share),
		.yields_to = yields_to(&migrate->load, names->crowded || data->crowded),
	};
	rule_text(govern, stat->rule_text, sizeof(stat->rule_text));
	if (schedule_until(&govern->settings.schedule, now, &until))
		stat->rule_until = until;
}
