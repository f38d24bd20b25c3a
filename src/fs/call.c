/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Running calls, and parking them.
 *
 * Three parties meet at a parked call: the thread that parks it, the one that wakes it, and the one that brings the interrupt of
 * a system call. Until the parking thread has set the interrupt handler (`parking` is PARKING) the others wait, for microseconds
 * and without locks. Afterwards exactly one of them gets the call: whoever takes it off the object. Which signals interrupt is
 * told in patience.c.
 */
#include "fs/internal.h"

#include "base/clock.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum { RUNNING, PARKING, PARKED };

__thread uint64_t request_unique;

static void call_free(struct call *call)
{
	if (!call->on_heap)
		return;
	free((void *)call->name);
	free((void *)call->name2);
	free((void *)call->data);
	free(call);
}

/* It is answered. */
static void call_over(struct call *call)
{
	kept_change_end(call->fs->kept, call->change);
	call->change = NULL;
	call_free(call);
}

bool call_attempt(struct call *call, uint64_t moved, uint64_t victim)
{
	if (call->change)
		return call->begun_before;
	if (call->resent)
		call->change = kept_change_find(call->fs->kept, call->unique);
	call->begun_before = call->change != NULL;
	if (!call->change)
		call->change = kept_change_begin(call->fs->kept, call->unique, moved, victim);
	return call->begun_before;
}

/* One in TIMED operations: enough to tell what applications wait, and two looks at the clock are not nothing beside a getattr. */
#define TIMED 4

static bool is_timed(void)
{
	static __thread unsigned turn;

	return turn++ % TIMED == 0;
}

/* What waited for a monitor is the monitor's to tell. */
static void note_served(const struct call *call)
{
	if (call->started_ns && !call->waiter.parked_ns)
		monitor_served(call->fs->monitor, clock_monotonic_ns() - call->started_ns);
}

void call_start(struct call *call)
{
	if (!call->on_heap) {
		call->unique = request_unique & ~REQUEST_RESENT;
		call->resent = request_unique & REQUEST_RESENT;
		if (is_timed())
			call->started_ns = clock_monotonic_ns();
	}
	int result = call->error < 0 ? call->error : call->run(call);

	if (result == CALL_PARKED)
		return;
	if (result < 0)
		fuse_reply_err(call->req, -result);
	note_served(call);
	call_over(call);
}

/* The call is the waker's alone from here on. */
static void take_over(struct call *call)
{
	while (atomic_load_explicit(&call->parking, memory_order_acquire) == PARKING)
		sched_yield();
	fuse_req_interrupt_func(call->req, NULL, NULL);
	patience_remove(call);
}

static void go_on(struct call *call)
{
	take_over(call);
	atomic_store(&call->parking, RUNNING);
	if (!call->answer) {
		call_start(call);
		return;
	}
	if (call->error < 0)
		fuse_reply_err(call->req, -call->error);
	else
		call->answer(call);
	note_served(call);
	call_over(call);
}

/* In a worker of the lane: the call again, or its answer. */
static void run_woken(struct lane_job *job)
{
	struct call *call = (struct call *)((char *)job - offsetof(struct call, job));
	struct fs *fs = call->fs;

	atomic_fetch_add(&fs->woken_running, 1);
	if (!atomic_load(&fs->gate_closed)) /* or else it is the next process's */
		go_on(call);
	nodes_done(fs->nodes);
	atomic_fetch_sub(&fs->woken_running, 1);
}

/* The bytes are valid during this call alone, so the answer goes out from here. */
static void answer_with(struct call *call, const void *data, size_t len)
{
	take_over(call);
	fuse_reply_buf(call->req, data, len);
	call_over(call);
}

static void woken(struct waiter *waiter, int error, const void *data, size_t len)
{
	struct call *call = (struct call *)((char *)waiter - offsetof(struct call, waiter));

	if (data) {
		answer_with(call, data, len);
		return;
	}
	call->error = error;
	call->job.run = run_woken;
	lane_submit(call->fs->woken, &call->job, LANE_DEMAND);
}

void call_interrupt(struct call *call)
{
	if (!monitor_cancel(call->subject, &call->waiter))
		return; /* it is being woken */
	call->error = -EINTR;
	call->job.run = run_woken;
	lane_submit(call->fs->woken, &call->job, LANE_DEMAND);
}

/* Called by libfuse in a receiving thread, with a lock of the request held: only hand it on. */
static void interrupted(fuse_req_t req, void *data)
{
	struct call *call = data;

	if (patience_ends(fuse_req_ctx(req)->pid))
		call_interrupt(call);
	else
		patience_add(call);
}

static const char *copy_name(const char *name)
{
	if (!name)
		return NULL;
	char *copy = strdup(name);
	if (!copy)
		abort();
	return copy;
}

/* Moves the call from the stack to where it outlives its thread's interest. */
static struct call *to_heap(struct call *call)
{
	if (call->on_heap)
		return call;
	struct call *kept = malloc(sizeof(*kept));
	void *data = call->data ? malloc(call->data_len ? call->data_len : 1) : NULL;
	if (!kept || (call->data && !data))
		abort();
	*kept = *call;
	kept->on_heap = true;
	kept->name = copy_name(call->name);
	kept->name2 = copy_name(call->name2);
	kept->data = data ? memcpy(data, call->data, call->data_len) : NULL;
	kept->waiter.wake = woken;
	return kept;
}

/* Its thread goes, and with it the use of the node: what an interrupt needs of the subject is kept here. */
static void leave_parked(struct call *call, bool interruptible)
{
	const struct subject *subject = call->subject;

	if (subject != &call->stranger) {
		call->stranger = (struct subject){.ino = subject->ino, .is_dir = subject->is_dir, .is_file = subject->is_file};
		call->stranger.handle = subject->handle;
		call->subject = &call->stranger;
	}
	if (interruptible)
		fuse_req_interrupt_func(call->req, interrupted, call);
	atomic_store_explicit(&call->parking, PARKED, memory_order_release);
}

int call_event(struct call *call, struct subject *subject, const struct event *event, bool *held)
{
	if (held)
		*held = false;
	if (subject_quiet(subject))
		return CALL_DONE;
	int result = call->on_heap ? -EAGAIN : monitor_begin(call->fs->monitor, subject, event, NULL, held);
	if (result != -EAGAIN)
		return result;

	struct call *kept = to_heap(call);
	kept->subject = subject == &call->stranger ? &kept->stranger : subject;
	atomic_store(&kept->parking, PARKING);
	result = monitor_begin(call->fs->monitor, kept->subject, event, &kept->waiter, held);
	if (result == MONITOR_PARKED) {
		leave_parked(kept, true);
		return CALL_PARKED;
	}
	atomic_store(&kept->parking, RUNNING);
	if (kept != call)
		call_free(kept); /* what it waited for came just now; the one on the stack goes on */
	return result;
}

int call_end(struct call *call, struct subject *subject, const struct event *event, void (*answer)(struct call *call),
             uint64_t value)
{
	struct call *kept = to_heap(call);

	kept->answer = answer;
	kept->answer_value = value;
	kept->subject = subject;
	atomic_store(&kept->parking, PARKING);
	int result = monitor_end(call->fs->monitor, subject, event, &kept->waiter);
	if (result == MONITOR_PARKED) {
		/* Not interruptible: the change is done, and durable in a moment. */
		leave_parked(kept, false);
		return CALL_PARKED;
	}
	atomic_store(&kept->parking, RUNNING);
	kept->answer = NULL;
	if (kept != call)
		call_free(kept);
	return result;
}

int call_names(struct call *call, struct node *dir)
{
	return call_event(call, &dir->subject, &(struct event){.kind = EVENT_NAMES, .fd = -1}, NULL);
}
