/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the daemon is asked to do: by the command line, as mount(8), fstab and systemd give it, and by the configuration database.
 *
 *   dmmfs SOURCE MOUNTPOINT [-o options] [-f] [-d]
 *   dmmfs --migid N [-o options] [-f] [-d]
 *
 * The values of properties (property/property.h) that the database has are the base; those given on the command line win, and are
 * recorded there as if they had been set. Every property has its text here; most have a field, too.
 */
#ifndef DMM_DAEMON_OPTIONS_H
#define DMM_DAEMON_OPTIONS_H

#include "fs/awake.h"
#include "migrate/migrate.h"
#include "state/settings.h"

#include <stdbool.h>

enum value_origin { VALUE_DEFAULT, VALUE_SET, VALUE_MOUNT };

struct options {
	uint32_t migid; /* 0: not known, or not there yet */
	bool by_migid;  /* the command line names it */
	bool foreground, debug, allow_other, source_is_path;
	bool create;            /* only write it to the configuration */
	char *confdir, *rundir; /* NULL: the default */
	struct settings values; /* what is in force: NULL where it is the default */
	enum value_origin origin[PROPERTY_MAX];
	bool plugin_given[SETTINGS_PLUGIN_MAX];
	unsigned long flags_kept, flags_set; /* what the command line does to mount flags (MS_*) that were there before */

	/* Set by options_settle(). Texts are those of `values`, or NULL where that says so. */
	const char *source; /* as written; a path is made absolute */
	const char *mountpoint, *target;
	const char *statedir, *logfile, *protocol, *cifs, *fsname, *idmap; /* NULL: the default */
	const char *plugin_dir;
	bool autofinish, passthrough, keeper;
	unsigned long mount_flags; /* MS_* */
	unsigned threads;
	enum awake_when awake;
	bool soft;
	unsigned timeo_ds, retrans; /* tenths of a second */
	uint64_t maxentries;
	struct migrate_options migrate;
	struct dmm_setting settings[SETTINGS_PLUGIN_MAX]; /* for the source plugin */
	size_t n_settings;
	struct dmm_setting nt_settings[SETTINGS_PLUGIN_MAX]; /* for that of the second source */
	size_t n_nt_settings;
};

/* Exit statuses, as mount(8) has them. */
enum { EXIT_OK = 0, EXIT_USAGE = 1, EXIT_FAILED = 32 };

/* The steps of a start. Each: 0: go on; negative: a sentence is in `error`. The first looks at no place; 1: nothing more to do (help,
 * version). */
int options_parse(int argc, char **argv, struct options *options, char *error, size_t error_size);
/* Makes the places of the command line absolute, without links; not those of a migid, which the database has. */
int options_resolve(struct options *options, char *error, size_t error_size);
/* Adds what the database has. It is not open in this process, neither before nor after. */
int options_load(struct options *options, char *error, size_t error_size);
/* Checks the whole and fills the fields. */
int options_settle(struct options *options, char *error, size_t error_size);
void options_free(struct options *options);

/* What source_open() is to be asked; `nt` has room for the second source, and must live as long as `source`. */
void options_source(const struct options *options, struct source_options *source, struct source_options *nt);

/* Keeps in the database what the command line gave, and these settings, at most OPTIONS_ALSO, in one transaction. */
#define OPTIONS_ALSO 16
int options_record(const struct options *options, struct config *config, uint32_t migid, const struct config_pair *also,
                   size_t n_also);
/* The same of a new migration, which gets its migid. */
int options_create(const struct options *options, struct config *config, uint32_t *migid, const struct config_pair *also,
                   size_t n_also);

/* Gives the field of one property its value anew. */
void options_fill(struct options *options, const struct property *property);

/* The text that is in force for a property, its default included; NULL: there is none. */
const char *options_value(const struct options *options, const char *name);

#endif
