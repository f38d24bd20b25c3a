/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The error ledger of a state that no daemon serves, record by record.
 */
#include "state/bytes.h"
#include "state/codec.h"
#include "state/inspect_private.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>

/* In one transaction: nobody writes meanwhile, or he waits for nothing of ours. */
static int read_all(MDB_txn *txn, MDB_dbi dbi, int (*each)(void *context, const struct error_record *record), void *context)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	int result = 0, code = mdb_cursor_open(txn, dbi, &cursor);
	uint64_t before = 0;

	if (code)
		return engine_errno(code);
	for (code = mdb_cursor_get(cursor, &key, &value, MDB_FIRST); !code && result == 0;
	     code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
		CLEAN_FREE struct error_record *record = NULL;
		uint64_t id = key.mv_size == sizeof(id) ? key_get_u64(key.mv_data) : 0;
		result = id <= before ? -EBADMSG : error_record_decode(id, value.mv_data, value.mv_size, &record);
		if (result == 0)
			result = each(context, record);
		before = id;
	}
	mdb_cursor_close(cursor);
	return result ? result : code == MDB_NOTFOUND ? 0 : engine_errno(code);
}

int inspect_errors(struct inspection *inspection, int (*each)(void *context, const struct error_record *record), void *context)
{
	MDB_txn *txn;

	if (!inspection->has[DB_ERRORS])
		return 0;
	int code = mdb_txn_begin(inspection->env, NULL, MDB_RDONLY, &txn);
	if (code)
		return engine_errno(code);
	int result = read_all(txn, inspection->dbi[DB_ERRORS], each, context);
	mdb_txn_abort(txn);
	return result;
}
