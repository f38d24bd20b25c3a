/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The checks of everything that a source reports. A plugin repeats what a server said, and a server may be broken or hostile: a
 * name with '/' must not lead out of a directory, a length must not lead out of a buffer, an owner of -1 must not mean "leave
 * it root's".
 */
#include "source/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Linux: XATTR_NAME_MAX, XATTR_SIZE_MAX. */
#define XATTR_NAME_BYTES 255
#define XATTR_VALUE_BYTES 65536

/* Longer names of owners nobody has. */
#define OWNER_BYTES 1023

/* No errno of Linux is larger. */
#define ERRNO_MAX 4095

static bool name_is_dots(const char *name, size_t len)
{
	return (len == 1 && name[0] == '.') || (len == 2 && name[0] == '.' && name[1] == '.');
}

static int check_name(const char *name, size_t len)
{
	if (len > DMM_NAME_MAX)
		return ENAMETOOLONG;
	if (len == 0 || name_is_dots(name, len) || memchr(name, '/', len) || memchr(name, '\0', len) || name[len] != '\0')
		return EBADMSG;
	return 0;
}

/* For the report of failures: one component again, whatever it was. The end of a long one is left out. */
static size_t make_printable(const char *name, size_t len, char printable[PRINTABLE_MAX])
{
	static const char cut[] = "...";
	bool dots = name_is_dots(name, len);
	size_t used = 0;

	if (len == 0)
		return (size_t)snprintf(printable, PRINTABLE_MAX, "(empty name)");
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)name[i];

		if (used + 4 + sizeof(cut) > PRINTABLE_MAX) {
			memcpy(printable + used, cut, sizeof(cut));
			return used + sizeof(cut) - 1;
		}
		if (c < 0x20 || c >= 0x7f || c == '/' || c == '\\' || dots)
			used += (size_t)snprintf(printable + used, PRINTABLE_MAX - used, "\\x%02X", c);
		else
			printable[used++] = (char)c;
	}
	printable[used] = '\0';
	return used;
}

static bool sound_type(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
	case S_IFBLK:
	case S_IFCHR:
	case S_IFIFO:
	case S_IFSOCK:
		return (mode & ~(uint32_t)(S_IFMT | 07777)) == 0;
	default:
		return false;
	}
}

static bool sound_time(const struct dmm_attr *attr, uint32_t valid, const struct dmm_time *time)
{
	return (valid && !(attr->valid & valid)) || time->nsec < 1000000000u;
}

static int check_attr(struct dmm_attr *attr)
{
	if (!sound_type(attr->mode) || attr->size > INT64_MAX)
		return EBADMSG;
	if (!sound_time(attr, 0, &attr->mtime) || !sound_time(attr, DMM_ATTR_ATIME, &attr->atime) ||
	    !sound_time(attr, DMM_ATTR_CTIME, &attr->ctime) || !sound_time(attr, DMM_ATTR_BTIME, &attr->btime))
		return EBADMSG;
	/* chown(2) takes -1 for "leave as it is": the copy would be root's, with the set-user-ID bit of the original. */
	if ((attr->valid & (DMM_ATTR_OWNER | DMM_ATTR_UID) && attr->uid == UINT32_MAX) ||
	    (attr->valid & (DMM_ATTR_OWNER | DMM_ATTR_GID) && attr->gid == UINT32_MAX))
		return EBADMSG;
	if ((attr->owner_name.len && !attr->owner_name.data) || (attr->group_name.len && !attr->group_name.data) ||
	    attr->owner_name.len > OWNER_BYTES || attr->group_name.len > OWNER_BYTES)
		return EBADMSG;
	if (attr->used > INT64_MAX)
		attr->valid &= ~DMM_ATTR_USED;
	return 0;
}

static int check_handle(struct dmm_bytes handle)
{
	return handle.data && handle.len >= 1 && handle.len <= DMM_HANDLE_MAX ? 0 : EBADMSG;
}

static void reject(struct dmm_entry *checked, int error)
{
	checked->error = error;
	checked->handle = (struct dmm_bytes){NULL, 0};
	memset(&checked->attr, 0, sizeof(checked->attr));
}

void check_entry(const struct dmm_entry *entry, struct dmm_entry *checked, char printable[PRINTABLE_MAX])
{
	const char *name = entry->name ? entry->name : "";
	size_t len = entry->name ? entry->name_len : 0;
	int error = check_name(name, len);

	*checked = *entry;
	if (error) {
		checked->name_len = make_printable(name, len, printable);
		checked->name = printable;
		reject(checked, error);
		return;
	}
	if (entry->error) {
		reject(checked, entry->error > 0 && entry->error <= ERRNO_MAX ? entry->error : EIO);
		return;
	}
	error = check_handle(checked->handle);
	if (!error)
		error = check_attr(&checked->attr);
	if (error)
		reject(checked, error);
}

int check_object(const struct dmm_entry *entry, struct dmm_bytes handle, struct dmm_entry *checked)
{
	*checked = *entry;
	checked->name = "";
	checked->name_len = 0;
	checked->error = 0;
	/* Asked by handle: the plugin need not say it again. */
	if (checked->handle.len == 0)
		checked->handle = handle;
	if (entry->error)
		return entry->error > 0 && entry->error <= ERRNO_MAX ? -entry->error : -EIO;
	if (check_handle(checked->handle) || check_attr(&checked->attr))
		return -EBADMSG;
	return 0;
}

int check_xattr(const char *name, const void *value, size_t len)
{
	size_t name_len = name ? strnlen(name, XATTR_NAME_BYTES + 1) : 0;

	return name_len >= 1 && name_len <= XATTR_NAME_BYTES && len <= XATTR_VALUE_BYTES && (value || len == 0) ? 0 : -EBADMSG;
}

/* Linux gives out no longer list of names (XATTR_LIST_MAX), so no target has more. */
#define XATTR_LIST_BYTES 65536

int check_xattr_room(size_t *name_bytes, const char *name)
{
	*name_bytes += strlen(name) + 1;
	return *name_bytes <= XATTR_LIST_BYTES ? 0 : -E2BIG;
}

int check_extent(const struct call *call, const struct dmm_extent *extent, struct dmm_extent *clipped)
{
	uint64_t end = call->request.off + call->request.len;
	uint64_t extent_end = extent->off + extent->len;

	if (end < call->request.off)
		end = UINT64_MAX;
	if (extent_end < extent->off)
		return -EBADMSG;
	/* Out of order: what was between might be taken for a hole. */
	if (extent->len > 0 && extent_end <= call->extent_end && call->extent_end > call->request.off)
		return -EBADMSG;
	*clipped = (struct dmm_extent){.off = extent->off < call->extent_end ? call->extent_end : extent->off};
	if (extent_end > end)
		extent_end = end;
	if (clipped->off >= extent_end)
		return 0;
	clipped->len = extent_end - clipped->off;
	return 1;
}

int64_t check_result(const struct call *call)
{
	const struct dmm_request *request = &call->request;

	if (request->result < 0)
		return request->result >= -ERRNO_MAX ? request->result : -EBADMSG;
	switch (request->kind) {
	case DMM_REQ_ROOT:
	case DMM_REQ_ATTR:
		return call->delivered == 1 ? 0 : -EBADMSG;
	case DMM_REQ_OPEN:
		return request->file ? 0 : -EBADMSG;
	case DMM_REQ_LIST:
		/* Entries promised and not given would pass for the end of the directory, or go on for ever. */
		return call->delivered || request->result == 0 ? (int64_t)call->delivered : -EBADMSG;
	case DMM_REQ_READ:
	case DMM_REQ_WHOLE:
		return (uint64_t)request->result <= request->len ? request->result : -EBADMSG;
	case DMM_REQ_READLINK:
		if (request->result == 0 || (uint64_t)request->result > request->len)
			return -EBADMSG;
		return memchr(request->buf, '\0', (size_t)request->result) ? -EBADMSG : request->result;
	case DMM_REQ_CLOSE:
	case DMM_REQ_XATTRS:
	case DMM_REQ_EXTENTS:
		return 0;
	}
	return -EBADMSG;
}
