/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The least code that copies a local tree: threads with openat, copy_file_range (or read and write
 * where the kernel has none) and the calls for metadata. Keeps no state and promises
 * nothing: what dmmfs is held against in the bench. Prints "NAME VALUE UNIT" lines; ends with 1 when a call fails.
 *
 *   ceiling-local copy SOURCE TARGET THREADS      everything below SOURCE into TARGET, which is empty; files with several names become
 *                                                 several files
 *   ceiling-local names SOURCE TARGET             one directory: its names with their metadata and no data, then their list
 *
 * A directory is one job, the work of one thread; jobs wait in a stack. Lock: one, for the stack.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define THREADS_MOST 64
#define NAMES_SIZE 4096
#define VALUE_SIZE 65536
#define BUFFER_SIZE (256 * 1024)

static void need(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "ceiling-local: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* --- jobs ------------------------------------------------------------------------------------------------------------------- */

struct job {
	struct job *next;
	char path[]; /* below both roots */
};

static struct {
	int source, target; /* the roots */
	bool names_only;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct job *jobs;
	unsigned pending; /* waiting, or at work */
} all = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void add_job(const char *dir, const char *name)
{
	size_t size = strlen(dir) + strlen(name) + 2;
	struct job *job = malloc(sizeof(*job) + size);

	need(job, "malloc");
	snprintf(job->path, size, "%s%s%s", dir, *dir ? "/" : "", name);
	pthread_mutex_lock(&all.lock);
	job->next = all.jobs;
	all.jobs = job;
	all.pending++;
	pthread_cond_signal(&all.changed);
	pthread_mutex_unlock(&all.lock);
}

static struct job *take_job(void)
{
	pthread_mutex_lock(&all.lock);
	while (!all.jobs && all.pending)
		pthread_cond_wait(&all.changed, &all.lock);
	struct job *job = all.jobs;
	if (job)
		all.jobs = job->next;
	pthread_mutex_unlock(&all.lock);
	return job;
}

static void end_job(struct job *job)
{
	free(job);
	pthread_mutex_lock(&all.lock);
	if (--all.pending == 0)
		pthread_cond_broadcast(&all.changed);
	pthread_mutex_unlock(&all.lock);
}

/* --- one object ------------------------------------------------------------------------------------------------------------- */

static void copy_xattrs(int from, int to)
{
	char names[NAMES_SIZE], value[VALUE_SIZE];
	ssize_t len = flistxattr(from, names, sizeof(names));

	need(len >= 0, "flistxattr");
	for (const char *name = names; name < names + len; name += strlen(name) + 1) {
		ssize_t size = fgetxattr(from, name, value, sizeof(value));
		need(size >= 0 && fsetxattr(to, name, value, (size_t)size, 0) == 0, name);
	}
}

static void copy_metadata(int from, int to, const struct stat *st)
{
	struct timespec times[2] = {st->st_atim, st->st_mtim};

	if (st->st_uid || st->st_gid)
		need(fchown(to, st->st_uid, st->st_gid) == 0, "fchown");
	if (st->st_mode & (S_ISUID | S_ISGID | S_ISVTX))
		need(fchmod(to, st->st_mode & 07777) == 0, "fchmod");
	if (from >= 0)
		copy_xattrs(from, to);
	need(futimens(to, times) == 0, "futimens");
}

static void copy_through(int from, int to, off_t size)
{
	static _Thread_local char buffer[BUFFER_SIZE];

	for (off_t at = 0; at < size;) {
		ssize_t n = pread(from, buffer, sizeof(buffer), at);
		need(n > 0 && pwrite(to, buffer, (size_t)n, at) == n, "read, write");
		at += n;
	}
}

static void copy_data(int from, int to, off_t size)
{
	for (off_t in = 0, out = 0; in < size;) {
		ssize_t n = copy_file_range(from, &in, to, &out, (size_t)(size - in), 0);
		if (n < 0 && errno == EXDEV) { /* two file systems, of most kinds */
			copy_through(from, to, size);
			return;
		}
		need(n > 0, "copy_file_range");
	}
}

static void copy_regular(int source, int target, const char *name)
{
	int from = openat(source, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	need(from >= 0 && fstat(from, &st) == 0, name);
	int to = openat(target, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, st.st_mode & 0777);
	need(to >= 0, name);
	copy_data(from, to, st.st_size);
	copy_metadata(from, to, &st);
	close(to);
	close(from);
}

/* As placeholders are made: nothing of the source is opened. */
static void make_name(int source, int target, const char *name)
{
	struct stat st;

	need(fstatat(source, name, &st, AT_SYMLINK_NOFOLLOW) == 0, name);
	int to = openat(target, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, st.st_mode & 0777);
	need(to >= 0 && ftruncate(to, st.st_size) == 0, name);
	copy_metadata(-1, to, &st);
	close(to);
}

static void copy_other(int source, int target, const char *name)
{
	char text[NAMES_SIZE];
	struct stat st;

	need(fstatat(source, name, &st, AT_SYMLINK_NOFOLLOW) == 0, name);
	if (S_ISLNK(st.st_mode)) {
		ssize_t len = readlinkat(source, name, text, sizeof(text) - 1);
		need(len >= 0, "readlinkat");
		text[len] = '\0';
		need(symlinkat(text, target, name) == 0, "symlinkat");
	} else {
		need(mknodat(target, name, st.st_mode, st.st_rdev) == 0, "mknodat");
	}
	struct timespec times[2] = {st.st_atim, st.st_mtim};
	need(fchownat(target, name, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) == 0, "fchownat");
	need(utimensat(target, name, times, AT_SYMLINK_NOFOLLOW) == 0, "utimensat");
}

static void copy_entry(int source, int target, const char *path, const struct dirent *entry)
{
	if (entry->d_type == DT_REG && all.names_only) {
		make_name(source, target, entry->d_name);
	} else if (entry->d_type == DT_REG) {
		copy_regular(source, target, entry->d_name);
	} else if (entry->d_type == DT_DIR) {
		need(mkdirat(target, entry->d_name, 0755) == 0, "mkdirat");
		add_job(path, entry->d_name);
	} else {
		copy_other(source, target, entry->d_name);
	}
}

static void copy_directory(const char *path)
{
	int source = openat(all.source, *path ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int target = openat(all.target, *path ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = source < 0 ? NULL : fdopendir(source);
	struct stat st;

	need(list && target >= 0 && fstat(source, &st) == 0, path);
	for (struct dirent *entry; (entry = readdir(list));)
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			copy_entry(source, target, path, entry);
	need(fchmod(target, st.st_mode & 07777) == 0, "fchmod");
	copy_metadata(source, target, &st);
	closedir(list);
	close(target);
}

static void *work(void *unused)
{
	for (struct job *job; (job = take_job()); end_job(job))
		copy_directory(job->path);
	return unused;
}

/* --- what is measured --------------------------------------------------------------------------------------------------------- */

static void copy(unsigned n_threads)
{
	pthread_t threads[THREADS_MOST];
	double start = seconds_now();

	add_job("", "");
	for (unsigned i = 0; i < n_threads; i++)
		need((errno = pthread_create(&threads[i], NULL, work, NULL)) == 0, "pthread_create");
	for (unsigned i = 0; i < n_threads; i++)
		pthread_join(threads[i], NULL);
	printf("copy-seconds %.3f s\n", seconds_now() - start);
}

static void names(void)
{
	double start = seconds_now();
	uint64_t count = 0;

	all.names_only = true;
	copy_directory("");
	DIR *list = fdopendir(all.target);
	need(list, "fdopendir");
	while (readdir(list))
		count++;
	printf("names-seconds %.3f s\n", seconds_now() - start);
	printf("names-count %llu entries\n", (unsigned long long)count);
	closedir(list);
}

int main(int argc, char **argv)
{
	bool to_copy = argc == 5 && strcmp(argv[1], "copy") == 0, to_name = argc == 4 && strcmp(argv[1], "names") == 0;
	unsigned n_threads = to_copy ? (unsigned)atoi(argv[4]) : 1;

	if ((!to_copy && !to_name) || n_threads < 1 || n_threads > THREADS_MOST) {
		fprintf(stderr, "usage: ceiling-local copy SOURCE TARGET THREADS | names SOURCE TARGET\n");
		return 2;
	}
	umask(0);
	all.source = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	all.target = open(argv[3], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	need(all.source >= 0, argv[2]);
	need(all.target >= 0, argv[3]);
	if (to_copy)
		copy(n_threads);
	else
		names();
	return 0;
}
