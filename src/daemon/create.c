/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dmmfs --create SOURCE MOUNTPOINT [-o options]: everything is checked as for a mount, the source is opened, and the migration
 * is written to the configuration, halted. Nothing is written to the target. Called by dmmfs-admin; prints the migid.
 */
#include "daemon/daemon.h"

#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- who else is there ---------------------------------------------------------------------------------------------------------- */

static bool setting_is(struct daemon *daemon, uint32_t migid, const char *name, const char *value)
{
	CLEAN_FREE char *stored = NULL;

	return config_get(daemon->config, migid, name, &stored) >= 0 && strcmp(stored, value) == 0;
}

static bool uses(struct daemon *daemon, uint32_t migid, const char *place)
{
	return setting_is(daemon, migid, "target", place) || setting_is(daemon, migid, "mountpoint", place);
}

static int refuse_other(struct daemon *daemon, uint32_t migid, char *error, size_t error_size)
{
	const struct options *options = daemon->options;
	bool same = migid == options->migid;

	if (setting_is(daemon, migid, "state", "complete"))
		snprintf(error, error_size,
		         "migration %u from %s to %s is complete; 'dmmfs-admin delete %u' forgets it, then another one can be "
		         "made",
		         migid, options->source, options->target, migid);
	else if (same)
		snprintf(error, error_size, "there is a migration from %s to %s: 'dmmfs-admin start %u' starts it",
		         options->source, options->target, migid);
	else
		snprintf(error, error_size,
		         "migration %u uses %s: name another target and mount point, or end that one ('dmmfs-admin delete %u')",
		         migid, uses(daemon, migid, options->target) ? options->target : options->mountpoint, migid);
	return -EEXIST;
}

/* A complete migration has left its target, and does not stand in the way of one from another source. */
static bool uses_our_place(struct daemon *daemon, uint32_t migid)
{
	const struct options *options = daemon->options;

	if (migid == options->migid)
		return true;
	return !setting_is(daemon, migid, "state", "complete") &&
	       (uses(daemon, migid, options->target) || uses(daemon, migid, options->mountpoint));
}

static int check_others(struct daemon *daemon, char *error, size_t error_size)
{
	uint32_t migids[64], after = 0;
	int count;

	while ((count = config_list(daemon->config, after, migids, 64)) > 0) {
		for (int i = 0; i < count; i++)
			if (uses_our_place(daemon, migids[i]))
				return refuse_other(daemon, migids[i], error, error_size);
		after = migids[count - 1];
	}
	if (count < 0)
		snprintf(error, error_size, "the configuration database cannot be read: %s", strerror(-count));
	return count;
}

static int check_target(struct daemon *daemon, char *error, size_t error_size)
{
	const struct options *options = daemon->options;
	char uuid[UUID_SIZE];

	if (target_mark(&daemon->target, uuid, sizeof(uuid)) >= 0) {
		snprintf(error, error_size,
		         "the target %s belongs to a migration (%s) that this configuration does not know: mount it with its "
		         "source, "
		         "which goes on with it",
		         options->target, uuid);
		return -EBUSY;
	}
	return options->migrate.collision == COLLISION_ERROR ? daemon_refuse_occupied(daemon, error, error_size) : 0;
}

/* --- making ----------------------------------------------------------------------------------------------------------------- */

static int write_entry(struct daemon *daemon)
{
	const struct options *options = daemon->options;
	const struct config_pair settings[] = {
		{"source", options->source},
		{"target", options->target},
		{"mountpoint", options->mountpoint},
		{"state", "halted"},
	};
	return daemon_create_entry(daemon, settings, 4);
}

static int make(struct daemon *daemon, char *error, size_t error_size)
{
	const struct options *options = daemon->options;
	int result =
		config_open(options->confdir ? options->confdir : config_default_dir(), 1, &daemon->config, error, error_size);

	if (result >= 0)
		result = check_others(daemon, error, error_size);
	if (result >= 0)
		result = daemon_look(daemon, error, error_size);
	if (result >= 0)
		result = check_target(daemon, error, error_size);
	if (result < 0)
		return result;
	result = write_entry(daemon);
	if (result < 0)
		snprintf(error, error_size, "the configuration database cannot be written: %s", strerror(-result));
	return result;
}

int daemon_create(struct options *options, char *error, size_t error_size)
{
	struct daemon daemon = {.options = options, .target = {.tree_fd = -1, .root_fd = -1, .ours_fd = -1, .links_fd = -1, .witness_fd = -1}};
	int result = make(&daemon, error, error_size);

	daemon_close(&daemon);
	if (result < 0)
		return result;
	printf("%u\n", daemon.migid);
	return fflush(stdout) ? -EIO : 0;
}
