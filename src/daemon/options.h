/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The command line: dmmfs SOURCE MOUNTPOINT [-o options] [-f] [-d], as mount(8), fstab and systemd give it.
 */
#ifndef DMM_DAEMON_OPTIONS_H
#define DMM_DAEMON_OPTIONS_H

#include "migrate/migrate.h"

#include <stdbool.h>

#define SETTINGS_MAX 64

struct options {
	char *source;                                                                 /* as written; a path is made absolute */
	char *mountpoint;                                                             /* absolute */
	char *target;                                                                 /* absolute */
	char *statedir, *confdir, *rundir, *logfile, *protocol, *plugin_dir, *fsname; /* NULL: the default */
	bool source_is_path;
	bool foreground, debug;
	bool autofinish, no_passthrough, allow_other;
	unsigned long mount_flags; /* MS_* */
	unsigned threads, tries, timeout_ms;
	struct migrate_options migrate;
	struct dmm_setting settings[SETTINGS_MAX]; /* for the source plugin */
	size_t n_settings;
};

/* Exit statuses, as mount(8) has them. */
enum { EXIT_OK = 0, EXIT_USAGE = 1, EXIT_FAILED = 32 };

/* 0: go on; 1: nothing more to do (help, version); negative: a sentence is in `error`. */
int options_parse(int argc, char **argv, struct options *options, char *error, size_t error_size);
void options_free(struct options *options);

#endif
