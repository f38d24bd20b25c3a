/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the store remembers of itself, in the database "meta": numbers by name, and the totals.
 */
#include "state/bytes.h"
#include "state/seal.h"

static int get(MDB_txn *txn, MDB_dbi meta, const char *name, MDB_val *value)
{
	MDB_val key = {strlen(name), (void *)(uintptr_t)name};
	int code = mdb_get(txn, meta, &key, value);
	return code == MDB_NOTFOUND ? MDB_CORRUPTED : code; /* it was all written at the creation */
}

static int put(MDB_txn *txn, MDB_dbi meta, const char *name, const uint8_t *bytes, size_t len)
{
	MDB_val key = {strlen(name), (void *)(uintptr_t)name}, value = {len, (void *)(uintptr_t)bytes};
	return mdb_put(txn, meta, &key, &value, 0);
}

int engine_meta_get_number(MDB_txn *txn, MDB_dbi meta, const char *name, uint64_t *number)
{
	MDB_val value;
	int code = get(txn, meta, name, &value);
	if (code)
		return code;
	struct bytes_reader in = {.at = value.mv_data, .end = (const uint8_t *)value.mv_data + value.mv_size};
	uint64_t read = read_u64(&in);
	if (!read_complete(&in))
		return MDB_CORRUPTED;
	*number = read;
	return 0;
}

int engine_meta_put_number(MDB_txn *txn, MDB_dbi meta, const char *name, uint64_t number)
{
	uint8_t bytes[8];
	write_u64(bytes, number);
	return put(txn, meta, name, bytes, sizeof(bytes));
}

int engine_meta_get_totals(MDB_txn *txn, MDB_dbi meta, struct totals *totals)
{
	MDB_val name = {strlen(META_TOTALS), (void *)(uintptr_t)META_TOTALS}, value;
	struct sealed sealed;
	int code = get(txn, meta, META_TOTALS, &value);
	if (code)
		return code;
	code = seal_open(DB_META, &name, &value, &sealed);
	return !code && totals_decode(sealed.record, sealed.len, totals) ? MDB_CORRUPTED : code;
}

int engine_meta_put_totals(MDB_txn *txn, MDB_dbi meta, const struct totals *totals)
{
	MDB_val name = {strlen(META_TOTALS), (void *)(uintptr_t)META_TOTALS};
	uint8_t record[TOTALS_ROOM], bytes[TOTALS_ROOM + SEAL_ROOM];
	struct sealed sealed = {.record = record, .len = totals_encode(totals, record)};
	return put(txn, meta, META_TOTALS, bytes, seal_write(DB_META, &name, &sealed, bytes));
}
