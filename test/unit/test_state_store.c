/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The store on a real LMDB with real syncs: what is put is read again, before and after a reopening; order, group commit, and
 * identity of reused inode numbers.
 */
#include "state_fixture.h"

#include "base/clock.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

/* --- records --- */

START_TEST(test_dirs)
{
	struct dir_record dir = dir_of(100), *read;
	struct batch *batch = batch_new();
	ck_assert_int_eq(store_dir_get(store, 100, &read), 0);
	batch_dir_put(batch, &dir);
	state_commit(batch);
	for (int round = 0; round < 2; round++) {
		ck_assert_int_eq(store_dir_get(store, 100, &read), 1);
		ck_assert_uint_eq(read->ino, 100);
		ck_assert_uint_eq(read->nlink, 17);
		ck_assert(handle_equal(&read->handle, &dir.handle));
		ck_assert_int_eq(memcmp(read->source.bytes, "dir", 3), 0);
		dir_record_free(read);
		ck_assert_int_eq(store_dir_get(store, 101, &read), 0);
		state_reopen();
	}
	batch = batch_new();
	batch_dir_delete(batch, 100);
	batch_dir_delete(batch, 5555); /* was never there */
	state_commit(batch);
	ck_assert_int_eq(store_dir_get(store, 100, &read), 0);
}
END_TEST

START_TEST(test_lists_ascend)
{
	static const uint64_t inos[] = {7, 1, 0x100000000, 256, 255, UINT64_MAX, 2};
	static const uint64_t sorted[] = {1, 2, 7, 255, 256, 0x100000000, UINT64_MAX};
	uint64_t got[8];
	struct batch *batch = batch_new();
	ck_assert_int_eq(store_files_after(store, 0, got, 8), 0);
	for (size_t i = 0; i < 7; i++) {
		struct dir_record dir = dir_of(inos[i]);
		struct file_record file = file_of(inos[i]);
		struct link_record link = link_of(1000 - i, inos[i]);
		batch_dir_put(batch, &dir);
		batch_file_put(batch, &file);
		batch_link_put(batch, &link);
	}
	state_commit(batch);
	ck_assert_int_eq(store_dirs_after(store, 0, got, 8), 7);
	ck_assert_mem_eq(got, sorted, sizeof(sorted));
	ck_assert_int_eq(store_files_after(store, 0, got, 8), 7);
	ck_assert_mem_eq(got, sorted, sizeof(sorted));
	ck_assert_int_eq(store_links_after(store, 0, got, 8), 7);
	ck_assert_mem_eq(got, sorted, sizeof(sorted));
	ck_assert_int_eq(store_files_after(store, 7, got, 2), 2);
	ck_assert_uint_eq(got[0], 255);
	ck_assert_uint_eq(got[1], 256);
	ck_assert_int_eq(store_files_after(store, 0x100000000, got, 8), 1);
	ck_assert_int_eq(store_files_after(store, UINT64_MAX, got, 8), 0);
	ck_assert_int_eq(store_files_after(store, 0, got, 0), 0);
}
END_TEST

START_TEST(test_links)
{
	struct link_record link = link_of(1, 10), read;
	struct batch *batch = batch_new();
	batch_link_put(batch, &link);
	state_commit(batch);
	ck_assert_int_eq(store_link_get(store, 99, 1, &read), 1);
	ck_assert_uint_eq(read.ino, 10);
	ck_assert_uint_eq(read.nlink, 4);
	ck_assert_int_eq(store_link_of_ino(store, 10, &read), 1);
	ck_assert_uint_eq(read.fsid, 99);
	ck_assert_uint_eq(read.fileid, 1);
	ck_assert_int_eq(store_link_of_ino(store, 11, &read), 0);
	ck_assert_int_eq(store_link_get(store, 99, 2, &read), 0);

	/* Made anew, with another inode number. */
	link.ino = 11;
	batch = batch_new();
	batch_link_put(batch, &link);
	state_commit(batch);
	ck_assert_int_eq(store_link_of_ino(store, 10, &read), 0);
	ck_assert_int_eq(store_link_of_ino(store, 11, &read), 1);

	/* Another file at the same inode number takes the index over; deleting the stale record leaves it alone. */
	struct link_record other = link_of(2, 11);
	batch = batch_new();
	batch_link_put(batch, &other);
	state_commit(batch);
	ck_assert_int_eq(store_link_of_ino(store, 11, &read), 1);
	ck_assert_uint_eq(read.fileid, 2);
	batch = batch_new();
	batch_link_delete(batch, 99, 1);
	state_commit(batch);
	ck_assert_int_eq(store_link_of_ino(store, 11, &read), 1);
	batch = batch_new();
	batch_link_delete(batch, 99, 2);
	batch_link_delete(batch, 99, 2);
	state_commit(batch);
	ck_assert_int_eq(store_link_of_ino(store, 11, &read), 0);
	ck_assert_int_eq(store_link_get(store, 99, 2, &read), 0);
}
END_TEST

START_TEST(test_names_of_links)
{
	struct link_record link = link_of(1, 10), read;
	struct batch *batch = batch_new();
	link.seen = 0;
	batch_link_seen(batch, 99, 1, 5); /* no record: nobody to count for */
	batch_link_put(batch, &link);
	batch_link_seen(batch, 99, 1, 1);
	batch_link_seen(batch, 99, 1, 0);
	state_commit(batch);
	ck_assert_int_eq(store_link_get(store, 99, 1, &read), 1);
	ck_assert_uint_eq(read.seen, 1);
	for (int i = 0; i < 10; i++) {
		batch = batch_new();
		batch_link_seen(batch, 99, 1, 2);
		store_submit(store, batch, 0, NULL, NULL);
	}
	ck_assert_int_eq(store_flush(store), 0);
	ck_assert_int_eq(store_link_of_ino(store, 10, &read), 1);
	ck_assert_uint_eq(read.seen, 21);
	ck_assert_uint_eq(read.nlink, 4);
	batch = batch_new();
	batch_link_seen(batch, 99, 1, UINT32_MAX);
	state_commit(batch);
	ck_assert_int_eq(store_link_get(store, 99, 1, &read), 1);
	ck_assert_uint_eq(read.seen, UINT32_MAX);
}
END_TEST

/* --- segments --- */

static unsigned resident(uint64_t ino, uint64_t n)
{
	uint8_t *bitmap = malloc((n + 7) / 8);
	unsigned count = 0;
	memset(bitmap, 0xff, (n + 7) / 8);
	ck_assert_int_eq(store_segments_get(store, ino, bitmap, n), 0);
	for (uint64_t i = 0; i < (n + 7) / 8 * 8; i++)
		if (bitmap[i / 8] & 1u << i % 8) {
			ck_assert_uint_lt(i, n);
			count++;
		}
	free(bitmap);
	return count;
}

static bool is_resident(uint64_t ino, uint64_t segment)
{
	uint8_t *bitmap = malloc(segment / 8 + 1);
	ck_assert_int_eq(store_segments_get(store, ino, bitmap, segment + 1), 0);
	bool is = bitmap[segment / 8] & 1u << segment % 8;
	free(bitmap);
	return is;
}

static void put_file(uint64_t ino, uint32_t generation)
{
	struct file_record file = file_of(ino);
	struct batch *batch = batch_new();
	file.handle = handle_of(ino, generation);
	batch_file_put(batch, &file);
	state_commit(batch);
}

static void mark(uint64_t ino, uint64_t first, uint64_t count)
{
	struct batch *batch = batch_new();
	batch_segments_mark(batch, ino, first, count);
	state_commit(batch);
}

static void clear(uint64_t ino, uint64_t first, uint64_t count)
{
	struct batch *batch = batch_new();
	batch_segments_clear(batch, ino, first, count);
	state_commit(batch);
}

START_TEST(test_segments)
{
	put_file(5, 1);
	ck_assert_uint_eq(resident(5, 100), 0);
	mark(5, 3, 1);
	ck_assert_uint_eq(resident(5, 100), 1);
	ck_assert(is_resident(5, 3));
	mark(5, 4000, 10000); /* over four chunks */
	ck_assert_uint_eq(resident(5, 20000), 10001);
	ck_assert(!is_resident(5, 3999) && is_resident(5, 4000) && is_resident(5, 13999) && !is_resident(5, 14000));
	ck_assert_uint_eq(resident(5, 4001), 2);
	ck_assert_uint_eq(resident(5, 4096), 97);
	ck_assert_uint_eq(resident(5, 4097), 98);
	mark(5, 4000, 10000);
	mark(5, 0, 0);
	ck_assert_uint_eq(resident(5, 20000), 10001);
	clear(5, 5000, 5000);
	ck_assert_uint_eq(resident(5, 20000), 5001);
	ck_assert(is_resident(5, 4999) && !is_resident(5, 5000) && !is_resident(5, 9999) && is_resident(5, 10000));
	clear(5, 13000, UINT64_MAX);
	ck_assert_uint_eq(resident(5, 20000), 4001);
	state_reopen();
	ck_assert_uint_eq(resident(5, 20000), 4001);
	clear(5, 0, UINT64_MAX);
	ck_assert_uint_eq(resident(5, 20000), 0);
	mark(5, (1ull << 44) - 1, UINT64_MAX); /* the last that can be named */
	clear(5, 1ull << 50, 1);
}
END_TEST

START_TEST(test_segments_of_neighbours)
{
	put_file(5, 1);
	put_file(6, 1);
	put_file(7, 1);
	mark(5, 0, 5000);
	mark(6, 1, 5000);
	mark(7, 2, 5000);
	struct batch *batch = batch_new();
	batch_file_delete(batch, 6);
	state_commit(batch);
	ck_assert_uint_eq(resident(5, 8192), 5000);
	ck_assert_uint_eq(resident(6, 8192), 0);
	ck_assert_uint_eq(resident(7, 8192), 5000);
	ck_assert(!is_resident(7, 1));
}
END_TEST

START_TEST(test_segments_random_against_a_plain_bitmap)
{
	enum { N = 20000, ROUNDS = 300 };
	static uint8_t plain[N];
	unsigned seed = getenv("DMMFS_TEST_SEED") ? (unsigned)atoi(getenv("DMMFS_TEST_SEED")) : (unsigned)clock_wall_ns();
	printf("DMMFS_TEST_SEED=%u\n", seed);
	fflush(stdout);
	put_file(9, 1);
	for (int round = 0; round < ROUNDS; round++) {
		struct batch *batch = batch_new();
		for (int i = 0; i < 5; i++) {
			unsigned first = (unsigned)rand_r(&seed) % N, count = (unsigned)rand_r(&seed) % 3000;
			if (count > N - first)
				count = N - first;
			bool set = rand_r(&seed) % 2;
			memset(plain + first, set, count);
			(set ? batch_segments_mark : batch_segments_clear)(batch, 9, first, count);
		}
		store_submit(store, batch, 0, NULL, NULL);
	}
	ck_assert_int_eq(store_flush(store), 0);
	uint8_t bitmap[N / 8];
	ck_assert_int_eq(store_segments_get(store, 9, bitmap, N), 0);
	for (unsigned i = 0; i < N; i++)
		ck_assert_int_eq(!!(bitmap[i / 8] & 1u << i % 8), plain[i]);
}
END_TEST

/* I4: a reused inode number inherits nothing. */
START_TEST(test_segments_and_identity)
{
	struct file_record *read;
	put_file(5, 1);
	mark(5, 0, 5000);
	put_file(5, 1); /* the same object: kept */
	ck_assert_uint_eq(resident(5, 8192), 5000);
	put_file(5, 2); /* another object */
	ck_assert_uint_eq(resident(5, 8192), 0);
	ck_assert_int_eq(store_file_get(store, 5, &read), 1);
	struct handle handle = handle_of(5, 2);
	ck_assert(handle_equal(&read->handle, &handle));
	file_record_free(read);

	struct batch *batch = batch_new();
	batch_file_delete(batch, 5);
	batch_segments_mark(batch, 5, 0, 10); /* a fetch that ends too late */
	state_commit(batch);
	ck_assert_uint_eq(resident(5, 8192), 0);
	put_file(5, 3);
	ck_assert_uint_eq(resident(5, 8192), 0);
}
END_TEST

/* --- digests --- */

static void arrive(uint64_t ino, uint64_t segment, uint64_t digest)
{
	struct batch *batch = batch_new();
	batch_segments_arrived(batch, ino, segment, 1, &(struct digest){.low = digest, .high = 1});
	state_commit(batch);
}

static const struct file_stamp stamp = {.size = 77, .mtime = {1, 2}, .ctime = {3, 4}};

/* Ends the file; its digest, or 0 when it left none. */
static uint64_t complete(uint64_t ino)
{
	struct digest_record record;
	struct file_record *file;
	struct batch *batch = batch_new();
	batch_file_complete(batch, ino, &stamp);
	state_commit(batch);
	ck_assert_int_eq(store_file_get(store, ino, &file), 0);
	if (store_digest_get(store, ino, &record) == 0)
		return 0;
	ck_assert(record.size == 77 && record.segsize == 1 << 20 && record.mtime.nsec == 2 && record.ctime.sec == 3);
	return record.digest.low;
}

static void put_plain(uint64_t ino, uint32_t generation)
{
	struct file_record file = file_of(ino);
	struct batch *batch = batch_new();
	file.handle = handle_of(ino, generation);
	file.digest = (struct digest){0};
	file.changed = false;
	batch_file_put(batch, &file);
	state_commit(batch);
}

START_TEST(test_digest_counts_once)
{
	put_plain(5, 1);
	arrive(5, 3, 1000);
	arrive(5, 3, 1000); /* a segment that was fetched again after a crash whose record had survived */
	put_plain(5, 1);    /* whoever puts the record does not know the sum */
	state_reopen();
	arrive(5, 0, 200);
	arrive(5, 9000, 30);
	struct batch *batch = batch_new();
	batch_segments_arrived(batch, 5, 10, 5000, &(struct digest){0}); /* holes */
	batch_segments_arrived(batch, 5, 4, 1, &(struct digest){.low = 4});
	batch_segments_arrived(batch, 5, 4, 1, &(struct digest){.low = 4}); /* twice in one transaction */
	state_commit(batch);
	ck_assert_uint_eq(resident(5, 20000), 5004);
	ck_assert_uint_eq(complete(5), 1234);
	ck_assert_uint_eq(resident(5, 20000), 0);
	ck_assert_uint_eq(complete(5), 1234); /* there is no record any more: nothing happens */
}
END_TEST

START_TEST(test_no_digest_of_what_changed)
{
	put_plain(5, 1);
	arrive(5, 0, 1);
	mark(5, 1, 1); /* nobody saw it */
	ck_assert_uint_eq(complete(5), 0);

	put_plain(6, 1);
	arrive(6, 0, 1);
	clear(6, 0, 1);
	arrive(6, 0, 1);
	ck_assert_uint_eq(complete(6), 0);

	put_file(7, 1); /* file_of() of an odd number says changed */
	arrive(7, 0, 1);
	ck_assert_uint_eq(complete(7), 0);

	put_plain(8, 1);
	arrive(8, 0, 1);
	struct batch *batch = batch_new();
	batch_segments_changed(batch, 8, 0, 1);
	state_commit(batch);
	ck_assert_uint_eq(complete(8), 0);
}
END_TEST

/* I4: nor does a reused inode number inherit a digest. */
START_TEST(test_digest_and_identity)
{
	struct digest_record record = digest_of(5), read;
	put_plain(5, 1);
	arrive(5, 0, 100);
	put_plain(5, 2);
	arrive(5, 0, 7);
	ck_assert_uint_eq(complete(5), 7);
	put_plain(5, 3);
	ck_assert_int_eq(store_digest_get(store, 5, &read), 0);
	struct batch *batch = batch_new();
	batch_file_delete(batch, 5);
	batch_digest_put(batch, &record);
	state_commit(batch);
	ck_assert_int_eq(store_digest_get(store, 5, &read), 1);
	ck_assert(digest_equal(&read.digest, &record.digest));
	batch = batch_new();
	batch_digest_delete(batch, 5);
	batch_digest_delete(batch, 5);
	state_commit(batch);
	ck_assert_int_eq(store_digest_get(store, 5, &read), 0);
}
END_TEST

START_TEST(test_digests_ascend)
{
	struct digest_record read[4];
	ck_assert_int_eq(store_digests_after(store, 0, read, 4), 0);
	struct batch *batch = batch_new();
	for (uint64_t ino = 50; ino >= 10; ino -= 10) {
		struct digest_record record = digest_of(ino);
		batch_digest_put(batch, &record);
	}
	state_commit(batch);
	ck_assert_int_eq(store_digests_after(store, 0, read, 4), 4);
	ck_assert(read[0].ino == 10 && read[3].ino == 40 && read[3].digest.high == 40);
	ck_assert_int_eq(store_digests_after(store, 40, read, 4), 1);
	ck_assert_int_eq(store_digests_after(store, 50, read, 4), 0);
	ck_assert_int_eq(store_digests_after(store, UINT64_MAX, read, 4), 0);
}
END_TEST

/* What is there, against a table of what should be: `known` has the generation of each number, 0: none. */
static void same_digests(const uint32_t *known, uint64_t numbers)
{
	struct digest_record read[64], one;
	uint64_t after = 0, ino = 1;
	int n;
	while ((n = store_digests_after(store, after, read, 64)) > 0) {
		for (int i = 0; i < n; i++, ino++) {
			for (; ino < numbers && !known[ino]; ino++)
				;
			ck_assert_msg(read[i].ino == ino, "%" PRIu64 " and not %" PRIu64, read[i].ino, ino);
			ck_assert_uint_eq(read[i].digest.low, known[ino]);
		}
		after = read[n - 1].ino;
	}
	ck_assert_int_eq(n, 0);
	for (; ino < numbers; ino++)
		ck_assert_uint_eq(known[ino], 0);
	for (ino = 1; ino < numbers; ino += 97) {
		n = store_digest_get(store, ino, &one);
		ck_assert_int_eq(n, known[ino] != 0);
		ck_assert(!n || (one.ino == ino && one.digest.low == known[ino]));
	}
}

/* Anything in any order, in transactions of any size, is there afterwards as it was put last. */
START_TEST(test_digests_against_a_table)
{
	enum { NUMBERS = 3000, ROUNDS = 150 };
	uint32_t *known = calloc(NUMBERS, sizeof(*known)), generation = 0;
	unsigned seed = (unsigned)time(NULL);
	printf("seed %u\n", seed);
	srandom(seed);
	for (int round = 0; round < ROUNDS; round++) {
		struct batch *batch = batch_new();
		uint64_t at = 1 + (uint64_t)random() % (NUMBERS - 1), step = (uint64_t)random() % 4; /* 0: anywhere */
		for (long n = random() % (round % 5 ? 60 : 1500); n > 0; n--) {
			struct digest_record record = digest_of(at);
			bool deletes = random() % (round % 3 ? 8 : 2) == 0;
			record.digest.low = ++generation;
			if (deletes)
				batch_digest_delete(batch, at);
			else
				batch_digest_put(batch, &record);
			known[at] = deletes ? 0 : generation;
			at = step ? at + step : 1 + (uint64_t)random() % (NUMBERS - 1);
			if (at >= NUMBERS)
				at = 1;
		}
		state_commit(batch);
		if (round % 10 == 9) {
			state_reopen();
			same_digests(known, NUMBERS);
		}
	}
	struct batch *batch = batch_new();
	for (uint64_t ino = 1; ino < NUMBERS; ino++)
		batch_digest_delete(batch, ino);
	state_commit(batch);
	memset(known, 0, NUMBERS * sizeof(*known));
	same_digests(known, NUMBERS);
	free(known);
}
END_TEST

static uint64_t bytes_used(void)
{
	uint64_t bytes, commits;
	store_usage(store, &bytes, &commits);
	return bytes;
}

/* I12. Directories are populated side by side: runs of numbers here and there, far apart or in between each other. */
#define RUNS 8
#define RUN_COMMITS 20
#define RUN_STEP 250 /* records in a commit */
#define RUN_RECORDS (RUNS * RUN_COMMITS * RUN_STEP)

static uint64_t run_ino(int run, uint64_t n, bool apart)
{
	return apart ? 1000 + (uint64_t)(RUNS - run) * 131072 + n : 1000 + n * RUNS + (uint64_t)(run * 5 % RUNS);
}

static void put_runs(bool apart, void (*put)(struct batch *batch, uint64_t ino))
{
	for (uint64_t at = 0; at < RUN_COMMITS * RUN_STEP; at += RUN_STEP) {
		for (int run = 0; run < RUNS; run++) {
			struct batch *batch = batch_new();
			for (uint64_t n = at; n < at + RUN_STEP; n++)
				put(batch, run_ino(run, n, apart));
			state_commit(batch);
		}
	}
}

static void put_one_digest(struct batch *batch, uint64_t ino)
{
	struct digest_record record = digest_of(ino);
	record.size = 100000;
	batch_digest_put(batch, &record);
}

static void put_one_file(struct batch *batch, uint64_t ino)
{
	struct file_record file = file_of(ino);
	file.source = (struct source_ref){.len = 28, .bytes = (const uint8_t *)"a handle of NFS has 28 bytes"};
	file.source_size = file.limit = 100000;
	file.source_used = 102400;
	file.mtime = file.source_mtime;
	file.digest = (struct digest){0};
	batch_file_put(batch, &file);
}

START_TEST(test_state_is_small)
{
	uint64_t before = bytes_used();
	put_runs(_i & 1, _i & 2 ? put_one_digest : put_one_file);
	uint64_t each = (bytes_used() - before) / RUN_RECORDS;
	printf("%s, %s: %" PRIu64 " bytes each\n", _i & 2 ? "finished" : "unfinished", _i & 1 ? "apart" : "in between", each);
	ck_assert_uint_le(each, _i & 2 ? 64 : 200);
}
END_TEST

/* --- errors, totals, identity --- */

static int count_errors(void *context, const struct error_record *record)
{
	uint64_t *last = context;
	ck_assert_uint_gt(record->id, *last);
	ck_assert_str_eq(record->path, "a/b");
	struct totals totals;
	store_totals(store, &totals); /* anything may be called */
	*last = record->id;
	return record->id == 77 ? 7 : 0;
}

START_TEST(test_errors)
{
	struct batch *batch = batch_new();
	struct error_record *read;
	uint64_t last = 0;
	ck_assert_int_eq(store_errors_walk(store, count_errors, &last), 0);
	for (int i = 1; i <= 100; i++) {
		struct error_record error = error_of(store_error_id(store));
		ck_assert_uint_eq(error.id, i);
		batch_error_put(batch, &error);
	}
	state_commit(batch);
	ck_assert_int_eq(store_errors_walk(store, count_errors, &last), 7);
	ck_assert_uint_eq(last, 77);
	ck_assert_int_eq(store_error_get(store, 3, &read), 1);
	ck_assert_str_eq(read->detail, "the source did not answer");
	error_record_free(read);

	batch = batch_new();
	batch_error_delete(batch, 77);
	batch_error_delete(batch, 100);
	state_commit(batch);
	last = 0;
	ck_assert_int_eq(store_errors_walk(store, count_errors, &last), 0);
	ck_assert_uint_eq(last, 99);
	ck_assert_int_eq(store_error_get(store, 77, &read), 0);
	state_reopen();
	ck_assert_uint_eq(store_error_id(store), 101); /* 100 is gone, but never given again */
}
END_TEST

START_TEST(test_totals)
{
	struct totals totals, delta = {.files_found = 3, .bytes_found = 1000, .bytes_pending = -5};
	struct batch *batch = batch_new();
	batch_totals_add(batch, &delta);
	batch_totals_add(batch, &delta);
	store_submit(store, batch, 0, NULL, NULL);
	batch = batch_new();
	batch_totals_add(batch, &(struct totals){.files_found = 1, .links_pending = 9});
	state_commit(batch);
	for (int round = 0; round < 2; round++) {
		store_totals(store, &totals);
		ck_assert_int_eq(totals.files_found, 7);
		ck_assert_int_eq(totals.bytes_found, 2000);
		ck_assert_int_eq(totals.bytes_pending, -10);
		ck_assert_int_eq(totals.links_pending, 9);
		ck_assert_int_eq(totals.dirs_found, 0);
		state_reopen();
	}
}
END_TEST

START_TEST(test_meta)
{
	char value[16];
	ck_assert_int_eq(store_meta_get(store, "uuid", value, sizeof(value)), -ENOENT);
	ck_assert_int_eq(store_meta_put(store, "uuid", "0123456789"), 0);
	ck_assert_int_eq(store_meta_put(store, "format", "mine"), 0); /* no name of ours is in the way */
	ck_assert_int_eq(store_meta_put(store, "empty", ""), 0);
	ck_assert_int_eq(store_meta_put(store, "", "x"), -EINVAL);
	state_reopen();
	ck_assert_int_eq(store_meta_get(store, "uuid", value, 10), -ERANGE);
	ck_assert_int_eq(store_meta_get(store, "uuid", value, 11), 0);
	ck_assert_str_eq(value, "0123456789");
	ck_assert_int_eq(store_meta_get(store, "format", value, sizeof(value)), 0);
	ck_assert_str_eq(value, "mine");
	ck_assert_int_eq(store_meta_get(store, "empty", value, sizeof(value)), 0);
	ck_assert_str_eq(value, "");
}
END_TEST

/* --- committing --- */

static atomic_uint barriers, callbacks;
static atomic_bool order_broken;

static int count_barrier(void *context)
{
	barriers++;
	return 0;
}

static void count_callback(void *context, int error)
{
	if (error || callbacks++ != (uintptr_t)context)
		order_broken = true;
}

static void reset_counts(void)
{
	barriers = 0;
	callbacks = 0;
	order_broken = false;
}

START_TEST(test_group_commit_and_order)
{
	uint64_t bytes, before, commits;
	reset_counts();
	store_close(store);
	store = state_open(count_barrier, NULL, 60000);
	store_usage(store, &bytes, &before);
	for (uintptr_t i = 0; i < 100; i++) {
		struct batch *batch = batch_new();
		struct file_record file = file_of(1);
		file.limit = i;
		batch_file_put(batch, &file);
		store_submit(store, batch, i % 10 ? 0 : SUBMIT_BARRIER, count_callback, (void *)i);
	}
	ck_assert_uint_eq(callbacks, 0); /* they wait for company */
	ck_assert_uint_eq(store_backlog(store), 100);
	ck_assert_int_eq(store_flush(store), 0);
	ck_assert_uint_eq(callbacks, 100);
	ck_assert(!order_broken);
	ck_assert_uint_eq(store_backlog(store), 0);
	ck_assert_uint_eq(barriers, 1);
	store_usage(store, &bytes, &commits);
	ck_assert_uint_eq(commits - before, 1);
	ck_assert_uint_gt(bytes, 0);
	struct file_record *read;
	ck_assert_int_eq(store_file_get(store, 1, &read), 1);
	ck_assert_uint_eq(read->limit, 99);
	file_record_free(read);
}
END_TEST

static void wait_for_callbacks(unsigned n)
{
	uint64_t until_ns = clock_monotonic_ns() + 50 * NS_PER_S;
	while (callbacks < n) {
		ck_assert_msg(clock_monotonic_ns() < until_ns, "%u callbacks instead of %u", callbacks, n);
		usleep(1000);
	}
	ck_assert(!order_broken);
}

START_TEST(test_urgent_and_hurry)
{
	reset_counts();
	store_close(store);
	store = state_open(count_barrier, NULL, 60000);
	struct file_record file = file_of(1);

	struct batch *batch = batch_new();
	batch_file_put(batch, &file);
	store_submit(store, batch, 0, count_callback, (void *)0);
	store_submit(store, batch_new(), SUBMIT_BARRIER, count_callback, (void *)1);
	usleep(20000);
	ck_assert_uint_eq(callbacks, 0);
	store_submit(store, batch_new(), SUBMIT_URGENT, count_callback, (void *)2); /* takes the others along */
	wait_for_callbacks(3);
	ck_assert_uint_eq(barriers, 1);

	batch = batch_new();
	batch_file_put(batch, &file);
	store_submit(store, batch, 0, count_callback, (void *)3);
	usleep(20000);
	ck_assert_uint_eq(callbacks, 3);
	store_hurry(store);
	wait_for_callbacks(4);

	batch = batch_new();
	for (uint64_t i = 0; i < 5000; i++) /* plenty waits for nobody */
		batch_dir_delete(batch, i);
	store_submit(store, batch, 0, count_callback, (void *)4);
	wait_for_callbacks(5);
}
END_TEST

START_TEST(test_linger)
{
	reset_counts();
	store_close(store);
	store = state_open(barrier_none, NULL, 200);
	uint64_t start_ns = clock_monotonic_ns();
	struct batch *batch = batch_new();
	batch_dir_delete(batch, 1);
	store_submit(store, batch, 0, count_callback, (void *)0);
	wait_for_callbacks(1);
	ck_assert_uint_ge(clock_monotonic_ns() - start_ns, 190 * NS_PER_MS);
}
END_TEST

START_TEST(test_close_commits)
{
	reset_counts();
	store_close(store);
	store = state_open(count_barrier, NULL, 60000);
	struct file_record file = file_of(1), *read;
	struct batch *batch = batch_new();
	batch_file_put(batch, &file);
	store_submit(store, batch, SUBMIT_BARRIER, count_callback, (void *)0);
	state_reopen();
	ck_assert_uint_eq(callbacks, 1);
	ck_assert(!order_broken);
	ck_assert_int_eq(store_file_get(store, 1, &read), 1);
	file_record_free(read);
}
END_TEST

static void submit_more(void *context, int error)
{
	struct batch *batch = batch_new();
	struct dir_record dir = dir_of(callbacks + 1);
	if (callbacks++ < 10) {
		batch_dir_put(batch, &dir);
		store_submit(store, batch, 0, submit_more, NULL);
	} else
		batch_free(batch);
}

START_TEST(test_submit_from_callback)
{
	reset_counts();
	store_submit(store, batch_new(), 0, submit_more, NULL);
	uint64_t inos[20];
	for (int i = 0; i < 12; i++)
		ck_assert_int_eq(store_flush(store), 0);
	ck_assert_uint_eq(callbacks, 11);
	ck_assert_int_eq(store_dirs_after(store, 0, inos, 20), 10);
}
END_TEST

/* A transaction has bounds, submission has none. */
START_TEST(test_many_changes)
{
	struct batch *batch = NULL;
	reset_counts();
	for (uint64_t ino = 1; ino <= 100000; ino++) {
		struct file_record file = file_of(ino * 7919 % 100003); /* in no order */
		if (!batch)
			batch = batch_new();
		batch_file_put(batch, &file);
		if (ino % 1000 == 0) {
			store_submit(store, batch, 0, count_callback, (void *)(uintptr_t)(ino / 1000 - 1));
			batch = NULL;
		}
	}
	ck_assert_int_eq(store_flush(store), 0);
	ck_assert_uint_eq(callbacks, 100);
	ck_assert(!order_broken);
	uint64_t *inos = malloc(100010 * sizeof(*inos));
	ck_assert_int_eq(store_files_after(store, 0, inos, 100010), 100000);
	free(inos);
	batch = batch_new();
	for (uint64_t ino = 0; ino <= 100003; ino++)
		batch_file_delete(batch, ino);
	state_commit(batch);
	struct file_record *read;
	ck_assert_int_eq(store_file_get(store, 1, &read), 0);
}
END_TEST

/* --- threads --- */

static atomic_bool stop;

/* Each writer owns one inode and marks what it has put; what a callback acknowledged is seen by a read at once. */
static atomic_uint_least64_t acknowledged[4];

static void acknowledge(void *context, int error)
{
	(*(atomic_uint_least64_t *)context)++;
}

static void *writer_main(void *context)
{
	uintptr_t self = (uintptr_t)context;
	for (uint64_t i = 1; i <= 200; i++) {
		struct batch *batch = batch_new();
		struct file_record file = file_of(self + 1);
		file.limit = i;
		batch_file_put(batch, &file);
		batch_totals_add(batch, &(struct totals){.files_found = 1});
		store_submit(store, batch, i % 3 ? 0 : SUBMIT_URGENT, acknowledge, &acknowledged[self]);
		if (i % 50 == 0)
			store_flush(store);
	}
	return NULL;
}

static void *reader_main(void *context)
{
	uint64_t inos[8];
	while (!stop)
		for (uint64_t self = 0; self < 4; self++) {
			uint64_t least = acknowledged[self];
			struct file_record *read = NULL;
			int found = store_file_get(store, self + 1, &read);
			if ((least > 0 && found != 1) || (found == 1 && read->limit < least) || found < 0)
				order_broken = true;
			if (found == 1)
				file_record_free(read);
			store_files_after(store, 0, inos, 8);
		}
	return NULL;
}

START_TEST(test_threads)
{
	pthread_t writers[4], readers[4];
	reset_counts();
	for (uintptr_t i = 0; i < 4; i++) {
		ck_assert_int_eq(pthread_create(&readers[i], NULL, reader_main, NULL), 0);
		ck_assert_int_eq(pthread_create(&writers[i], NULL, writer_main, (void *)i), 0);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(writers[i], NULL);
	ck_assert_int_eq(store_flush(store), 0);
	stop = true;
	for (int i = 0; i < 4; i++)
		pthread_join(readers[i], NULL);
	ck_assert(!order_broken);
	struct totals totals;
	store_totals(store, &totals);
	ck_assert_int_eq(totals.files_found, 800);
}
END_TEST

/* --- what is noted outside ------------------------------------------------------------------------------------------------------ */

static struct {
	uint64_t committed, begun, at_barrier, commit_at_begun;
	unsigned settled;
	int answer;
} notes;

static int take_note(void *context, enum store_note what, uint64_t commit)
{
	if (what == NOTE_SETTLE)
		__atomic_add_fetch(&notes.settled, 1, __ATOMIC_RELAXED);
	else if (notes.answer == 0 && what == NOTE_COMMITTED)
		notes.committed = commit;
	else if (notes.answer == 0)
		notes.begun = commit, notes.commit_at_begun = notes.committed;
	return notes.answer;
}

static int see_barrier(void *context)
{
	notes.at_barrier = notes.begun;
	return 0;
}

static void reopen_noting(void)
{
	struct store_options options = {.dir = state_dir, .barrier = see_barrier, .note = take_note};
	char error[256];
	store_close(store);
	ck_assert_int_eq(store_open(&options, &store, error, sizeof(error)), 0);
}

static void commit_one(unsigned flags)
{
	struct batch *batch = batch_new();
	batch_totals_add(batch, &(struct totals){.dirs_found = 1});
	store_submit(store, batch, flags, NULL, NULL);
	ck_assert_int_eq(store_flush(store), 0);
}

START_TEST(commits_are_noted_before_they_are_told)
{
	memset(&notes, 0, sizeof(notes));
	reopen_noting();
	commit_one(0);
	ck_assert_uint_eq(notes.committed, 1);
	ck_assert_uint_eq(notes.begun, 0);
	commit_one(SUBMIT_BARRIER);
	ck_assert_uint_eq(notes.at_barrier, 2);
	ck_assert_uint_eq(notes.commit_at_begun, 1);
	ck_assert_uint_eq(notes.committed, 2);
	commit_one(0);
	reopen_noting();
	ck_assert_uint_ge(notes.settled, 1); /* before it closes */
	ck_assert_uint_eq(store_commit_number(store), 3);
	ck_assert_uint_eq(store_noted(store), 2);
}
END_TEST

START_TEST(what_is_not_noted_is_not_claimed)
{
	memset(&notes, 0, sizeof(notes));
	reopen_noting();
	commit_one(SUBMIT_BARRIER);
	notes.answer = -ENOSPC;
	commit_one(SUBMIT_BARRIER);
	reopen_noting();
	ck_assert_uint_eq(store_commit_number(store), 2);
	ck_assert_uint_eq(store_noted(store), 1);
}
END_TEST

START_TEST(a_note_is_settled_when_nothing_comes)
{
	memset(&notes, 0, sizeof(notes));
	reopen_noting();
	commit_one(0);
	for (int i = 0; i < 1000 && __atomic_load_n(&notes.settled, __ATOMIC_RELAXED) == 0; i++)
		usleep(10000);
	ck_assert_uint_eq(__atomic_load_n(&notes.settled, __ATOMIC_RELAXED), 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("state store");
	TCase *tests = tcase_create("store");
	tcase_add_checked_fixture(tests, state_setup, state_teardown);
	tcase_add_test(tests, commits_are_noted_before_they_are_told);
	tcase_add_test(tests, what_is_not_noted_is_not_claimed);
	tcase_add_test(tests, a_note_is_settled_when_nothing_comes);
	tcase_add_test(tests, test_dirs);
	tcase_add_test(tests, test_lists_ascend);
	tcase_add_test(tests, test_links);
	tcase_add_test(tests, test_names_of_links);
	tcase_add_test(tests, test_segments);
	tcase_add_test(tests, test_segments_of_neighbours);
	tcase_add_test(tests, test_segments_random_against_a_plain_bitmap);
	tcase_add_test(tests, test_segments_and_identity);
	tcase_add_test(tests, test_digest_counts_once);
	tcase_add_test(tests, test_no_digest_of_what_changed);
	tcase_add_test(tests, test_digest_and_identity);
	tcase_add_test(tests, test_digests_ascend);
	tcase_add_test(tests, test_digests_against_a_table);
	tcase_add_loop_test(tests, test_state_is_small, 0, 4);
	tcase_add_test(tests, test_errors);
	tcase_add_test(tests, test_totals);
	tcase_add_test(tests, test_meta);
	tcase_add_test(tests, test_group_commit_and_order);
	tcase_add_test(tests, test_urgent_and_hurry);
	tcase_add_test(tests, test_linger);
	tcase_add_test(tests, test_close_commits);
	tcase_add_test(tests, test_submit_from_callback);
	tcase_add_test(tests, test_many_changes);
	tcase_add_test(tests, test_threads);
	tcase_set_timeout(tests, 60);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
