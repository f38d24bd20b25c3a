/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dmmfs: moves a live file tree. This file: from the command line to a daemon that serves, and its exit status.
 *
 * Two processes serve: the keeper, and as its child the worker, which does everything (keeper/keeper.h). A worker that is killed is
 * replaced by one that takes over what is mounted.
 *
 * Without -f the process that was called returns when the mount serves, so that mount(8), fstab and systemd can order on it; what
 * goes wrong before that is its message and its exit status.
 */
#include "daemon/daemon.h"

#include "base/descriptors.h"
#include "base/fault.h"
#include "base/log.h"
#include "daemon/delete.h"
#include "daemon/look.h"
#include "keeper/keeper.h"
#include "keeper/manager.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* For what is still to be written when all is over. */
#define LOG_STOP_MS 5000
#define MOUNTS_LOOK_US 100000 /* asked to end before it is mounted */
#define HEAPS_LEAST 2
#define HEAPS_MOST 4

/* What the parent is told by its child. */
struct outcome {
	int status;
	char message[1024];
};

struct start {
	int pipe; /* to the parent; -1 in the foreground */
	struct daemon *daemon;
};

static int say(const struct outcome *outcome)
{
	if (*outcome->message)
		fprintf(stderr, "dmmfs: %s\n", outcome->message);
	return outcome->status;
}

static void tell_parent(struct start *start, const struct outcome *outcome)
{
	if (start->pipe < 0)
		return;
	if (write(start->pipe, outcome, sizeof(*outcome)) != sizeof(*outcome))
		log_warning("the process that started the daemon has gone");
	close(start->pipe);
	start->pipe = -1;
}

/* From now on nobody reads our standard error. */
static void leave_terminal(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = 0; null >= 0 && fd <= 2; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
}

static void is_ready(void *context)
{
	struct start *start = context;

	if (start->pipe >= 0) {
		log_to_syslog("dmmfs");
		tell_parent(start, &(struct outcome){.status = EXIT_OK});
		leave_terminal();
	}
	manager_ready();
}

/* SIGTERM and SIGINT: unmount, which ends everything in the ordinary way. Detached, when files are open: they go on until they
 * are closed. */
static void *await_signal(void *context)
{
	struct daemon *daemon = context;
	sigset_t set;
	int signal;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	pthread_setname_np(pthread_self(), "signals");
	while (sigwait(&set, &signal) == 0) {
		log_event(LOG_LEVEL_INFO, "asked", "to=halt signal=%s", sigabbrev_np(signal));
		manager_stopping();
		const char *mountpoint = daemon->options->mountpoint;
		int result;
		while ((result = worker_unmount(mountpoint, 0)) == -EAGAIN)
			usleep(MOUNTS_LOOK_US);
		if (result < 0)
			result = worker_unmount(mountpoint, MNT_DETACH);
		if (result < 0 && result != -EINVAL) /* not mounted any more: it was asked twice, by the keeper and by others */
			log_error("cannot unmount: mountpoint=%s error=%s", mountpoint, errno_name(result));
	}
	return NULL;
}

static void block_signals(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static int complete_already(struct daemon *daemon, struct outcome *outcome)
{
	bool same = strcmp(daemon->options->target, daemon->options->mountpoint) == 0;

	/* A line in fstab that was not removed must not stop a machine from booting: the data is where it belongs. And who takes over
	 * from a worker that died while it finished has done what is left of that. */
	outcome->status = same || kept_inherited(daemon->kept) ? EXIT_OK : EXIT_FAILED;
	snprintf(outcome->message, sizeof(outcome->message),
	         "migration %u of %s to %s is complete: there is nothing to mount. Remove its line from /etc/fstab%s",
	         daemon->migid, daemon->options->source, daemon->options->target, same ? "" : ", and use the target itself");
	return outcome->status;
}

/* Is this an end that nobody goes on after? Where a takeover fails the keeper tries again: what is wrong may pass, and applications
 * wait. */
static void tell_keeper(struct kept *kept, int status)
{
	struct memory *memory = kept_memory(kept);

	memory->ended = status == EXIT_OK || !kept_inherited(kept) || memory->serves;
	kept_free(kept);
}

/* The C library keeps a heap for each of up to eight threads a processor, and in each what once was used and lies between what still is.
 * With a million objects that made 39 MiB of 24. */
static void limit_heaps(void)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);

	mallopt(M_ARENA_MAX, processors < HEAPS_LEAST ? HEAPS_LEAST : processors > HEAPS_MOST ? HEAPS_MOST : (int)processors);
}

/* Serves as a worker, or alone: kept NULL. */
static int serve(struct options *options, struct start *start, struct kept *kept, struct outcome *outcome)
{
	struct memory *memory = kept ? NULL : memory_make(NULL);
	if (!kept && !memory) {
		snprintf(outcome->message, sizeof(outcome->message), "there is not enough address space: %s", strerror(errno));
		tell_parent(start, outcome);
		return outcome->status = EXIT_FAILED;
	}
	struct daemon daemon = {.options = options, .kept = kept ? kept : kept_new(memory, KEPT_NO_FDS, false)};
	pthread_t thread;

	block_signals();
	umask(0);
	descriptors_make_room();
	limit_heaps();
	if (log_start() < 0)
		log_warning("the log has no thread of its own: a slow disk or syslog may hold requests up");
	start->daemon = &daemon;
	outcome->status = EXIT_FAILED;
	int result = chdir("/") < 0 ? -errno : daemon_open(&daemon, outcome->message, sizeof(outcome->message));
	if (result == DAEMON_COMPLETE && complete_already(&daemon, outcome) == EXIT_OK)
		manager_ready(); /* a unit that is left over ends well, too */
	if (result == 0) {
		if (pthread_create(&thread, NULL, await_signal, &daemon) == 0)
			pthread_detach(thread);
		result = daemon_serve(&daemon, is_ready, start, outcome->message, sizeof(outcome->message));
		outcome->status = result < 0 ? EXIT_FAILED : EXIT_OK;
	}
	daemon_close(&daemon);
	log_stop(LOG_STOP_MS);
	tell_keeper(daemon.kept, outcome->status);
	tell_parent(start, outcome);
	return outcome->status;
}

/* In two processes, unless that is not wanted. *is_keeper: there is nothing to say, since the worker has said it. */
static int serve_kept(struct options *options, struct start *start, struct outcome *outcome, bool *is_keeper)
{
	struct keeper_options keeper = {.mountpoint = options->mountpoint,
	                                .source = options->source,
	                                .logfile = options->logfile,
	                                .confdir = options->confdir,
	                                .rundir = options->rundir,
	                                .foreground = options->foreground,
	                                .debug = options->debug,
	                                .pipe = start->pipe};
	struct kept *kept = NULL;
	int result = options->keeper ? keeper_start(&keeper, &kept, &outcome->status) : 0;

	*is_keeper = result > 0;
	if (*is_keeper)
		return outcome->status;
	if (result < 0)
		log_warning("there is no keeper: should the daemon die, its mount dies with it: error=%s", errno_name(result));
	return serve(options, start, kept, outcome);
}

/* The parent's part: waits for the word of its child. */
static int await_child(int from, pid_t child)
{
	struct outcome outcome = {0};
	ssize_t len;
	int status;

	do
		len = read(from, &outcome, sizeof(outcome));
	while (len < 0 && errno == EINTR);
	if (len == sizeof(outcome))
		return say(&outcome);
	waitpid(child, &status, 0);
	fprintf(stderr, "dmmfs: the daemon died while it started%s%s\n", WIFSIGNALED(status) ? ", by signal " : "",
	        WIFSIGNALED(status) ? sigabbrev_np(WTERMSIG(status)) : "");
	return EXIT_FAILED;
}

static int serve_in_background(struct options *options)
{
	struct outcome outcome = {0};
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0) {
		fprintf(stderr, "dmmfs: cannot make a pipe: %s\n", strerror(errno));
		return EXIT_FAILED;
	}
	pid_t child = fork();
	if (child < 0) {
		fprintf(stderr, "dmmfs: cannot start the daemon: %s\n", strerror(errno));
		return EXIT_FAILED;
	}
	if (child > 0) {
		close(ends[1]);
		return await_child(ends[0], child);
	}
	close(ends[0]);
	setsid();
	bool is_keeper;
	return serve_kept(options, &(struct start){.pipe = ends[1]}, &outcome, &is_keeper);
}

static int serve_here(struct options *options)
{
	struct outcome outcome = {0};

	bool is_keeper;

	serve_kept(options, &(struct start){.pipe = -1}, &outcome, &is_keeper);
	return is_keeper ? outcome.status : say(&outcome);
}

/* A mount that is there already. Nobody waits for us but the keeper and the applications. */
static int serve_on(struct options *options, struct kept *kept)
{
	struct outcome outcome = {0};

	serve(options, &(struct start){.pipe = -1}, kept, &outcome);
	if (outcome.status != EXIT_OK)
		log_error("%s", outcome.message);
	return outcome.status;
}

/* It cannot even begin; the keeper tries again. */
static int fail_on(struct kept *kept, const struct outcome *outcome)
{
	log_error("%s", outcome->message);
	kept_free(kept);
	return outcome->status;
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--delete") == 0)
		return delete_main(argc, argv);
	if (argc > 1 && strcmp(argv[1], "--inspect") == 0)
		return inspect_main(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "--plan") == 0)
		return plan_main(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "--rebuild") == 0)
		return rebuild_main(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "--keeper") == 0)
		return keeper_again();
	if (argc > 1 && strcmp(argv[1], "--keeper-format") == 0)
		return printf("%d\n", MEMORY_FORMAT) < 0;
	struct options options;
	struct kept *kept = NULL;
	struct outcome outcome = {.status = EXIT_USAGE};
	if (worker_adopt(&kept) < 0)
		return EXIT_FAILED;
	if (kept && !kept_memory(kept)->foreground)
		log_to_syslog("dmmfs");
	int result = options_parse(argc, argv, &options, outcome.message, sizeof(outcome.message));

	if (result > 0) {
		options_free(&options);
		return EXIT_OK;
	}
	if (result == 0 && geteuid() != 0) {
		result = -EPERM;
		snprintf(outcome.message, sizeof(outcome.message), "only root can migrate a file tree");
	}
	struct keeper_wanted wanted = {
		.migid = options.migid, .mountpoint = options_value(&options, "mountpoint"), .stays = options.foreground};
	int status;
	if (result == 0 && !kept && !options.create && keeper_resume(&wanted, &status) > 0) {
		options_free(&options);
		return status;
	}
	if (result == 0 && !options.by_migid)
		result = options_resolve(&options, outcome.message, sizeof(outcome.message));
	if (result == 0 && (result = options_load(&options, outcome.message, sizeof(outcome.message))) < 0)
		outcome.status = EXIT_FAILED;
	if (result == 0)
		result = options_settle(&options, outcome.message, sizeof(outcome.message));
	if (result == 0 && (result = fault_arm_from_environment()) < 0)
		snprintf(outcome.message, sizeof(outcome.message), "DMMFS_FAULT names no fault point");
	if (result == 0 && options.create) {
		result = daemon_create(&options, outcome.message, sizeof(outcome.message));
		outcome.status = result < 0 ? EXIT_FAILED : EXIT_OK;
		options_free(&options);
		return say(&outcome);
	}
	/* A log that cannot be written yet is told of with its first line and tried again: the tree is worth more than the log. */
	if (result == 0 && options.logfile && (result = log_to_file(options.logfile)) < 0 && result != -ENAMETOOLONG)
		result = 0;
	if (result < 0) {
		options_free(&options);
		return kept ? fail_on(kept, &outcome) : say(&outcome);
	}
	if (options.debug)
		log_set_level(LOG_LEVEL_DEBUG);
	status = kept ? serve_on(&options, kept) : options.foreground ? serve_here(&options) : serve_in_background(&options);
	options_free(&options);
	return status;
}
