/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The memory file, and the worker's tables in it. See memory.h.
 *
 * Free entries are chained through their `next`; the heads are in the process, and found anew by the next one, which looks at all
 * entries that were ever taken.
 */
#include "keeper/memory.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "keeper/message.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/oom.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define MAGIC 0x7065656b73666d64ull /* "dmfskeep" */
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* --- the file --- */

static struct memory *map(int fd)
{
	int how = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	struct memory *memory = mmap(NULL, sizeof(*memory), PROT_READ | PROT_WRITE, how | MAP_NORESERVE, fd, 0);

	if (memory == MAP_FAILED)
		return NULL;
	madvise(memory, sizeof(*memory), MADV_DONTDUMP);
	return memory;
}

struct memory *memory_make(int *fd)
{
	CLEAN_FD int file = fd ? memfd_create("dmmfs", MFD_CLOEXEC | MFD_ALLOW_SEALING) : -1;

	if (fd && (file < 0 || ftruncate(file, sizeof(struct memory)) < 0 || fcntl(file, F_ADD_SEALS, SEALS) < 0))
		return NULL;
	struct memory *memory = map(file);
	if (!memory)
		return NULL;
	memory->head = (struct memory_head){.magic = MAGIC, .format = MEMORY_FORMAT, .size = sizeof(*memory)};
	if (fd)
		*fd = steal_fd(&file);
	return memory;
}

static bool texts_end(const struct memory *memory)
{
	const char *const texts[] = {memory->program,    memory->confdir, memory->rundir,
	                             memory->mountpoint, memory->source,  memory->logfile};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		if (!memchr(texts[i], '\0', PATH_MAX))
			return false;
	return true;
}

/* The length of a node's handle is looked at where it is used: there may be millions of them. */
static bool is_sound(const struct memory *memory)
{
	return texts_end(memory) && memory->n_init <= MEMORY_INIT && memory->opens_used <= MEMORY_OPENS &&
	       memory->nodes_used <= MEMORY_NODES && memory->changes_used <= MEMORY_CHANGES && memory->held_used <= MEMORY_HELD &&
	       memory->oom_score_adj >= OOM_SCORE_ADJ_MIN && memory->oom_score_adj <= OOM_SCORE_ADJ_MAX;
}

struct memory *memory_map(int fd)
{
	struct memory_head head;
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (seals < 0 || (seals & SEALS) != SEALS || pread(fd, &head, sizeof(head), 0) != sizeof(head) || head.magic != MAGIC ||
	    head.format != MEMORY_FORMAT || head.size != sizeof(struct memory) || fstat(fd, &st) < 0 ||
	    st.st_size != sizeof(struct memory)) {
		errno = EPROTO;
		return NULL;
	}
	struct memory *memory = map(fd);
	if (memory && !is_sound(memory)) {
		memory_unmap(memory);
		errno = EPROTO;
		return NULL;
	}
	return memory;
}

int memory_lock(int fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	return fcntl(fd, F_SETLK, &lock) < 0 ? -errno : 0;
}

bool memory_is_locked(int fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	return fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

void memory_unmap(struct memory *memory)
{
	munmap(memory, sizeof(*memory));
}

/* --- the worker's view --- */

struct free_list {
	pthread_mutex_t lock;
	uint32_t first; /* 0: none; the entry 0 of each table is never used */
};

/* An open file of the process before, by the request that opened it. */
struct opened {
	uint64_t unique, handle;
};

struct kept {
	struct memory *memory;
	struct kept_fds fds;
	bool inherited;
	struct free_list opens, nodes, changes;
	struct opened *before; /* sorted */
	size_t n_before;
	uint32_t changes_before; /* entries below may be of the process before */
};

static uint64_t handle_of(const struct memory *memory, const struct memory_open *open)
{
	return (uint64_t)open->stamp << 32 | (uint64_t)(open - memory->opens);
}

static int by_unique(const void *a, const void *b)
{
	const struct opened *one = a, *other = b;

	return one->unique < other->unique ? -1 : one->unique > other->unique;
}

static void find_opens(struct kept *kept)
{
	struct memory *memory = kept->memory;
	uint32_t used = memory->opens_used;

	kept->before = calloc(used + 1, sizeof(*kept->before));
	if (!kept->before)
		abort();
	for (uint32_t i = used; i-- > 1;) {
		struct memory_open *open = &memory->opens[i];
		if (open->unique) {
			kept->before[kept->n_before++] = (struct opened){open->unique, handle_of(memory, open)};
			continue;
		}
		open->stamp++;
		open->next = kept->opens.first;
		kept->opens.first = i;
	}
	qsort(kept->before, kept->n_before, sizeof(*kept->before), by_unique);
}

static void find_free(struct kept *kept)
{
	struct memory *memory = kept->memory;

	for (uint32_t i = memory->nodes_used; i-- > 1;) {
		if (memory->nodes[i].id)
			continue;
		memory->nodes[i].ino = kept->nodes.first;
		kept->nodes.first = i;
	}
	for (uint32_t i = memory->changes_used; i-- > 1;) {
		if (memory->changes[i].unique)
			continue;
		memory->changes[i].next = kept->changes.first;
		kept->changes.first = i;
	}
	kept->changes_before = memory->changes_used;
}

struct kept *kept_new(struct memory *memory, struct kept_fds fds, bool inherited)
{
	struct kept *kept = calloc(1, sizeof(*kept));

	if (!kept)
		abort();
	*kept = (struct kept){.memory = memory, .fds = fds, .inherited = inherited};
	pthread_mutex_init(&kept->opens.lock, NULL);
	pthread_mutex_init(&kept->nodes.lock, NULL);
	pthread_mutex_init(&kept->changes.lock, NULL);
	find_opens(kept);
	find_free(kept);
	return kept;
}

void kept_free(struct kept *kept)
{
	cleanup_close(&kept->fds.fuse);
	cleanup_close(&kept->fds.socket);
	memory_unmap(kept->memory);
	cleanup_close(&kept->fds.memory); /* the lock ends */
	free(kept->before);
	free(kept);
}

struct memory *kept_memory(struct kept *kept)
{
	return kept->memory;
}

bool kept_inherited(const struct kept *kept)
{
	return kept->inherited;
}

int kept_take_fuse(struct kept *kept)
{
	return steal_fd(&kept->fds.fuse);
}

/* A number that no entry ever had, below `most`; 0: there is none. */
static uint32_t never_used(_Atomic uint32_t *used, uint32_t most)
{
	uint32_t index = *used ? *used : 1;

	if (index >= most)
		return 0;
	*used = index + 1;
	return index;
}

/* --- what is open --- */

uint64_t kept_open(struct kept *kept, uint64_t unique, uint64_t node, unsigned flags, int backing_id)
{
	struct memory *memory = kept->memory;
	LOCKED(&kept->opens.lock);
	uint32_t index = kept->opens.first;
	struct memory_open *open = &memory->opens[index];

	if (index)
		kept->opens.first = open->next;
	else if ((index = never_used(&memory->opens_used, MEMORY_OPENS)) == 0)
		return 0;
	open = &memory->opens[index];
	open->node = node;
	open->flags = (uint16_t)flags;
	open->ending = 0;
	open->backing_id = backing_id;
	atomic_store_explicit(&open->unique, unique ? unique : 1, memory_order_release);
	return handle_of(memory, open);
}

struct memory_open *kept_find_open(struct kept *kept, uint64_t handle)
{
	struct memory *memory = kept->memory;
	uint32_t index = (uint32_t)handle;

	if (index == 0 || index >= memory->opens_used)
		return NULL;
	struct memory_open *open = &memory->opens[index];
	return open->unique && open->stamp == handle >> 32 ? open : NULL;
}

void kept_close(struct kept *kept, uint64_t handle)
{
	LOCKED(&kept->opens.lock);
	struct memory_open *open = kept_find_open(kept, handle);

	if (!open)
		return;
	atomic_store_explicit(&open->unique, 0, memory_order_release);
	open->stamp++; /* killed before it, the next process does it */
	open->next = kept->opens.first;
	kept->opens.first = (uint32_t)handle;
}

uint64_t kept_opened_before(struct kept *kept, uint64_t unique)
{
	struct opened wanted = {.unique = unique};
	const struct opened *found = bsearch(&wanted, kept->before, kept->n_before, sizeof(*kept->before), by_unique);

	return found && kept_find_open(kept, found->handle) ? found->handle : 0;
}

/* --- what must not be done twice --- */

struct memory_change *kept_change_begin(struct kept *kept, uint64_t unique, uint64_t moved, uint64_t victim)
{
	struct memory *memory = kept->memory;

	if (!memory->resends)
		return NULL;
	LOCKED(&kept->changes.lock);
	uint32_t index = kept->changes.first;
	if (index)
		kept->changes.first = memory->changes[index].next;
	else if ((index = never_used(&memory->changes_used, MEMORY_CHANGES)) == 0)
		return NULL;
	struct memory_change *change = &memory->changes[index];
	change->began_ns = clock_read_ns(CLOCK_REALTIME_COARSE);
	change->moved = moved;
	change->victim = victim;
	atomic_store_explicit(&change->unique, unique, memory_order_release);
	return change;
}

struct memory_change *kept_change_find(struct kept *kept, uint64_t unique)
{
	LOCKED(&kept->changes.lock);
	for (uint32_t i = 1; i < kept->changes_before; i++)
		if (kept->memory->changes[i].unique == unique)
			return &kept->memory->changes[i];
	return NULL;
}

void kept_change_end(struct kept *kept, struct memory_change *change)
{
	if (!change)
		return;
	LOCKED(&kept->changes.lock);
	atomic_store_explicit(&change->unique, 0, memory_order_release);
	change->next = kept->changes.first;
	kept->changes.first = (uint32_t)(change - kept->memory->changes);
}

/* --- nodes --- */

uint32_t kept_node(struct kept *kept, uint64_t id, const struct handle *handle, uint64_t ino, unsigned kind)
{
	struct memory *memory = kept->memory;

	if (!memory->resends || handle->len > MEMORY_HANDLE)
		return 0;
	LOCKED(&kept->nodes.lock);
	uint32_t index = kept->nodes.first;
	if (index)
		kept->nodes.first = (uint32_t)memory->nodes[index].ino;
	else if ((index = never_used(&memory->nodes_used, MEMORY_NODES)) == 0)
		return 0;
	struct memory_node *node = &memory->nodes[index];
	node->ino = ino;
	node->type = handle->type;
	node->len = handle->len;
	node->kind = (uint16_t)kind;
	memcpy(node->bytes, handle->bytes, handle->len);
	atomic_store_explicit(&node->id, id, memory_order_release);
	return index;
}

void kept_node_forget(struct kept *kept, uint32_t index)
{
	if (index == 0)
		return;
	LOCKED(&kept->nodes.lock);
	atomic_store_explicit(&kept->memory->nodes[index].id, 0, memory_order_release);
	kept->memory->nodes[index].ino = kept->nodes.first;
	kept->nodes.first = index;
}

/* --- what the keeper is told --- */

static void tell(struct kept *kept, enum message_kind kind, uint64_t node, int fd, const char *else_what)
{
	if (kept->fds.socket >= 0 && message_send(kept->fds.socket, kind, node, fd) < 0)
		log_warning("%s: error=%s", else_what, errno_name(errno));
}

void kept_serves(struct kept *kept)
{
	tell(kept, MESSAGE_SERVES, 0, -1, "the mount will not outlive its keeper, which cannot be told");
}

void kept_hold(struct kept *kept, uint64_t node, int fd)
{
	tell(kept, MESSAGE_HOLD, node, fd, "a removed file that is open will not outlive this process");
}

void kept_let_go(struct kept *kept, uint64_t node)
{
	tell(kept, MESSAGE_LET_GO, node, -1, "the keeper cannot be told");
}
