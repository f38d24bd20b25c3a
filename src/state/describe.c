/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Entries of the state database as JSON. See describe.h.
 */
#include "state/describe.h"

#include "state/bytes.h"
#include "state/seal.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "wire/bytes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* --- parts --- */

static json_t *hex(const void *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	CLEAN_FREE char *text = malloc(2 * len + 1);
	if (!text)
		return NULL;
	for (size_t i = 0; i < len; i++) {
		uint8_t byte = ((const uint8_t *)bytes)[i];
		text[2 * i] = digits[byte >> 4];
		text[2 * i + 1] = digits[byte & 15];
	}
	return json_stringn(text, 2 * len);
}

/* JSON has no unsigned 64 bits: what does not fit is a string of digits. */
static json_t *number(uint64_t value)
{
	char text[24];
	if (value <= INT64_MAX)
		return json_integer((json_int_t)value);
	snprintf(text, sizeof(text), "%" PRIu64, value);
	return json_string(text);
}

static json_t *moment(const struct moment *when)
{
	return json_pack("{s:I, s:I}", "sec", (json_int_t)when->sec, "nsec", (json_int_t)when->nsec);
}

static json_t *digest(const struct digest *from)
{
	char text[DIGEST_TEXT_SIZE];
	return json_string(digest_text(from, text));
}

static json_t *handle(const struct handle *from)
{
	return json_pack("{s:i, s:o}", "type", from->type, "bytes", hex(from->bytes, from->len));
}

static void set(json_t *object, const char *key, json_t *value)
{
	json_object_set_new(object, key, value);
}

/* Text that is not terminated. False: there is a NUL in it. */
static bool set_text(json_t *object, const char *key, const void *bytes, size_t len)
{
	if (len && memchr(bytes, 0, len))
		return false;
	CLEAN_FREE char *text = strndup(len ? bytes : "", len);
	return text && bytes_set(object, key, text) == 0;
}

/* --- records: false when the entry is damaged --- */

static bool describe_dir(json_t *object, uint64_t ino, const MDB_val *key, const MDB_val *value)
{
	CLEAN_FREE struct dir_record *record = NULL;
	if (sealed_dir(key, value, &record))
		return false;
	set(object, "ino", number(ino));
	set(object, "handle", handle(&record->handle));
	set(object, "nlink", number(record->nlink));
	set(object, "atime", moment(&record->atime));
	set(object, "mtime", moment(&record->mtime));
	set(object, "inode_flags", number(record->inode_flags));
	set(object, "collisions_settled", json_boolean(record->collisions_settled));
	set(object, "source", hex(record->source.bytes, record->source.len));
	set(object, "lineage", hex(record->lineage.bytes, record->lineage.len));
	return true;
}

static bool describe_file(json_t *object, uint64_t ino, const MDB_val *key, const MDB_val *value)
{
	CLEAN_FREE struct file_record *record = NULL;
	if (sealed_file(key, value, &record))
		return false;
	set(object, "ino", number(ino));
	set(object, "handle", handle(&record->handle));
	set(object, "limit", number(record->limit));
	set(object, "segsize", number(record->segsize));
	set(object, "changed", json_boolean(record->changed));
	set(object, "attributes_changed", json_boolean(record->attributes_changed));
	set(object, "emptied", json_boolean(record->emptied));
	set(object, "renewals", number(record->renewals));
	set(object, "digest", record->undigested ? json_null() : digest(&record->digest));
	set(object, "mtime", record->mtime_valid ? moment(&record->mtime) : json_null());
	set(object, "inode_flags", number(record->inode_flags));
	set(object, "source_size", number(record->source_size));
	set(object, "source_used", number(record->source_used));
	set(object, "source_change", number(record->source_change));
	set(object, "source_mtime", moment(&record->source_mtime));
	set(object, "source_ctime", moment(&record->source_ctime));
	set(object, "shown_ctime", moment(&record->shown_ctime));
	set(object, "source", hex(record->source.bytes, record->source.len));
	return true;
}

static bool describe_segments(json_t *object, const MDB_val *key, const MDB_val *value)
{
	uint8_t bits[SEGMENT_CHUNK_BYTES];
	if (key->mv_size != 12 || sealed_chunk(key, value, bits))
		return false;
	uint32_t chunk = key_get_u32((const uint8_t *)key->mv_data + 8), changed = chunk >> 31;
	uint64_t first = (uint64_t)(chunk & INT32_MAX) * SEGMENT_CHUNK;
	json_t *ranges = json_array();
	for (unsigned at = 0; at < SEGMENT_CHUNK;) {
		unsigned end = at;
		while (end < SEGMENT_CHUNK && bits[end / 8] >> end % 8 & 1)
			end++;
		if (end > at)
			json_array_append_new(ranges, json_pack("[I, I]", (json_int_t)(first + at), (json_int_t)(end - at)));
		at = end + 1;
	}
	set(object, "ino", number(key_get_u64(key->mv_data)));
	set(object, "kind", json_string(changed ? "changed" : "resident"));
	set(object, "segments", ranges);
	return true;
}

static bool describe_link(json_t *object, const MDB_val *key, const MDB_val *value)
{
	struct link_record record;
	if (key->mv_size != 16)
		return false;
	uint64_t fsid = key_get_u64(key->mv_data), fileid = key_get_u64((const uint8_t *)key->mv_data + 8);
	if (link_record_decode(fsid, fileid, value->mv_data, value->mv_size, &record))
		return false;
	set(object, "fsid", number(fsid));
	set(object, "fileid", number(fileid));
	set(object, "ino", number(record.ino));
	set(object, "handle", handle(&record.handle));
	set(object, "nlink", number(record.nlink));
	set(object, "seen", number(record.seen));
	return true;
}

static bool describe_link_ino(json_t *object, uint64_t ino, const MDB_val *value)
{
	if (value->mv_size != 16)
		return false;
	set(object, "ino", number(ino));
	set(object, "fsid", number(key_get_u64(value->mv_data)));
	set(object, "fileid", number(key_get_u64((const uint8_t *)value->mv_data + 8)));
	return true;
}

static bool describe_error(json_t *object, uint64_t id, const MDB_val *value)
{
	static const char *const states[] = {
		[ERROR_RETRYING] = "retrying", [ERROR_WAITING] = "waiting", [ERROR_WAIVED] = "waived"};
	static const char *const kinds[] = {
		[ERROR_OF_DIR] = "directory", [ERROR_OF_FILE] = "file", [ERROR_OF_NAME] = "name",
		[ERROR_LOSS] = "loss",        [ERROR_DRIFT] = "drift",  [ERROR_PROTOCOL] = "protocol"};
	CLEAN_FREE struct error_record *record = NULL;
	if (error_record_decode(id, value->mv_data, value->mv_size, &record))
		return false;
	set(object, "id", number(id));
	set(object, "ino", number(record->ino));
	set(object, "kind", json_string(kinds[record->kind]));
	set(object, "state", json_string(states[record->state]));
	set(object, "errno", json_string(errno_name(record->error)));
	set(object, "told", record->told ? json_string(errno_name(record->told)) : json_null());
	set(object, "tries", number(record->tries));
	set(object, "first_ns", number(record->first_ns));
	set(object, "last_ns", number(record->last_ns));
	set(object, "bytes", number(record->bytes));
	bytes_set(object, "what", record->what);
	bytes_set(object, "path", record->path);
	bytes_set(object, "detail", record->detail);
	if (record->kind == ERROR_OF_NAME) {
		bytes_set(object, "name", record->name);
		set(object, "handle", handle(&record->handle));
		set(object, "source", hex(record->source.bytes, record->source.len));
	}
	return true;
}

static json_t *describe_digest(const struct digest_record *record)
{
	json_t *object = json_object();
	set(object, "ino", number(record->ino));
	set(object, "handle", handle(&record->handle));
	set(object, "size", number(record->size));
	set(object, "segsize", number(record->segsize));
	set(object, "mtime", moment(&record->mtime));
	set(object, "ctime", moment(&record->ctime));
	set(object, "digest", digest(&record->digest));
	return object;
}

static bool describe_digests(json_t *object, uint64_t ino, const MDB_val *key, const MDB_val *value)
{
	struct digests_reader reader;
	struct digest_record record;
	struct sealed sealed;
	if (seal_open(DB_DIGESTS, key, value, &sealed) || digests_open(ino, sealed.record, sealed.len, &reader))
		return false;
	set(object, "ino", number(ino));
	json_t *files = json_array();
	int more;
	while ((more = digests_next(&reader, &record)) > 0)
		json_array_append_new(files, describe_digest(&record));
	set(object, "files", files);
	return more == 0;
}

static bool describe_meta(json_t *object, const MDB_val *key, const MDB_val *value)
{
	struct sealed sealed;
	struct totals totals;
	if (!set_text(object, "name", key->mv_data, key->mv_size))
		return false;
	if (key->mv_size == strlen(META_TOTALS) && memcmp(key->mv_data, META_TOTALS, key->mv_size) == 0) {
		if (seal_open(DB_META, key, value, &sealed) || totals_decode(sealed.record, sealed.len, &totals))
			return false;
		json_t *members = json_object();
		const char *name;
		int64_t count;
		for (size_t i = 0; totals_member(&totals, i, &name, &count); i++)
			set(members, name, json_integer((json_int_t)count));
		set(object, "value", members);
		return true;
	}
	struct bytes_reader in = {.at = value->mv_data, .end = (const uint8_t *)value->mv_data + value->mv_size};
	uint64_t read = read_u64(&in);
	if (!read_complete(&in))
		return false;
	set(object, "value", number(read));
	return true;
}

static bool has_number_key(enum database database)
{
	return database == DB_DIRS || database == DB_FILES || database == DB_LINKS_INO || database == DB_ERRORS ||
	       database == DB_DIGESTS;
}

static bool describe(json_t *object, enum database database, const MDB_val *key, const MDB_val *value)
{
	if (has_number_key(database) && key->mv_size != 8)
		return false;
	uint64_t id = has_number_key(database) ? key_get_u64(key->mv_data) : 0;
	switch (database) {
	case DB_META:
		return describe_meta(object, key, value);
	case DB_IDENTITY:
		return set_text(object, "name", key->mv_data, key->mv_size) &&
		       set_text(object, "value", value->mv_data, value->mv_size);
	case DB_DIRS:
		return describe_dir(object, id, key, value);
	case DB_FILES:
		return describe_file(object, id, key, value);
	case DB_SEGMENTS:
		return describe_segments(object, key, value);
	case DB_LINKS:
		return describe_link(object, key, value);
	case DB_LINKS_INO:
		return describe_link_ino(object, id, value);
	case DB_ERRORS:
		return describe_error(object, id, value);
	case DB_DIGESTS:
		return describe_digests(object, id, key, value);
	case DATABASES:
		break;
	}
	return false;
}

json_t *describe_entry(enum database database, const MDB_val *key, const MDB_val *value)
{
	json_t *object = json_pack("{s:s}", "database", database_name(database));
	if (!object || describe(object, database, key, value))
		return object;
	json_object_clear(object);
	set(object, "database", json_string(database_name(database)));
	set(object, "error", json_string("EBADMSG"));
	set(object, "key", hex(key->mv_data, key->mv_size));
	set(object, "value", hex(value->mv_data, value->mv_size));
	return object;
}

/* --- keys --- */

static const char *key_as_hex(const MDB_val *key, char text[DESCRIBE_KEY_BYTES])
{
	size_t at = 0;
	text[0] = 0;
	for (size_t i = 0; i < key->mv_size && at + 3 < DESCRIBE_KEY_BYTES; i++)
		at += (size_t)sprintf(text + at, "%02x", ((const uint8_t *)key->mv_data)[i]);
	return text;
}

const char *describe_key(enum database database, const MDB_val *key, char text[DESCRIBE_KEY_BYTES])
{
	const uint8_t *bytes = key->mv_data;
	if (has_number_key(database) && key->mv_size == 8) {
		snprintf(text, DESCRIBE_KEY_BYTES, "%" PRIu64, key_get_u64(bytes));
	} else if (database == DB_SEGMENTS && key->mv_size == 12) {
		uint32_t chunk = key_get_u32(bytes + 8);
		snprintf(text, DESCRIBE_KEY_BYTES, "%" PRIu64 " %s chunk %" PRIu32, key_get_u64(bytes),
		         chunk >> 31 ? "changed" : "resident", chunk & INT32_MAX);
	} else if (database == DB_LINKS && key->mv_size == 16) {
		snprintf(text, DESCRIBE_KEY_BYTES, "%" PRIu64 ":%" PRIu64, key_get_u64(bytes), key_get_u64(bytes + 8));
	} else if ((database == DB_META || database == DB_IDENTITY) && key->mv_size && !memchr(bytes, 0, key->mv_size)) {
		snprintf(text, DESCRIBE_KEY_BYTES, "%.*s", (int)key->mv_size, (const char *)bytes);
	} else {
		return key_as_hex(key, text);
	}
	return text;
}
