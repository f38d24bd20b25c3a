/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The configuration database, looked at from outside: checked and dumped. See inspect.h; config.c describes its entries.
 */
#include "state/config.h"
#include "state/inspect_private.h"

#include "state/bytes.h"

#include "base/cleanup.h"
#include "property/property.h"
#include "wire/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAP_BYTES ((size_t)1 << 30)
#define READERS 512
#define PREFIX 5 /* bytes of a key before the name */
#define DATABASE "configuration"

static int open_env(const char *dir, MDB_env **env, char *error, size_t error_size)
{
	const struct engine_options options = {.map_bytes = MAP_BYTES, .readers = READERS};
	CLEAN_FD int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int result = dir_fd < 0 ? -errno : engine_exists(dir_fd);
	if (result == 0 || result == -ENOENT) {
		snprintf(error, error_size, "there is no configuration database in %s: no migration was ever created here", dir);
		return -ENOENT;
	}
	if (result == -EBADMSG) {
		engine_explain(MDB_INVALID, dir, "a configuration database", error, error_size);
		return result;
	}
	if (result < 0) {
		snprintf(error, error_size, "cannot open the configuration directory %s: %s", dir, strerror(-result));
		return result;
	}
	int code = engine_open_to_read(dir_fd, &options, env);
	if (code)
		engine_explain(code, dir, "a configuration database", error, error_size);
	return code == MDB_NOTFOUND ? -EBADMSG : engine_errno(code);
}

/* --- check --- */

struct check {
	const struct inspect_sink *sink;
	uint32_t migid, greatest, next;
	bool has_created, has_source, has_target;
	bool has_format;
};

static const char *key_text(void *context, const MDB_val *key, char text[])
{
	const uint8_t *bytes = key->mv_data;
	if (key->mv_size > PREFIX && key->mv_size <= PREFIX + CONFIG_NAME_MAX)
		sprintf(text, "%" PRIu32 " %.*s", key_get_u32(bytes), (int)(key->mv_size - PREFIX), (const char *)bytes + PREFIX);
	else
		sprintf(text, "%zu bytes", key->mv_size);
	return text;
}

static bool name_is(const MDB_val *key, const char *name)
{
	return key->mv_size - PREFIX == strlen(name) && memcmp((const char *)key->mv_data + PREFIX, name, strlen(name)) == 0;
}

static void tell(struct check *check, enum rule rule, const MDB_val *key, const char *what)
{
	char text[PREFIX + CONFIG_NAME_MAX + 32];
	inspect_tell(check->sink, rule, DATABASE, key_text(check, key, text), "%s", what);
}

static void end_migration(struct check *check)
{
	char migid[16];
	snprintf(migid, sizeof(migid), "%" PRIu32, check->migid);
	if (check->migid && !(check->has_created && check->has_source && check->has_target))
		inspect_tell(check->sink, RULE_CONFIG_MIGRATION, DATABASE, migid, "migration %s has no setting%s%s%s", migid,
		             check->has_created ? "" : " created", check->has_source ? "" : " source",
		             check->has_target ? "" : " target");
	check->has_created = check->has_source = check->has_target = false;
}

static void check_own(struct check *check, const MDB_val *key, const MDB_val *value)
{
	CLEAN_FREE char *text = strndup(value->mv_data, value->mv_size);
	char *end = text;
	if (name_is(key, "format")) {
		check->has_format = true;
		return; /* was checked before the walk */
	}
	if (!name_is(key, "next")) {
		tell(check, RULE_CONFIG_KEY, key, "a name that dmmfs does not know");
		return;
	}
	unsigned long next = text ? strtoul(text, &end, 10) : 0;
	if (!text || !value->mv_size || *end || next == 0 || next > UINT32_MAX)
		tell(check, RULE_CONFIG_VALUE, key, "no number of a migration");
	else
		check->next = (uint32_t)next;
}

/* A value that nothing would have set. What is no property is the program's own, or a plugin's. */
static void check_value(struct check *check, const MDB_val *key, const MDB_val *value)
{
	CLEAN_FREE char *name = strndup((const char *)key->mv_data + PREFIX, key->mv_size - PREFIX);
	CLEAN_FREE char *text = strndup(value->mv_size ? value->mv_data : "", value->mv_size);
	const struct property *property = name ? property_find(name) : NULL;
	char error[512];
	if (property && text && property_check(property, text, error, sizeof(error)) < 0)
		tell(check, RULE_CONFIG_VALUE, key, error);
}

static int check_entry(void *context, const MDB_val *key, const MDB_val *value)
{
	struct check *check = context;
	const uint8_t *bytes = key->mv_data;
	if (key->mv_size <= PREFIX || key->mv_size > PREFIX + CONFIG_NAME_MAX || bytes[4] != 0 ||
	    memchr(bytes + PREFIX, 0, key->mv_size - PREFIX)) {
		tell(check, RULE_CONFIG_KEY, key, "no number of a migration with the name of a setting");
		return 0;
	}
	uint32_t migid = key_get_u32(bytes);
	if (migid != check->migid)
		end_migration(check);
	check->migid = check->greatest = migid;
	if (value->mv_size && memchr(value->mv_data, 0, value->mv_size)) {
		tell(check, RULE_CONFIG_VALUE, key, "there is a NUL in the value");
		return 0;
	}
	if (migid == 0)
		check_own(check, key, value);
	else
		check_value(check, key, value);
	check->has_created = check->has_created || name_is(key, "created");
	check->has_source = check->has_source || name_is(key, "source");
	check->has_target = check->has_target || name_is(key, "target");
	return 0;
}

static int check_env(MDB_env *env, struct check *check, uint64_t *entries)
{
	struct walk walk = {
		.sink = check->sink, .database = DATABASE, .key_text = key_text, .each = check_entry, .context = check};
	uint64_t missing = 0;
	MDB_txn *txn;
	MDB_dbi dbi;
	MDB_stat stat;
	int code = engine_missing_bytes(env, &missing);
	if (missing)
		inspect_tell(check->sink, RULE_CUT_OFF, DATABASE, "", "data.mdb is %" PRIu64 " bytes shorter than it should be",
		             missing);
	if (!code)
		code = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);
	if (code)
		return code;
	code = mdb_dbi_open(txn, NULL, 0, &dbi);
	if (!code)
		code = inspect_walk(txn, dbi, &walk);
	if (!code)
		code = mdb_stat(txn, dbi, &stat);
	if (code && code != MDB_CORRUPTED)
		inspect_tell(check->sink, RULE_PAGES, DATABASE, "", "%s, after %" PRIu64 " entries", mdb_strerror(code),
		             walk.entries);
	if (!code && stat.ms_entries != walk.entries)
		inspect_tell(check->sink, RULE_COUNT, DATABASE, "", "%" PRIu64 " entries where there should be %zu", walk.entries,
		             stat.ms_entries);
	mdb_txn_abort(txn);
	*entries = walk.entries;
	return code;
}

int inspect_config_check(const char *dir, const struct inspect_sink *sink, char *error, size_t error_size)
{
	struct check check = {.sink = sink};
	uint64_t entries = 0;
	MDB_env *env;
	int result = open_env(dir, &env, error, error_size);
	if (result)
		return result;
	int code = check_env(env, &check, &entries);
	engine_close(env);
	if (code)
		return engine_errno(code);
	end_migration(&check);
	if (!check.has_format)
		inspect_tell(sink, RULE_CONFIG_KEY, DATABASE, "0 format", "the entry is missing");
	if (check.next <= check.greatest)
		inspect_tell(sink, RULE_CONFIG_VALUE, DATABASE, "0 next",
		             "the number that is given next, %" PRIu32 ", is not greater than all that were given, %" PRIu32,
		             check.next, check.greatest);
	return (int)(entries < INT32_MAX ? entries : INT32_MAX);
}

/* --- dump --- */

static int collect(void *context, const MDB_val *key, const MDB_val *value)
{
	const uint8_t *bytes = key->mv_data;
	if (key->mv_size <= PREFIX || key->mv_size > PREFIX + CONFIG_NAME_MAX)
		return 0; /* the check tells of it */
	CLEAN_FREE char *name = strndup((const char *)bytes + PREFIX, key->mv_size - PREFIX);
	CLEAN_FREE char *text = strndup(value->mv_size ? value->mv_data : "", value->mv_size);
	json_t *entry = json_pack("{s:s, s:I}", "database", DATABASE, "migid", (json_int_t)key_get_u32(bytes));
	if (!name || !text || !entry || bytes_set(entry, "name", name) || bytes_set(entry, "value", text)) {
		json_decref(entry);
		return ENOMEM;
	}
	return json_array_append_new(context, entry) ? ENOMEM : 0;
}

static const char *no_key_text(void *context, const MDB_val *key, char text[])
{
	text[0] = 0;
	return text;
}

int inspect_config_dump(const char *dir, const struct inspect_sink *sink, char *error, size_t error_size)
{
	json_t *entries = json_array(); /* settings are few: the transaction does not wait for who reads */
	struct walk walk = {.sink = sink, .database = DATABASE, .key_text = no_key_text, .each = collect, .context = entries};
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	int result = entries ? open_env(dir, &env, error, error_size) : -ENOMEM;
	if (result) {
		json_decref(entries);
		return result;
	}
	int code = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);
	if (!code) {
		code = mdb_dbi_open(txn, NULL, 0, &dbi);
		if (!code)
			code = inspect_walk(txn, dbi, &walk);
		mdb_txn_abort(txn);
	}
	engine_close(env);
	result = engine_errno(code);
	for (size_t i = 0; !result && i < json_array_size(entries); i++)
		result = sink->entry(sink->context, json_incref(json_array_get(entries, i)));
	json_decref(entries);
	return result;
}
