/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * An application that does a little of everything, beside whatever else the machine does: prints "NAME MICROSECONDS us" lines, of
 * each kind of operation the median and the 99th percentile. Asserts no time; ends with 1 when an operation fails.
 *
 *   calm make DIR           2000 files of 4 KiB to work on
 *   calm app DIR SECONDS [COLD]
 *                           three threads: one does metadata operations in DIR and reads its small files, one appends 4 KiB to a log
 *                           and calls fdatasync(2), one reads 4 KiB far apart from the file COLD
 *
 * Each thread has a timetable: an operation begins when it is due, whatever became of the one before. Two times are taken:
 *
 *   NAME-p99        from when it was due until it was done (open loop). Who is late makes those that follow late too, and that counts:
 *                   a user does not wait with the next wish until the machine is ready. The thread's own wake-up is in it
 *   NAME-bare-p99   from when it was begun until it was done (closed loop). The file system alone, with nothing of the pauses
 *
 * Names: those of the operations; `app` is all of metadata, reads of what is here, and writes; fsync and cold stand apart, since they
 * wait for a disk, and for the source.
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FILES 2000
#define FILE_BYTES 4096
#define SAMPLES_MAX 200000
#define META_EVERY_NS 1000000
#define FSYNC_EVERY_NS 20000000
#define COLD_EVERY_NS 20000000

enum kind { STAT, READ, CREATE, WRITE, RENAME, UNLINK, FSYNC, COLD, KINDS };

static const char *const names[KINDS] = {"stat", "read", "create", "write", "rename", "unlink", "fsync", "cold"};

struct samples {
	uint64_t *due, *bare; /* nanoseconds */
	size_t n;
};

static struct samples samples[KINDS];
static const char *dir, *cold_path;
static uint64_t start_ns, end_ns;

struct path {
	char text[4096];
};

static const char *path_of(const char *stem, uint64_t i, struct path *path)
{
	snprintf(path->text, sizeof(path->text), "%s/%s%llu", dir, stem, (unsigned long long)i);
	return path->text;
}

/* --- operations --- */

static const char bytes[FILE_BYTES];
static int log_fd = -1, cold_fd = -1, written_fd = -1;
static uint64_t cold_places;

static void create(uint64_t i)
{
	struct path path;

	written_fd = open(path_of("app", i, &path), O_CREAT | O_EXCL | O_WRONLY, 0644);
	need(written_fd >= 0, path.text);
}

static void read_one(const char *path)
{
	char buf[FILE_BYTES];
	int fd = open(path, O_RDONLY);

	need(fd >= 0 && read(fd, buf, sizeof(buf)) == sizeof(buf) && close(fd) == 0, path);
}

/* Rounds: a file is created, written, renamed and removed. */
static void operate(enum kind kind, uint64_t i)
{
	struct path path, other;
	struct stat st;
	char buf[FILE_BYTES];

	switch (kind) {
	case STAT:
		need(stat(path_of("f", i * 7 % FILES, &path), &st) == 0, path.text);
		break;
	case READ:
		read_one(path_of("f", i * 7 % FILES, &path));
		break;
	case CREATE:
		create(i);
		break;
	case WRITE:
		need(write(written_fd, bytes, sizeof(bytes)) == sizeof(bytes) && close(written_fd) == 0, "write");
		break;
	case RENAME:
		need(rename(path_of("app", i, &path), path_of("done", i, &other)) == 0, path.text);
		break;
	case UNLINK:
		need(unlink(path_of("done", i, &path)) == 0, path.text);
		break;
	case FSYNC:
		need(write(log_fd, bytes, sizeof(bytes)) == sizeof(bytes) && fdatasync(log_fd) == 0, "log");
		break;
	case COLD:
		need(pread(cold_fd, buf, sizeof(buf), (off_t)(i * 7 % cold_places << 20)) == sizeof(buf), cold_path);
		break;
	default:
		break;
	}
}

/* --- timetables --- */

static void sleep_until(uint64_t at_ns)
{
	struct timespec at = {.tv_sec = (time_t)(at_ns / 1000000000u), .tv_nsec = (long)(at_ns % 1000000000u)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
		;
}

static void operate_at(enum kind kind, uint64_t i, uint64_t due_ns)
{
	struct samples *to = &samples[kind];

	sleep_until(due_ns);
	uint64_t begun_ns = now_ns();
	operate(kind, i);
	uint64_t done_ns = now_ns();
	need(to->n < SAMPLES_MAX, "more operations than there is room for");
	to->due[to->n] = done_ns - due_ns;
	to->bare[to->n++] = done_ns - begun_ns;
}

static void *do_metadata(void *context)
{
	(void)context;
	uint64_t due_ns = start_ns;
	for (uint64_t i = 0; due_ns < end_ns; i++)
		for (int kind = STAT; kind <= UNLINK; kind++, due_ns += META_EVERY_NS)
			operate_at((enum kind)kind, i, due_ns);
	return NULL;
}

static void *do_log(void *context)
{
	(void)context;
	for (uint64_t i = 0, due_ns = start_ns; due_ns < end_ns; i++, due_ns += FSYNC_EVERY_NS)
		operate_at(FSYNC, i, due_ns);
	return NULL;
}

static void *do_cold(void *context)
{
	(void)context;
	for (uint64_t i = 0, due_ns = start_ns; due_ns < end_ns && i < cold_places; i++, due_ns += COLD_EVERY_NS)
		operate_at(COLD, i, due_ns);
	return NULL;
}

/* --- what came of it --- */

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void report(const char *name, const char *which, uint64_t *took, size_t n)
{
	if (n == 0)
		return;
	qsort(took, n, sizeof(*took), compare);
	printf("%s%s-p50 %.1f us\n", name, which, (double)took[n / 2] / 1000.0);
	printf("%s%s-p99 %.1f us\n", name, which, (double)took[n * 99 / 100] / 1000.0);
}

static void report_app(void)
{
	uint64_t *due = calloc(SAMPLES_MAX, sizeof(*due)), *bare = calloc(SAMPLES_MAX, sizeof(*bare));
	size_t n = 0;

	need(due && bare, "memory");
	for (int kind = STAT; kind <= UNLINK; kind++) {
		need(n + samples[kind].n <= SAMPLES_MAX, "more operations than there is room for");
		memcpy(due + n, samples[kind].due, samples[kind].n * sizeof(*due));
		memcpy(bare + n, samples[kind].bare, samples[kind].n * sizeof(*bare));
		n += samples[kind].n;
	}
	report("app", "", due, n);
	report("app", "-bare", bare, n);
	free(due);
	free(bare);
}

static void report_all(void)
{
	report_app();
	for (int kind = 0; kind < KINDS; kind++) {
		report(names[kind], "", samples[kind].due, samples[kind].n);
		report(names[kind], "-bare", samples[kind].bare, samples[kind].n);
		free(samples[kind].due);
		free(samples[kind].bare);
	}
}

static void prepare(void)
{
	struct path path;
	struct stat st;

	for (int kind = 0; kind < KINDS; kind++) {
		samples[kind].due = calloc(SAMPLES_MAX, sizeof(uint64_t));
		samples[kind].bare = calloc(SAMPLES_MAX, sizeof(uint64_t));
		need(samples[kind].due && samples[kind].bare, "memory");
	}
	log_fd = open(path_of("log", 0, &path), O_CREAT | O_WRONLY | O_APPEND, 0644);
	need(log_fd >= 0, path.text);
	if (!cold_path)
		return;
	cold_fd = open(cold_path, O_RDONLY);
	need(cold_fd >= 0 && fstat(cold_fd, &st) == 0, cold_path);
	need(posix_fadvise(cold_fd, 0, 0, POSIX_FADV_RANDOM) == 0, cold_path);
	cold_places = (uint64_t)st.st_size >> 20;
}

static void app(unsigned seconds)
{
	static void *(*const threads[])(void *) = {do_metadata, do_log, do_cold};
	pthread_t ids[3];
	int count = cold_path ? 3 : 2;

	prepare();
	start_ns = now_ns() + META_EVERY_NS;
	end_ns = start_ns + seconds * (uint64_t)1000000000;
	for (int i = 0; i < count; i++)
		need(pthread_create(&ids[i], NULL, threads[i], NULL) == 0, "thread");
	for (int i = 0; i < count; i++)
		pthread_join(ids[i], NULL);
	report_all();
}

static void make(void)
{
	struct path path;

	need(mkdir(dir, 0755) == 0, dir);
	for (uint64_t i = 0; i < FILES; i++) {
		int fd = open(path_of("f", i, &path), O_CREAT | O_EXCL | O_WRONLY, 0644);
		need(fd >= 0 && write(fd, bytes, sizeof(bytes)) == sizeof(bytes) && close(fd) == 0, path.text);
	}
}

int main(int argc, char **argv)
{
	unsigned seconds = argc >= 4 ? (unsigned)atoi(argv[3]) : 0;

	dir = argc >= 3 ? argv[2] : NULL;
	cold_path = argc == 5 ? argv[4] : NULL;
	if (argc == 3 && strcmp(argv[1], "make") == 0)
		make();
	else if (argc <= 5 && seconds > 0 && seconds <= SAMPLES_MAX / 1000 && strcmp(argv[1], "app") == 0)
		app(seconds);
	else {
		fprintf(stderr, "usage: calm make DIR | calm app DIR SECONDS [COLD]\n");
		return 2;
	}
	return 0;
}
