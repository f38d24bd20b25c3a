/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The migrator, a state and a target on a real directory, in a process that dies when a step says so. The next process opens what is
 * left. Applications here do what src/fs does: raise an event, act, end it.
 */
#include "simulation.h"

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/log.h"
#include "fake_source.h"
#include "migrate/internal.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_S 60u /* a process that takes longer hangs */

struct world {
	const char *top;
	struct model *model;
	struct target target;
	struct store *store;
	struct migrate *migrate;
	struct monitor monitor;
};

struct application {
	struct waiter waiter;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool woken;
	int error;
	unsigned char *data; /* SIZE_MAX_BYTES */
	size_t got;
};

/* Ends this process with what is wrong in the model; the first word counts. */
__attribute__((format(printf, 2, 3), noreturn)) static void fail(struct world *world, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(world->model->failure, sizeof(world->model->failure), format, args);
	va_end(args);
	_exit(1);
}

static void expect(struct world *world, const char *what, int result)
{
	if (result < 0)
		fail(world, "%s: %s", what, strerror(-result));
}

/* --- opening and closing --------------------------------------------------------------------------------------------------------- */

static void path_of(const struct world *world, const char *name, char path[256])
{
	snprintf(path, 256, "%s/%s", world->top, name);
}

static void world_open(struct world *world, bool background)
{
	struct store_options store = {.barrier = (int (*)(void *))target_sync, .context = &world->target, .linger_ms = 5};
	struct migrate_options options;
	char path[256], state[256], error[512] = "", planted[8];

	path_of(world, "target", path);
	path_of(world, "state", state);
	store.dir = state;
	int result = target_open(path, &world->target, error, sizeof(error));
	if (result >= 0)
		result = target_adopt(&world->target);
	if (result >= 0)
		result = store_open(&store, &world->store, error, sizeof(error));
	if (result >= 0 && store_meta_get(world->store, "planted", planted, sizeof(planted)) == -ENOENT) {
		result = migrate_plant_root(world->store, &world->target, NULL);
		if (result >= 0)
			result = store_meta_put(world->store, "planted", "1");
	}
	if (result < 0)
		fail(world, "cannot open: %s %s", strerror(-result), error);
	migrate_default_options(&options);
	options.segsize = SEGSIZE;
	options.whole_at_open = options.fill_with_dir = 0;
	options.background = background;
	options.maxnsproc = options.maxdfproc = 3;
	options.resnsproc = options.resdfproc = 1;
	expect(world, "cannot start", migrate_start(&options, world->store, &world->target, NULL, &world->migrate));
	world->monitor = (struct monitor){0};
	monitor_register(&world->monitor, &migrate_monitor, world->migrate);
}

static void world_close(struct world *world)
{
	migrate_stop(world->migrate);
	store_close(world->store);
	migrate_free(world->migrate);
	target_close(&world->target);
}

/* --- applications ---------------------------------------------------------------------------------------------------------------- */

static void woken(struct waiter *waiter, int error, const void *data, size_t len)
{
	struct application *application = (struct application *)waiter;
	LOCKED(&application->lock);

	application->woken = true;
	application->error = error;
	application->got = data ? len : 0;
	if (data && application->data)
		memcpy(application->data, data, len);
	pthread_cond_signal(&application->changed);
}

static void application_init(struct application *application, unsigned char *data)
{
	*application = (struct application){
		.waiter.wake = woken, .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .data = data};
}

static int await(struct application *application)
{
	LOCKED(&application->lock);
	while (!application->woken)
		pthread_cond_wait(&application->changed, &application->lock);
	application->woken = false;
	return application->error;
}

static int raise_event(struct world *world, struct application *application, struct subject *subject, const struct event *event,
                       bool *held)
{
	for (;;) {
		int result = monitor_begin(&world->monitor, subject, event, &application->waiter, held);
		if (result != MONITOR_PARKED)
			return result;
		result = await(application);
		if (result < 0 || application->got)
			return result;
	}
}

static struct subject subject_at(struct world *world, const char *path)
{
	struct subject subject = {0};
	struct stat st;

	if (fstatat(world->target.root_fd, path, &st, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) < 0)
		fail(world, "%s is not there: %s", path, strerror(errno));
	subject.ino = st.st_ino;
	subject.is_dir = S_ISDIR(st.st_mode);
	subject.is_file = S_ISREG(st.st_mode);
	expect(world, path, target_handle(world->target.root_fd, path, &subject.handle));
	return subject;
}

static void look_into(struct world *world, const char *path)
{
	struct application application;
	struct subject subject = subject_at(world, path);

	application_init(&application, NULL);
	expect(world, "names", raise_event(world, &application, &subject, &(struct event){.kind = EVENT_NAMES, .fd = -1}, NULL));
}

static void read_file(struct world *world, const char *path, uint32_t off, uint32_t len, unsigned char *to)
{
	struct application application;
	struct subject subject = subject_at(world, path);

	application_init(&application, to);
	int result = raise_event(world, &application, &subject,
	                         &(struct event){.kind = EVENT_READ, .off = off, .len = len, .fd = -1}, NULL);
	expect(world, "read", result);
	if (application.got)
		return;
	CLEAN_FD int fd = openat(world->target.root_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || pread(fd, to, len, off) != (ssize_t)len)
		fail(world, "%s: %u bytes at %u cannot be read", path, len, off);
}

static int act(int fd, const struct step *step)
{
	unsigned char bytes[SIZE_MAX_BYTES];

	memset(bytes, step->value, step->len);
	int result = step->kind == STEP_WRITE ? pwrite(fd, bytes, step->len, step->off) == (ssize_t)step->len ? 0 : -1
	             : step->kind == STEP_RESIZE
	                     ? ftruncate(fd, step->off)
	                     : fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, step->off, step->len);
	return result < 0 ? -errno : 0;
}

static void change(struct world *world, const char *path, const struct step *step)
{
	static const enum event_kind events[] = {
		[STEP_WRITE] = EVENT_WRITE, [STEP_RESIZE] = EVENT_RESIZE, [STEP_PUNCH] = EVENT_PUNCH};
	struct event event = {
		.kind = events[step->kind], .off = step->off, .len = step->kind == STEP_RESIZE ? 0 : step->len, .fd = -1};
	struct application application;
	struct subject subject = subject_at(world, path);
	bool held = false;

	application_init(&application, NULL);
	expect(world, "begin", raise_event(world, &application, &subject, &event, &held));
	CLEAN_FD int fd = openat(world->target.root_fd, path, O_RDWR | O_CLOEXEC);
	event.fd = fd;
	event.error = fd < 0 ? -errno : act(fd, step);
	int ended = held ? monitor_end(&world->monitor, &subject, &event, &application.waiter) : 0;
	if (ended == MONITOR_PARKED)
		ended = await(&application);
	expect(world, "change", event.error < 0 ? event.error : ended);
}

static void move(struct world *world, const struct model_file *from, const struct model_file *to)
{
	struct subject subject = subject_at(world, from->path);
	int root = world->target.root_fd;

	if (to->there && renameat(root, from->path, root, to->path) < 0)
		fail(world, "rename %s: %s", from->path, strerror(errno));
	if (to->there)
		return;
	if (unlinkat(root, from->path, 0) < 0)
		fail(world, "unlink %s: %s", from->path, strerror(errno));
	struct event event = {.kind = EVENT_REMOVED, .off = 0, .fd = -1};
	struct application application;
	application_init(&application, NULL);
	monitor_begin(&world->monitor, &subject, &event, &application.waiter, NULL);
}

/* --- comparing -------------------------------------------------------------------------------------------------------------------- */

static void check_bytes(struct world *world, const struct model_file *file, uint32_t off, uint32_t len)
{
	unsigned char bytes[SIZE_MAX_BYTES];

	if (len == 0)
		return;
	read_file(world, file->path, off, len, bytes);
	for (uint32_t i = 0; i < len; i++)
		if (bytes[i] != file->bytes[off + i])
			fail(world, "%s: byte %u is %u, must be %u", file->path, off + i, bytes[i], file->bytes[off + i]);
}

static void check_file(struct world *world, const struct model_file *file)
{
	struct stat st;
	bool there = fstatat(world->target.root_fd, file->path, &st, AT_SYMLINK_NOFOLLOW) == 0;

	if (there != file->there)
		fail(world, "%s %s", file->path, there ? "is there again" : "is gone");
	if (!there)
		return;
	if ((uint64_t)st.st_size != file->size)
		fail(world, "%s: size %llu, must be %u", file->path, (unsigned long long)st.st_size, file->size);
	check_bytes(world, file, 0, file->size);
}

/* The step that a crash has cut off: the file is as before it or after it, each byte of it. What it is counts from now on. */
static void resolve(struct world *world)
{
	struct model *model = world->model;
	const struct model_file *after = &model->after;
	unsigned char bytes[SIZE_MAX_BYTES];
	struct stat st;

	if (model->under_way < 0)
		return;
	struct model_file *file = &model->files[model->under_way];
	bool there = fstatat(world->target.root_fd, file->path, &st, AT_SYMLINK_NOFOLLOW) == 0;
	if (!there || !after->there || strcmp(after->path, file->path) != 0) { /* one system call: done or not */
		if (!there)
			*file = *after;
		model->under_way = -1;
		return;
	}
	/* Of a write that extends the file the kernel may have done whole pages. */
	bool in_part = model->writes && st.st_size > file->size && st.st_size < after->size && st.st_size % SEGSIZE == 0;
	if (st.st_size != file->size && st.st_size != after->size && !in_part)
		fail(world, "%s: size %llu after a crash, must be %u or %u", file->path, (unsigned long long)st.st_size,
		     file->size, after->size);
	uint32_t size = (uint32_t)st.st_size;
	if (size)
		read_file(world, file->path, 0, size, bytes);
	for (uint32_t i = 0; i < size; i++)
		if (bytes[i] != after->bytes[i] && (i >= file->size || bytes[i] != file->bytes[i]))
			fail(world, "%s: byte %u is %u after a crash, must be %u or %u", file->path, i, bytes[i],
			     i < file->size ? file->bytes[i] : 0, after->bytes[i]);
	memset(file->bytes, 0, sizeof(file->bytes));
	memcpy(file->bytes, bytes, size);
	file->size = size;
	model->under_way = -1;
}

/* --- steps ------------------------------------------------------------------------------------------------------------------------ */

/* Those that this world meets. */
static void arm(const struct step *step)
{
	static const enum fault_point points[] = {
		FAULT_COMMIT_BARRIER, FAULT_COMMIT_DONE,   FAULT_POPULATE_ENTRY, FAULT_POPULATE_MADE, FAULT_FETCH_READ,
		FAULT_FETCH_WRITTEN,  FAULT_FILE_COMPLETE, FAULT_WRITE_OWNED,    FAULT_RESIZE_BEFORE, FAULT_RESIZE_DONE};
	enum fault_point point = points[step->file % (sizeof(points) / sizeof(*points))];
	char text[96];
	snprintf(text, sizeof(text), "%s:%u", fault_name(point), step->off % 4 + 1);
	setenv("DMMFS_FAULT", text, 1);
	fault_arm_from_environment();
}

static void take_step(struct world *world, const struct step *step)
{
	struct model *model = world->model;
	struct model_file after;

	if (step->kind == STEP_FAULT)
		arm(step);
	if (!model_step(model, step, &after))
		return;
	struct model_file *file = &model->files[step->file % FILES];
	if (step->kind == STEP_READ) {
		check_bytes(world, file, step->off, step->off + step->len > file->size ? file->size - step->off : step->len);
		return;
	}
	model->names += step->kind == STEP_RENAME; /* before: a name is used up also when a crash cuts the rename off */
	model->after = after;
	model->writes = step->kind == STEP_WRITE;
	model->under_way = (int)(step->file % FILES);
	if (step->kind == STEP_RENAME || step->kind == STEP_UNLINK)
		move(world, file, &after);
	else
		change(world, file->path, step);
	*file = after;
	model->under_way = -1;
}

static void live(struct world *world, const struct step *steps, unsigned count)
{
	struct model *model = world->model;

	alarm(PATIENCE_S);
	model_source();
	world_open(world, model->background);
	look_into(world, "");
	look_into(world, "d");
	resolve(world);
	while (model->done < count) {
		const struct step *step = &steps[model->done++];
		if (step->kind == STEP_CRASH)
			raise(SIGKILL);
		if (step->kind == STEP_HALT)
			break;
		take_step(world, step);
	}
	if (model->done == count)
		for (unsigned i = 0; i < FILES; i++)
			check_file(world, &model->files[i]);
	world_close(world);
	_exit(0);
}

/* Nothing is left to do, the counters add up, and all is as it must be without us. */
static void end(struct world *world)
{
	struct migration_stat stat = {0};
	char message[512] = "";

	alarm(PATIENCE_S);
	model_source();
	world_open(world, true);
	while (migrate_check_finished(world->migrate, message, sizeof(message)) == -EINPROGRESS) {
		migrate_stat(world->migrate, &stat);
		if (stat.totals.files_error || stat.totals.dirs_error)
			fail(world, "%s", message);
		usleep(1000);
	}
	migrate_stat(world->migrate, &stat);
	if (stat.totals.files_found != stat.totals.files_migrated || stat.totals.bytes_found != stat.totals.bytes_migrated ||
	    stat.totals.files_pending || stat.totals.bytes_pending || stat.totals.dirs_found != stat.totals.dirs_migrated)
		fail(world, "the counters do not add up: files %lld of %lld, bytes %lld of %lld, pending %lld, %lld",
		     (long long)stat.totals.files_migrated, (long long)stat.totals.files_found,
		     (long long)stat.totals.bytes_migrated, (long long)stat.totals.bytes_found,
		     (long long)stat.totals.files_pending, (long long)stat.totals.bytes_pending);
	for (unsigned i = 0; i < FILES; i++)
		check_file(world, &world->model->files[i]);
	world_close(world);
	_exit(0);
}

/* True: it came to its end, or died as it was to. */
static bool in_process(struct world *world, const struct step *steps, unsigned count, bool last, bool *died)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		log_set_level(getenv("DMMFS_TEST_LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
		if (last)
			end(world);
		live(world, steps, count);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		snprintf(world->model->failure, sizeof(world->model->failure), "no process: %s", strerror(errno));
		return false;
	}
	*died = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
	if (!*died && status != 0 && !*world->model->failure)
		snprintf(world->model->failure, sizeof(world->model->failure), "the process ended with status %x", status);
	return *died || status == 0;
}

bool world_run(const char *top, struct model *model, const struct step *steps, unsigned count)
{
	struct world world = {.top = top, .model = model};
	bool died = true;

	while (died || model->done < count) {
		if (!in_process(&world, steps, count, false, &died))
			return false;
		model->background = !model->background;
	}
	return in_process(&world, steps, count, true, &died);
}
