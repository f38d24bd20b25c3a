/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How fast the state database is: commits, changes in groups, and the reads of the hot path.
 *
 * usage: bench-state [DIRECTORY]    on its file system, in a directory that is made and removed; default: TMPDIR or /tmp
 */
#include "state/store.h"

#include "base/clock.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHANGES 1000 /* in a batch */
#define BATCHES 200
#define READS 1000000
#define READERS 4

static char dir[512];
static struct store *store;

static void die(const char *what)
{
	fprintf(stderr, "bench-state: %s\n", what);
	exit(1);
}

static void report(const char *name, double value, const char *unit)
{
	printf("%s %.1f %s\n", name, value, unit);
	fflush(stdout);
}

static double seconds_since(uint64_t start_ns)
{
	return (double)(clock_monotonic_ns() - start_ns) / NS_PER_S;
}

static struct file_record file_of(uint64_t ino)
{
	struct file_record file = {
		.ino = ino,
		.handle = {.type = 1, .len = 8},
		.source = {.len = 28, .bytes = (const uint8_t *)"a handle of NFS has 28 bytes"},
		.limit = 1 << 20,
		.segsize = 1 << 20,
		.source_size = 1 << 20,
	};
	memcpy(file.handle.bytes, &ino, 8);
	return file;
}

static uint64_t usage(uint64_t *commits)
{
	uint64_t bytes;
	store_usage(store, &bytes, commits);
	return bytes;
}

static void bench_commits(void)
{
	uint64_t start_ns = clock_monotonic_ns(), n = 0;
	while (seconds_since(start_ns) < 2) {
		struct batch *batch = batch_new();
		struct file_record file = file_of(n++ % 1000 + 1);
		batch_file_put(batch, &file);
		store_submit(store, batch, SUBMIT_URGENT, NULL, NULL);
		if (store_flush(store))
			die("flush");
	}
	report("commit_one_at_a_time", (double)n / seconds_since(start_ns), "commits/s");
}

/* BATCHES batches of CHANGES records with a back-pressure of a few. */
static void put_files(const char *name, uint64_t first, uint64_t step, uint64_t modulus)
{
	uint64_t start_ns = clock_monotonic_ns(), ino = first, before, after, bytes = usage(&before);
	for (int i = 0; i < BATCHES; i++) {
		struct batch *batch = batch_new();
		for (int n = 0; n < CHANGES; n++) {
			struct file_record file = file_of(ino);
			batch_file_put(batch, &file);
			ino = modulus ? (ino * 6364136223846793005ull + 1442695040888963407ull) % modulus : ino + step;
		}
		store_submit(store, batch, 0, NULL, NULL);
		if (store_flush(store))
			die("flush");
	}
	double seconds = seconds_since(start_ns);
	bytes = usage(&after) - bytes;
	char label[64];
	snprintf(label, sizeof(label), "%s_at_%d_a_commit", name, CHANGES);
	report(label, BATCHES * CHANGES / seconds, "puts/s");
	snprintf(label, sizeof(label), "%s_bytes", name);
	report(label, (double)bytes / (BATCHES * CHANGES), "bytes/record");
	if (after - before != BATCHES)
		die("batches were not committed one by one");
}

/* As the data workers do: each batch marks a segment of many files, nobody waits. */
static void mark_segments(void)
{
	uint64_t start_ns = clock_monotonic_ns();
	for (int i = 0; i < BATCHES; i++) {
		struct batch *batch = batch_new();
		for (uint64_t n = 0; n < CHANGES; n++)
			batch_segments_mark(batch, 1 + (uint64_t)(i % 10) * CHANGES + n, (uint64_t)i / 10, 1);
		store_submit(store, batch, 0, NULL, NULL);
	}
	if (store_flush(store))
		die("flush");
	report("segment_marks", BATCHES * CHANGES / seconds_since(start_ns), "marks/s");
}

static void *read_absent(void *context)
{
	struct file_record *file;
	for (uint64_t i = 0; i < READS; i++)
		if (store_file_get(store, (1ull << 40) + i * 7919 % 1000003, &file) != 0)
			die("found what is absent");
	return NULL;
}

static void bench_reads(void)
{
	uint64_t start_ns = clock_monotonic_ns();
	read_absent(NULL);
	report("get_absent_file", seconds_since(start_ns) / READS * 1e9, "ns");

	pthread_t readers[READERS];
	start_ns = clock_monotonic_ns();
	for (int i = 0; i < READERS; i++)
		pthread_create(&readers[i], NULL, read_absent, NULL);
	for (int i = 0; i < READERS; i++)
		pthread_join(readers[i], NULL);
	report("get_absent_file_4_threads", READERS * (double)READS / seconds_since(start_ns), "gets/s");

	start_ns = clock_monotonic_ns();
	for (uint64_t i = 0; i < READS; i++) {
		struct file_record *file;
		if (store_file_get(store, 1 + i * 7919 % (BATCHES * CHANGES / 2), &file) != 1)
			die("did not find what is there");
		file_record_free(file);
	}
	report("get_present_file", seconds_since(start_ns) / READS * 1e9, "ns");

	start_ns = clock_monotonic_ns();
	for (uint64_t i = 0; i < READS; i++) {
		struct dir_record *record;
		if (store_dir_get(store, i, &record) != 0)
			die("found what is absent");
	}
	report("get_absent_dir_of_none", seconds_since(start_ns) / READS * 1e9, "ns");
}

static void bench_one_huge_batch(void)
{
	uint64_t start_ns = clock_monotonic_ns();
	struct batch *batch = batch_new();
	for (uint64_t i = 0; i < 1000000; i++) {
		struct file_record file = file_of(i * 2654435761 % 4294967296 + 1);
		batch_file_put(batch, &file);
	}
	store_submit(store, batch, 0, NULL, NULL);
	if (store_flush(store))
		die("flush of a huge batch");
	report("one_batch_of_a_million", 1000000 / seconds_since(start_ns), "puts/s");
}

int main(int argc, char **argv)
{
	const char *tmp = getenv("TMPDIR");
	snprintf(dir, sizeof(dir), "%s/dmmfs-bench-XXXXXX", argc > 1 ? argv[1] : tmp ? tmp : "/tmp");
	if (!mkdtemp(dir))
		die("no directory");
	struct store_options options = {.dir = dir, .linger_ms = 0};
	char error[256];
	if (store_open(&options, &store, error, sizeof(error)))
		die(error);

	bench_commits();
	put_files("file_puts_ascending", 1001, 1, 0);
	put_files("file_puts_random", 12345, 0, 1ull << 39);
	mark_segments();
	bench_reads();
	bench_one_huge_batch();

	store_close(store);
	char path[600];
	const char *const names[] = {"data.mdb", "lock.mdb", "lock"};
	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	rmdir(dir);
	return 0;
}
