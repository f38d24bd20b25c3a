/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Nodes: what the kernel knows of the tree.
 *
 * A node id is never a pointer and never reused. Where the file handles of the target have 8 bytes (ext4: inode number and
 * generation) the id is the handle itself, so that a node can be made again from its id alone, in another process as well;
 * elsewhere it is a hash of the handle.
 *
 * Descriptors: one at most for each node, kept in a cache of bounded size and opened anew by handle. Objects whose last name was
 * taken away can no longer be opened once nobody holds them, so those are pinned until the kernel forgets them.
 *
 * Open modes (kernel passthrough hides reads and writes from us, and does not mix with cached access to the same inode): the
 * first open of a node decides, all others follow until the last one is closed. That decision is made in one place, file.c.
 *
 * Memory: the kernel knows as many objects as it likes, so a node is kept only while a request or an open file needs it, or its
 * object has no name any more; of others the NODES_MAX that were used last, roughly. What is given up loses the count of the kernel's
 * lookups and the change time that was shown, and is made again from its id. Where ids are no handles (see above) a node lives as long
 * as the kernel knows it, which is asked to forget what nobody uses when it knows too much (prune.c).
 *
 * A request uses the nodes that it found until its thread says nodes_done(): none of them goes before.
 *
 * A process that took the connection over does not know how often the kernel has looked a node up before. Where that matters (`past`: ids
 * that are hashes, objects without a name) a node goes only when the kernel forgets more lookups than are known of, or says that it has
 * no such node.
 *
 * Locks: table (hash chains, lookup counts), node->lock (descriptor, latch), cache (the list of cached descriptors): in this
 * order.
 */
#ifndef DMM_FS_NODE_H
#define DMM_FS_NODE_H

#include "keeper/memory.h"
#include "monitor/monitor.h"
#include "target/target.h"

#include <pthread.h>
#include <sys/stat.h>

enum latch_mode { LATCH_IDLE, LATCH_CACHED, LATCH_PASSTHROUGH };

/* A descriptor that several threads use; closed when the last one is done and it is out of the cache. */
struct node_fd {
	int fd;
	bool writable, path_only;
	int64_t position; /* of the directory stream, guarded by the node's `listing`; -1 unknown */
	atomic_uint refs;
};

struct node {
	struct node *hash_next; /* table lock */
	uint64_t lookups;       /* table lock: what the kernel holds */
	unsigned refs;          /* table lock: open files */
	_Atomic unsigned users; /* requests; becomes more than 0 only under the table lock */
	bool fresh;             /* table lock: used since it was last considered for giving up */
	bool past;              /* table lock: another process may have handed lookups out as well */
	bool unused;            /* table lock: in the list of those that go with their last request */
	struct node *unused_next;
	uint64_t id;   /* constant, as the subject's identity is */
	uint32_t kept; /* its entry in the memory; 0: it needs none */
	struct subject subject;
	bool is_root;

	pthread_mutex_t lock;
	struct node_fd *cached;
	bool pinned;
	bool held;                  /* by the keeper, since it has no name any more */
	struct node *newer, *older; /* cache lock: list of nodes with a cached descriptor */
	bool listed;

	enum latch_mode latch;
	unsigned latched;         /* opens */
	_Atomic unsigned writers; /* of them; read without the lock */
	int backing_id;
	bool written_past; /* by writers in passthrough: what the kernel has in its cache is old */

	pthread_mutex_t listing; /* one listing at a time moves the position of the descriptor */

	uint64_t seen_mtime_ns; /* detach.c */
	int64_t seen_size;

	/* The change time shown while the object came over goes on being shown afterwards, as long as nobody changed it. */
	enum { TIMES_REAL, TIMES_SUBSTITUTED, TIMES_HELD } times;
	struct timespec shown_ctime, real_ctime;
};

struct node_table;

struct node_table *node_table_new(const struct target *target, struct kept *kept, unsigned max_fds);
void node_table_free(struct node_table *table);

/* The node of an id the kernel uses; ESTALE: there is none, anything else: it could not be made again from its handle now. Valid
 * until this thread's nodes_done(). */
int node_find(struct node_table *table, uint64_t id, struct node **node);
/* The node of an object with one more lookup of the kernel's. Valid until node_leave(). */
struct node *node_enter(struct node_table *table, const struct handle *handle, const struct stat *st);
void node_leave(struct node_table *table, struct node *node);
/* The node of an object that the kernel may know; NULL: it does not. Errors but ESTALE. Valid until this thread's nodes_done(). */
int node_peek(struct node_table *table, const struct handle *handle, struct node **node);
/* The end of a request: what this thread found is not used any more. */
void nodes_done(struct node_table *table);
/* The id of an object that the kernel may know; 0: it does not. */
uint64_t node_id(struct node_table *table, const struct handle *handle);
void node_forget(struct node_table *table, uint64_t id, uint64_t lookups);
/* Called, with the table's lock held, for a node of which nobody knows whether the kernel still has it. */
typedef void (*node_doubt_fn)(void *context, uint64_t id);
void node_on_doubt(struct node_table *table, node_doubt_fn doubt, void *context);
/* Called, with the table's lock held, for nodes that the kernel may not need, when there are many; false: not this time. It is not called
 * again before node_plenty_told(). */
typedef bool (*node_plenty_fn)(void *context, const uint64_t *ids, unsigned count);
void node_on_plenty(struct node_table *table, node_plenty_fn plenty, void *context);
void node_plenty_told(struct node_table *table);
/* The kernel has no such node. */
void node_unknown(struct node_table *table, uint64_t id);
void node_ref(struct node_table *table, struct node *node);
void node_unref(struct node_table *table, struct node *node);
void node_each(struct node_table *table, void (*each)(void *context, struct node *node), void *context);

/* A descriptor for the object: O_PATH at least, or one that reads (directories: that lists), or reads alone, or reads and writes. */
enum node_access { NODE_PATH, NODE_READ, NODE_READ_ONLY, NODE_WRITE };
int node_fd_get(struct node_table *table, struct node *node, enum node_access access, struct node_fd **fd);
void node_fd_put(struct node_fd *fd);
/* Closes, of all nodes that nobody has open for writing, what is open for writing. */
void node_shed_writable(struct node_table *table);
/* Keeps a descriptor until the kernel forgets the node, or it is unpinned because nothing was removed after all. */
int node_pin(struct node_table *table, struct node *node);
void node_unpin(struct node_table *table, struct node *node);
/* A pinned node's descriptor outlives this process, if there is a keeper. */
void node_hold(struct node_table *table, struct node *node);
/* One that the keeper holds for another process. */
int node_adopt_held(struct node_table *table, struct node *node);
/* Pins with a descriptor that the caller has; takes it over. */
void node_pin_fd(struct node_table *table, struct node *node, int fd, bool writable);

/* A descriptor of a file that was just made, for reading and writing: what follows need not open the file again. Returns -1, or
 * the descriptor when it has one already. */
int node_offer_fd(struct node_table *table, struct node *node, int fd);

static inline void cleanup_node_fd(struct node_fd **fd)
{
	if (*fd)
		node_fd_put(*fd);
}
#define CLEAN_NODE_FD __attribute__((cleanup(cleanup_node_fd)))

#endif
