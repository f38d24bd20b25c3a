/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * interrupts FILE SECONDS THREADS: threads read a file at random places, past the kernel's cache, and open it, while signals that
 * the program catches hit them all the time: every call gives the right bytes, and none EINTR. Beside them processes do the same
 * that are killed, some right after such a signal: they end. The bytes of the file: byte n is n * 7 + n / 4096.
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
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 4096u

static const char *path;
static off_t size;
static atomic_bool stop;
static atomic_ulong reads, wrong;

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
			atomic_fetch_add(&reads, 1);
			if (got < 0) {
				perror("read");
				atomic_fetch_add(&wrong, 1);
			}
		}
		if (fd >= 0) {
			close(fd);
		} else {
			perror("open");
			atomic_fetch_add(&wrong, 1);
		}
	}
	free(memory);
	return NULL;
}

static void pause_for(long ns)
{
	nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

/* --- processes that are killed --- */

#define VICTIMS 8

static pid_t new_victim(unsigned seed)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	work((void *)(size_t)seed);
	_exit(1);
}

/* Returns how many it killed; does not return if one does not end. */
static unsigned kill_victims(int seconds)
{
	pid_t victims[VICTIMS] = {0};
	unsigned killed = 0, turn = 0;

	for (time_t end = time(NULL) + seconds; time(NULL) < end; turn++) {
		pid_t *victim = &victims[(unsigned)rand() % VICTIMS];
		if (*victim) {
			if (turn % 2)
				kill(*victim, SIGUSR1); /* the kernel tells the file system of one signal a request */
			kill(*victim, turn % 3 ? SIGKILL : SIGTERM);
			waitpid(*victim, NULL, 0);
			killed++;
		}
		*victim = new_victim(turn);
		pause_for(5000000);
	}
	for (int i = 0; i < VICTIMS; i++) {
		if (victims[i] <= 0)
			continue;
		kill(victims[i], SIGKILL);
		waitpid(victims[i], NULL, 0);
	}
	return killed;
}

static pid_t start_killer(int seconds)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	unsigned killed = kill_victims(seconds);
	printf("%u killed\n", killed);
	fflush(stdout);
	_exit(killed ? 0 : 1);
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
	pid_t killer = start_killer(seconds);
	for (int i = 0; i < count; i++)
		pthread_create(&threads[i], NULL, work, (void *)(size_t)(i + 1));
	for (time_t end = time(NULL) + seconds; time(NULL) < end;) {
		pthread_kill(threads[rand() % count], SIGUSR1);
		pause_for(100000);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	int status = 1;
	if (killer < 0 || waitpid(killer, &status, 0) < 0 || status != 0)
		printf("no process was killed\n");
	printf("%lu reads, %lu wrong\n", reads, wrong);
	return wrong || status ? 1 : 0;
}
