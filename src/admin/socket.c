/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The administrator's socket.
 *
 * Life of a connection: accepted, the peer proven to be root or a guest, submitted to the lane as demand; a thread reads the request and
 * answers it, or, when it may take long, submits it again as background, of which the lane runs only two at once. Then it is
 * closed: one request a connection, so nobody holds a thread by being idle.
 *
 * Locks: admin->lock guards the list of connections, which of them are being read, and who is in the port; a leaf. Only the accepting thread adds.
 */
#include "admin/admin.h"

#include "admin/request.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/lane.h"
#include "base/log.h"
#include "wire/frame.h"
#include "wire/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define THREADS 6
#define THREADS_FOR_LONG 2
#define CONNECTIONS_MAX 64
#define GUESTS_MAX 2 /* idle ones must not keep root out */
#define READ_TIMEOUT_NS (5 * NS_PER_S)
#define WRITE_TIMEOUT_NS (10 * NS_PER_S)

struct connection {
	struct lane_job job;
	struct admin *admin;
	int fd;
	bool is_guest;   /* of the group that may ask for figures, and not root */
	json_t *request; /* NULL until it was read */
	bool reading;
	struct connection *next, *prev;
};

struct admin {
	const struct migration_port *port;
	uint32_t migid;
	char path[PATH_MAX];
	struct stat identity; /* of the socket's name */
	gid_t guests;         /* the group of the directory, if that lets it in; 0: nobody but root */
	int listening, stop_event;
	pthread_t accepting;
	struct lane *lane;
	unsigned n_threads; /* of the lane; only the accepting thread adds */
	atomic_bool stopping;
	pthread_mutex_t lock; /* guards what follows */
	struct connection *connections;
	unsigned n_connections, n_guests;
	bool quiet;          /* the port is not to be called any more */
	unsigned n_in_port;  /* requests that are in the port, but for those that wait for the end */
	pthread_cond_t left; /* one has left it */
};

/* --- one connection ------------------------------------------------------------------------------------------------------- */

static void send_reply(int fd, json_t *reply)
{
	uint64_t deadline_ns = clock_monotonic_ns() + WRITE_TIMEOUT_NS;
	int error = reply ? frame_send(fd, reply, FRAME_REPLY_MAX, deadline_ns) : -ENOMEM;
	json_decref(reply);
	if (error != -EMSGSIZE)
		return;
	reply = request_refuse(EMSGSIZE, "the answer is longer than %u MiB", FRAME_REPLY_MAX >> 20);
	if (reply)
		frame_send(fd, reply, FRAME_REPLY_MAX, deadline_ns);
	json_decref(reply);
}

static void connection_close(struct connection *connection)
{
	struct admin *admin = connection->admin;
	{
		LOCKED(&admin->lock);
		*(connection->prev ? &connection->prev->next : &admin->connections) = connection->next;
		if (connection->next)
			connection->next->prev = connection->prev;
		admin->n_connections--;
		admin->n_guests -= connection->is_guest;
	}
	close(connection->fd);
	json_decref(connection->request);
	free(connection);
}

/* False when the migration is being taken apart. Whoever waits for that is not counted: it would wait for itself. */
static bool enter_port(struct admin *admin, bool awaits_end)
{
	LOCKED(&admin->lock);
	if (admin->quiet)
		return false;
	admin->n_in_port += !awaits_end;
	return true;
}

static void leave_port(struct admin *admin, bool awaits_end)
{
	LOCKED(&admin->lock);
	admin->n_in_port -= !awaits_end;
	pthread_cond_broadcast(&admin->left);
}

/* Closed, not only shut for writing. */
static bool has_gone(int fd)
{
	struct pollfd peer = {.fd = fd};

	return poll(&peer, 1, 0) > 0 && (peer.revents & (POLLHUP | POLLERR));
}

static void connection_answer(struct lane_job *job)
{
	struct connection *connection = (struct connection *)((char *)job - offsetof(struct connection, job));
	struct admin *admin = connection->admin;
	bool awaits_end = request_awaits_end(connection->request);
	json_t *reply;
	if (has_gone(connection->fd)) { /* we were slow, and were told of as such: now it must not be done any more */
		log_info("a request is dropped, since who asked has gone");
		connection_close(connection);
		return;
	}
	if (connection->is_guest && !request_is_for_guests(connection->request)) {
		reply = request_refuse(EPERM, "only root may ask the daemon of migration %u for more than its figures",
		                       admin->migid);
	} else if (enter_port(admin, awaits_end)) {
		reply = request_answer(admin->port, admin->migid, connection->request);
		leave_port(admin, awaits_end);
	} else {
		reply = request_refuse(ESHUTDOWN, "the daemon of migration %u is ending", admin->migid);
	}
	send_reply(connection->fd, reply);
	connection_close(connection);
}

static int connection_read(struct connection *connection)
{
	int error =
		frame_receive(connection->fd, FRAME_REQUEST_MAX, clock_monotonic_ns() + READ_TIMEOUT_NS, &connection->request);
	LOCKED(&connection->admin->lock);
	connection->reading = false;
	return error;
}

static void connection_serve(struct lane_job *job)
{
	struct connection *connection = (struct connection *)((char *)job - offsetof(struct connection, job));
	int error = connection_read(connection);
	if (error) {
		if (error == -EMSGSIZE || error == -EBADMSG)
			send_reply(connection->fd, request_refuse(error, "this is no request that a dmmfs daemon can read"));
		connection_close(connection);
		return;
	}
	job->run = connection_answer;
	if (!request_is_long(connection->request) || !lane_submit(connection->admin->lane, job, LANE_BACKGROUND))
		connection_answer(job);
}

/* --- accepting ------------------------------------------------------------------------------------------------------------ */

/* Among the groups of the peer as they were when it connected. */
static bool is_member(int fd, const struct ucred *peer, gid_t group)
{
	gid_t groups[1024];
	socklen_t len = sizeof(groups);
	if (peer->gid == group)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) < 0)
		return false;
	for (size_t i = 0; i < len / sizeof(*groups); i++)
		if (groups[i] == group)
			return true;
	return false;
}

/* Why the peer is not served, as a negative errno, or 0. */
static int check_peer(struct admin *admin, int fd, bool *is_guest)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return -errno;
	*is_guest = peer.uid != 0;
	if (*is_guest && (!admin->guests || !is_member(fd, &peer, admin->guests))) {
		log_warning("refused a request of another user than root: migid=%u uid=%u pid=%d", admin->migid, peer.uid,
		            peer.pid);
		return -EPERM;
	}
	LOCKED(&admin->lock);
	bool full = admin->n_connections >= CONNECTIONS_MAX || (*is_guest && admin->n_guests >= GUESTS_MAX);
	return full ? -EAGAIN : 0;
}

static void refuse_peer(struct admin *admin, int fd, int error)
{
	json_t *reply = error == -EAGAIN ? request_refuse(error, "the daemon of migration %u has too many requests; try again",
	                                                  admin->migid)
	                                 : request_refuse(error, "only root may ask the daemon of migration %u", admin->migid);
	/* It fits into the buffer of a fresh socket, so this does not wait. */
	if (reply)
		frame_send(fd, reply, FRAME_REPLY_MAX, clock_monotonic_ns());
	json_decref(reply);
}

/* Who sends half a request or does not read its answer holds a thread until the time is over: there is one for each connection,
 * so that this costs nobody else anything. Without memory for more threads they wait for each other. */
static void make_threads(struct admin *admin, unsigned n_connections)
{
	unsigned wanted = n_connections + THREADS_FOR_LONG;
	if (wanted > admin->n_threads && lane_resize(admin->lane, wanted, wanted - THREADS_FOR_LONG) == 0)
		admin->n_threads = wanted;
}

static int connection_open(struct admin *admin, int fd, bool is_guest)
{
	unsigned n_connections;
	struct connection *connection = calloc(1, sizeof(*connection));
	if (!connection)
		return -ENOMEM;
	*connection =
		(struct connection){.job.run = connection_serve, .admin = admin, .fd = fd, .is_guest = is_guest, .reading = true};
	{
		LOCKED(&admin->lock);
		connection->next = admin->connections;
		if (connection->next)
			connection->next->prev = connection;
		admin->connections = connection;
		admin->n_guests += is_guest;
		n_connections = ++admin->n_connections;
	}
	make_threads(admin, n_connections);
	lane_submit(admin->lane, &connection->job, LANE_DEMAND);
	return 0;
}

static void accept_one(struct admin *admin)
{
	CLEAN_FD int fd = accept4(admin->listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		/* Without descriptors or memory the connection stays in the queue: do not spin on it. */
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			poll(NULL, 0, 100);
		return;
	}
	bool is_guest = false;
	int error = check_peer(admin, fd, &is_guest);
	if (error)
		refuse_peer(admin, fd, error);
	else if (connection_open(admin, fd, is_guest) == 0)
		steal_fd(&fd);
}

static void *accept_main(void *arg)
{
	struct admin *admin = arg;
	pthread_setname_np(pthread_self(), "admin-accept");
	while (!atomic_load(&admin->stopping)) {
		struct pollfd fds[] = {{.fd = admin->listening, .events = POLLIN}, {.fd = admin->stop_event, .events = POLLIN}};
		if (poll(fds, 2, -1) > 0 && fds[0].revents)
			accept_one(admin);
	}
	return NULL;
}

/* --- start and stop ------------------------------------------------------------------------------------------------------- */

/* The directory, open and locked: daemons start and end one after the other, so that none takes away another's new socket. */
static int lock_rundir(const char *rundir, int *dir)
{
	struct stat st;
	if (mkdir(rundir, 0700) < 0 && errno != EEXIST)
		return -errno;
	CLEAN_FD int fd = open(rundir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (st.st_uid != geteuid() || (st.st_mode & 022))
		return -EPERM;
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return -errno;
	*dir = steal_fd(&fd);
	return 0;
}

/* A directory that lets its group in says who the guests are (tmpfiles.d: dmmfs). */
static int admit_guests(struct admin *admin, int dir)
{
	struct stat st;
	if (fstat(dir, &st) < 0)
		return -errno;
	if (st.st_gid == 0 || (st.st_mode & 050) != 050)
		return 0;
	if (lchown(admin->path, (uid_t)-1, st.st_gid) < 0 || chmod(admin->path, 0660) < 0)
		return -errno;
	admin->guests = st.st_gid;
	return 0;
}

static int open_socket(struct admin *admin, const char *rundir)
{
	CLEAN_FD int dir = -1;
	int error = lock_rundir(rundir, &dir);
	if (!error)
		error = socket_path(rundir, admin->migid, admin->path, sizeof(admin->path));
	if (!error)
		error = socket_listen(admin->path, &admin->listening);
	if (!error)
		error = admit_guests(admin, dir);
	if (!error && lstat(admin->path, &admin->identity) < 0)
		error = -errno;
	return error;
}

/* Only if it is still ours. */
static void remove_socket(struct admin *admin)
{
	struct stat st;
	char parent[PATH_MAX];
	CLEAN_FD int dir = -1;
	snprintf(parent, sizeof(parent), "%.*s", (int)(strrchr(admin->path, '/') - admin->path), admin->path);
	if (lock_rundir(parent, &dir) == 0 && lstat(admin->path, &st) == 0 && st.st_ino == admin->identity.st_ino &&
	    st.st_dev == admin->identity.st_dev)
		unlink(admin->path);
}

static int start_threads(struct admin *admin)
{
	struct lane_options options = {.name = "admin", .max = THREADS, .reserve = THREADS - THREADS_FOR_LONG};
	admin->stop_event = eventfd(0, EFD_CLOEXEC);
	if (admin->stop_event < 0)
		return -errno;
	admin->n_threads = THREADS;
	int error = lane_start(&options, &admin->lane);
	return error ? error : -pthread_create(&admin->accepting, NULL, accept_main, admin);
}

static void admin_free(struct admin *admin)
{
	if (admin->listening >= 0)
		close(admin->listening);
	if (admin->stop_event >= 0)
		close(admin->stop_event);
	pthread_cond_destroy(&admin->left);
	pthread_mutex_destroy(&admin->lock);
	free(admin);
}

static void log_start_failure(const char *rundir, uint32_t migid, int error)
{
	if (error == -EADDRINUSE)
		log_error("another daemon answers for this migration: migid=%u rundir=%s", migid, rundir);
	else if (error == -EPERM)
		log_error("others may write to the directory for sockets, it must be root's with mode 0700: rundir=%s", rundir);
	else
		log_error("no socket for dmmfs-admin: migid=%u rundir=%s error=%s", migid, rundir, errno_name(error));
}

int admin_start(const char *rundir, uint32_t migid, const struct migration_port *port, struct admin **admin)
{
	struct admin *made = calloc(1, sizeof(*made));
	if (!made)
		return -ENOMEM;
	*made = (struct admin){.port = port, .migid = migid, .listening = -1, .stop_event = -1};
	pthread_mutex_init(&made->lock, NULL);
	pthread_cond_init(&made->left, NULL);
	rundir = rundir ? rundir : socket_default_rundir();
	int error = open_socket(made, rundir);
	if (!error) {
		error = start_threads(made);
		if (error) {
			remove_socket(made);
			lane_stop(made->lane);
		}
	}
	if (error) {
		log_start_failure(rundir, migid, error);
		admin_free(made);
		return error;
	}
	*admin = made;
	return 0;
}

/* Whoever has not sent a request yet has none: the thread that waits for it sees the end of the stream. */
static void hang_up_on_readers(struct admin *admin)
{
	LOCKED(&admin->lock);
	for (struct connection *connection = admin->connections; connection; connection = connection->next)
		if (connection->reading)
			shutdown(connection->fd, SHUT_RD);
}

void admin_quiesce(struct admin *admin)
{
	if (!admin)
		return;
	LOCKED(&admin->lock);
	admin->quiet = true;
	while (admin->n_in_port > 0)
		pthread_cond_wait(&admin->left, &admin->lock);
}

void admin_withdraw(struct admin *admin)
{
	if (!admin || atomic_exchange(&admin->stopping, true))
		return;
	eventfd_write(admin->stop_event, 1);
	pthread_join(admin->accepting, NULL);
	remove_socket(admin);
	cleanup_close(&admin->listening);
	admin->listening = -1;
}

void admin_stop(struct admin *admin)
{
	if (!admin)
		return;
	admin_quiesce(admin);
	admin_withdraw(admin);
	hang_up_on_readers(admin);
	lane_stop(admin->lane);
	admin_free(admin);
}
