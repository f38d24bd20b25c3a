/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Where lines of the log go: standard error or syslog, and a file. Used by log.c alone.
 *
 * Threads: any; one lock for the file, a leaf. These functions may wait as long as a disk or syslog does.
 */
#ifndef DMM_BASE_LOG_SINK_H
#define DMM_BASE_LOG_SINK_H

#include "base/log.h"

/* Something that happened to the file and is to be said elsewhere. */
struct sink_news {
	int error;     /* it can not be written any more: a positive errno */
	uint64_t lost; /* it is written again, after so many lines */
	char path[4096];
};

int sink_check_file(const char *path);
int sink_set_file(const char *path);
void sink_set_syslog(const char *ident);

/* Writes a line everywhere. True: there are news. */
bool sink_write(const struct log_line *line, struct sink_news *news);

#endif
