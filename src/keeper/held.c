/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "keeper/held.h"

#include "base/log.h"
#include "keeper/manager.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NAME "h%x" /* short: those of all come in one word of the environment, which has its limit (128 KiB) */
#define END_WAIT_MS 1000

static void name_of(const struct memory *memory, const struct memory_held *held, char name[MANAGER_NAME_SIZE])
{
	snprintf(name, MANAGER_NAME_SIZE, NAME, (unsigned)(held - memory->held));
}

static void close_fd(struct memory_held *held)
{
	if (held->fd >= 0)
		close(held->fd);
	held->fd = -1;
}

static struct memory_held *find(struct memory *memory, uint64_t node)
{
	for (uint32_t i = 0; i < memory->held_used; i++)
		if (memory->held[i].node == node && held_is_there(&memory->held[i]))
			return &memory->held[i];
	return NULL;
}

static struct memory_held *find_free(struct memory *memory, unsigned most)
{
	uint32_t used = memory->held_used;

	for (uint32_t i = 0; i < used; i++)
		if (memory->held[i].state == HELD_FREE)
			return &memory->held[i];
	if (used >= most)
		return NULL;
	memory->held_used = used + 1;
	return &memory->held[used];
}

/* Returns whether the manager takes no more now. */
static bool settle(struct memory *memory, struct memory_held *held, int timeout_ms)
{
	char name[MANAGER_NAME_SIZE];
	bool store = held->state == HELD_TO_STORE;

	if (!store && held->state != HELD_TO_REMOVE)
		return false;
	name_of(memory, held, name);
	int result = store ? manager_store(name, held->fd, timeout_ms) : manager_remove(name, timeout_ms);
	if (result == -EAGAIN)
		return true;
	if (result < 0)
		log_warning("the service manager cannot be told of a removed file that is open: error=%s", errno_name(result));
	atomic_store(&held->state, store ? HELD_STORED : HELD_FREE);
	return false;
}

bool held_take(struct memory *memory, uint64_t node, int fd, unsigned most)
{
	struct memory_held *held = find(memory, node);

	if (held) {
		close_fd(held);
		held->fd = fd;
		return settle(memory, held, 0);
	}
	held = find_free(memory, most);
	if (!held) {
		log_warning("there is no room to keep one more removed file that is open: most=%u", most);
		close(fd);
		return false;
	}
	held->node = node;
	held->fd = fd;
	atomic_store(&held->state, memory->stored ? HELD_TO_STORE : HELD_HERE);
	return settle(memory, held, 0);
}

bool held_let_go(struct memory *memory, uint64_t node)
{
	struct memory_held *held = find(memory, node);

	if (!held)
		return false;
	close_fd(held);
	atomic_store(&held->state, held->state == HELD_HERE ? HELD_FREE : HELD_TO_REMOVE);
	return settle(memory, held, 0);
}

bool held_settle(struct memory *memory)
{
	for (uint32_t i = 0; i < memory->held_used; i++)
		if (settle(memory, &memory->held[i], 0))
			return true;
	return false;
}

void held_store_all(struct memory *memory)
{
	for (uint32_t i = 0; i < memory->held_used; i++)
		if (held_is_there(&memory->held[i]))
			atomic_store(&memory->held[i].state, HELD_TO_STORE);
}

void held_end(struct memory *memory, bool forget)
{
	bool stuck = !forget;

	for (uint32_t i = 0; i < memory->held_used; i++) {
		struct memory_held *held = &memory->held[i];
		if (held->state == HELD_FREE)
			continue;
		close_fd(held);
		if (stuck)
			continue;
		atomic_store(&held->state, HELD_TO_REMOVE);
		stuck = settle(memory, held, END_WAIT_MS);
	}
}

/* --- after a kill --- */

void held_recover_begin(struct memory *memory)
{
	for (uint32_t i = 0; i < memory->held_used; i++)
		memory->held[i].fd = -1;
}

bool held_recover(struct memory *memory, const char *name, int fd)
{
	char again[MANAGER_NAME_SIZE];
	unsigned index;

	if (sscanf(name, NAME, &index) != 1 || index >= memory->held_used)
		return false;
	struct memory_held *held = &memory->held[index];
	name_of(memory, held, again);
	if (strcmp(name, again) || held->fd >= 0 || (held->state != HELD_TO_STORE && held->state != HELD_STORED))
		return false;
	held->fd = fd;
	atomic_store(&held->state, HELD_STORED);
	return true;
}

unsigned held_recover_end(struct memory *memory)
{
	unsigned count = 0;

	for (uint32_t i = 0; i < memory->held_used; i++) {
		struct memory_held *held = &memory->held[i];
		count += held->fd >= 0;
		if (held->fd < 0 && held_is_there(held))
			atomic_store(&held->state, HELD_FREE);
	}
	return count;
}
