/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Making objects on the target and giving them what they had at the source.
 *
 * The order is owner, mode, ACLs and attributes, security.capability, times, and at the very end inode flags: a change of owner
 * clears set-id bits, a write or a change of owner removes security.capability, and an immutable file takes nothing any more.
 *
 * What the file system cannot hold is told to the `loss` function, once for each thing, and the rest goes on.
 */
#ifndef DMM_TARGET_MAKE_H
#define DMM_TARGET_MAKE_H

#include <dmmfs/plugin.h>
#include <stdbool.h>
#include <sys/types.h>

/* Extended attributes of one object, collected before they are applied. All zero: empty. */
struct xattr_set {
	char *data; /* packed: name, NUL, u32 length, value */
	size_t len, cap;
	unsigned count;
};

/* -ENOMEM */
int xattr_set_add(struct xattr_set *set, const char *name, const void *value, size_t len);
/* The value of an attribute in it, or NULL. */
const void *xattr_set_find(const struct xattr_set *set, const char *name, size_t *len);
void xattr_set_clear(struct xattr_set *set); /* keeps the memory */
void xattr_set_free(struct xattr_set *set);

/* An ACL of NFSv4 that the file system knows nothing of is kept here as it came: root alone reads it, and nothing enforces it. The loss
 * is then -ENOTRECOVERABLE. */
#define TARGET_NFS4_ACL "trusted.nfs4_acl"

/* `what`: "owner", "group", "mode", "set-id", "times", or the name of an extended attribute. `error`: negative errno. */
typedef void (*loss_fn)(void *context, const char *what, int error);

/* Makes `name` below dirfd with the type and permissions of attr; exclusive: -EEXIST when the name is taken. A regular file gets
 * no size yet. Returns a descriptor: O_RDWR of a regular file, O_RDONLY of a directory, O_PATH of everything else. */
int target_make(int dirfd, const char *name, const struct dmm_attr *attr, const char *link_text);

struct apply {
	const struct dmm_attr *attr;
	const struct xattr_set *xattrs;
	bool inherited_acl; /* the directory has a default ACL, so the object has got an ACL that is not its own */
	bool drop_set_id;   /* files get no set-id bits and no capabilities: what is left out is a loss with -EKEYREJECTED */
	loss_fn loss;
	void *context;
};

/* Gives the object everything but size, data and inode flags. `fd` as target_make() returned it. 0; losses are no failure,
 * except -ENOSPC and -EDQUOT: then the object must be tried again later. */
int target_apply(int fd, const struct apply *apply);

/* Takes away the extended attributes that it could have from a source and that are not in the set; ACLs are not among them. */
int target_forget_xattrs(int fd, const struct xattr_set *keep);

/* Adds inode flags (FS_*_FL) to those that the object has. */
int target_add_flags(int fd, uint32_t flags);
/* Takes away those that forbid changes: immutable, append-only. */
int target_unlock_flags(int fd);

/* Copies `len` bytes at `off` within the kernel, blocks shared where both files live on one file system that can do it.
 * Bytes copied (less than len at the end of the source), or negative errno; -EOPNOTSUPP: use a buffer. */
int64_t target_copy_range(int from, int to, uint64_t off, uint64_t len);

/* Lets the target have the source's blocks: both live on one file system, and it can share them. 0, or negative errno: -EXDEV and
 * -EOPNOTSUPP of these two trees, others of this range. */
int target_share_range(int from, int to, uint64_t off, uint64_t len);

/* Takes room for the bytes at `off`, which read as zeros as before, so that they come to lie side by side in whatever order they are
 * written. Where that cannot be nothing happens. */
void target_reserve(int fd, uint64_t off, uint64_t len);

#define TARGET_SPARSE (1u << 0)   /* leaves out whole blocks of zeros, where the target has a hole already */
#define TARGET_UNCACHED (1u << 1) /* the bytes do not stay in memory, unless somebody else uses them meanwhile */

/* Writes `len` bytes. -EOPNOTSUPP, with TARGET_UNCACHED only: the file system or the kernel cannot (Linux 6.16). */
int target_write(int fd, const void *buf, uint64_t off, uint64_t len, unsigned how);

#endif
