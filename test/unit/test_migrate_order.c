/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What comes before what: the queue against a simple one, and migrations from a source in memory, with one worker of each kind for
 * the background, that tell in which turn each object was opened.
 */
#include "migrate/order.h"
#include "migrate_world.h"

#include "base/cleanup.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#define SEGSIZE 4096u

/* --- the queue --- */

static unsigned dropped;

static void count_dropped(const struct queue_entry *entry)
{
	dropped++;
}

static uint64_t weight(const struct order_key *key)
{
	return (uint64_t)key->class << 40 | (uint64_t)key->clause << 20 | key->rank;
}

static struct order_key random_key(unsigned *seed)
{
	return (struct order_key){(enum order_class)(rand_r(seed) % ORDER_CLASSES), (unsigned)rand_r(seed) % 3,
	                          (uint64_t)rand_r(seed) % 50};
}

START_TEST(queue_gives_the_first)
{
	enum { INOS = 500 };
	static struct order_key keys[INOS];
	static bool in[INOS];
	struct queue queue = {.drop = count_dropped};
	struct queue_entry entry;
	unsigned seed = 7, count = 0;

	for (int step = 0; step < 20000; step++) {
		uint64_t ino = (uint64_t)rand_r(&seed) % INOS;
		if (rand_r(&seed) % 2) {
			struct order_key key = random_key(&seed);
			bool better = !in[ino] || weight(&key) < weight(&keys[ino]);
			ck_assert(queue_put(&queue, &(struct queue_entry){.ino = ino, .key = key}) == !in[ino]);
			keys[ino] = better ? key : keys[ino];
			count += !in[ino];
			in[ino] = true;
		} else if (queue_take(&queue, CLASS_FETCH, CLASS_LAST, &entry)) {
			ck_assert(in[entry.ino]);
			bool first = true;
			for (unsigned i = 0; i < INOS; i++)
				first = first && (!in[i] || weight(&keys[i]) >= weight(&entry.key));
			ck_assert(first);
			in[entry.ino] = false;
			count--;
		}
		ck_assert_uint_eq(queue.used, count);
		ck_assert((queue_find(&queue, ino) != NULL) == in[ino]);
	}
	queue_clear(&queue);
	ck_assert(!queue_any(&queue, CLASS_FETCH, CLASS_LAST));
}
END_TEST

START_TEST(queue_tells_who_comes_before)
{
	struct queue queue = {.drop = count_dropped};
	struct queue_entry entry;

	for (uint64_t ino = 1; ino <= 10; ino++)
		queue_put(&queue, &(struct queue_entry){.ino = ino, .key = {.class = ino == 10 ? CLASS_FIRST : CLASS_LAST}});
	ck_assert_uint_eq(queue_ahead(&queue, 10), 0);
	ck_assert_uint_eq(queue_ahead(&queue, 1), 1); /* among equals the older */
	ck_assert_uint_eq(queue_ahead(&queue, 9), 9);
	ck_assert(!queue_take(&queue, CLASS_RAISED, CLASS_LAST, &entry)); /* the first is none of these */
	ck_assert(queue_take(&queue, CLASS_FETCH, CLASS_NORMAL, &entry) && entry.ino == 10);
	ck_assert(!queue_take(&queue, CLASS_FETCH, CLASS_NORMAL, &entry));
	queue_clear(&queue);
}
END_TEST

START_TEST(queue_is_bounded_and_gives_up_the_last)
{
	struct queue queue = {.drop = count_dropped};
	struct queue_entry entry;
	uint64_t before = 0, wrong = 0;

	dropped = 0;
	for (uint64_t ino = 1; ino <= 3ull * QUEUE_MAX; ino++)
		queue_put(&queue, &(struct queue_entry){.ino = ino, .key = {CLASS_NORMAL, 0, (ino * 7919) % 1000003}});
	ck_assert_uint_le(queue.used, QUEUE_MAX);
	ck_assert_uint_eq(queue.used + dropped, 3ull * QUEUE_MAX);
	while (queue_take(&queue, CLASS_FETCH, CLASS_LAST, &entry)) {
		wrong += entry.key.rank < before || queue_find(&queue, entry.ino);
		before = entry.key.rank;
	}
	ck_assert_uint_eq(wrong, 0);
	queue_clear(&queue);
}
END_TEST

/* --- a migration --- */

static void setup(void)
{
	world_by_segments(SEGSIZE);
	options.maxnsproc = options.maxdfproc = 2;
	options.resnsproc = options.resdfproc = 1;
	options.learn = false;
}

/* An application that looks into a directory, or reads the beginning of a file. */
static void touch(const char *path)
{
	if (subject_at(target.root_fd, path).is_dir)
		ck_assert_int_eq(app_names(path), 0);
	else
		ck_assert_int_ge(app_read(path, 0), 0);
}

static void set_order(const char *text)
{
	char error[512] = "";

	ck_assert_msg(migrate_set_order(migrate, text, error, sizeof(error)) == 0, "%s", error);
	AWAIT(!figures()->order.building);
}

static void in_turn(const unsigned *ids, size_t count)
{
	for (size_t i = 1; i < count; i++)
		ck_assert_msg(fake_objects[ids[i - 1]].turn && fake_objects[ids[i - 1]].turn < fake_objects[ids[i]].turn,
		              "object %u came as number %u, object %u as number %u", ids[i - 1], fake_objects[ids[i - 1]].turn,
		              ids[i], fake_objects[ids[i]].turn);
}

#define IN_TURN(...) in_turn((unsigned[]){__VA_ARGS__}, sizeof((unsigned[]){__VA_ARGS__}) / sizeof(unsigned))

/* --- the order --- */

/* a..h: directories 1..8; in each a directory "sub" (11..18) with a file "file" (21..28). */
static void eight_dirs(void)
{
	static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};

	for (unsigned i = 0; i < 8; i++) {
		fake_dir(1 + i, 0, names[i]);
		fake_dir(11 + i, 1 + i, "sub");
		fake_file(21 + i, 11 + i, "file", 10 * SEGSIZE);
	}
}

START_TEST(first_goes_down_at_once)
{
	eight_dirs();
	options.order = "first /f/sub/**; first /c/**; last /a/**";
	world_open();
	await_complete();
	IN_TURN(0, 6, 16, 5); /* but for what is in the workers hands already */
	IN_TURN(6, 3, 13, 7);
	IN_TURN(13, 18); /* all others before the last */
	ck_assert_uint_gt(fake_objects[11].turn, fake_objects[28].turn);
	IN_TURN(26, 23);                                   /* the files, too */
	ck_assert_uint_eq(figures()->order.done_first, 7); /* the way, two trees */
	ck_assert_uint_eq(figures()->order.done_last, 2);
	world_close();
}
END_TEST

START_TEST(small_files_first)
{
	static const uint64_t segments[] = {5, 9, 1, 7, 3, 8};

	for (unsigned i = 0; i < 6; i++)
		fake_file(1 + i, 0, (const char *const[]){"a", "b", "c", "d", "e", "f"}[i], segments[i] * SEGSIZE);
	options.order = "small";
	world_open();
	await_complete();
	IN_TURN(3, 5, 1, 4, 6, 2);
	world_close();
}
END_TEST

START_TEST(new_files_first_within_a_clause)
{
	for (unsigned i = 0; i < 6; i++) /* the larger the number, the newer */
		fake_file(1 + i, 0, (const char *const[]){"a.x", "b", "c.x", "d.l", "e", "f.l"}[i], SEGSIZE);
	options.order = "last *.l; first *.x; new";
	world_open();
	await_complete();
	IN_TURN(3, 1, 5, 2, 6, 4);
	world_close();
}
END_TEST

START_TEST(small_files_come_with_their_directory_in_their_turn)
{
	fake_file(1, 0, "a.iso", 10);
	fake_file(2, 0, "b", 20);
	fake_dir(3, 0, "dir");
	fake_file(4, 3, "c", 30);
	options.order = "last *.iso";
	options.fill_with_dir = 1 << 20;
	world_open();
	await_complete();
	IN_TURN(2, 3, 4, 1);
	ck_assert_uint_eq(figures()->order.done_last, 1);
	world_close();
}
END_TEST

START_TEST(the_order_changes_while_it_runs)
{
	eight_dirs();
	options.paused = true;
	world_open();
	touch("");
	touch("a");
	touch("e");
	touch("a/sub");
	touch("e/sub");
	fake_begin_turns();
	set_order("first /e/**; last /a /b");
	ck_assert_uint_eq(figures()->order.waiting_first, 1);
	ck_assert_uint_eq(figures()->order.waiting_last, 2);
	migrate_pause(migrate, false);
	await_complete();
	IN_TURN(3, 2); /* c before b */
	IN_TURN(25, 23, 21);
	set_order("");
	ck_assert_str_eq(figures()->order.rules, "found");
	world_close();
}
END_TEST

START_TEST(a_wrong_order_changes_nothing)
{
	char error[512] = "";

	options.order = "small";
	world_open();
	ck_assert_int_eq(migrate_set_order(migrate, "first *.c; last", error, sizeof(error)), -EINVAL);
	ck_assert_msg(strstr(error, "clause 2"), "%s", error);
	ck_assert_int_eq(migrate_set_order(migrate, "first @/does/not/exist", error, sizeof(error)), -ENOENT);
	ck_assert_str_eq(figures()->order.rules, "small");
	world_close();
}
END_TEST

START_TEST(a_restart_keeps_the_order)
{
	for (unsigned i = 0; i < 6; i++)
		fake_file(1 + i, 0, (const char *const[]){"a", "b", "c", "d", "e", "f"}[i], (6 - i) * SEGSIZE);
	fake_dir(10, 0, "z");
	options.paused = true;
	options.order = "last f; small";
	world_open();
	touch("");
	world_close();
	options.paused = false;
	world_open();
	await_complete();
	IN_TURN(5, 4, 3, 2, 1, 6);
	ck_assert_uint_lt(fake_objects[10].turn, fake_objects[6].turn);
	world_close();
}
END_TEST

START_TEST(the_last_comes_when_it_fills_the_backlog)
{
	for (unsigned i = 0; i < 8; i++)
		fake_file(1 + i, 0, (const char *const[]){"a", "b", "c", "d", "e", "f", "g", "h"}[i], SEGSIZE);
	fake_dir(20, 0, "z");
	fake_file(21, 20, "y", SEGSIZE);
	options.backlog_high = 8;
	options.backlog_low = 4;
	options.order = "last /?";
	world_open();
	await_complete();
	world_close();
}
END_TEST

/* --- what is skipped --- */

static unsigned skips;

static int see_error(void *context, const struct error_record *record)
{
	const char **paths = context;

	ck_assert_str_eq(record->what, "skip");
	ck_assert_int_eq(record->state, ERROR_WAIVED);
	ck_assert_msg(strstr(*paths, record->path), "%s", record->path);
	skips++;
	return 0;
}

START_TEST(skipped_names_do_not_come_over)
{
	const char *wanted = "scratch/a d/core";
	char message[256];

	skips = 0;
	fake_dir(1, 0, "scratch");
	fake_dir(2, 1, "a");
	fake_file(3, 2, "x", SEGSIZE);
	fake_dir(4, 0, "d");
	fake_file(5, 4, "core", SEGSIZE);
	fake_file(6, 4, "kept", SEGSIZE);
	fake_dir(7, 1, "keep");
	fake_file(8, 7, "y", SEGSIZE);
	options.order = "first /scratch/keep/**; skip /scratch/**; skip core";
	world_open();
	await_complete();
	ck_assert_int_eq(faccessat(target.root_fd, "scratch", F_OK, 0), 0);
	ck_assert_int_eq(faccessat(target.root_fd, "scratch/keep/y", F_OK, 0), 0);
	ck_assert_int_eq(faccessat(target.root_fd, "scratch/a", F_OK, 0), -1);
	ck_assert_int_eq(faccessat(target.root_fd, "d/core", F_OK, 0), -1);
	ck_assert_int_eq(faccessat(target.root_fd, "d/kept", F_OK, 0), 0);
	ck_assert_int_eq(store_errors_walk(store, see_error, &wanted), 0);
	ck_assert_uint_eq(skips, 2); /* of scratch/a its top */
	ck_assert_int_eq(figures()->totals.skipped, 2);
	ck_assert_int_eq(figures()->totals.files_found, 2);
	ck_assert_int_eq(migrate_check_finished(migrate, message, sizeof(message)), 0);
	world_close();
}
END_TEST

START_TEST(what_is_visible_is_never_taken_away)
{
	fake_dir(1, 0, "scratch");
	fake_dir(2, 1, "a");
	fake_file(3, 1, "x", SEGSIZE);
	fake_file(4, 0, "core", SEGSIZE);
	options.paused = true;
	world_open();
	touch("");
	set_order("skip /scratch; skip core");
	migrate_pause(migrate, false);
	await_complete();
	ck_assert_int_eq(faccessat(target.root_fd, "core", F_OK, 0), 0);
	ck_assert_uint_gt(fake_objects[4].reads, 0);
	ck_assert_int_eq(faccessat(target.root_fd, "scratch", F_OK, 0), 0);
	ck_assert_int_eq(faccessat(target.root_fd, "scratch/x", F_OK, 0), -1); /* was not populated when that was set */
	ck_assert_int_eq(figures()->totals.skipped, 2);
	world_close();
}
END_TEST

/* --- learning --- */

START_TEST(what_lies_beside_comes_sooner)
{
	fake_dir(1, 0, "a");
	fake_dir(2, 0, "b");
	for (unsigned i = 0; i < 4; i++) {
		fake_file(11 + i, 1, (const char *const[]){"p", "q", "r", "s"}[i], 2 * SEGSIZE);
		fake_file(21 + i, 2, (const char *const[]){"p", "q", "r", "s"}[i], 2 * SEGSIZE);
	}
	fake_dir(30, 2, "sub");
	fake_dir(31, 1, "sub");
	options.paused = true;
	world_open();
	touch("");
	touch("a");
	touch("b");
	ck_assert_uint_eq(figures()->order.raised, 0); /* it is off */
	migrate_set_learn(migrate, true);
	touch("b/q");
	AWAIT(figures()->order.raised == 5 || figures()->order.raised == 4);
	migrate_pause(migrate, false);
	await_complete();
	for (unsigned i = 0; i < 4; i++)
		ck_assert_uint_gt(fake_objects[11 + i].turn, fake_objects[24].turn);
	IN_TURN(30, 31);
	ck_assert_uint_ge(figures()->order.done_raised, 4);
	world_close();
}
END_TEST

/* --- fetching --- */

static uint32_t fetch(const char *path)
{
	uint32_t number;
	char error[256] = "";

	ck_assert_msg(migrate_fetch(migrate, &path, 1, &number, error, sizeof(error)) == 0, "%s", error);
	return number;
}

static struct fetch_status *status_of(uint32_t number)
{
	static struct fetch_status status;

	fetch_status_free(&status);
	ck_assert_int_eq(migrate_fetch_status(migrate, number, &status), 0);
	return &status;
}

START_TEST(a_tree_is_fetched_and_nothing_else)
{
	eight_dirs();
	options.background = false;
	world_open();
	uint32_t number = fetch("d/sub");
	AWAIT(status_of(number)->state == FETCH_DONE);
	ck_assert_uint_eq(status_of(number)->files_done, 1);
	ck_assert_uint_eq(status_of(number)->files_found, 1);
	ck_assert_uint_eq(status_of(number)->bytes_done, 10 * SEGSIZE);
	ck_assert_uint_eq(status_of(number)->errors_total, 0);
	ck_assert_uint_eq(fake_objects[3].opens + fake_objects[5].opens, 0);
	ck_assert_int_eq(figures()->totals.files_migrated, 1);
	ck_assert(!order_in_use(migrate));

	number = fetch("e/sub/file");
	AWAIT(status_of(number)->state == FETCH_DONE);
	ck_assert_uint_eq(status_of(number)->files_done, 1);
	number = fetch("");
	AWAIT(status_of(number)->state == FETCH_DONE);
	ck_assert_int_eq(figures()->totals.files_migrated, 8);
	ck_assert_int_eq(migrate_fetch_status(migrate, 99, &(struct fetch_status){0}), -ENOENT);
	fetch_status_free(status_of(number));
	world_close();
}
END_TEST

START_TEST(a_fetch_tells_what_it_could_not_bring)
{
	fake_dir(1, 0, "a");
	fake_file(2, 1, "bad", SEGSIZE);
	fake_file(3, 1, "good", SEGSIZE);
	fake_objects[2].read_error = -EIO;
	fake_objects[2].failures = 1000;
	options.background = false;
	world_open();
	uint32_t number = fetch("a");
	AWAIT(status_of(number)->state == FETCH_DONE);
	struct fetch_status *status = status_of(number);
	ck_assert_uint_eq(status->files_done, 1);
	ck_assert_uint_eq(status->errors_total, 1);
	ck_assert_str_eq(status->errors[0].path, "a/bad");
	ck_assert_int_eq(status->errors[0].error, EIO);
	number = fetch("a/none");
	AWAIT(status_of(number)->state == FETCH_DONE);
	ck_assert_uint_eq(status_of(number)->errors_total, 1);
	ck_assert_int_eq(status_of(number)->errors[0].error, ENOENT);
	fetch_status_free(status_of(number));
	world_close();
}
END_TEST

START_TEST(a_fetch_comes_before_the_background)
{
	eight_dirs();
	options.paused = true;
	world_open();
	touch("");
	uint32_t number = fetch("h");
	AWAIT(figures()->order.waiting_fetch == 1);
	ck_assert(status_of(number)->paused);
	migrate_pause(migrate, false);
	AWAIT(status_of(number)->state == FETCH_DONE);
	await_complete();
	IN_TURN(8, 18, 28, 27);
	ck_assert_uint_lt(fake_objects[18].turn, 8); /* at most what was in the workers' hands already came before */
	fetch_status_free(status_of(number));
	world_close();
}
END_TEST

START_TEST(where_tells_the_clause)
{
	struct where_report report = {0};

	for (unsigned i = 0; i < 4; i++)
		fake_file(1 + i, 0, (const char *const[]){"a", "b", "c", "d.iso"}[i], (1 + i) * SEGSIZE);
	options.paused = true;
	options.order = "last *.iso; small";
	world_open();
	touch("");
	AWAIT(figures()->order.waiting_last == 1);
	CLEAN_FD int fd = openat(target.root_fd, "d.iso", O_PATH);
	ck_assert_int_eq(migrate_where(migrate, fd, &report), 0);
	ck_assert_str_eq(report.order_class, "last");
	ck_assert_str_eq(report.clause, "last '*.iso'");
	ck_assert_int_eq(report.ahead, 3);
	free(report.ranges);
	world_close();
}
END_TEST

static void add_order_tests(TCase *tcase)
{
	const TTest *const tests[] = {
		first_goes_down_at_once,
		small_files_first,
		new_files_first_within_a_clause,
		small_files_come_with_their_directory_in_their_turn,
		the_order_changes_while_it_runs,
		a_wrong_order_changes_nothing,
		a_restart_keeps_the_order,
		the_last_comes_when_it_fills_the_backlog,
		skipped_names_do_not_come_over,
		what_is_visible_is_never_taken_away,
		what_lies_beside_comes_sooner,
		a_tree_is_fetched_and_nothing_else,
		a_fetch_tells_what_it_could_not_bring,
		a_fetch_comes_before_the_background,
		where_tells_the_clause,
	};

	for (size_t i = 0; i < sizeof(tests) / sizeof(*tests); i++)
		tcase_add_test(tcase, tests[i]);
}

int main(void)
{
	Suite *suite = suite_create("migrate_order");
	TCase *queue = tcase_create("queue");

	tcase_set_timeout(queue, 60);
	tcase_add_test(queue, queue_gives_the_first);
	tcase_add_test(queue, queue_tells_who_comes_before);
	tcase_add_test(queue, queue_is_bounded_and_gives_up_the_last);
	suite_add_tcase(suite, queue);
	if (world_is_possible())
		add_order_tests(world_case(suite, "order", setup));
	return world_run(suite);
}
