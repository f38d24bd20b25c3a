/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "keeper/manager.h"

#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define TELL_MS 5000
#define FIRST_GIVEN 3
#define GIVEN_MAX (1 << 20) /* no process can have more by default */

union control {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

/* 0: there is none. */
static socklen_t address_of(struct sockaddr_un *address)
{
	const char *path = getenv("NOTIFY_SOCKET");

	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof(address->sun_path))
		return 0;
	memcpy(address->sun_path, path, strlen(path));
	if (path[0] == '@')
		address->sun_path[0] = '\0';
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
}

bool manager_is_there(void)
{
	struct sockaddr_un address;

	return address_of(&address) > 0;
}

static int send_patiently(int socket, const struct msghdr *message, int timeout_ms)
{
	struct pollfd room = {.fd = socket, .events = POLLOUT};

	while (sendmsg(socket, message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		if (errno == EAGAIN && poll(&room, 1, timeout_ms) == 0)
			return -EAGAIN;
	}
	return 0;
}

static int tell(const char *state, int fd, int timeout_ms)
{
	struct sockaddr_un address;
	socklen_t len = address_of(&address);
	struct iovec part = {(void *)state, strlen(state)};
	union control control = {0};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	if (len == 0)
		return 0;
	if (fd >= 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
		struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
		*rights = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(fd))};
		memcpy(CMSG_DATA(rights), &fd, sizeof(fd));
	}
	CLEAN_FD int socket_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (socket_fd < 0 || connect(socket_fd, (struct sockaddr *)&address, len) < 0) /* for poll(2) */
		return -errno;
	return send_patiently(socket_fd, &message, timeout_ms);
}

static void tell_all_the_same(const char *state)
{
	int result = tell(state, -1, TELL_MS);

	if (result < 0)
		log_warning("the service manager cannot be told: error=%s", errno_name(result));
}

void manager_ready(void)
{
	tell_all_the_same("READY=1\nSTATUS=serving");
}

void manager_stopping(void)
{
	tell_all_the_same("STOPPING=1");
}

/* FDPOLL=0: the manager would otherwise be woken by each request of the kernel's that /dev/fuse has for us. */
int manager_store(const char *name, int fd, int timeout_ms)
{
	char state[MANAGER_NAME_SIZE + 64];

	snprintf(state, sizeof(state), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
	return tell(state, fd, timeout_ms);
}

int manager_remove(const char *name, int timeout_ms)
{
	char state[MANAGER_NAME_SIZE + 64];

	snprintf(state, sizeof(state), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	return tell(state, -1, timeout_ms);
}

/* It closes the descriptor that comes with a barrier when it reads it. */
int manager_await(int timeout_ms)
{
	int ends[2];

	if (!manager_is_there())
		return 0;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	int result = tell("BARRIER=1", ends[1], timeout_ms);
	close(ends[1]);
	struct pollfd closed = {.fd = ends[0]};
	if (result == 0 && poll(&closed, 1, timeout_ms) == 0)
		result = -ETIMEDOUT;
	close(ends[0]);
	return result;
}

/* --- what it gives --- */

static bool number_of(const char *variable, long least, long most, long *number)
{
	const char *text = getenv(variable);
	char *end;

	if (!text)
		return false;
	errno = 0;
	*number = strtol(text, &end, 10);
	return errno == 0 && end != text && *end == '\0' && *number >= least && *number <= most;
}

/* The names are in the order of the descriptors, with a colon between two; some may be missing. */
static void next_name(const char **names, char name[MANAGER_NAME_SIZE])
{
	size_t len = *names ? strcspn(*names, ":") : 0;

	if (len > 0 && len < MANAGER_NAME_SIZE)
		memcpy(name, *names, len);
	if (*names)
		*names = (*names)[len] == ':' ? *names + len + 1 : NULL;
}

size_t manager_given(struct manager_given **given)
{
	const char *names = getenv("LISTEN_FDNAMES");
	long pid, count, n = 0;

	*given = NULL;
	bool ours = number_of("LISTEN_PID", 1, INT_MAX, &pid) && pid == (long)getpid() &&
	            number_of("LISTEN_FDS", 1, GIVEN_MAX, &count);
	if (ours && !(*given = calloc((size_t)count, sizeof(**given))))
		abort();
	for (long i = 0; ours && i < count; i++) {
		struct manager_given *one = &(*given)[n];
		int fd = FIRST_GIVEN + (int)i;
		*one = (struct manager_given){.fd = fd};
		next_name(&names, one->name);
		n += fcntl(fd, F_SETFD, FD_CLOEXEC) == 0; /* otherwise there is none */
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	unsetenv("LISTEN_PIDFDID");
	return (size_t)n;
}
