/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the cifs plugin and its helper processes say to each other: over a socket pair, one question and its answer at a time, both
 * in host byte order, since both are of one build on one machine. Data of files is passed in memory that both share.
 *
 *   question   struct ask, then `len_path` bytes of path below the share (no NUL), or the settings for ASK_CONNECT
 *   answer     struct reply, then `len_more` bytes: packed entries for ASK_STAT and ASK_LIST, text for ASK_SECURITY,
 *              struct wire_raw and what follows it for ASK_RAW, a struct wire_whole and what follows it for each object of ASK_WHOLE
 *
 * ASK_WHOLE is about several objects: in place of a path a struct wire_want and a path for each. Their data lies in the shared memory, one
 * behind the other, each in the room that was wanted for it.
 */
#ifndef CIFS_WIRE_H
#define CIFS_WIRE_H

#include <stdint.h>

#define SHARED_BYTES (4u << 20) /* the most of one READ */
#define MORE_MOST (4u << 20)    /* a longer answer is damaged */

/* Descriptors of a helper. */
enum { HELPER_SOCKET = 3, HELPER_SHARED = 4 };

enum ask_kind {
	ASK_CONNECT, /* settings, each "name=value" and a NUL; answered when the share is open; file: CONNECTED_*; more: why it is not */
	ASK_STAT,     /* path -> one entry with an empty name */
	ASK_OPEN,     /* path -> file */
	ASK_OPEN_DIR, /* path -> file */
	ASK_CLOSE,    /* file */
	ASK_LIST,     /* file -> entries; result: how many, 0 at the end */
	ASK_READ,     /* file, off, len -> result: bytes in the shared memory */
	ASK_SECURITY, /* path -> the security descriptor in the words of libsmbclient */
	ASK_RAW,      /* path -> struct wire_raw, the security descriptor and the list of streams as the server has them */
	ASK_WHOLE,    /* objects -> the same of each, its data, and its attributes after the reading */
};

/* What the helper can do. */
#define CONNECTED_RAW 1u   /* ASK_RAW */
#define CONNECTED_AUDIT 2u /* with audit lists */
#define CONNECTED_WHOLE 4u /* ASK_WHOLE */

/* Of one ASK_WHOLE. */
#define WHOLE_OBJECTS_MOST 16

struct ask {
	uint32_t kind, len_path;
	uint64_t file, off, len;
};

struct reply {
	int64_t result; /* or a negative errno */
	uint64_t file;
	uint32_t len_more, padding;
};

struct wire_time {
	int64_t sec;
	uint32_t nsec, padding;
};

/* Followed by the name. */
struct wire_entry {
	uint32_t len_name, attributes; /* FILE_ATTRIBUTE_* */
	uint64_t size, fileid;
	struct wire_time btime, atime, mtime, ctime;
	uint32_t is_dir, padding;
};

/* Followed by the bytes. */
struct wire_raw {
	uint32_t len_descriptor, len_streams;
	int32_t descriptor_error, streams_error; /* negative errno: there is none of it */
};

/* Followed by the path. */
struct wire_want {
	uint32_t len_path, len; /* bytes of data */
};

/* Followed by what follows struct wire_raw. */
struct wire_whole {
	int32_t error; /* negative errno: nothing is known of it, nothing follows */
	uint32_t len;  /* bytes in the shared memory, at most as many as wanted */
	uint32_t seen; /* there are attributes; they lack a number and a name */
	uint32_t padding;
	struct wire_entry entry;
	struct wire_raw raw;
};

/* [MS-FSCC] 2.6 */
#define DOS_READONLY 0x1u
#define DOS_DIRECTORY 0x10u
#define DOS_REPARSE_POINT 0x400u

#endif
