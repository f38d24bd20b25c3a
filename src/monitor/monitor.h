/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Events and regions: what must be asked before an operation on an object goes on, and who answers.
 *
 * DMM's directory, file and namespace monitors (specification, section 7.1) and XDSM's events and managed regions are one
 * mechanism here. A door (fs/) raises an event on a subject and a span of bytes before it acts. Every registered monitor
 * answers: go on, or it parks the request and wakes it when it may be raised again. A subject that no monitor has an interest
 * in becomes quiet; it then costs one load of a flag, and its file may be opened in passthrough.
 *
 * Exclusive rights: events marked (x) change a file. When a monitor has an interest in the subject, going on means that it holds
 * the subject exclusively (XDSM: DM_RIGHT_EXCL) until monitor_end(), so that a segment that arrives and a change by an
 * application never mix. monitor_end() says what was done and may park the answer to the application until the record of it is
 * durable (I2).
 *
 * Parking: no thread is held. The waiter is part of the request; its wake() is called once, from any thread, after which the
 * request raises its events from the start. monitor_cancel() takes a waiter back (an interrupted system call).
 */
#ifndef DMM_MONITOR_MONITOR_H
#define DMM_MONITOR_MONITOR_H

#include "base/handle.h"

#include <stdatomic.h>
#include <stddef.h>
#include <time.h>

enum event_kind {
	EVENT_NAMES,      /* the entries of a directory are needed (XDSM: none; DMM: VOP_LOOKUP, VOP_READDIR, VOP_CREATE) */
	EVENT_OPEN,       /* a file is opened for reading */
	EVENT_OPEN_WRITE, /* a file is opened for writing; len 0: for nothing else */
	EVENT_STILL_OPEN, /* a file was opened by the process that served before, and an EVENT_CLOSE is due; never parks */
	EVENT_WHOLE,      /* all of a file is needed, on record */
	EVENT_CLOSE,      /* the last descriptor of an open file is closed; never parks */
	EVENT_READ,       /* (DM_EVENT_READ) bytes of the span are needed */
	EVENT_STORED,     /* bytes of the span are needed on the target: the kernel reads them there itself */
	EVENT_WRITE,      /* (x, DM_EVENT_WRITE) the span is overwritten */
	EVENT_RESIZE,     /* (x, DM_EVENT_TRUNCATE) the size becomes `off` */
	EVENT_PUNCH,      /* (x) the span becomes zeros */
	EVENT_CHANGE,     /* (x) attributes are changed, but not the times (DM_EVENT_ATTRIBUTE) */
	EVENT_TIMES,      /* (x) times are set; `off` is 1 when the modification time is one of them */
	EVENT_REMOVED,    /* a name was taken away, `off` names are left (DM_EVENT_REMOVE, after the fact); never parks */
};

enum { MONITOR_GO = 0, MONITOR_PARKED = 1 };

#define MONITORS_MAX 4

/* An object as monitors see it. Embedded in the door's own node; lives as long as that. */
struct subject {
	uint64_t ino;
	struct handle handle;
	bool is_dir, is_file;
	atomic_bool quiet; /* no monitor has an interest any more, and none ever will again */
};

struct event {
	enum event_kind kind;
	uint64_t off, len; /* bytes */
	int fd;            /* the object on the target, for the end of (x) events (may be O_PATH); else -1 */
	int error;         /* at the end: 0, or the negative errno with which the operation failed */
};

struct waiter;

/* Called once, from any thread, no locks held. error: 0: raise again; negative errno: answer with it. When `data` is not NULL it
 * holds the `len` bytes that a parked EVENT_READ asked for: the answer is complete, nothing need be raised again. */
typedef void (*wake_fn)(struct waiter *waiter, int error, const void *data, size_t len);

/* Part of a parked request. Fields below the line belong to the monitor that parked it. */
struct waiter {
	wake_fn wake;
	uint64_t parked_ns; /* clock_monotonic_ns() of the first parking; 0: never parked */
	/* --- */
	struct waiter *next, *prev;
	void *parked_at; /* non-NULL while parked */
	struct event event;
	uint64_t need; /* the change that must become durable; 0: what the event asks for */
	const struct monitor_ops *by;
	void *by_context;
};

/* What a monitor substitutes in the attributes of an object that is not all here. */
struct attr_overlay {
	bool has_mtime, has_ctime; /* the time below is to be shown */
	struct timespec mtime, ctime;
	uint64_t blocks; /* 512-byte blocks to be shown when more than the target has; 0: none */
	bool has_nlink;
	uint32_t nlink;       /* to be shown instead of st_nlink */
	uint32_t inode_flags; /* pending FS_*_FL */
	bool quiet;           /* it has no interest in the subject, and never will have again */
};

struct monitor_ops {
	/* MONITOR_GO, MONITOR_PARKED, or negative errno. With a NULL waiter -EAGAIN stands for "would park". When it finds that it
	 * has no interest in the subject and never will have again it sets *quiet. */
	int (*begin)(void *context, struct subject *subject, const struct event *event, struct waiter *waiter, bool *quiet);
	/* For (x) events that went on. MONITOR_GO, or MONITOR_PARKED: the answer waits for wake(). */
	int (*end)(void *context, struct subject *subject, const struct event *event, struct waiter *waiter);
	/* True when the waiter was still parked and is now out of the monitor's hands; false: wake() was or is being called. */
	bool (*cancel)(void *context, struct subject *subject, struct waiter *waiter);
	/* Looks at attributes are most of what there is, so it tells as well that it has no interest any more. */
	void (*attr)(void *context, struct subject *subject, struct attr_overlay *overlay);
	/* Is [off, off+len) here? Sets *run to the length of the run from off on that has the same answer. For SEEK_DATA. */
	bool (*resident)(void *context, struct subject *subject, uint64_t off, uint64_t *run);
	/* Grows before bytes of the object go away that an event was let go on for (and may do for others). NULL: none ever do. */
	uint64_t (*epoch)(void *context, const struct subject *subject);
	/* Grows before it tells of an object for the first time that it has no interest in it any more. NULL: it never has had one. */
	uint64_t (*settled)(void *context);
	/* A door answered an operation that waited for no monitor, so long after it was asked. Doors tell it of some of them only.
	 * Never waits for anything. May be NULL. */
	void (*served)(void *context, uint64_t took_ns);
};

/* The registered monitors. Filled before the first event is raised, constant afterwards. */
struct monitor {
	struct {
		const struct monitor_ops *ops;
		void *context;
	} slots[MONITORS_MAX];
	unsigned count;
};

void monitor_register(struct monitor *monitor, const struct monitor_ops *ops, void *context);

/* Raises an event. MONITOR_GO; MONITOR_PARKED: the waiter will be woken; negative errno, and -EAGAIN for "would park" when
 * `waiter` is NULL. After MONITOR_GO for an (x) event on a subject that is not quiet monitor_end() must follow in this thread;
 * *held says whether. After MONITOR_GO for an open it says whether EVENT_CLOSE is due. */
int monitor_begin(const struct monitor *monitor, struct subject *subject, const struct event *event, struct waiter *waiter,
                  bool *held);
int monitor_end(const struct monitor *monitor, struct subject *subject, const struct event *event, struct waiter *waiter);
bool monitor_cancel(struct subject *subject, struct waiter *waiter);
void monitor_attr(const struct monitor *monitor, struct subject *subject, struct attr_overlay *overlay);
bool monitor_resident(const struct monitor *monitor, struct subject *subject, uint64_t off, uint64_t *run);
/* Taken before an event of reading is raised, and when the bytes are read: another one means that they may have gone away in between,
 * and are to be read again, from the event on. */
uint64_t monitor_epoch(const struct monitor *monitor, const struct subject *subject);
/* Another number than before: what was seen of any object in between may be from before its end, though it is quiet now. */
uint64_t monitor_settled(const struct monitor *monitor);
void monitor_served(const struct monitor *monitor, uint64_t took_ns);

static inline bool subject_quiet(struct subject *subject)
{
	return atomic_load_explicit(&subject->quiet, memory_order_acquire);
}

#endif
