/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * An upgrade: this process gives way to one of the program that is installed now, and applications go on.
 *
 * It is a death at a chosen moment. What is being done for an application is done to its end; what waits, and what comes, is for the next
 * process, to which the kernel sends it again. All else is as after a kill, for which everything is made: nothing is flushed, since
 * applications would wait for that. The keeper sees why it ended, and puts the program in its own place, too.
 */
#include "daemon/daemon.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "dmmfs-config.h"
#include "keeper/keeper.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* So that who asked for it has its answer, and the log its lines. Applications are served meanwhile. */
#define LEAVE_AFTER_NS (200 * NS_PER_MS)
#define LOG_WAIT_MS 1000

/* False: the end of the mount came first. From now on that waits for us, or we for nothing. */
static bool pause_well(struct daemon *daemon)
{
	struct timespec until = clock_after_ns(LEAVE_AFTER_NS);
	int waited = 0;

	LOCKED(&daemon->lock);
	while (!daemon->leaving && waited == 0)
		waited = pthread_cond_clockwait(&daemon->changed, &daemon->lock, CLOCK_MONOTONIC, &until);
	kept_memory(daemon->kept)->upgrading = !daemon->leaving;
	return !daemon->leaving;
}

static void *give_way(void *context)
{
	struct daemon *daemon = context;
	struct memory *memory = kept_memory(daemon->kept);

	pthread_setname_np(pthread_self(), "upgrade");
	if (!pause_well(daemon))
		return NULL;
	log_event(LOG_LEVEL_INFO, "upgrade", "program=%s", memory->program);
	log_flush(LOG_WAIT_MS);
	fs_close_gate(daemon->fs);
	_exit(0);
}

/* Under lock. */
static int check(struct daemon *daemon, char *error, size_t error_size)
{
	if (daemon->finishing || daemon->leaving) {
		snprintf(error, error_size, "it is being halted or finished");
		return -EBUSY;
	}
	if (!kept_memory(daemon->kept)->resends) {
		snprintf(error, error_size,
		         "nothing holds its mount meanwhile (keeper=off, or a kernel before Linux 6.9): halt it and start it again");
		return -EOPNOTSUPP;
	}
	if (daemon->upgrading) {
		snprintf(error, error_size, "it is being upgraded already");
		return -EALREADY;
	}
	return worker_check_program(kept_memory(daemon->kept), error, error_size);
}

static int begin(struct daemon *daemon, char *error, size_t error_size)
{
	LOCKED(&daemon->lock);
	int result = check(daemon, error, error_size);

	if (result >= 0)
		result = -pthread_create(&daemon->giving_way, NULL, give_way, daemon);
	if (result < 0)
		return result;
	daemon->upgrading = true;
	return 0;
}

void daemon_end_upgrade(struct daemon *daemon)
{
	pthread_mutex_lock(&daemon->lock);
	daemon->leaving = true;
	pthread_cond_broadcast(&daemon->changed);
	bool begun = daemon->upgrading;
	pthread_mutex_unlock(&daemon->lock);
	if (begun)
		pthread_join(daemon->giving_way, NULL); /* it ends the process, unless the mount was gone before */
}

int daemon_upgrade(void *context, bool wanted, struct upgrade_status *status, char *error, size_t error_size)
{
	struct daemon *daemon = context;
	const struct memory *memory = kept_memory(daemon->kept);

	*status = (struct upgrade_status){.pid = getpid(),
	                                  .keeper = memory->keeper_pid,
	                                  .version = DMM_VERSION,
	                                  .takeovers = memory->takeovers,
	                                  .pause_ns = memory->pause_ns};
	return wanted ? begin(daemon, error, error_size) : 0;
}
