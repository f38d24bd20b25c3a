/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A security descriptor applied to what is to be made. See descriptor.h.
 */
#include "migrate/descriptor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int add_acls(struct xattr_set *xattrs, const struct descriptor_posix *posix)
{
	int result = 0;

	if (posix->access)
		result = xattr_set_add(xattrs, "system.posix_acl_access", posix->access, posix->access_len);
	if (result >= 0 && posix->inherited)
		result = xattr_set_add(xattrs, "system.posix_acl_default", posix->inherited, posix->inherited_len);
	return result;
}

int descriptor_apply(const struct idmap *map, struct xattr_set *xattrs, struct dmm_attr *attr, descriptor_loss_fn loss,
                     void *context)
{
	struct descriptor_posix posix;
	size_t len;
	const void *value = map ? xattr_set_find(xattrs, DESCRIPTOR_XATTR, &len) : NULL;
	bool is_dir = S_ISDIR(attr->mode);

	if (!value)
		return 0;
	int result = descriptor_to_posix(map, value, len, is_dir, !is_dir && !(attr->mode & 0222), loss, context, &posix);
	if (result == -EBADMSG) {
		loss(context, "acl", "the server gives a security descriptor that is none");
		return 0;
	}
	if (result < 0)
		return result;
	attr->uid = posix.has_uid ? posix.uid : attr->uid;
	attr->gid = posix.has_gid ? posix.gid : attr->gid;
	if (posix.has_mode)
		attr->mode = (attr->mode & ~0777u) | posix.mode;
	result = add_acls(xattrs, &posix);
	descriptor_posix_free(&posix);
	return result;
}
