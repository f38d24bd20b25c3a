/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The posix plugin: a directory of this machine as the source. What its files share.
 *
 * Everything is reached below one directory descriptor, the root of a private, read-only clone of the source's mounts where the
 * kernel lets us make one (root.c), and by handles (handle.c) that name an object in one of two forms:
 *
 *   'H'  what name_to_handle_at(2) gives: survives renames and restarts; for objects on the root's own mount
 *   'P'  an 'H' handle of a directory, or nothing for the root, and a path below it: for file systems mounted below the source,
 *        whose handles mean nothing to the root's mount, and for file systems that have no lasting handles
 *
 * Threads: DMM_THREADS_PARALLEL. An instance is constant after open() except for its small cache of file system identities
 * and what was learned of kernel and disk.
 */
#ifndef POSIX_PLUGIN_H
#define POSIX_PLUGIN_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <dmmfs/plugin.h>

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

/* The kernel's longest file handle (MAX_HANDLE_SZ). */
#define KERNEL_HANDLE_MAX 128

/* The longest 'H' handle: tag, type of object, handle_type, bytes. */
#define H_HANDLE_MAX (2 + sizeof(int) + KERNEL_HANDLE_MAX)

/* The head of a 'P' handle: tag, type of object, fsid, length of the base handle. */
#define P_HEAD (2 + sizeof(uint64_t) + sizeof(uint16_t))

#define STATX_WANTED (STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID)

/* How many devices other than the root's have their fsid remembered; further ones are asked for anew each time. */
#define IDENTITY_CACHE 32

struct identity_cache {
	pthread_mutex_t lock;
	unsigned count;
	struct {
		uint64_t dev, fsid;
	} known[IDENTITY_CACHE];
};

struct dmm_instance {
	int root_fd;  /* of the clone, or of the source itself; open for reading, since open_by_handle_at(2) wants that */
	int tree_fd;  /* of the clone, as open_tree(2) gave it, or -1 */
	bool cloned;  /* the mounts are ours, read-only, without access times */
	bool handles; /* the root's file system has lasting handles, and we may open them */
	bool birth_time;
	uint64_t mnt_id;    /* of the root */
	uint64_t dev, fsid; /* of the root */
	struct identity_cache identities;
	atomic_bool no_listxattrat; /* the kernel does not know it */
	atomic_bool no_uncached;    /* the source cannot be read without what was read staying in memory */
	atomic_int cold;            /* above 0: small files were not in memory lately, so it pays to read ahead */
	void (*log)(enum dmm_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
};

struct dmm_conn {
	struct dmm_instance *instance;
};

struct dmm_file {
	struct dmm_conn *conn;
	int fd;
	/* Of directories only: what list.c needs for their entries. */
	bool by_handle; /* opened by an 'H' handle, so that its entries get such */
	uint64_t mnt_id, dev, ino, fsid;
	size_t prefix_len;
	unsigned char prefix[]; /* a 'P' handle that lacks the name of the entry, and room for that: the work space of LIST */
};

/* address.c: the path in `source` (a path or a file URL) into `path`; a sentence into config->error */
int address_parse(const struct dmm_config *config, char *path, size_t path_size);

/* root.c */
int root_open(struct dmm_instance *instance, const struct dmm_config *config, const char *path);
void root_close(struct dmm_instance *instance);

/* handle.c */
struct handle_parts {
	char form;             /* 'H' or 'P' */
	unsigned char type;    /* DT_REG, DT_DIR, ... */
	uint64_t fsid;         /* 'P' only */
	struct dmm_bytes base; /* 'P' only: an 'H' handle, or empty */
	struct dmm_bytes path; /* 'P' only */
};
int handle_parse(struct dmm_bytes handle, struct handle_parts *parts);
/* The 'H' form of `name` in directory `fd`, or with an empty name of `fd` itself. Its length, or negative errno. */
int handle_of(int fd, const char *name, unsigned char type, unsigned char handle[H_HANDLE_MAX]);
/* The head of a 'P' form into `handle`, `base` behind it. The length; the path is for the caller to append. */
size_t handle_path_head(unsigned char *handle, unsigned char type, uint64_t fsid, struct dmm_bytes base);
void handle_set_type(unsigned char *handle, unsigned char type);
void handle_set_fsid(unsigned char *handle, uint64_t fsid);
/* Opens the object with open(2) flags; O_CLOEXEC and O_NOFOLLOW are added. A descriptor, or negative errno. */
int handle_open(const struct dmm_instance *instance, const struct handle_parts *parts, struct dmm_bytes handle, int flags);

/* identity.c: which file system an object is on */
uint64_t identity_of_fd(int fd, uint64_t dev);
/* Of `name` in `dir`, or with an empty name of `dir` itself. */
int identity_on_root_mount(struct dmm_instance *instance, int dir, const char *name, uint64_t dev, uint64_t *fsid);
uint64_t identity_below_mount(uint64_t dir_fsid, uint64_t dir_ino, const char *name);
uint64_t identity_other_device(uint64_t dir_fsid, uint64_t dev);

/* list.c */
void attr_from_statx(struct dmm_attr *attr, const struct statx *stx, uint64_t fsid);
int64_t posix_root(struct dmm_conn *conn, struct dmm_request *request);
int64_t posix_attr(struct dmm_conn *conn, struct dmm_request *request);
int64_t posix_list(struct dmm_file *dir, struct dmm_request *request);

/* file.c */
bool posix_is_openable(const struct handle_parts *parts);
int posix_open_flags(const struct dmm_instance *instance, const struct handle_parts *parts);
int64_t posix_open_file(struct dmm_conn *conn, struct dmm_request *request);
void posix_close_file(struct dmm_file *file);
int64_t posix_read(struct dmm_file *file, struct dmm_request *request);
int64_t posix_extents(struct dmm_file *file, struct dmm_request *request);
int64_t posix_readlink(struct dmm_conn *conn, struct dmm_request *request);

/* xattr.c */
int64_t posix_xattrs(struct dmm_conn *conn, struct dmm_request *request);

/* 0, -ECANCELED or -ETIMEDOUT: asked between the steps of what may take long */
int request_go_on(const struct dmm_request *request);

#endif
