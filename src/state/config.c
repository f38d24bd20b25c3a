/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The configuration database. One unnamed LMDB database:
 *
 *   migid (32 bits, big endian), 0x00, name -> value, a string without NUL
 *
 * so that the settings of a migration lie together and migrations ascend. Migid 0 is the database itself: its format, and the
 * next migid to give. A migration exists as long as it has a setting; it is born with "created".
 *
 * Locks: LMDB's writer lock, across processes. No transaction is open while a caller's function runs. Creation of the database
 * is guarded by flock(2) on the directory.
 */
#include "state/config.h"

#include "state/bytes.h"
#include "state/engine.h"

#include "base/cleanup.h"
#include "base/fault.h"
#include "dmmfs-config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FORMAT "1"

/* Settings are few: no process ever needs another size of the map than the others have. */
#define MAP_BYTES ((size_t)1 << 30)
#define READERS 512

#define PREFIX 5 /* bytes of a key before the name */
#define KEY_ROOM (PREFIX + CONFIG_NAME_MAX)

struct config {
	MDB_env *env;
	MDB_dbi dbi;
};

const char *config_default_dir(void)
{
	const char *dir = getenv("DMMFS_CONFDIR");
	return dir && *dir ? dir : DMM_CONFDIR;
}

/* --- keys and transactions. Functions named db_ return LMDB's codes. --- */

struct key {
	uint8_t bytes[KEY_ROOM];
	size_t len;
};

/* False when the name is none. */
static bool key_make(struct key *key, uint32_t migid, const char *name)
{
	size_t len = strlen(name);
	if (len == 0 || len > CONFIG_NAME_MAX)
		return false;
	key_put_u32(key->bytes, migid);
	key->bytes[4] = 0;
	memcpy(key->bytes + PREFIX, name, len);
	key->len = PREFIX + len;
	return true;
}

static int db_put(MDB_txn *txn, MDB_dbi dbi, uint32_t migid, const char *name, const char *value)
{
	struct key bytes;
	if (!key_make(&bytes, migid, name))
		return EINVAL;
	MDB_val key = {bytes.len, bytes.bytes}, data = {value ? strlen(value) : 0, (void *)(uintptr_t)value};
	if (value)
		return mdb_put(txn, dbi, &key, &data, 0);
	int code = mdb_del(txn, dbi, &key, NULL);
	return code == MDB_NOTFOUND ? 0 : code;
}

static int db_get(MDB_txn *txn, MDB_dbi dbi, uint32_t migid, const char *name, MDB_val *value)
{
	struct key bytes;
	if (!key_make(&bytes, migid, name))
		return EINVAL;
	MDB_val key = {bytes.len, bytes.bytes};
	return mdb_get(txn, dbi, &key, value);
}

/* The first key that belongs to a migid not less than `from`. */
static int db_seek(MDB_cursor *cursor, uint32_t from, MDB_val *key, MDB_val *value, uint32_t *migid)
{
	uint8_t bytes[4];
	key_put_u32(bytes, from);
	*key = (MDB_val){sizeof(bytes), bytes};
	int code = mdb_cursor_get(cursor, key, value, MDB_SET_RANGE);
	if (code)
		return code;
	if (key->mv_size <= PREFIX)
		return MDB_CORRUPTED;
	*migid = key_get_u32(key->mv_data);
	return 0;
}

static int db_exists(MDB_txn *txn, MDB_dbi dbi, uint32_t migid)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	uint32_t found;
	int code = mdb_cursor_open(txn, dbi, &cursor);
	if (code)
		return code;
	code = db_seek(cursor, migid, &key, &value, &found);
	mdb_cursor_close(cursor);
	return !code && found != migid ? MDB_NOTFOUND : code;
}

static int commit_or_abort(MDB_txn *txn, int code)
{
	if (!code)
		code = -fault_hit(FAULT_CONFIG_READY);
	if (!code) {
		code = mdb_txn_commit(txn);
		return code ? engine_errno(code) : fault_hit(FAULT_CONFIG_DONE);
	}
	mdb_txn_abort(txn);
	return engine_errno(code);
}

/* --- opening --- */

static int fill_new(MDB_env *env, MDB_txn *txn)
{
	MDB_dbi dbi;
	int code = mdb_dbi_open(txn, NULL, 0, &dbi);
	if (!code)
		code = db_put(txn, dbi, 0, "format", FORMAT);
	if (!code)
		code = db_put(txn, dbi, 0, "next", "1");
	return code;
}

static int open_dir(const char *dir, int create, int *opened, char *error, size_t error_size)
{
	if (create && mkdir(dir, 0700) && errno != EEXIST) {
		int code = -errno;
		snprintf(error, error_size, "cannot create the configuration directory %s: %m", dir);
		return code;
	}
	CLEAN_FD int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st)) {
		int code = -errno;
		snprintf(error, error_size, "cannot open the configuration directory %s: %m", dir);
		return code;
	}
	/* What is in there decides what is mounted where. */
	if (st.st_uid != 0 && st.st_uid != geteuid()) {
		snprintf(error, error_size, "the configuration directory %s belongs to user %u and not to root: chown root %s",
		         dir, st.st_uid, dir);
		return -EPERM;
	}
	if (st.st_mode & (S_IWGRP | S_IWOTH)) {
		snprintf(error, error_size, "the configuration directory %s may be written to by others than root: chmod 0700 %s",
		         dir, dir);
		return -EPERM;
	}
	*opened = steal_fd(&fd);
	return 0;
}

/* The lock of the directory is held. */
static int open_env(int dir_fd, const char *dir, int create, struct config *config, char *error, size_t error_size)
{
	struct engine_options options = {.map_bytes = MAP_BYTES, .readers = READERS};
	int code = 0, exists = engine_exists(dir_fd);

	if (exists < 0) {
		engine_explain(exists == -EBADMSG ? MDB_INVALID : -exists, dir, "a configuration database", error, error_size);
		return exists;
	}
	if (!exists && !create) {
		snprintf(error, error_size, "there is no configuration database in %s: no migration was ever created here", dir);
		return -ENOENT;
	}
	if (!exists)
		code = engine_create(dir_fd, &options, fill_new);
	if (!code)
		code = engine_open(dir_fd, &options, &config->env);
	if (code)
		engine_explain(code, dir, "a configuration database", error, error_size);
	return engine_errno(code);
}

static int check_format(const char *dir, struct config *config, char *error, size_t error_size)
{
	MDB_txn *txn;
	MDB_val format;
	int code = mdb_txn_begin(config->env, NULL, MDB_RDONLY, &txn);
	if (code) {
		engine_explain(code, dir, "a configuration database", error, error_size);
		return engine_errno(code);
	}
	code = mdb_dbi_open(txn, NULL, 0, &config->dbi);
	if (!code)
		code = db_get(txn, config->dbi, 0, "format", &format);
	if (code) {
		engine_explain(code, dir, "a configuration database", error, error_size);
		code = code == MDB_NOTFOUND ? -EBADMSG : engine_errno(code);
	} else if (format.mv_size != strlen(FORMAT) || memcmp(format.mv_data, FORMAT, format.mv_size) != 0) {
		snprintf(error, error_size,
		         "the configuration database in %s has format version %.*s, this dmmfs knows version " FORMAT
		         ": use the dmmfs that wrote it",
		         dir, (int)(format.mv_size < 16 ? format.mv_size : 16), (const char *)format.mv_data);
		code = -EPROTO;
	}
	if (code)
		mdb_txn_abort(txn);
	else
		code = engine_errno(mdb_txn_commit(txn)); /* keeps the handle */
	return code;
}

int config_open(const char *dir, int create, struct config **opened, char *error, size_t error_size)
{
	CLEAN_FD int dir_fd = -1;
	int code = open_dir(dir, create, &dir_fd, error, error_size);
	if (code)
		return code;
	struct config *config = calloc(1, sizeof(*config));
	if (!config) {
		snprintf(error, error_size, "out of memory");
		return -ENOMEM;
	}
	/* Given back with the descriptor. */
	while (flock(dir_fd, LOCK_EX))
		if (errno != EINTR) {
			code = -errno;
			snprintf(error, error_size, "cannot lock %s: %m", dir);
			break;
		}
	if (!code)
		code = open_env(dir_fd, dir, create, config, error, error_size);
	if (!code)
		code = check_format(dir, config, error, error_size);
	if (code) {
		config_close(config);
		return code;
	}
	*opened = config;
	return 0;
}

void config_close(struct config *config)
{
	if (!config)
		return;
	engine_close(config->env);
	free(config);
}

/* --- changing --- */

/* A decimal number, of which nothing but digits is accepted. */
static int number_parse(const MDB_val *value, uint32_t *number)
{
	uint64_t read = 0;
	if (value->mv_size == 0 || value->mv_size > 10)
		return MDB_CORRUPTED;
	for (size_t i = 0; i < value->mv_size; i++) {
		uint8_t digit = (uint8_t)(((const uint8_t *)value->mv_data)[i] - '0');
		if (digit > 9)
			return MDB_CORRUPTED;
		read = read * 10 + digit;
	}
	if (read == 0 || read > UINT32_MAX)
		return MDB_CORRUPTED;
	*number = (uint32_t)read;
	return 0;
}

static int db_create(MDB_txn *txn, MDB_dbi dbi, uint32_t *migid)
{
	char text[24];
	MDB_val next;
	int code = db_get(txn, dbi, 0, "next", &next);
	if (!code)
		code = number_parse(&next, migid);
	if (code)
		return code == MDB_NOTFOUND ? MDB_CORRUPTED : code;
	if (*migid == UINT32_MAX)
		return EOVERFLOW;
	snprintf(text, sizeof(text), "%" PRIu32, *migid + 1);
	code = db_put(txn, dbi, 0, "next", text);
	snprintf(text, sizeof(text), "%lld", (long long)time(NULL));
	return code ? code : db_put(txn, dbi, *migid, "created", text);
}

int config_create_with(struct config *config, const struct config_pair *pairs, size_t n_pairs, uint32_t *migid)
{
	MDB_txn *txn;
	uint32_t given = 0;
	int code = mdb_txn_begin(config->env, NULL, 0, &txn);
	if (code)
		return engine_errno(code);
	code = db_create(txn, config->dbi, &given);
	for (size_t i = 0; !code && i < n_pairs; i++)
		code = db_put(txn, config->dbi, given, pairs[i].name, pairs[i].value);
	code = commit_or_abort(txn, code);
	if (!code)
		*migid = given;
	return code;
}

int config_create(struct config *config, uint32_t *migid)
{
	return config_create_with(config, NULL, 0, migid);
}

static int db_delete_all(MDB_txn *txn, MDB_dbi dbi, uint32_t migid)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	uint32_t found;
	size_t n = 0;
	int code = mdb_cursor_open(txn, dbi, &cursor);
	if (code)
		return code;
	while ((code = db_seek(cursor, migid, &key, &value, &found)) == 0 && found == migid) {
		code = mdb_cursor_del(cursor, 0);
		if (code)
			break;
		n++;
	}
	mdb_cursor_close(cursor);
	if (code && code != MDB_NOTFOUND)
		return code;
	return n ? 0 : MDB_NOTFOUND;
}

int config_delete(struct config *config, uint32_t migid)
{
	MDB_txn *txn;
	if (migid == 0)
		return -EINVAL;
	int code = mdb_txn_begin(config->env, NULL, 0, &txn);
	if (code)
		return engine_errno(code);
	return commit_or_abort(txn, db_delete_all(txn, config->dbi, migid));
}

/* Is the setting as the caller read it? */
static int db_expect(MDB_txn *txn, MDB_dbi dbi, uint32_t migid, const struct config_pair *pair)
{
	MDB_val stored;
	int code = db_get(txn, dbi, migid, pair->name, &stored);
	if (code && code != MDB_NOTFOUND)
		return code;
	if (code == MDB_NOTFOUND || !pair->value)
		return (code == MDB_NOTFOUND || !stored.mv_size) == !pair->value ? 0 : EAGAIN;
	size_t len = strlen(pair->value);
	return stored.mv_size == len && memcmp(stored.mv_data, pair->value, len) == 0 ? 0 : EAGAIN;
}

int config_update(struct config *config, uint32_t migid, const struct config_pair *pairs, size_t n_pairs,
                  const struct config_pair *expected, size_t n_expected)
{
	MDB_txn *txn;
	if (migid == 0)
		return -EINVAL;
	int code = mdb_txn_begin(config->env, NULL, 0, &txn);
	if (code)
		return engine_errno(code);
	code = db_exists(txn, config->dbi, migid);
	for (size_t i = 0; !code && i < n_expected; i++)
		code = db_expect(txn, config->dbi, migid, &expected[i]);
	for (size_t i = 0; !code && i < n_pairs; i++)
		code = db_put(txn, config->dbi, migid, pairs[i].name, pairs[i].value);
	return commit_or_abort(txn, code);
}

int config_set(struct config *config, uint32_t migid, const char *name, const char *value)
{
	return config_update(config, migid, &(struct config_pair){name, value}, 1, NULL, 0);
}

int config_set_many(struct config *config, uint32_t migid, const char *const *names_and_values)
{
	size_t n_pairs = 0;
	for (; names_and_values[2 * n_pairs]; n_pairs++)
		if (!names_and_values[2 * n_pairs + 1])
			return -EINVAL; /* a name without a value */
	CLEAN_FREE struct config_pair *pairs = calloc(n_pairs + 1, sizeof(*pairs));
	if (!pairs)
		return -ENOMEM;
	for (size_t i = 0; i < n_pairs; i++)
		pairs[i] = (struct config_pair){names_and_values[2 * i], names_and_values[2 * i + 1]};
	return config_update(config, migid, pairs, n_pairs, NULL, 0);
}

/* --- reading --- */

int config_get(struct config *config, uint32_t migid, const char *name, char **value)
{
	MDB_txn *txn;
	MDB_val stored;
	char *copy = NULL;
	if (migid == 0)
		return -EINVAL;
	int code = mdb_txn_begin(config->env, NULL, MDB_RDONLY, &txn);
	if (code)
		return engine_errno(code);
	code = db_get(txn, config->dbi, migid, name, &stored);
	if (!code && stored.mv_size && memchr(stored.mv_data, 0, stored.mv_size))
		code = MDB_CORRUPTED;
	if (!code) {
		copy = strndup(stored.mv_data, stored.mv_size);
		code = copy ? 0 : ENOMEM;
	}
	mdb_txn_abort(txn);
	if (!code)
		*value = copy;
	return engine_errno(code);
}

/* Names and values in turn, each with its NUL. */
struct settings {
	char *bytes;
	size_t used, room;
};

static int settings_append(struct settings *settings, const void *bytes, size_t len)
{
	if (len && memchr(bytes, 0, len))
		return MDB_CORRUPTED;
	if (settings->room - settings->used < len + 1) {
		size_t room = (settings->used + len + 1) * 2;
		char *grown = realloc(settings->bytes, room);
		if (!grown)
			return ENOMEM;
		settings->bytes = grown;
		settings->room = room;
	}
	memcpy(settings->bytes + settings->used, bytes, len);
	settings->bytes[settings->used + len] = 0;
	settings->used += len + 1;
	return 0;
}

static int db_collect(MDB_txn *txn, MDB_dbi dbi, uint32_t migid, struct settings *settings)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	uint32_t found;
	int code = mdb_cursor_open(txn, dbi, &cursor);
	if (code)
		return code;
	code = db_seek(cursor, migid, &key, &value, &found);
	while (!code && found == migid) {
		code = settings_append(settings, (const uint8_t *)key.mv_data + PREFIX, key.mv_size - PREFIX);
		if (!code)
			code = settings_append(settings, value.mv_data, value.mv_size);
		if (!code)
			code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
		if (!code && key.mv_size <= PREFIX)
			code = MDB_CORRUPTED;
		if (!code)
			found = key_get_u32(key.mv_data);
	}
	mdb_cursor_close(cursor);
	return code == MDB_NOTFOUND ? 0 : code;
}

int config_walk(struct config *config, uint32_t migid, int (*each)(void *context, const char *name, const char *value),
                void *context)
{
	struct settings settings = {0};
	MDB_txn *txn;
	if (migid == 0)
		return -EINVAL;
	int code = mdb_txn_begin(config->env, NULL, MDB_RDONLY, &txn);
	if (code)
		return engine_errno(code);
	code = db_collect(txn, config->dbi, migid, &settings);
	mdb_txn_abort(txn);

	int result = engine_errno(code);
	for (size_t at = 0; !result && at < settings.used;) {
		const char *name = settings.bytes + at, *value = name + strlen(name) + 1;
		at = (size_t)(value + strlen(value) + 1 - settings.bytes);
		result = each(context, name, value);
	}
	free(settings.bytes);
	return result;
}

int config_list(struct config *config, uint32_t after, uint32_t *migids, size_t max)
{
	MDB_txn *txn;
	MDB_cursor *cursor;
	MDB_val key, value;
	int n = 0;
	int code = mdb_txn_begin(config->env, NULL, MDB_RDONLY, &txn);
	if (code)
		return engine_errno(code);
	code = mdb_cursor_open(txn, config->dbi, &cursor);
	if (!code) {
		while ((size_t)n < max && n < INT32_MAX && after != UINT32_MAX) {
			code = db_seek(cursor, after + 1, &key, &value, &after);
			if (code)
				break;
			migids[n++] = after;
		}
		mdb_cursor_close(cursor);
	}
	mdb_txn_abort(txn);
	return code && code != MDB_NOTFOUND ? engine_errno(code) : n;
}

static bool db_equals(MDB_txn *txn, MDB_dbi dbi, uint32_t migid, const char *name, const char *value)
{
	MDB_val stored;
	return db_get(txn, dbi, migid, name, &stored) == 0 && stored.mv_size == strlen(value) &&
	       memcmp(stored.mv_data, value, stored.mv_size) == 0;
}

int config_find(struct config *config, const char *source, const char *target, uint32_t *migid)
{
	MDB_txn *txn;
	MDB_cursor *cursor;
	MDB_val key, value;
	uint32_t at = 0;
	int code = mdb_txn_begin(config->env, NULL, MDB_RDONLY, &txn);
	if (code)
		return engine_errno(code);
	code = mdb_cursor_open(txn, config->dbi, &cursor);
	if (!code) {
		do
			code = at == UINT32_MAX ? MDB_NOTFOUND : db_seek(cursor, at + 1, &key, &value, &at);
		while (!code &&
		       !(db_equals(txn, config->dbi, at, "source", source) && db_equals(txn, config->dbi, at, "target", target)));
		mdb_cursor_close(cursor);
	}
	mdb_txn_abort(txn);
	if (!code)
		*migid = at;
	return engine_errno(code);
}
