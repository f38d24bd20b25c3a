/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What order.c, order_walk.c and bring.c share.
 */
#ifndef DMM_MIGRATE_ORDER_PRIVATE_H
#define DMM_MIGRATE_ORDER_PRIVATE_H

#include "migrate/internal.h"
#include "migrate/order.h"
#include "property/paths.h"

#include <limits.h>

#define TOUCHED_MAX 64u
#define RECENT_MAX 64u
#define BRINGS_MAX 16u
#define BRING_ERRORS_MAX 100u
/* What lies deeper is found in the store, without its path; each level takes a descriptor. */
#define WALK_DEPTH_MAX 256u
/* So many directories in the queue may hold a reference to their object, so that they can be taken before they are on record. */
#define HELD_MAX 16384u

/* A fetch. Guarded by order->lock but for `paths` (the rules' lock) and the counters. */
struct bring {
	uint32_t number; /* 0: the slot is free */
	enum fetch_state state;
	struct paths *paths; /* NULL when it has ended */
	bool all;            /* the top is one of them, so they do not matter */
	bool look;           /* the thread is to walk its paths for the first time, or anew */
	atomic_uint in_hand; /* entries in the queues, and taken and not ended */
	atomic_ullong files_found, bytes_found, files_done, bytes_done;
	struct fetch_error *errors;
	size_t n_errors;
	uint64_t errors_total;
};

struct touched {
	uint64_t ino;
	struct handle handle;
	bool is_dir;
};

struct order {
	struct migrate *migrate;
	pthread_t thread;
	bool started;
	atomic_bool judging, learn, walking;
	atomic_size_t queued;
	atomic_int coming;
	atomic_ullong raised, done[ORDER_CLASSES];
	uint64_t walk_began_ns; /* valid while walking */

	pthread_rwlock_t rules_lock;
	struct rules *rules; /* NULL: none */
	char *text;          /* in their printed form */

	pthread_mutex_t lock; /* all below */
	pthread_cond_t changed;
	bool stop, walk_wanted;
	struct queue dirs, files;
	struct touched touched[TOUCHED_MAX];
	unsigned n_touched;
	struct {
		uint64_t ino, until_ns;
	} recent[RECENT_MAX];
	unsigned next_recent;
	uint64_t touches;
	struct bring brings[BRINGS_MAX];
	uint32_t next_bring;
};

/* Under order->lock; takes the entry's reference over. True: it is new. */
bool order_put(struct order *order, bool is_dir, const struct queue_entry *entry);
/* Under rules_lock for writing, or before the thread runs. */
void order_judging_changed(struct order *order);

/* order_walk.c: everything on record at or below the path, which has room for PATH_MAX. A non-zero return of `each` ends it and is
 * returned; -ENOENT: there is no such path, and every directory above is populated. */
struct found {
	const char *path;
	bool is_dir;
	uint64_t ino, bytes;
	int64_t mtime_s;
	uid_t owner;
};
struct order_walk {
	struct order *order;
	int (*each)(void *context, const struct found *found);
	void *context;
	bool with_owner;
	unsigned depth_max; /* below the beginning; 0: what is in that directory only */
	char path[PATH_MAX];
};
int order_walk_from(struct order_walk *walk, const char *path);
void *order_walk_thread(void *context);

/* bring.c, in the thread: one look after the fetches that want it. */
void bring_look(struct order *order);
void bring_free(struct order *order);

#endif
