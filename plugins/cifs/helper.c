/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Starting a helper process, asking it, ending it.
 *
 * A question whose answer does not come in time, is cancelled, or cannot be right, ends the helper: nobody could tell to which
 * question the next answer belongs.
 */
#include "cifs.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_MS 1000000ull
/* For the first answer of a server: names are looked up, a session is made. */
#define CONNECT_MS 15000

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* --- starting and ending --- */

/* Beside the plugin, or, where that was built, in the plugin's folder. */
static int find_program(char *path, size_t size)
{
	Dl_info here;

	if (!dladdr((void *)helper_start, &here) || !here.dli_fname)
		return -ENOENT;
	const char *slash = strrchr(here.dli_fname, '/');
	int len = slash ? (int)(slash - here.dli_fname) : 0;
	snprintf(path, size, "%.*s/dmmfs-smb", len, here.dli_fname);
	if (access(path, X_OK) == 0)
		return 0;
	snprintf(path, size, "%.*s/cifs/dmmfs-smb", len, here.dli_fname);
	return access(path, X_OK) < 0 ? -errno : 0;
}

/* Nothing of the daemon's is inherited but the two descriptors. */
static int spawn(struct dmm_conn *conn, int socket, int shared)
{
	char path[PATH_MAX], *argv[] = {path, NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none;
	int ret = find_program(path, sizeof(path));

	if (ret < 0) {
		conn->instance->log(DMM_LOG_ERROR, "the helper dmmfs-smb is not beside the plugin cifs: reinstall dmmfs");
		return ret;
	}

	posix_spawn_file_actions_init(&actions);
	/* Not those of whoever mounts: it would wait for the end of its pipe as long as the migration lasts. */
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDWR, 0);
	posix_spawn_file_actions_adddup2(&actions, STDIN_FILENO, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, STDIN_FILENO, STDERR_FILENO);
	posix_spawn_file_actions_adddup2(&actions, socket, HELPER_SOCKET);
	posix_spawn_file_actions_adddup2(&actions, shared, HELPER_SHARED);
	posix_spawn_file_actions_addclosefrom_np(&actions, HELPER_SHARED + 1);
	posix_spawnattr_init(&attr);
	sigemptyset(&none);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	int error = posix_spawn(&conn->pid, argv[0], &actions, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	if (error)
		conn->pid = -1;
	return -error;
}

/* Above the numbers that the helper is to have, so that one dup2() does not overwrite the other. */
static int lift(int fd)
{
	int lifted = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, HELPER_SHARED + 1);

	if (fd >= 0)
		close(fd);
	return lifted;
}

int helper_start(struct dmm_conn *conn)
{
	int pair[2] = {-1, -1}, shared = lift(memfd_create("dmmfs-smb", MFD_CLOEXEC)), ret = 0;

	conn->pid = conn->socket = -1;
	conn->shared = MAP_FAILED;
	conn->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&conn->lock, NULL);
	if (conn->wake_fd < 0 || shared < 0 || ftruncate(shared, SHARED_BYTES) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		ret = -errno;
	pair[1] = lift(pair[1]);
	if (ret == 0)
		conn->shared = mmap(NULL, SHARED_BYTES, PROT_READ, MAP_SHARED, shared, 0);
	if (ret == 0 && conn->shared == MAP_FAILED)
		ret = -errno;
	if (ret == 0)
		ret = spawn(conn, pair[1], shared);
	conn->socket = pair[0];
	if (pair[1] >= 0)
		close(pair[1]);
	if (shared >= 0)
		close(shared);
	return ret;
}

static void stop(struct dmm_conn *conn)
{
	conn->broken = true;
	if (conn->pid > 0) {
		kill(conn->pid, SIGKILL);
		while (waitpid(conn->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	conn->pid = -1;
}

void helper_end(struct dmm_conn *conn)
{
	stop(conn);
	if (conn->socket >= 0)
		close(conn->socket);
	if (conn->wake_fd >= 0)
		close(conn->wake_fd);
	if (conn->shared != MAP_FAILED)
		munmap(conn->shared, SHARED_BYTES);
	pthread_mutex_destroy(&conn->lock);
}

/* --- asking --- */

void helper_wake(struct dmm_conn *conn, struct dmm_request *request)
{
	pthread_mutex_lock(&conn->lock);
	if (conn->current == request && eventfd_write(conn->wake_fd, 1) < 0 && errno != EAGAIN)
		abort(); /* an eventfd that is full wakes as well; there is no other failure */
	pthread_mutex_unlock(&conn->lock);
}

static void set_current(struct dmm_conn *conn, struct dmm_request *request)
{
	eventfd_t old;

	pthread_mutex_lock(&conn->lock);
	conn->current = request;
	if (request)
		(void)!eventfd_read(conn->wake_fd, &old); /* of a request before */
	pthread_mutex_unlock(&conn->lock);
}

/* Until the socket can be read, or written. */
static int await(struct dmm_conn *conn, struct dmm_request *request, short event, uint64_t until_ns)
{
	for (;;) {
		struct pollfd fds[2] = {{.fd = conn->socket, .events = event}, {.fd = conn->wake_fd, .events = POLLIN}};
		uint64_t now = until_ns ? now_ns() : 0;

		if (request && atomic_load(&request->cancelled))
			return -ECANCELED;
		if (until_ns && now >= until_ns)
			return -ETIMEDOUT;
		int ms = until_ns ? (int)((until_ns - now) / NS_PER_MS < 60000 ? (until_ns - now) / NS_PER_MS + 1 : 60000) : -1;
		if (poll(fds, 2, ms) < 0 && errno != EINTR)
			return -errno;
		if (fds[0].revents)
			return 0;
	}
}

static int transfer(struct dmm_conn *conn, struct dmm_request *request, void *bytes, size_t len, bool out, uint64_t until_ns)
{
	char *at = bytes;

	while (len) {
		int ret = await(conn, request, out ? POLLOUT : POLLIN, until_ns);
		if (ret < 0)
			return ret;
		ssize_t n = out ? send(conn->socket, at, len, MSG_NOSIGNAL | MSG_DONTWAIT)
		                : recv(conn->socket, at, len, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n <= 0)
			return -ECONNABORTED; /* the helper has died */
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static int take_more(struct dmm_conn *conn, struct dmm_request *request, const struct reply *reply, char **more,
                     uint64_t until_ns)
{
	if (reply->len_more == 0)
		return 0;
	if (!more || reply->len_more > MORE_MOST)
		return -ECONNABORTED;
	char *bytes = malloc(reply->len_more + 1);
	if (!bytes)
		return -ENOMEM;
	int ret = transfer(conn, request, bytes, reply->len_more, false, until_ns);
	if (ret < 0) {
		free(bytes);
		return ret;
	}
	bytes[reply->len_more] = '\0';
	*more = bytes;
	return 0;
}

int64_t helper_ask(struct dmm_conn *conn, struct dmm_request *request, const struct ask *ask, const void *path,
                   struct reply *reply, char **more)
{
	uint64_t until_ns = request ? request->deadline_ns : now_ns() + CONNECT_MS * NS_PER_MS;

	if (more)
		*more = NULL;
	if (conn->broken)
		return -ECONNABORTED;
	set_current(conn, request);
	int ret = transfer(conn, request, (void *)ask, sizeof(*ask), true, until_ns);
	if (ret >= 0 && ask->len_path)
		ret = transfer(conn, request, (void *)path, ask->len_path, true, until_ns);
	if (ret >= 0)
		ret = transfer(conn, request, reply, sizeof(*reply), false, until_ns);
	if (ret >= 0)
		ret = take_more(conn, request, reply, more, until_ns);
	set_current(conn, NULL);
	if (ret < 0) {
		stop(conn);
		return ret;
	}
	return reply->result;
}
