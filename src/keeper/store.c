/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the service manager has of a keeper, so that the mount outlives that as well (systemd: FileDescriptorStoreMax=).
 *
 *   fuse      the connection
 *   memory    what the kernel refers to (memory.h)
 *   inbox     the pair of sockets between worker and keeper, with the messages in it that nobody has taken
 *   outbox
 *   hN        descriptors of removed files that are open (held.h)
 *
 * They are handed over when the mount serves, and withdrawn when it ends: a mount that is over leaves nothing. The names of the first four
 * end in the number of the mount. The manager closes what it has when the unit is stopped.
 */
#include "keeper/internal.h"

#include "base/log.h"
#include "keeper/held.h"
#include "keeper/manager.h"

#include <errno.h>
#include <stdio.h>

#define END_WAIT_MS 2000

void store_parts(struct keeper *keeper, struct store_part parts[STORE_PARTS])
{
	parts[0] = (struct store_part){"fuse", &keeper->fuse_fd};
	parts[1] = (struct store_part){"memory", &keeper->memory_fd};
	parts[2] = (struct store_part){"inbox", &keeper->socket};
	parts[3] = (struct store_part){"outbox", &keeper->worker_socket};
}

static int each_part(struct keeper *keeper, int (*each)(const char *name, int fd, int timeout_ms), int timeout_ms)
{
	struct store_part parts[STORE_PARTS];
	char name[MANAGER_NAME_SIZE];
	int result = 0;

	store_parts(keeper, parts);
	for (int i = 0; i < STORE_PARTS && result >= 0; i++) {
		snprintf(name, sizeof(name), "%s-%016llx", parts[i].name, (unsigned long long)keeper->memory->mount_number);
		result = each(name, *parts[i].fd, timeout_ms);
	}
	return result;
}

/* What was handed over before, the manager takes for the same. */
bool store_begin(struct keeper *keeper)
{
	struct memory *memory = keeper->memory;

	if (memory->stored || !memory->resends || !memory->foreground || !manager_is_there())
		return false;
	int result = each_part(keeper, manager_store, 0);
	if (result == -EAGAIN)
		return true;
	if (result < 0) {
		log_warning("the mount will not outlive its keeper: the service manager cannot be told: error=%s",
		            errno_name(result));
		return false;
	}
	memory->stored = true;
	held_store_all(memory);
	return held_settle(memory);
}

bool store_go_on(struct keeper *keeper)
{
	return keeper->memory->stored ? held_settle(keeper->memory) : store_begin(keeper);
}

static int remove_part(const char *name, int fd, int timeout_ms)
{
	(void)fd;
	return manager_remove(name, timeout_ms);
}

void store_end(struct keeper *keeper, bool all_is_over)
{
	struct memory *memory = keeper->memory;
	bool forget = all_is_over && memory->stored;

	held_end(memory, forget);
	if (!forget)
		return;
	int result = each_part(keeper, remove_part, END_WAIT_MS);
	if (result >= 0)
		result = manager_await(END_WAIT_MS);
	if (result < 0)
		log_warning("the service manager may still have what the mount needed: error=%s", errno_name(result));
	memory->stored = false;
}
