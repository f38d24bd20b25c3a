/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The log. A line is built in one buffer and leaves in one write, so lines of several threads never mix. Control characters,
 * which may come from the names of files, are written as \xNN: no name can forge a line.
 *
 * The file is reopened when its name leads to another inode than ours (rotation), looked at once a second at most.
 * Threads: any; one mutex guards the file, a leaf. errno is kept.
 */
#include "base/log.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>

#define LINE_BYTES 4096

static const struct {
	const char *name;
	int priority;
} levels[] = {
	[LOG_LEVEL_ERROR] = {"error", LOG_ERR},
	[LOG_LEVEL_WARNING] = {"warning", LOG_WARNING},
	[LOG_LEVEL_INFO] = {"info", LOG_INFO},
	[LOG_LEVEL_DEBUG] = {"debug", LOG_DEBUG},
};

static struct {
	atomic_int level;
	atomic_bool syslog, file;
	pthread_mutex_t lock; /* guards what follows */
	int fd;
	char path[PATH_MAX];
	uint64_t looked_ns;
} logger = {.level = LOG_LEVEL_INFO, .lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1};

void log_set_level(enum log_level level)
{
	atomic_store(&logger.level, (int)level);
}

void log_to_syslog(const char *ident)
{
	openlog(ident, LOG_PID, LOG_DAEMON);
	atomic_store(&logger.syslog, true);
}

static int open_log_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
	return fd >= 0 ? fd : -errno;
}

int log_to_file(const char *path)
{
	/* A relative name would lead elsewhere once the daemon has changed to the root directory. */
	char absolute[PATH_MAX];
	char *cwd = NULL;
	if (path[0] != '/' && !(cwd = getcwd(absolute, sizeof(absolute))))
		return -errno;
	LOCKED(&logger.lock);
	int len = snprintf(logger.path, sizeof(logger.path), "%s%s%s", cwd ? cwd : "", cwd ? "/" : "", path);
	if (len >= (int)sizeof(logger.path))
		return -ENAMETOOLONG;
	int fd = open_log_file(logger.path);
	if (fd < 0)
		return fd;
	if (logger.fd >= 0)
		close(logger.fd);
	logger.fd = fd;
	logger.looked_ns = clock_monotonic_ns();
	atomic_store(&logger.file, true);
	return 0;
}

/* After a rotation the old file goes on until the new one can be opened. */
static void follow_rotation(void)
{
	struct stat named, ours;
	uint64_t now_ns = clock_monotonic_ns();
	if (now_ns - logger.looked_ns < NS_PER_S)
		return;
	logger.looked_ns = now_ns;
	if (stat(logger.path, &named) == 0 && fstat(logger.fd, &ours) == 0 && named.st_ino == ours.st_ino &&
	    named.st_dev == ours.st_dev)
		return;
	int fd = open_log_file(logger.path);
	if (fd < 0)
		return;
	close(logger.fd);
	logger.fd = fd;
}

/* A full disk must not stop the program: a line that can not be written is lost. */
static void write_line(int fd, const char *prefix, const char *message)
{
	char line[LINE_BYTES + 128];
	int len = snprintf(line, sizeof(line), "%s%s\n", prefix, message);
	if (len >= (int)sizeof(line))
		len = (int)sizeof(line) - 1;
	ssize_t written;
	do
		written = write(fd, line, (size_t)len);
	while (written < 0 && errno == EINTR);
}

/* Local time to the millisecond with its offset, so that lines of both sides of a change of clocks keep their order. */
static void format_time(char *buf, size_t buf_size)
{
	struct timespec now;
	struct tm parts;
	char date[32], zone[8];
	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &parts);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &parts);
	strftime(zone, sizeof(zone), "%z", &parts);
	snprintf(buf, buf_size, "%s.%03ld%s", date, now.tv_nsec / 1000000, zone);
}

static void write_file(enum log_level level, const char *message)
{
	char time[64], prefix[96];
	format_time(time, sizeof(time));
	snprintf(prefix, sizeof(prefix), "%s %s: ", time, levels[level].name);
	LOCKED(&logger.lock);
	follow_rotation();
	write_line(logger.fd, prefix, message);
}

/* systemd tells by JOURNAL_STREAM=device:inode that standard error is the journal; "<3>" then gives it the priority. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;
	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
	       st.st_dev == device && st.st_ino == inode;
}

static void write_stderr(enum log_level level, const char *message)
{
	char prefix[48];
	if (stderr_is_journal())
		snprintf(prefix, sizeof(prefix), "<%d>", levels[level].priority);
	else
		snprintf(prefix, sizeof(prefix), "%s: %s: ", program_invocation_short_name, levels[level].name);
	write_line(STDERR_FILENO, prefix, message);
}

static void escape_controls(const char *text, char *buf, size_t buf_size)
{
	size_t len = 0;
	for (; *text && len + 5 <= buf_size; text++) {
		unsigned char c = (unsigned char)*text;
		if (c >= 0x20 && c != 0x7f)
			buf[len++] = (char)c;
		else
			len += (size_t)snprintf(buf + len, buf_size - len, "\\x%02x", c);
	}
	buf[len] = 0;
}

void log_write(enum log_level level, const char *format, ...)
{
	char raw[LINE_BYTES], message[LINE_BYTES];
	va_list args;
	int kept_errno = errno;
	if ((int)level > atomic_load_explicit(&logger.level, memory_order_relaxed))
		return;
	va_start(args, format);
	vsnprintf(raw, sizeof(raw), format, args);
	va_end(args);
	escape_controls(raw, message, sizeof(message));
	if (atomic_load(&logger.syslog))
		syslog(levels[level].priority, "%s", message);
	else
		write_stderr(level, message);
	if (atomic_load(&logger.file))
		write_file(level, message);
	errno = kept_errno;
}

/* Numbers that are the kernel's own and get out now and then, by NFS above all. */
static const struct {
	int error;
	const char *name;
} kernel_errors[] = {
	{512, "ERESTARTSYS"}, {515, "ENOIOCTLCMD"},  {521, "EBADHANDLE"}, {523, "EBADCOOKIE"}, {524, "ENOTSUPP"},
	{525, "ETOOSMALL"},   {526, "ESERVERFAULT"}, {527, "EBADTYPE"},   {528, "EJUKEBOX"},
};

const char *errno_name(int error)
{
	static _Thread_local char unnamed[16];
	if (error < 0 && error != INT_MIN)
		error = -error;
	/* Two names of one number: we say the one that POSIX uses for files. */
	if (error == ENOTSUP)
		return "ENOTSUP";
	const char *name = strerrorname_np(error);
	if (name)
		return name;
	for (size_t i = 0; i < sizeof(kernel_errors) / sizeof(kernel_errors[0]); i++)
		if (kernel_errors[i].error == error)
			return kernel_errors[i].name;
	snprintf(unnamed, sizeof(unnamed), "E%d", error);
	return unnamed;
}
