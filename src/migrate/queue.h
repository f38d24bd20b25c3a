/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Unfinished objects in the order in which the background is to bring them: a bounded queue by priority, with each inode number
 * once. It is an index beside the store's records and may lack any of them: what it has no room for is found there, in the store's
 * own order (I12).
 *
 * Full, it gives up the quarter that would come last.
 *
 * Threads: none of its own; its owner holds a lock (order.c).
 */
#ifndef DMM_MIGRATE_QUEUE_H
#define DMM_MIGRATE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct object;
struct bring;

enum order_class {
	CLASS_FETCH,  /* an administrator waits for it: dmmfs-admin fetch */
	CLASS_FIRST,  /* a clause says so */
	CLASS_RAISED, /* users touched something beside it */
	CLASS_NORMAL,
	CLASS_LAST, /* a clause says so */
};
#define ORDER_CLASSES 5

/* Compared from the left, the smaller comes first; among equals the older. */
struct order_key {
	enum order_class class;
	unsigned clause;
	uint64_t rank;
};

struct queue_entry {
	uint64_t ino;
	struct order_key key;
	struct object *object; /* a reference that goes with the entry, or NULL */
	struct bring *bring;   /* for whom it is fetched, or NULL */
};

struct queue {
	struct queue_node **heap;
	size_t used, cap;
	struct queue_node **buckets;
	size_t n_buckets;
	uint64_t next_seq;
	size_t counts[ORDER_CLASSES];
	/* An entry leaves other than by queue_take(): gives its reference back. */
	void (*drop)(const struct queue_entry *entry);
};

#define QUEUE_MAX 131072u

/* Puts an entry, or gives the one that is there a better key; takes the reference over in any case. True: it is new here. */
bool queue_put(struct queue *queue, const struct queue_entry *entry);
/* The first one, if its class is among `best`..`worst`. */
bool queue_take(struct queue *queue, enum order_class best, enum order_class worst, struct queue_entry *entry);
/* The entry of this inode number, or NULL; valid until the next change. */
const struct queue_entry *queue_find(const struct queue *queue, uint64_t ino);
/* How many come before this one. */
size_t queue_ahead(const struct queue *queue, uint64_t ino);
void queue_clear(struct queue *queue);
/* Is there anything of `best`..`worst`? */
bool queue_any(const struct queue *queue, enum order_class best, enum order_class worst);

#endif
