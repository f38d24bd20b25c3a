/* SPDX-License-Identifier: MIT
 *
 * The source plugin interface of dmmfs.
 *
 * A plugin reads one kind of source (a local path, NFS, SMB, ...) and nothing else: it never writes to the source (invariant I5)
 * and knows nothing of targets, state or mounts. It is a shared object that exports one function, made by DMMFS_PLUGIN(), which
 * returns a struct dmm_plugin. This header is all that a plugin needs; it may be built outside the tree.
 *
 *   instance    one for each migration: the parsed source address and options
 *   connection  one for each worker (or a few for each instance): a session with the server
 *   request     one unit of work, submitted to a connection, completed once, in any order
 *
 * Requests are submitted and completed because latency is hidden only by many requests in flight. A plugin whose library can
 * only block says DMM_THREADS_CONNECTION or DMM_THREADS_PARALLEL and completes each request before submit() returns; the host
 * then supplies the threads.
 *
 * The host owns retry, back-off, rate limits, counters and tracing. A plugin does one attempt and reports the errno.
 *
 * Errors: every function returns 0 or more for success and a negative errno for failure. EINTR, EAGAIN, ETIMEDOUT, ECONNREFUSED,
 *   EHOSTUNREACH, ENETUNREACH, EREMOTEIO and, once, ESTALE are tried again. ECONNRESET, ECONNABORTED, ENETRESET, EPIPE, ENOTCONN and
 *   ESHUTDOWN as well, and say that the connection is of no more use: the host opens another one and its files on it anew.
 * Ownership: what a request points to belongs to the host and stays valid until complete() is called. What a plugin hands to a
 *   sink (entry, xattr, extent) belongs to the plugin and is valid during that call alone.
 * Trust: the host checks all that a plugin reports (names, sizes, lengths), since a plugin repeats what a server said.
 * Stability: `abi` and `struct_size` tell both sides what the other knows. Members are only ever added at the end of a struct that
 *   has a struct_size; those without (dmm_entry, dmm_attr, dmm_extent, ...) change with `abi` alone, and the host takes no plugin of
 *   another one. NULL for a function means "not supported"; the host then does without it or emulates it.
 */
#ifndef DMMFS_PLUGIN_H
#define DMMFS_PLUGIN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DMM_PLUGIN_ABI 2

/* The longest object handle a plugin may use, in bytes. NFSv3 has 64 (RFC 1813 2.6), NFSv4 128 (RFC 7530 2.2.5); a plugin
 * whose protocol knows only paths uses the path as the handle. */
#define DMM_HANDLE_MAX 65535

/* The longest name of a directory entry, in bytes, without the terminating NUL (NAME_MAX of Linux). */
#define DMM_NAME_MAX 255

struct dmm_instance;  /* the plugin's own */
struct dmm_conn;      /* the plugin's own */
struct dmm_file;      /* the plugin's own: an open file or directory of one connection */

struct dmm_bytes {
	const void *data;
	size_t len; /* bytes */
};

/* A point of time: seconds since the epoch (may be negative) and 0..999999999 nanoseconds. */
struct dmm_time {
	int64_t sec;
	uint32_t nsec;
};

/* Which members of struct dmm_attr are meaningful. MODE, SIZE, MTIME and FILEID always are. */
#define DMM_ATTR_OWNER (1u << 0) /* uid, gid */
#define DMM_ATTR_NLINK (1u << 1)
#define DMM_ATTR_USED (1u << 2)
#define DMM_ATTR_ATIME (1u << 3)
#define DMM_ATTR_CTIME (1u << 4)
#define DMM_ATTR_BTIME (1u << 5)
#define DMM_ATTR_CHANGE (1u << 6)
#define DMM_ATTR_FLAGS (1u << 7)
#define DMM_ATTR_UID (1u << 8) /* uid alone; OWNER stands for both */
#define DMM_ATTR_GID (1u << 9) /* gid alone */
#define DMM_ATTR_NO_XATTRS (1u << 10) /* no member: in a LIST: XATTRS would give nothing of this object */

struct dmm_attr {
	uint32_t valid;      /* DMM_ATTR_* */
	uint32_t mode;       /* type and permissions as in st_mode */
	uint32_t nlink;
	uint32_t uid, gid;
	uint32_t rdev_major, rdev_minor; /* of device nodes */
	uint32_t flags;      /* inode flags as FS_IOC_GETFLAGS gives them (chattr) */
	uint64_t size;       /* bytes; of a symlink the length of its target */
	uint64_t used;       /* bytes allocated: less than size says the file may have holes */
	uint64_t fsid;       /* with fileid: the identity of the object at the source; equal pairs are hard links of one object */
	uint64_t fileid;
	uint64_t change;     /* changes whenever the object does (NFSv4 change attribute); only compared for equality */
	struct dmm_time atime, mtime, ctime, btime;
	/* Owner and group as the source writes them, where it has names (NFSv4: "alice@example.com"); len 0: it has none. They may be
	 * given beside uid and gid: what the administrator's map says of the name goes first, then the plugin's id. A name without an
	 * id is reported, and nobody is made the owner for it. */
	struct dmm_bytes owner_name, group_name;
};

/* One entry of a directory. "." and ".." are not reported. */
struct dmm_entry {
	const char *name;    /* NUL-terminated, any bytes but '/' and NUL */
	size_t name_len;     /* bytes, 1..DMM_NAME_MAX */
	struct dmm_bytes handle;
	int error;           /* 0, or the positive errno with which the entry could not be examined; name is then still valid */
	struct dmm_attr attr;
};

struct dmm_extent {
	uint64_t off, len;   /* bytes: this range holds data; what no extent covers is a hole and reads as zeros */
};

enum dmm_request_kind {
	DMM_REQ_ROOT,     /* -> entry() once, with an empty name: handle and attributes of the source's root */
	DMM_REQ_ATTR,     /* handle -> entry() once, with an empty name: present attributes of the object */
	DMM_REQ_OPEN,     /* handle -> file: for reading (regular files) or listing (directories); updates no access time if
	                     that can be had */
	DMM_REQ_CLOSE,    /* file */
	DMM_REQ_LIST,     /* file (a directory) -> entry() for the next entries; result: how many, 0 at the end. One LIST at a
	                     time for each open directory. A plugin gives as many as one round trip brings (about 1000). When it
	                     fails before the first entry() the same may be asked again. */
	DMM_REQ_READ,     /* file, off, len, buf -> result: bytes read, less than len only at the end of the file. Where `entry` is not
	                     NULL and the protocol gives the object's attributes as they are after the reading at no further
	                     round trip: entry() once, with an empty name; then the host need not ask for them. */
	DMM_REQ_READLINK, /* handle, buf, len -> result: length of the link text, not NUL-terminated */
	DMM_REQ_XATTRS,   /* file if not NULL, else handle -> xattr() for each extended attribute; ACLs come in the forms of Linux:
	                     system.posix_acl_access, system.posix_acl_default */
	DMM_REQ_EXTENTS,  /* file, off, len -> extent() for each range of data that touches it, ascending */
	DMM_REQ_WHOLE,    /* With DMM_CAP_WHOLE: handle, len (at most DMM_WHOLE_MOST), buf -> what XATTRS of the handle gives, and of a
	                     file the first len bytes, in as few round trips as can be. Where `entry` is not NULL, also its attributes as
	                     they are after the reading, as with READ. result: bytes read. What is out of the ordinary with an object
	                     is for the other requests: before it has called a sink the plugin may complete with any error, such as
	                     -EOPNOTSUPP, and is then asked one by one. */
};

#define DMM_WHOLE_MOST (256u << 10) /* bytes */

struct dmm_request {
	/* Set by the host. */
	size_t struct_size;
	enum dmm_request_kind kind;
	struct dmm_bytes handle;
	uint64_t off, len;   /* bytes */
	void *buf;           /* room for len bytes */
	uint64_t deadline_ns; /* CLOCK_MONOTONIC; 0: none. Past it the plugin completes with -ETIMEDOUT as soon as it can. */
	atomic_bool cancelled; /* the host no longer wants the answer; the plugin completes with -ECANCELED as soon as it can */

	/* In for CLOSE, LIST, READ, XATTRS, EXTENTS; out for OPEN. Belongs to the connection it was opened on; the host closes it. */
	struct dmm_file *file;

	/* Sinks, called by the plugin any number of times before complete(), from one thread at a time. A negative return ends the
	 * request, which then completes with that error. */
	int (*entry)(struct dmm_request *request, const struct dmm_entry *entry);
	int (*xattr)(struct dmm_request *request, const char *name, const void *value, size_t len);
	int (*extent)(struct dmm_request *request, const struct dmm_extent *extent);

	/* Called exactly once, from any thread, the plugin's or the submitting one, with no lock of the plugin held that submit() or
	 * cancel() would wait for. The request must not be touched afterwards. */
	void (*complete)(struct dmm_request *request);
	void *host;          /* the host's own */

	/* Set by the plugin before complete(). */
	int64_t result;      /* as the kind says, or a negative errno */

	/* A sink like those above, for XATTRS: something that the object has at the source and that cannot be carried. `kind` is one
	 * of the words that dmmfs-plugin(3) lists ("streams", "acl", ...), `detail` a sentence. Set by the host; an older one does
	 * not know it, which struct_size tells. */
	int (*loss)(struct dmm_request *request, const char *kind, const char *detail);
};

/* What a connection can do, known after connect(). */
#define DMM_CAP_EXTENTS (1ull << 0)
#define DMM_CAP_XATTR (1ull << 1)
#define DMM_CAP_POSIX_ACL (1ull << 2)
#define DMM_CAP_NFS4_ACL (1ull << 3)
#define DMM_CAP_NT_ACL (1ull << 4)
#define DMM_CAP_STREAMS (1ull << 5)
#define DMM_CAP_BTIME (1ull << 6)
#define DMM_CAP_CHANGE (1ull << 7)
#define DMM_CAP_PERSISTENT_HANDLES (1ull << 8) /* a handle stays good when the object is renamed at the source */
#define DMM_CAP_FD (1ull << 9)                 /* file_fd() gives a descriptor the kernel can copy from */
#define DMM_CAP_WHOLE (1ull << 10)             /* DMM_REQ_WHOLE, by submit_many() */

enum dmm_thread_model {
	DMM_THREADS_SERIAL,     /* one request at a time in the whole instance; submit() blocks until it is complete */
	DMM_THREADS_CONNECTION, /* one request at a time on each connection; submit() blocks until it is complete */
	DMM_THREADS_PARALLEL,   /* any number at a time on a connection, from any thread; submit() blocks until it is complete */
	DMM_THREADS_ASYNC,      /* any number at a time; submit() returns at once and complete() comes from the plugin's thread */
};

enum dmm_log_level { DMM_LOG_ERROR, DMM_LOG_WARNING, DMM_LOG_INFO, DMM_LOG_DEBUG };

struct dmm_setting {
	const char *name;
	const char *value;
};

/* What a plugin gets to open an instance. Valid during open() alone. */
struct dmm_config {
	size_t struct_size;
	const char *source;  /* as the administrator wrote it: a path or an URL */
	const struct dmm_setting *settings; /* the mount options that this plugin's table lists */
	size_t n_settings;
	char *error;         /* on failure: a sentence for the administrator, naming the thing and the remedy */
	size_t error_size;   /* bytes at error */
	/* Writes a line to the daemon's log; thread-safe; may be kept and used until close(). */
	void (*log)(enum dmm_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
};

struct dmm_option {
	const char *name;
	const char *help;
};

struct dmm_plugin {
	uint32_t abi;          /* DMM_PLUGIN_ABI */
	size_t struct_size;    /* sizeof(struct dmm_plugin) as the plugin knows it */
	const char *name;      /* "posix": also the value of the mount option protocol= */
	const char *version;
	const char *description;
	const char *const *schemes;        /* URL schemes it serves, NULL-terminated: {"file", NULL} */
	const struct dmm_option *options;  /* mount options it takes, ended by a NULL name; may be NULL */
	enum dmm_thread_model threads;

	/* Parse address and options. No network, no blocking. */
	int (*open)(const struct dmm_config *config, struct dmm_instance **instance);
	void (*close)(struct dmm_instance *instance); /* after the last disconnect() */

	/* Open a session. May block; called from a worker thread, several at a time. */
	int (*connect)(struct dmm_instance *instance, struct dmm_conn **conn);
	void (*disconnect)(struct dmm_conn *conn); /* after its last request completed and its last file was closed */
	uint64_t (*capabilities)(struct dmm_conn *conn); /* DMM_CAP_* */

	void (*submit)(struct dmm_conn *conn, struct dmm_request *request);

	/* Optional: wake a request whose `cancelled` the host has just set. It still completes in the ordinary way. From any thread,
	 * must not block; the request may be complete already, or not yet submitted. */
	void (*cancel)(struct dmm_conn *conn, struct dmm_request *request);

	/* Optional, with DMM_CAP_FD: the descriptor behind a regular file, for copy_file_range(2) and lseek(2) with SEEK_DATA by
	 * offset-preserving callers. Stays the plugin's; valid until CLOSE. */
	int (*file_fd)(struct dmm_file *file);

	/* Optional: what no object of this source can ever bring with it, since the protocol, the server or the library cannot carry
	 * it; asked for once, after the first connect(). `kind` as in request->loss, `sentence` for the administrator. Each is told
	 * once for the migration, not for each object. */
	void (*limits)(struct dmm_conn *conn, void (*tell)(void *context, const char *kind, const char *sentence), void *context);

	/* With DMM_CAP_WHOLE and DMM_THREADS_CONNECTION: several requests of the kind WHOLE (no others) at once, for a library that can
	 * have them all on their way. Blocks until each has completed, in any order. When one of them is cancelled all may be. */
	void (*submit_many)(struct dmm_conn *conn, struct dmm_request *const *requests, size_t n);
};

#define DMM_PLUGIN_ENTRY dmmfs_plugin_entry
#define DMM_PLUGIN_ENTRY_NAME "dmmfs_plugin_entry"

/* Puts a plugin's one exported function in place: DMMFS_PLUGIN(my_plugin) */
#define DMMFS_PLUGIN(plugin)                                                                                                   \
	__attribute__((visibility("default"))) const struct dmm_plugin *DMM_PLUGIN_ENTRY(void);                                \
	const struct dmm_plugin *DMM_PLUGIN_ENTRY(void) { return &(plugin); }

#ifdef __cplusplus
}
#endif
#endif
