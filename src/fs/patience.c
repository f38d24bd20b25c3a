/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Signals to programs that wait for the source.
 *
 * The kernel tells of every signal (FUSE_INTERRUPT), once a request, and does not say which. One that ends the program must end
 * its wait. One that it catches must not: on a local disk no read, open or stat fails with EINTR, and many programs do not expect
 * it. What is pending and what the program does about it is in /proc/TID/status; a fatal signal shows there as SIGKILL of every
 * thread, but for those that dump core. Since the kernel does not tell of a second signal, who has been told of one is looked at
 * from time to time.
 *
 * Who cannot be looked at (a program in a name space that is hidden from us) is interrupted by every signal.
 *
 * Thread: one, which looks. Lock: one, taken under libfuse's of a request and before those of an object.
 */
#include "fs/internal.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Each is looked at so often, unless that took more than this part of a processor, but never much more seldom: somebody waits for
 * it. And so many with the lock held. */
#define LOOK_NS (NS_PER_S / 10)
#define LOOK_SHARE 20
#define LOOK_MOST_NS NS_PER_S
#define LOOK_AT_ONCE 64

static uint64_t bit(int signal)
{
	return 1ull << (signal - 1);
}

/* What is pending and neither blocked, ignored nor caught, and whose default is to end the program. */
static bool is_fatal(uint64_t pending, uint64_t survived)
{
	uint64_t harmless = bit(SIGCHLD) | bit(SIGCONT) | bit(SIGURG) | bit(SIGWINCH) | bit(SIGSTOP) | bit(SIGTSTP) |
	                    bit(SIGTTIN) | bit(SIGTTOU);

	return pending & ~survived & ~harmless;
}

bool patience_ends(pid_t thread)
{
	char path[64], line[256];
	uint64_t pending = 0, survived = 0;
	unsigned found = 0;

	if (thread <= 0)
		return true;
	snprintf(path, sizeof(path), "/proc/%d/status", (int)thread);
	FILE *file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file)) {
		bool is_pending = strncmp(line, "SigPnd:", 7) == 0 || strncmp(line, "ShdPnd:", 7) == 0;
		bool is_survived =
			strncmp(line, "SigBlk:", 7) == 0 || strncmp(line, "SigIgn:", 7) == 0 || strncmp(line, "SigCgt:", 7) == 0;
		if (!is_pending && !is_survived)
			continue;
		*(is_pending ? &pending : &survived) |= strtoull(line + 7, NULL, 16);
		found++;
	}
	if (file)
		fclose(file);
	return found < 5 || is_fatal(pending, survived);
}

/* --- those that have been told of a signal --- */

void patience_add(struct call *call)
{
	struct patience *patience = &call->fs->patience;
	LOCKED(&patience->lock);

	if (call->is_patient)
		return;
	call->is_patient = true;
	TAILQ_INSERT_TAIL(&patience->calls, call, patient);
	patience->count++;
	pthread_cond_signal(&patience->changed);
}

/* Under lock. */
static void take_out(struct patience *patience, struct call *call)
{
	TAILQ_REMOVE(&patience->calls, call, patient);
	patience->count--;
	call->is_patient = false;
}

void patience_remove(struct call *call)
{
	struct patience *patience = &call->fs->patience;
	LOCKED(&patience->lock);

	if (call->is_patient)
		take_out(patience, call);
}

/* Under lock: those that were not looked at for longest. Returns how many. */
static size_t look(struct patience *patience)
{
	size_t most = patience->count < LOOK_AT_ONCE ? patience->count : LOOK_AT_ONCE;

	for (size_t i = 0; i < most; i++) {
		struct call *call = TAILQ_FIRST(&patience->calls);
		TAILQ_REMOVE(&patience->calls, call, patient);
		TAILQ_INSERT_TAIL(&patience->calls, call, patient);
		if (patience_ends(fuse_req_ctx(call->req)->pid)) {
			take_out(patience, call);
			call_interrupt(call);
		}
	}
	return most;
}

/* Under lock. */
static void pause_for(struct patience *patience, uint64_t ns)
{
	uint64_t until = clock_monotonic_ns() + ns;
	struct timespec time = {.tv_sec = (time_t)(until / NS_PER_S), .tv_nsec = (long)(until % NS_PER_S)};

	while (!patience->stop && pthread_cond_timedwait(&patience->changed, &patience->lock, &time) != ETIMEDOUT)
		;
}

static void *watch(void *context)
{
	struct patience *patience = context;
	LOCKED(&patience->lock);

	pthread_setname_np(pthread_self(), "patience");
	while (!patience->stop) {
		if (patience->count == 0) {
			pthread_cond_wait(&patience->changed, &patience->lock);
			continue;
		}
		/* Of the processor, not of the clock: where others have it all, that would be long, and no reason to look less often. */
		uint64_t start = clock_read_ns(CLOCK_THREAD_CPUTIME_ID), all = patience->count;
		uint64_t due = LOOK_NS * look(patience) / all;
		uint64_t rest = (clock_read_ns(CLOCK_THREAD_CPUTIME_ID) - start) * LOOK_SHARE;
		if (rest > LOOK_MOST_NS)
			rest = LOOK_MOST_NS;
		pause_for(patience, rest > due ? rest : due);
	}
	return NULL;
}

int patience_start(struct patience *patience)
{
	pthread_condattr_t attr;

	TAILQ_INIT(&patience->calls);
	pthread_mutex_init(&patience->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&patience->changed, &attr);
	pthread_condattr_destroy(&attr);
	int result = -pthread_create(&patience->thread, NULL, watch, patience);
	patience->running = result == 0;
	return result;
}

void patience_stop(struct patience *patience)
{
	if (!patience->running)
		return;
	pthread_mutex_lock(&patience->lock);
	patience->stop = true;
	pthread_cond_signal(&patience->changed);
	pthread_mutex_unlock(&patience->lock);
	pthread_join(patience->thread, NULL);
	patience->running = false;
}
