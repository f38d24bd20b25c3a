/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Finding or making a migration.
 *
 * Three things must agree: the configuration database (which migrations this machine knows), the mark on the target (whose it
 * is), and the state. The target's mark and the state are the truth; a lost configuration is written anew from them. A marked
 * target without its state is refused: nobody could say what in it is whole.
 *
 * A new migration is made in this order: entry in the configuration, mark and directory on the target, identity in the state, the
 * root's record. Each step can be repeated, so a crash between two of them is cured by the next start.
 */
#include "daemon/daemon.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/place.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#define UUID_SIZE 37

static void make_uuid(char uuid[UUID_SIZE])
{
	unsigned char b[16];

	if (getrandom(b, sizeof(b), 0) != sizeof(b))
		abort();
	b[6] = (unsigned char)((b[6] & 0x0f) | 0x40); /* RFC 9562: version 4 */
	b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
	snprintf(uuid, UUID_SIZE, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2], b[3],
		 b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

static int find_in_config(struct daemon *daemon, char uuid[UUID_SIZE], char **state)
{
	const struct options *options = daemon->options;
	CLEAN_FREE char *known = NULL;
	int result = config_find(daemon->config, options->source, options->target, &daemon->migid);

	*state = NULL;
	uuid[0] = '\0';
	if (result < 0)
		return result;
	if (config_get(daemon->config, daemon->migid, "uuid", &known) >= 0)
		snprintf(uuid, UUID_SIZE, "%s", known);
	config_get(daemon->config, daemon->migid, "state", state);
	if (!options->statedir)
		config_get(daemon->config, daemon->migid, "statedir", &daemon->statedir);
	return 0;
}

static int add_to_config(struct daemon *daemon, const char *uuid)
{
	const struct options *options = daemon->options;
	char created[32];
	int result = config_create(daemon->config, &daemon->migid);

	snprintf(created, sizeof(created), "%llu", (unsigned long long)(clock_wall_ns() / NS_PER_S));
	const char *const settings[] = { "source",   options->source, "target",	 options->target, "mountpoint", options->mountpoint,
					 "statedir", daemon->statedir, "uuid",	 uuid,		  "state",	"halted",
					 "created",  created,	       NULL };
	return result < 0 ? result : config_set_many(daemon->config, daemon->migid, settings);
}

static int refuse_occupied(struct daemon *daemon, char *error, size_t error_size)
{
	int occupied = target_occupied(&daemon->target);

	if (occupied < 0)
		snprintf(error, error_size, "cannot list the target %s: %s", daemon->options->target, strerror(-occupied));
	if (occupied > 0)
		snprintf(error, error_size,
			 "the target %s is not empty; use an empty directory, or collision=overwrite to replace what has the same "
			 "name, or collision=rename to keep it under another name",
			 daemon->options->target);
	return occupied > 0 ? -ENOTEMPTY : occupied;
}

static void default_statedir(struct daemon *daemon)
{
	if (daemon->options->statedir) {
		free(daemon->statedir);
		daemon->statedir = strdup(daemon->options->statedir);
	} else if (!daemon->statedir &&
		   asprintf(&daemon->statedir, "%s/" TARGET_OURS "/state", strcmp(daemon->options->target, "/") ? daemon->options->target : "") < 0) {
		abort();
	}
}

static bool state_exists(struct daemon *daemon)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/data.mdb", daemon->statedir);
	return access(path, F_OK) == 0;
}

static int open_store(struct daemon *daemon, char *error, size_t error_size)
{
	struct store_options options = {
		.dir = daemon->statedir,
		.barrier = (int (*)(void *))target_sync,
		.context = &daemon->target,
		.linger_ms = 200,
	};
	if (mkdir(daemon->statedir, 0700) < 0 && errno != EEXIST) {
		snprintf(error, error_size, "cannot make the state directory %s: %s", daemon->statedir, strerror(errno));
		return -errno;
	}
	return store_open(&options, &daemon->store, error, error_size);
}

static int open_source(struct daemon *daemon, char *error, size_t error_size)
{
	const struct options *options = daemon->options;
	struct source_options source = {
		.source = options->source,
		.protocol = options->protocol,
		.plugin_dir = options->plugin_dir,
		.settings = options->settings,
		.n_settings = options->n_settings,
		.tries = options->tries,
		.timeout_ms = options->timeout_ms,
	};
	return source_open(&source, &daemon->source, error, error_size);
}

static int check_source_is_ours_to_read(struct daemon *daemon, char *error, size_t error_size)
{
	char path[PATH_MAX];

	if (!daemon->options->source_is_path)
		return 0;
	snprintf(path, sizeof(path), "%s/" TARGET_OURS, daemon->options->source);
	if (access(path, F_OK) < 0)
		return 0;
	snprintf(error, error_size,
		 "the source %s holds a directory " TARGET_OURS ": it is itself the target of a migration that is not finished; finish that "
		 "one first",
		 daemon->options->source);
	return -EBUSY;
}

/* The identity in the state, and the root's record. */
static int plant(struct daemon *daemon, const char *uuid, char *error, size_t error_size)
{
	char value[PATH_MAX];
	int result = store_meta_get(daemon->store, "planted", value, sizeof(value));

	if (result != -ENOENT)
		return result;
	result = store_meta_put(daemon->store, "uuid", uuid);
	if (result >= 0)
		result = store_meta_put(daemon->store, "source", daemon->options->source);
	if (result >= 0)
		result = migrate_plant_root(daemon->store, &daemon->target, daemon->source);
	if (result >= 0)
		result = store_meta_put(daemon->store, "planted", "1");
	if (result < 0)
		snprintf(error, error_size, "cannot begin the migration of %s: %s", daemon->options->source, strerror(-result));
	return result;
}

static int check_identity(struct daemon *daemon, const char *uuid, char *error, size_t error_size)
{
	char value[PATH_MAX];
	int result = store_meta_get(daemon->store, "uuid", value, sizeof(value));

	if (result == -ENOENT)
		return 0;
	if (result >= 0 && strcmp(value, uuid)) {
		snprintf(error, error_size, "the state in %s belongs to another migration (%s) than the target %s (%s)", daemon->statedir,
			 value, daemon->options->target, uuid);
		return -EINVAL;
	}
	result = store_meta_get(daemon->store, "source", value, sizeof(value));
	if (result >= 0 && strcmp(value, daemon->options->source)) {
		snprintf(error, error_size, "the target %s belongs to a migration from %s, not from %s; mount it with that source",
			 daemon->options->target, value, daemon->options->source);
		return -EINVAL;
	}
	return result == -ENOENT ? 0 : result;
}

/* What the target's mark and the configuration say together. Returns with `uuid` set, or with a sentence. */
static int agree(struct daemon *daemon, char uuid[UUID_SIZE], char *error, size_t error_size)
{
	const struct options *options = daemon->options;
	CLEAN_FREE char *state = NULL;
	char mark[UUID_SIZE];
	bool marked = target_mark(&daemon->target, mark, sizeof(mark)) >= 0;
	bool known = find_in_config(daemon, uuid, &state) >= 0;

	default_statedir(daemon);
	if (known && state && strcmp(state, "finishing") == 0)
		return daemon_clean_up(daemon) < 0 ? -EIO : DAEMON_COMPLETE;
	if (known && state && strcmp(state, "complete") == 0 && !marked)
		return DAEMON_COMPLETE;
	if (marked && !state_exists(daemon)) {
		snprintf(error, error_size,
			 "the target %s belongs to a migration (%s) whose state is not in %s; name its place with statedir=, or bring the "
			 "state back from a backup. To give the migration up: remove %s/" TARGET_OURS " and, with setfattr -x " TARGET_MARK
			 ", the mark on %s; what has not come over reads as zeros there",
			 options->target, mark, daemon->statedir, options->target, options->target);
		return -ENOENT;
	}
	if (marked) {
		snprintf(uuid, UUID_SIZE, "%s", mark);
		return known ? 0 : add_to_config(daemon, uuid);
	}
	int result = options->migrate.collision == COLLISION_ERROR && !state_exists(daemon) ?
			     refuse_occupied(daemon, error, error_size) :
			     0;
	if (result < 0 || known)
		return result;
	daemon->fresh = true;
	make_uuid(uuid);
	return add_to_config(daemon, uuid);
}

int daemon_open(struct daemon *daemon, char *error, size_t error_size)
{
	const struct options *options = daemon->options;
	char uuid[UUID_SIZE];
	int result = place_clear(options->mountpoint, error, error_size);

	pthread_mutex_init(&daemon->lock, NULL);
	pthread_cond_init(&daemon->changed, NULL);
	daemon->target = (struct target){ .tree_fd = -1, .root_fd = -1, .ours_fd = -1, .links_fd = -1 };
	if (result >= 0)
		result = place_clear(options->target, error, error_size);
	if (result >= 0 && options->source_is_path)
		result = place_check_nesting(options->source, options->target, error, error_size);
	if (result >= 0)
		result = check_source_is_ours_to_read(daemon, error, error_size);
	if (result >= 0)
		result = target_open(options->target, &daemon->target, error, error_size);
	if (result >= 0) /* before anything is written: a source that cannot be read leaves no trace */
		result = open_source(daemon, error, error_size);
	if (result >= 0)
		result = config_open(options->confdir ? options->confdir : config_default_dir(), 1, &daemon->config, error, error_size);
	if (result >= 0)
		result = agree(daemon, uuid, error, error_size);
	if (result != 0)
		return result;
	result = target_adopt(&daemon->target, uuid);
	if (result < 0)
		snprintf(error, error_size, "cannot write to the target %s: %s", options->target, strerror(-result));
	if (result >= 0)
		result = open_store(daemon, error, error_size);
	if (result >= 0)
		result = check_identity(daemon, uuid, error, error_size);
	return result < 0 ? result : plant(daemon, uuid, error, error_size);
}

void daemon_close(struct daemon *daemon)
{
	if (daemon->store)
		store_close(daemon->store);
	if (daemon->source)
		source_close(daemon->source);
	target_close(&daemon->target);
	if (daemon->config)
		config_close(daemon->config);
	free(daemon->statedir);
	daemon->store = NULL;
	daemon->source = NULL;
	daemon->config = NULL;
	daemon->statedir = NULL;
}
