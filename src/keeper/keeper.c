/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The keeper's process. See keeper.h. It begins by starting its own program anew, so that nothing of what the worker needs stays in it;
 * an upgrade is the same, with another program.
 *
 * It waits for three things: the end of its worker, messages of the worker, and signals, which it hands on. Before a new worker is
 * started the old one is wholly gone (waitpid(2) returns when its last thread has left the kernel), so its locks are free.
 *
 * A worker that dies before it serves is started again after a pause, each time a longer one; after STARTS_MAX times the keeper gives
 * up, and the mount is dead as it is without a keeper. Every other time the program is the keeper's own: one that was put in its
 * place may not run at all.
 */
#include "keeper/internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "keeper/held.h"
#include "keeper/message.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define STARTS_MAX 20
#define PAUSE_MIN_MS 100
#define PAUSE_MAX_MS 10000
/* Who dies so soon after the first request may have died of it: some times over, and the pauses grow as well. */
#define SOON_NS (100 * NS_PER_MS)
#define SOON_MAX 10
#define SPARE_DESCRIPTORS 64
#define LATE_MS 100 /* until the service manager is told again */

/* --- what the worker says --- */

/* Done again after a kill before it was dropped, each of these changes nothing. */
static void do_as_told(struct keeper *keeper, enum message_kind kind, uint64_t node, int fd)
{
	bool late = false;

	if (kind == MESSAGE_HOLD && fd >= 0)
		late = held_take(keeper->memory, node, steal_fd(&fd), keeper->held_max);
	else if (kind == MESSAGE_LET_GO)
		late = held_let_go(keeper->memory, node);
	else if (kind == MESSAGE_SERVES)
		late = store_begin(keeper);
	cleanup_close(&fd);
	keeper->late = keeper->late || late;
}

static void take_messages(struct keeper *keeper)
{
	enum message_kind kind;
	uint64_t node;
	int fd, result;

	while ((result = message_look(keeper->socket, &kind, &node, &fd)) > 0) {
		do_as_told(keeper, kind, node, fd);
		message_drop(keeper->socket);
	}
	if (result < 0)
		log_warning("a message of the worker cannot be read: error=%s", errno_name(errno));
}

static unsigned most_held(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 512;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	unsigned most =
		limit.rlim_cur > MEMORY_HELD + SPARE_DESCRIPTORS ? MEMORY_HELD : (unsigned)limit.rlim_cur - SPARE_DESCRIPTORS;
	return most;
}

/* --- starting a worker --- */

/* So that no worker outlives its keeper. */
static void die_with_keeper(pid_t keeper)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != keeper)
		_exit(EXIT_KEEPER);
}

static void unblock_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
}

static int keep_open(int fd)
{
	return fcntl(fd, F_SETFD, 0);
}

/* "name=value" of a list of places, with what the parser of options would take for its own. */
static void add_place(char *list, size_t size, const char *name, const char *value)
{
	size_t at = strlen(list);

	if (!*value)
		return;
	at += (size_t)snprintf(list + at, size - at, "%s%s=", at ? "," : "", name);
	for (; *value && at + 3 < size; value++) {
		if (*value == ',' || *value == '\\')
			list[at++] = '\\';
		list[at++] = *value;
	}
	list[at] = '\0';
}

__attribute__((noreturn)) static void become_worker(const struct keeper *keeper)
{
	const struct memory *memory = keeper->memory;
	char descriptors[64], migid[16], places[4 * PATH_MAX] = "";
	char name[] = "dmmfs", by_migid[] = "--migid", o[] = "-o", debug[] = "-d", foreground[] = "-f";
	char *argv[8] = {name, by_migid, migid};
	unsigned argc = 3;

	snprintf(migid, sizeof(migid), "%u", memory->migid);
	add_place(places, sizeof(places), "confdir", memory->confdir);
	add_place(places, sizeof(places), "rundir", memory->rundir);
	if (*places) {
		argv[argc++] = o;
		argv[argc++] = places;
	}
	if (memory->foreground || memory->debug)
		argv[argc++] = memory->debug ? debug : foreground;
	snprintf(descriptors, sizeof(descriptors), "%d:%d:%d", keeper->memory_fd, keeper->fuse_fd, keeper->worker_socket);
	if (close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) < 0 || keep_open(keeper->memory_fd) < 0 || keep_open(keeper->fuse_fd) < 0 ||
	    keep_open(keeper->worker_socket) < 0 || (keeper->spared && want_be_as_started(memory) < 0) ||
	    setenv("DMMFS_KEEPER", descriptors, 1) < 0)
		_exit(EXIT_KEEPER);
	unsetenv("DMMFS_FAULT"); /* what was armed has struck */
	unblock_signals();
	if (keeper->failed % 2 == 0)
		execv(memory->program, argv);
	execv("/proc/self/exe", argv);
	_exit(EXIT_KEEPER);
}

static int start_worker(struct keeper *keeper)
{
	pid_t self = getpid();

	keeper->memory->serves = false;
	keeper->memory->upgrading = false;
	keeper->started_ns = clock_monotonic_ns();
	keeper->wanted = want_ended();
	pid_t child = fork();
	if (child == 0) {
		die_with_keeper(self);
		become_worker(keeper);
	}
	keeper->worker = child;
	keeper->memory->worker_pid = child > 0 ? child : 0;
	return child < 0 ? -errno : 0;
}

/* --- the end of a worker --- */

static void describe(int status, char *text, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(text, size, "SIG%s", sigabbrev_np(WTERMSIG(status)));
	else
		snprintf(text, size, "status %d", WEXITSTATUS(status));
}

static unsigned pause_before_start(const struct keeper *keeper)
{
	unsigned times = keeper->failed > 1 ? keeper->failed - 1 : keeper->soon > SOON_MAX ? keeper->soon - SOON_MAX : 0;

	if (times == 0)
		return 0;
	unsigned pause = times > 7 ? PAUSE_MAX_MS : PAUSE_MIN_MS << (times - 1);
	return pause < PAUSE_MAX_MS ? pause : PAUSE_MAX_MS;
}

/* The program that is at the keeper's place now, in its place. What it is to go on with is in the memory. */
static void become_anew(struct keeper *keeper)
{
	char descriptors[64], name[] = "dmmfs-keeper", how[] = "--keeper";
	struct memory *memory = keeper->memory;
	char *argv[] = {name, how, memory->mountpoint, NULL};

	snprintf(descriptors, sizeof(descriptors), "%d:%d:%d:%d", keeper->memory_fd, keeper->fuse_fd, keeper->worker_socket,
	         keeper->socket);
	int kept[] = {keeper->memory_fd, keeper->fuse_fd, keeper->worker_socket, keeper->socket};
	for (size_t i = 0; i < sizeof(kept) / sizeof(*kept); i++)
		keep_open(kept[i]);
	for (uint32_t i = 0; i < memory->held_used; i++)
		if (held_is_there(&memory->held[i]))
			keep_open(memory->held[i].fd);
	setenv("DMMFS_KEEPER", descriptors, 1);
	execv(memory->program, argv);
	log_warning("the program cannot be started in the keeper's place, which goes on as it is: program=%s error=%s",
	            memory->program, errno_name(errno));
	unsetenv("DMMFS_KEEPER");
}

static bool is_given_up(const struct keeper *keeper, const char *how)
{
	if (keeper->failed < STARTS_MAX)
		return false;
	log_error("the daemon died, and %u starts have failed since: the mount is given up: how=%s", STARTS_MAX, how);
	return true;
}

/* No process can be made, for want of memory or because a limit is reached. Returns whether it goes on. */
static bool start_failed(struct keeper *keeper, int error)
{
	keeper->failed++;
	log_warning("no process can be started in the place of the daemon that died, which is tried again: raise TasksMax= or "
	            "MemoryMax= of the unit, or the limits of the container: error=%s",
	            errno_name(error));
	return !is_given_up(keeper, errno_name(error));
}

/* 0: a new one is to be started; 1: it is all over, with this status. */
static int worker_ended(struct keeper *keeper, int how, int *status)
{
	struct memory *memory = keeper->memory;
	char text[64];
	pid_t pid = keeper->worker;

	keeper->worker = 0;
	memory->worker_pid = 0;
	if (memory->migid)
		log_set_migid(memory->migid);
	take_messages(keeper);
	*status = WIFEXITED(how) ? WEXITSTATUS(how) : EXIT_KEEPER;
	if (WIFEXITED(how) && memory->ended)
		return 1;
	memory->left_ns = clock_monotonic_ns();
	if (memory->upgrading && WIFEXITED(how)) {
		if (!keeper->asked || !worker_mount_is_there(memory)) /* another program would not know that it is asked to end */
			become_anew(keeper);
		return 0;
	}
	describe(how, text, sizeof(text));
	if (!memory->resends) {
		log_error("the daemon died, and its mount with it: how=%s", text);
		if (WIFSIGNALED(how))
			*status = -WTERMSIG(how);
		return 1;
	}
	memory->restarts++;
	bool served = memory->serves;
	keeper->failed = served ? 0 : keeper->failed + 1;
	keeper->soon = served && memory->left_ns - keeper->started_ns < SOON_NS ? keeper->soon + 1 : 0;
	if (is_given_up(keeper, text))
		return 1;
	log_event(LOG_LEVEL_WARNING, "died", "pid=%d how=%s restarts=%u", (int)pid, text, memory->restarts);
	want_tell(keeper, how);
	return 0;
}

/* --- the loop --- */

static void take_signals(struct keeper *keeper)
{
	struct signalfd_siginfo info;

	while (read(keeper->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			continue;
		keeper->asked = true;
		if (keeper->worker > 0)
			kill(keeper->worker, (int)info.ssi_signo);
	}
}

/* Waits for something to do. */
static void wait_for_news(struct keeper *keeper, int timeout_ms)
{
	struct pollfd polls[] = {{.fd = keeper->signals, .events = POLLIN}, {.fd = keeper->socket, .events = POLLIN}};

	if (keeper->late && (timeout_ms < 0 || timeout_ms > LATE_MS))
		timeout_ms = LATE_MS;
	int ready = poll(polls, 2, timeout_ms);
	if (keeper->late)
		keeper->late = store_go_on(keeper);
	if (ready < 0)
		return;
	if (polls[1].revents)
		take_messages(keeper);
	if (polls[0].revents)
		take_signals(keeper);
}

/* Asked to end; returns whether it goes on. */
static bool pause_well(struct keeper *keeper, unsigned pause_ms)
{
	uint64_t until = clock_monotonic_ns() + pause_ms * NS_PER_MS;

	for (uint64_t now = clock_monotonic_ns(); now < until && !keeper->asked; now = clock_monotonic_ns())
		wait_for_news(keeper, (int)((until - now) / NS_PER_MS) + 1);
	return !keeper->asked;
}

/* Asked to end while nobody serves: a worker would have unmounted. Detaching it makes no request to it. What was to be finished, whose
 * mount is gone already, is left for another start. */
static int end_unserved(struct keeper *keeper)
{
	struct memory *memory = keeper->memory;

	if (!worker_mount_is_there(memory))
		return EXIT_KEEPER;
	worker_know_mount(memory);
	int result = worker_unmount(memory->mountpoint, MNT_DETACH | UMOUNT_NOFOLLOW);
	if (result < 0) {
		log_warning("the mount stays, and nobody serves it; unmount it: mountpoint=%s error=%s", memory->mountpoint,
		            errno_name(result));
		return EXIT_KEEPER;
	}
	log_event(LOG_LEVEL_INFO, "unmounted", "mountpoint=%s", memory->mountpoint);
	memory->ended = true;
	return 0;
}

static int keep(struct keeper *keeper)
{
	int how, status;

	for (;;) {
		if (keeper->worker <= 0) {
			if (!pause_well(keeper, pause_before_start(keeper)))
				return end_unserved(keeper);
			int result = start_worker(keeper);
			if (result < 0 && !start_failed(keeper, result))
				return EXIT_KEEPER;
			continue;
		}
		if (waitpid(keeper->worker, &how, WNOHANG) == keeper->worker) {
			if (worker_ended(keeper, how, &status))
				return status;
			continue;
		}
		wait_for_news(keeper, -1);
	}
}

int keeper_watch_signals(struct keeper *keeper)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	keeper->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return keeper->signals < 0 ? -errno : 0;
}

/* As its worker died, where nothing could be kept: whoever started us is told the same as without a keeper. */
static int die_alike(int status)
{
	if (status >= 0)
		return status;
	struct rlimit none = {0};
	setrlimit(RLIMIT_CORE, &none);
	unblock_signals();
	signal(-status, SIG_DFL);
	raise(-status);
	return EXIT_KEEPER;
}

int keeper_run(struct keeper *keeper)
{
	prctl(PR_SET_NAME, "dmmfs-keeper");
	keeper->held_max = most_held();
	keeper->spared = want_spare() == 0;
	keeper->wanted = want_ended();
	int status = keep(keeper);
	store_end(keeper, !keeper->asked || keeper->memory->ended);
	keeper_close(keeper);
	return die_alike(status);
}

/* --- how it begins --- */

int keeper_find_program(struct memory *memory)
{
	ssize_t len = readlink("/proc/self/exe", memory->program, sizeof(memory->program) - 1);

	if (len < 0)
		return -errno;
	memory->program[len] = '\0';
	return 0;
}

int keeper_connect(struct keeper *keeper)
{
	int sockets[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
		return -errno;
	keeper->socket = sockets[0];
	keeper->worker_socket = sockets[1];
	return 0;
}

static int prepare(struct keeper *keeper, const struct keeper_options *options)
{
	*keeper = (struct keeper){.memory_fd = -1, .fuse_fd = -1, .socket = -1, .worker_socket = -1, .signals = -1};
	keeper->memory = memory_make(&keeper->memory_fd);
	if (!keeper->memory)
		return -errno;
	struct memory *memory = keeper->memory;
	snprintf(memory->mountpoint, sizeof(memory->mountpoint), "%s", options->mountpoint);
	snprintf(memory->source, sizeof(memory->source), "%s", *options->source == '/' ? options->source : "");
	snprintf(memory->logfile, sizeof(memory->logfile), "%s", options->logfile ? options->logfile : "");
	snprintf(memory->confdir, sizeof(memory->confdir), "%s", options->confdir ? options->confdir : "");
	snprintf(memory->rundir, sizeof(memory->rundir), "%s", options->rundir ? options->rundir : "");
	memory->keeper_pid = (int32_t)getpid();
	want_remember(memory);
	memory->foreground = options->foreground;
	memory->debug = options->debug;
	int result = keeper_find_program(memory);
	if (result < 0)
		return result;
	if (getrandom(&memory->mount_number, sizeof(memory->mount_number), 0) < 0)
		return -errno;
	result = keeper_connect(keeper);
	if (result < 0)
		return result;
	keeper->fuse_fd = open("/dev/fuse", O_RDWR | O_CLOEXEC); /* without it the worker says what is wrong */
	return 0;
}

void keeper_close(struct keeper *keeper)
{
	cleanup_close(&keeper->memory_fd);
	cleanup_close(&keeper->fuse_fd);
	cleanup_close(&keeper->socket);
	cleanup_close(&keeper->worker_socket);
	cleanup_close(&keeper->signals);
	if (keeper->memory)
		memory_unmap(keeper->memory);
}

/* The first worker is this program as it is, with all that it was told. */
static void begin_worker(struct keeper *keeper, pid_t parent, struct kept **kept)
{
	die_with_keeper(parent);
	close(keeper->socket);
	if (memory_lock(keeper->memory_fd) < 0)
		_exit(EXIT_KEEPER);
	*kept = kept_new(keeper->memory, (struct kept_fds){keeper->memory_fd, keeper->fuse_fd, keeper->worker_socket}, false);
}

/* From now on nobody reads our standard error. */
static void leave_terminal(void)
{
	CLEAN_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = 0; null >= 0 && fd <= 2; fd++)
		dup2(null, fd);
	log_to_syslog("dmmfs-keeper");
}

int keeper_start(const struct keeper_options *options, struct kept **kept, int *status)
{
	struct keeper keeper;
	pid_t self = getpid();
	int result = prepare(&keeper, options);

	if (result < 0) {
		keeper_close(&keeper);
		return result;
	}
	keeper.started_ns = clock_monotonic_ns();
	result = keeper_watch_signals(&keeper); /* before there is a child */
	keeper.worker = result < 0 ? -1 : fork();
	if (keeper.worker < 0) {
		result = result < 0 ? result : -errno;
		keeper_close(&keeper);
		return result;
	}
	if (keeper.worker == 0) {
		close(keeper.signals);
		unblock_signals();
		begin_worker(&keeper, self, kept);
		return 0;
	}
	if (options->pipe >= 0)
		close(options->pipe);
	if (!options->foreground)
		leave_terminal();
	keeper.memory->worker_pid = keeper.worker;
	become_anew(&keeper);
	*status = keeper_run(&keeper);
	return 1;
}

int keeper_again(void)
{
	struct keeper keeper = {.signals = -1, .late = true, .started_ns = clock_monotonic_ns()};
	const char *descriptors = getenv("DMMFS_KEEPER");

	if (!descriptors ||
	    sscanf(descriptors, "%d:%d:%d:%d", &keeper.memory_fd, &keeper.fuse_fd, &keeper.worker_socket, &keeper.socket) != 4) {
		fprintf(stderr, "dmmfs: --keeper is the daemon's own way to go on after an upgrade\n");
		return 1;
	}
	unsetenv("DMMFS_KEEPER");
	keeper.memory = memory_map(keeper.memory_fd);
	keeper.worker = keeper.memory ? keeper.memory->worker_pid : 0;
	int kept[] = {keeper.memory_fd, keeper.fuse_fd, keeper.worker_socket, keeper.socket};
	for (size_t i = 0; i < sizeof(kept) / sizeof(*kept); i++)
		fcntl(kept[i], F_SETFD, FD_CLOEXEC);
	if (!keeper.memory || keeper_watch_signals(&keeper) < 0) {
		log_error("the keeper cannot go on: error=%s", errno_name(errno));
		return EXIT_KEEPER;
	}
	if (!keeper.memory->foreground)
		log_to_syslog("dmmfs-keeper");
	if (*keeper.memory->logfile)
		log_to_file(keeper.memory->logfile); /* what it says of a failure goes elsewhere */
	return keeper_run(&keeper);
}
