/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the two ways of asking ahead share: many requests on their way from the window's own thread (ahead.c), or threads of the
 * source that ask a plugin which can only block (ahead_threads.c).
 */
#ifndef DMM_SOURCE_AHEAD_H
#define DMM_SOURCE_AHEAD_H

#include "source/internal.h"

/* One request on its way. */
struct step {
	struct call call;
	bool begun;
};

enum stage { STAGE_NONE, STAGE_OPEN, STAGE_READ, STAGE_ATTR, STAGE_CLOSE };

struct asked {
	struct source_wish wish;
	struct source_found found;
	struct step link, xattrs, data;
	enum stage stage; /* of the data; NONE: it is over */
	struct dmm_file *file;
	struct connection *home; /* of the file */

	/* with threads */
	struct lane_job job; /* of the first of a batch */
	unsigned batch;      /* so many objects, from the first on */
	struct source_ahead *ahead;
	bool partly; /* sinks have got a part: whoever takes it begins anew */
	bool done;   /* ahead->lock */
};

struct source_ahead {
	struct source *source;
	enum lane_class class;
	pthread_mutex_t lock; /* with threads: guards `done` and `forgone` */
	pthread_cond_t changed;
	bool forgone;
	unsigned first, used; /* a ring */
	bool shut;
	uint64_t answers; /* of the source, when it was shut */

	/* with threads */
	bool many;        /* the plugin takes several whole objects at once */
	unsigned unsent;  /* the newest objects, which wait until they are a batch */
	uint64_t waiting; /* bytes of data of these */
	struct asked objects[SOURCE_AHEAD_MOST];
};

/* A source_entry_fn; the context is a struct source_found. */
int asked_take_attr(void *context, const struct dmm_entry *entry);

/* ahead_threads.c: whether there are threads; the first who asks makes them */
bool ask_threads_have(struct source *source);
void ask_threads_add(struct source_ahead *ahead, struct asked *asked);
/* Until it is done. */
void ask_threads_await(struct source_ahead *ahead, struct asked *asked);

#endif
