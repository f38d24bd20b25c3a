/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The store when things go wrong: full disks, failed syncs, a failed meta page, kills at every fault point, a map that is too
 * small, damaged files, hostile records, and two daemons at once.
 *
 * The system calls of LMDB are replaced by ones of this file that can be told to fail.
 */
#include "state/codec.h"
#include "state/store_private.h"
#include "state_fixture.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

/* --- the disk --- */

static atomic_int fail_sync, fail_write, fail_meta; /* errno, or 0 */
static atomic_uint failures_left;                   /* UINT_MAX: without end */

static int failing(atomic_int *which)
{
	int error = atomic_load(which);
	if (!error || failures_left == 0)
		return 0;
	if (failures_left != UINT32_MAX)
		failures_left--;
	errno = error;
	return -1;
}

int fdatasync(int fd)
{
	return failing(&fail_sync) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

/* By its name in the library: with 64 bit offsets the header calls it otherwise. */
ssize_t disk_pwrite(int fd, const void *bytes, size_t len, off_t off) __asm__("pwrite");

/* LMDB writes meta pages, and nothing else, in pieces of less than a page. */
ssize_t disk_pwrite(int fd, const void *bytes, size_t len, off_t off)
{
	if (failing(len < 4096 ? &fail_meta : &fail_write))
		return -1;
	return syscall(SYS_pwrite64, fd, bytes, len, off);
}

ssize_t writev(int fd, const struct iovec *pieces, int n)
{
	return failing(&fail_write) ? -1 : syscall(SYS_writev, fd, pieces, n);
}

/* --- helpers --- */

static atomic_int barrier_result;
static atomic_uint barriers, done, failed;
static atomic_int last_error;

static int barrier(void *context)
{
	barriers++;
	return atomic_exchange(&barrier_result, 0);
}

static void callback(void *context, int error)
{
	if (error) {
		last_error = error;
		failed++;
	} else
		done++;
}

static void setup(void)
{
	log_set_level(LOG_LEVEL_ERROR - 1); /* what goes wrong here is meant to */
	done = failed = barriers = failures_left = 0;
	fail_sync = fail_write = fail_meta = barrier_result = last_error = 0;
	state_dir_make();
	store = state_open(barrier, NULL, 0);
}

static void submit_file(uint64_t ino, uint64_t limit, unsigned flags)
{
	struct file_record file = file_of(ino);
	struct batch *batch = batch_new();
	file.limit = limit;
	batch_file_put(batch, &file);
	batch_totals_add(batch, &(struct totals){.files_found = 1});
	store_submit(store, batch, flags, callback, NULL);
}

static uint64_t limit_of(uint64_t ino)
{
	struct file_record *read;
	int found = store_file_get(store, ino, &read);
	ck_assert_int_ge(found, 0);
	uint64_t limit = found ? read->limit : 0;
	if (found)
		file_record_free(read);
	return limit;
}

static int64_t files_found(void)
{
	struct totals totals;
	store_totals(store, &totals);
	return totals.files_found;
}

/* --- a disk that recovers --- */

static void disk_fails_and_recovers(atomic_int *which, int error, unsigned times)
{
	submit_file(1, 1, SUBMIT_BARRIER);
	ck_assert_int_eq(store_flush(store), 0);
	unsigned barriers_before = barriers;
	failures_left = times;
	*which = error;
	submit_file(1, 2, SUBMIT_BARRIER);
	submit_file(2, 3, 0);
	uint64_t until_ns = clock_monotonic_ns() + 20 * NS_PER_S;
	while (store_trouble(store) == 0 && clock_monotonic_ns() < until_ns)
		usleep(1000);
	ck_assert_int_lt(store_trouble(store), 0);
	ck_assert_uint_eq(done, 1);
	ck_assert_uint_ge(store_backlog(store), 2);
	ck_assert_uint_eq(limit_of(1), 1); /* readers go on */
	submit_file(1, 4, 0);
	ck_assert_int_eq(store_flush(store), 0);
	*which = 0;
	ck_assert_uint_eq(done, 4);
	ck_assert_uint_eq(failed, 0);
	ck_assert_int_eq(store_trouble(store), 0);
	ck_assert_uint_gt(barriers - barriers_before, 1); /* run again */
	ck_assert_uint_eq(limit_of(1), 4);
	ck_assert_uint_eq(limit_of(2), 3);
	ck_assert_int_eq(files_found(), 4);
	state_reopen();
	ck_assert_uint_eq(limit_of(1), 4);
	ck_assert_int_eq(files_found(), 4);
}

START_TEST(test_disk_full_on_write)
{
	disk_fails_and_recovers(&fail_write, ENOSPC, 2);
}
END_TEST

START_TEST(test_quota_on_write)
{
	disk_fails_and_recovers(&fail_write, EDQUOT, 1);
}
END_TEST

START_TEST(test_error_on_sync)
{
	disk_fails_and_recovers(&fail_sync, EIO, 2);
}
END_TEST

/* LMDB calls this fatal and wants the environment opened anew. */
START_TEST(test_error_on_meta_page)
{
	disk_fails_and_recovers(&fail_meta, ENOSPC, 3);
}
END_TEST

START_TEST(test_barrier_interrupted)
{
	barrier_result = -EINTR;
	submit_file(1, 1, SUBMIT_BARRIER);
	ck_assert_int_eq(store_flush(store), 0);
	ck_assert_uint_eq(barriers, 2);
	ck_assert_uint_eq(limit_of(1), 1);
}
END_TEST

static void arm(const char *fault)
{
	setenv("DMMFS_FAULT", fault, 1);
	ck_assert_int_eq(fault_arm_from_environment(), 0);
}

START_TEST(test_fault_errors)
{
	arm("commit-barrier:1:ENOSPC");
	submit_file(1, 1, SUBMIT_BARRIER);
	ck_assert_int_eq(store_flush(store), 0);
	ck_assert_uint_eq(barriers, 2);
	/* It is in the database, though the attempt is said to have failed: not counted twice. */
	arm("commit-done:1:EIO");
	submit_file(1, 2, 0);
	struct error_record error = error_of(store_error_id(store));
	struct batch *batch = batch_new();
	batch_error_put(batch, &error);
	batch_totals_add(batch, &(struct totals){.files_found = 10});
	store_submit(store, batch, 0, callback, NULL);
	ck_assert_int_eq(store_flush(store), 0);
	ck_assert_int_eq(files_found(), 12);
	state_reopen();
	ck_assert_int_eq(files_found(), 12);
	ck_assert_uint_eq(limit_of(1), 2);
	ck_assert_uint_gt(store_error_id(store), error.id);
}
END_TEST

/* --- giving up --- */

/* The kernel forgets a failed write-back once it was reported: a second sync proves nothing. */
static void barrier_fails(int error)
{
	submit_file(1, 1, SUBMIT_BARRIER);
	ck_assert_int_eq(store_flush(store), 0);
	barrier_result = error;
	submit_file(1, 2, SUBMIT_BARRIER);
	ck_assert_int_eq(store_flush(store), error);
	ck_assert_int_eq(last_error, error);
	ck_assert_int_eq(store_trouble(store), error);
	submit_file(1, 3, 0);
	ck_assert_int_eq(store_flush(store), error);
	ck_assert_int_eq(last_error, -EIO);
	ck_assert_uint_eq(failed, 2);
	ck_assert_int_eq(store_meta_put(store, "a", "b"), -EIO);
	ck_assert_uint_eq(limit_of(1), 1);
	ck_assert_int_eq(files_found(), 1);
	state_reopen();
	ck_assert_uint_eq(limit_of(1), 1);
	ck_assert_int_eq(files_found(), 1);
	submit_file(1, 4, SUBMIT_BARRIER);
	ck_assert_int_eq(store_flush(store), 0);
}

START_TEST(test_barrier_fails)
{
	barrier_fails(-EIO);
}
END_TEST

START_TEST(test_barrier_disk_full)
{
	barrier_fails(-ENOSPC);
}
END_TEST

START_TEST(test_close_while_the_disk_is_full)
{
	failures_left = UINT32_MAX;
	fail_write = ENOSPC;
	submit_file(1, 1, 0);
	uint64_t start_ns = clock_monotonic_ns();
	store_close(store);
	ck_assert_uint_lt(clock_monotonic_ns() - start_ns, 30 * NS_PER_S);
	ck_assert_uint_eq(failed, 1);
	ck_assert_int_eq(last_error, -ENOSPC);
	fail_write = 0;
	store = state_open(barrier_none, NULL, 0);
	ck_assert_uint_eq(limit_of(1), 0);
}
END_TEST

/* --- kills --- */

static void kill_at(const char *fault, bool committed)
{
	store_close(store);
	pid_t child = fork();
	if (child == 0) {
		store = state_open(barrier, NULL, 0);
		arm(fault);
		submit_file(1, 5, SUBMIT_BARRIER);
		store_flush(store);
		_exit(0);
	}
	int status;
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	store = state_open(barrier, NULL, 0);
	ck_assert_uint_eq(limit_of(1), committed ? 5 : 0);
	ck_assert_int_eq(files_found(), committed ? 1 : 0);
	submit_file(2, 1, SUBMIT_BARRIER);
	ck_assert_int_eq(store_flush(store), 0);
}

START_TEST(test_kill_after_barrier)
{
	kill_at("commit-barrier:1", false);
}
END_TEST

START_TEST(test_kill_after_commit)
{
	kill_at("commit-done:1", true);
}
END_TEST

/* What was acknowledged before a kill at any moment is there, and nothing is there in part. */
START_TEST(test_kill_anywhere)
{
	int pipes[2];
	uint64_t before = 0;
	store_close(store);
	for (unsigned round = 0; round < 10; round++) {
		ck_assert_int_eq(pipe(pipes), 0);
		pid_t child = fork();
		if (child == 0) {
			store = state_open(barrier, NULL, 0);
			for (uint64_t i = 1;; i++) {
				struct batch *batch = batch_new();
				for (uint64_t ino = 1; ino <= 20; ino++) {
					struct file_record file = file_of(ino);
					file.limit = round * 1000000 + i;
					batch_file_put(batch, &file);
				}
				store_submit(store, batch, SUBMIT_URGENT, NULL, NULL);
				uint64_t acknowledged = round * 1000000 + i;
				if (store_flush(store) || write(pipes[1], &acknowledged, sizeof(acknowledged)) < 0)
					_exit(1);
			}
		}
		close(pipes[1]);
		usleep(20000 + 7000 * round);
		kill(child, SIGKILL);
		ck_assert_int_eq(waitpid(child, NULL, 0), child);
		uint64_t acknowledged = 0, next; /* 0: it was killed before its first */
		while (read(pipes[0], &next, sizeof(next)) == sizeof(next))
			acknowledged = next;
		close(pipes[0]);
		store = state_open(barrier, NULL, 0);
		uint64_t first = limit_of(1);
		if (acknowledged)
			ck_assert(first == acknowledged || first == acknowledged + 1);
		else
			ck_assert(first == before || first == round * 1000000 + 1);
		before = first;
		for (uint64_t ino = 2; ino <= 20; ino++)
			ck_assert_uint_eq(limit_of(ino), first);
		store_close(store);
	}
	store = state_open(barrier, NULL, 0);
}
END_TEST

/* --- the map --- */

static atomic_bool stop;
static atomic_bool misread;

static void *read_all_the_time(void *context)
{
	uint64_t inos[64];
	while (!stop) {
		struct file_record *record;
		int found = store_file_get(store, 1, &record);
		if (found == 1)
			file_record_free(record);
		if (found != 1 || store_files_after(store, 0, inos, 64) < 1)
			misread = true;
	}
	return NULL;
}

START_TEST(test_map_grows)
{
	struct store_options options = {.dir = state_dir, .barrier = barrier, .linger_ms = 0};
	char error[256];
	pthread_t readers[2];
	store_close(store);
	ck_assert_int_eq(store_open_sized(&options, 256 << 10, &store, error, sizeof(error)), 0);
	submit_file(1, 1, 0);
	ck_assert_int_eq(store_flush(store), 0);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&readers[i], NULL, read_all_the_time, NULL), 0);
	for (uint64_t ino = 2; ino <= 50000; ino++)
		submit_file(ino, ino, 0);
	ck_assert_int_eq(store_flush(store), 0);
	stop = true;
	for (int i = 0; i < 2; i++)
		pthread_join(readers[i], NULL);
	ck_assert(!misread);
	ck_assert_uint_eq(done, 50000);
	ck_assert_uint_eq(limit_of(50000), 50000);
	ck_assert_int_eq(files_found(), 50000);
	uint64_t bytes, commits;
	store_usage(store, &bytes, &commits);
	ck_assert_uint_gt(bytes, 4 << 20);
	state_reopen();
	ck_assert_uint_eq(limit_of(50000), 50000);
}
END_TEST

/* --- who may open it --- */

static int try_open(char *error, size_t error_size)
{
	struct store_options options = {.dir = state_dir, .barrier = barrier};
	struct store *other;
	int code = store_open(&options, &other, error, error_size);
	if (code == 0)
		store_close(other);
	return code;
}

START_TEST(test_one_daemon)
{
	char error[256] = "", pid[32];
	ck_assert_int_eq(try_open(error, sizeof(error)), -EBUSY);
	snprintf(pid, sizeof(pid), "process %d;", (int)getpid());
	ck_assert_msg(strstr(error, pid) != NULL, "%s", error);
	submit_file(1, 1, 0);
	ck_assert_int_eq(store_flush(store), 0); /* the first was not disturbed */
}
END_TEST

/* A predecessor that is just closing is waited for. */
START_TEST(test_predecessor)
{
	char error[256] = "";
	store_close(store);
	int fd = open(state_path("lock"), O_RDWR | O_CLOEXEC);
	ck_assert_int_eq(flock(fd, LOCK_EX), 0);
	pid_t child = fork();
	if (child == 0) {
		usleep(300000);
		_exit(0); /* gives the lock back */
	}
	close(fd);
	ck_assert_int_eq(try_open(error, sizeof(error)), 0);
	waitpid(child, NULL, 0);
	store = state_open(barrier, NULL, 0);
}
END_TEST

/* Writes into a database as somebody else would. */
static void write_raw(enum database database, const void *key_bytes, size_t key_len, const void *bytes, size_t len)
{
	MDB_txn *txn;
	MDB_val key = {key_len, (void *)(uintptr_t)key_bytes}, value = {len, (void *)(uintptr_t)bytes};
	ck_assert_int_eq(mdb_txn_begin(store->env, NULL, 0, &txn), 0);
	ck_assert_int_eq(mdb_put(txn, store->dbi[database], &key, &value, 0), 0);
	ck_assert_int_eq(mdb_txn_commit(txn), 0);
}

START_TEST(test_other_format)
{
	char error[256] = "";
	uint8_t version[8] = {STORE_FORMAT_VERSION + 1};
	write_raw(DB_META, "format", 6, version, sizeof(version));
	store_close(store);
	ck_assert_int_eq(try_open(error, sizeof(error)), -EPROTO);
	char wanted[64];
	snprintf(wanted, sizeof(wanted), "format version %d", STORE_FORMAT_VERSION + 1);
	ck_assert_msg(strstr(error, wanted) != NULL, "%s", error);
	store = NULL;
}
END_TEST

/* Nothing is truncated or deleted, whatever it is. */
static void refuse_contents(const uint8_t *bytes, size_t len)
{
	char error[512] = "";
	uint8_t *after = malloc(len + 1);
	int fd = open(state_path("data.mdb"), O_WRONLY | O_TRUNC);
	ck_assert_int_eq(write(fd, bytes, len), (ssize_t)len);
	close(fd);
	ck_assert_int_eq(try_open(error, sizeof(error)), -EBADMSG);
	ck_assert_msg(strstr(error, state_dir) != NULL, "%s", error);
	fd = open(state_path("data.mdb"), O_RDONLY);
	ck_assert_int_eq(read(fd, after, len + 1), (ssize_t)len);
	ck_assert_int_eq(memcmp(bytes, after, len), 0);
	close(fd);
	free(after);
}

START_TEST(test_damaged_file)
{
	static uint8_t bytes[40000];
	store_close(store);
	refuse_contents(bytes, 0);
	refuse_contents(bytes, 100);
	refuse_contents(bytes, sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 31 >> 3);
	refuse_contents(bytes, sizeof(bytes));
	unlink(state_path("data.mdb"));
	store = state_open(barrier, NULL, 0);
}
END_TEST

/* Cut off, as by a copy that was interrupted: not even read. */
START_TEST(test_truncated_file)
{
	char error[512] = "";
	struct stat st;
	for (uint64_t ino = 1; ino <= 30000; ino++)
		submit_file(ino, ino, 0);
	store_close(store);
	ck_assert_int_eq(stat(state_path("data.mdb"), &st), 0);
	ck_assert_int_gt(st.st_size, 3 << 20);
	store = NULL;
	ck_assert_int_eq(truncate(state_path("data.mdb"), st.st_size / 2), 0);
	ck_assert_int_eq(try_open(error, sizeof(error)), -EBADMSG);
	ck_assert_msg(strstr(error, "damaged") != NULL, "%s", error);
	ck_assert_int_eq(stat(state_path("data.mdb"), &st), 0);
	ck_assert_int_lt(st.st_size, 3 << 20);
}
END_TEST

/* LMDB does not write pages that a transaction took and gave back: a file may be a little shorter than its meta page says. */
START_TEST(test_short_file)
{
	store_close(store);
	store = NULL;
	for (int round = 0; round < 10; round++) {
		store = state_open(barrier, NULL, 0);
		unsigned seed = (unsigned)round;
		for (int i = 0; i < 5; i++) {
			struct batch *batch = batch_new();
			for (int n = 0; n < 50; n++) {
				static uint8_t source[10000];
				uint64_t ino = 1 + (uint64_t)rand_r(&seed) % 1000;
				struct file_record file = file_of(ino);
				file.source = (struct source_ref){.len = (uint16_t)(rand_r(&seed) % 10000), .bytes = source};
				if (rand_r(&seed) % 2)
					batch_file_put(batch, &file);
				else
					batch_file_delete(batch, ino);
			}
			state_commit(batch);
		}
		store_close(store);
		store = NULL;
	}
}
END_TEST

/* An LMDB file, but not ours. */
START_TEST(test_foreign_database)
{
	char error[512] = "";
	MDB_txn *txn;
	ck_assert_int_eq(mdb_txn_begin(store->env, NULL, 0, &txn), 0);
	ck_assert_int_eq(mdb_drop(txn, store->dbi[DB_META], 1), 0);
	ck_assert_int_eq(mdb_txn_commit(txn), 0);
	store_close(store);
	ck_assert_int_eq(try_open(error, sizeof(error)), -EBADMSG);
	ck_assert_uint_gt(strlen(error), 40);
	store = NULL;
}
END_TEST

/* What an interrupted creation leaves is none. */
START_TEST(test_interrupted_creation)
{
	store_close(store);
	ck_assert_int_eq(mkdir(state_path("new"), 0700), 0);
	ck_assert_int_eq(rename(state_path("data.mdb"), state_path("new/data.mdb")), 0);
	ck_assert_int_eq(truncate(state_path("new/data.mdb"), 5000), 0);
	store = state_open(barrier, NULL, 0);
	submit_file(1, 1, 0);
	ck_assert_int_eq(store_flush(store), 0);
	ck_assert_int_eq(access(state_path("new"), F_OK), -1);
}
END_TEST

/* Reads refuse what no encoder writes; a change that has to understand it makes the store give up. */
START_TEST(test_hostile_records)
{
	static const uint8_t ino_5[8] = {0, 0, 0, 0, 0, 0, 0, 5}, chunk_5[12] = {0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0};
	static const uint8_t link_5[16] = {[7] = 5, [15] = 5};
	struct file_record *file;
	struct dir_record *dir;
	struct error_record *error;
	struct link_record link;
	uint8_t bitmap[10];
	char value[64];
	submit_file(5, 1, 0);
	struct batch *batch = batch_new();
	batch_dir_put(batch, &(struct dir_record){.ino = 5});
	state_commit(batch);
	for (enum database database = DB_DIRS; database < DATABASES; database++) {
		const uint8_t *key = database == DB_SEGMENTS ? chunk_5 : database == DB_LINKS ? link_5 : ino_5;
		size_t len = database == DB_SEGMENTS ? 12 : database == DB_LINKS ? 16 : 8;
		write_raw(database, key, len, "rubbish", 7);
	}
	write_raw(DB_IDENTITY, "uuid", 4, "a\0b", 3);
	state_reopen(); /* counts are taken at the opening */
	ck_assert_int_eq(store_file_get(store, 5, &file), -EBADMSG);
	ck_assert_int_eq(store_dir_get(store, 5, &dir), -EBADMSG);
	ck_assert_int_eq(store_error_get(store, 5, &error), -EBADMSG);
	ck_assert_int_eq(store_link_get(store, 5, 5, &link), -EBADMSG);
	ck_assert_int_eq(store_link_of_ino(store, 5, &link), -EBADMSG);
	ck_assert_int_eq(store_segments_get(store, 5, bitmap, 80), -EBADMSG);
	ck_assert_int_eq(store_meta_get(store, "uuid", value, sizeof(value)), -EBADMSG);

	submit_file(5, 7, 0); /* what followed the record that nobody can read is not known any more */
	ck_assert_int_eq(store_flush(store), -EBADMSG);
	state_reopen();
	ck_assert_int_eq(store_file_get(store, 5, &file), -EBADMSG);

	batch = batch_new();
	batch_link_delete(batch, 5, 5);
	store_submit(store, batch, 0, callback, NULL);
	ck_assert_int_eq(store_flush(store), -EBADMSG);
}
END_TEST

static void teardown(void)
{
	if (store)
		store_close(store);
	state_dir_remove();
}

int main(void)
{
	Suite *suite = suite_create("state failures");
	TCase *tests = tcase_create("failures");
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, test_disk_full_on_write);
	tcase_add_test(tests, test_quota_on_write);
	tcase_add_test(tests, test_error_on_sync);
	tcase_add_test(tests, test_error_on_meta_page);
	tcase_add_test(tests, test_barrier_interrupted);
	tcase_add_test(tests, test_fault_errors);
	tcase_add_test(tests, test_barrier_fails);
	tcase_add_test(tests, test_barrier_disk_full);
	tcase_add_test(tests, test_close_while_the_disk_is_full);
	tcase_add_test(tests, test_kill_after_barrier);
	tcase_add_test(tests, test_kill_after_commit);
	tcase_add_test(tests, test_kill_anywhere);
	tcase_add_test(tests, test_map_grows);
	tcase_add_test(tests, test_one_daemon);
	tcase_add_test(tests, test_predecessor);
	tcase_add_test(tests, test_other_format);
	tcase_add_test(tests, test_damaged_file);
	tcase_add_test(tests, test_truncated_file);
	tcase_add_test(tests, test_short_file);
	tcase_add_test(tests, test_foreign_database);
	tcase_add_test(tests, test_interrupted_creation);
	tcase_add_test(tests, test_hostile_records);
	tcase_set_timeout(tests, 60);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed_tests = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed_tests ? 1 : 0;
}
