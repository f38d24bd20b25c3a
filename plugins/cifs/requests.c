/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The requests of the host as questions to a helper, and its answers as entries and attributes.
 */
#include "cifs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define NTACL_MOST 65536

/* --- entries --- */

static struct dmm_time time_from(const struct wire_time *time)
{
	return (struct dmm_time){.sec = time->sec, .nsec = time->nsec};
}

/* FNV-1a: where a server gives no number to its files, the path has to do. */
static uint64_t hash(const char *bytes, size_t len)
{
	uint64_t hash = 14695981039346656037ull;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char)bytes[i]) * 1099511628211ull;
	return hash;
}

static void attr_from(const struct address *address, const struct wire_entry *from, const char *path, size_t len_path,
                      struct dmm_attr *attr)
{
	uint32_t mode = from->is_dir ? S_IFDIR | address->dir_mode : S_IFREG | address->file_mode;

	*attr = (struct dmm_attr){
		.valid = DMM_ATTR_OWNER | DMM_ATTR_ATIME | DMM_ATTR_CTIME | DMM_ATTR_BTIME,
		.mode = from->attributes & DOS_READONLY && !from->is_dir ? mode & ~0222u : mode,
		.uid = address->uid,
		.gid = address->gid,
		.size = from->is_dir ? 0 : from->size,
		.fsid = 1,
		.fileid = from->fileid ? from->fileid : hash(path, len_path),
		.atime = time_from(&from->atime),
		.mtime = time_from(&from->mtime),
		.ctime = time_from(&from->ctime),
		.btime = time_from(&from->btime),
	};
}

int give_entry(struct dmm_conn *conn, struct dmm_request *request, const struct wire_entry *from, const char *path,
               size_t len_path, const char *name)
{
	struct dmm_entry entry = {.name = name, .name_len = strlen(name)};
	unsigned char *handle = malloc(HANDLE_HEAD + len_path);

	if (!handle)
		return -ENOMEM;
	handle_head(handle, from);
	memcpy(handle + HANDLE_HEAD, path, len_path);
	entry.handle = (struct dmm_bytes){handle, HANDLE_HEAD + len_path};
	attr_from(&conn->instance->address, from, path, len_path, &entry.attr);
	if (from->attributes & DOS_REPARSE_POINT)
		entry.error = EOPNOTSUPP; /* a junction or a link: what it means is known at its server alone */
	int ret = request->entry(request, &entry);
	free(handle);
	return ret;
}

/* The next packed entry, its name terminated in place by the caller's leave; NULL at the end or when it cannot be right. */
static const struct wire_entry *next_entry(const char **at, size_t *left, struct wire_entry *entry, char *name, size_t size)
{
	if (*left < sizeof(*entry))
		return NULL;
	memcpy(entry, *at, sizeof(*entry));
	*at += sizeof(*entry);
	*left -= sizeof(*entry);
	if (entry->len_name > *left || entry->len_name >= size)
		return NULL;
	memcpy(name, *at, entry->len_name);
	name[entry->len_name] = '\0';
	*at += entry->len_name;
	*left -= entry->len_name;
	return entry;
}

static int64_t stat_path(struct dmm_conn *conn, struct dmm_request *request, const char *path, size_t len)
{
	struct ask ask = {.kind = ASK_STAT, .len_path = (uint32_t)len};
	struct wire_entry entry;
	struct reply reply;
	char *more, name[8];
	int64_t ret = helper_ask(conn, request, &ask, path, &reply, &more);

	if (ret < 0) {
		free(more);
		return ret;
	}
	const char *at = more;
	size_t left = more ? reply.len_more : 0;
	ret = next_entry(&at, &left, &entry, name, sizeof(name)) ? give_entry(conn, request, &entry, path, len, "") : -EBADMSG;
	free(more);
	return ret < 0 ? ret : 1;
}

static int64_t list(struct dmm_conn *conn, struct dmm_request *request)
{
	const struct dmm_file *dir = request->file;
	struct ask ask = {.kind = ASK_LIST, .file = dir->number};
	struct wire_entry entry;
	struct reply reply;
	char *more, name[4096], *path = malloc(dir->len_path + 1 + sizeof(name));
	int64_t ret = path ? helper_ask(conn, request, &ask, NULL, &reply, &more) : -ENOMEM, count = 0;

	if (ret < 0) {
		free(path);
		return ret;
	}
	const char *at = more;
	size_t left = more ? reply.len_more : 0, prefix = dir->len_path;
	memcpy(path, dir->path, prefix);
	if (prefix)
		path[prefix++] = '/';
	for (; ret >= 0 && left; count++) {
		if (!next_entry(&at, &left, &entry, name, sizeof(name)))
			ret = -EBADMSG;
		else {
			memcpy(path + prefix, name, entry.len_name);
			ret = give_entry(conn, request, &entry, path, prefix + entry.len_name, name);
		}
	}
	free(more);
	free(path);
	return ret < 0 ? ret : count;
}

/* --- files --- */

static int64_t open_file(struct dmm_conn *conn, struct dmm_request *request)
{
	struct handle handle;
	struct reply reply;
	int64_t ret = handle_parse(request->handle, &handle);

	if (ret < 0)
		return ret;
	struct dmm_file *file = malloc(sizeof(*file) + handle.len_path);
	if (!file)
		return -ENOMEM;
	struct ask ask = {.kind = handle.is_dir ? ASK_OPEN_DIR : ASK_OPEN, .len_path = (uint32_t)handle.len_path};
	ret = helper_ask(conn, request, &ask, handle.path, &reply, NULL);
	if (ret < 0) {
		free(file);
		return ret;
	}
	*file = (struct dmm_file){.number = reply.file,
	                          .is_dir = handle.is_dir,
	                          .attributes = handle.attributes,
	                          .created = handle.created,
	                          .len_path = handle.len_path};
	memcpy(file->path, handle.path, handle.len_path);
	request->file = file;
	return 0;
}

static int64_t close_file(struct dmm_conn *conn, struct dmm_request *request)
{
	struct ask ask = {.kind = ASK_CLOSE, .file = request->file->number};
	struct reply reply;

	if (!conn->broken)
		helper_ask(conn, request, &ask, NULL, &reply, NULL);
	free(request->file);
	return 0;
}

static int64_t read_file(struct dmm_conn *conn, struct dmm_request *request)
{
	uint64_t len = request->len < SHARED_BYTES ? request->len : SHARED_BYTES;
	struct ask ask = {.kind = ASK_READ, .file = request->file->number, .off = request->off, .len = len};
	struct reply reply;
	int64_t ret = helper_ask(conn, request, &ask, NULL, &reply, NULL);

	if (ret > (int64_t)len)
		return -EBADMSG;
	if (ret > 0)
		memcpy(request->buf, conn->shared, (size_t)ret);
	return ret;
}

/* --- attributes --- */

static int give_security(struct dmm_conn *conn, struct dmm_request *request, const char *path, size_t len_path)
{
	struct ask ask = {.kind = ASK_SECURITY, .len_path = (uint32_t)len_path};
	struct reply reply;
	char *text;
	int64_t ret = helper_ask(conn, request, &ask, path, &reply, &text);

	if ((ret == -ENODATA || ret == -ENOTSUP) && !atomic_exchange(&conn->instance->told_no_security, true))
		conn->instance->log(DMM_LOG_WARNING, "the server gives no security descriptors: they do not come over");
	if (ret < 0 || !text) {
		free(text);
		return ret == -ENODATA || ret == -ENOTSUP ? 0 : (int)ret;
	}
	unsigned char *value = malloc(NTACL_MOST);
	int len = value ? ntacl_make(text, value, NTACL_MOST) : -ENOMEM;
	if (len > 0)
		len = request->xattr(request, "security.NTACL", value, (size_t)len);
	else if (len == -EBADMSG || len == -EMSGSIZE)
		len = tell_loss(request, "acl",
		                "its security descriptor is too long, or has entries that libsmbclient has no words for");
	free(value);
	free(text);
	return len < 0 ? len : 0;
}

int give_dosattrib(struct dmm_request *request, const struct handle *handle)
{
	unsigned char dosattrib[DOSATTRIB_SIZE];

	dosattrib_make(dosattrib, handle->attributes, handle->created);
	return request->xattr(request, "user.DOSATTRIB", dosattrib, sizeof(dosattrib));
}

/* What needs no server comes last: a request of which something was given is not tried again when the connection ends. */
static int64_t give_xattrs(struct dmm_conn *conn, struct dmm_request *request, const struct handle *handle)
{
	int64_t ret = conn->can & CONNECTED_RAW ? give_raw(conn, request, handle->path, handle->len_path)
	                                        : give_security(conn, request, handle->path, handle->len_path);

	return ret < 0 ? ret : give_dosattrib(request, handle);
}

static int64_t xattrs(struct dmm_conn *conn, struct dmm_request *request)
{
	const struct dmm_file *file = request->file;
	struct handle handle;

	if (!file) {
		int ret = handle_parse(request->handle, &handle);
		return ret < 0 ? ret : give_xattrs(conn, request, &handle);
	}
	handle = (struct handle){
		.attributes = file->attributes, .created = file->created, .path = file->path, .len_path = file->len_path};
	return give_xattrs(conn, request, &handle);
}

static int64_t stat_handle(struct dmm_conn *conn, struct dmm_request *request)
{
	struct handle handle;
	int64_t ret = handle_parse(request->handle, &handle);

	return ret < 0 ? ret : stat_path(conn, request, handle.path, handle.len_path);
}

/* The path of what a request is about, as far as it was listed before. */
static bool listed_path(const struct dmm_request *request, const char **path, size_t *len)
{
	struct handle handle;

	if (request->kind == DMM_REQ_XATTRS && request->file) {
		*path = request->file->path;
		*len = request->file->len_path;
		return true;
	}
	bool by_handle = request->kind == DMM_REQ_XATTRS || request->kind == DMM_REQ_ATTR || request->kind == DMM_REQ_OPEN;
	if (!by_handle || handle_parse(request->handle, &handle) < 0)
		return false;
	*path = handle.path;
	*len = handle.len_path;
	return true;
}

static int64_t answer(struct dmm_conn *conn, struct dmm_request *request)
{
	const struct address *address = &conn->instance->address;

	switch (request->kind) {
	case DMM_REQ_ROOT:
		return stat_path(conn, request, address->path, strlen(address->path));
	case DMM_REQ_ATTR:
		return stat_handle(conn, request);
	case DMM_REQ_OPEN:
		return open_file(conn, request);
	case DMM_REQ_CLOSE:
		return close_file(conn, request);
	case DMM_REQ_LIST:
		return list(conn, request);
	case DMM_REQ_READ:
		return read_file(conn, request);
	case DMM_REQ_XATTRS:
		return xattrs(conn, request);
	default:
		return -EOPNOTSUPP;
	}
}

int64_t request_answer(struct dmm_conn *conn, struct dmm_request *request)
{
	int64_t ret = answer(conn, request);
	const char *path;
	size_t len;

	return ret == -ENOENT && listed_path(request, &path, &len) ? not_there(conn, request, path, len) : ret;
}
