/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Serving a migration from the first request to the end of the mount.
 *
 * Start: the migrator, the mount, the socket. End, in this order: the connection of the kernel is over, so no request can come
 * any more; the migrator stops; the state is closed; then, after a finish, what is ours goes.
 */
#include "daemon/apply.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "dmmfs-config.h"
#include "keeper/keeper.h"
#include "migrate/remains.h"
#include "target/witness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOG_WAIT_MS 1000

static int start_fs(struct daemon *daemon, char *error, size_t error_size)
{
	const struct options *options = daemon->options;
	struct fs_options fs = {
		.fsname = options->fsname ? options->fsname : options->source,
		.mountpoint = options->mountpoint,
		.mount_flags = options->mount_flags,
		.threads = options->threads,
		.awake = options->awake,
		.allow_other = options->allow_other,
		.unmount = worker_unmount,
		.kept = daemon->kept,
		.no_passthrough = !options->passthrough,
		.debug = options->debug,
	};
	int result = fs_start(&fs, &daemon->monitor, &daemon->target, &daemon->fs, error, error_size);

	if (result >= 0)
		worker_know_mount(kept_memory(daemon->kept));
	return result;
}

static bool is_paused(struct daemon *daemon)
{
	CLEAN_FREE char *paused = NULL;

	return config_get(daemon->config, daemon->migid, "paused", &paused) >= 0;
}

/* Before the first thing is done to the target: who finds a migration "running" that has no daemon knows that it died. */
static void note_start(struct daemon *daemon)
{
	const char *const settings[] = {"state", "running", "mountpoint", daemon->options->mountpoint, NULL};

	int result = config_set_many(daemon->config, daemon->migid, settings);
	if (result < 0)
		log_warning("the configuration cannot be written; dmmfs-admin may not find this migration: error=%s",
		            errno_name(result));
}

static void name_appeared(void *context, const struct handle *dir, const char *name)
{
	fs_name_appeared(context, dir, name);
}

static void file_renewed(void *context, const struct handle *file)
{
	fs_file_renewed(context, file);
}

/* What the next process would have to know, and what this one knows from the one before. */
static void keep_start(struct daemon *daemon)
{
	struct memory *memory = kept_memory(daemon->kept);
	struct migrate_options *options = &daemon->options->migrate;

	if (daemon_takes_over(daemon)) {
		options->began_ns = memory->began_ns;
		daemon->ending = memory->ending;
		daemon->finishing = daemon->ending == ENDING_FINISH;
		return;
	}
	options->began_ns = clock_wall_ns();
	memory->began_ns = options->began_ns;
	memory->beside_left_ns = options->left_ns;
	memory->migid = daemon->migid;
	source_known(daemon->source, memory->source_capabilities);
}

static int start(struct daemon *daemon, char *error, size_t error_size)
{
	const struct options *options = daemon->options;

	note_start(daemon);
	keep_start(daemon);
	daemon->options->migrate.paused = is_paused(daemon);
	daemon_set_patience(daemon);
	int result = migrate_start(&options->migrate, daemon->store, &daemon->target, daemon->source, &daemon->migrate);

	if (result < 0) {
		snprintf(error, error_size, "the migration cannot start: %s", strerror(-result));
		return result;
	}
	monitor_register(&daemon->monitor, &migrate_monitor, daemon->migrate);
	result = start_fs(daemon, error, error_size);
	if (result < 0)
		return result;
	migrate_on_appear(daemon->migrate, name_appeared, daemon->fs);
	migrate_on_renew(daemon->migrate, file_renewed, daemon->fs);
	daemon_port(daemon, &daemon->port);
	result = admin_start(options->rundir, daemon->migid, &daemon->port, &daemon->admin);
	if (result < 0) {
		snprintf(error, error_size, "the socket of the migration cannot be opened: %s", strerror(-result));
		if (!daemon_takes_over(daemon))
			fs_unmount(daemon->fs, 0);
		return result;
	}
	return 0;
}

static void keep_result(struct daemon *daemon, enum ending ending)
{
	struct migration_stat stat;

	daemon_stat(daemon, &stat);
	stat.state = ending == ENDING_FINISH ? MIGRATION_COMPLETE : MIGRATION_HALTED;
	CLEAN_FREE char *text = admin_stat_text(&stat);
	const char *const settings[] = {"state", "halted", "result", text ? text : "{}", NULL};
	int result = config_set_many(daemon->config, daemon->migid, settings);
	if (result < 0)
		log_warning("that the migration has halted, and its last figures, cannot be kept in the configuration: error=%s",
		            errno_name(result));
}

static void tell_ended(struct daemon *daemon, int result)
{
	LOCKED(&daemon->lock);
	daemon->ended = true;
	daemon->end_result = result;
	pthread_cond_broadcast(&daemon->changed);
}

/* It was so when finish looked; but a mount that goes late, or that somebody else takes away before finish has looked, may leave what
 * has not come over. Without the state that would read as zeros. */
static int check_all_here(struct daemon *daemon)
{
	int result = store_flush(daemon->store);

	if (result >= 0)
		result = remains_pending(daemon->store, &daemon->target);
	if (result != 0)
		log_error("not everything has come over, so the migration is not finished; mount it again to go on: error=%s",
		          errno_name(result > 0 ? -EINPROGRESS : result));
	return result > 0 ? -EINPROGRESS : result;
}

/* After the last thing that is done to the target, and before the configuration says that it was the last. */
static void note_left(struct daemon *daemon)
{
	int result = target_witness_touch(&daemon->target);

	if (result < 0)
		log_warning("the witness cannot be touched: what was made last may be taken for somebody else's: error=%s",
		            errno_name(result));
}

static int end(struct daemon *daemon, bool served)
{
	int result = 0;

	admin_quiesce(daemon->admin); /* it reads what is taken apart now */
	daemon_end_upgrade(daemon);
	if (daemon->migrate)
		migrate_stop(daemon->migrate);
	pthread_mutex_lock(&daemon->lock);
	enum ending ending = daemon->ending;
	pthread_mutex_unlock(&daemon->lock);
	if (served) {
		/* Another worker may have to go on from here, and who asked for the end may not have seen that the mount is gone. */
		kept_memory(daemon->kept)->ending = ending;
		fault_moment(FAULT_MOUNT_GONE);
	}
	if (served && ending == ENDING_FINISH)
		result = check_all_here(daemon);
	if (served)
		note_left(daemon);
	if (served)
		keep_result(daemon, result < 0 ? ENDING_HALT : ending);
	else
		config_set(daemon->config, daemon->migid, "state", "halted");
	/* Before anything is taken away. What cannot be kept is not lost: everything stays, and the next start finishes. */
	if (served && ending == ENDING_FINISH && result >= 0 && (result = daemon_keep_report(daemon)) < 0)
		log_error("the report cannot be kept, so the migration is not finished: error=%s", errno_name(result));
	if (daemon->fs)
		fs_free(daemon->fs);
	daemon->fs = NULL;
	store_close(daemon->store); /* before the migration goes: what it handed in last calls it back */
	daemon->store = NULL;
	bool finishes = ending == ENDING_FINISH && result >= 0;
	if (!finishes)
		admin_withdraw(daemon->admin); /* or the next daemon, which may be waiting for the witness, would meet it */
	target_witness_close(&daemon->target);
	if (finishes)
		result = daemon_clean_up(daemon);
	target_close(&daemon->target); /* it holds the file system, also when that is not mounted any more */
	tell_ended(daemon, result);
	admin_stop(daemon->admin);
	migrate_free(daemon->migrate);
	return result;
}

static void tell_serving(struct daemon *daemon)
{
	struct memory *memory = kept_memory(daemon->kept);

	memory->serves = true;
	kept_serves(daemon->kept);
	if (!daemon_takes_over(daemon))
		return;
	memory->takeovers++;
	memory->pause_ns = clock_monotonic_ns() - memory->left_ns;
	log_event(LOG_LEVEL_INFO, "takeover", "pause_ms=%u restarts=%u", (unsigned)(memory->pause_ns / NS_PER_MS),
	          memory->restarts);
}

/* Of a mount that is there: as after a kill the keeper tries with another process. Nothing is taken back here, since what is there belongs
 * to those who work on the mount; they wait, and are answered nothing wrong meanwhile. */
__attribute__((noreturn)) static void leave_to_another(const char *error)
{
	log_error("%s", error);
	log_flush(LOG_WAIT_MS);
	_exit(EXIT_FAILED);
}

int daemon_serve(struct daemon *daemon, void (*ready)(void *context), void *context, char *error, size_t error_size)
{
	int result = start(daemon, error, error_size);

	if (result < 0 && daemon_takes_over(daemon))
		leave_to_another(error);
	if (result < 0) {
		end(daemon, false);
		return result;
	}
	atomic_store(&daemon->autofinish, daemon->options->autofinish);
	if (daemon->options->autofinish)
		migrate_on_complete(daemon->migrate, daemon_autofinish, daemon);
	daemon_catch_up(daemon);
	log_event(LOG_LEVEL_INFO, "start", "source=%s target=%s mountpoint=%s statedir=%s how=%s pid=%d version=%s",
	          daemon->options->source, daemon->options->target, daemon->options->mountpoint, daemon->statedir,
	          daemon->fresh               ? "new"
	          : daemon_takes_over(daemon) ? "takeover"
	                                      : "again",
	          (int)getpid(), DMM_VERSION);
	tell_serving(daemon);
	ready(context);
	fs_wait(daemon->fs);
	log_event(LOG_LEVEL_INFO, "unmounted", "mountpoint=%s", daemon->options->mountpoint);
	result = end(daemon, true);
	log_event(LOG_LEVEL_INFO, "stop", "state=%s",
	          result < 0                        ? "failed"
	          : daemon->ending == ENDING_FINISH ? "complete"
	                                            : "halted");
	return result;
}
