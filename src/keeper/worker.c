/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The worker that goes on from where another one stopped.
 *
 * Its target, its state, perhaps its source lie below the mount that it is to serve; a look at any of them through the mount would wait
 * for itself. So it works in a mount name space of its own, where the mount is detached; what others mount comes in. Only taking the
 * mount away is done where everybody sees it. The mounts of other migrations are detached as well, or this process would keep them alive
 * where their end does not come in; but not one that our source lies in.
 */
#include "keeper/internal.h"

#include "base/cleanup.h"
#include "base/log.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define COPIES_MAX 64

/* What of a mount cannot be told apart from others. */
#define ANY_DEVICE UINT64_MAX

static int everybodys = -1;             /* the mount name space that we came from; -1: it is ours */
static _Atomic uint64_t mounted_device; /* 0: nothing was mounted yet */

/* As in /proc/self/mountinfo: blanks and backslashes are \ooo. */
static void unescape(char *path)
{
	char *to = path;

	for (const char *from = path; *from;) {
		if (from[0] == '\\' && isdigit((unsigned char)from[1]) && isdigit((unsigned char)from[2]) &&
		    isdigit((unsigned char)from[3])) {
			*to++ = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
			from += 4;
		} else {
			*to++ = *from++;
		}
	}
	*to = '\0';
}

static bool lies_below(const char *path, const char *mountpoint)
{
	size_t len = strlen(mountpoint);

	return strncmp(path, mountpoint, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

/* A line of /proc/self/mountinfo. */
static bool is_of_dmmfs(const struct memory *memory, const char *line, char path[PATH_MAX], bool *ours)
{
	unsigned device_major, device_minor;

	if (!strstr(line, " - fuse.dmmfs ") || sscanf(line, "%*s %*s %u:%u %*s %4095s", &device_major, &device_minor, path) != 3)
		return false;
	unescape(path);
	*ours = memory->device_major || memory->device_minor
	                ? device_major == memory->device_major && device_minor == memory->device_minor
	                : strcmp(path, memory->mountpoint) == 0;
	return true;
}

static bool is_in_the_way(const struct memory *memory, const char *line, char path[PATH_MAX])
{
	bool ours;

	return is_of_dmmfs(memory, line, path, &ours) && (ours || !lies_below(memory->source, path));
}

bool worker_mount_is_there(const struct memory *memory)
{
	char line[2 * PATH_MAX], path[PATH_MAX];
	FILE *mounts = fopen("/proc/self/mountinfo", "re");
	bool found = false, ours;

	while (mounts && !found && fgets(line, sizeof(line), mounts))
		found = is_of_dmmfs(memory, line, path, &ours) && ours;
	if (mounts)
		fclose(mounts);
	return found;
}

/* Ours also where it is mounted a second time. The newest first: one may lie on another. */
static int detach_mounts(const struct memory *memory)
{
	char *paths[COPIES_MAX], line[2 * PATH_MAX], path[PATH_MAX];
	int n = 0, result = 0;
	FILE *mounts = fopen("/proc/self/mountinfo", "re");

	if (!mounts)
		return -errno;
	while (n < COPIES_MAX && fgets(line, sizeof(line), mounts))
		if (is_in_the_way(memory, line, path))
			paths[n++] = strdup(path);
	fclose(mounts);
	while (n-- > 0) {
		if (paths[n] && umount2(paths[n], MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
			result = -errno;
		free(paths[n]);
	}
	return result;
}

static int step_aside(const struct memory *memory)
{
	everybodys = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	if (everybodys < 0 || unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return -errno;
	return detach_mounts(memory);
}

int worker_adopt(struct kept **kept)
{
	const char *descriptors = getenv("DMMFS_KEEPER");
	int memory_fd, fuse_fd, socket_fd;

	if (!descriptors)
		return 0;
	if (sscanf(descriptors, "%d:%d:%d", &memory_fd, &fuse_fd, &socket_fd) != 3)
		return -EINVAL;
	unsetenv("DMMFS_KEEPER");
	struct memory *memory = memory_map(memory_fd);
	if (!memory)
		return -errno;
	fcntl(memory_fd, F_SETFD, FD_CLOEXEC);
	fcntl(fuse_fd, F_SETFD, FD_CLOEXEC);
	fcntl(socket_fd, F_SETFD, FD_CLOEXEC);
	worker_know_mount(memory);
	int result = memory_lock(memory_fd); /* the keeper has waited for the one before */
	if (result >= 0)
		result = step_aside(memory);
	if (result < 0) {
		memory_unmap(memory);
		return result;
	}
	*kept = kept_new(memory, (struct kept_fds){memory_fd, fuse_fd, socket_fd}, true);
	return 1;
}

/* --- taking the mount away --- */

void worker_know_mount(const struct memory *memory)
{
	uint64_t device = (uint64_t)memory->device_major << 32 | memory->device_minor;

	atomic_store(&mounted_device, device ? device : ANY_DEVICE);
}

/* Below our mount there may be that of the target's file system, which is not ours to take away. No request is made to the mount. */
static int unmount_ours(const char *mountpoint, int flags)
{
	uint64_t device = atomic_load(&mounted_device);
	struct statx st;

	if (device == 0)
		return -EAGAIN;
	if (device != ANY_DEVICE && statx(AT_FDCWD, mountpoint, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, 0, &st) == 0 &&
	    device != ((uint64_t)st.stx_dev_major << 32 | st.stx_dev_minor))
		return -EINVAL;
	return umount2(mountpoint, flags) < 0 ? -errno : 0;
}

struct unmounting {
	const char *mountpoint;
	int flags, result;
};

/* A thread can leave a mount name space alone when it shares its directories with nobody. */
static void *unmount_out_there(void *context)
{
	struct unmounting *unmounting = context;

	if (unshare(CLONE_FS) < 0 || setns(everybodys, CLONE_NEWNS) < 0)
		unmounting->result = -errno;
	else
		unmounting->result = unmount_ours(unmounting->mountpoint, unmounting->flags);
	return NULL;
}

int worker_unmount(const char *mountpoint, int flags)
{
	struct unmounting unmounting = {.mountpoint = mountpoint, .flags = flags};
	pthread_t thread;

	if (everybodys < 0)
		return unmount_ours(mountpoint, flags);
	int result = pthread_create(&thread, NULL, unmount_out_there, &unmounting);
	if (result)
		return -result;
	pthread_join(thread, NULL);
	return unmounting.result;
}

/* --- an upgrade --- */

int worker_check_program(const struct memory *memory, char *error, size_t error_size)
{
	extern char **environ;
	char name[] = "dmmfs", how[] = "--keeper-format";
	char *argv[] = {name, how, NULL};
	int pipe_fds[2], status;
	char answer[32] = "";
	pid_t child;
	posix_spawn_file_actions_t actions;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -errno;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], 1);
	int result = -posix_spawn(&child, memory->program, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(pipe_fds[1]);
	if (result == 0 && read(pipe_fds[0], answer, sizeof(answer) - 1) < 0)
		result = -errno;
	close(pipe_fds[0]);
	if (result < 0) {
		snprintf(error, error_size, "the program %s cannot be started: %s; install it, and try again", memory->program,
		         strerror(-result));
		return result;
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (!WIFEXITED(status) || WEXITSTATUS(status) || strtoul(answer, NULL, 10) != MEMORY_FORMAT) {
		snprintf(error, error_size,
		         "the program %s cannot go on from where this one is: halt the migration and start it again instead",
		         memory->program);
		return -EPROTO;
	}
	return 0;
}
