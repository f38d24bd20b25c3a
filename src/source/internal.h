/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the files of the source port share: the source itself, its connections, and a call: one request on its way to a plugin.
 *
 * Locks: pool.lock (but for that of the lane of its makers), shard.lock, sleep_lock and call.lock are leaves; serial is held around a whole request and may be followed by
 * any of them. Nothing is held while a plugin connects or answers, but serial for DMM_THREADS_SERIAL, and the shard's lock while
 * source_cancel_all() calls cancel().
 */
#ifndef DMM_SOURCE_INTERNAL_H
#define DMM_SOURCE_INTERNAL_H

#include "base/lane.h"
#include "source/idmap.h"
#include "source/source.h"

#include <pthread.h>

/* --- plugin.c: a loaded plugin -------------------------------------------------------------------------------------------------- */

struct plugin_module {
	void *library;
	struct dmm_plugin plugin; /* a copy of full size: members that the plugin does not know yet are NULL */
};

/* By protocol, or by the scheme of the source. A sentence in `error` on failure. */
int plugin_load(const char *dir, const char *protocol, const char *source, struct plugin_module *module, char *error,
                size_t error_size);
void plugin_unload(struct plugin_module *module);
bool plugin_takes_option(const struct plugin_module *module, const char *option);

/* --- connection.c: the connections of a source --------------------------------------------------------------------------------- */

/* Most connections for a plugin of DMM_THREADS_CONNECTION, unless the options say otherwise. */
#define CONNECTIONS_DEFAULT 16

/* Openings of one file, beside the first: each costs a connection, which may be a process. As many are made beside the first connection of
 * all: from far away a session takes a second, and somebody will need them soon. */
#define FURTHER_MOST 3

struct connection {
	struct dmm_conn *conn;
	struct connection *next;
	unsigned users; /* requests in flight */
	unsigned files; /* open ones, which belong to it */
	bool broken;    /* the session is gone: takes no new requests, ends when its last file is closed */
};

struct connection_pool {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct connection *list;
	unsigned connecting, limit, wanted; /* `limit` is less than wanted while the server admits no more */
	uint64_t limited_ns;                /* that was seen then */
	unsigned told;                      /* so few were told of */
	unsigned waiting;                   /* for any */
	uint64_t made;                      /* so many in all */
	uint64_t changes;                   /* so many times one became free, was made or was lost */
	struct lane *makers;                /* threads that make further ones; NULL until needed */
	bool exclusive;                     /* one request at a time on each */
};

void pool_init(struct connection_pool *pool, bool exclusive, unsigned limit);
void pool_destroy(struct source *source);

/* A connection for one request: any, for NULL, made when there is none. -ECANCELED at the end of the daemon. */
int connection_take(struct source *source, struct connection **connection);
/* The same for a source that was open once: whatever keeps us from a new session (credentials that were revoked, an export that is
 * gone) says nothing of the object that it is wanted for, and is an outage: -EHOSTDOWN, the reason in source->refusal. */
int connection_take_again(struct source *source, struct connection **connection);
/* This one, on which a file is open. With `closing` even when broken, and even at the end. -ENOTCONN when it is broken. */
int connection_take_this(struct source *source, struct connection *connection, bool closing);
/* The same without waiting. 1: taken; 0: another request has it; -ENOTCONN: it is broken; -ECANCELED. */
int connection_try_this(struct source *source, struct connection *connection);
/* One that is free and, as long as there may be such, has no open files, without waiting. NULL: there is none, and as many as are
 * wanted are being made. */
struct connection *connection_try_unused(struct source *source, unsigned wanted);
/* Who tried in vain reads the number before, and then waits until it is another one, or for the end of the daemon. */
uint64_t connection_changes(struct source *source);
void connection_await_change(struct source *source, uint64_t since);
/* Gives it back; `result` may tell that its session is gone; `files` were opened (1) or closed (-1) by the request. */
void connection_give(struct source *source, struct connection *connection, int64_t result, int files);

/* --- call.c: one request --------------------------------------------------------------------------------------------------------- */

struct call {
	struct dmm_request request;
	struct source *source;
	struct connection *connection;

	/* Where the answers go; the checks of check.c come first. */
	source_entry_fn entry;
	source_xattr_fn xattr;
	source_extent_fn extent;
	source_loss_fn loss;
	void *context;
	uint64_t delivered;       /* answers given to a sink: from then on the call is not tried again */
	uint64_t extent_end;      /* no extent may begin before this */
	size_t name_bytes;        /* of the extended attributes so far */
	int refused;              /* by a check or a sink: ends the call */
	bool unwanted;            /* call_forgo() */
	struct dmm_bytes handle;  /* READ, WHOLE with `entry`, or `look`: of the object whose attributes may come */
	struct source_look *look; /* READ: as of source_read_look(), of the last attempt. Or NULL */

	/* In flight: in a shard's list. */
	struct call *next, *prev;
	unsigned shard;

	pthread_mutex_t lock;
	pthread_cond_t finished;
	bool done;
};

#define CALL(source_, kind_) \
	{ \
		.request = {.struct_size = sizeof(struct dmm_request), .kind = (kind_)}, .source = (source_), \
		.lock = PTHREAD_MUTEX_INITIALIZER, .finished = PTHREAD_COND_INITIALIZER \
	}

/* One attempt on a connection: submitted, waited for, its result checked. */
int64_t call_once(struct call *call, struct connection *connection);

/* The same in two steps, between which others may begin: with DMM_THREADS_ASYNC only. False: the source is being cancelled, and there
 * is nothing to end. Each call that began is ended. */
bool call_send(struct call *call, struct connection *connection);
/* The same for several at once, by submit_many(); at most SOURCE_AHEAD_MOST. */
bool call_send_many(struct call *calls, size_t n, struct connection *connection);
bool call_is_done(struct call *call); /* call_await() will not wait */
int64_t call_await(struct call *call);
/* Between the two: its answer is wanted no more. It may come all the same; otherwise call_await() gives -ECANCELED. */
void call_forgo(struct call *call);

/* A call that no open file is needed for: takes a connection, tries again as retry_again() says. */
int64_t call_run(struct call *call);

/* Sets `cancelled` of all that are in flight, and wakes them. */
void call_cancel_all(struct source *source);

/* Calls in flight and counters, by processor, so that threads do not get in each other's way. */
#define SHARDS 16
struct shard {
	pthread_mutex_t lock;
	struct call *calls;
	struct source_counters counters;
} __attribute__((aligned(64)));

/* The shard of the processor that runs us. */
unsigned shard_here(void);
void count_result(struct source *source, enum dmm_request_kind kind, int64_t result);
void count_retry(struct source *source);

/* --- retry.c ------------------------------------------------------------------------------------------------------------------------ */

struct retry {
	struct source *source;
	unsigned failed;  /* attempts so far */
	unsigned beside;  /* of these, while others were answered */
	unsigned lost;    /* connections that turned out to be of no use */
	uint64_t answers; /* of the source, at the beginning or at the last failure */
	bool stale;       /* ESTALE was seen once */
};

/* Before the first attempt. */
struct retry retry_begin(struct source *source);
/* Whether to try again after this result; when so, the pause is over on return. `delivered`: a sink was called already. */
bool retry_again(struct retry *retry, int64_t result, bool delivered);
bool error_ends_connection(int64_t result);
bool error_passes(int64_t result); /* it may be otherwise the next time */
/* The source has answered somebody. */
void reach_answered(struct source *source);

/* --- check.c: nothing that a source says is believed ---------------------------------------------------------------------------------- */

#define PRINTABLE_MAX 256

/* An entry as the sink may have it: when it is not sound, with `error` set and a name made printable in `printable`. */
void check_entry(const struct dmm_entry *entry, struct dmm_entry *checked, char printable[PRINTABLE_MAX]);
/* The same for ROOT and ATTR, where there is no name. 0 or -EBADMSG. */
int check_object(const struct dmm_entry *entry, struct dmm_bytes handle, struct dmm_entry *checked);
int check_xattr(const char *name, const void *value, size_t len);
/* `name_bytes`: of all names so far, without this one. 0, or -E2BIG: no object has so many attributes. */
int check_xattr_room(size_t *name_bytes, const char *name);
/* 1: `clipped` is for the sink; 0: outside of what was asked for; -EBADMSG. */
int check_extent(const struct call *call, const struct dmm_extent *extent, struct dmm_extent *clipped);
int64_t check_result(const struct call *call);

/* --- gather.c: entries on their way from a plugin to a sink ------------------------------------------------------------------------- */

struct gather {
	char *bytes;
	size_t used, size;
};

int gather_add(void *gather, const struct dmm_entry *entry); /* a source_entry_fn */
/* To the sink, until it returns an error, which is returned. */
int gather_deliver(const struct gather *gather, source_entry_fn entry, void *context);
void gather_free(struct gather *gather);

/* --- limits.c: what no object can bring with it ------------------------------------------------------------------------------------- */

struct limits;
int limits_ask(struct source *source, struct dmm_conn *conn);
void limits_free(struct limits *limits); /* NULL is allowed */

/* --- source.c ---------------------------------------------------------------------------------------------------------------------- */

struct source *source_new(void); /* all zeros; NULL: no memory. To be freed. */
/* Of READLINK: ends the text with a NUL. As source_readlink(). */
int readlink_result(char *buf, size_t size, int64_t len);

/* --- owner.c: from what the plugin says to ids of the target -------------------------------------------------------------------- */

#define UNKNOWN_NAMES_MOST 1024

/* Names that nobody has an id for: each is logged once. */
struct unknown_names {
	pthread_mutex_t lock; /* a leaf */
	unsigned count;
	char *names[UNKNOWN_NAMES_MOST]; /* the first byte tells users from groups */
};

void owner_resolve(struct source *source, struct dmm_entry *entry);
void owner_forget(struct source *source); /* at the end */

/* --- file.c ---------------------------------------------------------------------------------------------------------------------------- */

int source_file_xattrs(struct source_file *file, source_xattr_fn xattr, source_loss_fn loss, void *context);

/* One attempt in two steps, for a call that is sent and awaited between them, on opening_connection(). */
struct opening;
int64_t file_acquire(struct source_file *file, struct call *call, struct opening **opening);
void file_release(struct source_file *file, const struct call *call, struct opening *opening, int64_t result);
struct connection *opening_connection(const struct opening *opening);
struct source *file_source(const struct source_file *file); /* NULL: a directory of two sources */
struct dmm_bytes file_handle(const struct source_file *file);
/* After the first `got` bytes of a source_read_look(). */
int64_t file_read_rest(struct source_file *file, void *buf, uint64_t off, uint64_t len, int64_t got, struct source_look *look);

/* --- the source ------------------------------------------------------------------------------------------------------------------------ */

struct join; /* join.h */

struct source {
	struct join *join; /* this is two sources: calls go there, and of the rest only name and capabilities count */
	struct plugin_module module;
	struct dmm_instance *instance;
	uint64_t capabilities;
	struct idmap *idmap; /* NULL: ids stay as they are */
	struct limits *limits;
	struct unknown_names unknown;
	atomic_bool hard;
	atomic_uint tries;
	atomic_ullong timeout_ns;  /* of one attempt; 0: none */
	atomic_ullong entries_max; /* of one directory; 0: any number */
	atomic_ullong answers;     /* so many requests got an answer that came from the source, good or bad */
	struct connection_pool pool;
	pthread_mutex_t serial;
	pthread_mutex_t sleep_lock; /* those who wait between two attempts */
	pthread_cond_t sleep;
	uint64_t wakes;         /* sleep_lock: changes when those who wait are to try at once */
	atomic_bool down;       /* the source cannot be reached; changed under sleep_lock */
	uint64_t down_since_ns; /* sleep_lock: wall clock */
	uint64_t down_from_ns;  /* sleep_lock: the same moment, by the monotonic clock */
	int down_error;         /* sleep_lock: positive */
	atomic_int refusal;     /* why there was no session when one was last wanted; positive */
	uint64_t recoveries;    /* sleep_lock */
	atomic_bool cancelled;
	struct lane *helpers; /* sleep_lock until made: threads that ask ahead (ahead.c), or NULL */
	struct shard shards[SHARDS];
};

#endif
