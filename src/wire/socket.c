/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Sockets in the file system. The address is given as /proc/self/fd/N/NAME with the directory open as N, so that neither the
 * length of the directory's path matters nor who replaces a part of it meanwhile.
 */
#include "wire/socket.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "wire/frame.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define BACKLOG 64
#define RETRY_NS (10 * NS_PER_MS)

const char *socket_default_rundir(void)
{
	const char *set = getenv("DMMFS_RUNDIR");
	return set && *set ? set : "/run/dmmfs";
}

int socket_path(const char *rundir, uint32_t migid, char *buf, size_t buf_size)
{
	int len = snprintf(buf, buf_size, "%s/%u.sock", rundir, migid);
	return len < 0 || (size_t)len >= buf_size ? -ENAMETOOLONG : 0;
}

/* The directory that `path` lies in stays open as *dir as long as the address is used. */
static int make_address(const char *path, struct sockaddr_un *address, int *dir)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	char parent[PATH_MAX];
	int len = snprintf(parent, sizeof(parent), "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
	if (len >= (int)sizeof(parent))
		return -ENAMETOOLONG;
	*dir = open(len ? parent : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*dir < 0)
		return -errno;
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	len = snprintf(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d/%s", *dir, name);
	return len >= (int)sizeof(address->sun_path) ? -ENAMETOOLONG : 0;
}

/* A connect that would wait for the other side's backlog gives EAGAIN on a socket that does not block; poll(2) can not wait
 * for that. */
static int connect_until(int fd, const struct sockaddr_un *address, uint64_t deadline_ns)
{
	while (connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0) {
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		if (deadline_ns && clock_monotonic_ns() >= deadline_ns)
			return -ETIMEDOUT;
		nanosleep(&(struct timespec){.tv_nsec = RETRY_NS}, NULL);
	}
	return 0;
}

int socket_connect(const char *path, uint64_t deadline_ns, int *fd)
{
	struct sockaddr_un address;
	CLEAN_FD int dir = -1, made = -1;
	int error = make_address(path, &address, &dir);
	if (error)
		return error;
	made = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (made < 0)
		return -errno;
	error = connect_until(made, &address, deadline_ns);
	if (error)
		return error;
	*fd = steal_fd(&made);
	return 0;
}

/* Takes away a socket that a daemon left behind when it died. Never anything else. */
static int remove_stale(const char *path)
{
	struct stat st;
	CLEAN_FD int fd = -1;
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	int error = socket_connect(path, clock_monotonic_ns() + NS_PER_S, &fd);
	if (error != -ECONNREFUSED)
		return error == 0 || error == -ETIMEDOUT ? -EADDRINUSE : error == -ENOENT ? 0 : error;
	return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

int socket_listen(const char *path, int *fd)
{
	struct sockaddr_un address;
	CLEAN_FD int dir = -1, made = -1;
	int error = remove_stale(path);
	if (!error)
		error = make_address(path, &address, &dir);
	if (error)
		return error;
	made = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* The name gets the mode that the socket has before bind(2): there is no moment in which others may connect. */
	if (made < 0 || fchmod(made, 0600) < 0 || bind(made, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	if (listen(made, BACKLOG) < 0) {
		error = -errno;
		unlink(path);
		return error;
	}
	*fd = steal_fd(&made);
	return 0;
}

int socket_ask(const char *path, const json_t *request, uint64_t deadline_ns, json_t **reply)
{
	CLEAN_FD int fd = -1;
	int error = socket_connect(path, deadline_ns, &fd);
	if (!error)
		error = frame_send(fd, request, FRAME_REQUEST_MAX, deadline_ns);
	/* A daemon that refuses us may answer and close without reading: the reply is there although sending failed. */
	if (error && error != -EPIPE && error != -ECONNRESET)
		return error;
	if (fd < 0)
		return error;
	return frame_receive(fd, FRAME_REPLY_MAX, deadline_ns, reply);
}
