/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A disk that takes its time: what was made waits for a barrier in memory, so the background does not go on making for as long as it takes.
 */
#include "fake_source.h"
#include "migrate/internal.h"

#include "base/log.h"

#include <check.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define DIRS 100
#define FILES 8    /* in each */
#define ENOUGH 200 /* changes: those of the root and some ten directories */
#define MANY 50    /* directories that are too many then, with those that were begun before it was enough */

static char top[64], names[DIRS][8];
static struct target target;
static struct store *store;
static struct migrate *migrate;
static struct migrate_options options;
static atomic_bool stuck;

static const char *in_top(const char *name)
{
	static char paths[4][512];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", top, name);
	return path;
}

static int barrier(void *context)
{
	while (atomic_load(&stuck))
		usleep(1000);
	return target_sync(context);
}

static void setup(void)
{
	static const char *const files[FILES] = {"a", "b", "c", "d", "e", "f", "g", "h"};
	char error[256] = "";

	snprintf(top, sizeof(top), "%s/dmmfs-behind-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(top));
	ck_assert_int_eq(mkdir(in_top("state"), 0700), 0);
	ck_assert_int_eq(mkdir(in_top("target"), 0755), 0);
	fake_reset();
	for (unsigned dir = 0; dir < DIRS; dir++) {
		snprintf(names[dir], sizeof(names[dir]), "d%u", dir);
		fake_dir(1 + dir, 0, names[dir]);
		for (unsigned file = 0; file < FILES; file++)
			fake_file(1 + DIRS + dir * FILES + file, 1 + dir, files[file], 100);
	}
	migrate_default_options(&options);
	log_set_level(getenv("DMMFS_TEST_LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);

	struct store_options store_options = {
		.dir = in_top("state"), .barrier = barrier, .context = &target, .linger_ms = 20, .behind = ENOUGH};
	atomic_store(&stuck, false);
	ck_assert_msg(target_open(in_top("target"), &target, error, sizeof(error)) == 0, "%s", error);
	ck_assert_int_eq(target_adopt(&target), 0);
	ck_assert_msg(store_open(&store_options, &store, error, sizeof(error)) == 0, "%s", error);
	ck_assert_int_eq(migrate_plant_root(store, &target, NULL), 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static void teardown(void)
{
	migrate_stop(migrate);
	store_close(store);
	migrate_free(migrate);
	target_close(&target);
	nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
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
	struct migration_stat stat;

	atomic_store(&stuck, true);
	ck_assert_int_ge(migrate_start(&options, store, &target, NULL, &migrate), 0);
	ck_assert_int_lt(made_at_rest(), MANY);
	atomic_store(&stuck, false);
	for (int ms = 0; migrate_stat(migrate, &stat), stat.state != MIGRATION_COMPLETE; ms += 10) {
		ck_assert_int_lt(ms, 50000);
		usleep(10000);
	}
	ck_assert_int_eq(stat.totals.files_migrated, DIRS * FILES);
	ck_assert_int_eq(made(), DIRS);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("behind");
	TCase *tests = tcase_create("behind");

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, nothing_is_begun_while_a_barrier_takes_long);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
