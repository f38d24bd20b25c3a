/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Does a state keep what docs/FORMAT.md promises? One read transaction over all databases, so that what is compared belongs
 * together: each entry by itself, entries with those of other databases, totals with a recount.
 */
#include "state/inspect_private.h"

#include "state/bytes.h"
#include "state/describe.h"
#include "state/seal.h"

#include "base/cleanup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct check {
	struct inspection *inspection;
	const struct inspect_sink *sink;
	MDB_txn *txn;
	enum database database; /* that is walked */
	MDB_cursor *segments;
	struct {
		uint64_t next; /* the inode number of the entry that follows */
		bool is_known;
	} chain[DATABASES];
	uint64_t last_digest; /* inode number of the last digest record that was seen */
	struct totals stored, counted;
	bool has_totals;
	uint64_t next_error;
	struct inspect_identity *identity;
	bool has_uuid, has_source, has_planted;
};

static const char *key_text(void *context, const MDB_val *key, char text[])
{
	const struct check *check = context;
	return describe_key(check->database, key, text);
}

#define TELL(check, rule, key, ...) \
	do { \
		char text_of_key[DESCRIBE_KEY_BYTES]; \
		inspect_tell((check)->sink, rule, database_name((check)->database), \
		             describe_key((check)->database, key, text_of_key), __VA_ARGS__); \
	} while (0)

static int get(struct check *check, enum database database, const void *bytes, size_t len, MDB_val *value)
{
	MDB_val key = {len, (void *)(uintptr_t)bytes};
	return check->inspection->has[database] ? mdb_get(check->txn, check->inspection->dbi[database], &key, value)
	                                        : MDB_NOTFOUND;
}

/* False, after a finding, when the key is none of this database. */
static bool key_is(struct check *check, const MDB_val *key, size_t len)
{
	if (key->mv_size == len)
		return true;
	TELL(check, RULE_KEY, key, "a key of %zu bytes where all have %zu", key->mv_size, len);
	return false;
}

static void tell_damaged(struct check *check, const MDB_val *key, const MDB_val *value)
{
	TELL(check, RULE_RECORD, key, "a value of %zu bytes that dmmfs can not have written", value->mv_size);
}

/* --- meta and identity --- */

static bool is_name(const MDB_val *key, const char *name)
{
	return key->mv_size == strlen(name) && memcmp(key->mv_data, name, key->mv_size) == 0;
}

static int check_meta(void *context, const MDB_val *key, const MDB_val *value)
{
	struct check *check = context;
	if (is_name(key, META_TOTALS)) {
		struct sealed sealed;
		check->has_totals = seal_open(DB_META, key, value, &sealed) == 0 &&
		                    totals_decode(sealed.record, sealed.len, &check->stored) == 0;
		if (!check->has_totals)
			tell_damaged(check, key, value);
	} else if (is_name(key, META_FORMAT) || is_name(key, META_COMMIT) || is_name(key, META_NEXT_ERROR) ||
	           is_name(key, META_NOTED) || is_name(key, META_FIRST_DIR) || is_name(key, META_FIRST_FILE)) {
		if (value->mv_size != 8)
			tell_damaged(check, key, value);
	} else {
		TELL(check, RULE_KEY, key, "a name that dmmfs does not know");
	}
	return 0;
}

static void check_meta_complete(struct check *check)
{
	static const char *const names[] = {META_COMMIT,    META_NEXT_ERROR, META_NOTED,
	                                    META_FIRST_DIR, META_FIRST_FILE, META_TOTALS};
	MDB_val value;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (get(check, DB_META, names[i], strlen(names[i]), &value))
			inspect_tell(check->sink, RULE_META, database_name(DB_META), names[i], "the entry is missing");
	engine_meta_get_number(check->txn, check->inspection->dbi[DB_META], META_COMMIT, &check->identity->commit);
	engine_meta_get_number(check->txn, check->inspection->dbi[DB_META], META_NOTED, &check->identity->noted);
	if (engine_meta_get_number(check->txn, check->inspection->dbi[DB_META], META_NEXT_ERROR, &check->next_error) == 0 &&
	    check->next_error == 0)
		inspect_tell(check->sink, RULE_META, database_name(DB_META), META_NEXT_ERROR,
		             "the number 0, which is never given");
}

static void copy_text(char *to, size_t size, const MDB_val *value)
{
	snprintf(to, size, "%.*s", (int)value->mv_size, (const char *)value->mv_data);
}

static int check_identity(void *context, const MDB_val *key, const MDB_val *value)
{
	struct check *check = context;
	if (key->mv_size == 0 || key->mv_size > STORE_META_NAME_MAX || memchr(key->mv_data, 0, key->mv_size))
		TELL(check, RULE_KEY, key, "%zu bytes that are no name", key->mv_size);
	if (value->mv_size && memchr(value->mv_data, 0, value->mv_size)) {
		tell_damaged(check, key, value);
		return 0;
	}
	check->has_planted = check->has_planted || is_name(key, "planted");
	if (is_name(key, "uuid")) {
		check->has_uuid = true;
		copy_text(check->identity->uuid, sizeof(check->identity->uuid), value);
	}
	if (is_name(key, "witness"))
		copy_text(check->identity->witness, sizeof(check->identity->witness), value);
	if (is_name(key, "source")) {
		check->has_source = true;
		copy_text(check->identity->source, sizeof(check->identity->source), value);
	}
	return 0;
}

static void check_identity_complete(struct check *check)
{
	const struct {
		const char *name;
		bool there;
	} wanted[] = {{"uuid", check->has_uuid}, {"source", check->has_source}, {"planted", check->has_planted}};
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		if (!wanted[i].there)
			inspect_tell(check->sink, RULE_IDENTITY, database_name(DB_IDENTITY), wanted[i].name,
			             "the entry is missing");
}

/* --- directories, files, segments --- */

static void begin_chain(struct check *check, enum database database)
{
	check->chain[database].is_known = engine_meta_get_number(check->txn, check->inspection->dbi[DB_META],
	                                                         seal_first(database), &check->chain[database].next) == 0;
}

/* Is this the entry that the one before it names? `sealed` NULL: what it names nobody knows. */
static void follow_chain(struct check *check, const MDB_val *key, const struct sealed *sealed)
{
	enum database database = check->database;
	uint64_t wanted = check->chain[database].next, ino = key_get_u64(key->mv_data);
	if (check->chain[database].is_known && wanted != ino)
		TELL(check, RULE_CHAIN, key, "the entry before it says that %" PRIu64 " follows%s", wanted,
		     wanted ? "" : " none");
	check->chain[database].is_known = sealed;
	check->chain[database].next = sealed ? sealed->next : 0;
}

static void end_chain(struct check *check, enum database database)
{
	if (check->chain[database].is_known && check->chain[database].next)
		inspect_tell(check->sink, RULE_CHAIN, database_name(database), "", "the last entry says that %" PRIu64 " follows",
		             check->chain[database].next);
}

static int check_dir(void *context, const MDB_val *key, const MDB_val *value)
{
	struct check *check = context;
	CLEAN_FREE struct dir_record *record = NULL;
	struct sealed sealed;
	if (!key_is(check, key, 8))
		return 0;
	check->counted.dirs_found++; /* those not populated */
	bool is_whole = seal_open(DB_DIRS, key, value, &sealed) == 0;
	follow_chain(check, key, is_whole ? &sealed : NULL);
	if (!is_whole || dir_record_decode(key_get_u64(key->mv_data), sealed.record, sealed.len, &record))
		tell_damaged(check, key, value);
	return 0;
}

static uint64_t segments_of(uint64_t bytes, uint64_t segsize)
{
	return bytes / segsize + (bytes % segsize != 0);
}

/* The greatest segment that is marked in a chunk. */
static uint64_t last_marked(uint64_t base, const uint8_t bits[SEGMENT_CHUNK_BYTES])
{
	unsigned last = SEGMENT_CHUNK - 1;
	while (last > 0 && !(bits[last / 8] >> last % 8 & 1))
		last--;
	return base + last;
}

/* Bytes of the marked segments below the limit. */
static uint64_t marked_bytes(uint64_t base, const uint8_t bits[SEGMENT_CHUNK_BYTES], const struct file_record *file)
{
	uint64_t bytes = 0, n_segments = segments_of(file->limit, file->segsize);
	for (unsigned i = 0; i < SEGMENT_CHUNK && base + i < n_segments; i++) {
		if (!(bits[i / 8] >> i % 8 & 1))
			continue;
		uint64_t start = (base + i) * file->segsize, rest = file->limit - start;
		bytes += rest < file->segsize ? rest : file->segsize;
	}
	return bytes;
}

/* A limit that was cut leaves marks above it, which are nobody's; above the size at the source there can be none. */
static int check_file_segments(struct check *check, const MDB_val *file_key, const struct file_record *file, uint64_t wanted)
{
	uint64_t marked = 0, whole = file->limit > file->source_size ? file->limit : file->source_size;
	uint64_t n_segments = segments_of(whole, file->segsize), resident = 0;
	uint8_t bytes[12] = {0}, bits[SEGMENT_CHUNK_BYTES];
	MDB_val key = {sizeof(bytes), bytes}, value;
	memcpy(bytes, file_key->mv_data, 8);
	int code = check->segments ? mdb_cursor_get(check->segments, &key, &value, MDB_SET_RANGE) : MDB_NOTFOUND;
	while (!code && key.mv_size == 12 && memcmp(key.mv_data, file_key->mv_data, 8) == 0) {
		uint32_t chunk = key_get_u32((const uint8_t *)key.mv_data + 8);
		uint64_t base = (uint64_t)(chunk & INT32_MAX) * SEGMENT_CHUNK;
		if (sealed_chunk(&key, &value, bits) == 0) { /* damage is told where the segments are walked */
			if (last_marked(base, bits) >= n_segments)
				TELL(check, RULE_SEGMENTS_BEYOND, file_key,
				     "segment %" PRIu64 " is marked, but the file has %" PRIu64, last_marked(base, bits),
				     n_segments);
			if (!(chunk >> 31)) {
				resident += marked_bytes(base, bits, file);
				marked += chunk_marked(bits);
			}
		}
		code = mdb_cursor_get(check->segments, &key, &value, MDB_NEXT);
	}
	check->counted.bytes_pending += (int64_t)(file->limit - resident);
	if (marked != wanted)
		TELL(check, RULE_SEGMENTS_LOST, file_key, "%" PRIu64 " segments are marked where there should be %" PRIu64,
		     marked, wanted);
	return code == MDB_NOTFOUND ? 0 : code;
}

static int check_file(void *context, const MDB_val *key, const MDB_val *value)
{
	struct check *check = context;
	CLEAN_FREE struct file_record *record = NULL;
	struct sealed sealed;
	if (!key_is(check, key, 8))
		return 0;
	check->counted.files_pending++;
	bool is_whole = seal_open(DB_FILES, key, value, &sealed) == 0;
	follow_chain(check, key, is_whole ? &sealed : NULL);
	if (!is_whole || file_record_decode(key_get_u64(key->mv_data), sealed.record, sealed.len, &record)) {
		tell_damaged(check, key, value);
		return 0;
	}
	return check_file_segments(check, key, record, sealed.marked);
}

static int check_segments(void *context, const MDB_val *key, const MDB_val *value)
{
	static const uint8_t none[SEGMENT_CHUNK_BYTES];
	struct check *check = context;
	uint8_t bits[SEGMENT_CHUNK_BYTES];
	MDB_val file;
	if (!key_is(check, key, 12))
		return 0;
	if (sealed_chunk(key, value, bits))
		tell_damaged(check, key, value);
	else if (memcmp(bits, none, sizeof(bits)) == 0)
		TELL(check, RULE_SEGMENTS_EMPTY, key, "a chunk in which no segment is marked");
	int code = get(check, DB_FILES, key->mv_data, 8, &file);
	if (code == MDB_NOTFOUND) {
		TELL(check, RULE_SEGMENTS_ORPHANED, key, "segments of a file that has no record");
		code = 0;
	}
	return code;
}

/* --- files with several names --- */

static int check_link(void *context, const MDB_val *key, const MDB_val *value)
{
	struct check *check = context;
	struct link_record record;
	uint8_t ino[8];
	MDB_val index;
	if (!key_is(check, key, 16))
		return 0;
	check->counted.links_pending++;
	if (link_record_decode(key_get_u64(key->mv_data), key_get_u64((const uint8_t *)key->mv_data + 8), value->mv_data,
	                       value->mv_size, &record)) {
		tell_damaged(check, key, value);
		return 0;
	}
	key_put_u64(ino, record.ino);
	int code = get(check, DB_LINKS_INO, ino, sizeof(ino), &index);
	if (code == MDB_NOTFOUND || (!code && (index.mv_size != 16 || memcmp(index.mv_data, key->mv_data, 16) != 0))) {
		TELL(check, RULE_LINK_INDEX, key, "links-ino %s of its inode %" PRIu64,
		     code ? "has no entry" : "leads elsewhere from the entry", record.ino);
		code = 0;
	}
	return code;
}

static int check_link_ino(void *context, const MDB_val *key, const MDB_val *value)
{
	struct check *check = context;
	struct link_record record;
	MDB_val link;
	if (!key_is(check, key, 8))
		return 0;
	if (value->mv_size != 16) {
		tell_damaged(check, key, value);
		return 0;
	}
	int code = get(check, DB_LINKS, value->mv_data, 16, &link);
	if (code && code != MDB_NOTFOUND)
		return code;
	if (code)
		TELL(check, RULE_LINK_INDEX, key, "it leads to a record that is not there");
	else if (link_record_decode(0, 0, link.mv_data, link.mv_size, &record) == 0 && record.ino != key_get_u64(key->mv_data))
		TELL(check, RULE_LINK_INDEX, key, "it leads to the record of inode %" PRIu64, record.ino);
	return 0;
}

/* --- errors --- */

/* Losses and drift are told, and counted nowhere. */
static void count_error(struct totals *counted, const struct error_record *record)
{
	bool waived = record->state == ERROR_WAIVED;
	if (record->kind == ERROR_OF_DIR)
		++*(waived ? &counted->dirs_waived : &counted->dirs_error);
	else if (record->kind == ERROR_OF_FILE)
		++*(waived ? &counted->files_waived : &counted->files_error);
	else if (record->kind == ERROR_OF_NAME)
		++*(waived ? &counted->names_waived : &counted->files_error);
}

static int check_error(void *context, const MDB_val *key, const MDB_val *value)
{
	struct check *check = context;
	CLEAN_FREE struct error_record *record = NULL;
	if (!key_is(check, key, 8))
		return 0;
	uint64_t id = key_get_u64(key->mv_data);
	if (id == 0 || id >= check->next_error)
		TELL(check, RULE_ERROR_ID, key, "the number is not below next-error, %" PRIu64, check->next_error);
	if (error_record_decode(id, value->mv_data, value->mv_size, &record))
		tell_damaged(check, key, value);
	else
		count_error(&check->counted, record);
	return 0;
}

/* --- digests --- */

/* Each record is behind the one before it, in this block and the last. */
static int check_digests(void *context, const MDB_val *key, const MDB_val *value)
{
	struct check *check = context;
	struct digests_reader reader;
	struct digest_record record;
	struct sealed sealed;
	if (!key_is(check, key, 8))
		return 0;
	uint64_t first = key_get_u64(key->mv_data);
	int more =
		seal_open(DB_DIGESTS, key, value, &sealed) ? -EBADMSG : digests_open(first, sealed.record, sealed.len, &reader);
	if (first <= check->last_digest)
		TELL(check, RULE_ORDER, key, "the block before it has records up to %" PRIu64, check->last_digest);
	while (more >= 0 && (more = digests_next(&reader, &record)) > 0)
		check->last_digest = record.ino;
	if (more < 0)
		tell_damaged(check, key, value);
	return 0;
}

/* --- the whole --- */

static void compare(struct check *check, const char *member, int64_t stored, int64_t counted)
{
	if (stored != counted)
		inspect_tell(check->sink, RULE_TOTALS, database_name(DB_META), META_TOTALS,
		             "%s is %" PRId64 ", counted are %" PRId64, member, stored, counted);
}

static void check_totals(struct check *check)
{
	const struct totals *stored = &check->stored, *counted = &check->counted;
	if (!check->has_totals)
		return;
	compare(check, "dirs_found - dirs_migrated", stored->dirs_found - stored->dirs_migrated, counted->dirs_found);
	compare(check, "files_pending", stored->files_pending, counted->files_pending);
	compare(check, "bytes_pending", stored->bytes_pending, counted->bytes_pending);
	compare(check, "links_pending", stored->links_pending, counted->links_pending);
	compare(check, "files_error", stored->files_error, counted->files_error);
	compare(check, "dirs_error", stored->dirs_error, counted->dirs_error);
	compare(check, "files_waived", stored->files_waived, counted->files_waived);
	compare(check, "dirs_waived", stored->dirs_waived, counted->dirs_waived);
	compare(check, "names_waived", stored->names_waived, counted->names_waived);
}

static int (*const checks[DATABASES])(void *context, const MDB_val *key, const MDB_val *value) = {
	[DB_META] = check_meta,          [DB_IDENTITY] = check_identity, [DB_DIRS] = check_dir,
	[DB_FILES] = check_file,         [DB_SEGMENTS] = check_segments, [DB_LINKS] = check_link,
	[DB_LINKS_INO] = check_link_ino, [DB_ERRORS] = check_error,      [DB_DIGESTS] = check_digests,
};

/* Entries read, or LMDB's code as a negative number. */
static int check_database(struct check *check, enum database database, int64_t *entries)
{
	MDB_dbi dbi = check->inspection->dbi[database];
	struct walk walk = {.sink = check->sink,
	                    .database = database_name(database),
	                    .key_text = key_text,
	                    .each = checks[database],
	                    .context = check};
	MDB_stat stat;
	check->database = database;
	if (!check->inspection->has[database]) {
		inspect_tell(check->sink, RULE_DATABASE_MISSING, database_name(database), "", "there is no such database");
		return 0;
	}
	if (is_chained(database))
		begin_chain(check, database);
	int code = inspect_walk(check->txn, dbi, &walk);
	if (!code && is_chained(database))
		end_chain(check, database);
	*entries += (int64_t)walk.entries;
	if (code && code != MDB_CORRUPTED)
		inspect_tell(check->sink, RULE_PAGES, database_name(database), "", "%s, after %" PRIu64 " entries",
		             mdb_strerror(code), walk.entries);
	if (!code)
		code = mdb_stat(check->txn, dbi, &stat);
	if (!code && stat.ms_entries != walk.entries)
		inspect_tell(check->sink, RULE_COUNT, database_name(database), "",
		             "%" PRIu64 " entries where there should be %zu", walk.entries, stat.ms_entries);
	return code;
}

/* Databases are entries of the unnamed one. */
static int check_name(void *context, const MDB_val *key, const MDB_val *value)
{
	struct check *check = context;
	for (int i = 0; i < DATABASES; i++)
		if (is_name(key, database_name((enum database)i)))
			return 0;
	char name[64];
	copy_text(name, sizeof(name), key);
	inspect_tell(check->sink, RULE_DATABASE_UNKNOWN, "", name, "a database or an entry that is not dmmfs's");
	return 0;
}

static int check_names(struct check *check)
{
	MDB_dbi dbi;
	struct walk walk = {.sink = check->sink, .database = "", .key_text = key_text, .each = check_name, .context = check};
	check->database = DB_META; /* its keys are names, too */
	int code = mdb_dbi_open(check->txn, NULL, 0, &dbi);
	return code ? code : inspect_walk(check->txn, dbi, &walk);
}

static int check_all(struct check *check, int64_t *entries)
{
	uint64_t missing = 0;
	int first = 0, code = engine_missing_bytes(check->inspection->env, &missing);
	if (!code && missing)
		inspect_tell(check->sink, RULE_CUT_OFF, "", "", "data.mdb is %" PRIu64 " bytes shorter than it should be",
		             missing);
	if (!code)
		code = check_names(check);
	if (code)
		return code;
	check_meta_complete(check);
	if (check->inspection->has[DB_SEGMENTS])
		code = mdb_cursor_open(check->txn, check->inspection->dbi[DB_SEGMENTS], &check->segments);
	for (int i = 0; !code && i < DATABASES; i++) {
		int broken = check_database(check, (enum database)i, entries); /* the others may be whole */
		first = first ? first : broken;
	}
	if (check->segments)
		mdb_cursor_close(check->segments);
	code = code ? code : first;
	if (!code) { /* what was not seen to its end can not be compared */
		check_identity_complete(check);
		check_totals(check);
	}
	return code;
}

int64_t inspect_check(struct inspection *inspection, const struct inspect_sink *sink, struct inspect_identity *identity)
{
	struct inspect_identity unwanted = {0};
	struct check check = {.inspection = inspection, .sink = sink, .identity = identity ? identity : &unwanted};
	int64_t entries = 0;
	*check.identity = (struct inspect_identity){0};
	int code = mdb_txn_begin(inspection->env, NULL, MDB_RDONLY, &check.txn);
	if (code)
		return engine_errno(code);
	code = check_all(&check, &entries);
	mdb_txn_abort(check.txn);
	/* Without a table of readers nobody knew of us: a daemon that came meanwhile may have written over what was read. */
	if (!inspection->has_readers && engine_has_readers(inspection->dir_fd))
		return -EAGAIN;
	return code ? engine_errno(code) : entries;
}
