/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the kernel refers to, in memory that outlives the process which serves it.
 *
 * The keeper (keeper.h) makes it, the worker writes it, and the next worker goes on from it, whatever instruction the last one was
 * killed at. So each entry is taken with one store, of the word that says that it is taken, when all else in it is written, and given
 * back with one store. Nothing in it is a pointer. It lies in a memory file that is large and sparse: a page costs memory from the
 * first entry in it on, so no table ever grows. Its size is sealed. Who maps one looks at it first: every number that is used to find
 * something must be in its bounds, as the service manager may have kept one of other days.
 *
 *   opens     what is open: the kernel's file handle names the entry, and a number that changes when the entry is used again
 *   nodes     the handle behind a node id, where the id does not hold the handle itself
 *   changes   requests that must not be done twice, from before they are done until they are answered
 *   held      descriptors of removed objects in the keeper's hands
 *
 * Without a keeper the same tables lie in memory of the process itself.
 *
 * Threads: one lock for each table, a leaf. `held` is the keeper's.
 */
#ifndef DMM_KEEPER_MEMORY_H
#define DMM_KEEPER_MEMORY_H

#include "base/handle.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Raised with every change of what is below: a program that knows another number does not go on from it. */
#define MEMORY_FORMAT 3

#define MEMORY_OPENS (1u << 22)
#define MEMORY_NODES (1u << 24)
#define MEMORY_CHANGES (1u << 13)
#define MEMORY_HELD (1u << 14)
#define MEMORY_HANDLE 40 /* longest handle that a node's entry has room for */
#define MEMORY_INIT 256

/* One open file of the kernel's. */
struct memory_open {
	_Atomic uint64_t unique; /* of the request that opened it; 0: free */
	uint64_t node;
	uint32_t stamp; /* changes when the entry is given back */
	uint16_t flags;
	uint16_t ending; /* its backing file is being closed */
	int32_t backing_id;
	uint32_t next; /* of the free ones; means nothing to the next process */
};
#define OPEN_WRITES 1u
#define OPEN_WATCHED 2u     /* EVENT_OPEN went on while the migration had an interest: EVENT_CLOSE is due */
#define OPEN_PASSTHROUGH 4u /* by backing_id */
#define OPEN_MAPS 8u        /* may be stored into through a mapping */
#define OPEN_UNKNOWN 16u    /* the process that serves could not look at its file: it is counted nowhere */

struct memory_node {
	_Atomic uint64_t id; /* 0: free */
	uint64_t ino;        /* of the free ones: the next */
	int32_t type;
	uint16_t len;
	uint16_t kind; /* S_IFMT of its mode */
	uint8_t bytes[MEMORY_HANDLE];
};

struct memory_change {
	_Atomic uint64_t unique; /* 0: free */
	uint64_t began_ns;       /* CLOCK_REALTIME_COARSE, which file systems stamp with */
	uint64_t moved, victim;  /* inode numbers: what gets another name, what loses one; 0: nothing */
	uint32_t next;
};

/* A descriptor in the keeper's hands. An entry keeps its place, by which the service manager knows it (held.h). */
enum held_state {
	HELD_FREE,
	HELD_HERE,      /* the manager is not to have it */
	HELD_TO_STORE,  /* it is to have it */
	HELD_STORED,    /* it was told to keep it, and may have done so */
	HELD_TO_REMOVE, /* the entry is over when it was told to drop it */
};
struct memory_held {
	_Atomic uint32_t state; /* enum held_state */
	int32_t fd;
	uint64_t node;
};
static inline bool held_is_there(const struct memory_held *held)
{
	return held->state != HELD_FREE && held->state != HELD_TO_REMOVE;
}

struct memory_head {
	uint64_t magic, format, size;
};

struct memory {
	struct memory_head head;

	/* Written by the keeper. */
	char program[PATH_MAX], confdir[PATH_MAX], rundir[PATH_MAX]; /* the last two: "" for the default */
	char mountpoint[PATH_MAX];
	char source[PATH_MAX];  /* "": it is no path */
	char logfile[PATH_MAX]; /* "": none */
	bool foreground, debug;
	int32_t keeper_pid, worker_pid; /* the latter 0: none lives */
	uint32_t restarts;              /* workers that have died */
	uint64_t left_ns;               /* monotonic: when the last one died */
	uint64_t mount_number;          /* by chance; tells what the service manager keeps of this mount from that of another */
	_Atomic bool stored;            /* the service manager has what a next keeper needs */
	uint32_t resumed;               /* keepers in a row under which nobody served */
	int32_t oom_score_adj;          /* of workers: what the keeper was started with */
	_Atomic uint32_t held_used;     /* entries above were never taken */

	/* Written by the worker. */
	_Atomic bool ended;     /* it ends, and nothing is to go on. The keeper writes it while no worker lives */
	_Atomic bool upgrading; /* it ends so that the program may be replaced */
	_Atomic bool serves;    /* cleared by the keeper before each start */
	_Atomic bool resends;   /* the kernel can send requests again, so a worker can be replaced */
	uint32_t migid;
	uint32_t device_major, device_minor; /* of the mount; 0: not known yet */
	uint32_t n_init;
	_Alignas(uint64_t) uint8_t init[MEMORY_INIT]; /* the kernel's INIT as it came */
	uint64_t capabilities;                        /* libfuse's flags, as negotiated */
	uint32_t max_write;
	bool passthrough;
	_Atomic bool uncached;
	uint32_t ending; /* enum ending, when the mount is gone */
	uint64_t source_capabilities[2];
	uint64_t beside_left_ns, began_ns; /* wall clock: the time between daemons before the first worker of this mount */
	uint64_t pause_ns;                 /* of the last takeover, until it served */
	uint32_t takeovers;

	_Atomic uint32_t opens_used, nodes_used, changes_used; /* entries above were never taken */
	struct memory_change changes[MEMORY_CHANGES];
	struct memory_held held[MEMORY_HELD];
	struct memory_open opens[MEMORY_OPENS];
	struct memory_node nodes[MEMORY_NODES];
};

/* Made empty. fd NULL: for this process alone; otherwise in a file, whose descriptor (close-on-exec) it gets. NULL and errno. */
struct memory *memory_make(int *fd);
/* That of another process. NULL and errno; EPROTO: it is none, or of another format, or what is in it cannot be. */
struct memory *memory_map(int fd);
void memory_unmap(struct memory *memory);

/* Who serves has the lock of the file from before its first request until its last thread has left the kernel. 0, or -EAGAIN while
 * another process has it. It ends with the process, or when that closes any descriptor of the file. */
int memory_lock(int fd);
bool memory_is_locked(int fd);

/* --- the worker's side --- */

struct kept;

/* Takes over the memory and the descriptors, -1: none. `inherited`: another process has served from it. */
struct kept_fds {
	int memory, fuse, socket;
};
#define KEPT_NO_FDS ((struct kept_fds){-1, -1, -1})
struct kept *kept_new(struct memory *memory, struct kept_fds fds, bool inherited);
void kept_free(struct kept *kept);
struct memory *kept_memory(struct kept *kept);
bool kept_inherited(const struct kept *kept);
/* /dev/fuse as the keeper has it; the caller's from now on. -1: none. */
int kept_take_fuse(struct kept *kept);

/* The kernel's file handle for one more open file; 0: there is no room. */
uint64_t kept_open(struct kept *kept, uint64_t unique, uint64_t node, unsigned flags, int backing_id);
/* The entry of a handle; NULL: it was given back already. It is the caller's as long as the file is not released. */
struct memory_open *kept_find_open(struct kept *kept, uint64_t handle);
void kept_close(struct kept *kept, uint64_t handle);
/* The handle that a request which comes again got when another process did it; 0: none. */
uint64_t kept_opened_before(struct kept *kept, uint64_t unique);

/* A request is about to be done that must not be done twice. NULL: no room, or nobody could go on from here. */
struct memory_change *kept_change_begin(struct kept *kept, uint64_t unique, uint64_t moved, uint64_t victim);
/* What another process noted of it; NULL: it had not begun. */
struct memory_change *kept_change_find(struct kept *kept, uint64_t unique);
void kept_change_end(struct kept *kept, struct memory_change *change);

/* The index of the new entry, or 0: no room, or no need. */
uint32_t kept_node(struct kept *kept, uint64_t id, const struct handle *handle, uint64_t ino, unsigned kind);
void kept_node_forget(struct kept *kept, uint32_t index);

/* The keeper is told that this process is about to serve. */
void kept_serves(struct kept *kept);

/* The keeper holds a duplicate of the descriptor under the node's id until it is told to let go. */
void kept_hold(struct kept *kept, uint64_t node, int fd);
void kept_let_go(struct kept *kept, uint64_t node);

#endif
