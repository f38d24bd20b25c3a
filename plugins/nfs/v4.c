/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The requests of the host as COMPOUNDs of NFS version 4.0: PUTFH and one operation. READ uses the anonymous stateid, so that
 * nothing has to be opened at the server and no lease can run out.
 */
#include "nfs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* `look`: and GETATTR of what tells whether it has changed. */
static bool send_operations(struct op *op, rpc_cb cb, void *opaque, nfs_opnum4 kind, nfs_argop4 *operation, bool look)
{
	nfs_argop4 ops[3] = {{.argop = OP_PUTFH}};

	ops[0].nfs_argop4_u.opputfh.object = (nfs_fh4){op->fh.len, op->fh.bytes};
	ops[1] = *operation;
	ops[1].argop = kind;
	ops[2].argop = OP_GETATTR;
	ops[2].nfs_argop4_u.opgetattr.attr_request = (bitmap4){2, attr4_look};
	struct COMPOUND4args args = {.argarray = {look ? 3 : 2, ops}};
	return op_sent(op, rpc_nfs4_compound_async(channel_rpc(op->channel), cb, &args, opaque));
}

static bool send_compound(struct op *op, rpc_cb cb, void *opaque, nfs_opnum4 kind, nfs_argop4 *operation)
{
	return send_operations(op, cb, opaque, kind, operation, false);
}

/* The answer to the operation, or NULL with its error. A copy, since libnfs decodes to addresses that are multiples of 4 only. */
static const nfs_resop4 *answer_at(const struct COMPOUND4res *res, unsigned at, unsigned count, nfs_opnum4 kind, nfs_resop4 *copy,
                                   int *error)
{
	if (res->status != NFS4_OK) {
		*error = error_from_4(res->status);
		return NULL;
	}
	if (res->resarray.resarray_len == count)
		memcpy(copy, (const char *)res->resarray.resarray_val + at * sizeof(*copy), sizeof(*copy));
	if (res->resarray.resarray_len != count || copy->resop != kind) {
		*error = -EBADMSG;
		return NULL;
	}
	return copy;
}

static const nfs_resop4 *answer_of(const struct COMPOUND4res *res, nfs_opnum4 kind, nfs_resop4 *copy, int *error)
{
	return answer_at(res, 1, 2, kind, copy, error);
}

static int finish(struct op *op, int64_t result)
{
	op_complete(op, result);
	op_release(op);
	return 0;
}

/* --- attributes --- */

/* The names go to the host beside what they are here, since the administrator's map knows better. */
static int set_owner(struct owners *owners, const struct attr4 *from, struct dmm_attr *attr)
{
	int user = owner_uid(owners, from->owner, &attr->uid), group = owner_gid(owners, from->group, &attr->gid);

	attr->valid |= (user ? 0 : DMM_ATTR_UID) | (group ? 0 : DMM_ATTR_GID);
	attr->owner_name = from->owner;
	attr->group_name = from->group;
	return user == -EAGAIN || group == -EAGAIN ? EAGAIN : 0;
}

static void entry_from(struct op *op, const struct fattr4 *from, struct attr4 *decoded, struct dmm_entry *entry)
{
	int ret = attr4_decode(from, decoded);

	if (ret < 0 || decoded->error) {
		entry->error = ret < 0 ? -ret : decoded->error;
		return;
	}
	entry->error = set_owner(op->conn->instance->owners, decoded, &decoded->attr);
	entry->attr = decoded->attr;
}

static void on_getattr(struct rpc_context *rpc, int status, void *data, void *opaque)
{
	nfs_resop4 copy;
	struct op *op = opaque;
	struct dmm_entry entry = {.name = "", .handle = {op->fh.bytes, op->fh.len}};
	struct attr4 decoded;
	int ret = 0;

	(void)rpc;
	if (op_answered(op, status) < 0)
		return;
	const nfs_resop4 *answer = answer_of(data, OP_GETATTR, &copy, &ret);
	if (answer) {
		entry_from(op, &answer->nfs_resop4_u.opgetattr.GETATTR4res_u.resok4.obj_attributes, &decoded, &entry);
		ret = entry.error ? -entry.error : op->request->entry(op->request, &entry);
	}
	finish(op, ret < 0 ? ret : 1);
}

static void start_getattr(struct op *op)
{
	nfs_argop4 getattr = {.nfs_argop4_u.opgetattr.attr_request = {2, attr4_wanted}};

	send_compound(op, on_getattr, op, OP_GETATTR, &getattr);
}

/* --- lists --- */

static void deliver(struct op *op, const struct entry4 *from)
{
	char name[DMM_NAME_MAX + 2];
	struct dmm_entry entry = {.name = name, .name_len = from->name.utf8string_len};
	struct attr4 decoded;

	/* The host refuses what is too long; it gets enough of it to say so. */
	size_t len = entry.name_len < sizeof(name) - 1 ? entry.name_len : sizeof(name) - 1;
	memcpy(name, from->name.utf8string_val, len);
	name[len] = '\0';
	entry.name_len = len;
	entry_from(op, &from->attrs, &decoded, &entry);
	if (entry.error == 0 && decoded.fh.len == 0)
		entry.error = EBADMSG;
	if (entry.error == 0)
		entry.handle = (struct dmm_bytes){decoded.fh.bytes, decoded.fh.len};
	int ret = op->request->entry(op->request, &entry);
	if (ret < 0)
		op_complete(op, ret);
	else
		op->result++;
}

static void on_readdir(struct rpc_context *rpc, int status, void *data, void *opaque)
{
	nfs_resop4 copy;
	struct op *op = opaque;
	uint64_t cookie = 0;
	int ret = 0;

	(void)rpc;
	if (op_answered(op, status) < 0)
		return;
	const nfs_resop4 *answer = answer_of(data, OP_READDIR, &copy, &ret);
	if (!answer) {
		finish(op, ret);
		return;
	}
	const READDIR4resok *ok = &answer->nfs_resop4_u.opreaddir.READDIR4res_u.resok4;
	struct dmm_file *dir = op->request->file;
	for (const void *at = ok->reply.entries; at && op->request;) {
		struct entry4 entry;
		memcpy(&entry, at, sizeof(entry));
		at = entry.nextentry;
		cookie = entry.cookie;
		deliver(op, &entry);
	}
	if (op->request) { /* the sink did not end it */
		memcpy(dir->verifier, ok->cookieverf, sizeof(dir->verifier));
		dir->ended = ok->reply.eof;
		if (!dir->ended && (!ok->reply.entries || !file_advance(dir, cookie)))
			op->result = -EBADMSG; /* neither names nor the end, or the same names again */
	}
	finish(op, op->result);
}

static void start_list(struct op *op)
{
	const struct dmm_file *dir = op->request->file;
	nfs_argop4 readdir = {0};
	READDIR4args *args = &readdir.nfs_argop4_u.opreaddir;

	if (dir->ended) {
		op_complete(op, 0);
		return;
	}
	args->cookie = dir->cookie;
	memcpy(args->cookieverf, dir->verifier, sizeof(args->cookieverf));
	args->dircount = args->maxcount = op->conn->list_bytes;
	args->attr_request = (bitmap4){2, attr4_wanted};
	send_compound(op, on_readdir, op, OP_READDIR, &readdir);
}

/* --- data --- */

/* Attributes that cannot be decoded are none: whoever needs them asks for them, and is told. */
static int tell_attr(struct op *op, const struct COMPOUND4res *res)
{
	nfs_resop4 copy;
	struct attr4 decoded;
	int ret = 0;
	const nfs_resop4 *answer = answer_at(res, 2, 3, OP_GETATTR, &copy, &ret);

	if (!answer)
		return ret;
	if (attr4_decode(&answer->nfs_resop4_u.opgetattr.GETATTR4res_u.resok4.obj_attributes, &decoded) < 0 || decoded.error)
		return 0;
	return parts_attr(op, &decoded.attr);
}

static void on_read(struct rpc_context *rpc, int status, void *data, void *opaque)
{
	nfs_resop4 copy;
	struct part *part = opaque;
	struct op *op = part->op;
	int ret = 0;

	(void)rpc;
	if (op_answered(op, status) < 0)
		return;
	bool look = parts_want_attr(op);
	const nfs_resop4 *answer = answer_at(data, 1, look ? 3 : 2, OP_READ, &copy, &ret);
	const READ4resok *ok = answer ? &answer->nfs_resop4_u.opread.READ4res_u.resok4 : &(READ4resok){0};
	if (answer && look)
		ret = tell_attr(op, data);
	part_came(part, ret, ok->data.data_val, ok->data.data_len, ok->eof);
	op_release(op);
}

static void send_read(struct op *op, struct part *part, uint64_t off)
{
	nfs_argop4 read = {.nfs_argop4_u.opread = {.offset = off, .count = part->len}};

	send_operations(op, on_read, part, OP_READ, &read, parts_want_attr(op));
}

/* --- links and ACLs --- */

static void on_readlink(struct rpc_context *rpc, int status, void *data, void *opaque)
{
	nfs_resop4 copy;
	struct op *op = opaque;
	int ret = 0;

	(void)rpc;
	if (op_answered(op, status) < 0)
		return;
	const nfs_resop4 *answer = answer_of(data, OP_READLINK, &copy, &ret);
	if (answer) {
		const linktext4 *text = &answer->nfs_resop4_u.opreadlink.READLINK4res_u.resok4.link;
		if (text->utf8string_len > op->request->len)
			ret = -ENAMETOOLONG;
		else
			memcpy(op->request->buf, text->utf8string_val, (size_t)(ret = (int)text->utf8string_len));
	}
	finish(op, ret);
}

static void start_readlink(struct op *op)
{
	nfs_argop4 readlink = {0};

	send_compound(op, on_readlink, op, OP_READLINK, &readlink);
}

static void on_acl(struct rpc_context *rpc, int status, void *data, void *opaque)
{
	nfs_resop4 copy;
	struct op *op = opaque;
	int ret = 0;

	(void)rpc;
	if (op_answered(op, status) < 0)
		return;
	const nfs_resop4 *answer = answer_of(data, OP_GETATTR, &copy, &ret);
	if (answer)
		ret = acl4_report(op->request, &answer->nfs_resop4_u.opgetattr.GETATTR4res_u.resok4.obj_attributes);
	finish(op, ret == -EOPNOTSUPP ? 0 : ret);
}

static void start_xattrs(struct op *op)
{
	uint32_t bits = 1u << FATTR4_ACL;
	nfs_argop4 getattr = {.nfs_argop4_u.opgetattr.attr_request = {1, &bits}};

	if (op->conn->capabilities & DMM_CAP_NFS4_ACL)
		send_compound(op, on_acl, op, OP_GETATTR, &getattr);
	else
		op_complete(op, 0);
}

const struct protocol protocol_v4 = {
	.version = 4,
	.getattr = start_getattr,
	.list = start_list,
	.read = send_read,
	.readlink = start_readlink,
	.xattrs = start_xattrs,
	.read_joined = join4_add,
	.send_joined = join4_send,
};
