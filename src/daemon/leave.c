/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Leaving the mount, for finish and for halt; and halt and pause themselves.
 *
 * Lock: daemon->lock guards who leaves and how, a leaf.
 */
#include "daemon/leave.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "keeper/keeper.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#define RETRY_US 200000
#define END_S 30 /* how long the end of a daemon may take that nobody holds */

static bool may_wait(const struct finish_request *request, uint64_t deadline)
{
	return clock_monotonic_ns() < deadline && (!request->wanted || atomic_load(request->wanted));
}

/* Somebody else may take the mount away meanwhile: then its end has begun, daemon->fs is not for us any more, and we wait for the rest. */
static int unmount_patiently(struct daemon *daemon, const struct finish_request *request)
{
	uint64_t deadline = clock_monotonic_ns() + request->wait_s * NS_PER_S;
	bool was_busy = false;
	int result;

	while ((result = worker_unmount(daemon->options->mountpoint, 0)) == -EBUSY && may_wait(request, deadline)) {
		was_busy = true;
		usleep(RETRY_US);
	}
	return result == -EINVAL && was_busy ? 0 : result;
}

static int unmount(struct daemon *daemon, const struct finish_request *request, struct finish_result *result)
{
	int error = unmount_patiently(daemon, request);

	if (error == -EBUSY && request->lazy) {
		fs_stop_caching(daemon->fs);
		return fs_unmount(daemon->fs, MNT_DETACH);
	}
	if (error == -EBUSY) {
		holders_of_files(daemon->options->mountpoint, result);
		snprintf(result->message, sizeof(result->message),
		         "%s is in use by %zu process%s; end them, wait for them with --wait SECONDS, or detach at once with "
		         "--lazy",
		         daemon->options->mountpoint, result->n_holders, result->n_holders == 1 ? "" : "es");
	} else if (error < 0) {
		snprintf(result->message, sizeof(result->message), "cannot unmount %s: %s", daemon->options->mountpoint,
		         strerror(-error));
	}
	return error;
}

/* Until the daemon has closed everything; with --lazy only as long as the last open file does not keep us. */
static int await_end(struct daemon *daemon, bool lazy)
{
	struct timespec until = clock_after_ns((lazy ? 1 : END_S) * NS_PER_S);
	int waited = 0;

	LOCKED(&daemon->lock);
	while (!daemon->ended && waited == 0)
		waited = pthread_cond_clockwait(&daemon->changed, &daemon->lock, CLOCK_MONOTONIC, &until);
	if (daemon->ended)
		return daemon->end_result;
	return lazy ? 0 : -ETIMEDOUT;
}

static void explain_end(struct daemon *daemon, int error, struct finish_result *result)
{
	const struct options *options = daemon->options;

	if (error == -ETIMEDOUT) {
		holders_of_copies(options->mountpoint, result);
		snprintf(result->message, sizeof(result->message),
		         "%s is unmounted here, but %zu process%s in another mount namespace still ha%s it; the daemon comes to "
		         "its end, and what it is to take away from %s goes, as soon as the last one has let go",
		         options->mountpoint, result->n_holders, result->n_holders == 1 ? "" : "es",
		         result->n_holders == 1 ? "s" : "ve", options->target);
	} else if (error == -EINPROGRESS) {
		snprintf(result->message, sizeof(result->message),
		         "the mount is gone, but %s has files or directories by now that have not come over; nothing of ours was "
		         "removed: mount it again, and finish it then",
		         options->target);
	} else {
		snprintf(result->message, sizeof(result->message),
		         "the mount is gone, but what is ours in %s could not be removed: %s; mount it again to try once more",
		         options->target, strerror(-error));
	}
}

static void call_off(struct daemon *daemon)
{
	LOCKED(&daemon->lock);
	daemon->finishing = false;
	daemon->ending = ENDING_HALT;
}

int leave_begin(struct daemon *daemon, enum ending ending, struct finish_result *result)
{
	LOCKED(&daemon->lock);

	*result = (struct finish_result){0};
	if (daemon->finishing) {
		snprintf(result->message, sizeof(result->message), "it is being %s already",
		         daemon->ending == ENDING_FINISH ? "finished" : "halted");
		return -EALREADY;
	}
	daemon->finishing = true;
	daemon->ending = ending; /* before the mount goes: the main thread looks when it is gone */
	return 0;
}

int leave_end(struct daemon *daemon, int error, const struct finish_request *request, struct finish_result *result)
{
	if (error >= 0)
		error = unmount(daemon, request, result);
	if (error < 0) {
		call_off(daemon);
		return error;
	}
	kept_memory(daemon->kept)->ending = daemon->ending; /* the last file may be closed under another worker */
	error = await_end(daemon, request->lazy);
	if (error < 0)
		explain_end(daemon, error, result);
	return error == -ETIMEDOUT ? -EBUSY : error;
}

/* --- halt and pause --- */

int daemon_halt(void *context, const struct finish_request *request, struct finish_result *result)
{
	struct daemon *daemon = context;
	int error = leave_begin(daemon, ENDING_HALT, result);

	if (error < 0)
		return error;
	log_info("asked to halt: mountpoint=%s", daemon->options->mountpoint);
	return leave_end(daemon, 0, request, result);
}

/* The setting is written first: what was acknowledged holds after the next start. */
int daemon_pause(void *context, bool paused)
{
	struct daemon *daemon = context;
	int error = config_set(daemon->config, daemon->migid, "paused", paused ? "on" : NULL);

	if (error < 0)
		return error;
	migrate_pause(daemon->migrate, paused);
	log_info("the background %s: mountpoint=%s", paused ? "pauses" : "goes on", daemon->options->mountpoint);
	return 0;
}
