/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * interrupts FILE SECONDS THREADS: threads read a file at random places, past the kernel's cache, and open it, while signals hit
 * them all the time. Every call gives the right bytes or EINTR. The bytes of the file: byte n is n * 7 + n / 4096.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 4096u

static const char *path;
static off_t size;
static atomic_bool stop;
static atomic_ulong reads, interrupted, wrong;

static void nothing(int signal)
{
	(void)signal;
}

static unsigned char byte_at(off_t n)
{
	return (unsigned char)(n * 7 + n / 4096);
}

static void check(const unsigned char *buf, ssize_t len, off_t off)
{
	for (ssize_t i = 0; i < len; i++) {
		if (buf[i] == byte_at(off + i))
			continue;
		printf("wrong byte at %jd\n", (intmax_t)(off + i));
		atomic_fetch_add(&wrong, 1);
		return;
	}
}

static void *work(void *context)
{
	unsigned seed = (unsigned)(size_t)context;
	void *memory;

	if (posix_memalign(&memory, BLOCK, BLOCK * 4))
		abort();
	while (!atomic_load(&stop)) {
		int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
		for (int i = 0; fd >= 0 && i < 8; i++) {
			off_t off = (off_t)rand_r(&seed) % (size / BLOCK) * BLOCK;
			ssize_t got = pread(fd, memory, BLOCK * (1 + (unsigned)rand_r(&seed) % 4), off);
			if (got > 0)
				check(memory, got, off);
			atomic_fetch_add(got < 0 && errno == EINTR ? &interrupted : &reads, 1);
			if (got < 0 && errno != EINTR) {
				perror("read");
				atomic_fetch_add(&wrong, 1);
			}
		}
		if (fd >= 0) {
			close(fd);
		} else if (errno != EINTR) {
			perror("open");
			atomic_fetch_add(&wrong, 1);
		}
	}
	free(memory);
	return NULL;
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = nothing};
	int seconds = argc == 4 ? atoi(argv[2]) : 1, count = argc == 4 ? atoi(argv[3]) : 8;
	pthread_t threads[256];
	struct stat st;

	path = argv[1];
	if (argc != 4 || count > 256 || stat(path, &st) < 0)
		return 2;
	size = st.st_size;
	sigaction(SIGUSR1, &action, NULL);
	for (int i = 0; i < count; i++)
		pthread_create(&threads[i], NULL, work, (void *)(size_t)(i + 1));
	for (time_t end = time(NULL) + seconds; time(NULL) < end;) {
		pthread_kill(threads[rand() % count], SIGUSR1);
		nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	printf("%lu reads, %lu interrupted, %lu wrong\n", reads, interrupted, wrong);
	return wrong ? 1 : 0;
}
