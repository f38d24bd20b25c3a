/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Who keeps a mount busy, as /proc tells: processes that have something of it open, mapped, or as their directory; and those in
 * another mount namespace (a container, a service with private mounts) that has a copy of it.
 */
#include "daemon/leave.h"

#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOLDERS_MAX 64

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

static void list(const char *mountpoint, bool (*holds_it)(pid_t pid, const char *mountpoint, char path[PATH_MAX]),
                 struct finish_result *result)
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

void holders_of_files(const char *mountpoint, struct finish_result *result)
{
	list(mountpoint, holds, result);
}

void holders_of_copies(const char *mountpoint, struct finish_result *result)
{
	list(mountpoint, has_copy, result);
}
