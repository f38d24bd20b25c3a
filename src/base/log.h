/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The log: sentences and events with key=value context, to standard error or syslog, to a file that may be rotated, and the last
 * of them in memory.
 *
 * An error is logged once, where the decision about it is made. Credentials never reach the log.
 *
 * Whoever logs never waits for a disk, a terminal or syslog once log_start() was called: a thread writes what they leave in
 * memory. If it cannot keep up, lines are lost, and how many is told. Debug lines are for developers: they are written at once by
 * those who log, and so are all others when they are wanted.
 *
 * Threads: any. The log is the one mutable global of the program.
 */
#ifndef DMM_BASE_LOG_H
#define DMM_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Lines above this level are dropped. Default: LOG_LEVEL_INFO. */
void log_set_level(enum log_level level);

/* From now on each line begins with migid=N, so that those of one migration can be picked out of a log of many. */
void log_set_migid(uint32_t migid);

/* From now on to syslog (facility daemon) as `ident`, which must stay valid; until then to standard error. */
void log_to_syslog(const char *ident);

/* Beside that also append to this file, which is opened anew when its name leads elsewhere (log rotation) or to nothing; NULL: to
 * none. A file that cannot be opened or written is told of once elsewhere and tried again with every line; its errno is returned.
 * Only -ENAMETOOLONG changes nothing. */
int log_to_file(const char *path);

/* Could log_to_file() write there? 0 or negative errno. A relative name is one of the present directory. */
int log_check_file(const char *path);

/* The thread that writes. Threads do not survive fork(2): start it after that. 0 or negative errno. */
int log_start(void);

/* Waits at most so long until all that was logged is written; before an abort(3). */
void log_flush(unsigned timeout_ms);

/* The same, and ends the thread, unless it is stuck: then it is left to itself. */
void log_stop(unsigned timeout_ms);

/* A sentence for people, with key=value context at its end. */
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* An event for programs and people: event=NAME, then what `format` says, "key=%s key=%llu ...". It knows the conversions %s, %d,
 * %u, %lld and %llu. A string that could be mistaken is put between quotes, with \" \\ and \xNN in it; NULL is written as -. */
void log_event(enum log_level level, const char *event, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* --- the last lines ------------------------------------------------------------------------------------------------------- */

struct log_line {
	uint64_t id; /* 1, 2, 3, ... since the program was started */
	uint64_t wall_ns;
	enum log_level level;
	const char *text;
};

/* Calls `each` for the lines in memory (some thousand, none of them debug) whose id is above `after`, ascending, without a lock. A
 * non-zero return ends the walk and is returned. */
int log_read(uint64_t after, int (*each)(void *context, const struct log_line *line), void *context);

/* The id of the newest line; 0: none yet. */
uint64_t log_newest(void);

/* When log_start() was called: tells one run of a program from the next, whose ids begin anew. */
uint64_t log_started_ns(void);

const char *log_level_name(enum log_level level);

/* "ENOSPC" for ENOSPC or -ENOSPC; never NULL. */
const char *errno_name(int error);

#endif
