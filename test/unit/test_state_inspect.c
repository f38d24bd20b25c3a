/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The check of a state from outside: a whole one is clean, each kind of inconsistency is found and named, and nothing is written;
 * and bytes that were overwritten at random harm nobody but the process that reads them.
 */
#include "state_fixture.h"

#include "state/bytes.h"
#include "state/config.h"
#include "state/inspect.h"
#include "state/seal.h"

#include <fcntl.h>
#include <lmdb.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

/* --- what is found -------------------------------------------------------------------------------------------------------------- */

static char found[16384]; /* "rule database key;" for each */
static int n_entries;

static void on_finding(void *context, const struct finding *finding)
{
	size_t at = strlen(found);
	ck_assert(*finding->what && *finding->means && *finding->remedy);
	snprintf(found + at, sizeof(found) - at, "%s %s %s;", finding->rule, finding->database, finding->key);
}

static void on_progress(void *context, const char *database, uint64_t entries)
{
}

static int on_entry(void *context, json_t *entry)
{
	ck_assert_ptr_nonnull(json_object_get(entry, "database"));
	json_decref(entry);
	n_entries++;
	return 0;
}

static void on_handle(void *context, const char *database, uint64_t ino, const struct handle *handle)
{
	++*(int *)context;
}

static const struct inspect_sink sink = {.finding = on_finding, .progress = on_progress, .entry = on_entry, .handle = on_handle};

static int64_t check(void)
{
	struct inspection *inspection = NULL;
	struct inspect_identity identity;
	char error[512] = "";
	found[0] = 0;
	int result = inspect_open(state_dir, &inspection, error, sizeof(error));
	if (result) {
		ck_assert_msg(*error, "no sentence for %d", result);
		return result;
	}
	int64_t entries = inspect_check(inspection, &sink, &identity);
	inspect_close(inspection);
	return entries;
}

/* --- a state ----------------------------------------------------------------------------------------------------------------- */

static void setup(void)
{
	state_setup();
	ck_assert_int_eq(store_meta_put(store, "uuid", "0123"), 0);
	ck_assert_int_eq(store_meta_put(store, "source", "/source"), 0);
	ck_assert_int_eq(store_meta_put(store, "planted", "1"), 0);
	struct batch *batch = batch_new();
	struct dir_record dir = dir_of(100);
	struct file_record file = file_of(200), other = file_of(201);
	struct link_record link = link_of(7, 300);
	struct error_record error = error_of(store_error_id(store));
	error.kind = ERROR_OF_FILE;
	batch_dir_put(batch, &dir);
	batch_file_put(batch, &file);
	batch_file_put(batch, &other);
	batch_segments_mark(batch, 200, 0, 3);
	batch_segments_changed(batch, 200, 1, 1);
	batch_link_put(batch, &link);
	batch_error_put(batch, &error);
	batch_totals_add(batch, &(struct totals){.dirs_found = 1,
	                                         .files_pending = 2,
	                                         .bytes_pending = (10 + 7) << 20,
	                                         .links_pending = 1,
	                                         .files_error = 1});
	state_commit(batch);
	store_close(store);
	store = NULL;
}

static void teardown(void)
{
	state_dir_remove();
}

/* Changes an entry behind the store's back; no value: removes it. `database` NULL: the unnamed one. */
static void forge(const char *database, const void *key_bytes, size_t key_len, const void *bytes, size_t len)
{
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	MDB_val key = {key_len, (void *)(uintptr_t)key_bytes}, value = {len, (void *)(uintptr_t)bytes};
	ck_assert_int_eq(mdb_env_create(&env), 0);
	mdb_env_set_maxdbs(env, 16);
	mdb_env_set_mapsize(env, (size_t)64 << 20); /* that of the store is more than a sanitizer may leave room for */
	ck_assert_int_eq(mdb_env_open(env, state_dir, 0, 0600), 0);
	ck_assert_int_eq(mdb_txn_begin(env, NULL, 0, &txn), 0);
	ck_assert_int_eq(mdb_dbi_open(txn, database, MDB_CREATE, &dbi), 0);
	if (bytes)
		ck_assert_int_eq(mdb_put(txn, dbi, &key, &value, 0), 0);
	else
		ck_assert_int_eq(key_len ? mdb_del(txn, dbi, &key, NULL) : mdb_drop(txn, dbi, 1), 0);
	ck_assert_int_eq(mdb_txn_commit(txn), 0);
	mdb_env_close(env);
}

static void forge_number(const char *database, uint64_t number, const void *bytes, size_t len)
{
	uint8_t key[8];
	key_put_u64(key, number);
	forge(database, key, sizeof(key), bytes, len);
}

static void forge_chunk(uint64_t ino, uint32_t chunk, const void *bytes, size_t len)
{
	uint8_t key[12];
	struct sealed sealed = {.record = bytes, .len = len};
	uint8_t value[1024];
	key_put_u64(key, ino);
	key_put_u32(key + 8, chunk);
	len = bytes ? seal_write(DB_SEGMENTS, &(MDB_val){sizeof(key), key}, &sealed, value) : 0;
	forge("segments", key, sizeof(key), bytes ? value : NULL, len);
}

static void expect(const char *finding)
{
	int64_t entries = check();
	ck_assert_msg(strstr(found, finding) != NULL, "not found: %s, but: %s (%lld)", finding, found, (long long)entries);
}

/* --- tests --------------------------------------------------------------------------------------------------------------------- */

/* As dmmfs --inspect does: a sanitizer is not to report the death that is expected. */
static void die_plainly(void)
{
	signal(SIGSEGV, SIG_DFL);
	signal(SIGBUS, SIG_DFL);
}

START_TEST(a_whole_state_is_clean)
{
	int64_t entries = check();
	ck_assert_str_eq(found, "");
	ck_assert_int_ge(entries, 14);
}
END_TEST

START_TEST(nothing_is_created_or_written)
{
	struct stat before, after;
	ck_assert_int_eq(unlink(state_path("lock.mdb")), 0);
	ck_assert_int_eq(stat(state_path("data.mdb"), &before), 0);
	ck_assert_int_gt(check(), 0);
	ck_assert_int_eq(stat(state_path("data.mdb"), &after), 0);
	ck_assert_int_eq(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
	ck_assert_int_eq(before.st_ctim.tv_nsec, after.st_ctim.tv_nsec);
	ck_assert_int_eq(access(state_path("lock.mdb"), F_OK), -1);
}
END_TEST

START_TEST(what_is_not_there_is_not_made)
{
	char missing[300], error[512] = "";
	struct inspection *inspection = NULL;
	snprintf(missing, sizeof(missing), "%s/none", state_dir);
	ck_assert_int_eq(inspect_open(missing, &inspection, error, sizeof(error)), -ENOENT);
	ck_assert_int_eq(access(missing, F_OK), -1);
}
END_TEST

START_TEST(another_format_is_not_read)
{
	forge("meta", "format", 6, "\x63\0\0\0\0\0\0\0", 8);
	ck_assert_int_eq(check(), -EPROTO);
}
END_TEST

START_TEST(meta_is_checked)
{
	forge("meta", "commit", 6, NULL, 0);
	expect("meta meta commit;");
	forge("meta", "surprise", 8, "x", 1);
	expect("key meta surprise;");
	forge("meta", "totals", 6, "\x61", 1);
	expect("record meta totals;");
	forge("meta", "next-error", 10, "\0\0\0\0\0\0\0\0", 8);
	expect("meta meta next-error;");
}
END_TEST

START_TEST(identity_is_checked)
{
	forge("identity", "uuid", 4, NULL, 0);
	expect("identity identity uuid;");
	forge("identity", "source", 6, "a\0b", 3);
	expect("record identity source;");
	expect("identity identity source;");
}
END_TEST

START_TEST(databases_are_checked)
{
	forge("links", "", 0, NULL, 0);
	expect("database-missing links ;");
	forge("strange", "x", 1, "y", 1);
	expect("database-unknown  strange;");
}
END_TEST

START_TEST(records_are_decoded)
{
	forge_number("dirs", 100, "\x12", 1);
	expect("record dirs 100;");
	forge_number("files", 200, "\x22\0\0", 3);
	expect("record files 200;");
	forge_number("digests", 900, "\x72\0", 2);
	expect("record digests 900;");
	forge_number("errors", 1, "\x42", 1);
	expect("record errors 1;");
	forge_chunk(201, 0, "\x99\xff", 2);
	expect("record segments 201 resident chunk 0;");
	forge("dirs", "abc", 3, "\x11", 1);
	expect("key dirs 616263;");
}
END_TEST

START_TEST(segments_belong_to_a_file)
{
	forge_chunk(4711, 0, "\x51\x01", 2);
	expect("segments-orphaned segments 4711 resident chunk 0;");
	forge_chunk(201, 1, "\x51\x01", 2);
	expect("segments-beyond files 201;");
	forge_chunk(201, 0, "\x51\0", 2);
	expect("segments-empty segments 201 resident chunk 0;");
}
END_TEST

START_TEST(segments_end_with_the_file)
{
	forge_chunk(201, 0, "\x51\xff\x03", 3); /* ten of 1 MiB: all */
	check();
	ck_assert_msg(strstr(found, "beyond") == NULL, "%s", found);
	forge_chunk(201, 0, "\x51\0\x04", 3);
	expect("segments-beyond files 201;");
	forge_chunk(201, 0x80000000, "\x51\0\x04", 3);
	forge_chunk(201, 0, NULL, 0);
	expect("segments-beyond files 201;");
}
END_TEST

START_TEST(links_and_their_index_agree)
{
	uint8_t key[16];
	key_put_u64(key, 99);
	key_put_u64(key + 8, 7);
	forge_number("links-ino", 300, NULL, 0);
	expect("link-index links 99:7;");
	forge_number("links-ino", 300, key, 16);
	forge_number("links-ino", 301, key, 16);
	expect("link-index links-ino 301;");
	forge("links", key, 16, NULL, 0);
	expect("link-index links-ino 300;");
	forge_number("links-ino", 300, "short", 5);
	expect("record links-ino 300;");
}
END_TEST

START_TEST(error_ids_are_below_the_next)
{
	forge("meta", "next-error", 10, "\1\0\0\0\0\0\0\0", 8);
	expect("error-id errors 1;");
}
END_TEST

START_TEST(totals_are_counted_again)
{
	static const char *const deletions[] = {"dirs", "files", "errors"};
	static const uint64_t keys[] = {100, 201, 1};
	for (size_t i = 0; i < 3; i++) {
		forge_number(deletions[i], keys[i], NULL, 0);
		expect("totals meta totals;");
	}
}
END_TEST

START_TEST(every_entry_is_dumped)
{
	struct inspection *inspection = NULL;
	char error[512];
	int handles = 0;
	struct inspect_sink counting = sink;
	counting.context = &handles;
	forge_number("dirs", 101, "junk", 4); /* damaged ones, too */
	ck_assert_int_eq(inspect_open(state_dir, &inspection, error, sizeof(error)), 0);
	n_entries = 0;
	ck_assert_int_eq(inspect_dump(inspection, NULL, &counting), 0);
	ck_assert_int_eq(n_entries, 7 + 3 + 2 + 2 + 2 + 1 + 1 + 1);
	n_entries = 0;
	ck_assert_int_eq(inspect_dump(inspection, "files", &counting), 0);
	ck_assert_int_eq(n_entries, 2);
	ck_assert_int_eq(inspect_dump(inspection, "none", &counting), -ENOENT);
	ck_assert_int_eq(inspect_handles(inspection, &counting), 0);
	ck_assert_int_eq(handles, 4);
	inspect_close(inspection);
}
END_TEST

START_TEST(a_large_dump_is_whole)
{
	struct inspection *inspection = NULL;
	char error[512];
	store = state_open(barrier_none, NULL, 0);
	struct batch *batch = batch_new();
	for (uint64_t ino = 1000; ino < 6000; ino++) {
		struct dir_record dir = dir_of(ino);
		batch_dir_put(batch, &dir);
	}
	state_commit(batch);
	store_close(store);
	ck_assert_int_eq(inspect_open(state_dir, &inspection, error, sizeof(error)), 0);
	n_entries = 0;
	ck_assert_int_eq(inspect_dump(inspection, "dirs", &sink), 0);
	ck_assert_int_eq(n_entries, 5001);
	inspect_close(inspection);
}
END_TEST

START_TEST(a_copy_is_a_state)
{
	struct inspection *inspection = NULL;
	char error[512], copy[300];
	snprintf(copy, sizeof(copy), "%s/data.copy", state_dir);
	int fd = open(copy, O_RDWR | O_CREAT | O_EXCL, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(inspect_open(state_dir, &inspection, error, sizeof(error)), 0);
	ck_assert_int_eq(inspect_copy(inspection, fd), 0);
	inspect_close(inspection);
	close(fd);
	ck_assert_int_eq(rename(copy, state_path("data.mdb")), 0);
	ck_assert_int_ge(check(), 14);
	ck_assert_str_eq(found, "");
	store = state_open(barrier_none, NULL, 0);
	struct file_record *record;
	ck_assert_int_eq(store_file_get(store, 200, &record), 1);
	file_record_free(record);
	store_close(store);
}
END_TEST

START_TEST(a_file_that_is_cut_off_is_told)
{
	store = state_open(barrier_none, NULL, 0);
	struct batch *batch = batch_new();
	for (uint64_t ino = 1000; ino < 40000; ino++) {
		struct dir_record dir = dir_of(ino);
		batch_dir_put(batch, &dir);
	}
	state_commit(batch);
	store_close(store);
	ck_assert_int_eq(truncate(state_path("data.mdb"), 64 * 4096), 0);
	pid_t child = fork();
	if (child == 0) {
		die_plainly();
		setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
		check(); /* may die of it, having told */
		_exit(strstr(found, "cut-off") ? 0 : 9);
	}
	int status;
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_msg(WIFSIGNALED(status) || WEXITSTATUS(status) != 9, "nothing was told");
}
END_TEST

/* --- random damage --------------------------------------------------------------------------------------------------------------- */

static uint32_t random_next(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

static void overwrite(uint32_t *seed)
{
	struct stat st;
	int fd = open(state_path("data.mdb"), O_RDWR);
	ck_assert_int_eq(fstat(fd, &st), 0);
	for (uint32_t n = random_next(seed) % 12 + 1; n > 0; n--) {
		uint8_t byte = (uint8_t)random_next(seed);
		ck_assert_int_eq(pwrite(fd, &byte, 1, random_next(seed) % st.st_size), 1);
	}
	close(fd);
}

static void inspect_and_dump(void)
{
	struct inspection *inspection = NULL;
	char error[512];
	setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
	int null = open("/dev/null", O_WRONLY);
	dup2(null, 2);
	signal(SIGALRM, SIG_DFL); /* the test's own would end the test */
	alarm(2);                 /* a damaged tree may be an endless one: the tool has an alarm for that, too */
	check();
	if (inspect_open(state_dir, &inspection, error, sizeof(error)) == 0) {
		inspect_dump(inspection, NULL, &sink);
		inspect_close(inspection);
	}
	_exit(0);
}

/* Whatever the bytes are, the process ends, by itself, by the signal that a bad page raises, or by the alarm; and so few of them by the
 * alarm that the order of keys is really looked at. */
START_TEST(random_damage_ends)
{
	const char *wanted = getenv("DMMFS_TEST_SEED");
	uint32_t seed = wanted ? (uint32_t)strtoul(wanted, NULL, 0) : (uint32_t)(time(NULL) * 2654435761u | 1);
	char good[1024];
	int endless = 0;
	printf("DMMFS_TEST_SEED=%u\n", seed);
	snprintf(good, sizeof(good), "cp %s/data.mdb %s.good", state_dir, state_dir);
	ck_assert_int_eq(system(good), 0);
	for (int round = 0; round < 150 && endless < 5; round++) {
		int status;
		snprintf(good, sizeof(good), "cp %s.good %s/data.mdb", state_dir, state_dir);
		ck_assert_int_eq(system(good), 0);
		overwrite(&seed);
		fflush(stdout);
		pid_t child = fork();
		if (child == 0) {
			die_plainly();
			inspect_and_dump();
		}
		ck_assert_int_eq(waitpid(child, &status, 0), child);
		endless += WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM;
	}
	snprintf(good, sizeof(good), "rm %s.good", state_dir);
	ck_assert_int_eq(system(good), 0);
	ck_assert_int_lt(endless, 5);
}
END_TEST

/* --- the configuration ----------------------------------------------------------------------------------------------------------- */

static struct config *config;

static void config_setup(void)
{
	uint32_t migid;
	char error[256];
	state_dir_make();
	ck_assert_int_eq(config_open(state_dir, 1, &config, error, sizeof(error)), 0);
	ck_assert_int_eq(config_create(config, &migid), 0);
	ck_assert_int_eq(config_set_many(config, migid, (const char *const[]){"source", "/s", "target", "/t", NULL}), 0);
	config_close(config);
}

static int check_config(void)
{
	char error[512] = "";
	found[0] = 0;
	return inspect_config_check(state_dir, &sink, error, sizeof(error));
}

static void expect_config(const char *finding)
{
	check_config();
	ck_assert_msg(strstr(found, finding) != NULL, "not found: %s, but: %s", finding, found);
}

START_TEST(the_configuration_is_checked)
{
	char error[256];
	ck_assert_int_eq(check_config(), 5);
	ck_assert_str_eq(found, "");
	n_entries = 0;
	ck_assert_int_eq(inspect_config_dump(state_dir, &sink, error, sizeof(error)), 0);
	ck_assert_int_eq(n_entries, 5);
	forge(NULL, "\0\0\0\1\0segsize", 12, "64K", 3);
	ck_assert_int_eq(check_config(), 6);
	ck_assert_str_eq(found, "");
	forge(NULL, "\0\0\0\1\0segsize", 12, "7", 1);
	expect_config("configuration-value configuration 1 segsize;");
	forge(NULL, "\0\0\0\1\0source", 11, "a\0b", 3);
	expect_config("configuration-value configuration 1 source;");
	forge(NULL, "\0\0\0\1\0target", 11, NULL, 0);
	expect_config("configuration-migration configuration 1;");
	forge(NULL, "\0\0\0\1\1x", 6, "y", 1);
	expect_config("configuration-key configuration 1 x;");
	forge(NULL, "\0\0\0\0\0next", 9, "1", 1);
	expect_config("configuration-value configuration 0 next;");
	forge(NULL, "\0\0\0\0\0next", 9, "many", 4);
	expect_config("configuration-value configuration 0 next;");
	forge(NULL, "\0\0\0\0\0format", 11, NULL, 0);
	expect_config("configuration-key configuration 0 format;");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("state_inspect");
	TCase *checks = tcase_create("check"), *damage = tcase_create("damage"), *configs = tcase_create("configuration");
	tcase_add_checked_fixture(checks, setup, teardown);
	tcase_add_test(checks, a_whole_state_is_clean);
	tcase_add_test(checks, nothing_is_created_or_written);
	tcase_add_test(checks, what_is_not_there_is_not_made);
	tcase_add_test(checks, another_format_is_not_read);
	tcase_add_test(checks, meta_is_checked);
	tcase_add_test(checks, identity_is_checked);
	tcase_add_test(checks, databases_are_checked);
	tcase_add_test(checks, records_are_decoded);
	tcase_add_test(checks, segments_belong_to_a_file);
	tcase_add_test(checks, segments_end_with_the_file);
	tcase_add_test(checks, links_and_their_index_agree);
	tcase_add_test(checks, error_ids_are_below_the_next);
	tcase_add_test(checks, totals_are_counted_again);
	tcase_add_test(checks, every_entry_is_dumped);
	tcase_add_test(checks, a_large_dump_is_whole);
	tcase_add_test(checks, a_copy_is_a_state);
	tcase_add_test(checks, a_file_that_is_cut_off_is_told);
	tcase_add_checked_fixture(damage, setup, teardown);
	tcase_set_timeout(damage, 50);
	tcase_add_test(damage, random_damage_ends);
	tcase_add_checked_fixture(configs, config_setup, teardown);
	tcase_add_test(configs, the_configuration_is_checked);
	suite_add_tcase(suite, checks);
	suite_add_tcase(suite, damage);
	suite_add_tcase(suite, configs);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
