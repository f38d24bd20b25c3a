/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Making objects as the caller: owner, group, umask and default ACL are the file system's business, so it must see the caller's
 * identity. The kernel has checked the permissions already (default_permissions), hence the right to pass them is kept.
 *
 * Linux keeps credentials for each thread; the C library's wrappers would change them for the whole process, so the system calls
 * are made directly. CAP_SYS_RESOURCE is dropped for good in threads that write for applications: they must meet quotas and
 * reserved blocks as they would without us.
 */
#include "fs/internal.h"

#include "base/log.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CAP_BIT(cap) (1u << (cap))

static __thread struct __user_cap_data_struct own_caps[2];
static __thread bool is_other, has_groups;
static __thread mode_t mask;

static int set_caps(struct __user_cap_data_struct caps[2])
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};

	return (int)syscall(SYS_capset, &header, caps);
}

void creds_thread_start(void *context)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};

	(void)context;
	if (unshare(CLONE_FS) < 0) /* the umask is the caller's, for each thread */
		log_warning("a thread cannot have a umask of its own: error=%s", errno_name(errno));
	umask(mask = 0);
	if (syscall(SYS_capget, &header, own_caps) < 0) {
		log_warning("capabilities cannot be read: error=%s", errno_name(errno));
		return;
	}
	own_caps[0].effective &= ~CAP_BIT(CAP_SYS_RESOURCE);
	if (set_caps(own_caps) < 0)
		log_warning("a capability cannot be dropped, quotas will not hold: error=%s", errno_name(errno));
}

/* The set-group-ID bit stays only if the group is one of the caller's. */
static void take_groups(fuse_req_t req)
{
	gid_t groups[1024];
	int count = fuse_req_getgroups(req, 1024, groups);

	if (count < 0 || count > 1024)
		return;
	has_groups = syscall(SYS_setgroups, (size_t)count, groups) == 0;
}

void creds_become(fuse_req_t req, unsigned how)
{
	const struct fuse_ctx *caller = fuse_req_ctx(req);
	struct __user_cap_data_struct caps[2];

	if (mask != caller->umask)
		umask(mask = caller->umask);
	is_other = caller->uid || caller->gid;
	if (!is_other)
		return;
	if (how & CREDS_GROUPS)
		take_groups(req);
	syscall(SYS_setfsgid, caller->gid);
	syscall(SYS_setfsuid, caller->uid);
	memcpy(caps, own_caps, sizeof(caps));
	if (caller->uid) /* setfsuid took more; the rest of it comes back */
		caps[0].effective &= ~(CAP_BIT(CAP_FSETID) | (how & CREDS_OWNER ? 0 : CAP_BIT(CAP_FOWNER)));
	set_caps(caps);
}

void creds_return(void)
{
	if (!is_other)
		return;
	syscall(SYS_setfsuid, 0);
	syscall(SYS_setfsgid, 0);
	if (has_groups)
		syscall(SYS_setgroups, (size_t)0, NULL);
	has_groups = false;
	set_caps(own_caps);
}
