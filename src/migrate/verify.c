/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The job of a verification. See verify.h.
 *
 * A run that the end of the daemon cuts off is not taken up again: the next start says that it was stopped.
 */
#include "migrate/verify.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"

#include <linux/ioprio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KEPT_AS "verify" /* in the identity of the state */
#define RECORDS_STEP 64
#define ALIGNMENT 4096
#define YIELD_NS (5 * NS_PER_MS)
#define YIELDS_MAX 200 /* for each piece: applications may wait for something that never comes */

/* --- pace --- */

bool verify_goes_on(struct verify *verify)
{
	LOCKED(&verify->lock);
	return !verify->stop;
}

/* Under lock. */
static void sleep_until(struct verify *verify, uint64_t until_ns)
{
	struct timespec until = {.tv_sec = (time_t)(until_ns / NS_PER_S), .tv_nsec = (long)(until_ns % NS_PER_S)};

	while (!verify->stop && pthread_cond_timedwait(&verify->wake, &verify->lock, &until) == 0)
		;
}

static bool somebody_waits(struct verify *verify)
{
	struct lane_load names, data;

	lane_load(verify->migrate->names, &names);
	lane_load(verify->migrate->data, &data);
	return names.queued[LANE_DEMAND] + data.queued[LANE_DEMAND] > 0;
}

bool verify_pace(struct verify *verify, uint64_t bytes)
{
	for (int i = 0; i < YIELDS_MAX && somebody_waits(verify); i++) {
		LOCKED(&verify->lock);
		sleep_until(verify, clock_monotonic_ns() + YIELD_NS);
		if (verify->stop)
			return false;
	}
	LOCKED(&verify->lock);
	const struct verify_status *status = &verify->status;
	if (status->request.rate && bytes) {
		double seconds = (double)(status->bytes + status->source_bytes) / (double)status->request.rate;
		sleep_until(verify, verify->began_ns + (uint64_t)(seconds * (double)NS_PER_S));
	}
	return !verify->stop;
}

/* splitmix64: the same files for the same seed, whatever the order. */
bool verify_chosen(const struct verify_request *request, uint64_t ino)
{
	uint64_t z = ino + request->seed * 0x9E3779B97F4A7C15ull;

	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
	z = (z ^ z >> 27) * 0x94D049BB133111EBull;
	return (z ^ z >> 31) % VERIFY_ALL_PPM < request->ppm;
}

char *verify_buffer(struct verify *verify, uint64_t segsize)
{
	if (verify->buffer_size >= segsize)
		return verify->buffer;
	free(verify->buffer);
	verify->buffer = aligned_alloc(ALIGNMENT, (segsize + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
	if (!verify->buffer)
		abort(); /* as must_alloc() does */
	verify->buffer_size = segsize;
	return verify->buffer;
}

void verify_add_finding(struct verify *verify, enum verify_verdict verdict, int error, const char *path)
{
	LOCKED(&verify->lock);
	struct verify_status *status = &verify->status;

	if (status->n_findings == VERIFY_FINDINGS)
		return;
	if (!status->findings)
		status->findings = must_alloc(VERIFY_FINDINGS * sizeof(*status->findings));
	char *copy = strdup(path);
	if (!copy)
		abort();
	status->findings[status->n_findings++] = (struct verify_finding){verdict, error, copy};
}

/* --- the records --- */

typedef int (*record_fn)(struct verify *verify, const struct digest_record *record);

static int each_record(struct verify *verify, record_fn each)
{
	CLEAN_FREE struct digest_record *records = must_alloc(RECORDS_STEP * sizeof(*records));
	uint64_t after = 0;
	int count;

	while ((count = store_digests_after(verify->migrate->store, after, records, RECORDS_STEP)) > 0) {
		for (int i = 0; i < count; i++) {
			if (!verify_chosen(&verify->status.request, records[i].ino))
				continue;
			int result = each(verify, &records[i]);
			if (result < 0)
				return result;
		}
		after = records[count - 1].ino;
		if (!verify_goes_on(verify))
			return -ECANCELED;
	}
	return count;
}

static int measure(struct verify *verify, const struct digest_record *record)
{
	VERIFY_COUNT(verify, files_total, 1);
	VERIFY_COUNT(verify, bytes_total, record->size);
	return 0;
}

static int verify_target(struct verify *verify)
{
	struct totals totals;
	int result = each_record(verify, measure);

	if (result >= 0)
		result = each_record(verify, verify_record);
	store_totals(verify->migrate->store, &totals);
	if (totals.files_pending > 0)
		VERIFY_COUNT(verify, pending, (uint64_t)totals.files_pending);
	return result;
}

/* --- the thread --- */

static void keep(struct verify *verify, const struct verify_status *status)
{
	char text[VERIFY_TEXT_SIZE];

	verify_to_text(status, text);
	int result = store_meta_put(verify->migrate->store, KEPT_AS, text);
	if (result < 0)
		log_warning("the result of the verification cannot be kept: error=%s", errno_name(result));
}

/* It is kept before anybody can see it. */
static void conclude(struct verify *verify, int result)
{
	pthread_mutex_lock(&verify->lock);
	struct verify_status ended = verify->status, *status = &ended;
	pthread_mutex_unlock(&verify->lock);
	status->life = result == -ECANCELED ? VERIFY_STOPPED : result < 0 ? VERIFY_FAILED : VERIFY_DONE;
	status->error = status->life == VERIFY_FAILED ? -result : 0;
	status->ended_s = (int64_t)(clock_wall_ns() / NS_PER_S);
	log_info("verify: %s files=%llu equal=%llu changed=%llu removed=%llu damaged=%llu suspect=%llu drifted=%llu missing=%llu",
	         status->life == VERIFY_DONE      ? "done"
	         : status->life == VERIFY_STOPPED ? "stopped"
	                                          : "failed",
	         (unsigned long long)status->files, (unsigned long long)status->equal, (unsigned long long)status->changed,
	         (unsigned long long)status->removed, (unsigned long long)status->damaged, (unsigned long long)status->suspect,
	         (unsigned long long)status->drifted, (unsigned long long)status->missing);
	keep(verify, status);
	LOCKED(&verify->lock);
	verify->status.life = ended.life;
	verify->status.error = ended.error;
	verify->status.ended_s = ended.ended_s;
}

static void *run(void *context)
{
	struct verify *verify = context;

	pthread_setname_np(pthread_self(), "verify");
	/* Refused, they leave it as fast as others: no reason to fail. */
	syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0));
	setpriority(PRIO_PROCESS, (id_t)gettid(), 19);
	keep(verify, &verify->status); /* it counts nothing yet: nobody else writes */
	int result = verify->status.request.full ? verify_both_sides(verify) : verify_target(verify);
	verify_name_findings(verify);
	conclude(verify, result);
	return NULL;
}

/* --- from outside --- */

void verify_status_free(struct verify_status *status)
{
	for (size_t i = 0; i < status->n_findings; i++)
		free(status->findings[i].path);
	free(status->findings);
	status->findings = NULL;
	status->n_findings = 0;
}

static void load(struct verify *verify)
{
	char text[VERIFY_TEXT_SIZE];
	int result = store_meta_get(verify->migrate->store, KEPT_AS, text, sizeof(text));

	if (result >= 0)
		result = verify_from_text(text, &verify->status);
	if (result < 0 && result != -ENOENT)
		log_warning("the result of the last verification cannot be read: error=%s", errno_name(result));
	if (verify->status.life == VERIFY_RUNNING)
		verify->status.life = VERIFY_STOPPED;
}

void verify_open_job(struct migrate *migrate)
{
	struct verify *verify = must_alloc(sizeof(*verify));
	pthread_condattr_t monotonic;

	verify->migrate = migrate;
	pthread_mutex_init(&verify->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&verify->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	load(verify);
	migrate->verify = verify;
}

static void stop(struct verify *verify)
{
	LOCKED(&verify->lock);
	verify->stop = true;
	pthread_cond_broadcast(&verify->wake);
}

void verify_end_job(struct migrate *migrate)
{
	if (!migrate->verify)
		return;
	stop(migrate->verify);
	if (migrate->verify->started)
		pthread_join(migrate->verify->thread, NULL);
	migrate->verify->started = false;
}

void verify_free_job(struct migrate *migrate)
{
	struct verify *verify = migrate->verify;

	if (!verify)
		return;
	verify_status_free(&verify->status);
	pthread_cond_destroy(&verify->wake);
	pthread_mutex_destroy(&verify->lock);
	free(verify->buffer);
	free(verify);
}

int migrate_verify_start(struct migrate *migrate, const struct verify_request *request)
{
	struct verify *verify = migrate->verify;
	LOCKED(&verify->lock);

	if (atomic_load(&migrate->stopping))
		return -ESHUTDOWN;
	if (verify->status.life == VERIFY_RUNNING)
		return -EALREADY;
	if (verify->started)
		pthread_join(verify->thread, NULL); /* it has concluded: the last for which it needs the lock */
	verify_status_free(&verify->status);
	verify->status = (struct verify_status){
		.life = VERIFY_RUNNING, .request = *request, .started_s = (int64_t)(clock_wall_ns() / NS_PER_S), .eta_s = -1};
	while (verify->status.request.seed == 0)
		if (getrandom(&verify->status.request.seed, 4, 0) != 4) /* short: it is for people to type */
			abort();
	verify->began_ns = clock_monotonic_ns();
	verify->stop = false;
	int result = -pthread_create(&verify->thread, NULL, run, verify);
	verify->started = result == 0;
	if (result < 0) {
		verify->status.life = VERIFY_FAILED;
		verify->status.error = -result;
	}
	return result;
}

int migrate_verify_stop(struct migrate *migrate)
{
	struct verify *verify = migrate->verify;

	pthread_mutex_lock(&verify->lock);
	bool running = verify->status.life == VERIFY_RUNNING;
	pthread_mutex_unlock(&verify->lock);
	if (running)
		stop(verify);
	return running ? 0 : -ENOENT;
}

static void estimate(const struct verify *verify, struct verify_status *status)
{
	double seconds = (double)(clock_monotonic_ns() - verify->began_ns) / (double)NS_PER_S;

	if (status->life != VERIFY_RUNNING || seconds < 0.5)
		return;
	status->rate_bytes_per_s = (uint64_t)((double)(status->bytes + status->source_bytes) / seconds);
	double seen_per_s = (double)status->bytes_seen / seconds;
	if (status->bytes_seen > 0 && status->bytes_total >= status->bytes_seen)
		status->eta_s = (int64_t)((double)(status->bytes_total - status->bytes_seen) / seen_per_s + 0.5);
}

void migrate_verify_status(struct migrate *migrate, struct verify_status *status)
{
	struct verify *verify = migrate->verify;
	LOCKED(&verify->lock);

	*status = verify->status;
	status->findings = must_alloc((status->n_findings + 1) * sizeof(*status->findings));
	for (size_t i = 0; i < status->n_findings; i++) {
		status->findings[i] = verify->status.findings[i];
		status->findings[i].path = strdup(verify->status.findings[i].path);
		if (!status->findings[i].path)
			abort();
	}
	estimate(verify, status);
}

void migrate_digests(struct migrate *migrate, struct digest_summary *summary)
{
	CLEAN_FREE struct digest_record *records = must_alloc(RECORDS_STEP * sizeof(*records));
	uint64_t after = 0;
	int count;

	*summary = (struct digest_summary){0};
	while ((count = store_digests_after(migrate->store, after, records, RECORDS_STEP)) > 0) {
		for (int i = 0; i < count; i++) {
			char text[DIGEST_TEXT_SIZE];
			struct digest one = digest_of_segment(digest_text(&records[i].digest, text), DIGEST_TEXT_SIZE - 1, 0);
			digest_add(&summary->digest, &one);
			summary->files++;
			summary->bytes += records[i].size;
		}
		after = records[count - 1].ino;
	}
}
