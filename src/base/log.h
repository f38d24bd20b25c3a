/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The log: lines for people, with key=value context, to standard error, to syslog or to a file that may be rotated.
 *
 * An error is logged once, where the decision about it is made. Credentials never reach the log.
 * Threads: any. The log is the one mutable global of the program.
 */
#ifndef DMM_BASE_LOG_H
#define DMM_BASE_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Lines above this level are dropped. Default: LOG_LEVEL_INFO. */
void log_set_level(enum log_level level);

/* From now on to syslog (facility daemon) as `ident`, which must stay valid; until then to standard error. */
void log_to_syslog(const char *ident);

/* Beside that also append to this file, which is opened anew when it was moved away (log rotation). 0 or negative errno. */
int log_to_file(const char *path);

void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* "ENOSPC" for ENOSPC or -ENOSPC; never NULL. */
const char *errno_name(int error);

#endif
