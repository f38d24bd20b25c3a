/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "migrate_world.h"

#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

struct migrate_options options;
struct store_options store_options;
struct target target;
struct store *store;
struct migrate *migrate;
struct monitor monitor;

/* --- to run tests --- */

bool world_is_possible(void)
{
	if (geteuid() == 0)
		return true;
	puts("left out: objects are opened by handle, which needs root");
	return false;
}

static void set_up(void)
{
	ck_assert_int_eq(mkdir(scratch_path("state"), 0700), 0);
	ck_assert_int_eq(mkdir(scratch_path("target"), 0755), 0);
	fake_reset();
	migrate_default_options(&options);
	store_options = (struct store_options){.barrier = (int (*)(void *))target_sync, .context = &target, .linger_ms = 20};
	log_set_level(getenv("DMMFS_TEST_LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
}

TCase *world_case(Suite *suite, const char *name, void (*setup)(void))
{
	TCase *tcase = tcase_create(name);

	scratch_add(tcase);
	tcase_add_checked_fixture(tcase, set_up, NULL);
	tcase_add_checked_fixture(tcase, setup, NULL);
	tcase_set_timeout(tcase, 60);
	suite_add_tcase(suite, tcase);
	return tcase;
}

int world_run(Suite *suite)
{
	SRunner *runner = srunner_create(suite);

	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* --- a migration --- */

void world_by_segments(uint64_t segsize)
{
	options.segsize = segsize;
	options.whole_at_open = 0;
	options.fill_with_dir = 0;
}

void world_open_state(void)
{
	char error[256] = "", planted[8];

	store_options.dir = scratch_path("state");
	ck_assert_msg(target_open(scratch_path("target"), &target, error, sizeof(error)) == 0, "%s", error);
	ck_assert_int_eq(target_adopt(&target), 0);
	ck_assert_msg(store_open(&store_options, &store, error, sizeof(error)) == 0, "%s", error);
	if (store_meta_get(store, "planted", planted, sizeof(planted)) == -ENOENT) {
		ck_assert_int_eq(migrate_plant_root(store, &target, NULL), 0);
		ck_assert_int_eq(store_meta_put(store, "planted", "1"), 0);
	}
}

void world_start(void)
{
	ck_assert_int_ge(migrate_start(&options, store, &target, NULL, &migrate), 0);
	monitor = (struct monitor){0};
	monitor_register(&monitor, &migrate_monitor, migrate);
}

void world_open(void)
{
	world_open_state();
	world_start();
}

void world_close(void)
{
	migrate_stop(migrate);
	store_close(store);
	migrate_free(migrate);
	target_close(&target);
}

void world_crash(void (*steps)(void))
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		world_open();
		steps();
		raise(SIGKILL);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "the steps failed");
}

struct migration_stat *figures(void)
{
	static struct migration_stat stat;

	migrate_stat(migrate, &stat);
	return &stat;
}

void world_complete(void)
{
	char message[256] = "";

	options.background = true;
	world_open();
	await_complete();
	ck_assert_msg(migrate_check_finished(migrate, message, sizeof(message)) == 0, "%s", message);
	struct totals totals = figures()->totals;
	ck_assert_int_eq(totals.files_found, totals.files_migrated);
	ck_assert_int_eq(totals.dirs_found, totals.dirs_migrated);
	ck_assert_int_eq(totals.bytes_found, totals.bytes_migrated);
	ck_assert_int_eq(totals.files_pending, 0);
	ck_assert_int_eq(totals.bytes_pending, 0);
	ck_assert_int_eq(totals.files_error, 0);
	ck_assert_int_eq(totals.links_pending, 0);
}

/* --- applications --- */

struct application {
	struct waiter waiter;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool woken;
	int error;
	unsigned char *data; /* where the bytes of an early answer go */
	size_t got;
};

static void woken(struct waiter *waiter, int error, const void *data, size_t len)
{
	struct application *application = (struct application *)waiter;

	pthread_mutex_lock(&application->lock);
	application->woken = true;
	application->error = error;
	application->got = data ? len : 0;
	if (data)
		memcpy(application->data, data, len);
	pthread_cond_signal(&application->changed);
	pthread_mutex_unlock(&application->lock);
}

static void application_init(struct application *application)
{
	*application = (struct application){
		.waiter.wake = woken, .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
}

static int await(struct application *application)
{
	LOCKED(&application->lock);
	while (!application->woken)
		pthread_cond_wait(&application->changed, &application->lock);
	application->woken = false;
	return application->error;
}

/* Raises an event until it may go on. */
static int raise_event(struct application *application, struct subject *subject, const struct event *event, bool *held)
{
	for (;;) {
		int result = monitor_begin(&monitor, subject, event, &application->waiter, held);
		if (result != MONITOR_PARKED)
			return result;
		result = await(application);
		if (result < 0 || application->got)
			return result;
	}
}

struct subject subject_at(int dirfd, const char *name)
{
	struct subject subject = {0};
	struct stat st;

	ck_assert_msg(fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) == 0, "%s: %s", name, strerror(errno));
	subject.ino = st.st_ino;
	subject.is_dir = S_ISDIR(st.st_mode);
	subject.is_file = S_ISREG(st.st_mode);
	ck_assert_int_eq(target_handle(dirfd, name, &subject.handle), 0);
	return subject;
}

int64_t size_of(const char *path)
{
	struct stat st;
	return fstatat(target.root_fd, path, &st, 0) == 0 ? st.st_size : -1;
}

int app_names(const char *path)
{
	struct application application;
	struct subject subject = subject_at(target.root_fd, path);

	application_init(&application);
	return raise_event(&application, &subject, &(struct event){.kind = EVENT_NAMES, .fd = -1}, NULL);
}

int app_read(const char *path, uint64_t off)
{
	struct application application;
	unsigned char byte;
	struct subject subject = subject_at(target.root_fd, path);

	application_init(&application);
	application.data = &byte;
	int result =
		raise_event(&application, &subject, &(struct event){.kind = EVENT_READ, .off = off, .len = 1, .fd = -1}, NULL);
	if (result < 0 || application.got)
		return result < 0 ? result : byte;
	CLEAN_FD int fd = openat(target.root_fd, path, O_RDONLY | O_CLOEXEC);
	return pread(fd, &byte, 1, (off_t)off) == 1 ? byte : -ENODATA;
}

int app_change(const char *path, enum event_kind kind, uint64_t off, uint64_t len,
               int (*action)(int fd, uint64_t off, uint64_t len))
{
	struct application application;
	struct subject subject = subject_at(target.root_fd, path);
	struct event event = {.kind = kind, .off = off, .len = len, .fd = -1};
	bool held;

	application_init(&application);
	int result = raise_event(&application, &subject, &event, &held);
	if (result < 0)
		return result;
	CLEAN_FD int fd = openat(target.root_fd, path, O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	result = action(fd, off, len) < 0 ? -errno : 0;
	if (!held)
		return result;
	event.fd = fd;
	event.error = result;
	int ended = monitor_end(&monitor, &subject, &event, &application.waiter);
	if (ended == MONITOR_PARKED)
		ended = await(&application);
	return result < 0 ? result : ended;
}

int write_mine(int fd, uint64_t off, uint64_t len)
{
	char *zeros = calloc(1, len);
	ssize_t written = pwrite(fd, zeros, len, (off_t)off);

	free(zeros);
	return written == (ssize_t)len ? 0 : -1;
}

int app_write(const char *path, uint64_t off, uint64_t len)
{
	return app_change(path, EVENT_WRITE, off, len, write_mine);
}

static int resize(int fd, uint64_t off, uint64_t len)
{
	return ftruncate(fd, (off_t)off);
}

int app_resize(const char *path, uint64_t size)
{
	return app_change(path, EVENT_RESIZE, size, 0, resize);
}
