/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * readers DIR COUNT: as many threads, each opens DIR/N and reads it whole; says "parked" when all have begun to read, and at the
 * end how many read what DIR/N holds: its own number.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const char *dir;
static atomic_int begun, right;

static void *work(void *context)
{
	char path[512], text[32], expected[32];
	int n = (int)(size_t)context;

	snprintf(path, sizeof(path), "%s/%d", dir, n);
	snprintf(expected, sizeof(expected), "%d\n", n);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	atomic_fetch_add(&begun, 1);
	if (fd < 0)
		return NULL;
	ssize_t len = pread(fd, text, sizeof(text), 0);
	if (len == (ssize_t)strlen(expected) && memcmp(text, expected, (size_t)len) == 0)
		atomic_fetch_add(&right, 1);
	else
		fprintf(stderr, "%s: %zd bytes, %m\n", path, len);
	close(fd);
	return NULL;
}

int main(int argc, char **argv)
{
	int count = argc == 3 ? atoi(argv[2]) : 0, started = 0;
	struct rlimit files = {(rlim_t)count + 100, (rlim_t)count + 100};
	pthread_t *threads = calloc((size_t)count, sizeof(*threads));
	pthread_attr_t attr;

	if (!threads || setrlimit(RLIMIT_NOFILE, &files) < 0)
		return 2;
	dir = argv[1];
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	while (started < count && pthread_create(&threads[started], &attr, work, (void *)(size_t)started) == 0)
		started++;
	while (atomic_load(&begun) < started)
		usleep(10000);
	printf("parked %d\n", started);
	fflush(stdout);
	for (int i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	printf("right %d\n", atomic_load(&right));
	return atomic_load(&right) == count ? 0 : 1;
}
