/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Applications that read, write and cut files by chance while reads of the background are on their way and come in any order, or fail:
 * whoever reads gets what an application made of the file, or the source's bytes; at the end each byte is what it has to be, and nothing
 * of what was begun is left.
 */
#include "migrate_world.h"

#include "base/cleanup.h"

#include <check.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEGSIZE 4096u
#define FILES 6
#define READERS 4
#define ROUNDS 6
#define PIECE 512u
#define PIECES (60 * SEGSIZE / PIECE)
#define CUT_MOST 40 /* pieces */

enum made { OF_SOURCE, BEING_WRITTEN, WRITTEN };

static struct chance_file {
	char name[8];
	unsigned id;
	bool turns; /* it changes at the source; no application writes into it */
	_Atomic unsigned char pieces[PIECES];
} files[FILES];
static atomic_bool over;

struct by_chance {
	pthread_t thread;
	unsigned seed;
	struct chance_file *file;
};

static unsigned chance(unsigned *seed, unsigned of)
{
	return (unsigned)rand_r(seed) % of;
}

static void mark(struct chance_file *file, unsigned first, unsigned n, enum made made)
{
	for (unsigned piece = first; piece < first + n; piece++)
		file->pieces[piece] = (unsigned char)made;
}

static bool passes(int result)
{
	return result == -EIO || result == -ETIMEDOUT;
}

/* Until the source has come to itself. */
static void insist(struct chance_file *file, enum event_kind kind, uint64_t off, uint64_t len)
{
	int result;

	do
		result = kind == EVENT_WRITE ? app_write(file->name, off, len) : app_resize(file->name, off);
	while (passes(result) && usleep(1000) == 0);
	ck_assert_int_ge(result, 0);
}

/* A whole segment, or some pieces of one or several. */
static void write_some(struct chance_file *file, unsigned *seed)
{
	unsigned per_segment = SEGSIZE / PIECE, whole = chance(seed, 3) == 0;
	unsigned first = chance(seed, PIECES), n = whole ? per_segment : 1 + chance(seed, 20);

	if (whole)
		first -= first % per_segment;
	if (first + n > PIECES)
		n = PIECES - first;
	mark(file, first, n, BEING_WRITTEN);
	insist(file, EVENT_WRITE, (uint64_t)first * PIECE, (uint64_t)n * PIECE);
	mark(file, first, n, WRITTEN);
}

/* Cut, and made as long as before: zeros, as what is written. */
static void cut_some(struct chance_file *file, unsigned *seed)
{
	unsigned n = 1 + chance(seed, CUT_MOST), first = PIECES - n;

	mark(file, first, n, BEING_WRITTEN);
	insist(file, EVENT_RESIZE, (uint64_t)first * PIECE, 0);
	insist(file, EVENT_RESIZE, (uint64_t)PIECES * PIECE, 0);
	mark(file, first, n, WRITTEN);
}

static void *change_it(void *context)
{
	struct by_chance *writer = context;

	while (!over && !writer->file->turns) {
		usleep(chance(&writer->seed, 3000));
		if (chance(&writer->seed, 12))
			write_some(writer->file, &writer->seed);
		else
			cut_some(writer->file, &writer->seed);
	}
	return NULL;
}

static bool is_of_source(const struct chance_file *file, uint64_t off, int byte)
{
	return byte == fake_byte(file->id, off) || (file->turns && byte == fake_byte(file->id + 20, off));
}

static void read_one(struct chance_file *file, unsigned *seed)
{
	uint64_t off = chance(seed, PIECES * PIECE);
	enum made before = file->pieces[off / PIECE];
	int byte = app_read(file->name, off);
	enum made after = file->pieces[off / PIECE];

	if (passes(byte) || (byte == -ENODATA && after != OF_SOURCE)) /* -ENODATA: it is cut at the moment */
		return;
	bool mine = byte == MINE &&
	            (after != OF_SOURCE || file->turns); /* or it is emptied at the moment, which applications are told */
	if (!mine && !(is_of_source(file, off, byte) && before != WRITTEN))
		ck_abort_msg("%s: byte %d is %d; %d, %d", file->name, (int)off, byte, before, after);
}

static void *read_them(void *context)
{
	struct by_chance *reader = context;

	while (!over) {
		usleep(chance(&reader->seed, 500));
		read_one(&files[chance(&reader->seed, FILES)], &reader->seed);
	}
	return NULL;
}

static void *trouble_them(void *context)
{
	struct by_chance *trouble = context;
	struct migrate_options own = options;

	while (!over) {
		usleep(chance(&trouble->seed, 20000));
		own.background = chance(&trouble->seed, 3) > 0;
		ck_assert_int_eq(migrate_tune(migrate, &own), 0);
		if (chance(&trouble->seed, 4))
			continue;
		fake_objects[1 + chance(&trouble->seed, FILES)].failures = 1;
	}
	return NULL;
}

static void check_file(const struct chance_file *file)
{
	CLEAN_FD int fd = openat(target.root_fd, file->name, O_RDONLY | O_CLOEXEC);
	unsigned char bytes[PIECE];

	ck_assert_int_eq(size_of(file->name), PIECES * PIECE);
	for (uint64_t off = 0; off < PIECES * PIECE; off++) {
		if (off % PIECE == 0)
			ck_assert_int_eq(pread(fd, bytes, PIECE, (off_t)off), PIECE);
		bool mine = file->pieces[off / PIECE] == WRITTEN;
		unsigned char wanted = mine ? MINE : fake_byte(file->id + (file->turns ? 20 : 0), off);
		if (bytes[off % PIECE] != wanted)
			ck_abort_msg("%s: byte %d is %d, not %d", file->name, (int)off, bytes[off % PIECE], wanted);
	}
}

static void make_files(void)
{
	memset(files, 0, sizeof(files));
	for (unsigned i = 0; i < FILES; i++) {
		snprintf(files[i].name, sizeof(files[i].name), "f%u", i);
		files[i].id = i + 1;
		files[i].turns = i == 0;
		fake_file(i + 1, 0, files[i].name, PIECES * PIECE);
		fake_objects[i + 1].read_error = i % 2 ? -EIO : -ETIMEDOUT;
	}
	fake_objects[1].hold_from = 1;
}

/* While all that goes on the first file changes at the source, between its first reads and the looks after them. */
static void live(unsigned seed)
{
	struct by_chance all[FILES + READERS + 1] = {0};

	for (unsigned i = 0; i < FILES + READERS + 1; i++) {
		all[i].seed = seed * 100 + i;
		all[i].file = &files[i % FILES];
		ck_assert_int_eq(pthread_create(&all[i].thread, NULL,
		                                i < FILES             ? change_it
		                                : i < FILES + READERS ? read_them
		                                                      : trouble_them,
		                                &all[i]),
		                 0);
	}
	AWAIT(fake_objects[1].held);
	fake_objects[1].turned = 20;
	fake_objects[1].mtime = 2000000;
	fake_objects[1].hold_from = 0;
	usleep(chance(&seed, 200000));
	over = true;
	for (unsigned i = 0; i < FILES + READERS + 1; i++)
		pthread_join(all[i].thread, NULL);
}

static void setup(void)
{
	over = false;
	fake_late = fake_ahead = fake_tells = true;
	world_by_segments(SEGSIZE);
	options.drift = DRIFT_REFETCH;
	store_options.linger_ms = 50;
	make_files();
}

START_TEST(by_chance)
{
	world_open();
	ck_assert_int_eq(app_names(""), 0);
	live((unsigned)_i + 1);
	world_close();
	ck_assert_uint_eq(fake_begun, 0);
	for (unsigned i = 0; i < FILES; i++)
		fake_objects[i + 1].failures = 0;
	world_complete();
	ck_assert_uint_eq(fake_begun, 0);
	ck_assert_uint_eq(migrate->window.bytes, 0);
	for (unsigned i = 0; i < FILES; i++)
		check_file(&files[i]);
	world_close();
}
END_TEST

int main(void)
{
	if (!world_is_possible())
		return 77;
	Suite *suite = suite_create("migrate_begun");
	tcase_add_loop_test(world_case(suite, "begun", setup), by_chance, 0, ROUNDS);
	return world_run(suite);
}
