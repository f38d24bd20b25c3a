/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A source plugin for tests: the posix plugin with delays, errors and hangs, steered while the daemon runs.
 *
 *     DMMFS_PLUGINDIR=BUILD/test/plugins DMMFS_SLOW=FILE DMMFS_SLOW_LOG=LOG dmmfs slow:///a/directory /mnt ...
 *
 * DMMFS_SLOW names a control file, looked at before every request and, while one is held up, every 5 ms. It may be absent or
 * empty. A line is a rule; the first that fits a request counts:
 *
 *     KIND delay MILLISECONDS [NAME]
 *     KIND spin MILLISECONDS [NAME]    of processor time
 *     KIND error ERRNO [NAME]          for example EIO
 *     KIND hang - [NAME]               until the rule goes away, the host cancels or the deadline is over
 *
 * KIND: any root attr open close list read readlink xattrs extents. NAME: the last component of the path at the source; only
 * requests on open files have one (list, read, xattrs, extents). Write a new control file beside the old one and rename it.
 *
 * DMMFS_SLOW_LOG names a file that gets a line for every request: "KIND OFF LEN PATH" with "-" where the request has no path.
 * No descriptor is offered to the host (DMM_CAP_FD), so that all data passes through READ and can be counted.
 */
#include "inner.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SCHEME "slow://"
#define POLL_NS 5000000

static const char *const kinds[] = {
	[DMM_REQ_ROOT] = "root",         [DMM_REQ_ATTR] = "attr",     [DMM_REQ_OPEN] = "open",
	[DMM_REQ_CLOSE] = "close",       [DMM_REQ_LIST] = "list",     [DMM_REQ_READ] = "read",
	[DMM_REQ_READLINK] = "readlink", [DMM_REQ_XATTRS] = "xattrs", [DMM_REQ_EXTENTS] = "extents",
};

enum action { NONE, DELAY, SPIN, ERROR, HANG };

struct rule {
	enum action action;
	int value;
};

static int log_fd = -1;

/* --- rules --- */

static int errno_of(const char *name)
{
	for (int i = 1; i < 134; i++)
		if (strerrorname_np(i) && strcmp(strerrorname_np(i), name) == 0)
			return i;
	return EIO;
}

static const char *last_component(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static struct rule find_rule(const char *kind, const char *path)
{
	const char *control = getenv("DMMFS_SLOW");
	FILE *file = control ? fopen(control, "re") : NULL;
	struct rule rule = {NONE, 0};
	char line[512], for_kind[32], action[32], value[32], name[256];

	while (file && rule.action == NONE && fgets(line, sizeof(line), file)) {
		int words = sscanf(line, "%31s %31s %31s %255s", for_kind, action, value, name);
		if (words < 3 || (strcmp(for_kind, kind) && strcmp(for_kind, "any")))
			continue;
		if (words == 4 && strcmp(name, last_component(path)))
			continue;
		if (strcmp(action, "delay") == 0)
			rule = (struct rule){DELAY, atoi(value)};
		else if (strcmp(action, "spin") == 0)
			rule = (struct rule){SPIN, atoi(value)};
		else if (strcmp(action, "error") == 0)
			rule = (struct rule){ERROR, errno_of(value)};
		else if (strcmp(action, "hang") == 0)
			rule = (struct rule){HANG, 0};
	}
	if (file)
		fclose(file);
	return rule;
}

/* --- requests --- */

static void path_of(const struct dmm_request *request, char path[PATH_MAX])
{
	char link[64];
	bool has_file = request->file && request->kind != DMM_REQ_OPEN;

	strcpy(path, "-");
	if (!has_file || !inner->file_fd)
		return;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", inner->file_fd(request->file));
	ssize_t len = readlink(link, path, PATH_MAX - 1);
	path[len > 0 ? len : 1] = '\0';
}

static void note(const struct dmm_request *request, const char *path)
{
	char line[PATH_MAX + 128];

	if (log_fd < 0)
		return;
	int len = snprintf(line, sizeof(line), "%s %llu %llu %s\n", kinds[request->kind], (unsigned long long)request->off,
	                   (unsigned long long)request->len, path);
	if (write(log_fd, line, (size_t)len) < 0)
		perror("slow: cannot log");
}

static unsigned long long read_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (unsigned long long)now.tv_sec * 1000000000u + (unsigned long long)now.tv_nsec;
}

static unsigned long long now_ns(void)
{
	return read_ns(CLOCK_MONOTONIC);
}

static unsigned long long processor_ns(void)
{
	return read_ns(CLOCK_THREAD_CPUTIME_ID);
}

static void pause_in(enum action action)
{
	unsigned long long start = processor_ns();

	if (action == SPIN)
		while (processor_ns() - start < POLL_NS)
			;
	else
		nanosleep(&(struct timespec){.tv_nsec = POLL_NS}, NULL);
}

/* 0, or the negative errno with which the request ends. */
static int hold_up(struct dmm_request *request, const char *path)
{
	const char *kind = kinds[request->kind];
	unsigned long long start = now_ns(), spun = processor_ns();

	for (;;) {
		struct rule rule = find_rule(kind, path);
		if (rule.action == NONE)
			return 0;
		if (rule.action == ERROR)
			return -rule.value;
		if (rule.action == DELAY && now_ns() - start >= (unsigned long long)rule.value * 1000000u)
			return 0;
		if (rule.action == SPIN && processor_ns() - spun >= (unsigned long long)rule.value * 1000000u)
			return 0;
		if (atomic_load_explicit(&request->cancelled, memory_order_relaxed))
			return -ECANCELED;
		if (request->deadline_ns && now_ns() >= request->deadline_ns)
			return -ETIMEDOUT;
		pause_in(rule.action);
	}
}

static void slow_submit(struct dmm_conn *conn, struct dmm_request *request)
{
	char path[PATH_MAX];

	path_of(request, path);
	note(request, path);
	int result = hold_up(request, path);
	if (result == 0 || request->kind == DMM_REQ_CLOSE) {
		inner->submit(conn, request);
		return;
	}
	request->result = result;
	request->complete(request);
}

static int slow_open(const struct dmm_config *config, struct dmm_instance **instance)
{
	const char *log = getenv("DMMFS_SLOW_LOG");

	if (log && log_fd < 0)
		log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	return inner_open(config, SCHEME, instance);
}

static const char *const schemes[] = {"slow", NULL};

static const struct dmm_plugin plugin = {
	.abi = DMM_PLUGIN_ABI,
	.struct_size = sizeof(struct dmm_plugin),
	.name = "slow",
	.version = "1",
	.description = "the posix plugin with delays, errors and hangs, for tests",
	.schemes = schemes,
	.threads = DMM_THREADS_PARALLEL,
	.open = slow_open,
	.close = inner_close,
	.connect = inner_connect,
	.disconnect = inner_disconnect,
	.capabilities = inner_capabilities,
	.submit = slow_submit,
};

DMMFS_PLUGIN(plugin)
