/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The configuration database: settings, migids that are never reused, several processes at once, and whom it refuses.
 */
#include "state/config.h"
#include "state_fixture.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <lmdb.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

static struct config *config;
static char message[512];
static unsigned turns; /* openings and closings that nobody else could be beside */

/* Of the environment that is there already: another process would have to wait now. */
static void look_at_turn(void)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/data.mdb", state_dir);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	turns += flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
	close(fd);
}

/* As those of LMDB. */
int mdb_env_open(MDB_env *env, const char *path, unsigned int flags, mdb_mode_t mode)
{
	int (*theirs)(MDB_env *, const char *, unsigned int, mdb_mode_t) = dlsym(RTLD_NEXT, "mdb_env_open");

	look_at_turn();
	return theirs(env, path, flags, mode);
}

void mdb_env_close(MDB_env *env)
{
	void (*theirs)(MDB_env *) = dlsym(RTLD_NEXT, "mdb_env_close");

	look_at_turn();
	theirs(env);
}

static void open_config(void)
{
	int code = config_open(state_dir, 1, &config, message, sizeof(message));
	ck_assert_msg(code == 0, "config_open: %d %s", code, message);
}

static void setup(void)
{
	state_dir_make();
	open_config();
}

static void teardown(void)
{
	config_close(config);
	state_dir_remove();
}

static void expect(uint32_t migid, const char *name, const char *value)
{
	char *got = NULL;
	int code = config_get(config, migid, name, &got);
	if (!value) {
		ck_assert_int_eq(code, -ENOENT);
		return;
	}
	ck_assert_int_eq(code, 0);
	ck_assert_str_eq(got, value);
	free(got);
}

START_TEST(test_settings)
{
	uint32_t migid = 0;
	char *created, longest[CONFIG_NAME_MAX + 2];
	ck_assert_int_eq(config_create(config, &migid), 0);
	ck_assert_uint_eq(migid, 1);
	ck_assert_int_eq(config_get(config, migid, "created", &created), 0);
	ck_assert_int_gt(atoll(created), 1600000000);
	free(created);
	expect(migid, "source", NULL);
	ck_assert_int_eq(config_set(config, migid, "source", "/a"), 0);
	ck_assert_int_eq(config_set(config, migid, "empty", ""), 0);
	ck_assert_int_eq(config_set_many(config, migid, (const char *const[]){"target", "/b", "source", "/c", NULL}), 0);
	config_close(config);
	open_config();
	expect(migid, "source", "/c");
	expect(migid, "target", "/b");
	expect(migid, "empty", "");
	ck_assert_int_eq(config_set(config, migid, "source", NULL), 0);
	ck_assert_int_eq(config_set(config, migid, "source", NULL), 0);
	expect(migid, "source", NULL);
	expect(2, "target", NULL);

	/* All or nothing. */
	memset(longest, 'n', sizeof(longest));
	longest[CONFIG_NAME_MAX + 1] = 0;
	ck_assert_int_eq(config_set_many(config, migid, (const char *const[]){"one", "1", longest, "2", NULL}), -EINVAL);
	expect(migid, "one", NULL);
	longest[CONFIG_NAME_MAX] = 0;
	ck_assert_int_eq(config_set(config, migid, longest, "x"), 0);
	expect(migid, longest, "x");
	ck_assert_int_eq(config_set(config, migid, "", "x"), -EINVAL);
	ck_assert_int_eq(config_set(config, 0, "next", "x"), -EINVAL);
}
END_TEST

START_TEST(test_migids_are_not_reused)
{
	uint32_t migid, migids[8];
	for (uint32_t i = 1; i <= 5; i++) {
		ck_assert_int_eq(config_create(config, &migid), 0);
		ck_assert_uint_eq(migid, i);
	}
	ck_assert_int_eq(config_delete(config, 5), 0);
	ck_assert_int_eq(config_delete(config, 5), -ENOENT);
	ck_assert_int_eq(config_set(config, 5, "state", "complete"), -ENOENT);
	ck_assert_int_eq(config_delete(config, 2), 0);
	config_close(config);
	open_config();
	ck_assert_int_eq(config_create(config, &migid), 0);
	ck_assert_uint_eq(migid, 6);
	ck_assert_int_eq(config_list(config, 0, migids, 8), 4);
	ck_assert_uint_eq(migids[0], 1);
	ck_assert_uint_eq(migids[1], 3);
	ck_assert_uint_eq(migids[3], 6);
	ck_assert_int_eq(config_list(config, 1, migids, 2), 2);
	ck_assert_uint_eq(migids[0], 3);
	ck_assert_uint_eq(migids[1], 4);
	ck_assert_int_eq(config_list(config, 6, migids, 8), 0);
	ck_assert_int_eq(config_list(config, UINT32_MAX, migids, 8), 0);
}
END_TEST

START_TEST(test_find)
{
	uint32_t migid, found = 0;
	ck_assert_int_eq(config_find(config, "/a", "/b", &found), -ENOENT);
	for (int i = 0; i < 3; i++) {
		char source[16];
		snprintf(source, sizeof(source), "/a%d", i);
		ck_assert_int_eq(config_create(config, &migid), 0);
		ck_assert_int_eq(config_set_many(config, migid, (const char *const[]){"source", source, "target", "/b", NULL}),
		                 0);
	}
	ck_assert_int_eq(config_find(config, "/a1", "/b", &found), 0);
	ck_assert_uint_eq(found, 2);
	ck_assert_int_eq(config_find(config, "/a", "/b", &found), -ENOENT);
	ck_assert_int_eq(config_find(config, "/a1", "/bb", &found), -ENOENT);
}
END_TEST

static int walk_each(void *context, const char *name, const char *value)
{
	char *all = context;
	strcat(strcat(strcat(strcat(all, name), "="), value), ";");
	ck_assert_int_eq(config_set(config, 1, "b", "changed"), 0); /* anything may be called */
	return strcmp(name, "c") == 0 ? 3 : 0;
}

START_TEST(test_walk)
{
	char all[256] = "";
	uint32_t migid;
	ck_assert_int_eq(config_walk(config, 1, walk_each, all), 0);
	ck_assert_str_eq(all, "");
	ck_assert_int_eq(config_create(config, &migid), 0);
	ck_assert_int_eq(config_set_many(config, 1, (const char *const[]){"d", "4", "c", "", "b", "2", "a", "1", NULL}), 0);
	ck_assert_int_eq(config_walk(config, 1, walk_each, all), 3);
	ck_assert_str_eq(all, "a=1;b=2;c=;");
	expect(1, "b", "changed");
}
END_TEST

/* Each process creates migrations of its own; together they get every number once. */
START_TEST(test_processes)
{
	enum { PROCESSES = 4, EACH = 25 };
	pid_t children[PROCESSES];
	config_close(config); /* never fork with it open */
	config = NULL;
	state_dir_remove();
	mkdir(state_dir, 0700);
	for (int i = 0; i < PROCESSES; i++)
		if ((children[i] = fork()) == 0) {
			uint32_t migid, last = 0;
			char text[16];
			/* Creating the database is a race, too. */
			if (config_open(state_dir, 1, &config, message, sizeof(message)))
				_exit(2);
			for (int n = 0; n < EACH; n++) {
				if (config_create(config, &migid) || migid <= last)
					_exit(3);
				last = migid;
				snprintf(text, sizeof(text), "%d", i);
				if (config_set(config, migid, "by", text))
					_exit(4);
			}
			config_close(config);
			_exit(0);
		}
	for (int i = 0; i < PROCESSES; i++) {
		int status;
		ck_assert_int_eq(waitpid(children[i], &status, 0), children[i]);
		ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "process %d: %x", i, status);
	}
	open_config();
	uint32_t migids[PROCESSES * EACH + 1];
	ck_assert_int_eq(config_list(config, 0, migids, PROCESSES * EACH + 1), PROCESSES * EACH);
	int by[PROCESSES] = {0};
	for (uint32_t i = 0; i < PROCESSES * EACH; i++) {
		char *value;
		ck_assert_uint_eq(migids[i], i + 1);
		ck_assert_int_eq(config_get(config, migids[i], "by", &value), 0);
		by[atoi(value)]++;
		free(value);
	}
	for (int i = 0; i < PROCESSES; i++)
		ck_assert_int_eq(by[i], EACH);
}
END_TEST

/* LMDB takes mutexes apart with the last closing, and who opens in that moment has none. */
START_TEST(test_one_opens_or_closes)
{
	turns = 0;
	config_close(config);
	ck_assert_uint_eq(turns, 1);
	open_config();
	ck_assert_uint_eq(turns, 2);
}
END_TEST

START_TEST(test_openings_beside_closings)
{
	enum { PROCESSES = 4, EACH = 300 };
	pid_t children[PROCESSES];
	uint32_t migids[4];
	int status;

	config_close(config);
	for (int i = 0; i < PROCESSES; i++) {
		if ((children[i] = fork()) == 0) {
			for (int n = 0; n < EACH; n++) {
				if (config_open(state_dir, 0, &config, message, sizeof(message)) ||
				    config_list(config, 0, migids, 4) < 0)
					_exit(1);
				config_close(config);
			}
			_exit(0);
		}
	}
	for (int i = 0; i < PROCESSES; i++) {
		ck_assert_int_eq(waitpid(children[i], &status, 0), children[i]);
		ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	}
	open_config();
}
END_TEST

START_TEST(test_create_with_settings)
{
	const struct config_pair settings[] = {{"source", "/a"}, {"target", "/b"}}, bad[] = {{"source", "/a"}, {"", "nameless"}};
	uint32_t migid = 0, none = 0;

	ck_assert_int_eq(config_create_with(config, settings, 2, &migid), 0);
	expect(migid, "source", "/a");
	expect(migid, "target", "/b");
	ck_assert_int_lt(config_create_with(config, bad, 2, &none), 0);
	ck_assert_uint_eq(none, 0);
	ck_assert_int_eq(config_list(config, migid, &none, 1), 0);
}
END_TEST

/* A process that is killed in the middle of its work holds nobody up and leaves nothing half. */
START_TEST(test_killed_process)
{
	uint32_t migid;
	config_close(config);
	for (int round = 0; round < 10; round++) {
		pid_t child = fork();
		if (child == 0) {
			if (config_open(state_dir, 1, &config, message, sizeof(message)))
				_exit(2);
			for (;;)
				if (config_create(config, &migid) ||
				    config_set_many(config, migid, (const char *const[]){"x", "1", "y", "1", NULL}))
					_exit(3);
		}
		usleep(5000 + 3000 * (unsigned)round);
		kill(child, SIGKILL);
		ck_assert_int_eq(waitpid(child, NULL, 0), child);
	}
	open_config();
	ck_assert_int_eq(config_create(config, &migid), 0);
	for (uint32_t i = 1; i < migid; i++) {
		char *x = NULL, *y = NULL;
		ck_assert_int_eq(config_get(config, i, "x", &x), config_get(config, i, "y", &y));
		free(x);
		free(y);
	}
}
END_TEST

static int try_open(const char *dir, int create)
{
	struct config *opened;
	int code = config_open(dir, create, &opened, message, sizeof(message));
	if (code == 0)
		config_close(opened);
	else
		ck_assert_int_gt((int)strlen(message), 20);
	message[0] = 0;
	return code;
}

START_TEST(test_refused)
{
	char dir[300];
	snprintf(dir, sizeof(dir), "%s/conf", state_dir);
	config_close(config);
	config = NULL;
	ck_assert_int_eq(try_open(dir, 0), -ENOENT);
	ck_assert_int_eq(mkdir(dir, 0700), 0);
	ck_assert_int_eq(try_open(dir, 0), -ENOENT);
	ck_assert_int_eq(rmdir(dir), 0);

	ck_assert_int_eq(try_open(dir, 1), 0);
	struct stat st;
	ck_assert_int_eq(stat(dir, &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0700);
	ck_assert_int_eq(try_open(dir, 0), 0);
	chmod(dir, 0770);
	ck_assert_int_eq(try_open(dir, 0), -EPERM);
	chmod(dir, 0702);
	ck_assert_int_eq(try_open(dir, 0), -EPERM);
	chmod(dir, 0755);
	ck_assert_int_eq(try_open(dir, 0), 0);
	if (geteuid() == 0) {
		ck_assert_int_eq(chown(dir, 12345, 0), 0);
		ck_assert_int_eq(try_open(dir, 0), -EPERM);
		ck_assert_int_eq(chown(dir, 0, 0), 0);
	}

	FILE *file = fopen(state_path("conf/data.mdb"), "w");
	for (int i = 0; i < 20000; i++)
		fputc(i * 7, file);
	fclose(file);
	ck_assert_int_eq(try_open(dir, 1), -EBADMSG);
	ck_assert_int_eq(stat(state_path("conf/data.mdb"), &st), 0);
	ck_assert_int_eq(st.st_size, 20000); /* left as it was */
	unlink(state_path("conf/data.mdb"));
	unlink(state_path("conf/lock.mdb"));
	rmdir(dir);
}
END_TEST

START_TEST(test_default_dir)
{
	unsetenv("DMMFS_CONFDIR");
	ck_assert_str_eq(config_default_dir(), "/var/lib/dmmfs");
	setenv("DMMFS_CONFDIR", "/somewhere", 1);
	ck_assert_str_eq(config_default_dir(), "/somewhere");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("state config");
	TCase *tests = tcase_create("config");
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, test_settings);
	tcase_add_test(tests, test_one_opens_or_closes);
	tcase_add_test(tests, test_openings_beside_closings);
	tcase_add_test(tests, test_create_with_settings);
	tcase_add_test(tests, test_migids_are_not_reused);
	tcase_add_test(tests, test_find);
	tcase_add_test(tests, test_walk);
	tcase_add_test(tests, test_processes);
	tcase_add_test(tests, test_killed_process);
	tcase_add_test(tests, test_refused);
	tcase_add_test(tests, test_default_dir);
	tcase_set_timeout(tests, 60);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
