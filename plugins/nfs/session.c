/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A session: the root of the export, what the server can do, and the channels that carry the requests.
 *
 * Version 3 asks the MOUNT service for the root's handle (RFC 1813, 5.2.1); version 4 walks there from the server's root
 * (RFC 7530, 7). Without a version in the address 4 is tried first.
 */
#include "nfs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NFS_PORT 2049

static unsigned at_least(unsigned value, unsigned min)
{
	return value < min ? min : value;
}

static unsigned at_most(unsigned value, unsigned max)
{
	return value > max ? max : value;
}

static int take_fh(struct fh *fh, const char *bytes, unsigned len)
{
	if (len == 0 || len > FH_MAX)
		return -EBADMSG;
	fh->len = len;
	memcpy(fh->bytes, bytes, len);
	return 0;
}

/* --- version 3 --- */

static int send_mnt(struct rpc_context *rpc, rpc_cb cb, void *opaque, void *context)
{
	struct dmm_conn *conn = context;

	return rpc_mount3_mnt_async(rpc, cb, conn->instance->address.path, opaque);
}

static int take_mnt(void *data, void *context)
{
	const struct mountres3 *res = data;
	struct dmm_conn *conn = context;

	if (res->fhs_status != MNT3_OK)
		return mountstat3_to_errno((int)res->fhs_status);
	return take_fh(&conn->root, res->mountres3_u.mountinfo.fhandle.fhandle3_val,
	               res->mountres3_u.mountinfo.fhandle.fhandle3_len);
}

static int find_root_3(struct dmm_conn *conn)
{
	const struct address *address = &conn->instance->address;
	struct channel *channel;
	int ret = channel_connect(address, address->mountport, MOUNT_PROGRAM, MOUNT_V3, &channel);

	if (ret < 0)
		return ret;
	ret = channel_call(channel, send_mnt, take_mnt, conn);
	channel_close(channel);
	return ret;
}

static int send_fsinfo(struct rpc_context *rpc, rpc_cb cb, void *opaque, void *context)
{
	struct dmm_conn *conn = context;
	struct FSINFO3args args = {.fsroot.data = {conn->root.len, conn->root.bytes}};

	return rpc_nfs3_fsinfo_async(rpc, cb, &args, opaque);
}

static int take_fsinfo(void *data, void *context)
{
	const struct FSINFO3res *res = data;
	struct dmm_conn *conn = context;

	if (res->status != NFS3_OK)
		return error_from_3(res->status);
	conn->rsize = at_most(at_least(res->FSINFO3res_u.resok.rtmax, 4096), conn->instance->address.rsize);
	conn->list_bytes = at_most(at_least(res->FSINFO3res_u.resok.dtpref, 64 << 10), LIST_MOST);
	return 0;
}

static int send_getacl(struct rpc_context *rpc, rpc_cb cb, void *opaque, void *context)
{
	struct dmm_conn *conn = context;
	struct GETACL3args args = {.dir.data = {conn->root.len, conn->root.bytes}, .mask = NFSACL_MASK_ACL_ENTRY};

	return rpc_nfsacl_getacl_async(rpc, cb, &args, opaque);
}

static int take_getacl(void *data, void *context)
{
	const struct GETACL3res *res = data;

	(void)context;
	if (res->status == NFS3_OK && res->GETACL3res_u.resok.ace.ace_len == 0)
		return -ENODATA; /* there are three at least, of the mode: this server speaks the protocol and has none to give */
	return error_from_3(res->status);
}

/* The side protocol of POSIX ACLs is no standard and not everywhere. */
static void look_for_acls(struct dmm_conn *conn)
{
	if (channel_call(conn->channels[0], send_getacl, take_getacl, conn) == 0)
		conn->capabilities |= DMM_CAP_XATTR | DMM_CAP_POSIX_ACL;
	else if (!atomic_exchange(&conn->instance->told_no_acl, true))
		conn->instance->log(DMM_LOG_WARNING, "the server gives no POSIX ACLs over NFS version 3: they do not come over");
}

static int open_channels(struct dmm_conn *conn, uint32_t version, unsigned port)
{
	const struct address *address = &conn->instance->address;
	int ret = 0;

	while (conn->n_channels < address->channels) {
		ret = channel_connect(address, port, NFS_PROGRAM, version, &conn->channels[conn->n_channels]);
		if (ret < 0)
			break;
		conn->n_channels++;
	}
	return conn->n_channels ? 0 : ret; /* a server that takes fewer has to do */
}

static int open_3(struct dmm_conn *conn)
{
	int ret = find_root_3(conn);

	conn->protocol = &protocol_v3;
	conn->capabilities = DMM_CAP_PERSISTENT_HANDLES;
	if (ret >= 0)
		ret = open_channels(conn, NFS_V3, conn->instance->address.port);
	if (ret >= 0)
		ret = channel_call(conn->channels[0], send_fsinfo, take_fsinfo, conn);
	if (ret >= 0)
		look_for_acls(conn);
	return ret;
}

/* --- version 4 --- */

/* PUTROOTFH, a LOOKUP for each component, GETFH, GETATTR. */
#define OPS_MOST 256

static int send_walk(struct rpc_context *rpc, rpc_cb cb, void *opaque, void *context)
{
	struct dmm_conn *conn = context;
	uint32_t bits[2] = {1u << FATTR4_SUPPORTED_ATTRS | 1u << FATTR4_MAXREAD, 0};
	nfs_argop4 ops[OPS_MOST] = {{.argop = OP_PUTROOTFH}};
	char path[PATH_MAX], *rest = path;
	unsigned n = 1;

	snprintf(path, sizeof(path), "%s", conn->instance->address.path);
	for (char *name; (name = strtok_r(rest, "/", &rest)) && n < OPS_MOST - 2; n++) {
		ops[n].argop = OP_LOOKUP;
		ops[n].nfs_argop4_u.oplookup.objname = (component4){(unsigned)strlen(name), name};
	}
	ops[n++].argop = OP_GETFH;
	ops[n].argop = OP_GETATTR;
	ops[n++].nfs_argop4_u.opgetattr.attr_request = (bitmap4){1, bits};
	struct COMPOUND4args args = {.argarray = {n, ops}};
	return rpc_nfs4_compound_async(rpc, cb, &args, opaque);
}

/* supported_attrs: a bitmap4; maxread: 64 bits. In the order of their numbers. */
static void take_limits(struct dmm_conn *conn, const struct fattr4 *from)
{
	const char *at = from->attr_vals.attrlist4_val;
	size_t left = from->attr_vals.attrlist4_len;
	uint32_t bits = from->attrmask.bitmap4_len ? from->attrmask.bitmap4_val[0] : 0;

	if (bits & 1u << FATTR4_SUPPORTED_ATTRS && left >= 4) {
		uint32_t words = xdr_word(at);
		if (words > 8 || left < 4 + 4 * words)
			return;
		if (words && xdr_word(at + 4) & 1u << FATTR4_ACL)
			conn->capabilities |= DMM_CAP_XATTR | DMM_CAP_NFS4_ACL;
		at += 4 + 4 * words;
		left -= 4 + 4 * words;
	}
	if (bits & 1u << FATTR4_MAXREAD && left >= 8 && xdr_word(at) == 0)
		conn->rsize = at_most(at_least(xdr_word(at + 4), 4096), conn->rsize);
}

static int take_walk(void *data, void *context)
{
	const struct COMPOUND4res *res = data;
	struct dmm_conn *conn = context;
	unsigned n = res->resarray.resarray_len;

	if (res->status != NFS4_OK)
		return error_from_4(res->status);
	nfs_resop4 last[2]; /* a copy, since libnfs decodes to addresses that are multiples of 4 only */
	if (n >= 3)
		memcpy(last, (const char *)res->resarray.resarray_val + (n - 2) * sizeof(*last), sizeof(last));
	if (n < 3 || last[0].resop != OP_GETFH || last[1].resop != OP_GETATTR)
		return -EBADMSG;
	const GETFH4resok *getfh = &last[0].nfs_resop4_u.opgetfh.GETFH4res_u.resok4;
	take_limits(conn, &last[1].nfs_resop4_u.opgetattr.GETATTR4res_u.resok4.obj_attributes);
	return take_fh(&conn->root, getfh->object.nfs_fh4_val, getfh->object.nfs_fh4_len);
}

static int open_4(struct dmm_conn *conn)
{
	const struct address *address = &conn->instance->address;
	int ret = open_channels(conn, NFS_V4, address->port ? address->port : NFS_PORT);

	conn->protocol = &protocol_v4;
	atomic_init(&conn->join_most, JOIN4_MOST);
	conn->capabilities = DMM_CAP_PERSISTENT_HANDLES | DMM_CAP_CHANGE;
	conn->rsize = address->rsize;
	conn->list_bytes = LIST_MOST;
	if (ret >= 0)
		ret = channel_call(conn->channels[0], send_walk, take_walk, conn);
	if (ret >= 0 && !(conn->capabilities & DMM_CAP_NFS4_ACL) && !atomic_exchange(&conn->instance->told_no_acl, true))
		conn->instance->log(DMM_LOG_WARNING, "the server gives no ACLs over NFS version 4: they do not come over");
	return ret;
}

/* --- both --- */

static void reset(struct dmm_conn *conn)
{
	for (unsigned i = 0; i < conn->n_channels; i++)
		channel_close(conn->channels[i]);
	conn->n_channels = 0;
}

static int start_channels(struct dmm_conn *conn)
{
	int ret = 0;

	for (unsigned i = 0; i < conn->n_channels && ret >= 0; i++)
		ret = channel_start(conn->channels[i]);
	return ret;
}

/* The version that the first session found is kept: handles of one mean nothing to the other. */
int session_open(struct dmm_instance *instance, struct dmm_conn **result)
{
	struct dmm_conn *conn = calloc(1, sizeof(*conn));
	unsigned version = atomic_load(&instance->version);
	int ret = -EPROTONOSUPPORT;

	if (!conn)
		return -ENOMEM;
	conn->instance = instance;
	if (version != 3)
		ret = open_4(conn);
	if (version == 3 || (version == 0 && ret == -EPROTONOSUPPORT)) {
		reset(conn);
		ret = open_3(conn);
	}
	if (ret >= 0)
		ret = start_channels(conn);
	if (ret < 0) {
		session_close(conn);
		return ret;
	}
	if (atomic_exchange(&instance->version, conn->protocol->version) == 0)
		instance->log(DMM_LOG_INFO, "source: NFS version %u of %s, %u connections, reads of %u bytes",
		              conn->protocol->version, instance->address.host, conn->n_channels, conn->rsize);
	*result = conn;
	return 0;
}

void session_close(struct dmm_conn *conn)
{
	reset(conn);
	free(conn);
}
