/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The nfs plugin: an export of an NFS server as the source, version 3 (RFC 1813) or 4.0 (RFC 7530). What its files share.
 *
 * Only the raw, pipelined requests of libnfs are used, by file handles: no path is ever looked up twice, no cache of the library
 * stands between us and the server, and nothing at the server has a state that could be lost (version 4 reads with the anonymous
 * stateid, RFC 7530 9.1.4.3). So a request can be repeated on any connection at any time.
 *
 *   address   what the administrator wrote
 *   channel   one TCP connection with its thread; libnfs is used by that thread alone
 *   op        a request of the host on its way: one or several RPCs
 *   v3, v4    the requests as calls of that version; attr3, attr4: attributes; acl3, acl4: ACLs; owner: names to ids
 *
 * A session (struct dmm_conn) has several channels, and requests go round them. When one breaks all its requests complete with
 * ECONNRESET, which makes the host open a new session.
 *
 * Threads: DMM_THREADS_ASYNC. Everything of an op belongs to whoever uses its channel (channel.c) from channel_submit() on.
 */
#ifndef NFS_PLUGIN_H
#define NFS_PLUGIN_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <dmmfs/plugin.h>

/* Each needs those before it. */
/* clang-format off */
#include <nfsc/libnfs.h>
#include <nfsc/libnfs-raw.h>
#include <nfsc/libnfs-raw-mount.h>
#include <nfsc/libnfs-raw-nfs.h>
#include <nfsc/libnfs-raw-nfs4.h>
/* clang-format on */

#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

/* The longest handle: NFS4_FHSIZE, RFC 7530 2.2.5. Version 3 has NFS3_FHSIZE, 64. */
#define FH_MAX 128

/* A larger reply ends the connection: libnfs takes 1 MiB and a page. */
#define READ_MOST (1u << 20)
#define LIST_MOST (256u << 10)

#define CHANNELS_MOST 64
#define CHANNELS_DEFAULT 4

/* How long a server may take to answer while a session is opened, in milliseconds. */
#define OPEN_TIMEOUT_MS 15000

typedef void log_fn(enum dmm_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

struct fh {
	unsigned len;
	char bytes[FH_MAX];
};

/* address.c */
struct address {
	char host[256];
	char path[PATH_MAX]; /* begins with '/' */
	unsigned version;    /* 3, 4, or 0: ask for 4, then 3 */
	unsigned port;       /* of NFS; 0: 2049 for version 4, what the portmapper says for version 3 */
	unsigned mountport;  /* of MOUNT; 0: what the portmapper says */
	unsigned channels;
	unsigned rsize;   /* bytes of one READ at most */
	char domain[256]; /* of the names of owners; empty: what /etc/idmapd.conf says */
};
int address_parse(const struct dmm_config *config, struct address *address);

struct owners; /* owner.c */

struct dmm_instance {
	struct address address;
	struct owners *owners;
	log_fn *log;
	atomic_uint version;     /* the one that is spoken: the address, or what the first session found; 0: not known yet */
	atomic_bool told_no_acl; /* the administrator knows that this server gives no ACLs */
};

struct channel; /* channel.c */
struct op;
struct part;
struct join; /* join4.c */

struct protocol {
	unsigned version;
	/* By whoever uses the channel: each sends the first RPCs of a request, or completes it. */
	void (*getattr)(struct op *op);
	void (*list)(struct op *op);
	void (*read)(struct op *op, struct part *part, uint64_t off); /* one part; parts.c */
	void (*readlink)(struct op *op);
	void (*xattrs)(struct op *op);
	/* The same as read for one that may wait until others that are started at the moment are; NULL: there is no such thing. */
	bool (*read_joined)(struct op *op, struct part *part);
	void (*send_joined)(struct channel *channel);
};
extern const struct protocol protocol_v3, protocol_v4;

struct dmm_conn {
	struct dmm_instance *instance;
	const struct protocol *protocol;
	struct fh root;
	uint64_t capabilities;
	unsigned rsize, list_bytes;
	atomic_bool plain_readdir; /* the server has no READDIRPLUS */
	atomic_uint join_most;     /* READs in one COMPOUND */
	unsigned n_channels;
	atomic_uint next, next_small; /* channel */
	struct channel *channels[CHANNELS_MOST];
};

/* An open file: nothing at the server. Of directories, where the listing stands. */
struct dmm_file {
	struct dmm_conn *conn;
	struct fh fh;
	uint64_t cookie;
	char verifier[8];
	bool began, ended;
	/* A server whose cookies go round would never end (Brent: compare with one of a power of two replies ago). */
	uint64_t mark, replies, mark_at;
};

/* --- limits.c --- */
void nfs_limits(struct dmm_conn *conn, void (*tell)(void *context, const char *kind, const char *sentence), void *context);

/* --- channel.c --- */

/* A request on its way. `rpcs` may still be awaited when the host has its answer already: what comes late is dropped. */
struct op {
	struct op *next, *prev;
	struct channel *channel;
	struct dmm_conn *conn;
	struct dmm_request *request; /* NULL: it is complete */
	unsigned rpcs;               /* sent and not answered */
	int64_t result;              /* gathered so far */
	struct fh fh;                /* of the object */
	void *own;                   /* v3, v4: freed with the op */
};

/* Connects to a port of the address's host; 0: whatever port the portmapper names for the program. Blocks. A negative errno. */
int channel_connect(const struct address *address, unsigned port, uint32_t program, uint32_t version, struct channel **channel);
/* Before channel_start(): makes one call and waits for its answer. `send` returns as the libnfs functions do. `done` gets the
 * data of a success while it is valid; its result is returned. */
int channel_call(struct channel *channel, int (*send)(struct rpc_context *rpc, rpc_cb cb, void *opaque, void *context),
                 int (*done)(void *data, void *context), void *context);
int channel_start(struct channel *channel);
/* What is on its way is completed with ECONNRESET. */
void channel_close(struct channel *channel);
void channel_submit(struct channel *channel, struct dmm_conn *conn, struct dmm_request *request, const struct fh *fh);
/* Looks after requests that were cancelled. */
void channel_wake(struct channel *channel);
struct rpc_context *channel_rpc(struct channel *channel);
/* Where join4.c keeps what is being joined. */
struct join **channel_join(struct channel *channel);

/* By whoever uses the channel. */
void op_complete(struct op *op, int64_t result);
/* Counts an RPC in; `sent`: what the libnfs function returned. False: the op was completed with an error. */
bool op_sent(struct op *op, int sent);
/* First in every callback: counts the RPC out. 0: `data` is the answer; otherwise the op was dealt with and may be gone. */
int op_answered(struct op *op, int status);
/* Last in every callback: frees an op that is complete and awaits nothing. */
void op_release(struct op *op);

/* --- cookie.c, parts.c --- */

/* True while the cookies of a listing make progress. */
bool file_advance(struct dmm_file *dir, uint64_t cookie);

/* One of the READs that a request needs. */
struct part {
	struct op *op;
	uint64_t off;       /* in the host's buffer */
	unsigned len, came; /* bytes asked for, and answered */
};
/* Sends them all. */
void parts_send(struct op *op);
/* Whether the attributes after the reading are to be told: only of what is one READ. */
bool parts_want_attr(const struct op *op);
int parts_attr(struct op *op, const struct dmm_attr *attr);
/* One is answered; the last of them completes the request. */
void part_came(struct part *part, int error, const char *data, unsigned len, bool eof);

/* --- join4.c --- */
#define JOIN4_MOST 15
bool join4_add(struct op *op, struct part *part);
void join4_send(struct channel *channel);

/* A number as XDR has it (RFC 4506). */
static inline uint32_t xdr_word(const void *bytes)
{
	const unsigned char *b = bytes;

	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* --- attributes: attr3.c, attr4.c --- */

void attr_from_3(struct dmm_attr *attr, const struct fattr3 *from);
int error_from_3(nfsstat3 status); /* negative errno */

/* The attributes that we ask for, as two words of a bitmap4. */
extern uint32_t attr4_wanted[2];
extern uint32_t attr4_look[2]; /* fewer: what tells whether a file has changed */
struct attr4 {
	struct dmm_attr attr;
	struct fh fh;
	int error;                     /* rdattr_error as a positive errno */
	struct dmm_bytes owner, group; /* into what was decoded; len 0: not there */
};
/* -EBADMSG when the bytes are not what the bitmap says. */
int attr4_decode(const struct fattr4 *from, struct attr4 *to);
int error_from_4(nfsstat4 status);

/* --- acl3.c, acl4.c --- */

/* As the xattrs of Linux, to the sink of the request; nothing for an ACL that the mode says already. */
int acl3_report(struct dmm_request *request, const struct GETACL3resok *acl);
int acl4_report(struct dmm_request *request, const struct fattr4 *from);

/* --- owner.c --- */

/* `domain` as in struct address; it is copied. */
int owners_new(const char *domain, struct owners **owners);
void owners_free(struct owners *owners);
/* "1000", "name@domain", "name": 0, -ENOENT when nobody here has that name (nor is "nobody" an owner), -EAGAIN when that
 * cannot be told now. */
int owner_uid(struct owners *owners, struct dmm_bytes name, uint32_t *uid);
int owner_gid(struct owners *owners, struct dmm_bytes name, uint32_t *gid);

/* --- session.c: a session's channels, root and limits --- */
int session_open(struct dmm_instance *instance, struct dmm_conn **conn);
void session_close(struct dmm_conn *conn);

#endif
