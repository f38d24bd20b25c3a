/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What operations on a tree of small files cost, by one thread or several at once, each in a directory of its own: prints
 * "NAME MICROSECONDS us" lines, wall time divided by the operations of all threads, the same on a native directory and on any
 * mount, so that two runs can be divided. Asserts no time; ends with 1 when an operation fails.
 *
 *   tree make DIR THREADS     2000 files of 4 KiB for each thread, for the others to work on
 *   tree meta DIR THREADS [PHASE]   stat, open+read+close, create, rename, unlink of those (cold when nobody has looked
 *                             before), or only the one that is named, for a profile
 *   tree list DIR THREADS     readdir and stat of everything below DIR/0, DIR/1, ..., twice
 *   tree cached NATIVE MOUNT  stat of the files of NATIVE/0 and of MOUNT/0, in turn, 100 rounds each after the first, on one processor:
 *                             nobody else is asked then, so it is short of microseconds, and one round of either means nothing
 */
#include "bench.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FILES 2000
#define MOST_THREADS 16
#define FILE_BYTES 4096

struct worker {
	pthread_t thread;
	char dir[3072];
	const struct phase *phase;
	uint64_t count; /* operations that it did */
};

struct phase {
	const char *name;
	void (*run)(struct worker *worker);
};

struct path {
	char text[4096];
};

static const char *path_of(const struct worker *worker, const char *stem, int i, struct path *path)
{
	snprintf(path->text, sizeof(path->text), "%s/%s%d", worker->dir, stem, i);
	return path->text;
}

/* --- the phases, each over the files of one worker --- */

static void create_file(const char *path)
{
	static const char bytes[FILE_BYTES];
	int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0644);

	need(fd >= 0 && write(fd, bytes, sizeof(bytes)) == sizeof(bytes) && close(fd) == 0, path);
}

static void make_all(struct worker *worker)
{
	struct path path;

	need(mkdir(worker->dir, 0755) == 0, worker->dir);
	for (int i = 0; i < FILES; i++)
		create_file(path_of(worker, "f", i, &path));
	worker->count = FILES;
}

static void stat_all(struct worker *worker)
{
	struct path path;
	struct stat st;

	for (int i = 0; i < FILES; i++)
		need(stat(path_of(worker, "f", i, &path), &st) == 0, path.text);
	worker->count = FILES;
}

static void read_file(const char *path)
{
	char bytes[FILE_BYTES];
	int fd = open(path, O_RDONLY);

	need(fd >= 0 && read(fd, bytes, sizeof(bytes)) == sizeof(bytes) && close(fd) == 0, path);
}

static void read_all(struct worker *worker)
{
	struct path path;

	for (int i = 0; i < FILES; i++)
		read_file(path_of(worker, "f", i, &path));
	worker->count = FILES;
}

static void create_all(struct worker *worker)
{
	struct path path;

	for (int i = 0; i < FILES; i++)
		create_file(path_of(worker, "new", i, &path));
	worker->count = FILES;
}

static void rename_all(struct worker *worker)
{
	struct path from, to;

	for (int i = 0; i < FILES; i++)
		need(rename(path_of(worker, "f", i, &from), path_of(worker, "g", i, &to)) == 0, from.text);
	worker->count = FILES;
}

static void unlink_all(struct worker *worker)
{
	struct path path;

	for (int i = 0; i < FILES; i++)
		need(unlink(path_of(worker, "g", i, &path)) == 0, path.text);
	worker->count = FILES;
}

static uint64_t list_below(const char *dir)
{
	DIR *stream = opendir(dir);
	uint64_t count = 0;

	need(stream != NULL, dir);
	for (struct dirent *entry; (entry = readdir(stream));) {
		struct path path;
		struct stat st;
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		snprintf(path.text, sizeof(path.text), "%s/%s", dir, entry->d_name);
		need(lstat(path.text, &st) == 0, path.text);
		count += 1 + (S_ISDIR(st.st_mode) ? list_below(path.text) : 0);
	}
	closedir(stream);
	return count;
}

static void list_all(struct worker *worker)
{
	worker->count = list_below(worker->dir);
}

/* --- workers --- */

static void *work(void *context)
{
	struct worker *worker = context;

	worker->phase->run(worker);
	return NULL;
}

/* Returns how many operations all of them did. */
static uint64_t run_phase(struct worker *workers, int count, const struct phase *phase)
{
	uint64_t all = 0;

	for (int i = 0; i < count; i++) {
		workers[i].phase = phase;
		need(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0, "thread");
	}
	for (int i = 0; i < count; i++) {
		pthread_join(workers[i].thread, NULL);
		all += workers[i].count;
	}
	return all;
}

static void run_phases(const char *dir, int threads, const struct phase *phases, size_t count, const char *only)
{
	struct worker *workers = calloc((size_t)threads, sizeof(*workers));

	need(workers != NULL, "memory");
	for (int i = 0; i < threads; i++)
		snprintf(workers[i].dir, sizeof(workers[i].dir), "%s/%d", dir, i);
	for (size_t i = 0; i < count; i++) {
		if (only && strcmp(phases[i].name, only) != 0)
			continue;
		uint64_t start = now_ns();
		uint64_t all = run_phase(workers, threads, &phases[i]);
		printf("%s-%d %.2f us\n", phases[i].name, threads, (double)(now_ns() - start) / 1000.0 / (double)all);
	}
	free(workers);
}

/* --- stats that the kernel answers from its memory --- */

#define CACHED_ROUNDS 100

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void stay_here(void)
{
	cpu_set_t here;

	CPU_ZERO(&here);
	CPU_SET((unsigned)sched_getcpu(), &here);
	need(sched_setaffinity(0, sizeof(here), &here) == 0, "processor");
}

static void compare_cached(char **dirs)
{
	static const char *const names[] = {"native", "dmmfs"};
	static double took_us[2][CACHED_ROUNDS];
	struct worker workers[2];

	stay_here();
	for (int i = 0; i < 2; i++)
		snprintf(workers[i].dir, sizeof(workers[i].dir), "%s/0", dirs[i]);
	for (int round = -1; round < CACHED_ROUNDS; round++) { /* -1: they are not in memory yet */
		for (int i = 0; i < 2; i++) {
			uint64_t start = now_ns();
			stat_all(&workers[i]);
			if (round >= 0)
				took_us[i][round] = (double)(now_ns() - start) / 1000.0 / FILES;
		}
	}
	for (int i = 0; i < 2; i++) {
		qsort(took_us[i], CACHED_ROUNDS, sizeof(took_us[i][0]), compare);
		printf("cached-minimum-%s %.3f us\n", names[i], took_us[i][0]);
		printf("cached-median-%s %.3f us\n", names[i], took_us[i][CACHED_ROUNDS / 2]);
	}
}

int main(int argc, char **argv)
{
	static const struct phase make[] = {{"make", make_all}};
	static const struct phase meta[] = {{"stat", stat_all},
	                                    {"stat-cached", stat_all},
	                                    {"open+read+close", read_all},
	                                    {"create+write+close", create_all},
	                                    {"rename", rename_all},
	                                    {"unlink", unlink_all}};
	static const struct phase list[] = {{"readdir+stat", list_all}, {"readdir+stat-again", list_all}};
	int number = argc == 4 || argc == 5 ? atoi(argv[3]) : 0;
	const char *only = argc == 5 ? argv[4] : NULL;

	if (argc == 4 && strcmp(argv[1], "cached") == 0)
		compare_cached(&argv[2]);
	else if (number > 0 && number <= MOST_THREADS && strcmp(argv[1], "make") == 0)
		run_phases(argv[2], number, make, 1, NULL);
	else if (number > 0 && number <= MOST_THREADS && strcmp(argv[1], "meta") == 0)
		run_phases(argv[2], number, meta, sizeof(meta) / sizeof(*meta), only);
	else if (number > 0 && number <= MOST_THREADS && strcmp(argv[1], "list") == 0)
		run_phases(argv[2], number, list, sizeof(list) / sizeof(*list), only);
	else {
		fprintf(stderr, "usage: tree make DIR THREADS | meta|list DIR THREADS [PHASE] | cached NATIVE MOUNT\n");
		return 2;
	}
	return 0;
}
