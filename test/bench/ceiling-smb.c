/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The ceiling that dmmfs is held against: libsmbclient in so many processes, with nothing around it. Prints "NAME VALUE UNIT"
 * lines. Asserts no time; ends with 1 when a request fails.
 *
 *   ceiling-smb large URL PROCESSES FILE [INTO]   a large file in pieces of SMB_PIECE (1048576) bytes; INTO: written there and synced, too
 *   ceiling-smb tree URL PROCESSES [INTO]         all below the share: lists with attributes, then the data of each file
 *   ceiling-smb first URL FILE N                  4 KiB at N places of a file
 *
 * URL is smb://server/share; the user is that of the environment variables SMB_USER and SMB_PASSWORD. With SMB_DESCRIPTORS=1 the
 * security descriptor of each file is read, too, as a migration does. SMB_PORT is the server's, if it is not 445. The processes take
 * their directories from one queue, a socket; one that finds it full goes on with the directory itself.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <libsmbclient.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PIECE_MOST (4u << 20)
#define PAUSE_NS 20000000

static struct shared {
	atomic_ulong pending; /* directories queued or being read */
	atomic_ulong objects;
	atomic_ullong next; /* offset in a large file */
	atomic_uint ready;
	atomic_bool go;
} * shared;
static const char *base; /* the URL */
static int into = -1, queue[2];
static bool descriptors;
static size_t piece = 1u << 20;
static char buffer[PIECE_MOST];
static SMBCCTX *context;

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* --- the library --- */

static void tell_login(SMBCCTX *ctx, const char *server, const char *share, char *domain, int domain_size, char *user,
                       int user_size, char *password, int password_size)
{
	(void)ctx, (void)server, (void)share, (void)domain, (void)domain_size;
	snprintf(user, (size_t)user_size, "%s", getenv("SMB_USER") ? getenv("SMB_USER") : "root");
	snprintf(password, (size_t)password_size, "%s", getenv("SMB_PASSWORD") ? getenv("SMB_PASSWORD") : "");
}

static void say_nothing(void *private_ptr, int level, const char *text)
{
	(void)private_ptr, (void)level, (void)text;
}

static const char *url_of(const char *path)
{
	static char url[2 * PATH_MAX];

	snprintf(url, sizeof(url), "%s%s%s", base, *path ? "/" : "", path);
	return url;
}

static void open_context(void)
{
	struct stat st;

	context = smbc_new_context();
	smbc_setLogCallback(context, NULL, say_nothing);
	smbc_setFunctionAuthDataWithContext(context, tell_login);
	smbc_setOptionOneSharePerServer(context, 1);
	smbc_setOptionFullTimeNames(context, 1);
	smbc_setOptionUrlEncodeReaddirEntries(context, 0);
	if (getenv("SMB_PORT"))
		smbc_setPort(context, (uint16_t)atoi(getenv("SMB_PORT")));
	if (!smbc_init_context(context) || !smbc_setOptionProtocols(context, "SMB2_10", "SMB3_11"))
		err(1, "libsmbclient");
	if (smbc_getFunctionStat(context)(context, base, &st) < 0)
		err(1, "%s", base);
}

static SMBCFILE *open_file(const char *path)
{
	SMBCFILE *file = smbc_getFunctionOpen(context)(context, url_of(path), O_RDONLY, 0);

	if (!file)
		err(1, "%s", url_of(path));
	return file;
}

static size_t read_at(SMBCFILE *file, const char *path, uint64_t off, size_t len)
{
	if (smbc_getFunctionLseek(context)(context, file, (off_t)off, SEEK_SET) < 0)
		err(1, "%s", path);
	ssize_t got = smbc_getFunctionRead(context)(context, file, buffer, len);
	if (got < 0)
		err(1, "%s", path);
	return (size_t)got;
}

/* --- a tree --- */

static void read_file(const char *path, const struct libsmb_file_info *info)
{
	const struct timespec times[2] = {info->atime_ts, info->mtime_ts};
	SMBCFILE *file = open_file(path);
	int fd = into >= 0 ? openat(into, path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600) : -1;

	for (uint64_t at = 0; at < info->size;) {
		ssize_t got = smbc_getFunctionRead(context)(context, file, buffer, sizeof(buffer));
		if (got <= 0 || (into >= 0 && write(fd, buffer, (size_t)got) != got))
			err(1, "%s", path);
		at += (uint64_t)got;
	}
	smbc_getFunctionClose(context)(context, file);
	if (descriptors &&
	    smbc_getFunctionGetxattr(context)(context, url_of(path), "system.nt_sec_desc.*+", buffer, sizeof(buffer)) < 0)
		err(1, "%s: its security descriptor", path);
	if (into >= 0 && (fchown(fd, 0, 0) < 0 || fchmod(fd, 0644) < 0 || futimens(fd, times) < 0 || close(fd) < 0))
		err(1, "%s", path);
}

static void read_dir(const char *path);

static void queue_dir(const char *path)
{
	if (into >= 0 && *path && mkdirat(into, path, 0755) < 0)
		err(1, "mkdir %s", path);
	atomic_fetch_add(&shared->pending, 1);
	if (send(queue[0], path, strlen(path) + 1, MSG_DONTWAIT) < 0)
		read_dir(path);
}

static void read_dir(const char *path)
{
	SMBCFILE *dir = smbc_getFunctionOpendir(context)(context, url_of(path));
	const struct libsmb_file_info *info;
	struct stat st;

	if (!dir)
		err(1, "%s", url_of(path));
	while ((info = smbc_getFunctionReaddirPlus2(context)(context, dir, &st))) {
		char below[PATH_MAX];
		if (strcmp(info->name, ".") == 0 || strcmp(info->name, "..") == 0)
			continue;
		snprintf(below, sizeof(below), "%s%s%s", path, *path ? "/" : "", info->name);
		if (info->attrs & 0x10)
			queue_dir(below);
		else if (info->size)
			read_file(below, info);
		atomic_fetch_add(&shared->objects, 1);
	}
	smbc_getFunctionClosedir(context)(context, dir);
	atomic_fetch_sub(&shared->pending, 1);
}

static void tree(const char *unused)
{
	char path[PATH_MAX];

	(void)unused;
	while (atomic_load(&shared->pending) > 0) {
		if (recv(queue[1], path, sizeof(path), MSG_DONTWAIT) > 0)
			read_dir(path);
		else
			nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
	}
}

/* --- a large file --- */

static void large(const char *path)
{
	SMBCFILE *file = open_file(path);
	int fd = into >= 0 ? openat(into, "large", O_CREAT | O_WRONLY | O_CLOEXEC, 0600) : -1;

	for (;;) {
		uint64_t off = atomic_fetch_add(&shared->next, piece);
		size_t got = read_at(file, path, off, piece);
		if (got == 0)
			break;
		if (fd >= 0 && pwrite(fd, buffer, got, (off_t)off) != (ssize_t)got)
			err(1, "large");
	}
	smbc_getFunctionClose(context)(context, file);
	if (fd >= 0)
		close(fd);
}

/* Each process opens its session before the time is taken. Seconds. */
static double run(unsigned n, void (*work)(const char *path), const char *path)
{
	int status;

	for (unsigned i = 0; i < n; i++) {
		if (fork() == 0) {
			open_context();
			atomic_fetch_add(&shared->ready, 1);
			while (!atomic_load(&shared->go))
				nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
			work(path);
			_exit(0);
		}
	}
	while (atomic_load(&shared->ready) < n) {
		if (waitpid(-1, &status, WNOHANG) > 0)
			errx(1, "a process has failed");
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	uint64_t began_ns = now_ns();
	atomic_store(&shared->go, true);
	for (unsigned i = 0; i < n; i++)
		if (wait(&status) < 0 || status != 0)
			errx(1, "a process has failed");
	if (into >= 0 && syncfs(into) < 0)
		err(1, "sync");
	return (double)(now_ns() - began_ns) / 1e9;
}

/* --- the first bytes --- */

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static double percentile_us(uint64_t *took, size_t n, size_t percent)
{
	qsort(took, n, sizeof(*took), compare);
	return (double)took[n * percent / 100] / 1000.0;
}

static void first(const char *path, unsigned places)
{
	uint64_t *both = calloc(places, sizeof(*both)), *reads = calloc(places, sizeof(*reads));
	struct stat st;

	open_context();
	if (!both || !reads || smbc_getFunctionStat(context)(context, url_of(path), &st) < 0)
		err(1, "%s", path);
	for (unsigned i = 0; i < places; i++) {
		uint64_t off = (uint64_t)st.st_size / places * ((i * 37) % places) + 123 * 4096;
		nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
		uint64_t began_ns = now_ns();
		SMBCFILE *file = open_file(path);
		uint64_t opened_ns = now_ns();
		if (read_at(file, path, off, 4096) != 4096)
			errx(1, "%s: it ends early", path);
		reads[i] = now_ns() - opened_ns;
		both[i] = now_ns() - began_ns;
		smbc_getFunctionClose(context)(context, file);
	}
	printf("open-and-first-read-p50 %.1f us\n", percentile_us(both, places, 50));
	printf("open-and-first-read-p99 %.1f us\n", percentile_us(both, places, 99));
	printf("first-read-p50 %.1f us\n", percentile_us(reads, places, 50));
	printf("first-read-p99 %.1f us\n", percentile_us(reads, places, 99));
	free(both);
	free(reads);
}

static uint64_t size_of(const char *path)
{
	struct stat st;

	open_context();
	if (smbc_getFunctionStat(context)(context, url_of(path), &st) < 0)
		err(1, "%s", path);
	smbc_free_context(context, 1);
	return (uint64_t)st.st_size;
}

int main(int argc, char **argv)
{
	bool is_large = argc > 4 && strcmp(argv[1], "large") == 0, is_tree = argc > 3 && strcmp(argv[1], "tree") == 0;
	bool is_first = argc == 5 && strcmp(argv[1], "first") == 0;
	const char *dir = is_large ? argv[5] : is_tree ? argv[4] : NULL; /* argv ends with NULL */
	unsigned n = is_large || is_tree ? (unsigned)atoi(argv[3]) : 1;

	if (!(is_large || is_tree || is_first) || n == 0)
		errx(2, "usage: ceiling-smb large URL PROCESSES FILE [INTO] | tree URL PROCESSES [INTO] | first URL FILE N");
	base = argv[2];
	descriptors = getenv("SMB_DESCRIPTORS") != NULL;
	if (getenv("SMB_PIECE"))
		piece = strtoul(getenv("SMB_PIECE"), NULL, 10);
	if (piece == 0 || piece > PIECE_MOST)
		errx(2, "SMB_PIECE: from 1 to %u bytes", PIECE_MOST);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, queue) < 0)
		err(1, "queue");
	if (dir && (into = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		err(1, "%s", dir);
	if (is_large) {
		uint64_t size = size_of(argv[4]);
		printf("rate %.0f MiB/s\n", (double)size / 1048576.0 / run(n, large, argv[4]));
	} else if (is_tree) {
		queue_dir("");
		double seconds = run(n, tree, NULL);
		printf("seconds %.3f s\nobjects-per-second %.0f /s\n", seconds, (double)atomic_load(&shared->objects) / seconds);
	} else {
		first(argv[3], (unsigned)atoi(argv[4]));
	}
	return 0;
}
