/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A server that is far away: takes connections on one port and hands on what comes, both ways, each byte so many microseconds
 * later, and, if that is wanted, no faster than a line of so many Mbit/s. For machines whose kernel lacks the queueing discipline
 * netem.
 *
 *   delay PORT HOST-PORT MICROSECONDS [MBITS]     127.0.0.1:PORT is 127.0.0.1:HOST-PORT, twice that time away
 *
 * Two threads for each direction of a connection: one reads and notes the time, the other writes when it is due. All connections share
 * the line, which has one rate for each direction. What finds it taken for more than QUEUE_NS is not read yet, so it waits in the sockets of
 * whoever sends, as with a switch of little memory, and no connection stands behind all that another one has asked for. Ends when killed.
 */
#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PIECE 65536
#define QUEUED_MOST (256u << 20) /* bytes on their way in one direction: more is a full network */

struct piece {
	struct piece *next;
	uint64_t due_ns;
	size_t len;
	char bytes[];
};

/* One direction of the line. */
struct line {
	pthread_mutex_t lock;
	uint64_t free_ns; /* what it carries already is through by then */
};

struct way {
	int from, to;
	struct line *line;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct piece *first, **last;
	size_t queued;
	int ended;
};

#define QUEUE_NS 5000000u

static uint64_t delay_ns, bytes_per_s; /* 0: no such limit */
static struct line up = {.lock = PTHREAD_MUTEX_INITIALIZER}, down = {.lock = PTHREAD_MUTEX_INITIALIZER};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void sleep_until(uint64_t ns)
{
	struct timespec until = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

/* When the last of these bytes is through. */
static uint64_t pass(struct line *line, size_t len)
{
	if (bytes_per_s == 0)
		return now_ns();
	pthread_mutex_lock(&line->lock);
	uint64_t now = now_ns(), begins = line->free_ns > now ? line->free_ns : now;
	line->free_ns = begins + len * 1000000000u / bytes_per_s;
	uint64_t through = line->free_ns;
	pthread_mutex_unlock(&line->lock);
	if (through > now + QUEUE_NS)
		sleep_until(through - QUEUE_NS);
	return through;
}

static void *take(void *context)
{
	struct way *way = context;
	ssize_t len;

	do {
		struct piece *piece = malloc(sizeof(*piece) + PIECE);
		if (!piece)
			err(1, "memory");
		len = recv(way->from, piece->bytes, PIECE, 0);
		piece->next = NULL;
		piece->len = len > 0 ? (size_t)len : 0;
		piece->due_ns = pass(way->line, piece->len) + delay_ns;
		pthread_mutex_lock(&way->lock);
		while (way->queued > QUEUED_MOST && !way->ended)
			pthread_cond_wait(&way->changed, &way->lock);
		*way->last = piece; /* one without bytes is the end */
		way->last = &piece->next;
		way->queued += piece->len;
		pthread_cond_broadcast(&way->changed);
		pthread_mutex_unlock(&way->lock);
	} while (len > 0);
	return NULL;
}

static struct piece *next_piece(struct way *way)
{
	pthread_mutex_lock(&way->lock);
	while (!way->first)
		pthread_cond_wait(&way->changed, &way->lock);
	struct piece *piece = way->first;
	way->first = piece->next;
	if (!way->first)
		way->last = &way->first;
	way->queued -= piece->len;
	pthread_cond_broadcast(&way->changed);
	pthread_mutex_unlock(&way->lock);
	return piece;
}

static void *give(void *context)
{
	struct way *way = context;
	int going = 1;

	while (going) {
		struct piece *piece = next_piece(way);
		sleep_until(piece->due_ns);
		going = piece->len > 0;
		for (size_t at = 0; at < piece->len && going;) {
			ssize_t sent = send(way->to, piece->bytes + at, piece->len - at, MSG_NOSIGNAL);
			going = sent > 0;
			at += sent > 0 ? (size_t)sent : 0;
		}
		free(piece);
	}
	pthread_mutex_lock(&way->lock);
	way->ended = 1;
	pthread_cond_broadcast(&way->changed);
	pthread_mutex_unlock(&way->lock);
	shutdown(way->to, SHUT_WR);
	return NULL;
}

static void connect_way(int from, int to, struct line *line)
{
	struct way *way = calloc(1, sizeof(*way)); /* a bench ends before these are many */
	pthread_t thread;

	if (!way)
		err(1, "memory");
	*way = (struct way){.from = from, .to = to, .line = line, .last = &way->first};
	pthread_mutex_init(&way->lock, NULL);
	pthread_cond_init(&way->changed, NULL);
	if (pthread_create(&thread, NULL, take, way) != 0 || pthread_create(&thread, NULL, give, way) != 0)
		errx(1, "threads");
}

int main(int argc, char **argv)
{
	int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);

	if (argc != 4 && argc != 5)
		errx(2, "usage: delay PORT HOST-PORT MICROSECONDS [MBITS]");
	struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
	struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};
	here.sin_addr.s_addr = there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	delay_ns = (uint64_t)atoi(argv[3]) * 1000;
	bytes_per_s = argc > 4 ? (uint64_t)atoi(argv[4]) * 125000 : 0;
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&here, sizeof(here)) < 0 || listen(listener, 64) < 0)
		err(1, "port %s", argv[1]);
	for (;;) {
		int client = accept(listener, NULL, NULL), server = socket(AF_INET, SOCK_STREAM, 0);
		if (client < 0 || server < 0 || connect(server, (struct sockaddr *)&there, sizeof(there)) < 0)
			err(1, "port %s", argv[2]);
		setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		connect_way(client, server, &up);
		connect_way(server, client, &down);
	}
}
