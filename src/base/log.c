/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The log: composing lines, keeping the last of them, and the thread that hands them on.
 *
 * Control characters and what is not UTF-8, which may come from the names of files, are written as \xNN: no name can forge a line
 * or command a terminal. A line is kept in the ring first; the ring is at once the queue of the thread. It overwrites its oldest
 * line when it is full, written or not: memory is bounded, and nobody waits.
 *
 * Locks: one for the ring, a leaf, never held while something is written. errno is kept.
 */
#include "base/log.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log_sink.h"
#include "base/utf8.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define LINE_BYTES 4096
#define RING_LINES 4096u
#define RING_BYTES (1u << 20)

struct kept {
	uint64_t wall_ns;
	enum log_level level;
	char *text;
};

static struct {
	atomic_int level;
	atomic_uint migid;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t filled, drained;
	struct kept ring[RING_LINES]; /* the line with this id is at id % RING_LINES */
	uint64_t oldest, next;        /* ids: of the oldest that is kept, of the next that comes */
	size_t bytes;
	uint64_t written;    /* id of the newest line that has been handed on */
	uint64_t lost;       /* lines that were overwritten before that, and not told of yet */
	uint64_t started_ns; /* wall clock */
	bool threaded, stopping;
	pthread_t thread;
} logger = {.level = LOG_LEVEL_INFO,
            .lock = PTHREAD_MUTEX_INITIALIZER,
            .filled = PTHREAD_COND_INITIALIZER,
            .drained = PTHREAD_COND_INITIALIZER,
            .oldest = 1,
            .next = 1};

const char *log_level_name(enum log_level level)
{
	static const char *const names[] = {[LOG_LEVEL_ERROR] = "error",
	                                    [LOG_LEVEL_WARNING] = "warning",
	                                    [LOG_LEVEL_INFO] = "info",
	                                    [LOG_LEVEL_DEBUG] = "debug"};
	return names[level];
}

void log_set_level(enum log_level level)
{
	atomic_store(&logger.level, (int)level);
}

void log_set_migid(uint32_t migid)
{
	atomic_store(&logger.migid, migid);
}

void log_to_syslog(const char *ident)
{
	log_flush(1000); /* what was said before belongs to those who still read standard error */
	sink_set_syslog(ident);
}

int log_check_file(const char *path)
{
	return sink_check_file(path);
}

int log_to_file(const char *path)
{
	return sink_set_file(path);
}

/* --- the ring ------------------------------------------------------------------------------------------------------------- */

static void drop_oldest(void)
{
	struct kept *kept = &logger.ring[logger.oldest % RING_LINES];
	logger.bytes -= kept->text ? strlen(kept->text) + 1 : 0;
	free(kept->text);
	kept->text = NULL;
	logger.oldest++;
}

/* The id of the line. Without memory its text is lost; it is handed on as an empty one. */
static uint64_t keep(enum log_level level, uint64_t wall_ns, const char *text)
{
	size_t bytes = strlen(text) + 1;
	while (logger.next - logger.oldest >= RING_LINES || (logger.oldest < logger.next && logger.bytes + bytes > RING_BYTES))
		drop_oldest();
	logger.ring[logger.next % RING_LINES] = (struct kept){wall_ns, level, strdup(text)};
	logger.bytes += logger.ring[logger.next % RING_LINES].text ? bytes : 0;
	return logger.next++;
}

static void copy_line(uint64_t id, struct log_line *line, char text[LINE_BYTES])
{
	const struct kept *kept = &logger.ring[id % RING_LINES];
	snprintf(text, LINE_BYTES, "%s", kept->text ? kept->text : "");
	*line = (struct log_line){id, kept->wall_ns, kept->level, text};
}

int log_read(uint64_t after, int (*each)(void *context, const struct log_line *line), void *context)
{
	char text[LINE_BYTES];
	struct log_line line;
	int result = 0;
	while (result == 0) {
		{
			LOCKED(&logger.lock);
			uint64_t id = after + 1 > logger.oldest ? after + 1 : logger.oldest;
			if (id >= logger.next)
				return 0;
			copy_line(id, &line, text);
		}
		after = line.id;
		result = each(context, &line);
	}
	return result;
}

uint64_t log_newest(void)
{
	LOCKED(&logger.lock);
	return logger.next - 1;
}

uint64_t log_started_ns(void)
{
	LOCKED(&logger.lock);
	return logger.started_ns;
}

/* --- handing on ----------------------------------------------------------------------------------------------------------- */

/* What happens to the file is said like everything else; the file itself does not get it while it cannot be written. */
static void hand_on(const struct log_line *line)
{
	struct sink_news news;
	if (!sink_write(line, &news))
		return;
	if (news.error)
		log_event(LOG_LEVEL_WARNING, "logfile-trouble", "logfile=%s error=%s", news.path, errno_name(news.error));
	else
		log_event(LOG_LEVEL_WARNING, "logfile-again", "logfile=%s lost=%llu", news.path, (unsigned long long)news.lost);
}

static void tell_of_lost(uint64_t lost)
{
	char text[64];
	snprintf(text, sizeof(text), "event=log-lost lines=%llu", (unsigned long long)lost);
	hand_on(&(struct log_line){0, clock_wall_ns(), LOG_LEVEL_WARNING, text});
}

/* The next line that was not handed on; false: the thread is to end. */
static bool next_line(struct log_line *line, char text[LINE_BYTES], uint64_t *lost)
{
	LOCKED(&logger.lock);
	while (logger.written + 1 == logger.next && !logger.stopping)
		pthread_cond_wait(&logger.filled, &logger.lock);
	if (logger.written + 1 == logger.next)
		return false;
	if (logger.written + 1 < logger.oldest) {
		logger.lost += logger.oldest - logger.written - 1;
		logger.written = logger.oldest - 1;
	}
	*lost = logger.lost;
	logger.lost = 0;
	copy_line(logger.written + 1, line, text);
	return true;
}

static void *write_main(void *unused)
{
	char text[LINE_BYTES];
	struct log_line line;
	uint64_t lost;
	pthread_setname_np(pthread_self(), "log");
	while (next_line(&line, text, &lost)) {
		if (lost)
			tell_of_lost(lost);
		hand_on(&line);
		LOCKED(&logger.lock);
		logger.written = logger.written > line.id ? logger.written : line.id;
		pthread_cond_broadcast(&logger.drained);
	}
	return unused;
}

int log_start(void)
{
	LOCKED(&logger.lock);
	logger.written = logger.next - 1;
	logger.stopping = false;
	logger.started_ns = clock_wall_ns();
	int error = pthread_create(&logger.thread, NULL, write_main, NULL);
	logger.threaded = error == 0;
	return -error;
}

void log_flush(unsigned timeout_ms)
{
	struct timespec until = clock_after_ns(timeout_ms * NS_PER_MS);
	LOCKED(&logger.lock);
	uint64_t target = logger.next - 1;
	while (logger.threaded && logger.written < target)
		if (pthread_cond_clockwait(&logger.drained, &logger.lock, CLOCK_MONOTONIC, &until) == ETIMEDOUT)
			break;
}

void log_stop(unsigned timeout_ms)
{
	/* The one wait that goes by the clock on the wall. */
	uint64_t until_ns = clock_wall_ns() + timeout_ms * NS_PER_MS;
	struct timespec until = {.tv_sec = (time_t)(until_ns / NS_PER_S), .tv_nsec = (long)(until_ns % NS_PER_S)};
	{
		LOCKED(&logger.lock);
		if (!logger.threaded)
			return;
		logger.stopping = true;
		pthread_cond_broadcast(&logger.filled);
	}
	if (pthread_timedjoin_np(logger.thread, NULL, &until))
		pthread_detach(logger.thread);
	LOCKED(&logger.lock);
	logger.threaded = false;
}

/* --- composing ------------------------------------------------------------------------------------------------------------ */

static void log_text(enum log_level level, const char *text)
{
	struct log_line line = {0, clock_wall_ns(), level, text};
	bool debugging = atomic_load_explicit(&logger.level, memory_order_relaxed) == LOG_LEVEL_DEBUG;
	if (level != LOG_LEVEL_DEBUG) {
		LOCKED(&logger.lock);
		line.id = keep(level, line.wall_ns, text);
		if (logger.threaded && !debugging) {
			pthread_cond_signal(&logger.filled);
			return;
		}
		logger.written = line.id;
	}
	hand_on(&line);
}

/* A line that grows; what does not fit any more is left out. */
struct text {
	char bytes[LINE_BYTES];
	size_t len;
};

static void add_bytes(struct text *text, const char *bytes, size_t len)
{
	if (text->len + len >= sizeof(text->bytes))
		return;
	memcpy(text->bytes + text->len, bytes, len);
	text->len += len;
	text->bytes[text->len] = 0;
}

static void add_shown(struct text *text, const char *from)
{
	char shown[UTF8_SHOWN_BYTES];
	while (*from) {
		size_t len = utf8_show(&from, shown);
		add_bytes(text, shown, len);
	}
}

static void begin(struct text *text)
{
	unsigned migid = atomic_load_explicit(&logger.migid, memory_order_relaxed);
	text->len = 0;
	text->bytes[0] = 0;
	if (migid)
		text->len = (size_t)snprintf(text->bytes, sizeof(text->bytes), "migid=%u ", migid);
}

static bool is_dropped(enum log_level level)
{
	return (int)level > atomic_load_explicit(&logger.level, memory_order_relaxed);
}

void log_write(enum log_level level, const char *format, ...)
{
	char raw[LINE_BYTES];
	struct text text;
	va_list args;
	int kept_errno = errno;
	if (is_dropped(level))
		return;
	va_start(args, format);
	vsnprintf(raw, sizeof(raw), format, args);
	va_end(args);
	begin(&text);
	add_shown(&text, raw);
	log_text(level, text.bytes);
	errno = kept_errno;
}

/* Bare when nobody can mistake it for anything else. Room for the closing quote is kept. */
static void add_value(struct text *text, const char *value)
{
	char shown[UTF8_SHOWN_BYTES];
	bool bare = value && *value;
	for (const char *at = value; bare && *at; at++)
		bare = (unsigned char)*at > 0x20 && *at != '"' && *at != '=' && *at != '\\' && *at != 0x7f;
	for (const char *at = value; bare && *at;) {
		size_t len = utf8_sequence(at);
		bare = len > 0 && !utf8_is_control(at);
		at += len;
	}
	if (!value || bare) {
		add_bytes(text, value ? value : "-", value ? strlen(value) : 1);
		return;
	}
	add_bytes(text, "\"", 1);
	while (*value && text->len + UTF8_SHOWN_BYTES + 2 < sizeof(text->bytes)) {
		if (*value == '"' || *value == '\\')
			add_bytes(text, "\\", 1);
		size_t len = utf8_show(&value, shown);
		add_bytes(text, shown, len);
	}
	add_bytes(text, "\"", 1);
}

/* One conversion of log_event(); returns what follows it. */
static const char *add_conversion(struct text *text, const char *conversion, va_list *args)
{
	char digits[32];
	if (*conversion == 's') {
		add_value(text, va_arg(*args, const char *));
		return conversion + 1;
	}
	bool wide = strncmp(conversion, "ll", 2) == 0;
	conversion += wide ? 2 : 0;
	if (*conversion == 'u')
		snprintf(digits, sizeof(digits), "%llu", wide ? va_arg(*args, unsigned long long) : va_arg(*args, unsigned));
	else
		snprintf(digits, sizeof(digits), "%lld", wide ? va_arg(*args, long long) : va_arg(*args, int));
	add_bytes(text, digits, strlen(digits));
	return conversion + 1;
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
	struct text text;
	va_list args;
	int kept_errno = errno;
	if (is_dropped(level))
		return;
	begin(&text);
	add_bytes(&text, "event=", strlen("event="));
	add_bytes(&text, event, strlen(event));
	add_bytes(&text, " ", *format ? 1 : 0);
	va_start(args, format);
	while (*format) {
		size_t len = strcspn(format, "%");
		add_bytes(&text, format, len);
		format += len;
		if (*format)
			format = add_conversion(&text, format + 1, &args);
	}
	va_end(args);
	log_text(level, text.bytes);
	errno = kept_errno;
}
