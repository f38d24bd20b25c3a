/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A disk that takes its time: what was made waits for a barrier in memory, so the background does not go on making for as long as it takes.
 */
#include "migrate_world.h"

#include <check.h>
#include <stdio.h>
#include <unistd.h>

#define DIRS 100
#define FILES 8    /* in each */
#define ENOUGH 200 /* changes: those of the root and some ten directories */
#define MANY 50    /* directories that are too many then, with those that were begun before it was enough */

static char names[DIRS][8];
static atomic_bool stuck;

static int barrier(void *context)
{
	while (atomic_load(&stuck))
		usleep(1000);
	return target_sync(context);
}

static void setup(void)
{
	static const char *const files[FILES] = {"a", "b", "c", "d", "e", "f", "g", "h"};

	for (unsigned dir = 0; dir < DIRS; dir++) {
		snprintf(names[dir], sizeof(names[dir]), "d%u", dir);
		fake_dir(1 + dir, 0, names[dir]);
		for (unsigned file = 0; file < FILES; file++)
			fake_file(1 + DIRS + dir * FILES + file, 1 + dir, files[file], 100);
	}
	store_options.barrier = barrier;
	store_options.behind = ENOUGH;
}

static int made(void)
{
	char path[16];
	int count = 0;

	for (unsigned dir = 0; dir < DIRS; dir++) {
		snprintf(path, sizeof(path), "%.7s/a", names[dir]);
		count += faccessat(target.root_fd, path, F_OK, 0) == 0;
	}
	return count;
}

/* For half a second nothing was made. */
static int made_at_rest(void)
{
	int before = -1, now = made();

	while (now == 0 || now != before) {
		usleep(500000);
		before = now;
		now = made();
	}
	return now;
}

START_TEST(nothing_is_begun_while_a_barrier_takes_long)
{
	world_open_state();
	atomic_store(&stuck, true);
	world_start();
	ck_assert_int_lt(made_at_rest(), MANY);
	atomic_store(&stuck, false);
	await_complete();
	ck_assert_int_eq(figures()->totals.files_migrated, DIRS * FILES);
	ck_assert_int_eq(made(), DIRS);
	world_close();
}
END_TEST

int main(void)
{
	if (!world_is_possible())
		return 77;
	Suite *suite = suite_create("behind");
	tcase_add_test(world_case(suite, "behind", setup), nothing_is_begun_while_a_barrier_takes_long);
	return world_run(suite);
}
