/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Extended attributes: user.*, trusted.*, security.* and the two POSIX ACLs. Other names of system.* are views of what the
 * attributes say already (NFSv4 ACLs of a kernel NFS mount, for example).
 *
 * Most objects have none: then one flistxattr(2) is all. A file or directory that is not open is opened for that. Links, FIFOs
 * and devices are not, nor what may not be read: there a descriptor without access rights (O_PATH) has to do, which only a path
 * through /proc can use. That is slower: 5.8 against 3.5 us.
 */
#include "posix.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#define SMALL 512

/* An object by its open descriptor, or by the /proc path of one that is O_PATH. */
struct object {
	int fd;
	bool by_path;
	char path[32];
};

static ssize_t list_names(const struct object *object, char *list, size_t size)
{
	return object->by_path ? listxattr(object->path, list, size) : flistxattr(object->fd, list, size);
}

static ssize_t get_value(const struct object *object, const char *name, void *value, size_t size)
{
	return object->by_path ? getxattr(object->path, name, value, size) : fgetxattr(object->fd, name, value, size);
}

static bool is_wanted(const char *name)
{
	if (strncmp(name, "trusted.SGI_ACL_", 16) == 0)
		return false; /* xfs shows its ACLs under these names as well; elsewhere they would be names like any other */
	return strncmp(name, "system.", 7) != 0 || strncmp(name, "system.posix_acl_", 17) == 0;
}

static int report(const struct object *object, struct dmm_request *request, const char *name, char **large)
{
	char small[SMALL];
	char *value = small;
	ssize_t len;

	len = get_value(object, name, small, sizeof(small));
	if (len < 0 && errno == ERANGE) {
		if (!*large)
			*large = malloc(XATTR_SIZE_MAX);
		if (!*large)
			return -ENOMEM;
		value = *large;
		len = get_value(object, name, value, XATTR_SIZE_MAX);
	}
	if (len < 0)
		return errno == ENODATA ? 0 : -errno; /* removed meanwhile */
	return request->xattr(request, name, value, (size_t)len);
}

static int64_t report_all(const struct object *object, struct dmm_request *request, const char *list, size_t list_len)
{
	char *large = NULL;
	int ret = 0;

	for (size_t at = 0; at < list_len && ret >= 0; at += strlen(list + at) + 1) {
		if (is_wanted(list + at))
			ret = report(object, request, list + at, &large);
	}
	free(large);
	return ret < 0 ? ret : 0;
}

static int64_t report_long_list(const struct object *object, struct dmm_request *request)
{
	char *list = malloc(XATTR_LIST_MAX);
	int64_t ret;
	ssize_t len;

	if (!list)
		return -ENOMEM;
	len = list_names(object, list, XATTR_LIST_MAX);
	ret = len < 0 ? -errno : report_all(object, request, list, (size_t)len);
	free(list);
	return ret;
}

static int64_t report_object(const struct object *object, struct dmm_request *request)
{
	char list[SMALL];
	ssize_t len = list_names(object, list, sizeof(list));

	if (len == 0)
		return 0;
	if (len > 0)
		return report_all(object, request, list, (size_t)len);
	if (errno == EOPNOTSUPP)
		return 0;
	return errno == ERANGE ? report_long_list(object, request) : -errno;
}

static int open_object(const struct dmm_instance *instance, struct dmm_bytes handle, struct object *object)
{
	struct handle_parts parts;
	int fd = handle_parse(handle, &parts);

	if (fd < 0)
		return fd;
	fd = posix_is_openable(&parts) ? handle_open(instance, &parts, handle, posix_open_flags(instance, &parts)) : -EACCES;
	if (fd == -EACCES || fd == -EPERM) {
		fd = handle_open(instance, &parts, handle, O_PATH);
		object->by_path = true;
		snprintf(object->path, sizeof(object->path), "/proc/self/fd/%d", fd);
	}
	object->fd = fd;
	return fd;
}

int64_t posix_xattrs(struct dmm_conn *conn, struct dmm_request *request)
{
	struct object object = {.fd = -1};
	int64_t ret;

	if (request->file) {
		object.fd = request->file->fd;
		return report_object(&object, request);
	}
	ret = open_object(conn->instance, request->handle, &object);
	if (ret < 0)
		return ret;
	ret = report_object(&object, request);
	close(object.fd);
	return ret;
}
