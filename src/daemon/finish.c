/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Finishing: when nothing is pending, unmount, and take away what is ours.
 *
 * The mount goes first. Only when the kernel has ended the connection, after the last open file was closed, is the state
 * removed: until then what is open works on. The configuration says "finishing" before the first thing is removed and "complete"
 * after the last, so an interrupted finish is completed by the next start.
 */
#include "daemon/daemon.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#define RETRY_US 200000
#define HOLDERS_MAX 64

/* --- who holds the mount --- */

static bool below_mount(const char *path, const char *mountpoint)
{
	size_t len = strlen(mountpoint);

	return strncmp(path, mountpoint, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

static bool add_holder(struct finish_result *result, pid_t pid, const char *path)
{
	char name[64];

	if (result->n_holders == HOLDERS_MAX)
		return false;
	struct holder *holder = &result->holders[result->n_holders++];
	holder->pid = pid;
	snprintf(holder->path, sizeof(holder->path), "%s", path);
	snprintf(name, sizeof(name), "/proc/%d/comm", (int)pid);
	FILE *comm = fopen(name, "re");
	if (comm && fgets(holder->command, sizeof(holder->command), comm))
		holder->command[strcspn(holder->command, "\n")] = '\0';
	if (comm)
		fclose(comm);
	return true;
}

static bool link_below(const char *link, const char *mountpoint, char path[PATH_MAX])
{
	ssize_t len = readlink(link, path, PATH_MAX - 1);

	if (len < 0)
		return false;
	path[len] = '\0';
	return below_mount(path, mountpoint);
}

static bool descriptor_below(pid_t pid, const char *mountpoint, char path[PATH_MAX])
{
	char name[PATH_MAX];
	bool found = false;

	snprintf(name, sizeof(name), "/proc/%d/fd", (int)pid);
	DIR *dir = opendir(name);
	for (struct dirent *entry; dir && !found && (entry = readdir(dir));) {
		snprintf(name, sizeof(name), "/proc/%d/fd/%s", (int)pid, entry->d_name);
		found = isdigit((unsigned char)entry->d_name[0]) && link_below(name, mountpoint, path);
	}
	if (dir)
		closedir(dir);
	return found;
}

static bool mapping_below(pid_t pid, const char *mountpoint, char path[PATH_MAX])
{
	char name[64], line[PATH_MAX + 128];
	bool found = false;

	snprintf(name, sizeof(name), "/proc/%d/maps", (int)pid);
	FILE *maps = fopen(name, "re");
	while (maps && !found && fgets(line, sizeof(line), maps)) {
		char *at = strchr(line, '/');
		if (!at)
			continue;
		at[strcspn(at, "\n")] = '\0';
		found = below_mount(at, mountpoint);
		if (found)
			snprintf(path, PATH_MAX, "%s", at);
	}
	if (maps)
		fclose(maps);
	return found;
}

static bool holds(pid_t pid, const char *mountpoint, char path[PATH_MAX])
{
	static const char *const links[] = {"cwd", "root", "exe"};

	for (size_t i = 0; i < 3; i++) {
		char name[64];
		snprintf(name, sizeof(name), "/proc/%d/%s", (int)pid, links[i]);
		if (link_below(name, mountpoint, path))
			return true;
	}
	return descriptor_below(pid, mountpoint, path) || mapping_below(pid, mountpoint, path);
}

/* Another mount namespace (a container, a service with private mounts) that was made while we were mounted has its own copy. */
static bool has_copy(pid_t pid, const char *mountpoint, char path[PATH_MAX])
{
	char name[64], line[PATH_MAX + 256], at[PATH_MAX];
	bool found = false;

	snprintf(name, sizeof(name), "/proc/%d/mountinfo", (int)pid);
	FILE *mounts = fopen(name, "re");
	while (mounts && !found && fgets(line, sizeof(line), mounts))
		found = strstr(line, " - fuse.dmmfs ") && sscanf(line, "%*s %*s %*s %*s %4095s", at) == 1 &&
		        strcmp(at, mountpoint) == 0;
	if (mounts)
		fclose(mounts);
	if (found)
		snprintf(path, PATH_MAX, "%s", mountpoint);
	return found;
}

typedef bool (*holds_fn)(pid_t pid, const char *mountpoint, char path[PATH_MAX]);

static void list_holders(const char *mountpoint, holds_fn holds_it, struct finish_result *result)
{
	DIR *proc = opendir("/proc");
	char path[PATH_MAX];

	free(result->holders);
	result->n_holders = 0;
	result->holders = calloc(HOLDERS_MAX, sizeof(*result->holders));
	for (struct dirent *entry; proc && result->holders && (entry = readdir(proc));) {
		pid_t pid = (pid_t)atoi(entry->d_name);
		if (pid > 0 && pid != getpid() && holds_it(pid, mountpoint, path) && !add_holder(result, pid, path))
			break;
	}
	if (proc)
		closedir(proc);
}

/* --- unmounting --- */

static int unmount_patiently(struct daemon *daemon, unsigned wait_s)
{
	uint64_t deadline = clock_monotonic_ns() + wait_s * NS_PER_S;
	int result;

	while ((result = fs_unmount(daemon->fs, 0)) == -EBUSY && clock_monotonic_ns() < deadline)
		usleep(RETRY_US);
	return result;
}

static int unmount(struct daemon *daemon, const struct finish_request *request, struct finish_result *result)
{
	int error = unmount_patiently(daemon, request->wait_s);

	if (error == -EBUSY && request->lazy) {
		fs_stop_caching(daemon->fs);
		return fs_unmount(daemon->fs, MNT_DETACH);
	}
	if (error == -EBUSY) {
		list_holders(daemon->options->mountpoint, holds, result);
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

static bool begin(struct daemon *daemon)
{
	LOCKED(&daemon->lock);
	if (daemon->finishing)
		return false;
	daemon->finishing = true;
	daemon->ending = ENDING_FINISH; /* before the mount goes: the main thread looks when it is gone */
	return true;
}

static void call_off(struct daemon *daemon)
{
	LOCKED(&daemon->lock);
	daemon->finishing = false;
	daemon->ending = ENDING_HALT;
}

/* Until nothing of ours is left; with --lazy only as long as the last open file does not keep us. */
static int await_end(struct daemon *daemon, bool lazy)
{
	struct timespec until;
	int waited = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += lazy ? 1 : 30;
	LOCKED(&daemon->lock);
	while (!daemon->ended && waited == 0)
		waited = pthread_cond_timedwait(&daemon->changed, &daemon->lock, &until);
	if (daemon->ended)
		return daemon->end_result;
	return lazy ? 0 : -ETIMEDOUT;
}

static void explain_end(struct daemon *daemon, int error, struct finish_result *result)
{
	const struct options *options = daemon->options;

	if (error == -ETIMEDOUT) {
		list_holders(options->mountpoint, has_copy, result);
		snprintf(result->message, sizeof(result->message),
		         "%s is unmounted here, but %zu process%s in another mount namespace still ha%s it; what is ours in %s "
		         "goes as soon as "
		         "the last one has let go",
		         options->mountpoint, result->n_holders, result->n_holders == 1 ? "" : "es",
		         result->n_holders == 1 ? "s" : "ve", options->target);
	} else {
		snprintf(result->message, sizeof(result->message),
		         "the mount is gone, but what is ours in %s could not be removed: %s; mount it again to try once more",
		         options->target, strerror(-error));
	}
}

int daemon_finish(void *context, const struct finish_request *request, struct finish_result *result)
{
	struct daemon *daemon = context;

	*result = (struct finish_result){0};
	if (!begin(daemon)) {
		snprintf(result->message, sizeof(result->message), "it is being finished already");
		return -EALREADY;
	}
	int error = migrate_check_finished(daemon->migrate, result->message, sizeof(result->message));
	if (error >= 0)
		error = fault_hit(FAULT_FINISH_BEGIN);
	if (error >= 0)
		error = unmount(daemon, request, result);
	if (error < 0) {
		call_off(daemon);
		return error;
	}
	error = await_end(daemon, request->lazy);
	if (error < 0)
		explain_end(daemon, error, result);
	return error == -ETIMEDOUT ? -EBUSY : error; /* with those who hold it */
}

/* --- autofinish --- */

static void *finish_when_free(void *context)
{
	struct daemon *daemon = context;
	struct finish_request request = {.wait_s = 3600};
	struct finish_result result;
	int error;

	pthread_setname_np(pthread_self(), "autofinish");
	while ((error = daemon_finish(daemon, &request, &result)) == -EBUSY) {
		log_event(LOG_LEVEL_INFO, "autofinish-waits", "reason=%s", result.message);
		free(result.holders);
	}
	if (error < 0 && error != -EALREADY)
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
	int result = config_set(daemon->config, daemon->migid, "state", "finishing");

	if (result >= 0)
		result = fault_hit(FAULT_FINISH_UNMOUNTED);
	if (result >= 0)
		result = daemon_remove_ours(daemon);
	if (result >= 0)
		result = fault_hit(FAULT_FINISH_CLEANED);
	if (result < 0) {
		log_error("what is ours cannot be removed: target=%s error=%s", daemon->options->target, errno_name(result));
		return result;
	}
	snprintf(finished, sizeof(finished), "%llu", (unsigned long long)(clock_wall_ns() / NS_PER_S));
	const char *const settings[] = {"state", "complete", "finished", finished, NULL};
	log_event(LOG_LEVEL_INFO, "finished", "target=%s", daemon->options->target);
	return config_set_many(daemon->config, daemon->migid, settings);
}
