/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Making the entries of one directory on the target: shared by populate (names) and births (files with several names).
 */
#ifndef DMM_MIGRATE_MAKE_H
#define DMM_MIGRATE_MAKE_H

#include "migrate/internal.h"
#include "migrate/order.h"
#include "target/make.h"

/* The population of one directory while it runs, or the part of it that one thread makes (crew.c). */
struct making {
	struct migrate *migrate;
	struct object *dir;
	int dirfd;
	bool inherited_acl;    /* the directory has a default ACL */
	bool redo;             /* names were found that an earlier, interrupted attempt made */
	bool fill;             /* small files come with their data */
	uint64_t segsize;      /* of all its files, whatever is set meanwhile */
	atomic_ullong *filled; /* bytes, by all who make it */
	unsigned taken;        /* entries listed */
	struct batch *batch;   /* what is recorded when all is made */
	struct totals delta;
	struct births *births;
	struct xattr_set xattrs;
	struct dmm_attr attr; /* of the entry whose attributes were collected: as it says, or as its security descriptor does */
	struct flights *flights;      /* of the names joined; for the batch */
	struct name_set *present;     /* what the directory had before; NULL: a single name is made */
	struct name_set *aside;       /* of these, what has moved aside in this attempt: the name was free then */
	struct name_set *names;       /* all names listed so far */
	struct name_set *twice;       /* those that were listed again... */
	size_t repeated;              /* ... so often in all */
	bool anew;                    /* the listing was lost and is another one: it begins with names that were listed */
	char *buffer;                 /* for data */
	struct digest_stream *stream; /* for its digest */
	bool judging;                 /* an order is asked for */
	char *path;                   /* of the directory, then for its entries; PATH_MAX. NULL without an order */
	size_t path_len;
	struct verdict verdict; /* of the entry */
	struct offer *offers;   /* files on record, for the queue */
	size_t n_offers, offers_cap;
	uint64_t filled_files[ORDER_CLASSES], fetched_bytes; /* came with the directory */
	struct verdict *verdicts;                            /* of the children */
	unsigned skipped;
	struct object **children;
	size_t n_children, children_cap;
	struct comings *comings; /* entries that were asked for ahead; NULL: one after the other */
	struct coming *coming;   /* the one that is made now, or NULL */
	bool shared;             /* others may help with it when it is large */
	struct crew *crew;       /* they do; or NULL */
	const char *single; /* one name alone, staged under another (again.c): a failure is its caller's to record; else NULL */
};

#define MAKE_BUFFER_SIZE (256u * 1024)

/* What a thread needs of its own to make entries; making_strip() frees that, and all that was collected but the batch. */
void making_equip(struct making *making);
void making_strip(struct making *making);
/* Adds what another one has collected, and strips that. */
void making_join(struct making *making, struct making *other);
/* A directory was made. Takes the reference. */
void making_keep_child(struct making *making, struct object *child);

/* Reads link text and extended attributes of an entry from the source into making->xattrs and link_text[PATH_MAX]. */
int make_collect(struct making *making, const struct dmm_entry *entry, struct source_file *file, char *link_text);
/* The name is that of our own directory. */
bool make_reserved(const struct object *dir, const char *name);
/* What has this name in the directory was made a moment ago, for another name: the target takes the two for one. */
bool make_taken(const struct making *making, int dirfd, const char *name);
/* Gives what has this name on the target another one beside it, NAME.collision-N. */
int make_aside(int dirfd, const char *name);
/* Makes the object below dirfd; what an interrupted attempt left under this name goes first. A descriptor. */
int make_object(struct making *making, int dirfd, const char *name, const struct dmm_entry *entry, const char *link_text);
int make_apply(struct making *making, int fd, const struct dmm_entry *entry, bool inherited_acl);
/* Appends the record of a regular file whose data is to come. */
int make_record_file(struct making *making, struct batch *batch, int fd, const struct dmm_entry *entry);

/* Appends the digest of a regular file whose data is here, in the stream. To be called when nothing more is done to the file. */
int make_record_digest(struct making *making, int fd);
/* Adds one of the source's to those that the object is to get. */
int make_keep_xattr(struct xattr_set *xattrs, const char *name, const void *value, size_t len);
/* fill.c: whether a file is to come with its data; its bytes are taken from what the background may have. */
bool fill_wanted(const struct making *making, const struct dmm_attr *attr);
/* True when the data is there; `file`: of the source, NULL when it could not be opened. */
bool fill_try(struct making *making, int fd, const struct dmm_entry *entry, struct source_file *file);
/* populate.c: an entry that was listed, with what becomes of a failure. */
int populate_take(struct making *making, const struct dmm_entry *entry);
/* populate.c: makes one entry in making->dirfd; one of a file with several names is only noted in making->births. */
int populate_entry(struct making *making, const struct dmm_entry *entry);
/* It is a device, and devices=drop: populate_entry() makes nothing of it but a loss. */
bool populate_drops(const struct migrate *migrate, const struct dmm_attr *attr);
/* The same with all that is due to an entry of a listing: skipped, or a failure recorded. */
int populate_take_entry(struct making *making, const struct dmm_entry *entry);
/* relist.c: after the listing. Makes what it has missed because the source changed meanwhile. */
int relist(struct making *making);
/* skip.c: judges the entry; true: it is not to come over. The second records that. */
bool make_skips(struct making *making, const struct dmm_entry *entry);
bool make_skip(struct making *making, const struct dmm_entry *entry);
/* A file on record is to be queued once that is committed. */
void make_offer(struct making *making, uint64_t ino, uint64_t bytes);
/* After the last entry. */
void make_skipped_end(struct making *making);
/* The path of the directory, when its entries are to be judged. */
void make_judging_begin(struct making *making);

/* `detail`: a sentence more, or NULL. */
void making_lost_so(struct making *making, const char *name, const char *what, const char *detail, int error, bool blocks);
/* What is to be said of a loss that target_apply() tells of: in `detail`, or a constant; NULL: no more than what it is. */
#define LOSS_DETAIL_SIZE 400
const char *make_loss_detail(const struct dmm_attr *attr, const char *what, int error, char detail[LOSS_DETAIL_SIZE]);
void making_lost(struct making *making, const char *name, const char *what, int error, bool blocks);

#endif
