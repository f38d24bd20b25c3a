/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A keeper that begins with what the service manager kept of the one before, which was killed with its worker.
 *
 * What is given is believed only as far as it has been looked at: it may be of a mount that is gone, of another migration, of another
 * version, only a part of it, or nothing of ours at all. What does not fit is closed, here and at the manager, before anything else is
 * done: a connection that nobody serves would stop whoever looks at its mount, us as well. Then the start is one as any other.
 */
#include "keeper/internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "keeper/held.h"
#include "keeper/manager.h"

#include <errno.h>
#include <linux/major.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define FUSE_MINOR 229
#define WAIT_MS 10000 /* for the manager */
#define LOOK_MS 5     /* has the worker of before ended? */
#define COMPLAIN_MS 5000
#define RESUMED_MAX 20 /* keepers in a row under which nobody served */

struct resume {
	const struct keeper_wanted *wanted;
	struct manager_given *given; /* fd -1: it is taken, or closed */
	size_t n_given;
	struct keeper *keeper;
	char reason[256]; /* why it is refused */
};

__attribute__((format(printf, 2, 3))) static bool refuse(struct resume *resume, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(resume->reason, sizeof(resume->reason), format, args);
	va_end(args);
	return false;
}

/* --- what is given --- */

static const struct manager_given *find(const struct resume *resume, const char *name)
{
	for (size_t i = 0; i < resume->n_given; i++)
		if (strcmp(resume->given[i].name, name) == 0)
			return &resume->given[i];
	return NULL;
}

/* The number of the mount, as the name of a memory has it. With two of them nobody could say which is the right one. */
static bool find_mount(struct resume *resume, uint64_t *mount)
{
	unsigned found = 0;
	unsigned long long number = 0;

	for (size_t i = 0; i < resume->n_given; i++)
		found += sscanf(resume->given[i].name, "memory-%16llx", &number) == 1;
	*mount = number;
	return found == 1 || refuse(resume, found ? "there are several" : "the memory is not among it");
}

/* Borrowed until all is found to be good. */
static void find_parts(struct resume *resume, uint64_t mount)
{
	struct store_part parts[STORE_PARTS];
	char name[MANAGER_NAME_SIZE];

	store_parts(resume->keeper, parts);
	for (int i = 0; i < STORE_PARTS; i++) {
		snprintf(name, sizeof(name), "%s-%016llx", parts[i].name, (unsigned long long)mount);
		const struct manager_given *given = find(resume, name);
		*parts[i].fd = given ? given->fd : -1;
	}
}

static void keep_parts(struct resume *resume)
{
	struct store_part parts[STORE_PARTS];

	store_parts(resume->keeper, parts);
	for (int i = 0; i < STORE_PARTS; i++)
		for (size_t j = 0; j < resume->n_given; j++)
			if (resume->given[j].fd == *parts[i].fd)
				resume->given[j].fd = -1;
}

/* --- is it what it says? --- */

static bool check_memory(struct resume *resume, uint64_t mount)
{
	struct keeper *keeper = resume->keeper;
	const struct keeper_wanted *wanted = resume->wanted;

	keeper->memory = keeper->memory_fd < 0 ? NULL : memory_map(keeper->memory_fd);
	const struct memory *memory = keeper->memory;
	if (!memory)
		return refuse(resume, "the memory is of another version, or none");
	if (memory->mount_number != mount || !memory->resends || !memory->migid)
		return refuse(resume, "the memory does not belong to the rest");
	if (wanted->migid ? memory->migid != wanted->migid : strcmp(memory->mountpoint, wanted->mountpoint) != 0)
		return refuse(resume, "it is of another migration, %u, on %.100s", memory->migid, memory->mountpoint);
	if (!memory->serves && memory->resumed >= RESUMED_MAX)
		return refuse(resume, "%u processes have begun with it, and none of them came to serve", RESUMED_MAX);
	return true;
}

/* Newer kernels tell the number of the connection, which is that of the device of its mount. */
static bool is_connection_of(int fd, const struct memory *memory)
{
	char path[64], line[128];
	unsigned number;
	bool same = true;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	FILE *info = fopen(path, "re");
	while (info && fgets(line, sizeof(line), info))
		if (sscanf(line, "fuse_connection: %u", &number) == 1)
			same = number == memory->device_minor;
	if (info)
		fclose(info);
	return same;
}

static bool check_connection(struct resume *resume)
{
	const struct keeper *keeper = resume->keeper;
	struct pollfd look = {.fd = keeper->fuse_fd};
	struct stat st;

	if (keeper->fuse_fd < 0 || fstat(keeper->fuse_fd, &st) < 0 || !S_ISCHR(st.st_mode) ||
	    st.st_rdev != makedev(MISC_MAJOR, FUSE_MINOR))
		return refuse(resume, "the connection is not among it");
	if (keeper->memory->ending) /* it was to be finished, and is, when the mount is gone */
		return true;
	if (poll(&look, 1, 0) < 0 || (look.revents & POLLERR))
		return refuse(resume, "its mount is gone");
	if (!is_connection_of(keeper->fuse_fd, keeper->memory))
		return refuse(resume, "the connection is that of another mount");
	if (!worker_mount_is_there(keeper->memory))
		return refuse(resume, "it was unmounted");
	return true;
}

static bool is_messages_socket(int fd)
{
	int domain, type;
	socklen_t size = sizeof(int);

	return fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX &&
	       getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET;
}

/* Without them messages on their way are lost, and no more. */
static bool make_sockets(struct resume *resume)
{
	struct keeper *keeper = resume->keeper;

	if (is_messages_socket(keeper->socket) && is_messages_socket(keeper->worker_socket))
		return true;
	keeper->socket = keeper->worker_socket = -1; /* what is no good goes with the rest */
	keeper->memory->stored = false;
	int result = keeper_connect(keeper);
	return result >= 0 || refuse(resume, "%s", strerror(-result));
}

static bool check(struct resume *resume)
{
	uint64_t mount;

	if (!resume->wanted->stays)
		return refuse(resume, "who goes on with it must stay in the foreground");
	if (!find_mount(resume, &mount))
		return false;
	find_parts(resume, mount);
	return check_memory(resume, mount) && check_connection(resume) && make_sockets(resume);
}

/* --- going on, or not --- */

/* A system call of the worker of before may still be at work, and its locks are held. */
static void await_end_of_worker(int memory_fd)
{
	for (unsigned waited_ms = 0; memory_is_locked(memory_fd); waited_ms += LOOK_MS) {
		if (waited_ms == COMPLAIN_MS)
			log_warning("the daemon of before was killed and does not come to its end: its last system call may wait "
			            "for a disk or a server");
		poll(NULL, 0, LOOK_MS);
	}
}

static unsigned recover_held(struct resume *resume)
{
	struct memory *memory = resume->keeper->memory;

	held_recover_begin(memory);
	for (size_t i = 0; i < resume->n_given; i++) {
		struct manager_given *given = &resume->given[i];
		if (given->fd >= 0 && held_recover(memory, given->name, given->fd))
			given->fd = -1;
	}
	return held_recover_end(memory);
}

/* Closes what is left, here and at the manager. Returns whether there was any. */
static bool drop(struct resume *resume)
{
	bool dropped = false;

	for (size_t i = 0; i < resume->n_given; i++) {
		struct manager_given *given = &resume->given[i];
		if (given->fd < 0)
			continue;
		int result = manager_remove(given->name, WAIT_MS);
		if (result < 0)
			log_warning("the service manager cannot be told what nobody wants: error=%s", errno_name(result));
		close(given->fd);
		given->fd = -1;
		dropped = true;
	}
	return dropped;
}

static void take_over(struct resume *resume)
{
	struct keeper *keeper = resume->keeper;
	struct memory *memory = keeper->memory;

	log_set_migid(memory->migid);
	if (*memory->logfile)
		log_to_file(memory->logfile); /* what it says of a failure goes elsewhere */
	await_end_of_worker(keeper->memory_fd);
	keep_parts(resume);
	memory->resumed = memory->serves ? 1 : memory->resumed + 1;
	memory->restarts++;
	memory->left_ns = clock_monotonic_ns();
	memory->keeper_pid = (int32_t)getpid();
	memory->worker_pid = 0;
	want_remember(memory);
	unsigned removed = recover_held(resume);
	if (drop(resume)) { /* by name, so perhaps what is wanted as well: it is handed over anew */
		memory->stored = false;
		held_store_all(memory);
	}
	keeper->late = true; /* what the one before was about to tell */
	log_event(LOG_LEVEL_WARNING, "resumed", "mountpoint=%s restarts=%u removed=%u", memory->mountpoint, memory->restarts,
	          removed);
}

/* The connection must be over before anybody looks at its mount. */
static void give_up(struct resume *resume)
{
	if (resume->keeper->memory)
		memory_unmap(resume->keeper->memory);
	log_warning("what the service manager kept of a mount of before is dropped, and the migration is mounted anew: %s",
	            resume->reason);
	drop(resume);
	if (manager_await(WAIT_MS) < 0)
		log_warning("the service manager does not say that it has closed it");
}

int keeper_resume(const struct keeper_wanted *wanted, int *status)
{
	struct keeper keeper = {.memory_fd = -1, .fuse_fd = -1, .socket = -1, .worker_socket = -1, .signals = -1};
	struct resume resume = {.wanted = wanted, .keeper = &keeper};

	resume.n_given = manager_given(&resume.given);
	bool good = resume.n_given > 0 && check(&resume);
	if (good)
		take_over(&resume);
	else if (resume.n_given > 0)
		give_up(&resume);
	free(resume.given);
	if (!good)
		return 0;
	int result = keeper_find_program(keeper.memory);
	if (result >= 0)
		result = keeper_watch_signals(&keeper);
	if (result >= 0) {
		*status = keeper_run(&keeper);
		return 1;
	}
	log_error("the keeper cannot go on: error=%s", errno_name(result));
	*status = EXIT_KEEPER; /* the manager has everything, and tries again */
	keeper_close(&keeper);
	return 1;
}
