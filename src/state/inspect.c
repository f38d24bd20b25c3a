/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Looking at a state from outside: opening, walking, dumping, copying. See inspect.h; the rules are in check.c.
 */
#include "state/inspect_private.h"

#include "state/bytes.h"
#include "state/describe.h"
#include "state/seal.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Entries between two signs of life, and of one read transaction where they are many. */
#define STEP 512

const char *inspect_database(size_t n)
{
	return n < DATABASES ? database_name((enum database)n) : NULL;
}

/* --- opening --- */

/* The format first, as the store does; what else is missing is a finding of the check. */
static int open_databases(struct inspection *inspection)
{
	MDB_txn *txn;
	int code = mdb_txn_begin(inspection->env, NULL, MDB_RDONLY, &txn);
	if (code)
		return code;
	code = mdb_dbi_open(txn, database_name(DB_META), 0, &inspection->dbi[DB_META]);
	if (!code)
		code = engine_meta_get_number(txn, inspection->dbi[DB_META], META_FORMAT, &inspection->format);
	for (int i = 0; !code && i < DATABASES; i++)
		inspection->has[i] = mdb_dbi_open(txn, database_name((enum database)i), 0, &inspection->dbi[i]) == 0;
	if (code)
		mdb_txn_abort(txn);
	else
		code = mdb_txn_commit(txn); /* which keeps the handles */
	return code;
}

static int open_dir(struct inspection *inspection, char *error, size_t error_size)
{
	inspection->dir_fd = open(inspection->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int code = inspection->dir_fd < 0 ? -errno : engine_exists(inspection->dir_fd);
	if (code == 0)
		code = -ENOENT;
	if (code == -ENOENT)
		snprintf(error, error_size,
		         "there is no state in %s: the migration has not begun ('dmmfs-admin start' begins it), or its state "
		         "lies elsewhere "
		         "(statedir=), or is lost ('dmmfs-admin db rebuild' makes a new one)",
		         inspection->dir);
	else if (code == -EBADMSG)
		engine_explain(MDB_INVALID, inspection->dir, "a state database", error, error_size);
	else if (code < 0)
		snprintf(error, error_size, "cannot open the directory of the state, %s: %s", inspection->dir, strerror(-code));
	return code < 0 ? code : 0;
}

int inspect_open(const char *dir, struct inspection **opened, char *error, size_t error_size)
{
	struct inspection *inspection = calloc(1, sizeof(*inspection));
	if (!inspection || !(inspection->dir = strdup(dir))) {
		snprintf(error, error_size, "out of memory");
		free(inspection);
		return -ENOMEM;
	}
	int result = open_dir(inspection, error, error_size), code = 0;
	if (!result) {
		struct engine_options options = store_engine_options(STORE_MAP_BYTES);
		inspection->has_readers = engine_has_readers(inspection->dir_fd);
		code = engine_open_to_read(inspection->dir_fd, &options, &inspection->env);
		if (code)
			inspection->env = NULL;
		else
			code = open_databases(inspection);
		if (code) {
			engine_explain(code, dir, "a state database", error, error_size);
			result = code == MDB_NOTFOUND ? -EBADMSG : engine_errno(code);
		} else if (inspection->format != STORE_FORMAT_VERSION) {
			snprintf(error, error_size,
			         "the state in %s has format version %llu, this dmmfs knows version %u: look at it with the "
			         "dmmfs that began the migration",
			         dir, (unsigned long long)inspection->format, STORE_FORMAT_VERSION);
			result = -EPROTO;
		}
	}
	if (result) {
		inspect_close(inspection);
		return result;
	}
	*opened = inspection;
	return 0;
}

void inspect_close(struct inspection *inspection)
{
	if (!inspection)
		return;
	engine_close(inspection->env);
	if (inspection->dir_fd >= 0)
		close(inspection->dir_fd);
	free(inspection->dir);
	free(inspection);
}

/* --- walking --- */

static int compare_keys(const MDB_val *a, const void *b, size_t b_len)
{
	int order = memcmp(a->mv_data, b, a->mv_size < b_len ? a->mv_size : b_len);
	return order ? order : (a->mv_size > b_len) - (a->mv_size < b_len);
}

static int broken_order(struct walk *walk, const MDB_val *key)
{
	char text[DESCRIBE_KEY_BYTES];
	inspect_tell(walk->sink, RULE_ORDER, walk->database, walk->key_text(walk->context, key, text),
	             "after %llu entries the keys no longer ascend", (unsigned long long)walk->entries);
	return MDB_CORRUPTED;
}

int inspect_walk(MDB_txn *txn, MDB_dbi dbi, struct walk *walk)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	uint8_t last[1024]; /* longer than LMDB's longest key */
	size_t last_len = 0;
	int code = mdb_cursor_open(txn, dbi, &cursor);
	if (code)
		return code;
	walk->sink->progress(walk->sink->context, walk->database, 0);
	walk->entries = 0;
	while (!(code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT))) {
		if (key.mv_size > sizeof(last) || (walk->entries && compare_keys(&key, last, last_len) <= 0)) {
			code = broken_order(walk, &key);
			break;
		}
		memcpy(last, key.mv_data, key.mv_size);
		last_len = key.mv_size;
		if (++walk->entries % STEP == 0)
			walk->sink->progress(walk->sink->context, walk->database, walk->entries);
		code = walk->each(walk->context, &key, &value);
		if (code)
			break;
	}
	mdb_cursor_close(cursor);
	return code == MDB_NOTFOUND ? 0 : code;
}

/* --- the dump, and the objects: in steps, so that no transaction waits for whoever reads what is printed --- */

struct step {
	json_t *entries[STEP];
	struct object {
		uint64_t ino;
		struct handle handle;
	} objects[STEP];
	size_t n;
	uint8_t last[1024]; /* key of the last entry */
	size_t last_len;
	bool again; /* `last` holds something */
};

static void take_object(enum database database, const MDB_val *key, const MDB_val *value, struct step *step)
{
	struct object *object = &step->objects[step->n];
	struct link_record link;
	uint64_t ino = key->mv_size == 8 ? key_get_u64(key->mv_data) : 0;
	if (database == DB_DIRS) {
		CLEAN_FREE struct dir_record *dir = NULL;
		if (key->mv_size != 8 || sealed_dir(key, value, &dir))
			return;
		*object = (struct object){ino, dir->handle};
	} else if (database == DB_FILES) {
		CLEAN_FREE struct file_record *file = NULL;
		if (key->mv_size != 8 || sealed_file(key, value, &file))
			return;
		*object = (struct object){ino, file->handle};
	} else {
		if (link_record_decode(0, 0, value->mv_data, value->mv_size, &link))
			return;
		*object = (struct object){link.ino, link.handle};
	}
	step->n++;
}

/* The next entries after step->last. 1: there may be more; 0: no; negative errno. */
static int next_step(struct inspection *inspection, enum database database, bool as_json, struct step *step)
{
	MDB_txn *txn;
	MDB_cursor *cursor;
	MDB_val key = {step->last_len, step->last}, value;
	size_t seen = 0;
	int code = mdb_txn_begin(inspection->env, NULL, MDB_RDONLY, &txn);
	if (code)
		return engine_errno(code);
	step->n = 0;
	code = mdb_cursor_open(txn, inspection->dbi[database], &cursor);
	if (code) {
		mdb_txn_abort(txn);
		return engine_errno(code);
	}
	code = mdb_cursor_get(cursor, &key, &value, step->again ? MDB_SET_RANGE : MDB_FIRST);
	if (!code && step->again && compare_keys(&key, step->last, step->last_len) == 0)
		code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
	for (; !code && seen < STEP; seen++) {
		if (key.mv_size > sizeof(step->last) || (step->again && compare_keys(&key, step->last, step->last_len) <= 0)) {
			code = MDB_CORRUPTED;
			break;
		}
		if (as_json)
			step->entries[step->n++] = describe_entry(database, &key, &value);
		else
			take_object(database, &key, &value, step);
		memcpy(step->last, key.mv_data, key.mv_size);
		step->last_len = key.mv_size;
		step->again = true;
		code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
	}
	mdb_cursor_close(cursor);
	mdb_txn_abort(txn);
	return code == MDB_NOTFOUND ? 0 : code ? engine_errno(code) : 1;
}

static int dump_database(struct inspection *inspection, enum database database, const struct inspect_sink *sink)
{
	CLEAN_FREE struct step *step = calloc(1, sizeof(*step));
	int more = step ? 1 : -ENOMEM, ended = 0;
	while (more > 0) {
		more = next_step(inspection, database, true, step);
		for (size_t i = 0; i < step->n; i++) {
			if (ended)
				json_decref(step->entries[i]);
			else
				ended = sink->entry(sink->context, step->entries[i]);
		}
		if (ended)
			return ended;
	}
	return more;
}

int inspect_dump(struct inspection *inspection, const char *name, const struct inspect_sink *sink)
{
	bool found = false;
	for (int i = 0; i < DATABASES; i++) {
		if (name && strcmp(name, database_name((enum database)i)) != 0)
			continue;
		found = true;
		sink->progress(sink->context, database_name((enum database)i), 0);
		int result = inspection->has[i] ? dump_database(inspection, (enum database)i, sink) : 0;
		if (result)
			return result;
	}
	return found ? 0 : -ENOENT;
}

int inspect_handles(struct inspection *inspection, const struct inspect_sink *sink)
{
	static const enum database with_handles[] = {DB_DIRS, DB_FILES, DB_LINKS};
	CLEAN_FREE struct step *step = malloc(sizeof(*step));
	if (!step)
		return -ENOMEM;
	for (size_t i = 0; i < sizeof(with_handles) / sizeof(with_handles[0]); i++) {
		enum database database = with_handles[i];
		int more = inspection->has[database];
		step->again = false;
		step->last_len = 0;
		sink->progress(sink->context, database_name(database), 0);
		for (uint64_t seen = 0; more > 0; seen += step->n) {
			more = next_step(inspection, database, false, step);
			for (size_t n = 0; n < step->n; n++)
				sink->handle(sink->context, database_name(database), step->objects[n].ino,
				             &step->objects[n].handle);
			sink->progress(sink->context, database_name(database), seen);
		}
		if (more < 0)
			return more;
	}
	return 0;
}

/* --- the copy --- */

int inspect_copy(struct inspection *inspection, int fd)
{
	int code = mdb_env_copyfd2(inspection->env, fd, MDB_CP_COMPACT);
	if (code == MDB_INCOMPATIBLE || code == MDB_CORRUPTED) /* pages that nobody accounts for: a plain copy keeps them */
		code = ftruncate(fd, 0) || lseek(fd, 0, SEEK_SET) < 0 ? errno : mdb_env_copyfd2(inspection->env, fd, 0);
	if (!code && fsync(fd))
		code = errno;
	return engine_errno(code);
}
