/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What reads and writes of one file cost: prints "NAME MICROSECONDS us" lines (or MiB/s), the same on a native file
 * and on a mount, so that two runs can be divided. Asserts no time; ends with 1 when an operation fails.
 *
 *   ops data FILE        reads and writes of an existing large file
 *   ops written FILE     writes of 4 KiB into it as it was left, which nobody has read
 *   ops first FILE N [PAUSE]   first 4 KiB at N places of a file, each place once: cold when the file is; PAUSE: milliseconds
 *                        between them, so that none is slowed by what the one before left to do
 *   ops whole FILE       reads it once from its beginning to its end
 */
#include "bench.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PLACES 50000

static void report(const char *name, uint64_t start, uint64_t count)
{
	printf("%s %.2f us\n", name, (double)(now_ns() - start) / 1000.0 / (double)count);
}

static void report_rate(const char *name, uint64_t start, uint64_t bytes)
{
	printf("%s %.0f MiB/s\n", name, (double)bytes / 1048576.0 / ((double)(now_ns() - start) / 1e9));
}

static void write_at_random(int fd, uint64_t size, unsigned seed, const char *name)
{
	static char buf[4096];
	uint64_t start = now_ns();

	for (int i = 0; i < PLACES; i++)
		need(pwrite(fd, buf, sizeof(buf), (off_t)((uint64_t)rand_r(&seed) % (size / sizeof(buf)) * sizeof(buf))) ==
		             sizeof(buf),
		     "write");
	report(name, start, PLACES);
}

static void data(const char *path)
{
	static char buf[1 << 20];
	int fd = open(path, O_RDWR);
	struct stat st;

	need(fd >= 0 && fstat(fd, &st) == 0, path);
	uint64_t size = (uint64_t)st.st_size & ~(uint64_t)0xfffff;
	for (int round = 0; round < 2; round++) {
		uint64_t start = now_ns();
		for (uint64_t at = 0; at < size; at += sizeof(buf))
			need(pread(fd, buf, sizeof(buf), (off_t)at) == sizeof(buf), "read");
		report_rate(round ? "read-1M" : "read-1M-first", start, size);
	}
	uint64_t start = now_ns(), sum = 0;
	char *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	need(map != MAP_FAILED, "mmap");
	for (uint64_t at = 0; at < size; at += 64)
		sum += (unsigned char)map[at];
	report_rate("read-mmap", start, size);
	munmap(map, size);
	unsigned seed = (unsigned)sum | 1;
	start = now_ns();
	for (int i = 0; i < PLACES; i++)
		need(pread(fd, buf, 4096, (off_t)((uint64_t)rand_r(&seed) % (size / 4096) * 4096)) == 4096, "read");
	report("read-4K-random", start, PLACES);
	write_at_random(fd, size, seed, "write-4K-random");
	close(fd);
}

static void written(const char *path)
{
	int fd = open(path, O_RDWR);
	struct stat st;

	need(fd >= 0 && fstat(fd, &st) == 0, path);
	write_at_random(fd, (uint64_t)st.st_size, 1, "write-4K-as-left");
	close(fd);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static double percentile_us(uint64_t *took, int n, int percent)
{
	qsort(took, (size_t)n, sizeof(*took), compare);
	return (double)took[n * percent / 100] / 1000.0;
}

static void first(const char *path, int places, int pause_ms)
{
	uint64_t *took = calloc((size_t)places, sizeof(*took)), *reads = calloc((size_t)places, sizeof(*reads));
	char buf[4096];
	struct stat st;

	need(took && reads && stat(path, &st) == 0, path);
	if (st.st_size / places < (off_t)124 * 4096) {
		fprintf(stderr, "ops: %s is too small for %d places\n", path, places);
		exit(1);
	}
	for (int i = 0; i < places; i++) {
		nanosleep(&(struct timespec){.tv_nsec = (long)pause_ms * 1000000}, NULL);
		/* Places that are far from each other and from where read-ahead goes. */
		off_t at = st.st_size / places * ((i * 37) % places) + 123 * 4096;
		uint64_t start = now_ns();
		int fd = open(path, O_RDONLY);
		need(fd >= 0, path);
		posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
		uint64_t opened = now_ns();
		need(pread(fd, buf, sizeof(buf), at) == sizeof(buf), "first read");
		reads[i] = now_ns() - opened;
		took[i] = now_ns() - start;
		close(fd);
	}
	printf("first-byte-p50 %.1f us\n", percentile_us(took, places, 50));
	printf("first-byte-p99 %.1f us\n", percentile_us(took, places, 99));
	printf("first-read-p50 %.1f us\n", percentile_us(reads, places, 50));
	printf("first-read-p99 %.1f us\n", percentile_us(reads, places, 99));
	free(took);
	free(reads);
}

static void whole(const char *path)
{
	static char buf[1 << 20];
	int fd = open(path, O_RDONLY);
	uint64_t start = now_ns(), bytes = 0;
	ssize_t got;

	need(fd >= 0, path);
	while ((got = read(fd, buf, sizeof(buf))) > 0)
		bytes += (uint64_t)got;
	need(got == 0, "read");
	report_rate("read-whole", start, bytes);
	close(fd);
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "data") == 0)
		data(argv[2]);
	else if (argc == 3 && strcmp(argv[1], "written") == 0)
		written(argv[2]);
	else if ((argc == 4 || argc == 5) && strcmp(argv[1], "first") == 0 && atoi(argv[3]) > 0)
		first(argv[2], atoi(argv[3]), argc == 5 ? atoi(argv[4]) : 0);
	else if (argc == 3 && strcmp(argv[1], "whole") == 0)
		whole(argv[2]);
	else {
		fprintf(stderr, "usage: ops data FILE | written FILE | first FILE N [PAUSE] | whole FILE\n");
		return 2;
	}
	return 0;
}
