/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Security descriptors and alternate data streams as the server has them. A stream becomes an extended attribute in the form of
 * Samba's vfs_streams_xattr: user.DosStream.NAME:$DATA, the data and a NUL.
 */
#include "cifs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define STREAM_PREFIX "user.DosStream."
#define STREAM_TYPE ":$DATA"
#define XATTR_NAME_MOST 255
#define XATTR_VALUE_MOST 65536

int tell_loss(struct dmm_request *request, const char *kind, const char *detail)
{
	bool knows = request->struct_size >= offsetof(struct dmm_request, loss) + sizeof(request->loss);

	return knows && request->loss ? request->loss(request, kind, detail) : 0;
}

/* --- descriptors --- */

static int give_descriptor(struct dmm_request *request, const char *bytes, const struct wire_raw *raw)
{
	if (raw->len_descriptor > XATTR_VALUE_MOST - NTACL_HEAD)
		return tell_loss(request, "acl", "its security descriptor does not fit into an extended attribute");
	unsigned char *value = malloc(raw->len_descriptor + NTACL_HEAD);

	if (!value)
		return -ENOMEM;
	int len = raw->descriptor_error ? raw->descriptor_error : ntacl_wrap(bytes, raw->len_descriptor, value);
	if (len > 0)
		len = request->xattr(request, "security.NTACL", value, (size_t)len);
	else if (len == -EBADMSG)
		len = tell_loss(request, "acl", "the server gives a security descriptor that is none");
	else if (len == -ENOTSUP)
		len = tell_loss(request, "acl", "the server gives no security descriptor of it");
	free(value);
	return len < 0 ? len : 0;
}

/* --- streams --- */

/* The stream's path: that of the object, a colon, its name. */
static char *path_of(const char *path, size_t len_path, const char *name, size_t *len)
{
	*len = len_path + 1 + strlen(name);
	char *whole = malloc(*len + 1);

	if (!whole)
		return NULL;
	memcpy(whole, path, len_path);
	whole[len_path] = ':';
	strcpy(whole + len_path + 1, name);
	return whole;
}

/* Into value, which has room; the length, which may have become another one since the list was made. */
static int64_t read_stream(struct dmm_conn *conn, struct dmm_request *request, const char *path, size_t len_path, char *value)
{
	struct ask open = {.kind = ASK_OPEN, .len_path = (uint32_t)len_path};
	struct reply reply, closed;
	int64_t ret = helper_ask(conn, request, &open, path, &reply, NULL);

	if (ret < 0)
		return ret;
	struct ask read = {.kind = ASK_READ, .file = reply.file, .len = XATTR_VALUE_MOST};
	ret = helper_ask(conn, request, &read, NULL, &closed, NULL);
	if (ret > XATTR_VALUE_MOST)
		ret = -EBADMSG;
	if (ret > 0)
		memcpy(value, conn->shared, (size_t)ret);
	struct ask close = {.kind = ASK_CLOSE, .file = reply.file};
	if (!conn->broken)
		helper_ask(conn, request, &close, NULL, &closed, NULL);
	return ret;
}

static int give_stream(struct dmm_conn *conn, struct dmm_request *request, const char *path, size_t len_path,
                       const struct stream *stream, char *value)
{
	char xattr[sizeof(STREAM_PREFIX) + STREAM_NAME_MOST + sizeof(STREAM_TYPE)], detail[STREAM_NAME_MOST + 128];
	size_t len;

	snprintf(xattr, sizeof(xattr), "%s%s%s", STREAM_PREFIX, stream->name, STREAM_TYPE);
	snprintf(detail, sizeof(detail), "%s: %llu bytes do not fit into an extended attribute", stream->name,
	         (unsigned long long)stream->size);
	if (strlen(xattr) > XATTR_NAME_MOST || stream->size >= XATTR_VALUE_MOST)
		return tell_loss(request, "streams", detail);
	char *whole = path_of(path, len_path, stream->name, &len);
	int64_t got = whole ? read_stream(conn, request, whole, len, value) : -ENOMEM;
	free(whole);
	if (got == -ENOENT)
		return 0; /* it went since the list was made */
	if (got >= XATTR_VALUE_MOST)
		return tell_loss(request, "streams", detail);
	if (got < 0)
		return (int)got;
	value[got] = '\0';
	return request->xattr(request, xattr, value, (size_t)got + 1);
}

/* One after the other, up to the end of the list or of what can be understood of it. */
static int give_list(struct dmm_conn *conn, struct dmm_request *request, const char *path, size_t len_path, const char *list,
                     size_t len, char *value)
{
	struct stream stream;
	size_t at = 0;
	int ret, given = 0;

	while (given >= 0 && (ret = stream_next(list, len, &at, &stream)) != 0) {
		if (ret == -EBADMSG)
			return tell_loss(request, "streams", "the server's list of its streams is damaged");
		given = ret > 0 ? give_stream(conn, request, path, len_path, &stream, value)
		                : tell_loss(request, "streams", "the name of a stream can not be written here");
	}
	return given;
}

/* A server whose file system has no streams says that it does not know the question. */
static int give_streams(struct dmm_conn *conn, struct dmm_request *request, const char *path, size_t len_path, const char *list,
                        const struct wire_raw *raw)
{
	if (raw->streams_error == -ENOTSUP || raw->streams_error == -EINVAL)
		return 0;
	if (raw->streams_error)
		return tell_loss(request, "streams",
		                 "the server does not list its streams, or there are too many for one answer");
	char *value = malloc(XATTR_VALUE_MOST + 1);
	int ret = value ? give_list(conn, request, path, len_path, list, raw->len_streams, value) : -ENOMEM;
	free(value);
	return ret;
}

/* That what it says of lengths and errors can be. */
static bool is_sound(const struct wire_raw *raw, size_t left)
{
	return (uint64_t)raw->len_descriptor + raw->len_streams <= left && raw->descriptor_error <= 0 && raw->streams_error <= 0;
}

int64_t give_described(struct dmm_conn *conn, struct dmm_request *request, const char *path, size_t len_path,
                       const struct wire_raw *raw, const char *bytes, size_t left)
{
	if (!is_sound(raw, left))
		return -EBADMSG;
	int ret = give_descriptor(request, bytes, raw);
	return ret < 0 ? ret : give_streams(conn, request, path, len_path, bytes + raw->len_descriptor, raw);
}

int give_raw(struct dmm_conn *conn, struct dmm_request *request, const char *path, size_t len_path)
{
	struct ask ask = {.kind = ASK_RAW, .len_path = (uint32_t)len_path};
	struct wire_raw raw = {0};
	struct reply reply;
	char *more;
	int64_t ret = helper_ask(conn, request, &ask, path, &reply, &more);

	if (ret >= 0 && more && reply.len_more >= sizeof(raw))
		memcpy(&raw, more, sizeof(raw));
	if (ret >= 0 && (!more || (uint64_t)raw.len_descriptor + raw.len_streams + sizeof(raw) != reply.len_more))
		ret = -EBADMSG;
	if (ret >= 0)
		ret = give_described(conn, request, path, len_path, &raw, more + sizeof(raw), reply.len_more - sizeof(raw));
	free(more);
	return (int)ret;
}
