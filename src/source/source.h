/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The source port: finds and loads the plugin, owns its instance and connections, and turns requests into calls that migrate/
 * makes from its worker threads.
 *
 * What the host owns is here: retry with back-off, deadlines, cancellation, counters, and the checks of everything that a source
 * reports (names of one component, sizes, lengths: a source is hostile until checked). An entry that fails its check reaches
 * the sink with entry->error set (EBADMSG, ENAMETOOLONG) and a name made printable, so that it can be reported.
 *
 * Threads: all calls from any worker thread; a struct source_file from one thread at a time unless said otherwise. Sinks of entries
 * run in the calling thread when the plugin is done, and may ask the source for more; those of xattrs and extents may run in a
 * thread of the plugin and must not.
 * Errors: negative errno as the source gave it, after the retries; with a hard patience a source that cannot be reached is waited for. -ECANCELED after source_cancel_all().
 */
#ifndef DMM_SOURCE_SOURCE_H
#define DMM_SOURCE_SOURCE_H

#include <dmmfs/plugin.h>

struct source;
struct source_file;

struct source_options {
	const char *source;   /* as written: path or URL */
	const char *protocol; /* plugin name, or NULL: by the scheme of the URL, a plain path means posix */
	const char *plugin_dir;
	const struct dmm_setting *settings;
	size_t n_settings;
	const char *idmap;    /* path of a map of ids (idmap.h), or NULL */
	unsigned tries;       /* attempts for each request, at least 1 */
	unsigned timeout_ms;  /* deadline of one attempt; 0: none */
	unsigned connections; /* most of them, for a plugin that does one request at a time on each; 0: 16 */

	/* What source_known() told of it in another process: it is not connected until something is asked of it, and need not answer now.
	 * NULL: it must. */
	const uint64_t *known;

	/* A second source of the same tree, which gives NT attributes alone (join.h): security descriptors, DOS attributes, streams. Its
	 * plugin_dir, tries and timeout_ms are those above. NULL: there is none. */
	const struct source_options *nt;
};

/* The options that some plugin in plugin_dir takes, so that an unknown mount option can be told from a plugin's.
 * 1: yes, 0: no. */
int source_option_known(const char *plugin_dir, const char *protocol, const char *source, const char *option);

/* Loads the plugin, opens the instance, makes the first connection. On failure a sentence with the remedy in `error`. */
int source_open(const struct source_options *options, struct source **source, char *error, size_t error_size);
void source_close(struct source *source);

/* What the administrator can do where the source refuses something of an object with this (negative) error: a sentence, or NULL. */
const char *source_advice(const struct source *source, int error);

const char *source_plugin_name(const struct source *source);
uint64_t source_capabilities(const struct source *source); /* DMM_CAP_* */

/* What it can do, and the second one of two: for source_options.known. */
void source_known(const struct source *source, uint64_t known[2]);

/* The map of ids, where owners are to be found by their SIDs; NULL: they are as the entries say. */
struct idmap;
const struct idmap *source_sids(const struct source *source);

/* What no object of this source can bring with it (struct dmm_plugin, limits). */
typedef void (*source_limit_fn)(void *context, const char *kind, const char *sentence);
void source_limits(const struct source *source, source_limit_fn tell, void *context);

/* Makes every call that waits, now and later, return -ECANCELED: at the end of the daemon. */
void source_cancel_all(struct source *source);

typedef int (*source_entry_fn)(void *context, const struct dmm_entry *entry);
typedef int (*source_xattr_fn)(void *context, const char *name, const void *value, size_t len);
typedef int (*source_extent_fn)(void *context, const struct dmm_extent *extent);

int source_root(struct source *source, source_entry_fn entry, void *context);
int source_attr(struct source *source, struct dmm_bytes handle, source_entry_fn entry, void *context);

int source_file_open(struct source *source, struct dmm_bytes handle, struct source_file **file);
void source_file_close(struct source_file *file);
/* The next entries of an open directory. How many (counting those with an error), 0 at the end, negative errno; -EOVERFLOW: it has
 * more than source_set_entries_max() allows. */
int source_list(struct source_file *dir, source_entry_fn entry, void *context);
/* May be called for one file from several threads at once. Bytes read; less than len only at the end of the file. */
int64_t source_read(struct source_file *file, void *buf, uint64_t off, uint64_t len);
/* The same, and more: what the file is like after the reading, where that comes with the data (`attr_known`), without the names of
 * its owners. `came`, unless NULL: all that was asked for is in `buf`; called once, before the function returns, maybe in a thread of
 * the plugin, which carries the answers of others as well. */
struct source_look {
	bool attr_known;
	struct dmm_attr attr;
	void (*came)(struct source_look *look);
};
int64_t source_read_look(struct source_file *file, void *buf, uint64_t off, uint64_t len, struct source_look *look);

/* A read that is begun before its bytes are needed (reading.c), so that one thread has several on their way. Each one is ended, in
 * any thread, by one of the two that end it, before its file is closed. */
struct source_reading;
bool source_reads_begin(const struct source *source); /* whether this source can */
/* NULL: not now; to be read the ordinary way. */
struct source_reading *source_read_begin(struct source_file *file, void *buf, uint64_t off, uint64_t len);
bool source_reading_is_done(struct source_reading *reading); /* source_read_end() will not wait */
/* As source_read_look(): one attempt was made, and what fails in a way that passes is tried again here. `took_ns`: from the beginning
 * until it came; 0: it did not come at the first attempt. */
int64_t source_read_end(struct source_reading *reading, struct source_look *look, uint64_t *took_ns);
void source_read_forgo(struct source_reading *reading);

int source_extents(struct source_file *file, uint64_t off, uint64_t len, source_extent_fn extent, void *context);
/* Whether several reads of one file at once come sooner than one after the other. */
bool source_takes_many(const struct source *source);
/* A descriptor for copy_file_range(2), or -EOPNOTSUPP. Stays the plugin's, valid until source_file_close(). */
int source_file_fd(struct source_file *file);

/* Link text into buf, NUL-terminated. Its length, or negative errno; -ENAMETOOLONG when it does not fit. */
int source_readlink(struct source *source, struct dmm_bytes handle, char *buf, size_t size);
/* `file` may be NULL when the object is not open. A positive errno: those of the second source could not be had, or not all. */
int source_xattrs(struct source *source, struct dmm_bytes handle, struct source_file *file, source_xattr_fn xattr, void *context);

/* The same, and what of it cannot be carried: `loss` may be NULL, and runs where `xattr` does. */
typedef int (*source_loss_fn)(void *context, const char *kind, const char *detail);
int source_attributes(struct source *source, struct dmm_bytes handle, struct source_file *file, source_xattr_fn xattr,
                      source_loss_fn loss, void *context);
/* The entry says that source_attributes() would give nothing. */
bool source_has_no_attributes(const struct source *source, const struct dmm_entry *entry);

/* With a second source: what its side says otherwise of this entry, as listed or asked for, a positive errno and a sentence; 0: both
 * agree, or there is none. An entry that only the second source has is listed with the error EREMOTE. */
int source_disagreement(const struct source *source, const struct dmm_entry *entry, char *sentence, size_t size);
/* After the last source_list(): the positive errno with which the second source could not list this directory; 0: it could. */
int source_unlisted(const struct source_file *dir);

/* --- asking ahead (ahead.c): the answers for many objects on their way at once --- */

/* At most so many objects in one window. */
#define SOURCE_AHEAD_MOST 64

/* What will be wanted of an object. All that it points to stays the caller's and must stay until the object was taken. */
struct source_wish {
	struct dmm_bytes handle;
	char *link; /* the text of a link, into so much room; NULL: not wanted */
	size_t link_size;
	source_xattr_fn xattr; /* NULL: not wanted. Maybe in another thread, before the object is taken */
	source_loss_fn loss;   /* may be NULL */
	void *context;
	void *data; /* the first `bytes` bytes of a file; NULL: not wanted */
	uint64_t bytes;
};

/* What came of it. What is not known is to be asked for by the ordinary call, which tries again as long as it should; xattrs may have
 * been given in part then. */
struct source_found {
	bool link_known, xattrs_known, data_known;
	int link, xattrs; /* as of source_readlink(), source_attributes() */
	int64_t data;     /* as of source_read() */
	bool attr_known;  /* `attr` are its attributes after the data was read */
	struct dmm_attr attr;
};

struct source_ahead;

/* A window, for one thread; urgent: somebody waits. NULL: asking ahead gains nothing with this source, or there is no memory. */
struct source_ahead *source_ahead_new(struct source *source, bool urgent);
/* Forgoes what has not been taken. */
void source_ahead_free(struct source_ahead *ahead);
/* Asks; does not wait for answers. There must be room: fewer than SOURCE_AHEAD_MOST that were not taken. */
void source_ahead_add(struct source_ahead *ahead, const struct source_wish *wish);
/* Waits for the answers for the oldest one and gives them. Without `data` its data is not waited for, and that of none of the others
 * is wanted any more. */
void source_ahead_take(struct source_ahead *ahead, bool data, struct source_found *found);

/* True for the (negative) errors that mean that nobody answers, rather than something of one object. */
bool source_is_outage(int error);

/* The connection on which a listing was begun has ended, and the listing with it; one that is begun anew may come to its end. The same may
 * be true of ESTALE once entries were given: the server does not know the place any more (or the directory). */
bool source_listing_is_lost(int error);

/* How long to wait for a source that cannot be reached (retry.c). A source is opened soft, with the options' tries and timeout. */
struct source_patience {
	bool hard;           /* without end */
	unsigned tries;      /* soft: attempts for each request; hard: after so many the source counts as unreachable */
	unsigned timeout_ms; /* of one attempt; 0: none */
};
/* In force at once, for those who wait now too. */
void source_set_patience(struct source *source, const struct source_patience *patience);

/* A directory with more entries is taken for one without end. 0: any number, which is how a source is opened. */
void source_set_entries_max(struct source *source, uint64_t entries);

struct source_reach {
	bool down;           /* it cannot be reached */
	uint64_t since_ns;   /* wall clock */
	int error;           /* the last one, positive errno */
	uint64_t recoveries; /* how often it has come back */
};
void source_reach(const struct source *source, struct source_reach *reach);

struct source_counters {
	uint64_t requests[16]; /* by enum dmm_request_kind */
	uint64_t bytes_read, errors, retries;
};
void source_counters(const struct source *source, struct source_counters *counters);

#endif
