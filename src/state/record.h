/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the state of a migration holds, as the rest of the program sees it. docs/FORMAT.md describes the same on disk.
 *
 * Identity (invariant I4): a record belongs to an object of the target, named by its inode number and proven by its file handle
 * (name_to_handle_at(2)), in which the file system puts a generation. A handle that no longer opens, or that differs from the
 * one of the object now at that inode number, shows a stale record: it is dropped, it never matches a new file.
 *
 * Records exist only for what is not finished (I12): a directory whose entries have not come over, a file whose data has not
 * come over entirely, a file of which not all names were seen, an error that nobody has settled. No record means: finished, or
 * made by an application.
 */
#ifndef DMM_STATE_RECORD_H
#define DMM_STATE_RECORD_H

#include "base/digest.h"
#include "base/handle.h"

#include <stdbool.h>
#include <stdint.h>

/* A point of time as struct timespec, in a fixed size. */
struct moment {
	int64_t sec;
	uint32_t nsec;
};

/* Where an object is at the source: the plugin's handle. The bytes of a record that was read follow it in one allocation. */
struct source_ref {
	uint16_t len; /* bytes */
	const uint8_t *bytes;
};

#define LINEAGE_BYTES 8

/* A directory that is not populated yet. */
struct dir_record {
	uint64_t ino;
	struct handle handle;
	struct source_ref source;
	uint32_t nlink;             /* at the source, shown until the directory is populated */
	struct moment atime, mtime; /* to be restored once it is populated: those of the source, or as an application set them */
	uint32_t inode_flags;       /* chattr flags to set once it is populated */
	bool collisions_settled;    /* collision=rename: what was in the way has been moved aside */
	struct source_ref lineage;  /* identities at the source, LINEAGE_BYTES each: the root's first, its own last */
};

#define FILE_RENEWALS_MAX 3

/* A regular file whose data has not come over entirely. */
struct file_record {
	uint64_t ino;
	struct handle handle;
	struct source_ref source;
	uint64_t limit;       /* bytes: source data is wanted below this offset only; what lies above is the application's (I2) */
	uint64_t segsize;     /* bytes */
	uint64_t source_used; /* bytes allocated at the source, shown as st_blocks meanwhile */
	uint32_t inode_flags; /* chattr flags to set at the end */
	bool mtime_valid;     /* mtime below is the file's, whatever our own writes make of the target's (a kill between a write
	                          and the restoring of the time must not show); false once an application writes */
	struct moment mtime;
	bool changed;            /* an application wrote in it, cut or extended it: it is no longer a copy of the source */
	bool attributes_changed; /* an application set its owner, mode or extended attributes */
	bool emptied;            /* it is brought anew, and what the target has of it must go first, up to the size `limit` */
	uint8_t renewals;        /* how often it was brought anew, at most FILE_RENEWALS_MAX */
	/* What the source said of the file when its directory was listed; a difference later is drift. */
	uint64_t source_size;
	uint64_t source_change;
	struct moment source_mtime, source_ctime;
	struct moment shown_ctime; /* the change time shown to applications while our own writes move the real one */
	/* Kept by the store itself: what is put is added to what is there, and never taken away. */
	struct digest digest; /* of the segments that came from the source and were recorded so far */
	bool undigested;      /* something of the file is not in it */
};

/* What came from the source of a file that is finished and that no application had changed until then. */
struct digest_record {
	uint64_t ino;
	struct handle handle;
	uint64_t size, segsize;     /* bytes */
	struct moment mtime, ctime; /* on the target, when everything was there */
	struct digest digest;
};

/* A file with several names at the source. Its object lives in the target's staging directory beside the names it has got. */
struct link_record {
	uint64_t fsid, fileid; /* at the source */
	uint64_t ino;
	struct handle handle;
	uint32_t nlink; /* names at the source */
	uint32_t seen;  /* names that were given on the target so far */
};

enum error_state {
	ERROR_RETRYING, /* background tries again by itself, with back-off */
	ERROR_WAITING,  /* tries are used up: the administrator decides */
	ERROR_WAIVED,   /* the administrator accepts the loss */
	ERROR_FIXED,    /* it came over after all; never on disk */
};

enum error_kind {
	ERROR_OF_DIR,   /* the entries of a directory can not be had */
	ERROR_OF_FILE,  /* the data of a file can not */
	ERROR_OF_NAME,  /* one name of a directory, the rest of which is there, could not be made */
	ERROR_LOSS,     /* something of an object that the target can not hold: told, and that is all */
	ERROR_DRIFT,    /* the source changed under us: told, and that is all */
	ERROR_PROTOCOL, /* something that the way to the source can never carry: told once for each migration, of no object */
};

/* An unsettled failure (I7). Entries clear when fixed. Strings belong to whoever fills the struct. */
struct error_record {
	uint64_t id;  /* ascending, never reused */
	uint64_t ino; /* the object, or of a name that could not be made its directory */
	enum error_kind kind;
	enum error_state state;
	int32_t error; /* positive errno */
	int32_t told;  /* positive errno that an application got for it, 0 when none did */
	uint32_t tries;
	uint64_t first_ns, last_ns; /* wall clock */
	uint64_t bytes;             /* of the object at the source */
	char *what;                 /* what was being done: "read", "list", "create", "attributes", ... */
	char *path;                 /* below the target, as it was then */
	char *detail;               /* a sentence, may be empty */
	/* ERROR_OF_NAME: all that is needed to try it again, when nothing else is known of the directory any more. Else empty. */
	struct handle handle; /* of the directory on the target */
	struct source_ref source, lineage;
	char *name;
	uint64_t next_ns; /* wall clock of the next attempt, 0: none by itself. Not on disk */
};

/* Counters that must survive a restart exactly; they change in the transaction that changes what they count. */
struct totals {
	int64_t dirs_found, dirs_migrated;
	int64_t files_found, files_migrated;  /* everything that is not a directory; hard links count once for each name */
	int64_t bytes_found, bytes_migrated;  /* of regular files: st_size at the source */
	int64_t files_pending, bytes_pending; /* file records and the bytes of their absent segments */
	int64_t files_error, dirs_error;      /* retrying or waiting; single names count as files */
	int64_t links_pending;
	int64_t files_waived, dirs_waived; /* of these: still pending, but the administrator accepts it */
	int64_t names_waived;              /* the same for single names, which are not pending */
	int64_t errors_fixed;              /* entries that cleared */
	int64_t drift_found;               /* files that changed at the source after they were listed */
	int64_t skipped;                   /* names that the order left out; of a directory its top alone */
};
void totals_add(struct totals *totals, const struct totals *delta);

#endif
