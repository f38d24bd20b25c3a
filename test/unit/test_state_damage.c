/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Damage that LMDB does not see: an entry that is lost, of another time, or changed is never taken for one that was never there. The
 * pages of a state are changed at random, too: a lookup gives what is right, an error, or the end of its process.
 */
#include "state_fixture.h"

#include "state/bytes.h"
#include "state/inspect.h"
#include "state/seal.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define FILES 400
#define STEP 3 /* between inode numbers */
#define FIRST 30

static uint64_t ino_of(unsigned n)
{
	return FIRST + (uint64_t)n * STEP;
}

static void fill(void)
{
	struct batch *batch = batch_new();
	for (unsigned n = 0; n < FILES; n++) {
		struct file_record file = file_of(ino_of(n));
		struct dir_record dir = dir_of(ino_of(n) + 1);
		batch_file_put(batch, &file);
		batch_dir_put(batch, &dir);
		batch_segments_mark(batch, file.ino, n % 10, 1);
	}
	batch_totals_add(
		batch, &(struct totals){.dirs_found = FILES, .files_pending = FILES, .bytes_pending = (int64_t)FILES * 9 << 20});
	state_commit(batch);
}

static void setup(void)
{
	state_setup();
	fill();
}

/* --- what is changed behind the store's back ------------------------------------------------------------------------------------- */

static void forge(enum database database, const void *key_bytes, size_t key_len, const void *bytes, size_t len)
{
	MDB_txn *txn;
	MDB_val key = {key_len, (void *)(uintptr_t)key_bytes}, value = {len, (void *)(uintptr_t)bytes};
	ck_assert_int_eq(mdb_txn_begin(store->env, NULL, 0, &txn), 0);
	if (bytes)
		ck_assert_int_eq(mdb_put(txn, store->dbi[database], &key, &value, 0), 0);
	else
		ck_assert_int_eq(mdb_del(txn, store->dbi[database], &key, NULL), 0);
	ck_assert_int_eq(mdb_txn_commit(txn), 0);
}

static void hide(enum database database, uint64_t ino)
{
	uint8_t key[8];
	key_put_u64(key, ino);
	forge(database, key, sizeof(key), NULL, 0);
}

static size_t value_of(enum database database, const void *key_bytes, size_t key_len, uint8_t *copy)
{
	MDB_txn *txn;
	MDB_val key = {key_len, (void *)(uintptr_t)key_bytes}, value;
	ck_assert_int_eq(mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn), 0);
	ck_assert_int_eq(mdb_get(txn, store->dbi[database], &key, &value), 0);
	memcpy(copy, value.mv_data, value.mv_size);
	size_t len = value.mv_size;
	mdb_txn_abort(txn);
	return len;
}

static int get_file(uint64_t ino)
{
	struct file_record *record = NULL;
	int found = store_file_get(store, ino, &record);
	if (found > 0)
		file_record_free(record);
	return found;
}

static int get_dir(uint64_t ino)
{
	struct dir_record *record = NULL;
	int found = store_dir_get(store, ino, &record);
	if (found > 0)
		dir_record_free(record);
	return found;
}

static char found[8192];

static void on_finding(void *context, const struct finding *finding)
{
	size_t at = strlen(found);
	snprintf(found + at, sizeof(found) - at, "%s %s %s;", finding->rule, finding->database, finding->key);
}

static void on_progress(void *context, const char *database, uint64_t entries)
{
}

static const char *check(void)
{
	static const struct inspect_sink sink = {.finding = on_finding, .progress = on_progress};
	struct inspection *inspection = NULL;
	char error[512] = "";
	found[0] = 0;
	store_close(store); /* a process has an environment open once */
	ck_assert_int_eq(inspect_open(state_dir, &inspection, error, sizeof(error)), 0);
	inspect_check(inspection, &sink, NULL);
	inspect_close(inspection);
	store = state_open(barrier_none, NULL, 0);
	return found;
}

static void expect(const char *finding)
{
	ck_assert_msg(strstr(check(), finding) != NULL, "not found: %s, but: %s", finding, found);
}

/* --- entries ----------------------------------------------------------------------------------------------------------------------- */

static const unsigned places[] = {0, 1, 200, FILES - 1};

START_TEST(a_lost_file_is_missed)
{
	unsigned n = places[_i];
	uint64_t inos[FILES];
	ck_assert_int_eq(get_file(ino_of(n)), 1);
	ck_assert_int_eq(get_file(ino_of(n) + 1), 0);
	ck_assert_int_eq(store_files_after(store, 0, inos, FILES), FILES);
	hide(DB_FILES, ino_of(n));
	ck_assert_int_eq(get_file(ino_of(n)), -EBADMSG);
	ck_assert_int_eq(store_files_after(store, 0, inos, FILES), -EBADMSG);
	expect("chain files");
}
END_TEST

START_TEST(a_lost_directory_is_missed)
{
	unsigned n = places[_i];
	uint64_t inos[FILES];
	hide(DB_DIRS, ino_of(n) + 1);
	ck_assert_int_eq(get_dir(ino_of(n) + 1), -EBADMSG);
	ck_assert_int_eq(store_dirs_after(store, 0, inos, FILES), -EBADMSG);
	expect("chain dirs");
}
END_TEST

/* The number of the first entry has no sum of its own. */
START_TEST(a_lost_first_is_missed)
{
	static const char *const names[] = {META_FIRST_FILE, META_FIRST_DIR};
	uint8_t number[8];
	uint64_t ino = ino_of(0) + (uint64_t)_i;
	write_u64(number, ino | 0xe1ull << 40);
	forge(DB_META, names[_i], strlen(names[_i]), number, sizeof(number));
	hide(_i ? DB_DIRS : DB_FILES, ino);
	ck_assert_int_eq(_i ? get_dir(ino) : get_file(ino), -EBADMSG);
	ck_assert_int_eq(_i ? get_dir(ino - 1) : get_file(ino - 1), -EBADMSG);
	ck_assert_int_eq(_i ? get_dir(ino + STEP) : get_file(ino + STEP), 1);
}
END_TEST

START_TEST(all_lost_is_missed)
{
	char error[512] = "";
	struct store *opened;
	MDB_txn *txn;
	ck_assert_int_eq(mdb_txn_begin(store->env, NULL, 0, &txn), 0);
	ck_assert_int_eq(mdb_drop(txn, store->dbi[DB_FILES], 0), 0);
	ck_assert_int_eq(mdb_txn_commit(txn), 0);
	ck_assert_int_eq(get_file(ino_of(7)), -EBADMSG);
	store_close(store);
	ck_assert_int_eq(store_open(&(struct store_options){.dir = state_dir}, &opened, error, sizeof(error)), -EBADMSG);
	ck_assert_msg(strstr(error, "damaged"), "%s", error);
	store = NULL;
}
END_TEST

static void note_error(void *context, int error)
{
	*(int *)context = error;
}

/* A change beside it does not heal it. */
START_TEST(damage_is_not_covered_up)
{
	uint64_t inos[] = {ino_of(200) - 1, ino_of(200), ino_of(201)};
	int told = 0;
	hide(DB_FILES, ino_of(200));
	struct batch *batch = batch_new();
	struct file_record file = file_of(inos[_i]);
	if (_i < 2)
		batch_file_put(batch, &file);
	else
		batch_file_delete(batch, file.ino);
	store_submit(store, batch, SUBMIT_URGENT, note_error, &told);
	ck_assert_int_eq(store_flush(store), -EBADMSG);
	ck_assert_int_eq(told, -EBADMSG);
	ck_assert(store_gave_up(store));
	ck_assert_int_eq(get_file(ino_of(200)), -EBADMSG);
}
END_TEST

static void put_digests(uint64_t first, uint64_t step, unsigned count)
{
	struct batch *batch = batch_new();
	for (unsigned n = 0; n < count; n++) {
		struct digest_record record = digest_of(first + n * step);
		batch_digest_put(batch, &record);
	}
	store_submit(store, batch, SUBMIT_URGENT, NULL, NULL);
}

/* A block of before it was divided, whose records reach into the one that follows. Its sum is right. */
START_TEST(a_block_of_before_is_seen)
{
	uint8_t key[8], value[4096];
	key_put_u64(key, 1000);
	put_digests(1000, 10, 50);
	ck_assert_int_eq(store_flush(store), 0);
	size_t len = value_of(DB_DIGESTS, key, sizeof(key), value);
	for (unsigned i = 1; i < 10; i++)
		put_digests(1000 + i, 10, 50);
	ck_assert_int_eq(store_flush(store), 0);
	forge(DB_DIGESTS, key, sizeof(key), value, len);
	expect("order digests");
	put_digests(1005, 10 * (uint64_t)(_i + 1), 40);
	ck_assert_int_eq(store_flush(store), -EBADMSG);
	ck_assert(store_gave_up(store));
}
END_TEST

START_TEST(a_changed_byte_is_seen)
{
	static const enum database databases[] = {DB_FILES, DB_DIRS};
	uint8_t key[8], value[512];
	uint64_t ino = ino_of(100) + (uint64_t)_i;
	key_put_u64(key, ino);
	size_t len = value_of(databases[_i], key, sizeof(key), value);
	for (size_t at = 0; at < len; at++) {
		value[at] ^= 0x04;
		forge(databases[_i], key, sizeof(key), value, len);
		ck_assert_int_eq(_i ? get_dir(ino) : get_file(ino), -EBADMSG);
		value[at] ^= 0x04;
	}
	forge(databases[_i], key, sizeof(key), value, len);
	ck_assert_int_eq(_i ? get_dir(ino) : get_file(ino), 1);
	key_put_u64(key, ino + STEP); /* in another's place */
	forge(databases[_i], key, sizeof(key), value, len);
	ck_assert_int_eq(_i ? get_dir(ino + STEP) : get_file(ino + STEP), -EBADMSG);
	expect(_i ? "record dirs" : "record files");
}
END_TEST

START_TEST(lost_segments_are_missed)
{
	uint64_t ino = ino_of(50);
	uint8_t bitmap[2], key[12], old[64];
	key_put_u64(key, ino);
	key_put_u32(key + 8, 0);
	size_t len = value_of(DB_SEGMENTS, key, sizeof(key), old);
	struct batch *batch = batch_new();
	batch_segments_mark(batch, ino, 1, 4);
	state_commit(batch);
	ck_assert_int_eq(store_segments_get(store, ino, bitmap, 10), 0);
	ck_assert_uint_eq(bitmap[0], 0x1f);
	forge(DB_SEGMENTS, key, sizeof(key), old, len); /* of before */
	ck_assert_int_eq(store_segments_get(store, ino, bitmap, 10), -EBADMSG);
	expect("segments-lost files");
	forge(DB_SEGMENTS, key, sizeof(key), NULL, 0);
	ck_assert_int_eq(store_segments_get(store, ino, bitmap, 10), -EBADMSG);
	expect("segments-lost files");
	old[1] ^= 0x80;
	forge(DB_SEGMENTS, key, sizeof(key), old, len);
	ck_assert_int_eq(store_segments_get(store, ino, bitmap, 10), -EBADMSG);
	expect("record segments");
}
END_TEST

START_TEST(totals_have_a_sum)
{
	uint8_t value[256];
	char error[512] = "";
	struct store *opened;
	size_t len = value_of(DB_META, META_TOTALS, strlen(META_TOTALS), value);
	value[1 + 6 * 8] ^= 1;
	forge(DB_META, META_TOTALS, strlen(META_TOTALS), value, len);
	store_close(store);
	ck_assert_int_eq(store_open(&(struct store_options){.dir = state_dir}, &opened, error, sizeof(error)), -EBADMSG);
	store = NULL;
}
END_TEST

/* --- a whole state of before ------------------------------------------------------------------------------------------------------ */

#define PAGE 4096
#define META_ROOT_AT 128 /* in a meta page of LMDB: the root of its main database */
#define META_TXN_AT 144

static uint64_t number_at(int fd, off_t at)
{
	uint64_t number;
	ck_assert_int_eq(pread(fd, &number, sizeof(number), at), sizeof(number));
	return number;
}

/* The top of the database becomes that of the commit before, of which LMDB has kept every page. */
static void put_back_root(void)
{
	uint8_t page[PAGE];
	int fd = open(state_path("data.mdb"), O_RDWR);
	ck_assert_int_ge(fd, 0);
	off_t last = number_at(fd, META_TXN_AT) > number_at(fd, PAGE + META_TXN_AT) ? 0 : PAGE;
	off_t root = (off_t)number_at(fd, last + META_ROOT_AT), old = (off_t)number_at(fd, PAGE - last + META_ROOT_AT);
	ck_assert_int_ne(root, old);
	ck_assert_int_eq(pread(fd, page, PAGE, old * PAGE), PAGE);
	ck_assert_int_eq(pwrite(fd, page, PAGE, root * PAGE), PAGE);
	close(fd);
}

START_TEST(a_state_of_before_is_missed)
{
	uint64_t inos[FILES];
	uint8_t bitmap[2];
	if (_i) { /* the one before has most of the entries */
		struct batch *batch = batch_new();
		batch_file_delete(batch, ino_of(7));
		batch_segments_mark(batch, ino_of(8), 0, 10);
		state_commit(batch);
	}
	ck_assert_int_eq(get_file(ino_of(8)), 1);
	put_back_root();
	for (unsigned n = 7; n < 9; n++) {
		ck_assert_int_eq(get_file(ino_of(n)), -EBADMSG);
		ck_assert_int_eq(get_dir(ino_of(n) + 1), -EBADMSG);
		ck_assert_int_eq(store_segments_get(store, ino_of(n), bitmap, 10), -EBADMSG);
	}
	ck_assert_int_eq(store_files_after(store, 0, inos, FILES), -EBADMSG);
	struct batch *batch = batch_new();
	struct file_record file = file_of(ino_of(FILES));
	batch_file_put(batch, &file);
	store_submit(store, batch, SUBMIT_URGENT, NULL, NULL);
	ck_assert_int_eq(store_flush(store), -EBADMSG);
	ck_assert(store_gave_up(store));
	uint64_t known = store_commit_number(store);
	state_reopen(); /* what the witness compares */
	ck_assert_uint_lt(store_commit_number(store), known);
}
END_TEST

/* --- random changes: the chains stay whole --------------------------------------------------------------------------------------- */

static uint32_t seed;

static uint32_t next(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed % below;
}

static void seed_random(void)
{
	const char *wanted = getenv("DMMFS_TEST_SEED");
	seed = wanted ? (uint32_t)strtoul(wanted, NULL, 0) : (uint32_t)(time(NULL) * 2654435761u | 1);
	printf("DMMFS_TEST_SEED=%u\n", seed);
	fflush(stdout);
}

#define NUMBERS 60

struct model {
	bool file[NUMBERS], dir[NUMBERS];
	uint16_t marked[NUMBERS]; /* ten bits */
};

static void change_at_random(struct model *model, struct batch *batch)
{
	unsigned n = next(NUMBERS), first = next(10), count = 1 + next(10 - first);
	uint64_t ino = n == 0 ? UINT64_MAX : (uint64_t)n * n * n * 1000; /* near, and far apart */
	uint16_t bits = (uint16_t)(((1u << count) - 1) << first);
	struct file_record file = file_of(ino);
	struct dir_record dir = dir_of(ino);
	switch (next(8)) {
	case 0:
	case 1:
		batch_file_put(batch, &file);
		model->file[n] = true;
		break;
	case 2:
		batch_dir_put(batch, &dir);
		model->dir[n] = true;
		break;
	case 3:
		batch_dir_delete(batch, ino);
		model->dir[n] = false;
		break;
	case 4:
		if (next(2))
			batch_file_delete(batch, ino);
		else
			batch_file_complete(batch, ino, &(struct file_stamp){.size = 5});
		model->file[n] = false;
		model->marked[n] = 0;
		break;
	case 5:
		batch_segments_clear(batch, ino, first, count);
		model->marked[n] &= (uint16_t)~bits;
		break;
	case 6:
		if (next(4) == 0) {
			batch_file_renew(batch, &file);
			model->file[n] = true;
			model->marked[n] = 0;
			break;
		}
		batch_segments_changed(batch, ino, first, count);
		break;
	default:
		batch_segments_arrived(batch, ino, first, 1, &(struct digest){first + 1, 0});
		model->marked[n] |= model->file[n] ? (uint16_t)(1u << first) : 0;
		break;
	}
}

static void compare(const struct model *model)
{
	for (unsigned n = 0; n < NUMBERS; n++) {
		uint64_t ino = n == 0 ? UINT64_MAX : (uint64_t)n * n * n * 1000;
		uint8_t bitmap[2];
		ck_assert_int_eq(get_file(ino), model->file[n]);
		ck_assert_int_eq(get_dir(ino), model->dir[n]);
		ck_assert_int_eq(get_file(ino - 1), 0);
		ck_assert_int_eq(store_segments_get(store, ino, bitmap, 10), 0);
		ck_assert_uint_eq(bitmap[0] | bitmap[1] << 8, model->marked[n]);
	}
}

START_TEST(chains_stay_whole)
{
	struct model model = {0};
	seed_random();
	for (unsigned round = 0; round < 150; round++) {
		struct batch *batch = batch_new();
		for (unsigned i = next(40); i > 0; i--)
			change_at_random(&model, batch);
		store_submit(store, batch, 0, NULL, NULL);
		if (next(3) == 0) {
			batch = batch_new();
			change_at_random(&model, batch);
			state_commit(batch);
		}
		ck_assert_int_eq(store_flush(store), 0);
		compare(&model);
	}
	check();
	ck_assert_msg(!strstr(found, "chain") && !strstr(found, "lost") && !strstr(found, "record"), "%s", found);
}
END_TEST

/* --- random damage of pages -------------------------------------------------------------------------------------------------------- */

static void damage_page(int fd, off_t pages)
{
	uint8_t page[PAGE];
	off_t at = 2 + next((uint32_t)pages - 2); /* not the meta pages: which state is the last one the witness knows */
	ck_assert_int_eq(pread(fd, page, PAGE, at * PAGE), PAGE);
	switch (next(4)) {
	case 0:
		memset(page, 0, PAGE);
		break;
	case 1: /* a write that went astray */
		ck_assert_int_eq(pread(fd, page, PAGE, (2 + next((uint32_t)pages - 2)) * (off_t)PAGE), PAGE);
		break;
	case 2:
		for (unsigned i = next(30) + 1; i > 0; i--)
			page[next(PAGE)] = (uint8_t)next(256);
		break;
	default: /* in what leads to the entries */
		for (unsigned i = next(4) + 1; i > 0; i--)
			page[next(128)] = (uint8_t)next(256);
		break;
	}
	ck_assert_int_eq(pwrite(fd, page, PAGE, at * PAGE), PAGE);
}

/* The last commit before the damage. */
static uint64_t known_commit;

/* Not _exit(2), before which a thread sanitizer waits a second for threads to race. */
static _Noreturn void leave(int status)
{
	syscall(SYS_exit_group, status);
	__builtin_unreachable();
}

/* Exits with 1 when something is not found, or is found to be something else, without an error. */
static void look_at_all(void)
{
	struct store_options options = {.dir = state_dir};
	char error[512];
	setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
	int null = open("/dev/null", O_WRONLY);
	dup2(null, 2);
	static const int deaths[] = {SIGSEGV, SIGBUS, SIGABRT, SIGALRM};
	for (size_t i = 0; i < 4; i++)
		signal(deaths[i], SIG_DFL);
	alarm(5);
	if (store_open(&options, &store, error, sizeof(error)))
		leave(0);
	/* A page of before at the top brings a whole state of before; only the witness knows that it is one, and the start is refused. */
	if (store_commit_number(store) < known_commit)
		leave(0);
	for (unsigned n = 0; n < FILES; n++) {
		struct file_record *file, wanted = file_of(ino_of(n));
		uint8_t bitmap[2];
		int result = store_file_get(store, wanted.ino, &file);
		if (result == 0 || (result == 1 && (file->limit != wanted.limit || !handle_equal(&file->handle, &wanted.handle) ||
		                                    file->changed != wanted.changed)))
			leave(1);
		if (get_dir(wanted.ino + 1) == 0)
			leave(1);
		if (result == 1 && store_segments_get(store, wanted.ino, bitmap, 10) == 0 &&
		    (bitmap[0] | bitmap[1] << 8) != 1 << n % 10)
			leave(1);
	}
	leave(0);
}

/* Always the same damage, so that a run tells of the change that is tested and of nothing else; DMMFS_TEST_SEED has other damage. The
 * last two once hid an entry: the top page as it was before. */
static const uint32_t damage_seeds[] = {1, 3941352938, 4126410712};

START_TEST(no_page_hides_an_entry)
{
	struct stat st;
	const char *wanted = getenv("DMMFS_TEST_SEED");
	int rounds = wanted ? 150 : 50;
	if (wanted && _i > 0)
		return;
	seed = wanted ? (uint32_t)strtoul(wanted, NULL, 0) : damage_seeds[_i];
	known_commit = store_commit_number(store);
	store_close(store);
	store = NULL;
	ck_assert_int_eq(stat(state_path("data.mdb"), &st), 0);
	uint8_t *good = malloc((size_t)st.st_size);
	int fd = open(state_path("data.mdb"), O_RDWR | O_CLOEXEC);
	ck_assert_int_eq(pread(fd, good, (size_t)st.st_size, 0), st.st_size);
	for (int round = 0; round < rounds; round++) {
		int status;
		uint32_t seed_of_round = seed;
		ck_assert_int_eq(pwrite(fd, good, (size_t)st.st_size, 0), st.st_size);
		ck_assert_int_eq(ftruncate(fd, st.st_size), 0);
		for (unsigned i = next(3) + 1; i > 0; i--)
			damage_page(fd, st.st_size / PAGE);
		fflush(stdout);
		pid_t child = fork();
		if (child == 0)
			look_at_all();
		ck_assert_int_eq(waitpid(child, &status, 0), child);
		ck_assert_msg(!WIFEXITED(status) || WEXITSTATUS(status) != 1, "hidden, with DMMFS_TEST_SEED=%u", seed_of_round);
	}
	close(fd);
	free(good);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("state_damage");
	TCase *entries = tcase_create("entries"), *pages = tcase_create("pages"), *whole = tcase_create("whole");
	tcase_add_checked_fixture(entries, setup, state_teardown);
	tcase_add_loop_test(entries, a_lost_file_is_missed, 0, 4);
	tcase_add_loop_test(entries, a_lost_directory_is_missed, 0, 4);
	tcase_add_loop_test(entries, a_lost_first_is_missed, 0, 2);
	tcase_add_test(entries, all_lost_is_missed);
	tcase_add_loop_test(entries, damage_is_not_covered_up, 0, 3);
	tcase_add_loop_test(entries, a_changed_byte_is_seen, 0, 2);
	tcase_add_loop_test(entries, a_block_of_before_is_seen, 0, 2);
	tcase_add_test(entries, lost_segments_are_missed);
	tcase_add_test(entries, totals_have_a_sum);
	tcase_add_loop_test(entries, a_state_of_before_is_missed, 0, 2);
	tcase_set_timeout(entries, 120);
	tcase_add_checked_fixture(pages, setup, state_teardown);
	tcase_add_loop_test(pages, no_page_hides_an_entry, 0, sizeof(damage_seeds) / sizeof(damage_seeds[0]));
	tcase_set_timeout(pages, 120);
	tcase_add_checked_fixture(whole, state_setup, state_teardown);
	tcase_add_test(whole, chains_stay_whole);
	tcase_set_timeout(whole, 120);
	suite_add_tcase(suite, entries);
	suite_add_tcase(suite, pages);
	suite_add_tcase(suite, whole);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
