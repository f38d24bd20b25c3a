/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * READs that go out as one COMPOUND: of a server that answers all, a part, nonsense or nothing. The channel and the library are our own:
 * what of them is used here, without a network.
 */
#include "nfs.h"

#include <check.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FILES 20
#define LEN 100u

/* --- the channel, the library, version 4 --- */

static struct {
	struct join *join;
	rpc_cb callback; /* of the COMPOUND that was sent last */
	void *opaque, *earlier;
	unsigned compounds, operations, refused;
	unsigned more; /* bytes than were asked for */
} wire;

static struct file {
	struct op op;
	struct part part;
	struct dmm_request request;
	char data[LEN];
	int64_t result;
	unsigned alone, seen;
	bool released;
} files[FILES];

static struct dmm_conn conn;

struct join **channel_join(struct channel *channel)
{
	(void)channel;
	return &wire.join;
}

struct rpc_context *channel_rpc(struct channel *channel)
{
	(void)channel;
	return NULL;
}

static struct file *file_of(struct op *op)
{
	return (struct file *)((char *)op - offsetof(struct file, op));
}

void op_complete(struct op *op, int64_t result)
{
	if (op->request)
		file_of(op)->result = result;
	op->request = NULL;
}

void op_release(struct op *op)
{
	ck_assert(!file_of(op)->released);
	file_of(op)->released = !op->request && op->rpcs == 0;
}

int op_answered(struct op *op, int status)
{
	op->rpcs--;
	if (status == RPC_STATUS_SUCCESS && op->request)
		return 0;
	op_complete(op, -ECONNRESET);
	op_release(op);
	return -1;
}

int rpc_nfs4_compound_async(struct rpc_context *rpc, rpc_cb cb, struct COMPOUND4args *args, void *opaque)
{
	(void)rpc;
	if (wire.refused)
		return -1;
	wire.callback = cb;
	wire.earlier = wire.opaque;
	wire.opaque = opaque;
	wire.compounds++;
	wire.operations = args->argarray.argarray_len;
	for (unsigned i = 0; i < wire.operations; i += 3) {
		const nfs_argop4 *at = &args->argarray.argarray_val[i];
		ck_assert(at[0].argop == OP_PUTFH && at[1].argop == OP_READ && at[2].argop == OP_GETATTR);
		ck_assert_uint_eq(at[1].nfs_argop4_u.opread.count, LEN);
	}
	return 0;
}

static void read_alone(struct op *op, struct part *part, uint64_t off)
{
	(void)part;
	(void)off;
	op->rpcs++;
	file_of(op)->alone++;
}

static const struct protocol protocol = {.version = 4, .read = read_alone};

/* --- */

static int see(struct dmm_request *request, const struct dmm_entry *entry)
{
	struct file *file = (struct file *)((char *)request - offsetof(struct file, request));

	file->seen++;
	ck_assert_uint_eq(entry->attr.size, LEN);
	return 0;
}

static void setup(void)
{
	memset(&wire, 0, sizeof(wire));
	memset(files, 0, sizeof(files));
	conn = (struct dmm_conn){.protocol = &protocol, .rsize = READ_MOST, .join_most = JOIN4_MOST};
	for (unsigned i = 0; i < FILES; i++) {
		struct file *file = &files[i];
		file->request = (struct dmm_request){.kind = DMM_REQ_READ, .len = LEN, .buf = file->data, .entry = see};
		file->op = (struct op){.conn = &conn, .request = &file->request, .own = &file->part};
		file->part = (struct part){.op = &file->op, .len = LEN};
		file->result = -1;
	}
}

/* As a server does it: all, or up to the operation that fails. */
static void answer(unsigned n, unsigned operations, nfsstat4 status, nfs_opnum4 second)
{
	static nfs_resop4 results[FILES * 3];
	static char bytes[2 * LEN];
	static uint32_t attributes[6];
	static uint32_t bits[2] = {1u << FATTR4_TYPE | 1u << FATTR4_SIZE | 1u << FATTR4_FILEID, 1u << (FATTR4_MODE - 32)};
	struct COMPOUND4res res = {.status = status, .resarray = {operations, results}};

	attributes[0] = htobe32(NF4REG);
	attributes[2] = htobe32(LEN);
	memset(bytes, 'x', sizeof(bytes));
	memset(results, 0, sizeof(results));
	for (unsigned i = 0; i < n; i++) {
		nfs_resop4 *at = &results[(size_t)i * 3];
		READ4resok *read = &at[1].nfs_resop4_u.opread.READ4res_u.resok4;
		fattr4 *look = &at[2].nfs_resop4_u.opgetattr.GETATTR4res_u.resok4.obj_attributes;
		at[0].resop = OP_PUTFH;
		at[1].resop = second;
		read->data.data_val = bytes;
		read->data.data_len = LEN + wire.more;
		at[2].resop = OP_GETATTR;
		look->attrmask = (bitmap4){2, bits};
		look->attr_vals = (attrlist4){sizeof(attributes), (char *)attributes};
	}
	wire.callback(NULL, RPC_STATUS_SUCCESS, &res, wire.opaque);
}

static void add(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		ck_assert(join4_add(&files[i].op, &files[i].part));
	join4_send(NULL);
	ck_assert_ptr_null(wire.join);
}

static void check(unsigned from, unsigned to, int64_t result, unsigned alone)
{
	for (unsigned i = from; i < to; i++) {
		ck_assert_int_eq(files[i].result, result);
		ck_assert_uint_eq(files[i].alone, alone);
		ck_assert_uint_eq(files[i].op.rpcs, alone);
		ck_assert_int_eq(files[i].released, result != -1);
		ck_assert_uint_eq(files[i].seen, result == LEN);
		ck_assert_int_eq(files[i].data[LEN - 1], result == LEN ? 'x' : 0);
	}
}

START_TEST(test_all)
{
	add(4);
	ck_assert_uint_eq(wire.operations, 12);
	answer(4, 12, NFS4_OK, OP_READ);
	check(0, 4, LEN, 0);
	ck_assert_uint_eq(conn.join_most, JOIN4_MOST);
}
END_TEST

/* One fails at its first, second or third operation: those behind it are asked for alone, and so is it. */
START_TEST(test_part)
{
	add(5);
	answer(5, 6 + (unsigned)_i, NFS4ERR_ACCESS, OP_READ);
	check(0, 2, LEN, 0);
	check(2, 5, -1, 1);
	ck_assert_uint_eq(conn.join_most, JOIN4_MOST);
}
END_TEST

START_TEST(test_too_many)
{
	static const unsigned then[] = {5, 1};

	for (unsigned round = 0; round < 2; round++) {
		setup();
		atomic_store(&conn.join_most, round == 0 ? JOIN4_MOST : then[round - 1]);
		add(5);
		answer(0, _i, NFS4ERR_RESOURCE, OP_READ);
		check(0, 5, -1, 1);
		ck_assert_uint_eq(conn.join_most, then[round]);
	}
	ck_assert(!join4_add(&files[9].op, &files[9].part));
}
END_TEST

/* More results than there were questions, fewer, of another kind. */
START_TEST(test_nonsense)
{
	add(3);
	answer(3, _i == 0 ? 60 : 8, NFS4_OK, OP_READ);
	check(0, 3, -1, 1);
	setup();
	add(3);
	answer(3, 60, NFS4ERR_IO, OP_READ);
	check(0, 3, -1, 1);
	setup();
	add(3);
	answer(3, 9, NFS4_OK, OP_WRITE);
	check(0, 3, -EBADMSG, 0);
	setup();
	add(3);
	wire.more = 1;
	answer(3, 9, NFS4_OK, OP_READ);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(files[i].result, -EBADMSG);
}
END_TEST

START_TEST(test_connection)
{
	add(3);
	wire.callback(NULL, RPC_STATUS_CANCEL, NULL, wire.opaque);
	check(0, 3, -ECONNRESET, 0);
	setup();
	add(3);
	wire.callback(NULL, RPC_STATUS_ERROR, NULL, wire.opaque); /* it cannot be decoded there */
	check(0, 3, -1, 1);
	ck_assert_uint_eq(conn.join_most, 1);
	setup();
	wire.refused = 1;
	add(3);
	check(0, 3, -1, 1);
}
END_TEST

/* One that nobody wants any more is not asked for again. */
START_TEST(test_cancelled)
{
	add(3);
	op_complete(&files[0].op, -ECANCELED);
	op_complete(&files[2].op, -ECANCELED);
	answer(3, 4, NFS4ERR_IO, OP_READ);
	check(0, 1, -ECANCELED, 0);
	check(1, 2, -1, 1);
	check(2, 3, -ECANCELED, 0);
}
END_TEST

START_TEST(test_limits)
{
	add(1);
	ck_assert_uint_eq(wire.compounds, 0);
	check(0, 1, -1, 1);
	setup();
	add(JOIN4_MOST + 2); /* the first are sent when one more comes */
	ck_assert_uint_eq(wire.compounds, 2);
	ck_assert_uint_eq(wire.operations, 6);
	answer(2, 6, NFS4_OK, OP_READ);
	check(JOIN4_MOST, JOIN4_MOST + 2, LEN, 0);
	wire.callback(NULL, RPC_STATUS_CANCEL, NULL, wire.earlier);
	check(0, JOIN4_MOST, -ECONNRESET, 0);
	setup();
	files[0].part.len = files[0].request.len = 200u << 10; /* gains nothing */
	ck_assert(!join4_add(&files[0].op, &files[0].part));
	files[1].request.entry = NULL; /* nobody wants attributes */
	ck_assert(!join4_add(&files[1].op, &files[1].part));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("nfs join");
	TCase *tcase = tcase_create("join");
	tcase_add_checked_fixture(tcase, setup, NULL);
	tcase_add_test(tcase, test_all);
	tcase_add_loop_test(tcase, test_part, 1, 4);
	tcase_add_loop_test(tcase, test_too_many, 0, 2);
	tcase_add_loop_test(tcase, test_nonsense, 0, 2);
	tcase_add_test(tcase, test_connection);
	tcase_add_test(tcase, test_cancelled);
	tcase_add_test(tcase, test_limits);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
