/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Two sources as one: a tree that clients of two protocols used, read once. The first side (NFS, say) has the names that come over,
 * their order, owner, mode, ACL, links and data. The second side (SMB) has what only its clients know of the same objects: security
 * descriptor, DOS attributes, streams, as extended attributes. Joined by path: one directory of each side at a time, by name.
 *
 *   join.c         opening both, calls by handle, trouble of either
 *   join_handle.c  a handle of both, and what it says of disagreements
 *   join_list.c    the listing of one directory
 *   join_names.c   the names of a directory of the second side
 *   join_check.c   at the start: is it the same tree at all?
 *
 * Two sources of their own stand behind it, each with its connections, retries and patience; so what disturbs one obeys hard and soft
 * as ever, and data, which needs the first alone, does not wait for the second.
 *
 * Disagreements are found where both sides are seen, in the listing, and travel in the handle: whoever makes the object records
 * them, once (source_disagreement()).
 *
 * Threads: as source.h says. No locks: a listing belongs to one thread, all else does not change after the opening.
 */
#ifndef DMM_SOURCE_JOIN_H
#define DMM_SOURCE_JOIN_H

#include "source/internal.h"

struct join {
	struct source *first, *second;
};

/* --- join.c --- */

int join_open(const struct source_options *options, struct source **joined, char *error, size_t error_size);
void join_close(struct join *join);
int join_root(const struct join *join, source_entry_fn entry, void *context);
int join_attr(const struct join *join, struct dmm_bytes handle, source_entry_fn entry, void *context);
int join_readlink(const struct join *join, struct dmm_bytes handle, char *buf, size_t size);
int join_attributes(const struct join *join, struct dmm_bytes handle, struct source_file *file, source_xattr_fn xattr,
                    source_loss_fn loss, void *context);
void join_limits(const struct join *join, source_limit_fn tell, void *context);
void join_reach(const struct join *join, struct source_reach *reach);
void join_counters(const struct join *join, struct source_counters *counters);
/* Tried in place, since a loss is final: an error that may be another one the next time. */
bool join_may_pass(int error);

/* --- join_handle.c --- */

/* What a joined handle says besides the two handles. */
enum join_flag {
	JOIN_DIR = 0x01,    /* a directory: both sides are listed */
	JOIN_ALONE = 0x02,  /* not on the second side, though its parent is */
	JOIN_HIDDEN = 0x04, /* nor could it be: the second side's protocol has no such names */
	JOIN_TYPE = 0x08,   /* a file on one side, a directory on the other */
	JOIN_SIZE = 0x10,
	JOIN_MTIME = 0x20,
	JOIN_NAMED = 0x40, /* the second side has another name for it */
	JOIN_ERROR = 0x80, /* the second side cannot tell of it */
};

struct join_handle {
	uint8_t flags;
	struct dmm_bytes first, second; /* the second's length is 0 when there is none */
	/* Of the second side; only with flags of JOIN_DETAILED. */
	uint64_t size;
	struct dmm_time mtime;
	uint32_t error; /* errno */
	const char *name;
	uint8_t name_len;
};

#define JOIN_DETAILED (JOIN_TYPE | JOIN_SIZE | JOIN_MTIME | JOIN_NAMED | JOIN_ERROR)

/* Writes it to buf[DMM_HANDLE_MAX]. When both do not fit the second is left out, which is an error of the second side. The length,
 * or -ENAMETOOLONG: the first alone does not fit. */
int join_handle_make(struct join_handle *handle, unsigned char *buf);
/* The parts point into `bytes`. -EBADMSG: no handle of ours. */
int join_handle_parse(struct dmm_bytes bytes, struct join_handle *handle);
/* Positive errno and a sentence, or 0: both sides agree. */
int join_handle_tell(const struct join_handle *handle, const struct dmm_attr *attr, char *sentence, size_t size);

/* What is compared of an object. */
struct join_facts {
	uint64_t size, fileid;
	struct dmm_time mtime;
	uint32_t mode;
};

struct join_facts join_facts_of(const struct dmm_attr *attr);
/* The flags of what both sides have of one name. */
uint8_t join_compare(const struct join_facts *first, const struct join_facts *second);

/* --- join_names.c --- */

#define JOIN_NAMES_BYTES (512u << 20) /* of one directory */

struct join_name {
	uint32_t next; /* in its bucket: index + 1 */
	uint32_t name_len, handle_len;
	size_t bytes; /* where name and handle lie */
	struct join_facts facts;
	int error;
	bool matched;
};

struct join_names {
	struct join_name *all;
	size_t count, cap, most, repeated;
	char *bytes;
	size_t used, size;
	uint32_t *buckets;
	size_t n_buckets;              /* a power of two */
	struct join_key *folded, *ids; /* of those without a match, made by join_names_rest() */
	size_t n_rest;
};

/* `most`: entries; 0: as many as JOIN_NAMES_BYTES hold. From join_names_add() -EMSGSIZE: no more fit; -EBADMSG: the same names come
 * again and again. */
void join_names_init(struct join_names *names, size_t most);
void join_names_free(struct join_names *names);
int join_names_add(void *names, const struct dmm_entry *entry); /* a source_entry_fn */
struct join_name *join_names_find(const struct join_names *names, const char *name, size_t len);
const char *join_names_name(const struct join_names *names, const struct join_name *name);
struct dmm_bytes join_names_handle(const struct join_names *names, const struct join_name *name);

/* For what no name matched: the one that has this name but for upper and lower case, or is the same file by number, type, size and
 * time; NULL: there is none, or more than one. Nothing may be added after join_names_rest(). */
int join_names_rest(struct join_names *names);
struct join_name *join_names_like(const struct join_names *names, const struct dmm_entry *entry);

/* Can the name be written in SMB ([MS-FSCC] 2.1.5)? */
bool join_name_is_legal(const char *name, size_t len);
/* Such as a server makes up for a name that cannot: eight characters with a tilde, and three. */
bool join_name_is_made_up(const char *name, size_t len);

/* --- join_list.c --- */

struct join_listing;

/* `most`: entries of the second side at most; 0: JOIN_NAMES_BYTES. */
int join_listing_open(const struct join *join, struct dmm_bytes handle, size_t most, struct join_listing **listing);
void join_listing_close(struct join_listing *listing);
int join_list(struct join_listing *listing, source_entry_fn entry, void *context);
/* Positive errno with which the second side could not be listed, or 0. */
int join_listing_unlisted(const struct join_listing *listing);

/* --- join_check.c --- */

/* -ESTALE with a sentence when nearly nothing is the same. */
int join_check(const struct join *join, const struct source_options *options, char *error, size_t error_size);

#endif
