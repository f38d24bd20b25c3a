/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The migrator between a source in memory, a real directory and a real state: what applications may rely on, step by step, and
 * after the process has died between two steps.
 */
#include "migrate/custody.h"
#include "migrate_world.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fault.h"
#include "target/gone.h"
#include "target/make.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#ifndef ASKED_AHEAD
#define ASKED_AHEAD false
#endif

#define SEGSIZE 4096u

static void setup(void)
{
	fake_ahead = fake_tells = ASKED_AHEAD;
	world_by_segments(SEGSIZE);
	options.background = false;
	store_options.linger_ms = 50;
}

/* --- what applications do --- */

static int do_punch(int fd, uint64_t off, uint64_t len)
{
	return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)len);
}

static int do_times(int fd, uint64_t off, uint64_t len)
{
	struct timespec times[2] = {{.tv_sec = 7, .tv_nsec = 8}, {.tv_sec = 77, .tv_nsec = 88}};
	return futimens(fd, times);
}

static int do_fail(int fd, uint64_t off, uint64_t len)
{
	write_mine(fd, off, len / 2);
	errno = ENOSPC;
	return -1;
}

/* [off, off+len) is the source's, or the application's. */
static void expect(const char *path, unsigned id, uint64_t off, uint64_t len, bool mine)
{
	for (uint64_t at = off; at < off + len; at += at % 61 == 0 || at + 61 >= off + len ? 1 : 61 - at % 61)
		ck_assert_msg(app_read(path, at) == (mine ? MINE : fake_byte(id, at)), "%s: byte %d is %d, not %s", path, (int)at,
		              app_read(path, at), mine ? "the application's" : "the source's");
}

/* --- I2, step by step --- */

static void steps_partial_write(void)
{
	ck_assert_int_eq(app_names(""), 0);
	ck_assert_int_eq(app_write("file", 100, 50), 0);
}

START_TEST(partial_write_survives)
{
	fake_file(1, 0, "file", 3 * SEGSIZE + 10);
	world_crash(steps_partial_write);
	world_complete();
	expect("file", 1, 0, 100, false);
	expect("file", 1, 100, 50, true);
	expect("file", 1, 150, 3 * SEGSIZE - 140, false);
	ck_assert_int_eq(fake_objects[1].reads, 3); /* the segment that was written is not asked for again */
	world_close();
}
END_TEST

static void steps_whole_write(void)
{
	ck_assert_int_eq(app_names(""), 0);
	ck_assert_int_eq(app_write("file", SEGSIZE, 2 * SEGSIZE), 0);
	ck_assert_int_eq(app_write("file", 3 * SEGSIZE, 10), 0); /* the last segment is whole although it is short */
	ck_assert_uint_eq(fake_objects[1].reads, 0);
}

START_TEST(whole_write_needs_no_source)
{
	fake_file(1, 0, "file", 3 * SEGSIZE + 10);
	world_crash(steps_whole_write);
	world_complete();
	expect("file", 1, 0, SEGSIZE, false);
	expect("file", 1, SEGSIZE, 2 * SEGSIZE + 10, true);
	world_close();
}
END_TEST

static void steps_cut_and_extend(void)
{
	ck_assert_int_eq(app_names(""), 0);
	ck_assert_int_eq(app_resize("file", 100), 0);
	ck_assert_int_eq(app_resize("file", 3 * SEGSIZE), 0);
}

START_TEST(what_was_cut_stays_cut)
{
	fake_file(1, 0, "file", 3 * SEGSIZE);
	world_crash(steps_cut_and_extend);
	world_complete();
	expect("file", 1, 0, 100, false);
	expect("file", 1, 100, 3 * SEGSIZE - 100, true);
	world_close();
}
END_TEST

static int cut_behind_the_back(const char *path, off_t size)
{
	CLEAN_FD int fd = openat(target.root_fd, path, O_RDWR | O_CLOEXEC);
	return ftruncate(fd, size);
}

/* As if killed between ftruncate(2) and the record. */
static void steps_cut_without_record(void)
{
	ck_assert_int_eq(app_names(""), 0);
	ck_assert_int_eq(app_write("file", 2 * SEGSIZE, 1), 0); /* the record is released */
	ck_assert_int_eq(cut_behind_the_back("file", 0), 0);
	ck_assert_int_eq(cut_behind_the_back("other", SEGSIZE + 1), 0);
}

START_TEST(a_cut_without_record_is_seen)
{
	fake_file(1, 0, "file", 3 * SEGSIZE);
	fake_file(2, 0, "other", 3 * SEGSIZE);
	world_crash(steps_cut_without_record);
	world_complete();
	ck_assert_int_eq(size_of("file"), 0);
	ck_assert_int_eq(size_of("other"), SEGSIZE + 1);
	expect("other", 2, 0, SEGSIZE + 1, false);
	world_close();
}
END_TEST

static void steps_punch(void)
{
	ck_assert_int_eq(app_names(""), 0);
	ck_assert_int_eq(app_change("file", EVENT_PUNCH, 100, 2 * SEGSIZE, do_punch), 0);
	ck_assert_uint_eq(fake_objects[1].reads, 2); /* both edges, not the middle */
}

START_TEST(a_hole_needs_its_edges)
{
	fake_file(1, 0, "file", 4 * SEGSIZE);
	world_crash(steps_punch);
	world_complete();
	expect("file", 1, 0, 100, false);
	expect("file", 1, 100, 2 * SEGSIZE, true);
	expect("file", 1, 2 * SEGSIZE + 100, 2 * SEGSIZE - 100, false);
	world_close();
}
END_TEST

START_TEST(a_failed_write_takes_nothing)
{
	fake_file(1, 0, "file", SEGSIZE + 100);
	world_open();
	ck_assert_int_eq(app_names(""), 0);
	ck_assert_int_eq(app_write("file", SEGSIZE + 100, 50), 0); /* appended: above the limit */
	ck_assert_int_eq(app_change("file", EVENT_WRITE, SEGSIZE, 100, do_fail), -ENOSPC);
	expect("file", 1, SEGSIZE, 100, false);
	expect("file", 1, SEGSIZE + 100, 50, true);
	ck_assert_int_eq(size_of("file"), SEGSIZE + 150);
	world_close();
}
END_TEST

static void steps_times(void)
{
	ck_assert_int_eq(app_names(""), 0);
	ck_assert_int_ge(app_read("file", 0), 0); /* all is here: the record is on its way out */
	ck_assert_int_eq(app_change("file", EVENT_TIMES, 1, 0, do_times), 0);
	ck_assert_int_eq(app_change("large", EVENT_TIMES, 1, 0, do_times), 0);
}

START_TEST(times_that_were_set_stay)
{
	struct stat st;

	fake_file(1, 0, "file", 10);
	fake_file(2, 0, "large", 5 * SEGSIZE);
	fake_file(3, 0, "untouched", 5 * SEGSIZE);
	world_crash(steps_times);
	world_complete();
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(fstatat(target.root_fd, i ? "file" : "large", &st, 0), 0);
		ck_assert_int_eq(st.st_mtim.tv_sec, 77);
		ck_assert_int_eq(st.st_mtim.tv_nsec, 88);
	}
	ck_assert_int_eq(fstatat(target.root_fd, "untouched", &st, 0), 0);
	ck_assert_int_eq(st.st_mtim.tv_sec, 1000003);
	ck_assert_int_eq(st.st_mtim.tv_nsec, 123456703);
	world_close();
}
END_TEST

/* --- removal and inode numbers --- */

static void app_unlink(const char *path)
{
	struct subject subject = subject_at(target.root_fd, path);
	struct stat st;

	ck_assert_int_eq(fstatat(target.root_fd, path, &st, 0), 0);
	ck_assert_int_eq(unlinkat(target.root_fd, path, 0), 0);
	monitor_begin(&monitor, &subject, &(struct event){.kind = EVENT_REMOVED, .off = st.st_nlink - 1, .fd = -1}, NULL, NULL);
}

static void steps_unlink(void)
{
	ck_assert_int_eq(app_names(""), 0);
	for (int i = 0; i < 8; i++) {
		char name[16];
		snprintf(name, sizeof(name), "f%d", i);
		app_unlink(name);
	}
}

START_TEST(stale_records_are_counted_once)
{
	static char file_names[8][16];

	for (unsigned i = 0; i < 8; i++) {
		snprintf(file_names[i], sizeof(file_names[i]), "f%u", i);
		fake_file(1 + i, 0, file_names[i], 2 * SEGSIZE);
	}
	fake_dir(20, 0, "dir"); /* whose files get the inode numbers again */
	for (unsigned i = 0; i < 8; i++)
		fake_file(21 + i, 20, file_names[i], 2 * SEGSIZE);
	world_crash(steps_unlink);
	world_complete();
	for (unsigned i = 0; i < 8; i++) {
		char path[32];
		snprintf(path, sizeof(path), "dir/f%u", i);
		expect(path, 21 + i, 0, 2 * SEGSIZE, false);
	}
	world_close();
}
END_TEST

/* --- a stale handle on a file system that is doubted --- */

static void put_file(const char *path, const char *text)
{
	CLEAN_FD int fd = open(scratch_path(path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* From here on an inode that is gone looks as one does that the disk cannot read. */
static void meet_errors(void)
{
	static char sysfs[512];
	char path[600];

	snprintf(sysfs, sizeof(sysfs), "%s", scratch_path("sys"));
	mkdir(sysfs, 0700);
	mkdir(scratch_path("sys/dev"), 0700);
	mkdir(scratch_path("sys/dev/block"), 0700);
	mkdir(scratch_path("sys/fs"), 0700);
	mkdir(scratch_path("sys/fs/ext4"), 0700);
	mkdir(scratch_path("sys/fs/ext4/disk"), 0700);
	snprintf(path, sizeof(path), "%s/dev/block/%u:%u", sysfs, major(target.dev), minor(target.dev));
	ck_assert(symlink("../../devices/disk", path) == 0 || errno == EEXIST);
	put_file("sys/fs/ext4/disk/errors_count", "3\n");
	target.fs_type = EXT4_SUPER_MAGIC;
	target_trust(&target, sysfs);
	ck_assert_int_eq(target.fs_errors, 3);
	put_file("sys/fs/ext4/disk/errors_count", "4\n");
}

static int count_unreadable(void *context, const struct error_record *record)
{
	ck_assert_int_eq(record->error, EIO);
	++*(unsigned *)context;
	return 0;
}

START_TEST(what_cannot_be_read_is_not_gone)
{
	char message[256];
	struct dir_record *dir;
	struct file_record *file;
	unsigned told = 0;

	fake_dir(1, 0, "dir");
	fake_file(2, 0, "file", 2 * SEGSIZE);
	options.error_retries = 0;
	world_open();
	ck_assert_int_eq(app_names(""), 0);
	struct subject gone_dir = subject_at(target.root_fd, "dir"), gone_file = subject_at(target.root_fd, "file");
	world_close();

	world_open();
	ck_assert_int_eq(unlinkat(target.root_fd, "dir", AT_REMOVEDIR), 0);
	ck_assert_int_eq(unlinkat(target.root_fd, "file", 0), 0);
	meet_errors();
	options.background = true;
	ck_assert_int_eq(migrate_tune(migrate, &options), 0);
	AWAIT(ledger_count(&migrate->ledger) == 2);
	ck_assert_int_lt(migrate_check_finished(migrate, message, sizeof(message)), 0);
	store_flush(store);
	ck_assert_int_gt(store_dir_get(store, gone_dir.ino, &dir), 0);
	dir_record_free(dir);
	ck_assert_int_gt(store_file_get(store, gone_file.ino, &file), 0);
	file_record_free(file);
	ck_assert_int_ge(store_errors_walk(store, count_unreadable, &told), 0);
	ck_assert_uint_eq(told, 2);
	world_close();

	world_complete(); /* believed again by a new start, and then they are gone */
	ck_assert_uint_eq(ledger_count(&migrate->ledger), 0);
	world_close();
}
END_TEST

/* A number that has a new owner is no longer the old one's, in whatever state the file system is. */
START_TEST(a_number_with_a_new_owner_is_believed)
{
	static char file_names[8][16];

	for (unsigned i = 0; i < 8; i++) {
		snprintf(file_names[i], sizeof(file_names[i]), "f%u", i);
		fake_file(1 + i, 0, file_names[i], 2 * SEGSIZE);
	}
	fake_dir(20, 0, "dir");
	for (unsigned i = 0; i < 8; i++)
		fake_file(21 + i, 20, file_names[i], 2 * SEGSIZE);
	world_open();
	ck_assert_int_eq(app_names(""), 0);
	for (unsigned i = 0; i < 8; i++) /* a mark that the next file must not inherit */
		expect(file_names[i], 1 + i, 0, SEGSIZE, false);
	world_close();

	world_open();
	for (unsigned i = 0; i < 8; i++)
		ck_assert_int_eq(unlinkat(target.root_fd, file_names[i], 0), 0);
	meet_errors();
	ck_assert_int_eq(app_names("dir"), 0);
	world_close();
	world_complete();
	for (unsigned i = 0; i < 8; i++) {
		char path[32];
		snprintf(path, sizeof(path), "dir/f%u", i);
		expect(path, 21 + i, 0, 2 * SEGSIZE, false);
	}
	world_close();
}
END_TEST

/* --- files with several names --- */

static void steps_links(void)
{
	ck_assert_int_eq(app_names(""), 0);
	ck_assert_int_eq(app_names("a"), 0);
	ck_assert_int_eq(app_write("a/one", 0, 10), 0);
	app_unlink("a/one");
}

START_TEST(links_join_wherever_they_are)
{
	struct stat x, y;

	fake_dir(1, 0, "a");
	fake_dir(2, 0, "b");
	fake_dir(3, 0, "c");
	fake_file(10, 1, "one", 2 * SEGSIZE);
	fake_link(10, 2, "two");
	fake_link(10, 2, "three");
	fake_link(10, 3, "four");
	world_crash(steps_links);
	world_complete();
	ck_assert_int_lt(size_of("a/one"), 0);
	expect("c/four", 10, 0, 10, true);
	expect("c/four", 10, 10, 2 * SEGSIZE - 10, false);
	ck_assert_int_eq(fstatat(target.root_fd, "b/two", &x, 0), 0);
	ck_assert_int_eq(fstatat(target.root_fd, "c/four", &y, 0), 0);
	ck_assert_uint_eq(x.st_ino, y.st_ino);
	ck_assert_uint_eq(x.st_nlink, 3);
	world_close();
}
END_TEST

/* --- failures --- */

START_TEST(errors_are_retried_and_clear)
{
	struct where_report report = {0};

	fake_file(1, 0, "file", 2 * SEGSIZE);
	fake_objects[1].read_error = -EIO;
	fake_objects[1].failures = 2; /* the application's attempt, and the first of the background's */
	world_open();
	ck_assert_int_eq(app_names(""), 0);
	ck_assert_int_eq(app_read("file", 0), -EIO);
	store_flush(store);
	CLEAN_FD int fd = openat(target.root_fd, "file", O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(migrate_where(migrate, fd, &report), 0);
	ck_assert_int_eq(report.error, EIO);
	free(report.ranges);
	world_close();
	world_complete();
	expect("file", 1, 0, 2 * SEGSIZE, false);
	ck_assert_uint_eq(ledger_count(&migrate->ledger), 0);
	world_close();
}
END_TEST

static bool file_is_recorded(uint64_t ino)
{
	struct file_record *record;
	int result = store_file_get(store, ino, &record);

	ck_assert_int_ge(result, 0);
	if (result > 0)
		file_record_free(record);
	return result > 0;
}

/* Without a pause: what is to go with it has gone at the same moment. */
static void await_end_of_record(uint64_t ino)
{
	uint64_t until_ns = clock_monotonic_ns() + 50 * NS_PER_S;

	while (file_is_recorded(ino))
		ck_assert_uint_lt(clock_monotonic_ns(), until_ns);
}

static int take_id(void *context, const struct error_record *record)
{
	*(uint64_t *)context = record->id;
	return 0;
}

/* A kill between the two would leave an entry that never clears, and that when it is waived counts for another file. */
START_TEST(an_entry_goes_with_the_record)
{
	uint64_t id = 0;

	fake_file(1, 0, "file", SEGSIZE);
	fake_objects[1].read_error = -EIO;
	fake_objects[1].failures = 1;
	options.error_retries = 0;
	world_open();
	ck_assert_int_eq(app_names(""), 0);
	ck_assert_int_eq(app_read("file", 0), -EIO);
	ck_assert_int_eq(store_flush(store), 0);
	uint64_t ino = subject_at(target.root_fd, "file").ino;
	ck_assert_int_eq(store_errors_walk(store, take_id, &id), 0);
	ck_assert_uint_ne(id, 0);
	ck_assert(file_is_recorded(ino));
	AWAIT(app_read("file", 0) == fake_byte(1, 0)); /* a failure is told for a while without another attempt */
	await_end_of_record(ino);
	id = 0;
	ck_assert_int_eq(store_errors_walk(store, take_id, &id), 0);
	ck_assert_uint_eq(id, 0);
	world_close();
}
END_TEST

/* What a verification finds is a file's that has no record any more: its waiver is no other file's. */
START_TEST(a_waiver_is_for_its_own_file)
{
	struct decision_result decided;
	char message[512] = "";
	uint64_t id = 0;

	fake_file(1, 0, "damaged", SEGSIZE);
	fake_file(2, 0, "absent", SEGSIZE);
	world_open();
	ck_assert_int_eq(app_names(""), 0);
	ck_assert_int_eq(app_read("damaged", 0), fake_byte(1, 0));
	struct subject damaged = subject_at(target.root_fd, "damaged");
	await_end_of_record(damaged.ino);
	ck_assert_int_eq(store_flush(store), 0);
	ledger_error(
		&migrate->ledger,
		&(struct failure){
			.ino = damaged.ino, .handle = &damaged.handle, .what = VERIFY_WHAT, .error = -EBADMSG, .final = true});
	ck_assert_int_eq(store_flush(store), 0);
	ck_assert_int_eq(migrate_errors(migrate, take_id, &id), 0);
	ck_assert_int_eq(migrate_decide(migrate, DECIDE_WAIVE, &(struct error_target){.id = id}, 1, &decided), 0);
	AWAIT(figures()->crawl_done);
	ck_assert_int_eq(figures()->totals.files_pending, 1);
	ck_assert_int_eq(migrate_check_finished(migrate, message, sizeof(message)), -EINPROGRESS);
	ck_assert_int_eq(app_read("absent", 0), fake_byte(2, 0));
	await_end_of_record(subject_at(target.root_fd, "absent").ino);
	ck_assert_int_eq(store_flush(store), 0);
	ck_assert_msg(migrate_check_finished(migrate, message, sizeof(message)) == 0, "%s", message);
	world_close();
}
END_TEST

static struct where_range first_range(int fd)
{
	struct where_report report = {0};

	ck_assert_int_eq(migrate_where(migrate, fd, &report), 0);
	struct where_range range = report.ranges[0];
	free(report.ranges);
	return range;
}

static bool four_are_resident(int fd)
{
	struct where_range range = first_range(fd);

	ck_assert_uint_eq(range.len % (4 * SEGSIZE), 0); /* the next ones may have been read ahead */
	return range.kind == WHERE_RESIDENT;
}

/* What can change while it runs does. */
START_TEST(tuned_while_it_runs)
{
	fake_dir(1, 0, "one");
	fake_dir(2, 0, "two");
	fake_file(3, 1, "file", 8 * SEGSIZE);
	fake_file(4, 2, "file", 8 * SEGSIZE);
	world_open();
	ck_assert_int_eq(app_names(""), 0);
	ck_assert_int_eq(app_names("one"), 0);
	options.segsize = 4 * SEGSIZE;
	options.maxdfproc = 3;
	options.resdfproc = 2;
	options.maxnsproc = 20;
	ck_assert_int_eq(migrate_tune(migrate, &options), 0);
	ck_assert_int_eq(app_names("two"), 0);
	expect("one/file", 3, SEGSIZE, 1, false);
	expect("two/file", 4, SEGSIZE, 1, false);
	CLEAN_FD int fd = openat(target.root_fd, "two/file", O_RDONLY | O_CLOEXEC);
	AWAIT(four_are_resident(fd)); /* the reader was answered before the segment was written */
	options.maxdfproc = 2;
	ck_assert_int_eq(migrate_tune(migrate, &options), -EINVAL); /* no more than the reserve */
	options.maxdfproc = 3;
	options.background = true;
	ck_assert_int_eq(migrate_tune(migrate, &options), 0);
	await_complete();
	ck_assert_uint_eq(figures()->segsize, 4 * SEGSIZE);
	expect("one/file", 3, 0, 8 * SEGSIZE, false);
	world_close();
}
END_TEST

/* On and off again, all the time: it still comes to its end. */
START_TEST(background_comes_and_goes)
{
	for (unsigned i = 1; i <= 30; i++) {
		fake_dir(2 * i, i > 1 ? 2 * i - 2 : 0, "dir");
		fake_file(2 * i + 1, 2 * i, "file", 2 * SEGSIZE);
	}
	world_open();
	for (int i = 0; i < 60; i++) {
		options.background = i % 2 == 0;
		ck_assert_int_eq(migrate_tune(migrate, &options), 0);
		usleep(5000);
	}
	world_close();
	world_complete();
	world_close();
}
END_TEST

START_TEST(what_vanished_at_the_source_is_an_error)
{
	char message[256];

	fake_file(1, 0, "file", 2 * SEGSIZE);
	fake_dir(2, 0, "dir");
	fake_objects[1].open_error = -ESTALE;
	fake_objects[2].open_error = -ESTALE;
	options.background = true;
	options.error_retries = 0;
	world_open();
	ck_assert_int_eq(app_names(""), 0);
	ck_assert_int_eq(app_read("file", 0), -EIO);
	ck_assert_int_eq(app_names("dir"), -EIO);
	ck_assert_int_eq(migrate_check_finished(migrate, message, sizeof(message)), -EINPROGRESS);
	ck_assert_int_eq(figures()->totals.files_error, 1);
	ck_assert_int_eq(figures()->totals.dirs_error, 1);
	world_close();
	fake_objects[1].open_error = fake_objects[2].open_error = 0; /* it is back */
	world_complete();
	ck_assert_int_eq(fake_byte(1, 0), app_read("file", 0));
	world_close();
}
END_TEST

START_TEST(a_whole_write_does_not_need_a_source_that_fails)
{
	fake_file(1, 0, "file", 2 * SEGSIZE);
	fake_objects[1].read_error = -EIO;
	fake_objects[1].failures = 1000;
	world_open();
	ck_assert_int_eq(app_names(""), 0);
	ck_assert_int_eq(app_read("file", 0), -EIO);
	ck_assert_int_eq(app_write("file", 0, 2 * SEGSIZE), 0);
	ck_assert_int_eq(app_read("file", 0), MINE);
	world_close();
	world_complete();
	world_close();
}
END_TEST

/* --- names that are there already --- */

START_TEST(leftovers_of_an_attempt_go)
{
	fake_file(1, 0, "file", 10);
	put_file("target/file", "half of an attempt");
	put_file("target/gone", "from the source since");
	world_complete();
	expect("file", 1, 0, 10, false);
	ck_assert_int_eq(size_of("file"), 10);
	ck_assert_int_lt(size_of("gone"), 0);
	world_close();
}
END_TEST

START_TEST(collision_overwrite)
{
	options.collision = COLLISION_OVERWRITE;
	fake_file(1, 0, "file", 10);
	put_file("target/file", "the administrator's");
	put_file("target/other", "the administrator's");
	world_complete();
	expect("file", 1, 0, 10, false);
	ck_assert_int_eq(size_of("other"), 19);
	world_close();
}
END_TEST

static int count_losses(void *context, const struct error_record *record)
{
	ck_assert_int_eq(record->state, ERROR_WAIVED);
	if (strcmp(record->what, "owner") == 0)
		++((int *)context)[0];
	if (strcmp(record->what, "set-id") == 0)
		++((int *)context)[1];
	return 0;
}

/* It becomes root's, and nobody gets root's rights by it. */
START_TEST(an_owner_that_cannot_be_told)
{
	int losses[2] = {0};
	struct stat st;

	fake_file(1, 0, "file", 10);
	fake_file(2, 0, "owned", 10);
	fake_objects[1].no_owner = true;
	fake_objects[1].mode |= 06000;
	fake_objects[2].mode |= 06000;
	world_complete();
	expect("file", 1, 0, 10, false);
	ck_assert_int_eq(stat(scratch_path("target/file"), &st), 0);
	ck_assert_uint_eq(st.st_mode & 07000, 0);
	ck_assert_int_eq(stat(scratch_path("target/owned"), &st), 0);
	ck_assert_uint_eq(st.st_mode & 07000, 06000);
	ck_assert_int_ge(store_errors_walk(store, count_losses, losses), 0);
	ck_assert_int_eq(losses[0], 1);
	ck_assert_int_eq(losses[1], 1);
	world_close();
}
END_TEST

struct told {
	unsigned losses, limits;
};

static int count_told(void *context, const struct error_record *record)
{
	struct told *told = context;

	told->losses += record->kind == ERROR_LOSS && strcmp(record->what, "streams") == 0 && *record->detail;
	told->limits += record->kind == ERROR_PROTOCOL && strcmp(record->what, "xattr") == 0;
	ck_assert_int_eq(record->state, ERROR_WAIVED);
	return 0;
}

/* Of objects each, the root too; of the way to the source once, however often a daemon starts, and in no list of errors. */
START_TEST(what_a_source_cannot_bring_is_told)
{
	struct told told = {0}, errors = {0};

	fake_file(1, 0, "file", 10);
	fake_objects[0].loss = fake_objects[1].loss = "streams";
	fake_limit = "xattr";
	world_complete();
	world_close();
	world_open();
	ck_assert_int_ge(migrate_errors_after(migrate, 0, count_told, &told), 0);
	ck_assert_uint_eq(told.losses, 2);
	ck_assert_uint_eq(told.limits, 1);
	ck_assert_int_ge(migrate_errors(migrate, count_told, &errors), 0);
	ck_assert_uint_eq(errors.losses, 2);
	ck_assert_uint_eq(errors.limits, 0);
	world_close();
}
END_TEST

START_TEST(collision_rename)
{
	options.collision = COLLISION_RENAME;
	fake_file(1, 0, "file", 10);
	fake_dir(2, 0, "dir");
	fake_file(3, 2, "inside", 10);
	put_file("target/file", "the administrator's");
	ck_assert_int_eq(mkdir(scratch_path("target/dir"), 0700), 0);
	put_file("target/dir/inside", "the administrator's");
	world_complete();
	expect("file", 1, 0, 10, false);
	expect("dir/inside", 3, 0, 10, false);
	ck_assert_int_eq(size_of("file.collision-1"), 19);
	ck_assert_int_eq(size_of("dir/inside.collision-1"), 19);
	world_close();
}
END_TEST

/* --- reading ahead --- */

static bool is_more_than_read(int fd)
{
	struct where_range range = first_range(fd);

	return range.kind == WHERE_RESIDENT && range.len > 4 * SEGSIZE;
}

START_TEST(sequential_reads_run_ahead)
{
	fake_file(1, 0, "file", 64 * SEGSIZE);
	world_open();
	ck_assert_int_eq(app_names(""), 0);
	for (unsigned s = 0; s < 4; s++)
		ck_assert_int_eq(app_read("file", s * SEGSIZE), fake_byte(1, s * SEGSIZE));
	CLEAN_FD int fd = openat(target.root_fd, "file", O_RDONLY | O_CLOEXEC);
	AWAIT(is_more_than_read(fd));
	ck_assert_int_eq(app_read("file", 50 * SEGSIZE), fake_byte(1, 50 * SEGSIZE)); /* a jump ends it */
	world_close();
}
END_TEST

static struct digest digest_of_fake(unsigned id, uint64_t size)
{
	struct digest sum = {0};
	unsigned char bytes[SEGSIZE];

	for (uint64_t at = 0; at < size; at += SEGSIZE) {
		size_t len = size - at < SEGSIZE ? size - at : SEGSIZE;
		for (size_t i = 0; i < len; i++)
			bytes[i] = fake_byte(id, at + i);
		struct digest one = digest_of_segment(bytes, len, at / SEGSIZE);
		digest_add(&sum, &one);
	}
	return sum;
}

static bool is_finished(uint64_t ino)
{
	ck_assert_int_eq(store_flush(store), 0);
	return !file_is_recorded(ino);
}

/* 1: the file has this digest and the record fits the file; 0: it has none. */
static int has_digest(const char *path, unsigned id, uint64_t size)
{
	struct digest_record record;
	struct digest wanted = digest_of_fake(id, size);
	struct stat st;

	ck_assert_int_eq(fstatat(target.root_fd, path, &st, AT_SYMLINK_NOFOLLOW), 0);
	AWAIT(is_finished(st.st_ino)); /* readers are answered before their bytes are stored */
	ck_assert_int_eq(fstatat(target.root_fd, path, &st, AT_SYMLINK_NOFOLLOW), 0);
	int found = store_digest_get(store, st.st_ino, &record);
	if (found <= 0)
		return found;
	struct handle handle = subject_at(target.root_fd, path).handle;
	ck_assert_msg(digest_equal(&record.digest, &wanted), "%s: the digest is not that of the source", path);
	ck_assert(handle_equal(&record.handle, &handle));
	ck_assert(record.size == size && record.mtime.sec == st.st_mtim.tv_sec && record.mtime.nsec == st.st_mtim.tv_nsec);
	if (st.st_nlink == 1) /* else more names may have come since */
		ck_assert(record.ctime.sec == st.st_ctim.tv_sec && record.ctime.nsec == st.st_ctim.tv_nsec);
	return 1;
}

static void read_some_segments(void)
{
	ck_assert_int_eq(app_names(""), 0);
	for (unsigned s = 7; s >= 4; s--)
		ck_assert_int_eq(app_read("file", s * SEGSIZE), fake_byte(1, s * SEGSIZE));
	ck_assert_int_eq(store_flush(store), 0);
	ck_assert_int_eq(app_read("file", 0), fake_byte(1, 0)); /* on the target, perhaps not on record */
}

static void read_the_rest(const char *path, unsigned id, uint64_t size)
{
	for (uint64_t at = 0; at < size; at += SEGSIZE)
		ck_assert_int_eq(app_read(path, at), fake_byte(id, at));
}

START_TEST(a_digest_of_what_came_over)
{
	fake_file(1, 0, "file", 9 * SEGSIZE + 100);
	fake_file(2, 0, "changed", 2 * SEGSIZE);
	fake_file(3, 0, "linked", SEGSIZE + 1);
	fake_link(3, 0, "again");
	world_crash(read_some_segments);
	world_open();
	ck_assert_int_eq(app_names(""), 0);
	read_the_rest("file", 1, 9 * SEGSIZE + 100);
	ck_assert_int_eq(has_digest("file", 1, 9 * SEGSIZE + 100), 1);
	ck_assert_int_eq(app_change("changed", EVENT_WRITE, 0, 10, write_mine), 0);
	ck_assert_int_eq(app_read("changed", SEGSIZE), fake_byte(2, SEGSIZE));
	ck_assert_int_eq(has_digest("changed", 2, 2 * SEGSIZE), 0);
	read_the_rest("linked", 3, SEGSIZE + 1);
	ck_assert_int_eq(has_digest("again", 3, SEGSIZE + 1), 1);
	world_close();
}
END_TEST

/* Small files that come with their directory, in buffers that do not fit the segments. */
START_TEST(a_digest_of_what_came_with_its_directory)
{
	options.fill_with_dir = 1 << 20;
	fake_file(1, 0, "one", 10);
	fake_file(2, 0, "other", 100 * SEGSIZE + 5);
	fake_file(3, 0, "nothing", 0);
	world_complete();
	ck_assert_int_eq(has_digest("one", 1, 10), 1);
	ck_assert_int_eq(has_digest("other", 2, 100 * SEGSIZE + 5), 1);
	ck_assert_int_eq(has_digest("nothing", 3, 0), 0);
	world_close();
}
END_TEST

START_TEST(no_digests_when_none_are_wanted)
{
	options.digests = false;
	options.fill_with_dir = 10;
	fake_file(1, 0, "one", 10);
	fake_file(2, 0, "other", 100 * SEGSIZE + 5);
	world_complete();
	struct digest_record none;
	ck_assert_int_eq(store_digests_after(store, 0, &none, 1), 0);
	world_close();
}
END_TEST

/* --- the source changes: drift=refetch --- */

#define BEFORE (5 * SEGSIZE + 10)

/* What somebody at the source makes of file 1: other bytes, another size. */
static void turn(uint64_t size)
{
	fake_objects[1].turned = 20;
	fake_objects[1].size = size;
	fake_objects[1].mtime = 2000000;
	fake_objects[1].uid = 1234;
	fake_objects[1].mode = S_IFREG | 0600;
}

static void expect_renewed(uint64_t size)
{
	struct stat st;

	world_complete();
	ck_assert_int_eq(size_of("file"), size);
	expect("file", 21, 0, size, false);
	ck_assert_int_eq(fstatat(target.root_fd, "file", &st, 0), 0);
	ck_assert_int_eq(st.st_mtim.tv_sec, 2000000);
	ck_assert(st.st_uid == 1234 && (st.st_mode & 07777) == 0600);
	ck_assert_int_eq(has_digest("file", 21, size), size > 0);
}

static uint64_t drift_found(void)
{
	struct totals totals;

	ck_assert_int_eq(store_flush(store), 0);
	store_totals(store, &totals);
	return (uint64_t)totals.drift_found;
}

/* Who asked for a segment is answered before it is on record. */
static void bring_segment(uint64_t segment)
{
	uint64_t ino = subject_at(target.root_fd, "file").ino, until_ns = clock_monotonic_ns() + 50 * NS_PER_S;
	uint8_t map[8] = {0};

	ck_assert_int_eq(app_read("file", segment * SEGSIZE), fake_byte(1, segment * SEGSIZE));
	while (!segment_get(map, segment)) {
		ck_assert_uint_lt(clock_monotonic_ns(), until_ns);
		ck_assert_int_eq(store_flush(store), 0);
		ck_assert_int_ge(store_segments_get(store, ino, map, BEFORE / SEGSIZE), 0);
	}
}

/* Two segments of the old state are here when it changes. */
static void steps_old_state(void)
{
	ck_assert_int_eq(app_names(""), 0);
	bring_segment(0);
	bring_segment(3);
}

static const uint64_t sizes_after[] = {BEFORE, BEFORE + 1, 40 * SEGSIZE, SEGSIZE + 1, 7, 0};

START_TEST(what_changed_comes_anew)
{
	uint64_t size = sizes_after[_i];

	options.drift = DRIFT_REFETCH;
	fake_file(1, 0, "file", BEFORE);
	world_crash(steps_old_state);
	turn(size);
	expect_renewed(size);
	ck_assert_uint_eq(drift_found(), 1);
	world_close();
}
END_TEST

static void steps_fault(void)
{
	ck_assert_int_eq(app_names(""), 0);
	bring_segment(0);
	bring_segment(3);
	migrate_stop(migrate); /* with what it reads ahead: that would find the change before the fault is armed */
	turn(sizes_after[fake_objects[9].size]);
	world_start();
	ck_assert_int_eq(fault_arm_from_environment(), 0);
	int got = app_read("file", 2 * SEGSIZE); /* does not return: the process ends at the fault */
	store_flush(store);                      /* or here, when the commit is not waited for */
	ck_abort_msg("the fault point was not hit: %d", got);
}

static const char *const renew_faults[] = {"renew-recorded:1", "renew-emptied:1", "commit-barrier:1", "commit-done:1"};

START_TEST(what_comes_anew_survives_a_kill)
{
	unsigned sizes = sizeof(sizes_after) / sizeof(*sizes_after);

	options.drift = DRIFT_REFETCH;
	fake_file(1, 0, "file", BEFORE);
	fake_objects[9].size = (uint64_t)_i % sizes; /* to the child */
	ck_assert_int_eq(setenv("DMMFS_FAULT", renew_faults[(unsigned)_i / sizes], 1), 0);
	world_crash(steps_fault);
	unsetenv("DMMFS_FAULT");
	turn(sizes_after[(unsigned)_i % sizes]);
	expect_renewed(sizes_after[(unsigned)_i % sizes]);
	world_close();
}
END_TEST

static atomic_uint renewals;

static void note_renewal(void *context, const struct handle *file)
{
	renewals++;
}

static void *read_last_segment(void *context)
{
	*(int *)context = app_read("file", SEGSIZE);
	return NULL;
}

/* What the kernel has of a file is forgotten when it comes anew: who reads afterwards must not get, and cache, what a slow fetch had
 * read before. */
START_TEST(what_was_read_before_it_came_anew_is_told_to_nobody)
{
	pthread_t reader;
	int byte = -1;

	options.drift = DRIFT_REFETCH;
	fake_file(1, 0, "file", 2 * SEGSIZE);
	world_open();
	migrate_on_renew(migrate, note_renewal, NULL);
	ck_assert_int_eq(app_names(""), 0);
	fake_objects[1].hold_from = SEGSIZE;
	ck_assert_int_eq(pthread_create(&reader, NULL, read_last_segment, &byte), 0);
	AWAIT(fake_objects[1].held);
	turn(2 * SEGSIZE);
	ck_assert_int_eq(app_read("file", 0), fake_byte(21, 0));
	AWAIT(renewals);
	AWAIT(figures()->demand_waiting == 1);
	fake_objects[1].hold_from = 0;
	pthread_join(reader, NULL);
	ck_assert_int_eq(byte, fake_byte(21, SEGSIZE));
	world_close();
}
END_TEST

/* A worker of the background that is stuck with one segment has claimed others, too: who needs those does not wait for the one. */
START_TEST(demand_takes_over_what_the_background_has_not_come_to)
{
	fake_file(1, 0, "file", 40 * SEGSIZE);
	fake_objects[1].hold_from = SEGSIZE;
	fake_objects[1].hold_to = 2 * SEGSIZE;
	options.background = true;
	world_open();
	ck_assert_int_eq(app_names(""), 0);
	AWAIT(fake_objects[1].held);
	for (unsigned i = 0; i < 40; i++)
		if (i != 1)
			ck_assert_int_eq(app_read("file", i * SEGSIZE + 7), fake_byte(1, i * SEGSIZE + 7));
	ck_assert_uint_eq(fake_objects[1].held, 1);
	fake_objects[1].hold_from = 0;
	world_close();
	world_complete();
	ck_assert_uint_eq(fake_begun, 0);
	expect("file", 1, 0, 40 * SEGSIZE, false);
	world_close();
}
END_TEST

/* However large a file is, no more of it is on its way than its workers may have. */
START_TEST(what_is_on_its_way_is_bounded)
{
	fake_file(1, 0, "file", 1000 * SEGSIZE);
	world_complete();
	ck_assert_uint_eq(fake_begun, 0);
	ck_assert_uint_le(fake_begun_most, WINDOW_WORKERS * WINDOW_DEPTH_MOST);
	ck_assert_uint_eq(fake_begun_most > 1, ASKED_AHEAD);
	ck_assert_uint_eq(migrate->window.bytes, 0);
	world_close();
}
END_TEST

/* The source fails below a worker that has begun to read what follows: that is told once, and nothing is left claimed. */
START_TEST(a_failure_among_reads_that_were_begun)
{
	fake_file(1, 0, "file", 60 * SEGSIZE);
	fake_objects[1].read_error = -EIO;
	fake_objects[1].fail_from = 20 * SEGSIZE;
	fake_objects[1].failures = 1;
	world_complete();
	ck_assert_uint_eq(fake_begun, 0);
	expect("file", 1, 0, 60 * SEGSIZE, false);
	world_close();
}
END_TEST

/* One round trip to a source that tells of the file with its data; whoever does not is asked before anybody sees them. */
START_TEST(the_first_bytes_are_looked_at)
{
	fake_tells = _i == 0;
	fake_file(1, 0, "file", BEFORE);
	world_open();
	ck_assert_int_eq(app_names(""), 0);
	ck_assert_int_eq(app_read("file", 3 * SEGSIZE), fake_byte(1, 3 * SEGSIZE));
	ck_assert_uint_eq(fake_objects[1].looks, fake_tells ? 0 : 1);
	world_close();
}
END_TEST

static const enum drift drifts[] = {DRIFT_REPORT, DRIFT_REFETCH, DRIFT_FAIL};

/* And when they show that it changed nobody sees them before that is dealt with. */
START_TEST(first_bytes_of_another_state_are_not_told)
{
	options.drift = drifts[(unsigned)_i / 2];
	fake_tells = _i % 2 == 0;
	fake_file(1, 0, "file", BEFORE);
	world_open();
	ck_assert_int_eq(app_names(""), 0);
	turn(BEFORE);
	int got = app_read("file", 3 * SEGSIZE);
	if (options.drift == DRIFT_FAIL)
		ck_assert_int_eq(got, -EIO);
	else
		ck_assert_int_eq(got, fake_byte(21, 3 * SEGSIZE));
	if (options.drift != DRIFT_FAIL)
		ck_assert_uint_eq(drift_found(), 1);
	ck_assert_uint_eq(fake_objects[1].reads > 1, options.drift != DRIFT_FAIL); /* once more, now that it is known */
	world_close();
}
END_TEST

/* Who was let go on, and reads the target while it is emptied, finds another epoch, and asks again. */
START_TEST(who_reads_while_it_is_emptied_is_told)
{
	unsigned char byte = 1;

	options.drift = DRIFT_REFETCH;
	fake_file(1, 0, "file", BEFORE);
	world_crash(steps_old_state);
	turn(BEFORE);
	world_open();
	struct subject subject = subject_at(target.root_fd, "file");
	uint64_t epoch = monitor_epoch(&monitor, &subject);
	ck_assert_int_eq(app_read("file", 4 * SEGSIZE), fake_byte(21, 4 * SEGSIZE)); /* finds the change */
	CLEAN_FD int fd = openat(target.root_fd, "file", O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(pread(fd, &byte, 1, 0), 1);
	ck_assert_int_ne(byte, fake_byte(1, 0)); /* it went away */
	ck_assert_uint_ne(monitor_epoch(&monitor, &subject), epoch);
	ck_assert_int_eq(app_read("file", 0), fake_byte(21, 0));
	world_close();
}
END_TEST

static void steps_own(void)
{
	steps_old_state();
	ck_assert_int_eq(app_write("file", 3 * SEGSIZE, 100), 0);
}

/* I2: a file that an application changed stays what it made of it. */
START_TEST(what_an_application_changed_does_not_come_anew)
{
	options.drift = DRIFT_REFETCH;
	fake_file(1, 0, "file", BEFORE);
	world_crash(steps_own);
	turn(BEFORE);
	world_complete();
	expect("file", 1, 0, SEGSIZE, false);
	expect("file", 1, 3 * SEGSIZE + 100, SEGSIZE - 100, false);
	expect("file", 1, 3 * SEGSIZE, 100, true);
	expect("file", 21, 2 * SEGSIZE, SEGSIZE, false); /* what had not come */
	ck_assert_uint_eq(drift_found(), 1);
	world_close();
}
END_TEST

static int do_chmod(int fd, uint64_t off, uint64_t len)
{
	return fchmod(fd, 0604);
}

static void steps_own_attributes(void)
{
	steps_old_state();
	ck_assert_int_eq(app_change("file", EVENT_CHANGE, 0, 0, do_chmod), 0);
	ck_assert_int_eq(app_change("file", EVENT_TIMES, 1, 0, do_times), 0);
}

START_TEST(attributes_that_were_set_stay)
{
	struct stat st;

	options.drift = DRIFT_REFETCH;
	fake_file(1, 0, "file", BEFORE);
	world_crash(steps_own_attributes);
	turn(SEGSIZE);
	world_complete();
	ck_assert_int_eq(size_of("file"), SEGSIZE);
	expect("file", 21, 0, SEGSIZE, false);
	ck_assert_int_eq(fstatat(target.root_fd, "file", &st, 0), 0);
	ck_assert_int_eq(st.st_mtim.tv_sec, 77);
	ck_assert_int_eq(st.st_mode & 07777, 0604);
	ck_assert_int_eq(st.st_uid, 0);
	world_close();
}
END_TEST

/* Of two sources: what the second cannot give again is not taken away. */
START_TEST(attributes_that_cannot_be_had_again_stay)
{
	char value[8];

	options.drift = DRIFT_REFETCH;
	fake_file(1, 0, "file", BEFORE);
	fake_objects[1].xattr = "user.DOSATTRIB";
	fake_objects[1].xattr_bytes = 4;
	world_crash(steps_old_state);
	turn(BEFORE);
	fake_objects[1].second_error = EACCES;
	world_open();
	ck_assert_int_lt(app_read("file", 2 * SEGSIZE), 0);
	CLEAN_FD int fd = openat(target.root_fd, "file", O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(fgetxattr(fd, "user.DOSATTRIB", value, sizeof(value)), 4);
	fake_objects[1].second_error = 0;
	world_close();
	expect_renewed(BEFORE);
	world_close();
}
END_TEST

/* One that never rests is brought anew a few times, and then left. */
START_TEST(a_restless_file_comes_to_an_end)
{
	options.drift = DRIFT_REFETCH;
	fake_file(1, 0, "file", BEFORE);
	fake_objects[1].restless = 1000;
	world_complete();
	expect("file", 1, 0, BEFORE, false);
	ck_assert_uint_ge(drift_found(), FILE_RENEWALS_MAX + 1);
	ck_assert_uint_gt(fake_objects[1].restless, 900);
	world_close();
}
END_TEST

static int take_drift(void *context, const struct error_record *record)
{
	if (record->kind == ERROR_DRIFT)
		snprintf(context, 256, "%s", record->detail);
	return 0;
}

static int take_acl_loss(void *context, const struct error_record *record)
{
	*(unsigned *)context += strcmp(record->what, "system.nfs4_acl") == 0 && strstr(record->detail, TARGET_NFS4_ACL) != NULL;
	return 0;
}

/* What nothing here enforces is not thrown away. */
START_TEST(an_nfs4_acl_is_kept)
{
	unsigned losses = 0;
	char value[64];

	fake_file(1, 0, "file", 10);
	fake_objects[1].xattr = "system.nfs4_acl";
	fake_objects[1].xattr_bytes = 40;
	world_complete();
	ck_assert_int_eq(getxattr(scratch_path("target/file"), TARGET_NFS4_ACL, value, sizeof(value)), 40);
	ck_assert_int_eq(store_flush(store), 0);
	ck_assert_int_eq(store_errors_walk(store, take_acl_loss, &losses), 0);
	ck_assert_uint_eq(losses, 1);
	world_close();
}
END_TEST

/* A name that comes while the directory is listed is not missed. */
START_TEST(a_directory_that_changes_is_listed_again)
{
	char detail[256] = "";

	fake_dir(1, 0, "dir");
	fake_dir(4, 0, "quiet");
	fake_file(6, 4, "still", 10);
	fake_file(3, 1, "gone", 0);
	fake_objects[1].late = 2;
	world_complete();
	ck_assert_int_eq(size_of("dir/late"), 100);
	expect("dir/late", 2, 0, 100, false);
	ck_assert_int_eq(size_of("dir/gone"), 0);
	ck_assert_int_eq(store_flush(store), 0);
	ck_assert_int_eq(store_errors_walk(store, take_drift, detail), 0);
	ck_assert_msg(strstr(detail, "1 names came and are here, 1 went"), "%s", detail);
	ck_assert_uint_eq(drift_found(), 1);
	ck_assert_uint_eq(fake_objects[4].opens, 1);
	world_close();
}
END_TEST

/* Its names come once, and those that another listing began with are no error. */
START_TEST(a_listing_that_is_lost_is_begun_anew)
{
	fake_dir(1, 0, "dir");
	fake_file(2, 1, "file", 10);
	fake_file(3, 1, "other", 20);
	fake_objects[1].lost = 2;
	world_complete();
	expect("dir/file", 2, 0, 10, false);
	expect("dir/other", 3, 0, 20, false);
	ck_assert_uint_eq(fake_objects[1].lost, 0);
	ck_assert_uint_eq(fake_objects[1].opens, 3);
	world_close();
}
END_TEST

/* What fails for want of a connection is an entry here, not the listing: to pass over its name in another one would lose it. */
START_TEST(an_entry_that_fails_is_no_lost_listing)
{
	fake_dir(1, 0, "dir");
	fake_file(2, 1, "file", 10);
	fake_file(3, 1, "other", 20);
	fake_objects[2].xattr = "user.x";
	fake_objects[2].xattr_bytes = 1;
	fake_objects[2].second_error = -ENOTCONN;
	world_open();
	ck_assert_int_eq(app_names(""), 0);
	ck_assert_int_eq(app_names("dir"), -ENOTCONN);
	world_close();
	fake_objects[2].second_error = 0;
	world_complete();
	expect("dir/file", 2, 0, 10, false);
	expect("dir/other", 3, 0, 20, false);
	world_close();
}
END_TEST

/* One that never comes to its end is an error of that directory, after a few. */
START_TEST(a_listing_that_is_always_lost_is_an_error)
{
	fake_dir(1, 0, "dir");
	fake_file(2, 1, "file", 10);
	fake_objects[1].lost = 1000;
	options.error_retries = 0;
	world_open();
	ck_assert_int_eq(app_names(""), 0);
	ck_assert_int_eq(app_names("dir"), -ENOTCONN);
	world_close();
	fake_objects[1].lost = 0;
	world_complete();
	expect("dir/file", 2, 0, 10, false);
	world_close();
}
END_TEST

START_TEST(a_restless_directory_comes_to_an_end)
{
	char detail[256] = "";

	fake_dir(1, 0, "dir");
	fake_file(2, 1, "file", 10);
	fake_objects[1].restless = 1000;
	world_complete();
	expect("dir/file", 2, 0, 10, false);
	ck_assert_int_eq(store_flush(store), 0);
	ck_assert_int_eq(store_errors_walk(store, take_drift, detail), 0);
	ck_assert_msg(strstr(detail, "goes on changing"), "%s", detail);
	ck_assert_uint_gt(fake_objects[1].restless, 900);
	world_close();
}
END_TEST

static void add_drift(TCase *tcase)
{
	int sizes = sizeof(sizes_after) / sizeof(*sizes_after), faults = sizeof(renew_faults) / sizeof(*renew_faults);

	tcase_add_test(tcase, demand_takes_over_what_the_background_has_not_come_to);
	tcase_add_test(tcase, what_is_on_its_way_is_bounded);
	tcase_add_test(tcase, a_failure_among_reads_that_were_begun);
	tcase_add_loop_test(tcase, the_first_bytes_are_looked_at, 0, 2);
	tcase_add_loop_test(tcase, first_bytes_of_another_state_are_not_told, 0, 6);
	tcase_add_loop_test(tcase, what_changed_comes_anew, 0, sizes);
	tcase_add_loop_test(tcase, what_comes_anew_survives_a_kill, 0, sizes * faults);
	tcase_add_test(tcase, what_was_read_before_it_came_anew_is_told_to_nobody);
	tcase_add_test(tcase, who_reads_while_it_is_emptied_is_told);
	tcase_add_test(tcase, what_an_application_changed_does_not_come_anew);
	tcase_add_test(tcase, attributes_that_were_set_stay);
	tcase_add_test(tcase, attributes_that_cannot_be_had_again_stay);
	tcase_add_test(tcase, a_restless_file_comes_to_an_end);
	tcase_add_test(tcase, a_directory_that_changes_is_listed_again);
	tcase_add_test(tcase, a_restless_directory_comes_to_an_end);
	tcase_add_test(tcase, a_listing_that_is_lost_is_begun_anew);
	tcase_add_test(tcase, a_listing_that_is_always_lost_is_an_error);
	tcase_add_test(tcase, an_entry_that_fails_is_no_lost_listing);
	tcase_add_test(tcase, an_nfs4_acl_is_kept);
}

/* More entries than are asked for ahead at a time, of all kinds, one of which cannot be read at first. */
static char many_names[50][16];

static void steps_half_a_directory(void)
{
	options.background = true;
	usleep(20000);
}

START_TEST(a_directory_of_many)
{
	options.fill_with_dir = 1 << 20;
	for (unsigned id = 1; id < 50; id++) {
		snprintf(many_names[id], sizeof(many_names[id]), "name-%u", id);
		if (id % 7 == 0)
			fake_dir(id, 0, many_names[id]);
		else
			fake_file(id, 0, many_names[id], id % 5 == 0 ? 0 : id * 1001);
	}
	fake_objects[4].xattr = "user.test"; /* so sources have them */
	fake_objects[4].xattr_bytes = 10;
	fake_objects[8].read_error = -EIO;
	fake_objects[8].failures = 1;
	options.background = true;
	world_crash(steps_half_a_directory);
	world_complete();
	for (unsigned id = 1; id < 50; id++) {
		if (id % 7 == 0)
			continue;
		ck_assert_int_eq(size_of(many_names[id]), id % 5 == 0 ? 0 : id * 1001);
		if (id % 5)
			expect(many_names[id], id, 0, id * 1001, false);
	}
	CLEAN_FD int fd = openat(target.root_fd, "name-4", O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(fgetxattr(fd, "user.test", NULL, 0), 10);
	world_close();
}
END_TEST

static void add_all(TCase *tcase)
{
	tcase_add_test(tcase, a_directory_of_many);
	tcase_add_test(tcase, partial_write_survives);
	tcase_add_test(tcase, whole_write_needs_no_source);
	tcase_add_test(tcase, what_was_cut_stays_cut);
	tcase_add_test(tcase, a_cut_without_record_is_seen);
	tcase_add_test(tcase, a_hole_needs_its_edges);
	tcase_add_test(tcase, a_failed_write_takes_nothing);
	tcase_add_test(tcase, times_that_were_set_stay);
	tcase_add_test(tcase, stale_records_are_counted_once);
	tcase_add_test(tcase, what_cannot_be_read_is_not_gone);
	tcase_add_test(tcase, a_number_with_a_new_owner_is_believed);
	tcase_add_test(tcase, links_join_wherever_they_are);
	tcase_add_test(tcase, errors_are_retried_and_clear);
	tcase_add_test(tcase, an_entry_goes_with_the_record);
	tcase_add_test(tcase, a_waiver_is_for_its_own_file);
	tcase_add_test(tcase, tuned_while_it_runs);
	tcase_add_test(tcase, background_comes_and_goes);
	tcase_add_test(tcase, what_vanished_at_the_source_is_an_error);
	tcase_add_test(tcase, a_whole_write_does_not_need_a_source_that_fails);
	tcase_add_test(tcase, leftovers_of_an_attempt_go);
	tcase_add_test(tcase, collision_overwrite);
	tcase_add_test(tcase, an_owner_that_cannot_be_told);
	tcase_add_test(tcase, what_a_source_cannot_bring_is_told);
	tcase_add_test(tcase, collision_rename);
	tcase_add_test(tcase, sequential_reads_run_ahead);
	tcase_add_test(tcase, a_digest_of_what_came_over);
	tcase_add_test(tcase, a_digest_of_what_came_with_its_directory);
	tcase_add_test(tcase, no_digests_when_none_are_wanted);
	add_drift(tcase);
}

int main(void)
{
	if (!world_is_possible())
		return 77;
	Suite *suite = suite_create("migrate");
	add_all(world_case(suite, "migrate", setup));
	return world_run(suite);
}
