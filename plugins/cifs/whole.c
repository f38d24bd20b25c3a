/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Small objects, many in one question to a helper, which asks the server about all of them at once: attributes, streams and data.
 *
 * Whatever is out of the ordinary with one of them (it cannot be opened, its descriptor is refused, the answer cannot be right) fails
 * before the host has got anything of it, and is met by the ordinary requests, which tell what it is.
 */
#include "cifs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ERRNO_MOST 4095

struct object {
	struct dmm_request *request;
	struct handle handle;
	struct wire_whole whole;
	const char *bytes; /* descriptor and streams */
	int64_t result;    /* bytes read */
};

/* As many as one question can be about. */
struct question {
	struct object objects[WHOLE_OBJECTS_MOST];
	unsigned n;
	uint64_t data; /* bytes wanted */
	char *bytes;
	size_t len;
};

static void complete(struct dmm_request *request, int64_t result)
{
	request->result = result;
	request->complete(request);
}

/* --- the question --- */

static bool can_be_asked(const struct dmm_conn *conn, const struct dmm_request *request, struct handle *handle)
{
	return conn->can & CONNECTED_WHOLE && request->kind == DMM_REQ_WHOLE && request->len <= DMM_WHOLE_MOST &&
	       handle_parse(request->handle, handle) == 0;
}

static int put(struct question *question, const struct dmm_request *request, const struct handle *handle)
{
	struct wire_want want = {.len_path = (uint32_t)handle->len_path, .len = (uint32_t)request->len};
	char *bytes = realloc(question->bytes, question->len + sizeof(want) + handle->len_path);

	if (!bytes)
		return -ENOMEM;
	question->bytes = bytes;
	memcpy(bytes + question->len, &want, sizeof(want));
	memcpy(bytes + question->len + sizeof(want), handle->path, handle->len_path);
	question->len += sizeof(want) + handle->len_path;
	question->data += request->len;
	return 0;
}

/* How many requests were put in, or completed since they cannot be. */
static size_t fill(const struct dmm_conn *conn, struct question *question, struct dmm_request *const *requests, size_t n)
{
	size_t taken = 0;

	for (; taken < n && question->n < WHOLE_OBJECTS_MOST; taken++) {
		struct dmm_request *request = requests[taken];
		struct object *object = &question->objects[question->n];

		*object = (struct object){.request = request};
		if (!can_be_asked(conn, request, &object->handle)) {
			complete(request, -EOPNOTSUPP);
			continue;
		}
		if (question->data + request->len > SHARED_BYTES)
			break;
		int ret = put(question, request, &object->handle);
		if (ret < 0)
			complete(request, ret);
		else
			question->n++;
	}
	return taken;
}

/* --- the answer --- */

static int64_t check(const struct object *object, size_t left)
{
	const struct wire_whole *whole = &object->whole;
	int32_t error = whole->raw.descriptor_error;

	if (whole->error)
		return whole->error < 0 && whole->error >= -ERRNO_MOST ? whole->error : -EBADMSG;
	if (whole->len > object->request->len || (uint64_t)whole->raw.len_descriptor + whole->raw.len_streams > left)
		return -EBADMSG;
	return error && error != -ENOTSUP ? -EOPNOTSUPP : (int64_t)whole->len;
}

/* One object's part; *left: bytes behind it. -EBADMSG: nothing more can be told apart. */
static int take(struct object *object, const char **more, size_t *left)
{
	struct wire_whole *whole = &object->whole;

	if (*left < sizeof(*whole))
		return -EBADMSG;
	memcpy(whole, *more, sizeof(*whole));
	object->bytes = *more += sizeof(*whole);
	*left -= sizeof(*whole);
	object->result = check(object, *left);
	if (object->result == -EBADMSG)
		return -EBADMSG;
	*more += whole->error ? 0 : whole->raw.len_descriptor + whole->raw.len_streams;
	*left -= whole->error ? 0 : whole->raw.len_descriptor + whole->raw.len_streams;
	return 0;
}

/* Before anything else is asked: the memory is used for other answers, too. */
static void take_data(const struct dmm_conn *conn, struct object *object, uint64_t at)
{
	if (object->result > 0)
		memcpy(object->request->buf, (const char *)conn->shared + at, (size_t)object->result);
}

static void take_all(const struct dmm_conn *conn, struct question *question, const char *more, size_t left)
{
	uint64_t at = 0;
	int ret = 0;

	for (unsigned i = 0; i < question->n; i++) {
		struct object *object = &question->objects[i];
		if (ret == 0)
			ret = take(object, &more, &left);
		if (ret < 0)
			object->result = ret;
		take_data(conn, object, at);
		at += object->request->len;
	}
}

static int64_t give(struct dmm_conn *conn, const struct object *object)
{
	struct dmm_request *request = object->request;
	const struct handle *handle = &object->handle;
	const struct wire_raw *raw = &object->whole.raw;
	int64_t ret = object->result;

	if (ret >= 0)
		ret = give_described(conn, request, handle->path, handle->len_path, raw, object->bytes,
		                     (size_t)raw->len_descriptor + raw->len_streams);
	if (ret >= 0)
		ret = give_dosattrib(request, handle);
	if (ret >= 0 && request->entry && object->whole.seen)
		ret = give_entry(conn, request, &object->whole.entry, handle->path, handle->len_path, "");
	return ret < 0 ? ret : object->result;
}

/* The first request stands for all: its deadline is the earliest, and when it is cancelled, all are given up. */
static void ask_question(struct dmm_conn *conn, struct question *question)
{
	struct ask ask = {.kind = ASK_WHOLE, .len_path = (uint32_t)question->len};
	struct reply reply;
	char *more = NULL;

	int64_t ret = helper_ask(conn, question->objects[0].request, &ask, question->bytes, &reply, &more);
	if (ret >= 0)
		take_all(conn, question, more, more ? reply.len_more : 0);
	for (unsigned i = 0; i < question->n; i++) {
		struct object *object = &question->objects[i];
		complete(object->request, ret < 0 ? ret : give(conn, object));
	}
	free(more);
}

void whole_answer(struct dmm_conn *conn, struct dmm_request *const *requests, size_t n)
{
	for (size_t at = 0; at < n;) {
		struct question question = {.n = 0};

		at += fill(conn, &question, requests + at, n - at);
		if (question.n > 0)
			ask_question(conn, &question);
		free(question.bytes);
	}
}
