/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The table of nodes and the cache of descriptors.
 */
#include "fs/node.h"

#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#define ROOT_ID 1
#define FIRST_BUCKETS 4096

/* About 450 bytes each. Where ids are no handles, so many as the kernel is left with, which then has to ask for the others again. */
#define NODES_MAX 32768
#define NODES_HASHED_MAX 49152
/* Of those that the kernel is asked for at once. */
#define OFFER_MAX 256
/* Buckets that are looked through for each node that is made, so that nobody waits long. */
#define LOOKS_MAX 64

/* A rename has six at most: two directories, two objects, and both again when it is run once more. */
#define HELD_MAX 16

struct node_table {
	const struct target *target;
	struct kept *kept;
	bool packed; /* ids are handles */
	node_doubt_fn doubt;
	void *doubt_context;
	node_plenty_fn plenty;
	void *plenty_context;
	uint64_t offer[OFFER_MAX];
	unsigned n_offer;
	bool offered; /* the kernel is being asked */
	pthread_mutex_t lock;
	struct node **buckets;
	size_t n_buckets, count; /* n_buckets: a power of two */
	size_t hand;             /* the bucket whose nodes were considered last */
	bool gave_up;            /* a node that the kernel may know */
	struct node *unused;
	atomic_uint n_unused;
	struct node *dead; /* out of the table, and nobody's: unlock() destroys them */
	pthread_mutex_t cache_lock;
	struct node *newest, *oldest;
	unsigned n_cached, max_cached;
};

/* What the request of this thread uses. */
static __thread struct {
	struct node *nodes[HELD_MAX];
	unsigned count;
} held;

static void destroy_all(struct node *node);

/* Closing the descriptor of a removed file removes its inode, for which nobody else is to wait: without the lock. */
static void unlock_table(struct node_table **table)
{
	struct node *dead = (*table)->dead;

	(*table)->dead = NULL;
	pthread_mutex_unlock(&(*table)->lock);
	destroy_all(dead);
}

static struct node_table *lock_table(struct node_table *table)
{
	pthread_mutex_lock(&table->lock);
	return table;
}
#define TABLE_LOCKED(table) __attribute__((cleanup(unlock_table), unused)) struct node_table *locked_table = lock_table(table)

static void *must_alloc(size_t size)
{
	void *memory = calloc(1, size);

	if (!memory)
		abort();
	return memory;
}

static uint64_t id_of(const struct node_table *table, const struct handle *handle)
{
	uint64_t id;

	if (handle_equal(handle, &table->target->root_handle))
		return ROOT_ID;
	if (table->packed && handle->len == sizeof(id)) {
		memcpy(&id, handle->bytes, sizeof(id));
		return id;
	}
	id = XXH3_64bits_withSeed(handle->bytes, handle->len, (uint64_t)handle->type);
	return id > ROOT_ID ? id : id + 2;
}

static size_t bucket_of(const struct node_table *table, uint64_t id)
{
	return (id * 0x9E3779B97F4A7C15ull >> 17) & (table->n_buckets - 1);
}

static void grow(struct node_table *table)
{
	struct node **old = table->buckets;
	size_t n_old = table->n_buckets;

	table->n_buckets *= 2;
	table->buckets = must_alloc(table->n_buckets * sizeof(*table->buckets));
	for (size_t i = 0; i < n_old; i++) {
		for (struct node *node = old[i], *next; node; node = next) {
			next = node->hash_next;
			size_t bucket = bucket_of(table, node->id);
			node->hash_next = table->buckets[bucket];
			table->buckets[bucket] = node;
		}
	}
	free(old);
}

static struct node *find(struct node_table *table, uint64_t id)
{
	struct node *node = table->buckets[bucket_of(table, id)];

	while (node && node->id != id)
		node = node->hash_next;
	return node;
}

/* By us. Under the table lock. */
static bool is_used(const struct node *node)
{
	return node->is_root || node->refs || node->unused || atomic_load_explicit(&node->users, memory_order_acquire) ||
	       node->pinned;
}

static bool is_needed(const struct node_table *table, const struct node *node)
{
	return is_used(node) || ((node->lookups || node->past) && !table->packed);
}

/* The kernel alone keeps the node: it is asked whether it needs it. */
static void offer(struct node_table *table, const struct node *node)
{
	if (!table->plenty || table->offered || node->fresh || is_used(node))
		return;
	table->offer[table->n_offer++] = node->id;
	if (table->n_offer < OFFER_MAX)
		return;
	table->n_offer = 0;
	table->offered = table->plenty(table->plenty_context, table->offer, OFFER_MAX);
}

static void bury(struct node_table *table, struct node *node);

/* Goes round the buckets as the hand of a clock: who was not used since it came by last goes. */
static void give_up_some(struct node_table *table)
{
	size_t most = table->packed ? NODES_MAX : NODES_HASHED_MAX;
	for (unsigned looks = 0; table->count > most && looks < LOOKS_MAX; looks++) {
		struct node **at = &table->buckets[++table->hand & (table->n_buckets - 1)], *node;
		while ((node = *at)) {
			if (node->fresh || is_needed(table, node)) {
				offer(table, node);
				node->fresh = false;
				at = &node->hash_next;
				continue;
			}
			*at = node->hash_next;
			table->count--;
			table->gave_up = true;
			bury(table, node);
		}
	}
}

/* The caller uses it. */
static struct node *insert(struct node_table *table, uint64_t id, const struct handle *handle, const struct stat *st)
{
	struct node *node = must_alloc(sizeof(*node));

	node->id = id;
	node->is_root = id == ROOT_ID;
	node->fresh = true;
	atomic_init(&node->users, 1);
	node->past = kept_inherited(table->kept) && !table->packed;
	node->written_past = table->gave_up || node->past; /* nobody knows any more whether it was */
	node->subject.ino = st->st_ino;
	node->subject.handle = *handle;
	node->subject.is_dir = S_ISDIR(st->st_mode);
	node->subject.is_file = S_ISREG(st->st_mode);
	atomic_init(&node->subject.quiet, !node->subject.is_dir && !node->subject.is_file);
	pthread_mutex_init(&node->lock, NULL);
	pthread_mutex_init(&node->listing, NULL);
	if (table->count++ >= table->n_buckets)
		grow(table);
	size_t bucket = bucket_of(table, id);
	node->hash_next = table->buckets[bucket];
	table->buckets[bucket] = node;
	give_up_some(table);
	return node;
}

/* Where ids are hashes: all that another process had on record. */
static void recall_all(struct node_table *table)
{
	struct memory *memory = kept_memory(table->kept);

	for (uint32_t i = 1; i < memory->nodes_used; i++) {
		const struct memory_node *kept = &memory->nodes[i];
		if (!kept->id || kept->len > MEMORY_HANDLE || find(table, kept->id))
			continue;
		struct handle handle = {.type = kept->type, .len = kept->len};
		memcpy(handle.bytes, kept->bytes, kept->len);
		struct node *node = insert(table, kept->id, &handle, &(struct stat){.st_ino = kept->ino, .st_mode = kept->kind});
		node->kept = i;
		atomic_store(&node->users, 0);
	}
}

struct node_table *node_table_new(const struct target *target, struct kept *kept, unsigned max_fds)
{
	struct node_table *table = must_alloc(sizeof(*table));

	table->target = target;
	table->kept = kept;
	table->packed = target->root_handle.len == sizeof(uint64_t);
	table->gave_up = kept_inherited(kept) && table->packed; /* another process knew more */
	table->n_buckets = FIRST_BUCKETS;
	table->buckets = must_alloc(table->n_buckets * sizeof(*table->buckets));
	table->max_cached = max_fds;
	pthread_mutex_init(&table->lock, NULL);
	pthread_mutex_init(&table->cache_lock, NULL);
	if (kept_inherited(kept) && !table->packed)
		recall_all(table);
	return table;
}

static struct node *use(struct node *node)
{
	atomic_fetch_add(&node->users, 1);
	node->fresh = true;
	return node;
}

static bool is_held(const struct node *node)
{
	for (unsigned i = 0; i < held.count; i++)
		if (held.nodes[i] == node)
			return true;
	return false;
}

/* The node, used by this thread once, until nodes_done(). */
static struct node *hold(struct node_table *table, struct node *node)
{
	if (is_held(node)) {
		node_leave(table, node);
		return node;
	}
	if (held.count == HELD_MAX)
		abort();
	return held.nodes[held.count++] = node;
}

static struct node *find_used(struct node_table *table, uint64_t id)
{
	TABLE_LOCKED(table);
	struct node *node = find(table, id);

	return node ? use(node) : NULL;
}

/* A node that the kernel still refers to, made again from its handle: it was given up, or another process had the connection before. */
static int recall(struct node_table *table, uint64_t id, const struct handle *handle, struct node **node)
{
	struct stat st;
	CLEAN_FD int fd = target_open_handle(table->target, handle, O_PATH);

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	TABLE_LOCKED(table);
	*node = find(table, id); /* another thread may have been faster */
	if (*node) {
		use(*node);
		return 0;
	}
	*node = insert(table, id, handle, &st);
	(*node)->lookups = 1; /* at least */
	return 0;
}

int node_find(struct node_table *table, uint64_t id, struct node **node)
{
	struct handle handle = table->target->root_handle;

	*node = find_used(table, id);
	if (!*node && id != ROOT_ID) {
		if (!table->packed)
			return -ESTALE;
		memcpy(handle.bytes, &id, sizeof(id));
	}
	int result = *node ? 0 : recall(table, id, &handle, node);
	if (result == 0)
		*node = hold(table, *node);
	return result;
}

struct node *node_enter(struct node_table *table, const struct handle *handle, const struct stat *st)
{
	TABLE_LOCKED(table);
	uint64_t id = id_of(table, handle);
	struct node *node = find(table, id);

	bool is_new = !node;
	node = node ? use(node) : insert(table, id, handle, st);
	if (is_new && !table->packed && id != ROOT_ID)
		node->kept = kept_node(table->kept, id, handle, st->st_ino, st->st_mode & S_IFMT);
	node->lookups++;
	return node;
}

int node_peek(struct node_table *table, const struct handle *handle, struct node **node)
{
	uint64_t id = id_of(table, handle);
	int result = 0;

	*node = find_used(table, id);
	if (!*node && __atomic_load_n(&table->gave_up, __ATOMIC_RELAXED))
		result = recall(table, id, handle, node);
	if (*node)
		*node = hold(table, *node);
	return result == -ESTALE ? 0 : result;
}

uint64_t node_id(struct node_table *table, const struct handle *handle)
{
	TABLE_LOCKED(table);
	uint64_t id = id_of(table, handle);

	return table->gave_up || find(table, id) ? id : 0;
}

/* --- descriptors --- */

static void unlist(struct node_table *table, struct node *node)
{
	if (!node->listed)
		return;
	*(node->newer ? &node->newer->older : &table->newest) = node->older;
	*(node->older ? &node->older->newer : &table->oldest) = node->newer;
	node->newer = node->older = NULL;
	node->listed = false;
	table->n_cached--;
}

static void list_newest(struct node_table *table, struct node *node)
{
	node->older = table->newest;
	*(table->newest ? &table->newest->newer : &table->oldest) = node;
	table->newest = node;
	node->listed = true;
	table->n_cached++;
}

void node_fd_put(struct node_fd *fd)
{
	if (atomic_fetch_sub(&fd->refs, 1) == 1) {
		close(fd->fd);
		free(fd);
	}
}

/* Takes the oldest descriptors out of the cache. They are not the caller's node's, whose lock is held; another node's lock is
 * only tried, since two threads may be here for each other's node. */
static void shrink_cache(struct node_table *table, struct node *mine)
{
	LOCKED(&table->cache_lock);
	struct node *node = table->oldest;

	while (table->n_cached > table->max_cached && node) {
		struct node *newer = node->newer;
		if (node != mine && pthread_mutex_trylock(&node->lock) == 0) {
			unlist(table, node);
			if (node->cached)
				node_fd_put(node->cached);
			node->cached = NULL;
			pthread_mutex_unlock(&node->lock);
		}
		node = newer;
	}
}

static void keep(struct node_table *table, struct node *node, struct node_fd *fd)
{
	if (node->cached)
		node_fd_put(node->cached);
	node->cached = fd;
	if (node->pinned)
		return;
	pthread_mutex_lock(&table->cache_lock);
	if (!node->listed)
		list_newest(table, node);
	bool full = table->n_cached > table->max_cached;
	pthread_mutex_unlock(&table->cache_lock);
	if (full)
		shrink_cache(table, node);
}

static bool serves(const struct node_fd *fd, enum node_access access)
{
	if (!fd)
		return false;
	switch (access) {
	case NODE_READ:
		return !fd->path_only;
	case NODE_READ_ONLY:
		return !fd->path_only && !fd->writable;
	case NODE_WRITE:
		return fd->writable;
	default:
		return true;
	}
}

static int open_with(struct node_table *table, struct node *node, int flags)
{
	char path[FD_PATH_SIZE];

	if (!node->cached || node->cached->path_only || node->subject.is_dir)
		return target_open_handle(table->target, &node->subject.handle, flags);
	/* Unlinked files can be reached through what is open alone. */
	int fd = open(target_fd_path(node->cached->fd, path), flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int open_node(struct node_table *table, struct node *node, enum node_access access, struct node_fd **opened)
{
	int flags = node->subject.is_dir   ? O_RDONLY | O_DIRECTORY
	            : access == NODE_PATH  ? O_PATH
	            : access == NODE_WRITE ? O_RDWR
	                                   : O_RDONLY;
	int fd = open_with(table, node, flags);

	if (fd == -EPERM && flags == O_RDWR) /* it may be append-only */
		fd = open_with(table, node, flags | O_APPEND);
	if (fd < 0)
		return fd;
	*opened = must_alloc(sizeof(**opened));
	(*opened)->fd = fd;
	(*opened)->writable = flags == O_RDWR;
	(*opened)->path_only = flags == O_PATH;
	(*opened)->position = -1;
	atomic_init(&(*opened)->refs, 1);
	return 0;
}

int node_fd_get(struct node_table *table, struct node *node, enum node_access access, struct node_fd **fd)
{
	LOCKED(&node->lock);

	if (!serves(node->cached, access)) {
		struct node_fd *opened;
		int result = open_node(table, node, access, &opened);
		if (result < 0)
			return result;
		keep(table, node, opened);
	}
	atomic_fetch_add(&node->cached->refs, 1);
	*fd = node->cached;
	return 0;
}

static void set_pinned(struct node_table *table, struct node *node)
{
	node->pinned = true;
	LOCKED(&table->cache_lock);
	unlist(table, node);
}

int node_pin(struct node_table *table, struct node *node)
{
	struct node_fd *fd;
	int result = node_fd_get(table, node, node->subject.is_file || node->subject.is_dir ? NODE_READ : NODE_PATH, &fd);

	if (result < 0)
		return result;
	LOCKED(&node->lock);
	if (node->cached) {
		set_pinned(table, node);
		node_fd_put(fd);
	} else {
		node->cached = fd; /* it left the cache meanwhile */
		node->pinned = true;
	}
	return 0;
}

void node_unpin(struct node_table *table, struct node *node)
{
	LOCKED(&node->lock);

	if (!node->pinned)
		return;
	node->pinned = false;
	pthread_mutex_lock(&table->cache_lock);
	if (!node->listed)
		list_newest(table, node);
	pthread_mutex_unlock(&table->cache_lock);
}

void node_pin_fd(struct node_table *table, struct node *node, int fd, bool writable)
{
	struct node_fd *owned = must_alloc(sizeof(*owned));
	LOCKED(&node->lock);

	owned->fd = fd;
	owned->writable = writable;
	atomic_init(&owned->refs, 1);
	set_pinned(table, node);
	keep(table, node, owned);
}

int node_offer_fd(struct node_table *table, struct node *node, int fd)
{
	LOCKED(&node->lock);

	if (node->cached && node->cached->writable)
		return fd;
	struct node_fd *owned = must_alloc(sizeof(*owned));
	owned->fd = fd;
	owned->writable = true;
	owned->position = -1;
	atomic_init(&owned->refs, 1);
	keep(table, node, owned);
	return -1;
}

/* Under node->lock and the cache's. Who has it open goes on with it, also when it loses its name. */
static void shed(struct node_table *table, struct node *node)
{
	struct node_fd *opened = NULL;

	if (node->latched && open_node(table, node, NODE_READ, &opened) < 0)
		return;
	if (!node->latched)
		unlist(table, node);
	node_fd_put(node->cached);
	node->cached = opened;
}

void node_shed_writable(struct node_table *table)
{
	LOCKED(&table->cache_lock);

	for (struct node *node = table->oldest, *newer; node; node = newer) {
		newer = node->newer;
		if (pthread_mutex_trylock(&node->lock) != 0)
			continue;
		if (node->cached && node->cached->writable && node->writers == 0)
			shed(table, node);
		pthread_mutex_unlock(&node->lock);
	}
}

void node_hold(struct node_table *table, struct node *node)
{
	LOCKED(&node->lock);

	if (node->held || !node->cached)
		return;
	node->held = true;
	kept_hold(table->kept, node->id, node->cached->fd);
}

int node_adopt_held(struct node_table *table, struct node *node)
{
	int result = node_pin(table, node);

	if (result < 0)
		return result;
	TABLE_LOCKED(table);
	node->held = node->past = true;
	return 0;
}

/* --- the end of a node --- */

/* Under the table lock; it is in no chain any more. */
static void bury(struct node_table *table, struct node *node)
{
	pthread_mutex_lock(&table->cache_lock);
	unlist(table, node);
	pthread_mutex_unlock(&table->cache_lock);
	if (node->held)
		kept_let_go(table->kept, node->id);
	kept_node_forget(table->kept, node->kept);
	node->hash_next = table->dead;
	table->dead = node;
}

static void destroy_all(struct node *node)
{
	for (struct node *next; node; node = next) {
		next = node->hash_next;
		if (node->cached)
			node_fd_put(node->cached);
		pthread_mutex_destroy(&node->lock);
		pthread_mutex_destroy(&node->listing);
		free(node);
	}
}

static void remove_node(struct node_table *table, struct node *node)
{
	struct node **at = &table->buckets[bucket_of(table, node->id)];

	while (*at != node)
		at = &(*at)->hash_next;
	*at = node->hash_next;
	table->count--;
	bury(table, node);
}

/* Removes what nobody needs any more from the list and the table. */
static void sweep(struct node_table *table)
{
	struct node **at = &table->unused, *node;

	while ((node = *at)) {
		bool wanted = node->lookups || node->refs || node->past;
		if (!wanted && atomic_load(&node->users)) {
			at = &node->unused_next;
			continue;
		}
		*at = node->unused_next;
		node->unused = false;
		atomic_fetch_sub(&table->n_unused, 1);
		if (!wanted)
			remove_node(table, node);
	}
}

/* A request that still uses it is about to end. It sees n_unused then, or sweep() sees that it has ended. */
static void remove_if_unused(struct node_table *table, struct node *node)
{
	if (node->lookups || node->refs || node->is_root || node->past)
		return;
	if (!node->unused) {
		node->unused = true;
		node->unused_next = table->unused;
		table->unused = node;
		atomic_fetch_add(&table->n_unused, 1);
	}
	sweep(table);
}

static void sweep_if_due(struct node_table *table)
{
	if (atomic_load(&table->n_unused) == 0)
		return;
	TABLE_LOCKED(table);
	sweep(table);
}

void node_leave(struct node_table *table, struct node *node)
{
	atomic_fetch_sub(&node->users, 1);
	sweep_if_due(table);
}

void nodes_done(struct node_table *table)
{
	if (held.count == 0)
		return;
	while (held.count > 0)
		atomic_fetch_sub(&held.nodes[--held.count]->users, 1);
	sweep_if_due(table);
}

void node_forget(struct node_table *table, uint64_t id, uint64_t lookups)
{
	TABLE_LOCKED(table);
	struct node *node = find(table, id);

	if (!node)
		return;
	/* More than we know of: those of another process are among them, and so it is all of them. */
	if (lookups > node->lookups)
		node->past = false;
	node->lookups = node->lookups > lookups ? node->lookups - lookups : 0;
	if (node->past && node->lookups == 0 && table->doubt)
		table->doubt(table->doubt_context, id);
	remove_if_unused(table, node);
}

void node_on_doubt(struct node_table *table, node_doubt_fn doubt, void *context)
{
	TABLE_LOCKED(table);
	table->doubt = doubt;
	table->doubt_context = context;
}

void node_on_plenty(struct node_table *table, node_plenty_fn plenty, void *context)
{
	TABLE_LOCKED(table);
	table->plenty = plenty;
	table->plenty_context = context;
}

void node_plenty_told(struct node_table *table)
{
	TABLE_LOCKED(table);
	table->offered = false;
}

void node_unknown(struct node_table *table, uint64_t id)
{
	TABLE_LOCKED(table);
	struct node *node = find(table, id);

	if (!node || node->lookups)
		return;
	node->past = false;
	remove_if_unused(table, node);
}

void node_ref(struct node_table *table, struct node *node)
{
	TABLE_LOCKED(table);
	node->refs++;
}

void node_unref(struct node_table *table, struct node *node)
{
	TABLE_LOCKED(table);
	node->refs--;
	remove_if_unused(table, node);
}

void node_each(struct node_table *table, void (*each)(void *context, struct node *node), void *context)
{
	TABLE_LOCKED(table);
	for (size_t i = 0; i < table->n_buckets; i++)
		for (struct node *node = table->buckets[i]; node; node = node->hash_next)
			each(context, node);
}

void node_table_free(struct node_table *table)
{
	for (size_t i = 0; i < table->n_buckets; i++) {
		for (struct node *node = table->buckets[i], *next; node; node = next) {
			next = node->hash_next;
			bury(table, node);
		}
	}
	destroy_all(table->dead);
	free(table->buckets);
	free(table);
}
