/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A READ that is larger than the server's limit goes out as several at once.
 */
#include "nfs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void parts_send(struct op *op)
{
	uint64_t len = op->request->len, off = op->request->off;
	unsigned rsize = op->conn->rsize;
	const struct protocol *protocol = op->conn->protocol;
	struct part *parts = calloc((len + rsize - 1) / rsize + 1, sizeof(*parts));

	op->own = parts;
	if (!parts)
		op_complete(op, -ENOMEM);
	for (uint64_t at = 0; at < len && op->request; at += rsize, parts++) {
		*parts = (struct part){.op = op, .off = at, .len = len - at < rsize ? (unsigned)(len - at) : rsize};
		if (!protocol->read_joined || !protocol->read_joined(op, parts))
			protocol->read(op, parts, off + at);
	}
	if (op->request && len == 0)
		op_complete(op, 0);
}

/* What came, up to the first part that is short. */
static int64_t gathered(const struct op *op)
{
	const struct part *parts = op->own;
	uint64_t bytes = 0;

	for (uint64_t i = 0; i * op->conn->rsize < op->request->len; i++) {
		bytes += parts[i].came;
		if (parts[i].came < parts[i].len)
			break;
	}
	return (int64_t)bytes;
}

bool parts_want_attr(const struct op *op)
{
	return op->request && op->request->entry && op->request->len <= op->conn->rsize;
}

int parts_attr(struct op *op, const struct dmm_attr *attr)
{
	struct dmm_entry entry = {.name = "", .handle = {op->fh.bytes, op->fh.len}, .attr = *attr};
	int ret = op->request->entry(op->request, &entry);

	return ret < 0 ? ret : 0;
}

void part_came(struct part *part, int error, const char *data, unsigned len, bool eof)
{
	struct op *op = part->op;

	if (error == 0 && len > part->len)
		error = -EBADMSG;
	if (error == 0 && len == 0 && !eof && part->off == 0)
		error = -EREMOTEIO; /* nothing, and not the end: an honest server does not do that for long */
	if (error < 0) {
		op_complete(op, error);
		return;
	}
	if (len)
		memcpy((char *)op->request->buf + part->off, data, len);
	part->came = len;
	if (op->rpcs == 0)
		op_complete(op, gathered(op));
}
