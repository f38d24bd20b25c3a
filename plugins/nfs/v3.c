/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The requests of the host as calls of NFS version 3.
 *
 * LIST is READDIRPLUS. A server need not give attributes and handle with each name; those that lack are looked up before the
 * request completes, and a server without READDIRPLUS is asked for names, all of which are then looked up. READ of more than the
 * server's limit goes out as several READs at once.
 */
#include "nfs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static nfs_fh3 fh3(const struct fh *fh)
{
	return (nfs_fh3){.data = {fh->len, (char *)fh->bytes}};
}

/* --- attributes --- */

static void on_getattr(struct rpc_context *rpc, int status, void *data, void *opaque)
{
	struct op *op = opaque;
	const struct GETATTR3res *res = data;
	struct dmm_entry entry = {.name = "", .handle = {op->fh.bytes, op->fh.len}};

	(void)rpc;
	if (op_answered(op, status) < 0)
		return;
	int ret = error_from_3(res->status);
	if (ret >= 0) {
		attr_from_3(&entry.attr, &res->GETATTR3res_u.resok.obj_attributes);
		ret = op->request->entry(op->request, &entry);
	}
	op_complete(op, ret < 0 ? ret : 1);
	op_release(op);
}

static void start_getattr(struct op *op)
{
	struct GETATTR3args args = {.object = fh3(&op->fh)};

	op_sent(op, rpc_nfs3_getattr_async(channel_rpc(op->channel), on_getattr, &args, op));
}

/* --- lists --- */

static bool is_dots(const char *name)
{
	return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

/* A name that came without its attributes or its handle. */
struct lookup {
	struct op *op;
	char *name;
};

static void deliver(struct op *op, const char *name, const nfs_fh3 *fh, const struct fattr3 *attr, int error)
{
	struct dmm_entry entry = {.name = name, .name_len = strlen(name), .error = -error};

	if (error == 0 && (fh->data.data_len == 0 || fh->data.data_len > FH_MAX)) {
		entry.error = EBADMSG;
	} else if (error == 0) {
		entry.handle = (struct dmm_bytes){fh->data.data_val, fh->data.data_len};
		attr_from_3(&entry.attr, attr);
	}
	int ret = op->request->entry(op->request, &entry);
	if (ret < 0)
		op_complete(op, ret);
	else
		op->result++;
}

/* Ours was the last RPC on the way: the request is done. */
static void end_list(struct op *op)
{
	if (op->rpcs == 0)
		op_complete(op, op->result);
	op_release(op);
}

static void on_lookup(struct rpc_context *rpc, int status, void *data, void *opaque)
{
	struct lookup *lookup = opaque;
	struct op *op = lookup->op;
	const struct LOOKUP3res *res = data;

	(void)rpc;
	if (op_answered(op, status) == 0) {
		int error = error_from_3(res->status);
		const struct LOOKUP3resok *ok = &res->LOOKUP3res_u.resok;
		if (error == 0 && !ok->obj_attributes.attributes_follow)
			error = -EBADMSG;
		if (error != -ENOENT) /* it has gone meanwhile */
			deliver(op, lookup->name, &ok->object, &ok->obj_attributes.post_op_attr_u.attributes, error);
		end_list(op);
	}
	free(lookup->name);
	free(lookup);
}

static void look_up(struct op *op, const char *name)
{
	struct lookup *lookup = malloc(sizeof(*lookup));
	struct LOOKUP3args args = {.what = {.dir = fh3(&op->fh), .name = (char *)name}};

	if (lookup)
		*lookup = (struct lookup){.op = op, .name = strdup(name)};
	if (!lookup || !lookup->name) {
		free(lookup);
		op_complete(op, -ENOMEM);
		return;
	}
	if (!op_sent(op, rpc_nfs3_lookup_async(channel_rpc(op->channel), on_lookup, &args, lookup))) {
		free(lookup->name);
		free(lookup);
	}
}

static void on_readdirplus(struct rpc_context *rpc, int status, void *data, void *opaque);
static void on_readdir(struct rpc_context *rpc, int status, void *data, void *opaque);

static void send_list(struct op *op)
{
	const struct dmm_file *dir = op->request->file;
	struct rpc_context *rpc = channel_rpc(op->channel);

	if (op->conn->plain_readdir) {
		struct READDIR3args args = {.dir = fh3(&op->fh), .cookie = dir->cookie, .count = op->conn->list_bytes / 4};
		memcpy(args.cookieverf, dir->verifier, sizeof(args.cookieverf));
		op_sent(op, rpc_nfs3_readdir_async(rpc, on_readdir, &args, op));
		return;
	}
	struct READDIRPLUS3args args = {
		.dir = fh3(&op->fh), .cookie = dir->cookie, .dircount = op->conn->list_bytes, .maxcount = op->conn->list_bytes};
	memcpy(args.cookieverf, dir->verifier, sizeof(args.cookieverf));
	op_sent(op, rpc_nfs3_readdirplus_async(rpc, on_readdirplus, &args, op));
}

static void end_reply(struct op *op, bool eof, bool any, const char *verifier, uint64_t cookie)
{
	struct dmm_file *dir = op->request ? op->request->file : NULL;

	if (dir) {
		memcpy(dir->verifier, verifier, sizeof(dir->verifier));
		dir->ended = eof;
		if (any && !file_advance(dir, cookie) && !eof)
			op_complete(op, -EBADMSG);
		else if (!any && !eof)
			op_complete(op, -EBADMSG); /* neither names nor the end: it would go on like this */
		else if (op->rpcs == 0 && op->result == 0 && !eof)
			send_list(op); /* only "." and "..": no entries would mean the end */
	}
	end_list(op);
}

static void on_readdirplus(struct rpc_context *rpc, int status, void *data, void *opaque)
{
	struct op *op = opaque;
	const struct READDIRPLUS3res *res = data;
	const struct READDIRPLUS3resok *ok = &res->READDIRPLUS3res_u.resok;
	uint64_t cookie = 0;

	(void)rpc;
	if (op_answered(op, status) < 0)
		return;
	if (res->status == NFS3ERR_NOTSUPP && !op->conn->plain_readdir) {
		op->conn->plain_readdir = true;
		send_list(op);
		op_release(op);
		return;
	}
	if (res->status != NFS3_OK) {
		op_complete(op, error_from_3(res->status));
		op_release(op);
		return;
	}
	for (const void *at = ok->reply.entries; at && op->request;) {
		struct entryplus3 entry;
		memcpy(&entry, at, sizeof(entry)); /* libnfs decodes to addresses that are multiples of 4 only */
		at = entry.nextentry;
		cookie = entry.cookie;
		if (is_dots(entry.name))
			continue;
		if (entry.name_attributes.attributes_follow && entry.name_handle.handle_follows)
			deliver(op, entry.name, &entry.name_handle.post_op_fh3_u.handle,
			        &entry.name_attributes.post_op_attr_u.attributes, 0);
		else
			look_up(op, entry.name);
	}
	end_reply(op, ok->reply.eof, ok->reply.entries, ok->cookieverf, cookie);
}

static void on_readdir(struct rpc_context *rpc, int status, void *data, void *opaque)
{
	struct op *op = opaque;
	const struct READDIR3res *res = data;
	const struct READDIR3resok *ok = &res->READDIR3res_u.resok;
	uint64_t cookie = 0;

	(void)rpc;
	if (op_answered(op, status) < 0)
		return;
	if (res->status != NFS3_OK) {
		op_complete(op, error_from_3(res->status));
		op_release(op);
		return;
	}
	for (const void *at = ok->reply.entries; at && op->request;) {
		struct entry3 entry;
		memcpy(&entry, at, sizeof(entry)); /* as above */
		at = entry.nextentry;
		cookie = entry.cookie;
		if (!is_dots(entry.name))
			look_up(op, entry.name);
	}
	end_reply(op, ok->reply.eof, ok->reply.entries, ok->cookieverf, cookie);
}

static void start_list(struct op *op)
{
	if (op->request->file->ended)
		op_complete(op, 0);
	else
		send_list(op);
}

/* --- data --- */

static void on_read(struct rpc_context *rpc, int status, void *data, void *opaque)
{
	struct part *part = opaque;
	struct op *op = part->op;
	const struct READ3res *res = data;
	const struct READ3resok *ok = &res->READ3res_u.resok;

	(void)rpc;
	if (op_answered(op, status) < 0)
		return;
	int ret = error_from_3(res->status);
	if (ret >= 0 && parts_want_attr(op) && ok->file_attributes.attributes_follow) {
		struct dmm_attr attr;
		attr_from_3(&attr, &ok->file_attributes.post_op_attr_u.attributes);
		ret = parts_attr(op, &attr);
	}
	part_came(part, ret, ok->data.data_val, ok->data.data_len, ok->eof);
	op_release(op);
}

static void send_read(struct op *op, struct part *part, uint64_t off)
{
	struct READ3args args = {.file = fh3(&op->fh), .offset = off, .count = part->len};

	op_sent(op, rpc_nfs3_read_async(channel_rpc(op->channel), on_read, &args, part));
}

/* --- links and ACLs --- */

static void on_readlink(struct rpc_context *rpc, int status, void *data, void *opaque)
{
	struct op *op = opaque;
	const struct READLINK3res *res = data;

	(void)rpc;
	if (op_answered(op, status) < 0)
		return;
	int64_t ret = error_from_3(res->status);
	if (ret >= 0) {
		size_t len = strlen(res->READLINK3res_u.resok.data);
		if (len > op->request->len)
			ret = -ENAMETOOLONG;
		else
			memcpy(op->request->buf, res->READLINK3res_u.resok.data, (size_t)(ret = (int64_t)len));
	}
	op_complete(op, ret);
	op_release(op);
}

static void start_readlink(struct op *op)
{
	struct READLINK3args args = {.symlink = fh3(&op->fh)};

	op_sent(op, rpc_nfs3_readlink_async(channel_rpc(op->channel), on_readlink, &args, op));
}

static void on_getacl(struct rpc_context *rpc, int status, void *data, void *opaque)
{
	struct op *op = opaque;
	const struct GETACL3res *res = data;

	(void)rpc;
	if (op_answered(op, status) < 0)
		return;
	int ret = error_from_3(res->status);
	if (ret >= 0)
		ret = acl3_report(op->request, &res->GETACL3res_u.resok);
	op_complete(op, ret == -EOPNOTSUPP ? 0 : ret); /* of a symbolic link */
	op_release(op);
}

static void start_xattrs(struct op *op)
{
	struct GETACL3args args = {.dir = fh3(&op->fh), .mask = NFSACL_MASK_ACL_ENTRY | NFSACL_MASK_ACL_DEFAULT_ENTRY};

	if (op->conn->capabilities & DMM_CAP_POSIX_ACL)
		op_sent(op, rpc_nfsacl_getacl_async(channel_rpc(op->channel), on_getacl, &args, op));
	else
		op_complete(op, 0);
}

const struct protocol protocol_v3 = {
	.version = 3,
	.getattr = start_getattr,
	.list = start_list,
	.read = send_read,
	.readlink = start_readlink,
	.xattrs = start_xattrs,
};
