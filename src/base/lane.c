/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A lane: its threads are made at the start, and when it grows; they are alike; which job a free one takes is decided in take_job() alone.
 *
 * The reserve is a count, not a set of threads: read-ahead and background jobs together run on at most max - reserve threads.
 * A wake-up may therefore go to a thread that finds nothing it may take; the job is not lost, since the thread whose end makes
 * room for it looks again by itself.
 *
 * Locks: lane->lock guards everything below it in the struct; never held while a job runs.
 */
#include "base/lane.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

struct queue {
	struct lane_job *first, *last;
	size_t count;
};

struct lane_thread {
	struct lane *lane;
	uv_thread_t thread;
	unsigned number;
	pid_t id; /* 0: it has not begun */
};

struct lane {
	struct lane_options options;
	char name[11];
	unsigned n_threads;
	uv_mutex_t lock;
	uv_cond_t changed;
	struct queue queues[LANE_CLASSES];
	size_t running[LANE_CLASSES];
	unsigned limit; /* threads for background jobs */
	uint64_t worked_ns, worked_until_ns;
	struct lane_time told; /* the last answer of lane_time(); all 0: none */
	bool paused, stopping;
	struct lane_thread **threads; /* as many as it ever had at most; the lane stays within options.max */
};

static void queue_append(struct queue *queue, struct lane_job *job)
{
	job->next = NULL;
	job->prev = queue->last;
	*(queue->last ? &queue->last->next : &queue->first) = job;
	queue->last = job;
	queue->count++;
}

static void queue_prepend(struct queue *queue, struct lane_job *job)
{
	job->prev = NULL;
	job->next = queue->first;
	*(queue->first ? &queue->first->prev : &queue->last) = job;
	queue->first = job;
	queue->count++;
}

static void queue_remove(struct queue *queue, struct lane_job *job)
{
	*(job->prev ? &job->prev->next : &queue->first) = job->next;
	*(job->next ? &job->next->prev : &queue->last) = job->prev;
	job->next = job->prev = NULL;
	queue->count--;
}

static size_t running_all(const struct lane *lane)
{
	size_t all = 0;
	for (int i = 0; i < LANE_CLASSES; i++)
		all += lane->running[i];
	return all;
}

/* Before the number of running jobs changes, or is asked for. */
static void note_time(struct lane *lane)
{
	uint64_t now_ns = clock_monotonic_ns();

	lane->worked_ns += running_all(lane) * (now_ns - lane->worked_until_ns);
	lane->worked_until_ns = now_ns;
}

/* A stop drains all queues, paused and limited or not. */
static bool may_take(const struct lane *lane, enum lane_class class)
{
	if (lane->queues[class].count == 0)
		return false;
	if (running_all(lane) >= lane->options.max && !lane->stopping)
		return false;
	if (class == LANE_DEMAND)
		return true;
	if (lane->paused && !lane->stopping)
		return false;
	if (class == LANE_BACKGROUND && lane->running[class] >= lane->limit && !lane->stopping)
		return false;
	return lane->running[LANE_READAHEAD] + lane->running[LANE_BACKGROUND] < lane->options.max - lane->options.reserve;
}

static struct lane_job *take_job(struct lane *lane)
{
	for (int i = LANE_DEMAND; i < LANE_CLASSES; i++) {
		if (!may_take(lane, (enum lane_class)i))
			continue;
		struct lane_job *job = lane->queues[i].first;
		queue_remove(&lane->queues[i], job);
		job->queued = false;
		return job;
	}
	return NULL;
}

static bool is_idle(const struct lane *lane)
{
	for (int i = 0; i < LANE_CLASSES; i++)
		if (lane->queues[i].count || lane->running[i])
			return false;
	return true;
}

static void run_jobs(struct lane *lane)
{
	uv_mutex_lock(&lane->lock);
	for (;;) {
		struct lane_job *job = take_job(lane);
		if (job) {
			enum lane_class class = job->class; /* run() may free the job */
			note_time(lane);
			lane->running[class]++;
			uv_mutex_unlock(&lane->lock);
			job->run(job);
			uv_mutex_lock(&lane->lock);
			note_time(lane);
			lane->running[class]--;
		} else if (lane->stopping && is_idle(lane)) {
			uv_cond_broadcast(&lane->changed);
			break;
		} else {
			uv_cond_wait(&lane->changed, &lane->lock);
		}
	}
	uv_mutex_unlock(&lane->lock);
}

static void thread_main(void *arg)
{
	struct lane_thread *self = arg;
	struct lane *lane = self->lane;
	char name[16]; /* the kernel's limit */
	snprintf(name, sizeof(name), "%.10s-%u", lane->name, self->number % 1000);
	pthread_setname_np(pthread_self(), name);
	uv_mutex_lock(&lane->lock);
	self->id = gettid();
	uv_mutex_unlock(&lane->lock);
	if (lane->options.thread_start)
		lane->options.thread_start(lane->options.context);
	run_jobs(lane);
	if (lane->options.thread_stop)
		lane->options.thread_stop(lane->options.context);
}

static int lane_init(const struct lane_options *options, struct lane **lane)
{
	struct lane *made = calloc(1, sizeof(*made));
	if (!made)
		return -ENOMEM;
	made->options = *options;
	made->limit = UINT_MAX;
	snprintf(made->name, sizeof(made->name), "%s", options->name ? options->name : "lane");
	made->options.name = made->name;
	int error = uv_mutex_init(&made->lock);
	if (error) {
		free(made);
		return error;
	}
	error = uv_cond_init(&made->changed);
	if (error) {
		uv_mutex_destroy(&made->lock);
		free(made);
		return error;
	}
	*lane = made;
	return 0;
}

/* Under lock, or before anybody else knows the lane. */
static int add_threads(struct lane *lane, unsigned max)
{
	struct lane_thread **grown = reallocarray(lane->threads, max, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	lane->threads = grown;
	while (lane->n_threads < max) {
		struct lane_thread *thread = calloc(1, sizeof(*thread));
		if (!thread)
			return -ENOMEM;
		thread->lane = lane;
		thread->number = lane->n_threads;
		int error = uv_thread_create(&thread->thread, thread_main, thread);
		if (error) {
			free(thread);
			return error;
		}
		lane->threads[lane->n_threads++] = thread;
	}
	return 0;
}

int lane_start(const struct lane_options *options, struct lane **lane)
{
	struct lane *made;
	if (options->max == 0 || options->reserve >= options->max)
		return -EINVAL;
	int error = lane_init(options, &made);
	if (error)
		return error;
	error = add_threads(made, options->max);
	if (error) {
		lane_stop(made);
		return error;
	}
	*lane = made;
	return 0;
}

int lane_resize(struct lane *lane, unsigned max, unsigned reserve)
{
	if (max == 0 || reserve >= max)
		return -EINVAL;
	uv_mutex_lock(&lane->lock);
	int error = max > lane->n_threads ? add_threads(lane, max) : 0;
	if (!error) {
		lane->options.max = max;
		lane->options.reserve = reserve;
		uv_cond_broadcast(&lane->changed);
	}
	uv_mutex_unlock(&lane->lock);
	return error;
}

void lane_stop(struct lane *lane)
{
	if (!lane)
		return;
	uv_mutex_lock(&lane->lock);
	lane->stopping = true;
	uv_cond_broadcast(&lane->changed);
	uv_mutex_unlock(&lane->lock);
	for (unsigned i = 0; i < lane->n_threads; i++) {
		uv_thread_join(&lane->threads[i]->thread);
		free(lane->threads[i]);
	}
	free(lane->threads);
	uv_cond_destroy(&lane->changed);
	uv_mutex_destroy(&lane->lock);
	free(lane);
}

static bool enqueue(struct lane *lane, struct lane_job *job, enum lane_class class,
                    void (*put)(struct queue *queue, struct lane_job *job))
{
	uv_mutex_lock(&lane->lock);
	bool taken = class == LANE_DEMAND || !lane->stopping;
	if (taken) {
		job->class = class;
		job->queued = true;
		put(&lane->queues[class], job);
		uv_cond_signal(&lane->changed);
	}
	uv_mutex_unlock(&lane->lock);
	return taken;
}

bool lane_submit(struct lane *lane, struct lane_job *job, enum lane_class class)
{
	return enqueue(lane, job, class, queue_append);
}

bool lane_put_back(struct lane *lane, struct lane_job *job, enum lane_class class)
{
	return enqueue(lane, job, class, queue_prepend);
}

bool lane_promote(struct lane *lane, struct lane_job *job, enum lane_class class)
{
	uv_mutex_lock(&lane->lock);
	bool waits = job->queued;
	if (waits && class <= job->class) { /* the same class: to its front, since one more waits for it */
		queue_remove(&lane->queues[job->class], job);
		job->class = class;
		queue_prepend(&lane->queues[class], job);
		uv_cond_signal(&lane->changed);
	}
	uv_mutex_unlock(&lane->lock);
	return waits;
}

bool lane_withdraw(struct lane *lane, struct lane_job *job)
{
	uv_mutex_lock(&lane->lock);
	bool waits = job->queued;
	if (waits) {
		queue_remove(&lane->queues[job->class], job);
		job->queued = false;
		if (lane->stopping)
			uv_cond_broadcast(&lane->changed); /* it may have been the last */
	}
	uv_mutex_unlock(&lane->lock);
	return waits;
}

void lane_pause(struct lane *lane, bool paused)
{
	uv_mutex_lock(&lane->lock);
	lane->paused = paused;
	uv_cond_broadcast(&lane->changed);
	uv_mutex_unlock(&lane->lock);
}

void lane_limit(struct lane *lane, unsigned background)
{
	uv_mutex_lock(&lane->lock);
	bool raised = background > lane->limit;
	lane->limit = background;
	if (raised)
		uv_cond_broadcast(&lane->changed);
	uv_mutex_unlock(&lane->lock);
}

void lane_load(struct lane *lane, struct lane_load *load)
{
	uv_mutex_lock(&lane->lock);
	load->most = lane->options.max - lane->options.reserve;
	load->limit = lane->limit;
	for (int i = 0; i < LANE_CLASSES; i++) {
		load->queued[i] = lane->queues[i].count;
		load->running[i] = lane->running[i];
	}
	uv_mutex_unlock(&lane->lock);
}

/* --- what its threads want --- */

/* Of a thread: the time that it ran, and that it waited to run. */
static int wanted_by(pid_t id, uint64_t *ns)
{
	char path[64], text[64];
	uint64_t ran, waited;

	snprintf(path, sizeof(path), "/proc/self/task/%d/schedstat", (int)id);
	CLEAN_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (len < 0)
		return -errno;
	text[len] = '\0';
	if (sscanf(text, "%" SCNu64 " %" SCNu64, &ran, &waited) != 2)
		return -EPROTO;
	*ns += ran + waited;
	return 0;
}

/* Of all its threads; those that have not begun count nothing. */
static int wanted_by_all(struct lane *lane, uint64_t *ns)
{
	uv_mutex_lock(&lane->lock);
	unsigned count = lane->n_threads;
	pid_t *ids = calloc(count, sizeof(*ids));
	for (unsigned i = 0; ids && i < count; i++)
		ids[i] = lane->threads[i]->id;
	uv_mutex_unlock(&lane->lock);
	if (!ids)
		return -ENOMEM;
	int result = 0;
	for (unsigned i = 0; i < count && result >= 0; i++)
		result = ids[i] ? wanted_by(ids[i], ns) : 0;
	free(ids);
	return result;
}

/* Who has had no job since wanted nothing: the system is not asked on behalf of a lane that has no work. */
int lane_time(struct lane *lane, struct lane_time *time)
{
	struct lane_time found = {0};

	uv_mutex_lock(&lane->lock);
	note_time(lane);
	found.worked_ns = lane->worked_ns;
	bool unchanged = lane->told.wanted_ns && lane->told.worked_ns == found.worked_ns;
	if (unchanged)
		found = lane->told;
	uv_mutex_unlock(&lane->lock);
	int result = unchanged ? 0 : wanted_by_all(lane, &found.wanted_ns);
	if (result < 0)
		return result;
	uv_mutex_lock(&lane->lock);
	lane->told = found;
	uv_mutex_unlock(&lane->lock);
	*time = found;
	return 0;
}
