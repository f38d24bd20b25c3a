/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Finding or making a migration.
 *
 * Three things must agree: the configuration database (which migrations this machine knows), the mark on the target (whose it
 * is), and the state. The target's mark and the state are the truth; a lost configuration is written anew from them. A marked
 * target without its state is refused: nobody could say what in it is whole.
 *
 * A new migration is made in this order: directory on the target, state with its identity, witness (witness.h), the root's record,
 * mark on the target, entry in the configuration. Each step can be repeated, so a crash between two of them is cured by the next start; and
 * when one fails, those before it are taken back.
 */
#include "daemon/daemon.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "daemon/place.h"
#include "daemon/witness.h"
#include "wire/socket.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

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

static void find_in_config(struct daemon *daemon, char **state)
{
	const struct options *options = daemon->options;
	char *created = NULL;

	*state = NULL;
	daemon->migid = options->migid;
	daemon->known = daemon->migid && config_get(daemon->config, daemon->migid, "created", &created) >= 0;
	free(created);
	if (daemon->known)
		config_get(daemon->config, daemon->migid, "state", state);
}

/* Another daemon may serve under a number that a lost configuration database no longer knows: its socket tells. */
static bool is_taken(struct daemon *daemon)
{
	const char *rundir = daemon->options->rundir ? daemon->options->rundir : socket_default_rundir();
	char path[PATH_MAX];
	int fd;

	if (socket_path(rundir, daemon->migid, path, sizeof(path)) < 0)
		return false;
	int result = socket_connect(path, clock_monotonic_ns() + NS_PER_S, &fd);
	if (result == 0)
		close(fd);
	return result == 0 || result == -ETIMEDOUT;
}

int daemon_create_entry(struct daemon *daemon, const struct config_pair *settings, size_t n_settings)
{
	int result;

	while ((result = options_create(daemon->options, daemon->config, &daemon->migid, settings, n_settings)) >= 0 &&
	       is_taken(daemon)) {
		log_warning("a daemon that the configuration does not know serves migration %u", daemon->migid);
		config_delete(daemon->config, daemon->migid);
	}
	return result;
}

static int write_config(struct daemon *daemon)
{
	const struct options *options = daemon->options;
	const struct config_pair settings[] = {
		{"source", options->source},    {"target", options->target}, {"mountpoint", options->mountpoint},
		{"statedir", daemon->statedir}, {"uuid", daemon->uuid},      {"state", "halted"}, /* of a new one only */
	};
	return daemon->known ? options_record(options, daemon->config, daemon->migid, settings, 5)
	                     : daemon_create_entry(daemon, settings, 6);
}

int daemon_refuse_occupied(struct daemon *daemon, char *error, size_t error_size)
{
	int occupied = target_occupied(&daemon->target);

	if (occupied < 0)
		snprintf(error, error_size, "cannot list the target %s: %s", daemon->options->target, strerror(-occupied));
	if (occupied > 0)
		snprintf(
			error, error_size,
			"the target %s is not empty; use an empty directory, or collision=overwrite to replace what has the same "
			"name, or collision=rename to keep it under another name",
			daemon->options->target);
	return occupied > 0 ? -ENOTEMPTY : occupied;
}

void daemon_default_statedir(struct daemon *daemon)
{
	if (daemon->options->statedir) {
		free(daemon->statedir);
		daemon->statedir = strdup(daemon->options->statedir);
	} else if (!daemon->statedir && asprintf(&daemon->statedir, "%s/" TARGET_OURS "/state",
	                                         strcmp(daemon->options->target, "/") ? daemon->options->target : "") < 0) {
		abort();
	}
}

bool daemon_state_exists(struct daemon *daemon)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/data.mdb", daemon->statedir);
	return access(path, F_OK) == 0;
}

int daemon_open_store(struct daemon *daemon, char *error, size_t error_size)
{
	struct store_options options = {
		.dir = daemon->statedir,
		.barrier = (int (*)(void *))target_sync,
		.context = &daemon->target,
		.linger_ms = 200,
		.note = daemon_witness_note,
	};
	if (mkdir(daemon->statedir, 0700) < 0 && errno != EEXIST) {
		snprintf(error, error_size, "cannot make the state directory %s: %s", daemon->statedir, strerror(errno));
		return -errno;
	}
	return store_open(&options, &daemon->store, error, error_size);
}

static int open_source(struct daemon *daemon, char *error, size_t error_size)
{
	struct source_options source, nt;

	options_source(daemon->options, &source, &nt);
	/* Who goes on serves at once what is here, and a source that is away now is one that went away. */
	if (daemon_takes_over(daemon)) {
		source.known = kept_memory(daemon->kept)->source_capabilities;
		nt.known = source.known + 1;
	}
	return source_open(&source, &daemon->source, error, error_size);
}

void daemon_set_patience(struct daemon *daemon)
{
	const struct options *options = daemon->options;

	source_set_patience(daemon->source, &(struct source_patience){.hard = !options->soft,
	                                                              .tries = options->retrans + 1,
	                                                              .timeout_ms = options->timeo_ds * 100});
	source_set_entries_max(daemon->source, options->maxentries);
}

static int check_source_is_ours_to_read(struct daemon *daemon, char *error, size_t error_size)
{
	char path[PATH_MAX];

	if (!daemon->options->source_is_path)
		return 0;
	if (daemon->options->statedir) {
		int result = place_check_state(daemon->options->source, daemon->options->statedir, error, error_size);
		if (result < 0)
			return result;
	}
	snprintf(path, sizeof(path), "%s/" TARGET_OURS, daemon->options->source);
	if (access(path, F_OK) < 0)
		return 0;
	snprintf(error, error_size,
	         "the source %s holds a directory " TARGET_OURS
	         ": it is itself the target of a migration that is not finished; finish that "
	         "one first",
	         daemon->options->source);
	return -EBUSY;
}

/* The root's record, and that everything of the state is there. */
static int plant(struct daemon *daemon, char *error, size_t error_size)
{
	char value[PATH_MAX];
	int result = store_meta_get(daemon->store, "planted", value, sizeof(value));

	if (result != -ENOENT)
		return result;
	result = migrate_plant_root(daemon->store, &daemon->target, daemon->source);
	if (result >= 0)
		result = store_meta_put(daemon->store, "planted", "1");
	if (result < 0)
		snprintf(error, error_size, "cannot begin the migration of %s: %s%s", daemon->options->source, strerror(-result),
		         result == -ENOENT    ? "; the source has no directory of that path: check it"
		         : result == -EACCES  ? "; the source does not let the top of the tree be read: check its permissions"
		         : result == -ENOTDIR ? "; only a directory can be a source"
		                              : "");
	return result;
}

/* Parts of it are gone: whoever used the rest would miss them. */
static int refuse_deleted(struct daemon *daemon, char *error, size_t error_size)
{
	snprintf(error, error_size,
	         "the migration from %s to %s is being deleted, and that was cut off: 'dmmfs-admin delete' completes it",
	         daemon->options->source, daemon->options->target);
	daemon->fresh = false;
	return -EINPROGRESS;
}

/* The handles in a state are those of one source or of two, and the second must be the same as well. */
static int identify_second(struct daemon *daemon, bool fresh, char *error, size_t error_size)
{
	const char *cifs = daemon->options->cifs;
	char recorded[PATH_MAX] = "";

	int result = store_meta_get(daemon->store, "cifs", recorded, sizeof(recorded));
	if (fresh) /* one of a start that was cut off counts no more */
		return cifs || result != -ENOENT ? store_meta_put(daemon->store, "cifs", cifs ? cifs : "") : 0;
	if (result < 0 && result != -ENOENT)
		return result;
	if (strcmp(recorded, cifs ? cifs : "") == 0)
		return 0;
	if (*recorded)
		snprintf(error, error_size, "the migration to %s was begun with cifs=%s; mount it with that",
		         daemon->options->target, recorded);
	else
		snprintf(error, error_size, "the migration to %s was begun without cifs=; mount it without",
		         daemon->options->target);
	return -EINVAL;
}

/* Whose state this is: that of the target, and of the source that was named; a new one becomes ours. */
static int identify(struct daemon *daemon, char *error, size_t error_size)
{
	const struct options *options = daemon->options;
	char uuid[UUID_SIZE], source[PATH_MAX];
	int result = store_meta_get(daemon->store, "source", source, sizeof(source));

	if (result >= 0)
		result = store_meta_get(daemon->store, "uuid", uuid, sizeof(uuid));
	if (result == -ENOENT && daemon->marked) {
		/* The mark comes last: what has no name below it is not a beginning. */
		snprintf(error, error_size,
		         "the state in %s is older than the target %s, or damaged: the target belongs to a migration (%s), the "
		         "state "
		         "says nothing of one. If it comes from a backup, put back the one that it replaced; if that is lost, "
		         "'dmmfs-admin db rebuild' makes a new one from source and target",
		         daemon->statedir, options->target, daemon->uuid);
		daemon->fresh = false;
		return -ESTALE;
	}
	if (result == -ENOENT) {
		make_uuid(daemon->uuid);
		result = store_meta_put(daemon->store, "uuid", daemon->uuid);
		if (result >= 0)
			result = identify_second(daemon, true, error, error_size);
		return result < 0 ? result : store_meta_put(daemon->store, "source", options->source);
	}
	daemon->fresh = false;
	if (result < 0) {
		snprintf(error, error_size, "the state in %s cannot be read: %s", daemon->statedir, strerror(-result));
		return result;
	}
	if (daemon->marked && strcmp(uuid, daemon->uuid)) {
		snprintf(error, error_size, "the state in %s belongs to another migration (%s) than the target %s (%s)",
		         daemon->statedir, uuid, options->target, daemon->uuid);
		return -EINVAL;
	}
	if (strcmp(source, options->source)) {
		snprintf(error, error_size,
		         "the target %s belongs to a migration from %s, not from %s; mount it with that source", options->target,
		         source, options->source);
		return -EINVAL;
	}
	result = identify_second(daemon, false, error, error_size);
	if (result < 0)
		return result;
	snprintf(daemon->uuid, sizeof(daemon->uuid), "%s", uuid);
	if (store_meta_get(daemon->store, "deleting", source, sizeof(source)) != -ENOENT)
		return refuse_deleted(daemon, error, error_size); /* the configuration was lost since */
	return 0;
}

/* It ran on this target, and now nothing of it is there: to begin anew would fill the wrong file system, or go over a tree that the
 * administrator has put there instead. */
static int refuse_vanished(struct daemon *daemon, char *error, size_t error_size)
{
	CLEAN_FREE char *uuid = NULL;

	if (!daemon->known || config_get(daemon->config, daemon->migid, "uuid", &uuid) < 0)
		return 0;
	snprintf(
		error, error_size,
		"migration %u has begun on the target %s, but neither its mark nor its state is there: is the file system of the "
		"target mounted? If it was restored or made anew, and the migration is to begin again, 'dmmfs-admin delete "
		"--keep "
		"%u' forgets the old one first",
		daemon->migid, daemon->options->target, daemon->migid);
	daemon->fresh = false;
	return -ENOENT;
}

/* What the target's mark and the configuration say together. */
static int agree(struct daemon *daemon, char *error, size_t error_size)
{
	const struct options *options = daemon->options;
	CLEAN_FREE char *state = NULL;

	daemon->marked = target_mark(&daemon->target, daemon->uuid, sizeof(daemon->uuid)) >= 0;
	find_in_config(daemon, &state);
	daemon_default_statedir(daemon);
	daemon->halted = state && strcmp(state, "halted") == 0;
	if (state && strcmp(state, "finishing") == 0)
		return daemon_clean_up(daemon) < 0 ? -EIO : DAEMON_COMPLETE;
	if (state && strcmp(state, "deleting") == 0)
		return refuse_deleted(daemon, error, error_size);
	if (state && strcmp(state, "complete") == 0 && !daemon->marked)
		return DAEMON_COMPLETE;
	daemon->fresh = !daemon_state_exists(daemon);
	if (daemon->marked && daemon->fresh) {
		snprintf(error, error_size,
		         "the target %s belongs to a migration (%s) whose state is not in %s; name its place with statedir=; if "
		         "it is "
		         "lost, 'dmmfs-admin db rebuild' makes a new one from source and target, or bring one back from a backup "
		         "that "
		         "is as new as the target. To give the migration up: remove %s/" TARGET_OURS
		         " and, with setfattr -x " TARGET_MARK ", the mark on %s; what has not come over reads as zeros there",
		         options->target, daemon->uuid, daemon->statedir, options->target, options->target);
		daemon->fresh = false;
		return -ENOENT;
	}
	if (daemon->fresh) {
		int result = refuse_vanished(daemon, error, error_size);
		if (result < 0)
			return result;
	}
	return daemon->fresh && options->migrate.collision == COLLISION_ERROR ? daemon_refuse_occupied(daemon, error, error_size)
	                                                                      : 0;
}

/* From the directory on the target to the entry in the configuration. */
static int settle(struct daemon *daemon, char *error, size_t error_size)
{
	int result = target_adopt(&daemon->target);

	if (result >= 0)
		result = fault_hit(FAULT_BEGIN_ADOPTED);
	if (result >= 0)
		result = daemon_open_store(daemon, error, error_size);
	if (result >= 0)
		result = identify(daemon, error, error_size);
	if (result >= 0)
		result = fault_hit(FAULT_BEGIN_NAMED);
	if (result >= 0)
		result = daemon_witness(daemon, error, error_size);
	if (result >= 0)
		result = fault_hit(FAULT_BEGIN_WITNESSED);
	if (result >= 0)
		result = plant(daemon, error, error_size);
	if (result >= 0)
		result = fault_hit(FAULT_BEGIN_PLANTED);
	if (result >= 0 && !daemon->marked)
		result = target_put_mark(&daemon->target, daemon->uuid);
	if (result >= 0)
		result = fault_hit(FAULT_BEGIN_MARKED);
	if (result >= 0)
		result = write_config(daemon);
	if (result < 0 && !*error)
		snprintf(error, error_size, "cannot write to the target %s: %s", daemon->options->target, strerror(-result));
	return result;
}

/* A change of the configuration that was reported as failed may be there all the same: an entry that says what is on the target. */
static void take_back_entry(struct daemon *daemon)
{
	const struct options *options = daemon->options;
	CLEAN_FREE char *uuid = NULL;
	uint32_t migid = daemon->migid;
	int result = daemon->known ? 0 : config_find(daemon->config, options->source, options->target, &migid);

	if (result >= 0)
		result = config_get(daemon->config, migid, "uuid", &uuid);
	if (result >= 0 && strcmp(uuid, daemon->uuid) == 0)
		result = daemon->known ? config_set(daemon->config, migid, "uuid", NULL) : config_delete(daemon->config, migid);
	if (result < 0 && result != -ENOENT)
		log_warning("the entry of what was begun cannot be taken back: error=%s", errno_name(result));
}

/* A beginning that failed leaves nothing behind. Only what the lock on the state says is ours, or what is empty. */
static void take_back(struct daemon *daemon)
{
	if (!daemon->fresh)
		return;
	take_back_entry(daemon);
	if (!daemon->store) {
		rmdir(daemon->statedir);
		target_withdraw(&daemon->target);
		return;
	}
	store_close(daemon->store);
	daemon->store = NULL;
	int result = daemon_remove_ours(daemon);
	if (result < 0)
		log_warning("what was begun cannot be taken back: target=%s error=%s", daemon->options->target,
		            errno_name(result));
}

int daemon_look(struct daemon *daemon, char *error, size_t error_size)
{
	const struct options *options = daemon->options;
	int result = place_clear(options->mountpoint, error, error_size);

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
	if (result >= 0 && options->source_is_path)
		place_warn_of_empty(options->source);
	return result;
}

int daemon_open(struct daemon *daemon, char *error, size_t error_size)
{
	const struct options *options = daemon->options;

	pthread_mutex_init(&daemon->properties, NULL);
	pthread_mutex_init(&daemon->lock, NULL);
	pthread_cond_init(&daemon->changed, NULL);
	daemon->target =
		(struct target){.tree_fd = -1, .root_fd = -1, .ours_fd = -1, .links_fd = -1, .witness_fd = -1, .errors_fd = -1};
	int result = daemon_look(daemon, error, error_size);
	if (result >= 0)
		result = config_open(options->confdir ? options->confdir : config_default_dir(), 1, &daemon->config, error,
		                     error_size);
	if (result >= 0)
		result = agree(daemon, error, error_size);
	if (result != 0)
		return result;
	result = settle(daemon, error, error_size);
	if (result < 0 && result != -EBUSY) /* busy: what is there is another start's, which was faster */
		take_back(daemon);
	daemon->options->migrate.migid = daemon->migid;
	log_set_migid(daemon->migid);
	return result;
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
