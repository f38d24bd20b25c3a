/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Where lines of the log go. A line leaves in one write, so that lines of several processes in one file never mix.
 *
 * The file is opened anew when its name leads to another inode than ours or to nothing: whoever rotates logs may rename, remove or
 * truncate it (O_APPEND) and has nobody to tell. While it cannot be opened the old one goes on.
 */
#include "base/log_sink.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>

#define LINE_BYTES (4096 + 256)

static const int priorities[] = {
	[LOG_LEVEL_ERROR] = LOG_ERR,
	[LOG_LEVEL_WARNING] = LOG_WARNING,
	[LOG_LEVEL_INFO] = LOG_INFO,
	[LOG_LEVEL_DEBUG] = LOG_DEBUG,
};

static struct {
	atomic_bool syslog;
	pthread_mutex_t lock; /* guards what follows */
	int fd;
	char path[PATH_MAX]; /* empty: no file is wanted */
	bool torn;           /* the last line was written in part */
	bool broken;         /* that it cannot be written was said */
	uint64_t lost;
	uint64_t looked_ns;
} sink = {.lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1};

void sink_set_syslog(const char *ident)
{
	openlog(ident, LOG_PID, LOG_DAEMON);
	atomic_store(&sink.syslog, true);
}

/* Never waits for a FIFO that nobody reads. */
static int open_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
	return fd >= 0 ? fd : -errno;
}

int sink_check_file(const char *path)
{
	struct stat st;
	bool made = stat(path, &st) < 0;
	int fd = open_file(path);
	if (fd < 0)
		return fd;
	close(fd);
	if (made)
		unlink(path);
	return 0;
}

static void close_file(void)
{
	if (sink.fd >= 0)
		close(sink.fd);
	sink.fd = -1;
	sink.torn = false;
}

int sink_set_file(const char *path)
{
	/* A relative name would lead elsewhere once the daemon has changed to the root directory. */
	char absolute[PATH_MAX] = "", cwd[PATH_MAX];
	bool relative = path && path[0] != '/';
	if (relative && !getcwd(cwd, sizeof(cwd)))
		return -errno;
	int len = snprintf(absolute, sizeof(absolute), "%s%s%s", relative ? cwd : "", relative ? "/" : "", path ? path : "");
	if (len >= (int)sizeof(absolute))
		return -ENAMETOOLONG;
	LOCKED(&sink.lock);
	close_file();
	sink.broken = false;
	sink.lost = 0;
	strcpy(sink.path, absolute);
	int fd = path ? open_file(sink.path) : 0;
	if (fd < 0)
		return fd;
	sink.fd = path ? fd : -1;
	return 0;
}

/* 0, or why there is no file to write to. */
static int follow_name(bool at_once)
{
	struct stat named, ours;
	uint64_t now_ns = clock_monotonic_ns();
	if (sink.fd >= 0 && !at_once && now_ns - sink.looked_ns < NS_PER_S)
		return 0;
	sink.looked_ns = now_ns;
	if (sink.fd >= 0 && stat(sink.path, &named) == 0 && fstat(sink.fd, &ours) == 0 && named.st_ino == ours.st_ino &&
	    named.st_dev == ours.st_dev)
		return 0;
	int fd = open_file(sink.path);
	if (fd < 0)
		return fd; /* what the old file takes meanwhile nobody may ever find: its lines count as lost */
	close_file();
	sink.fd = fd;
	return 0;
}

static int write_all(int fd, const char *text, size_t len, size_t *written)
{
	ssize_t n;
	*written = 0;
	do
		n = write(fd, text, len);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	*written = (size_t)n;
	return (size_t)n < len ? -ENOSPC : 0;
}

/* Local time to the millisecond with its offset, so that lines of both sides of a change of clocks keep their order. */
static void format_time(uint64_t wall_ns, char *buf, size_t buf_size)
{
	time_t seconds = (time_t)(wall_ns / NS_PER_S);
	struct tm parts;
	char date[32], zone[8];
	localtime_r(&seconds, &parts);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &parts);
	strftime(zone, sizeof(zone), "%z", &parts);
	snprintf(buf, buf_size, "%s.%03u%s", date, (unsigned)(wall_ns % NS_PER_S / NS_PER_MS), zone);
}

static size_t end_line(char *line, size_t size, int len)
{
	size_t end = (size_t)len < size ? (size_t)len : size - 1;
	line[end - 1] = '\n';
	return end;
}

static int write_to_file(const struct log_line *line)
{
	char time[64], text[LINE_BYTES];
	size_t written;
	int error = follow_name(line->level != LOG_LEVEL_DEBUG);
	format_time(line->wall_ns, time, sizeof(time));
	int len = snprintf(text, sizeof(text), "%s%s %s: %s\n", sink.torn ? "\n" : "", time, log_level_name(line->level),
	                   line->text);
	int failed = sink.fd >= 0 ? write_all(sink.fd, text, end_line(text, sizeof(text), len), &written) : error;
	if (sink.fd >= 0 && (!failed || written))
		sink.torn = failed != 0;
	return error ? error : failed;
}

/* A full disk must not stop the program: a line that can not be written is lost, and this is said when it begins and ends. */
static bool write_file(const struct log_line *line, struct sink_news *news)
{
	LOCKED(&sink.lock);
	if (!sink.path[0])
		return false;
	int error = write_to_file(line);
	*news = (struct sink_news){.error = sink.broken ? 0 : -error, .lost = error ? 0 : sink.lost};
	snprintf(news->path, sizeof(news->path), "%s", sink.path);
	sink.lost = error ? sink.lost + 1 : 0;
	sink.broken = error != 0;
	return news->error || news->lost;
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

/* Where nobody reads standard error there is nobody to tell. */
static void write_stderr(const struct log_line *line)
{
	char prefix[48], text[LINE_BYTES];
	size_t written;
	if (stderr_is_journal())
		snprintf(prefix, sizeof(prefix), "<%d>", priorities[line->level]);
	else
		snprintf(prefix, sizeof(prefix), "%s: %s: ", program_invocation_short_name, log_level_name(line->level));
	int len = snprintf(text, sizeof(text), "%s%s\n", prefix, line->text);
	write_all(STDERR_FILENO, text, end_line(text, sizeof(text), len), &written);
}

bool sink_write(const struct log_line *line, struct sink_news *news)
{
	if (atomic_load(&sink.syslog))
		syslog(priorities[line->level], "%s", line->text);
	else
		write_stderr(line);
	return write_file(line, news);
}
