/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Finishing: when nothing is pending, unmount, and take away what is ours.
 *
 * The mount goes first (leave.c). Only when the kernel has ended the connection, after the last open file was closed, is the state
 * removed: until then what is open works on. The configuration says "finishing" before the first thing is removed and "complete"
 * after the last, so an interrupted finish is completed by the next start.
 */
#include "daemon/daemon.h"
#include "daemon/leave.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int daemon_finish(void *context, const struct finish_request *request, struct finish_result *result)
{
	struct daemon *daemon = context;

	int error = leave_begin(daemon, ENDING_FINISH, result);
	if (error < 0)
		return error;
	error = migrate_check_finished(daemon->migrate, result->message, sizeof(result->message));
	if (error >= 0)
		error = fault_hit(FAULT_FINISH_BEGIN);
	return leave_end(daemon, error, request, result);
}

/* --- autofinish --- */

static void *finish_when_free(void *context)
{
	struct daemon *daemon = context;
	struct finish_request request = {.wait_s = 3600, .wanted = &daemon->autofinish};
	struct finish_result result;
	int error;

	pthread_setname_np(pthread_self(), "autofinish");
	while ((error = daemon_finish(daemon, &request, &result)) == -EBUSY && atomic_load(&daemon->autofinish)) {
		log_event(LOG_LEVEL_INFO, "autofinish-waits", "reason=%s", result.message);
		free(result.holders);
	}
	if (error == -EBUSY)
		free(result.holders); /* it was switched off */
	else if (error < 0 && error != -EALREADY)
		log_event(LOG_LEVEL_ERROR, "autofinish-failed", "error=%s reason=%s", errno_name(error), result.message);
	return NULL;
}

void daemon_autofinish(void *context)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, finish_when_free, context) == 0)
		pthread_detach(thread);
}

/* --- taking away what is ours --- */

/* A state directory of its own holds our files and nothing else of ours. */
static int remove_statedir(struct daemon *daemon)
{
	static const char *const files[] = {"data.mdb", "lock.mdb", "lock"};
	char path[PATH_MAX];

	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		snprintf(path, sizeof(path), "%s/%s", daemon->statedir, files[i]);
		if (unlink(path) < 0 && errno != ENOENT)
			return -errno;
		int result = fault_hit(FAULT_OURS_REMOVED);
		if (result < 0)
			return result;
	}
	if (rmdir(daemon->statedir) < 0 && errno != ENOENT && errno != ENOTEMPTY && errno != EBUSY)
		return -errno;
	return 0;
}

int daemon_remove_ours(struct daemon *daemon)
{
	int result = remove_statedir(daemon);

	return result < 0 ? result : target_disown(&daemon->target);
}

int daemon_clean_up(struct daemon *daemon)
{
	char finished[32];
	int result = fault_hit(FAULT_FINISH_ALONE);

	if (result >= 0)
		result = config_set(daemon->config, daemon->migid, "state", "finishing");
	if (result >= 0)
		result = fault_hit(FAULT_FINISH_UNMOUNTED);
	if (result >= 0)
		result = daemon_settle_remains(daemon);
	if (result >= 0)
		result = daemon_remove_ours(daemon);
	if (result >= 0)
		result = fault_hit(FAULT_FINISH_CLEANED);
	if (result < 0) {
		log_error("what is ours cannot be removed: target=%s error=%s", daemon->options->target, errno_name(result));
		return result;
	}
	target_close(&daemon->target); /* who sees the end may unmount its file system, and look at the disk */
	snprintf(finished, sizeof(finished), "%llu", (unsigned long long)(clock_wall_ns() / NS_PER_S));
	const char *const settings[] = {"state", "complete", "finished", finished, NULL};
	log_event(LOG_LEVEL_INFO, "finished", "target=%s", daemon->options->target);
	return config_set_many(daemon->config, daemon->migid, settings);
}
