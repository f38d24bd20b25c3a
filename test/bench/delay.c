/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A server that is far away: takes connections on one port and hands on what comes, both ways, each byte so many microseconds
 * later. For machines whose kernel lacks the queueing discipline netem.
 *
 *   delay PORT HOST-PORT MICROSECONDS     127.0.0.1:PORT is 127.0.0.1:HOST-PORT, twice that time away
 *
 * Two threads for each direction of a connection: one reads and notes the time, the other writes when it is due. Ends when killed.
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

struct way {
	int from, to;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct piece *first, **last;
	size_t queued;
	int ended;
};

static uint64_t delay_ns;

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
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
		piece->due_ns = now_ns() + delay_ns;
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
		struct timespec due = {(time_t)(piece->due_ns / 1000000000u), (long)(piece->due_ns % 1000000000u)};
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
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

static void connect_way(int from, int to)
{
	struct way *way = calloc(1, sizeof(*way)); /* a bench ends before these are many */
	pthread_t thread;

	if (!way)
		err(1, "memory");
	*way = (struct way){.from = from, .to = to, .last = &way->first};
	pthread_mutex_init(&way->lock, NULL);
	pthread_cond_init(&way->changed, NULL);
	if (pthread_create(&thread, NULL, take, way) != 0 || pthread_create(&thread, NULL, give, way) != 0)
		errx(1, "threads");
}

int main(int argc, char **argv)
{
	int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);

	if (argc != 4)
		errx(2, "usage: delay PORT HOST-PORT MICROSECONDS");
	struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
	struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};
	here.sin_addr.s_addr = there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	delay_ns = (uint64_t)atoi(argv[3]) * 1000;
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&here, sizeof(here)) < 0 || listen(listener, 64) < 0)
		err(1, "port %s", argv[1]);
	for (;;) {
		int client = accept(listener, NULL, NULL), server = socket(AF_INET, SOCK_STREAM, 0);
		if (client < 0 || server < 0 || connect(server, (struct sockaddr *)&there, sizeof(there)) < 0)
			err(1, "port %s", argv[2]);
		setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		connect_way(client, server);
		connect_way(server, client);
	}
}
