/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A channel: one TCP connection to the server, and the thread that waits for its answers.
 *
 * Life of an op: made by channel_submit() in the host's thread, which starts it (send_first) and sends it, too, when nobody uses
 * the connection at that moment; otherwise it is queued, and the thread woken. Answers of the server come as callbacks from
 * rpc_service() in the thread, the last of them completes it. A request that the host cancels, or whose deadline passes, is
 * completed at once; its op stays until the server's answers were dropped.
 *
 * libnfs must not connect again by itself (it would send requests again without a pause, and into the wrong descriptor): when the
 * connection ends everything on its way is completed with ECONNRESET, and so is what comes later.
 *
 * Locks: `use` for the connection and all ops that were started; the host's callbacks run under it, and may submit, since who
 * submits only tries to take it. `lock` around the queue; a leaf.
 */
#include "nfs.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_MS 1000000ull
/* How late a deadline may be noticed. */
#define LOOK_MS 50
/* With so many on their way nobody waits for the one more: it goes out with others. */
#define BUSY_OPS 4
/* When the other side does not even acknowledge for so long, the connection has ended. */
#define SILENT_MS 60000

struct channel {
	struct rpc_context *rpc;
	pthread_t thread;
	bool started;
	int wake_fd;
	atomic_bool stop, cancelled; /* a request may have been cancelled */

	pthread_mutex_t lock;
	struct op *queue, **queue_end;
	bool broken; /* nothing is taken any more */

	pthread_mutex_t use; /* guards what follows, and rpc once the thread is started */
	struct op *ops;      /* started, not yet freed */
	struct join *join;   /* only while ops are being started */
	unsigned n_ops, with_deadline;
	uint64_t looked_ns;
	bool failed;  /* the connection, where not the thread found it */
	bool awaited; /* the thread sleeps until something comes, and looks at no deadline */
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

struct rpc_context *channel_rpc(struct channel *channel)
{
	return channel->rpc;
}

struct join **channel_join(struct channel *channel)
{
	return &channel->join;
}

/* --- ops --- */

static void op_unlink(struct op *op)
{
	op->channel->n_ops--;
	if (op->prev)
		op->prev->next = op->next;
	else
		op->channel->ops = op->next;
	if (op->next)
		op->next->prev = op->prev;
}

void op_complete(struct op *op, int64_t result)
{
	struct dmm_request *request = op->request;

	if (!request)
		return;
	if (request->deadline_ns)
		op->channel->with_deadline--;
	op->request = NULL;
	request->result = result;
	request->complete(request);
}

void op_release(struct op *op)
{
	if (op->request || op->rpcs)
		return;
	op_unlink(op);
	free(op->own);
	free(op);
}

bool op_sent(struct op *op, int sent)
{
	if (sent == 0) {
		op->rpcs++;
		return true;
	}
	op_complete(op, -ENOMEM); /* the only reason: the connection's end is told by rpc_service() */
	return false;
}

int op_answered(struct op *op, int status)
{
	op->rpcs--;
	if (status == RPC_STATUS_SUCCESS && op->request)
		return 0;
	op_complete(op, status == RPC_STATUS_ERROR ? -EREMOTEIO : status == RPC_STATUS_TIMEOUT ? -ETIMEDOUT : -ECONNRESET);
	op_release(op);
	return -1;
}

/* --- connecting, and calls before the thread runs --- */

struct wait {
	bool done;
	int result;
	int (*decode)(void *data, void *context);
	void *context;
};

static void on_answer(struct rpc_context *rpc, int status, void *data, void *opaque)
{
	struct wait *wait = opaque;

	(void)rpc;
	if (wait->done)
		return;
	wait->done = true;
	if (status != RPC_STATUS_SUCCESS)
		wait->result = status == RPC_STATUS_ERROR ? -ECONNREFUSED : -ECONNRESET;
	else
		wait->result = wait->decode ? wait->decode(data, wait->context) : 0;
}

static int pump(struct channel *channel, struct wait *wait)
{
	uint64_t until_ns = now_ns() + OPEN_TIMEOUT_MS * NS_PER_MS;

	while (!wait->done) {
		uint64_t now = now_ns();
		struct pollfd poll_fd = {.fd = rpc_get_fd(channel->rpc), .events = (short)rpc_which_events(channel->rpc)};

		if (now >= until_ns)
			return -ETIMEDOUT;
		if (poll(&poll_fd, 1, (int)((until_ns - now) / NS_PER_MS) + 1) < 0 && errno != EINTR)
			return -errno;
		if (rpc_service(channel->rpc, poll_fd.revents) < 0 && !wait->done)
			return -ECONNREFUSED;
	}
	return wait->result;
}

int channel_call(struct channel *channel, int (*send)(struct rpc_context *rpc, rpc_cb cb, void *opaque, void *context),
                 int (*done)(void *data, void *context), void *context)
{
	struct wait wait = {.decode = done, .context = context};

	return send(channel->rpc, on_answer, &wait, context) == 0 ? pump(channel, &wait) : -ENOMEM;
}

/* A server that vanished without a word is noticed, and small requests go out at once. */
static void set_socket(int fd)
{
	int one = 1;
	unsigned silent_ms = SILENT_MS;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silent_ms, sizeof(silent_ms));
}

int channel_connect(const struct address *address, unsigned port, uint32_t program, uint32_t version, struct channel **result)
{
	struct channel *channel = calloc(1, sizeof(*channel));
	struct wait wait = {0};
	int ret;

	if (!channel)
		return -ENOMEM;
	channel->rpc = rpc_init_context();
	channel->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	channel->queue_end = &channel->queue;
	pthread_mutex_init(&channel->lock, NULL);
	pthread_mutex_init(&channel->use, NULL);
	if (!channel->rpc || channel->wake_fd < 0) {
		channel_close(channel);
		return -ENOMEM;
	}
	rpc_set_uid(channel->rpc, 0);
	rpc_set_gid(channel->rpc, 0);
	if (port)
		ret = rpc_connect_port_async(channel->rpc, address->host, (int)port, (int)program, (int)version, on_answer,
		                             &wait);
	else
		ret = rpc_connect_program_async(channel->rpc, address->host, (int)program, (int)version, on_answer, &wait);
	ret = ret == 0 ? pump(channel, &wait) : -EHOSTUNREACH;
	wait.done = true; /* whatever still comes */
	if (ret < 0) {
		channel_close(channel);
		return ret;
	}
	set_socket(rpc_get_fd(channel->rpc));
	*result = channel;
	return 0;
}

/* --- the thread --- */

static void send_first(struct op *op)
{
	const struct protocol *protocol = op->conn->protocol;

	switch (op->request->kind) {
	case DMM_REQ_ROOT:
	case DMM_REQ_ATTR:
		protocol->getattr(op);
		break;
	case DMM_REQ_LIST:
		protocol->list(op);
		break;
	case DMM_REQ_READ:
		parts_send(op);
		break;
	case DMM_REQ_READLINK:
		protocol->readlink(op);
		break;
	case DMM_REQ_XATTRS:
		protocol->xattrs(op);
		break;
	default:
		op_complete(op, -EOPNOTSUPP);
	}
}

static void start_op(struct op *op)
{
	struct channel *channel = op->channel;

	op->prev = NULL;
	op->next = channel->ops;
	if (op->next)
		op->next->prev = op;
	channel->ops = op;
	channel->n_ops++;
	if (op->request->deadline_ns)
		channel->with_deadline++;
	op->rpcs = 1; /* ours, while it is started */
	send_first(op);
	op->rpcs--;
	op_release(op);
}

static struct op *take_queue(struct channel *channel)
{
	pthread_mutex_lock(&channel->lock);
	struct op *queue = channel->queue;
	channel->queue = NULL;
	channel->queue_end = &channel->queue;
	pthread_mutex_unlock(&channel->lock);
	return queue;
}

static unsigned start_queued(struct channel *channel)
{
	const struct protocol *protocol = NULL;
	unsigned count = 0;

	for (struct op *op = take_queue(channel), *next; op; op = next) {
		next = op->next;
		protocol = op->conn->protocol;
		start_op(op);
		count++;
	}
	if (protocol && protocol->send_joined)
		protocol->send_joined(channel);
	return count;
}

static void look_after(struct channel *channel)
{
	bool cancelled = atomic_exchange(&channel->cancelled, false);
	uint64_t now = channel->with_deadline ? now_ns() : 0;

	if (!cancelled && (!channel->with_deadline || now - channel->looked_ns < LOOK_MS * NS_PER_MS))
		return;
	channel->looked_ns = now;
	for (struct op *op = channel->ops, *next; op; op = next) {
		next = op->next;
		if (!op->request)
			continue;
		if (atomic_load(&op->request->cancelled))
			op_complete(op, -ECANCELED);
		else if (op->request->deadline_ns && now >= op->request->deadline_ns)
			op_complete(op, -ETIMEDOUT);
		op_release(op);
	}
}

/* What was started goes out at once, without asking first whether it can. Under use. */
static bool send_started(struct channel *channel)
{
	return !(rpc_which_events(channel->rpc) & POLLOUT) || rpc_service(channel->rpc, POLLOUT) >= 0;
}

/* The library makes a call of each request, and each would be a packet that wakes the server. */
static bool send_together(struct channel *channel)
{
	int fd = rpc_get_fd(channel->rpc), on = 1, off = 0;

	setsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
	bool sent = send_started(channel);
	setsockopt(fd, IPPROTO_TCP, TCP_CORK, &off, sizeof(off));
	return sent;
}

/* What to wait for, and how long. */
static int prepare_wait(struct channel *channel, struct pollfd *fds)
{
	pthread_mutex_lock(&channel->use);
	fds[0] = (struct pollfd){.fd = rpc_get_fd(channel->rpc), .events = (short)rpc_which_events(channel->rpc)};
	fds[1] = (struct pollfd){.fd = channel->wake_fd, .events = POLLIN};
	bool awaited = channel->awaited = channel->with_deadline == 0;
	pthread_mutex_unlock(&channel->use);
	return awaited ? -1 : LOOK_MS;
}

/* Under use. */
static bool serve(struct channel *channel, int revents)
{
	if (channel->failed || (revents && rpc_service(channel->rpc, revents) < 0))
		return false;
	unsigned started = start_queued(channel);
	if (!(started > 1 ? send_together(channel) : send_started(channel)))
		return false;
	look_after(channel);
	return true;
}

static bool turn(struct channel *channel)
{
	struct pollfd fds[2];
	int timeout_ms = prepare_wait(channel, fds);
	uint64_t count;

	if (poll(fds, 2, timeout_ms) < 0 && errno != EINTR)
		return false;
	if (fds[1].revents && read(channel->wake_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return false;
	pthread_mutex_lock(&channel->use);
	bool sound = serve(channel, fds[0].revents);
	pthread_mutex_unlock(&channel->use);
	return sound;
}

/* The connection has ended. What is on its way is answered; libnfs calls back for each RPC when the context is destroyed. */
static void fail_all(struct channel *channel)
{
	pthread_mutex_lock(&channel->use);
	pthread_mutex_lock(&channel->lock);
	channel->broken = true;
	pthread_mutex_unlock(&channel->lock);
	for (struct op *op = channel->ops; op; op = op->next)
		op_complete(op, -ECONNRESET);
	for (struct op *op = take_queue(channel), *next; op; op = next) {
		struct dmm_request *request = op->request;
		next = op->next;
		free(op);
		request->result = -ECONNRESET;
		request->complete(request);
	}
	pthread_mutex_unlock(&channel->use);
}

static void *run(void *context)
{
	struct channel *channel = context;

	pthread_setname_np(pthread_self(), "nfs");
	while (!atomic_load(&channel->stop) && turn(channel))
		;
	fail_all(channel);
	return NULL;
}

int channel_start(struct channel *channel)
{
	int error = pthread_create(&channel->thread, NULL, run, channel);

	channel->started = error == 0;
	return -error;
}

void channel_close(struct channel *channel)
{
	if (channel->started) {
		atomic_store(&channel->stop, true);
		channel_wake(channel);
		pthread_join(channel->thread, NULL);
	}
	if (channel->rpc)
		rpc_destroy_context(channel->rpc); /* the last callbacks: ops that were complete are freed */
	while (channel->ops) {
		channel->ops->rpcs = 0;
		op_release(channel->ops);
	}
	if (channel->wake_fd >= 0)
		close(channel->wake_fd);
	pthread_mutex_destroy(&channel->lock);
	pthread_mutex_destroy(&channel->use);
	free(channel);
}

/* --- from the host's threads --- */

static void wake(struct channel *channel)
{
	if (eventfd_write(channel->wake_fd, 1) < 0 && errno != EAGAIN)
		abort(); /* an eventfd that is full wakes as well; there is no other failure */
}

void channel_wake(struct channel *channel)
{
	atomic_store(&channel->cancelled, true);
	wake(channel);
}

static bool is_broken(struct channel *channel)
{
	pthread_mutex_lock(&channel->lock);
	bool broken = channel->broken;
	pthread_mutex_unlock(&channel->lock);
	return broken;
}

/* When nobody else uses the connection: the thread is not woken for what its caller can send as well. */
static bool send_here(struct channel *channel, struct op *op)
{
	if (pthread_mutex_trylock(&channel->use) != 0)
		return false;
	bool sound = channel->n_ops < BUSY_OPS && !channel->failed && !is_broken(channel);
	if (sound) {
		const struct protocol *protocol = op->conn->protocol;
		start_op(op);
		if (protocol->send_joined)
			protocol->send_joined(channel);
		channel->failed = !send_started(channel);
		bool rest = channel->failed || rpc_which_events(channel->rpc) & POLLOUT;
		if (rest || (channel->awaited && channel->with_deadline))
			wake(channel);
	}
	pthread_mutex_unlock(&channel->use);
	return sound;
}

/* The thread is woken for the first one alone. */
static bool enqueue(struct channel *channel, struct op *op)
{
	pthread_mutex_lock(&channel->lock);
	bool taken = !channel->broken, first = taken && !channel->queue;
	if (taken) {
		*channel->queue_end = op;
		channel->queue_end = &op->next;
	}
	pthread_mutex_unlock(&channel->lock);
	if (first)
		wake(channel);
	return taken;
}

void channel_submit(struct channel *channel, struct dmm_conn *conn, struct dmm_request *request, const struct fh *fh)
{
	struct op *op = calloc(1, sizeof(*op));

	if (op)
		*op = (struct op){.channel = channel, .conn = conn, .request = request, .fh = *fh};
	if (op && (send_here(channel, op) || enqueue(channel, op)))
		return;
	request->result = op ? -ENOTCONN : -ENOMEM;
	free(op);
	request->complete(request);
}
