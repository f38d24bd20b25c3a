/* SPDX-License-Identifier: GPL-3.0-or-later
 * A migration that is none. */
#include "simulated_port.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int simulated_stat(void *context, struct migration_stat *stat)
{
	struct simulated *simulated = context;
	LOCKED(&simulated->lock);
	*stat = simulated->stat;
	return simulated->stat_error;
}

static int make_ranges(struct where_report *report, size_t count)
{
	report->ranges = calloc(count, sizeof(*report->ranges));
	report->n_ranges = count;
	for (size_t i = 0; i < count; i++)
		report->ranges[i] = (struct where_range){i << 20, 1 << 20, (enum where_kind)(i % 4)};
	report->size = count << 20;
	return report->ranges ? 0 : -ENOMEM;
}

static int simulated_where(void *context, const char *path, struct where_report *report)
{
	struct simulated *simulated = context;
	size_t prefix = strlen(simulated->stat.mountpoint);
	const char *name = strrchr(path, '/') + 1;
	if (strncmp(path, simulated->stat.mountpoint, prefix) != 0)
		return -EXDEV;
	if (strcmp(name, "missing") == 0)
		return -ENOENT;
	*report = (struct where_report){.mode = S_IFREG | 0640};
	if (strcmp(name, "dir") == 0) {
		report->mode = S_IFDIR | 01777;
		return 0;
	}
	if (strcmp(name, "broken") == 0) {
		report->error = EIO;
		snprintf(report->error_detail, sizeof(report->error_detail), "the source gave EIO four times");
	}
	if (strcmp(name, "partly") == 0)
		return make_ranges(report, 4);
	if (strcmp(name, "pieces") == 0)
		return make_ranges(report, 300000);
	int error = make_ranges(report, 1);
	bool absent = strcmp(name, "absent") == 0 || strcmp(name, "broken") == 0;
	report->finished = !absent;
	if (!error)
		report->ranges[0].kind = absent ? WHERE_SOURCE : WHERE_RESIDENT;
	return error;
}

static int simulated_errors(void *context, int (*each)(void *each_context, const struct error_record *record), void *each_context)
{
	struct simulated *simulated = context;
	LOCKED(&simulated->lock);
	for (unsigned i = 1; i <= simulated->n_errors; i++) {
		char path[64];
		snprintf(path, sizeof(path), i % 2 ? "some/dir/file-%u" : "some/dir/\xe9\\file-%u", i);
		struct error_record record = {.id = i,
		                              .ino = 1000 + i,
		                              .state = (enum error_state)(i % 3),
		                              .error = i % 2 ? EIO : EACCES,
		                              .told = i % 5 ? 0 : EIO,
		                              .tries = i,
		                              .first_ns = 1700000000 * NS_PER_S,
		                              .last_ns = (1700000000 + i) * NS_PER_S,
		                              .bytes = 4096,
		                              .what = (char *)"read",
		                              .path = path,
		                              .detail = (char *)""};
		int result = each(each_context, &record);
		if (result)
			return result;
	}
	return 0;
}

static int simulated_errors_fixed(void *context, int (*each)(void *each_context, const struct error_record *record),
                                  void *each_context)
{
	char nothing[] = "", path[] = "some/dir/healed", what[] = "read";
	struct error_record record = {.id = 77,
	                              .kind = ERROR_OF_FILE,
	                              .state = ERROR_FIXED,
	                              .error = EIO,
	                              .tries = 2,
	                              .what = what,
	                              .path = path,
	                              .detail = nothing};

	(void)context;
	return each(each_context, &record);
}

/* Knows the errors 1 to n_errors, and every path but those that hold "missing". */
static int simulated_decide(void *context, enum error_decision decision, const struct error_choice *choices, size_t count,
                            struct decision_result *result)
{
	struct simulated *simulated = context;
	LOCKED(&simulated->lock);

	for (size_t i = 0; i < count; i++) {
		if (choices[i].id ? choices[i].id > simulated->n_errors : strstr(choices[i].path, "missing") != NULL) {
			snprintf(result->message, sizeof(result->message), "there is no such error");
			return -ENOENT;
		}
	}
	simulated->decided = decision;
	*(decision == DECIDE_WAIVE && simulated->waived ? &result->unchanged : &result->changed) =
		count ? count : simulated->n_errors;
	simulated->waived = decision == DECIDE_WAIVE;
	return 0;
}

static void fill_busy(struct finish_result *result)
{
	result->holders = calloc(2, sizeof(*result->holders));
	result->n_holders = 2;
	result->holders[0] = (struct holder){.pid = 4711, .command = "vi", .path = "/mnt/x/letter"};
	result->holders[1] = (struct holder){.pid = 4712, .command = "sh\xff", .path = "/mnt/x/\xff"};
}

static int simulated_finish(void *context, const struct finish_request *request, struct finish_result *result)
{
	struct simulated *simulated = context;
	LOCKED(&simulated->lock);
	simulated->finishes++;
	simulated->asked = *request;
	simulated->finishes_waiting++;
	pthread_cond_broadcast(&simulated->changed);
	while (simulated->finish_waits && !simulated->released)
		pthread_cond_wait(&simulated->changed, &simulated->lock);
	simulated->finishes_waiting--;
	if (simulated->finish_result == -EBUSY)
		fill_busy(result);
	if (simulated->finish_result == -EINPROGRESS)
		snprintf(result->message, sizeof(result->message), "12 files are pending");
	return simulated->finish_result;
}

static int simulated_halt(void *context, const struct finish_request *request, struct finish_result *result)
{
	struct simulated *simulated = context;
	LOCKED(&simulated->lock);
	simulated->halts++;
	simulated->asked = *request;
	if (simulated->finish_result == -EBUSY)
		fill_busy(result);
	return simulated->finish_result;
}

static int simulated_pause(void *context, bool paused)
{
	struct simulated *simulated = context;
	LOCKED(&simulated->lock);
	simulated->stat.state = paused ? MIGRATION_PAUSED : MIGRATION_RUNNING;
	return simulated->stat_error;
}

static int simulated_upgrade(void *context, bool begin, struct upgrade_status *status, char *error, size_t error_size)
{
	struct simulated *simulated = context;
	LOCKED(&simulated->lock);
	simulated->takeovers += begin;
	*status = (struct upgrade_status){
		.pid = 77, .keeper = 76, .version = "9.8", .takeovers = simulated->takeovers, .pause_ns = 12 * 1000000ull};
	snprintf(error, error_size, "the program is not there");
	return simulated->stat_error;
}

/* One property, segsize; the value "busy" can not be set now. */
static int simulated_set(void *context, const struct setting_change *changes, size_t n, char *error, size_t error_size)
{
	struct simulated *simulated = context;
	LOCKED(&simulated->lock);
	for (size_t i = 0; i < n; i++) {
		if (strcmp(changes[i].name, "segsize") == 0 && (!changes[i].value || strcmp(changes[i].value, "busy") != 0))
			continue;
		snprintf(error, error_size, "%s can not be set", changes[i].name);
		return strcmp(changes[i].name, "segsize") == 0 ? -EBUSY : -ENOENT;
	}
	snprintf(simulated->segsize, sizeof(simulated->segsize), "%s", changes[n - 1].value ? changes[n - 1].value : "");
	return 0;
}

static int simulated_fetch(void *context, const char *const *paths, size_t count, uint32_t *number, char *error,
                           size_t error_size)
{
	if (strstr(paths[0], "busy")) {
		snprintf(error, error_size, "too many fetches");
		return -EBUSY;
	}
	*number = (uint32_t)count;
	return 0;
}

static int simulated_fetch_status(void *context, uint32_t number, struct fetch_status *status)
{
	*status = (struct fetch_status){.number = number, .state = FETCH_DONE, .files_found = 1, .files_done = 1};
	return number == 99 ? -ENOENT : 0;
}

static int simulated_get(void *context, int (*each)(void *each_context, const char *name, const char *value, const char *from),
                         void *each_context)
{
	struct simulated *simulated = context;
	LOCKED(&simulated->lock);
	bool set = *simulated->segsize != 0;
	int result = each(each_context, "segsize", set ? simulated->segsize : "1M", set ? "set" : "default");
	return result < 0 ? result : each(each_context, "logfile", NULL, "default");
}

void simulated_release(struct simulated *simulated)
{
	LOCKED(&simulated->lock);
	simulated->released = true;
	pthread_cond_broadcast(&simulated->changed);
}

void simulated_await_finishes(struct simulated *simulated, unsigned waiting)
{
	LOCKED(&simulated->lock);
	while (simulated->finishes_waiting < waiting)
		pthread_cond_wait(&simulated->changed, &simulated->lock);
}

void simulated_init(struct simulated *simulated, uint32_t migid, const char *mountpoint)
{
	*simulated = (struct simulated){.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
	simulated->port = (struct migration_port){.context = simulated,
	                                          .stat = simulated_stat,
	                                          .where = simulated_where,
	                                          .finish = simulated_finish,
	                                          .errors = simulated_errors,
	                                          .errors_fixed = simulated_errors_fixed,
	                                          .decide = simulated_decide,
	                                          .uuid = SIMULATED_UUID,
	                                          .halt = simulated_halt,
	                                          .pause = simulated_pause,
	                                          .upgrade = simulated_upgrade,
	                                          .set = simulated_set,
	                                          .get = simulated_get,
	                                          .fetch = simulated_fetch,
	                                          .fetch_status = simulated_fetch_status};
	struct migration_stat *stat = &simulated->stat;
	*stat = (struct migration_stat){.migid = migid, .state = MIGRATION_RUNNING, .eta_s = 7815, .uptime_s = 754};
	snprintf(stat->source, sizeof(stat->source), "/old/home");
	snprintf(stat->target, sizeof(stat->target), "%s", mountpoint);
	snprintf(stat->mountpoint, sizeof(stat->mountpoint), "%s", mountpoint);
	snprintf(stat->statedir, sizeof(stat->statedir), "%s/.dmmfs", mountpoint);
	stat->totals = (struct totals){.dirs_found = 1500,
	                               .dirs_migrated = 1200,
	                               .files_found = 20400,
	                               .files_migrated = 8000,
	                               .files_pending = 12400,
	                               .bytes_found = 3ll << 40,
	                               .bytes_migrated = 1ll << 40,
	                               .bytes_pending = 2ll << 40,
	                               .files_error = 2};
	stat->rate_bytes_per_s = 120 << 20;
	stat->rate_files_per_s = 340;
	stat->demand_requests = 1234;
	stat->demand_waiting = 3;
	stat->demand_p50_us = 1200;
	stat->demand_p99_us = 33000;
	stat->segsize = 1 << 20;
	stat->background = (struct background_stat){.rule = 1,
	                                            .rule_text = "mon-fri 08:00-18:00 limit=20MB/s workers=2",
	                                            .rule_until = 4102444800, /* 1 January 2100 */
	                                            .limit_bytes_per_s = 20 << 20,
	                                            .names_workers = 1,
	                                            .names_workers_max = 6,
	                                            .data_workers = 1,
	                                            .data_workers_max = 12,
	                                            .latency_target_us = 20000,
	                                            .demand_p90_us = 45000,
	                                            .share_pct = 25,
	                                            .yields_to = YIELDS_TO_DEMAND};
}
