/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * READs of several small files in one COMPOUND of version 4: for each PUTFH, READ and GETATTR. What a request costs the server and both
 * networks beside its bytes is paid once for all.
 *
 * READs that are started together wait here for each other, no longer than until all of that moment were started. A server ends a
 * COMPOUND at the first operation that fails; so what a joined one has no full answer to is asked for once more, each READ alone, and
 * fails or succeeds by itself. One that does not take so many operations gets fewer.
 *
 * Threads: whoever uses the channel.
 */
#include "nfs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Of each READ. Linux took 16 operations in a COMPOUND for long, and then 50. */
#define OPERATIONS 3
#define JOIN_FEW 5
/* All data of one answer: libnfs takes 1 MiB. */
#define JOIN_BYTES (256u << 10)

struct join {
	struct dmm_conn *conn;
	unsigned n, bytes;
	struct part *parts[JOIN4_MOST];
};

/* --- answers --- */

/* Of so many parts there is all. */
static unsigned count_answered(const struct COMPOUND4res *res, unsigned n)
{
	unsigned len = res->resarray.resarray_len;

	if (res->status == NFS4_OK)
		return len == n * OPERATIONS ? n : 0;
	return len && (len - 1) / OPERATIONS < n ? (len - 1) / OPERATIONS : 0; /* the last one is what failed */
}

/* Copies, since libnfs decodes to addresses that are multiples of 4 only. */
static void take(struct part *part, const struct COMPOUND4res *res, unsigned i)
{
	const char *answers = (const char *)res->resarray.resarray_val + (size_t)i * OPERATIONS * sizeof(nfs_resop4);
	nfs_resop4 read, look;
	struct attr4 decoded;
	int ret = 0;

	memcpy(&read, answers + sizeof(read), sizeof(read));
	memcpy(&look, answers + 2 * sizeof(look), sizeof(look));
	if (read.resop != OP_READ || look.resop != OP_GETATTR || read.nfs_resop4_u.opread.status != NFS4_OK ||
	    look.nfs_resop4_u.opgetattr.status != NFS4_OK) {
		part_came(part, -EBADMSG, NULL, 0, false);
		return;
	}
	const READ4resok *ok = &read.nfs_resop4_u.opread.READ4res_u.resok4;
	/* Attributes that cannot be decoded are none: whoever needs them asks for them, and is told. */
	if (attr4_decode(&look.nfs_resop4_u.opgetattr.GETATTR4res_u.resok4.obj_attributes, &decoded) >= 0 && !decoded.error)
		ret = parts_attr(part->op, &decoded.attr);
	part_came(part, ret, ok->data.data_val, ok->data.data_len, ok->eof);
}

static void read_alone(struct part *part)
{
	struct op *op = part->op;

	if (op->request)
		op->conn->protocol->read(op, part, op->request->off + part->off);
}

/* That a file cannot be read says nothing of how many may be asked for at once. */
static void learn(struct dmm_conn *conn, const struct COMPOUND4res *res)
{
	unsigned most = atomic_load(&conn->join_most);

	if (!res)
		atomic_store(&conn->join_most, 1);
	else if (res->status == NFS4ERR_RESOURCE || res->status == NFS4_OK)
		atomic_store(&conn->join_most, most > JOIN_FEW ? JOIN_FEW : 1);
}

static void on_joined(struct rpc_context *rpc, int status, void *data, void *opaque)
{
	struct join *join = opaque;
	unsigned answered = status == RPC_STATUS_SUCCESS ? count_answered(data, join->n) : 0;
	bool again = status == RPC_STATUS_SUCCESS || status == RPC_STATUS_ERROR;

	(void)rpc;
	if (again && answered < join->n)
		learn(join->conn, status == RPC_STATUS_SUCCESS ? data : NULL);
	for (unsigned i = 0; i < join->n; i++) {
		struct part *part = join->parts[i];
		struct op *op = part->op;
		if (i < answered || !again) {
			if (op_answered(op, status) < 0)
				continue;
			take(part, data, i);
		} else {
			read_alone(part); /* is counted in before the joined one is counted out */
			op->rpcs--;
		}
		op_release(op);
	}
	free(join);
}

/* --- requests --- */

static int send(struct channel *channel, struct join *join)
{
	nfs_argop4 ops[JOIN4_MOST * OPERATIONS] = {0};
	struct COMPOUND4args args = {.argarray = {join->n * OPERATIONS, ops}};

	for (unsigned i = 0; i < join->n; i++) {
		nfs_argop4 *at = &ops[(size_t)i * OPERATIONS];
		struct part *part = join->parts[i];
		struct op *op = part->op;
		at[0].argop = OP_PUTFH;
		at[0].nfs_argop4_u.opputfh.object = (nfs_fh4){op->fh.len, op->fh.bytes};
		at[1].argop = OP_READ;
		at[1].nfs_argop4_u.opread.offset = op->request->off + part->off;
		at[1].nfs_argop4_u.opread.count = part->len;
		at[2].argop = OP_GETATTR;
		at[2].nfs_argop4_u.opgetattr.attr_request = (bitmap4){2, attr4_look};
	}
	return rpc_nfs4_compound_async(channel_rpc(channel), on_joined, &args, join);
}

void join4_send(struct channel *channel)
{
	struct join **place = channel_join(channel), *join = *place;

	*place = NULL;
	if (!join || (join->n > 1 && send(channel, join) == 0))
		return;
	for (unsigned i = 0; i < join->n; i++) {
		struct op *op = join->parts[i]->op;
		read_alone(join->parts[i]);
		op->rpcs--;
		op_release(op);
	}
	free(join);
}

bool join4_add(struct op *op, struct part *part)
{
	struct join **place = channel_join(op->channel);
	unsigned most = atomic_load_explicit(&op->conn->join_most, memory_order_relaxed);

	if (most < 2 || part->len > JOIN_BYTES / 2 || !parts_want_attr(op))
		return false;
	if (*place && ((*place)->n >= most || (*place)->bytes + part->len > JOIN_BYTES || (*place)->conn != op->conn))
		join4_send(op->channel);
	if (!*place && !(*place = calloc(1, sizeof(**place))))
		return false;
	struct join *join = *place;
	join->conn = op->conn;
	join->bytes += part->len;
	join->parts[join->n++] = part;
	op->rpcs++; /* as if it were sent */
	return true;
}
