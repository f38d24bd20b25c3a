/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The calls on open files. A slot holds the same file on both sides.
 */
#include "calls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SLOTS 12
#define SIZE_MAX_BYTES (4u << 20)
#define PAGE 4096u
#define BLOCK 1024 /* the smallest of ext4 */

static struct slot {
	int fd; /* plus one; 0: none */
	bool direct;
} slots[SLOTS][SIDES];

static unsigned char *buffer(void)
{
	static unsigned char *memory; /* aligned, for O_DIRECT */

	if (!memory && posix_memalign((void **)&memory, PAGE, DATA_MAX + PAGE))
		abort();
	return memory;
}

static int fd_of(const struct args *a, unsigned side)
{
	return slots[a->slot][side].fd - 1; /* -1: the call says EBADF on both sides */
}

static void drop(struct slot *slot)
{
	if (slot->fd)
		close(slot->fd - 1);
	*slot = (struct slot){0};
}

void calls_close_all(void)
{
	for (unsigned i = 0; i < SLOTS; i++)
		for (unsigned s = 0; s < SIDES; s++)
			drop(&slots[i][s]);
}

static void keep(struct slot *slot, int fd, int flags, struct outcome *out)
{
	struct stat st;

	drop(slot);
	if (fd < 0)
		return;
	out->ret = 0;
	if (fstat(fd, &st) == 0)
		out_stat(out, &st);
	if (S_ISREG(st.st_mode))
		*slot = (struct slot){.fd = fd + 1, .direct = flags & O_DIRECT};
	else
		close(fd);
}

void data_open(const struct args *a, unsigned side, struct outcome *out)
{
	static const int modes[] = {O_RDONLY, O_WRONLY, O_RDWR, O_RDWR};
	int flags = modes[a->bits % 4] | O_NONBLOCK | O_CLOEXEC;
	uint32_t more = a->bits >> 2;

	flags |= more % 3 == 0 ? O_CREAT : 0;
	flags |= more % 7 == 0 ? O_EXCL & (flags & O_CREAT ? -1 : 0) : 0;
	flags |= more % 11 == 0 ? O_TRUNC : 0;
	flags |= more % 13 == 0 ? O_APPEND : 0;
	flags |= more % 17 == 0 && !(flags & O_APPEND) ? O_DIRECT : 0; /* the end is not aligned */
	flags |= more % 19 == 0 ? O_NOFOLLOW : 0;
	flags |= more % 23 == 0 ? O_SYNC : 0;
	flags |= more % 29 == 0 ? O_DIRECTORY & (flags & O_CREAT ? 0 : -1) : 0;
	flags |= more % 31 == 0 ? O_NOATIME : 0;
	int fd = open(a->path, flags, a->mode & 07777);
	out_ret(out, fd);
	keep(&slots[a->slot][side], fd, flags, out);
}

void data_close(const struct args *a, unsigned side, struct outcome *out)
{
	drop(&slots[a->slot][side]);
	out->ret = 0;
}

/* A file without a name, which it may get. */
void data_tmpfile(const struct args *a, unsigned side, struct outcome *out)
{
	int flags = O_TMPFILE | O_RDWR | O_CLOEXEC | (a->bits % 3 ? 0 : O_EXCL);
	int fd = open(a->path, flags, a->mode & 07777);

	out_ret(out, fd);
	if (fd >= 0 && a->bits & 16) {
		char from[64];
		snprintf(from, sizeof(from), "/proc/self/fd/%d", fd);
		user_become(0); /* /proc/self belongs to root once the user was changed */
		int result = linkat(AT_FDCWD, from, AT_FDCWD, a->path2, AT_SYMLINK_FOLLOW);
		int error = result < 0 ? errno : 0;
		out_add(out, &error, sizeof(error));
	}
	keep(&slots[a->slot][side], fd, flags, out);
}

/* O_DIRECT wants whole blocks. */
static void align(const struct args *a, unsigned side, uint64_t *off, size_t *len)
{
	if (!slots[a->slot][side].direct)
		return;
	*off &= ~(uint64_t)(PAGE - 1);
	*len = *len < PAGE ? PAGE : *len & ~(size_t)(PAGE - 1);
}

void data_read(const struct args *a, unsigned side, struct outcome *out)
{
	uint64_t off = a->off;
	size_t len = a->len;

	align(a, side, &off, &len);
	out_ret(out, pread(fd_of(a, side), buffer(), len, (off_t)off));
	if (out->ret > 0)
		out_add(out, buffer(), (size_t)out->ret);
}

static void out_size(const struct args *a, unsigned side, struct outcome *out)
{
	struct stat st;
	int error = errno;

	if (fstat(fd_of(a, side), &st) == 0)
		out_stat(out, &st);
	errno = error;
}

void data_write(const struct args *a, unsigned side, struct outcome *out)
{
	uint64_t off = a->off;
	size_t len = a->len;

	align(a, side, &off, &len);
	random_fill(buffer(), len, a->seed);
	out_ret(out, pwrite(fd_of(a, side), buffer(), len, (off_t)off));
	out_size(a, side, out);
}

/* At the position of the descriptor, which O_APPEND moves to the end. */
void data_append(const struct args *a, unsigned side, struct outcome *out)
{
	int fd = fd_of(a, side);

	if (slots[a->slot][side].direct || lseek(fd, 0, SEEK_CUR) > SIZE_MAX_BYTES) {
		out->ret = 0;
		return;
	}
	random_fill(buffer(), a->len, a->seed);
	out_ret(out, write(fd, buffer(), a->len));
	off_t at = lseek(fd, 0, SEEK_CUR);
	out_add(out, &at, sizeof(at));
}

void data_fstat(const struct args *a, unsigned side, struct outcome *out)
{
	struct stat st;

	out_ret(out, fstat(fd_of(a, side), &st));
	if (out->ret == 0)
		out_stat(out, &st);
}

void data_truncate(const struct args *a, unsigned side, struct outcome *out)
{
	out_ret(out, ftruncate(fd_of(a, side), (off_t)a->off));
	out_size(a, side, out);
}

void data_allocate(const struct args *a, unsigned side, struct outcome *out)
{
	static const int modes[] = {
		0,
		FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_ZERO_RANGE,
		FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_PUNCH_HOLE,
	};

	out_ret(out, fallocate(fd_of(a, side), modes[a->bits % 7], (off_t)a->off, (off_t)a->len));
	out_size(a, side, out);
}

/* What has not come over counts as data, so answers may differ. They must be true: what a side calls a hole reads as zeros. */
static int check_zeros(int fd, off_t from, off_t to)
{
	for (off_t at = from; at < to; at += PAGE) {
		size_t want = to - at < PAGE ? (size_t)(to - at) : PAGE;
		ssize_t got = pread(fd, buffer(), want, at);
		for (ssize_t i = 0; i < got; i++)
			if (buffer()[i])
				return -1;
	}
	return 0;
}

void data_seek(const struct args *a, unsigned side, struct outcome *out)
{
	int fd = fd_of(a, side), whence = a->bits & 1 ? SEEK_DATA : SEEK_HOLE;
	struct stat st;

	if (fstat(fd, &st) < 0 || (fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY || slots[a->slot][side].direct) {
		out->ret = 0;
		return;
	}
	off_t found = lseek(fd, (off_t)a->off, whence);
	int error = found < 0 ? errno : 0;
	bool beyond = a->off >= (uint64_t)st.st_size;
	out_add(out, &beyond, sizeof(beyond));
	bool right;
	if (beyond)
		right = error == ENXIO;
	else if (whence == SEEK_DATA) /* ENXIO: no data up to the end */
		right = (found >= 0 || error == ENXIO) && check_zeros(fd, (off_t)a->off, found < 0 ? st.st_size : found) == 0;
	else
		right = found >= (off_t)a->off && found <= st.st_size && check_zeros(fd, found, (found / BLOCK + 1) * BLOCK) == 0;
	out_add(out, &right, sizeof(right));
	out->ret = right ? 0 : found;
	lseek(fd, 0, SEEK_SET);
}

/* A file system may copy less than was asked at once. */
void data_copy(const struct args *a, unsigned side, struct outcome *out)
{
	off_t in = (off_t)a->off, at = (off_t)a->off2, end = in + (off_t)a->len;
	struct args to = *a;
	ssize_t n;

	to.slot = a->slot2;
	out->ret = 0;
	if (slots[a->slot][side].direct || slots[a->slot2][side].direct)
		return; /* would have to be aligned */
	do
		n = copy_file_range(fd_of(a, side), &in, fd_of(&to, side), &at, (size_t)(end - in), 0);
	while (n > 0 && in < end);
	out_ret(out, n < 0 ? n : in - (off_t)a->off);
	out_size(&to, side, out);
}

/* Reads through a mapping and, where the descriptor may, writes. Never beyond the end. */
void data_map(const struct args *a, unsigned side, struct outcome *out)
{
	int fd = fd_of(a, side), mode = fd < 0 ? 0 : fcntl(fd, F_GETFL) & O_ACCMODE;
	bool shared = a->bits & 1, writes = a->bits & 2;
	uint64_t off = a->off & ~(uint64_t)(PAGE - 1);
	struct stat st;

	out->ret = 0;
	if (fd < 0 || fstat(fd, &st) < 0 || (uint64_t)st.st_size <= off)
		return;
	size_t len = (uint64_t)st.st_size - off < a->len ? (size_t)((uint64_t)st.st_size - off) : a->len;
	if (len == 0)
		return;
	void *map =
		mmap(NULL, len, writes ? PROT_READ | PROT_WRITE : PROT_READ, shared ? MAP_SHARED : MAP_PRIVATE, fd, (off_t)off);
	out_ret(out, map == MAP_FAILED ? -1 : 0);
	if (map == MAP_FAILED)
		return;
	if (writes && (!shared || mode == O_RDWR)) {
		size_t from = a->bits % len;
		random_fill((unsigned char *)map + from, (len - from) / 2, a->seed);
		if (shared && msync(map, len, MS_SYNC) < 0)
			out_ret(out, -1);
	}
	out_add(out, map, len);
	munmap(map, len);
}

void data_sync(const struct args *a, unsigned side, struct outcome *out)
{
	out_ret(out, a->bits & 1 ? fsync(fd_of(a, side)) : fdatasync(fd_of(a, side)));
}

/* Two processes: this one takes a lock, the other asks. */
static int other_process_asks(int fd, const struct flock *lock)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		struct flock asked = *lock;
		asked.l_type = F_WRLCK;
		_exit(fcntl(fd, F_GETLK, &asked) < 0 ? errno : 200 + asked.l_type);
	}
	return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void data_locks(const struct args *a, unsigned side, struct outcome *out)
{
	int fd = fd_of(a, side);
	struct flock lock = {.l_type = a->bits & 1 ? F_WRLCK : F_RDLCK, .l_start = (off_t)a->off, .l_len = (off_t)a->len};
	struct args other = *a;

	other.slot = a->slot2;
	out_ret(out, fcntl(fd, F_SETLK, &lock));
	int said = out->ret == 0 ? other_process_asks(fd, &lock) : 0;
	lock.l_type = F_UNLCK;
	fcntl(fd, F_SETLK, &lock);
	out_add(out, &said, sizeof(said));
	/* Two open files. */
	int results[2] = {flock(fd, LOCK_EX | LOCK_NB), flock(fd_of(&other, side), LOCK_SH | LOCK_NB)};
	out_add(out, results, sizeof(results));
	flock(fd, LOCK_UN);
	flock(fd_of(&other, side), LOCK_UN);
}
