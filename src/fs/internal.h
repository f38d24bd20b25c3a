/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the rooms of fs/ share with each other and with nobody else.
 *
 * Life of a call: a handler of libfuse fills a struct call on its stack and runs it. A call that raises an event which must wait
 * is copied to the heap, with its names and data, and parked as part of its waiter. When it is woken it runs again from the
 * start, in a worker of the lane; everything before the wait only looked. A change that is done but not yet durable is not run
 * again: its answer is kept in the call and sent when it is woken.
 */
#ifndef DMM_FS_INTERNAL_H
#define DMM_FS_INTERNAL_H

#include "base/lane.h"
#include "fs/fs.h"
#include "fs/inbox.h"
#include "fs/node.h"
#include "fs/turn.h"
#include "keeper/memory.h"

#define FUSE_USE_VERSION 318
#include <fuse_lowlevel.h>
#include <sys/queue.h>

/* What a run of a call returns: a negative errno is sent to the kernel. */
enum { CALL_DONE = 0, CALL_PARKED = 1 };

/* patience.c */
struct patience {
	pthread_t thread;
	bool running;
	pthread_mutex_t lock; /* guards the rest */
	pthread_cond_t changed;
	TAILQ_HEAD(, call) calls;
	size_t count;
	bool stop;
};

/* A thread that receives requests. */
struct receiver {
	struct fs *fs;
	pthread_t thread;
	struct inbox inbox;
	atomic_bool busy;
};

struct fs {
	struct fs_options options; /* constant */
	const struct monitor *monitor;
	const struct target *target;
	struct node_table *nodes;
	struct kept *kept;
	struct fuse_session *session;
	struct lane *woken;   /* runs calls that were woken */
	struct lane *notices; /* tells the kernel to drop what it caches */
	struct turn turn;     /* of those that receive requests */
	struct receiver *receivers;
	unsigned n_threads;
	atomic_bool gate_closed;    /* fs_close_gate() */
	atomic_bool told_of_memory; /* that the kernel may take a page of an inbox away */
	atomic_uint woken_running;
	atomic_bool serving, ended;
	atomic_bool passthrough; /* negotiated, and it has not failed */
	atomic_bool uncached;    /* fs_stop_caching() */
	struct patience patience;
	pthread_t looker; /* detach.c */
	bool looking;
	pthread_mutex_t lock;   /* for `changed` */
	pthread_cond_t changed; /* serving or ended */
};

struct call {
	struct fs *fs;
	fuse_req_t req;
	int (*run)(struct call *call);
	struct waiter waiter;
	struct subject *subject; /* where it is parked */
	struct subject stranger; /* a subject without a node */
	struct lane_job job;
	atomic_int parking;        /* see call.c */
	TAILQ_ENTRY(call) patient; /* patience.c, under its lock: told of a signal that does not end the program */
	bool is_patient;
	bool on_heap;
	int error;           /* it was woken with */
	uint64_t started_ns; /* clock_monotonic_ns(); 0: nobody wants to know how long it takes */

	uint64_t unique;              /* the kernel's number of the request */
	bool resent;                  /* another process had it before */
	bool begun_before;            /* and had begun to do it: `change` says what it knew */
	struct memory_change *change; /* noted until it is answered */

	/* An answer that waits for a record: sent by this function when it is durable. */
	void (*answer)(struct call *call);
	uint64_t answer_value;

	/* Arguments, as the kernel sent them. */
	uint64_t ino, ino2;
	const char *name, *name2;
	struct fuse_file_info fi, fi2;
	bool has_fi;
	uint64_t off, off2, size;
	int flags, valid;
	mode_t mode;
	dev_t rdev;
	struct stat attr;
	const void *data;
	size_t data_len;
	bool truncated; /* O_TRUNC of an open is done */
};

/* --- call.c --- */

/* Runs a call and answers an error. */
void call_start(struct call *call);
/* Raises an event for the call. CALL_DONE: go on (*held: with the subject held, see call_end). CALL_PARKED: return that at
 * once, the call is not yours any more. Negative errno: return it. */
int call_event(struct call *call, struct subject *subject, const struct event *event, bool *held);
/* The end of a change that was held. When it must wait to be durable the answer is sent by `answer` later: CALL_PARKED. */
int call_end(struct call *call, struct subject *subject, const struct event *event, void (*answer)(struct call *call),
             uint64_t value);
/* Just the names of a directory. */
int call_names(struct call *call, struct node *dir);
/* What follows must not be done twice: `moved` and `victim` are inode numbers that tell later whether it was done. True: another process
 * was about to do it, may have done it, and noted call->change. */
bool call_attempt(struct call *call, uint64_t moved, uint64_t victim);
/* Ends the wait of a parked call with EINTR, unless it is being woken. */
void call_interrupt(struct call *call);

/* --- patience.c: which signals end a wait --- */
int patience_start(struct patience *patience);
void patience_stop(struct patience *patience);
/* Has the thread a signal pending that ends its program? True also when nobody can tell. */
bool patience_ends(pid_t thread);
/* The call goes on waiting, and is interrupted as soon as such a signal is pending. */
void patience_add(struct call *call);
void patience_remove(struct call *call);

/* --- creds.c: the right of the caller to own what it makes --- */
void creds_thread_start(void *context);
#define CREDS_GROUPS 1u /* with its supplementary groups, on which a set-group-ID bit depends */
#define CREDS_OWNER 2u  /* as if it owned the object */
void creds_become(fuse_req_t req, unsigned how);
void creds_return(void);

/* --- attr.c --- */
/* Fills an entry for the object `name` below dirfd, with a lookup counted. */
int attr_enter(struct fs *fs, int dirfd, const char *name, struct fuse_entry_param *entry);
double entry_timeout(const struct fs *fs);
/* Clears set-id bits, as a write by somebody without the right to keep them does. */
int attr_kill_privileges(fuse_req_t req, int fd);
/* Inode flags that the object will get when all of it is here. What they forbid they forbid before. */
uint32_t attr_pending_flags(struct fs *fs, struct node *node);
/* Is this our own directory, which nobody sees? */
bool is_ours(const struct node *dir, const char *name);

/* --- file.c --- */
/* Decides the open mode and answers. The kernel's file handle names an entry of the memory (keeper/memory.h), so it means the same in
 * another process. */
void file_reply_open(struct call *call, struct node *node, const struct fuse_entry_param *entry, bool watched);
/* A request to open something comes again: what another process noted of its answer counts no more. */
void file_open_again(struct call *call);
/* What another process has opened is open. Fails for want of descriptors or memory, after a while. */
int file_adopt(struct fs *fs);
/* The kernel has closed an open file. */
void file_released(struct fs *fs, uint64_t ino, uint64_t handle);

/* --- adopt.c: a mount that another process has served --- */
/* The session is as it was after INIT. */
int adopt_init(struct fs *fs, char *error, size_t error_size);
/* What is open is known again, and the kernel sends again what was not answered. Before requests are received. */
int adopt_rest(struct fs *fs);
/* The kernel's INIT and what was agreed, for the next process. */
void adopt_keep_init(struct fs *fs, const struct fuse_buf *buf);
void adopt_keep_agreed(struct fs *fs, const struct fuse_conn_info *conn);
/* Asks for what the process before had agreed. */
void adopt_agree(struct fs *fs, struct fuse_conn_info *conn);
/* The minor number of the kernel's protocol, as it said in its INIT. */
unsigned adopt_minor(const struct fs *fs);

/* --- prune.c --- */
/* From now on the kernel is asked to forget what nobody uses, if it can be. After INIT. */
void prune_start(struct fs *fs);

/* --- data.c --- */
void data_thread_stop(void *context); /* gives the thread's buffer back */

/* --- notice.c --- */
/* The result of a request that may have changed a file. If it failed, the kernel is told to look anew: it takes a failure for no change,
 * and would go on showing what it has cached of the bytes and attributes. */
int notice_failure(struct fs *fs, uint64_t file, int result);

/* --- handlers --- */
extern const struct fuse_lowlevel_ops fs_operations;

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookups);
void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets);
void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int valid, struct fuse_file_info *fi);
void op_statfs(fuse_req_t req, fuse_ino_t ino);
void op_readlink(fuse_req_t req, fuse_ino_t ino);
void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags);
void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);
void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int cmd, void *arg, struct fuse_file_info *fi, unsigned flags,
              const void *in_buf, size_t in_bufsz, size_t out_bufsz);
void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void op_symlink(fuse_req_t req, const char *link, fuse_ino_t parent, const char *name);
void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi);
void op_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *fi);
void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname);
void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent, const char *newname,
               unsigned int flags);
void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off, struct fuse_file_info *fi);
void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length, struct fuse_file_info *fi);
void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi);
void op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in, struct fuse_file_info *fi_in, fuse_ino_t ino_out,
                        off_t off_out, struct fuse_file_info *fi_out, size_t len, int flags);
void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);

/* Of the request that this thread processes, with REQUEST_RESENT; libfuse does not hand it on. */
extern __thread uint64_t request_unique;
#define REQUEST_RESENT (1ull << 63) /* FUSE_UNIQUE_RESEND */

/* The kernel's FUSE_SETXATTR_ACL_KILL_SGID of the request that this thread processes; libfuse does not hand it on. */
extern __thread bool setxattr_kills_sgid;

static inline struct fs *fs_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

/* As node_find(). */
static inline int node_of(struct fs *fs, uint64_t ino, struct node **node)
{
	return node_find(fs->nodes, ino, node);
}

#endif
