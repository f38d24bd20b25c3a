/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fake_source.h"

#include "base/cleanup.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct fake_object fake_objects[FAKE_OBJECTS];

static _Atomic unsigned turns;

struct source_file {
	unsigned id;
	bool listed;
};

void fake_reset(void)
{
	memset(fake_objects, 0, sizeof(fake_objects));
	turns = 0;
	fake_reach = (struct source_reach){0};
	fake_limit = NULL;
	fake_begun = fake_begun_most = 0;
	fake_late = false;
	fake_objects[0].mode = S_IFDIR | 0755;
}

void fake_begin_turns(void)
{
	turns = 0;
	for (unsigned id = 0; id < FAKE_OBJECTS; id++)
		fake_objects[id].turn = 0;
}

static void add(unsigned id, unsigned parent, const char *name, uint32_t mode)
{
	struct fake_object *object = &fake_objects[id];

	object->mode = mode;
	object->nlink++;
	object->names[object->n_names].dir = parent;
	object->names[object->n_names++].name = name;
}

void fake_dir(unsigned id, unsigned parent, const char *name)
{
	add(id, parent, name, S_IFDIR | 0750);
}

void fake_file(unsigned id, unsigned parent, const char *name, uint64_t size)
{
	add(id, parent, name, S_IFREG | 0640);
	fake_objects[id].size = size;
}

void fake_link(unsigned id, unsigned parent, const char *name)
{
	add(id, parent, name, fake_objects[id].mode);
}

unsigned char fake_byte(unsigned id, uint64_t off)
{
	return (unsigned char)((off / 251 + off * 7 + id * 31) % 255 + 1); /* never zero */
}

static unsigned id_of(struct dmm_bytes handle)
{
	unsigned id;

	memcpy(&id, handle.data, sizeof(id));
	return id;
}

static int give(unsigned id, const char *name, source_entry_fn entry, void *context)
{
	const struct fake_object *object = &fake_objects[id];
	struct dmm_entry one = {.name = name, .name_len = strlen(name), .handle = {&id, sizeof(id)}};

	one.attr = (struct dmm_attr){
		.valid = (object->no_owner ? 0 : DMM_ATTR_OWNER) | DMM_ATTR_NLINK,
		.mode = object->mode,
		.uid = object->uid,
		.nlink = S_ISDIR(object->mode) ? 2 : object->nlink,
		.size = object->size,
		.fsid = 1,
		.fileid = id + 100,
		.mtime = {.sec = object->mtime ? object->mtime : 1000000 + id, .nsec = 123456700 + id},
	};
	return entry(context, &one);
}

const char *source_advice(const struct source *source, int error)
{
	return NULL;
}

bool source_has_no_attributes(const struct source *source, const struct dmm_entry *entry)
{
	(void)source;
	return entry->attr.valid & DMM_ATTR_NO_XATTRS;
}

uint64_t source_capabilities(const struct source *source)
{
	for (unsigned id = 0; id < FAKE_OBJECTS; id++)
		if (fake_objects[id].xattr || fake_objects[id].loss)
			return DMM_CAP_XATTR;
	return 0;
}

void source_cancel_all(struct source *source)
{
}

int source_root(struct source *source, source_entry_fn entry, void *context)
{
	return give(0, "", entry, context);
}

static void be_restless(struct fake_object *object)
{
	if (object->restless) {
		object->restless--;
		object->mtime++;
	}
}

int source_attr(struct source *source, struct dmm_bytes handle, source_entry_fn entry, void *context)
{
	struct fake_object *object = &fake_objects[id_of(handle)];

	object->looks++;
	be_restless(object);
	return give(id_of(handle), "", entry, context);
}

int source_file_open(struct source *source, struct dmm_bytes handle, struct source_file **file)
{
	struct fake_object *object = &fake_objects[id_of(handle)];

	if (object->opens++ == 0)
		object->turn = ++turns;
	if (object->open_error)
		return object->open_error;
	*file = calloc(1, sizeof(**file));
	(*file)->id = id_of(handle);
	return 0;
}

void source_file_close(struct source_file *file)
{
	free(file);
}

static pthread_mutex_t names_lock = PTHREAD_MUTEX_INITIALIZER; /* what is in which directory, while a migration runs */

struct listed {
	unsigned id;
	const char *name;
};

static unsigned collect(const struct source_file *dir, struct listed *all)
{
	unsigned count = 0;
	LOCKED(&names_lock);

	for (unsigned id = 1; !dir->listed && id < FAKE_OBJECTS; id++)
		for (unsigned n = 0; n < fake_objects[id].n_names; n++)
			if (fake_objects[id].names[n].dir == dir->id)
				all[count++] = (struct listed){id, fake_objects[id].names[n].name};
	return count;
}

static void change_after_listing(unsigned id)
{
	LOCKED(&names_lock);
	unsigned late = fake_objects[id].late;

	if (!late)
		return;
	fake_objects[id].late = 0;
	fake_objects[id].mtime = 3000000;
	fake_file(late, id, "late", 100);
	fake_objects[late + 1].n_names = 0;
}

int source_list(struct source_file *dir, source_entry_fn entry, void *context)
{
	struct listed all[FAKE_OBJECTS * FAKE_NAMES];
	unsigned count = collect(dir, all);

	if (dir->listed && fake_objects[dir->id].spared) {
		fake_objects[dir->id].spared--;
	} else if (dir->listed && fake_objects[dir->id].lost) {
		fake_objects[dir->id].lost--;
		return fake_objects[dir->id].lost_by ? fake_objects[dir->id].lost_by : -ENOTCONN;
	}
	if (fake_objects[dir->id].lost && !fake_objects[dir->id].spared)
		count = (count + 1) / 2;
	for (unsigned i = 0; i < count; i++) {
		int result = give(all[i].id, all[i].name, entry, context);
		if (result < 0)
			return result;
	}
	dir->listed = true;
	change_after_listing(dir->id);
	return (int)count;
}

static bool is_held_back(const struct fake_object *object, uint64_t off)
{
	return object->hold_from && off >= object->hold_from && (!object->hold_to || off < object->hold_to);
}

int64_t source_read(struct source_file *file, void *buf, uint64_t off, uint64_t len)
{
	struct fake_object *object = &fake_objects[file->id];
	unsigned char *to = buf;

	object->reads++;
	if (object->failures && off + len > object->fail_from) {
		object->failures--;
		return object->read_error;
	}
	if (off >= object->size)
		return 0;
	if (len > object->size - off)
		len = object->size - off;
	for (uint64_t i = 0; i < len; i++)
		to[i] = fake_byte(file->id + object->turned, off + i);
	if (is_held_back(object, off))
		object->held++;
	while (is_held_back(object, off))
		usleep(1000);
	return (int64_t)len;
}

bool fake_tells;

static int take_look(void *context, const struct dmm_entry *entry)
{
	struct source_look *look = context;

	look->attr = entry->attr;
	look->attr_known = true;
	return 0;
}

int64_t source_read_look(struct source_file *file, void *buf, uint64_t off, uint64_t len, struct source_look *look)
{
	int64_t got = source_read(file, buf, off, len);

	look->attr_known = false;
	if (got >= 0 && fake_tells) {
		be_restless(&fake_objects[file->id]);
		give(file->id, "", take_look, look);
	}
	if (got == (int64_t)len && look->came)
		look->came(look);
	return got;
}

/* What is begun comes when it is ended, by the rules of an ordinary read; with fake_late by a thread of its own, at some time, or not
 * when it is forgone before. */
struct source_reading {
	struct source_file *file;
	void *buf;
	uint64_t off, len;
	pthread_t thread;
	bool late;
	_Atomic bool done, forgone;
	struct source_look look;
	int64_t got;
};

bool fake_late;
_Atomic unsigned fake_begun, fake_begun_most;

bool source_reads_begin(const struct source *source)
{
	(void)source;
	return fake_ahead;
}

static void *read_late(void *context)
{
	struct source_reading *reading = context;

	usleep((useconds_t)(((uintptr_t)reading / 64 + reading->off / 512) % 2000));
	reading->got = reading->forgone
	                       ? -ECANCELED
	                       : source_read_look(reading->file, reading->buf, reading->off, reading->len, &reading->look);
	reading->done = true;
	return NULL;
}

struct source_reading *source_read_begin(struct source_file *file, void *buf, uint64_t off, uint64_t len)
{
	struct source_reading *reading = fake_ahead ? calloc(1, sizeof(*reading)) : NULL;

	if (!reading)
		return NULL;
	*reading = (struct source_reading){.file = file, .buf = buf, .off = off, .len = len};
	reading->late = fake_late && pthread_create(&reading->thread, NULL, read_late, reading) == 0;
	unsigned begun = ++fake_begun, most = fake_begun_most;
	while (begun > most && !atomic_compare_exchange_weak(&fake_begun_most, &most, begun))
		;
	return reading;
}

bool source_reading_is_done(struct source_reading *reading)
{
	return reading->done;
}

int64_t source_read_end(struct source_reading *reading, struct source_look *look, uint64_t *took_ns)
{
	int64_t got;

	if (reading->late) {
		pthread_join(reading->thread, NULL);
		reading->late = false;
		got = reading->got;
		*look = reading->look;
	} else {
		got = source_read_look(reading->file, reading->buf, reading->off, reading->len, look);
	}
	*took_ns = got < 0 ? 0 : 1000000;
	source_read_forgo(reading);
	return got;
}

void source_read_forgo(struct source_reading *reading)
{
	reading->forgone = true;
	if (reading->late)
		pthread_join(reading->thread, NULL);
	fake_begun--;
	free(reading);
}

int source_extents(struct source_file *file, uint64_t off, uint64_t len, source_extent_fn extent, void *context)
{
	return -EOPNOTSUPP;
}

int source_file_fd(struct source_file *file)
{
	return -EOPNOTSUPP;
}

int source_readlink(struct source *source, struct dmm_bytes handle, char *buf, size_t size)
{
	return -EINVAL;
}

int source_xattrs(struct source *source, struct dmm_bytes handle, struct source_file *file, source_xattr_fn xattr, void *context)
{
	const struct fake_object *object = &fake_objects[id_of(handle)];
	CLEAN_FREE char *value = object->xattr ? calloc(1, object->xattr_bytes + 1) : NULL;

	int result = value && !object->second_error ? xattr(context, object->xattr, value, object->xattr_bytes) : 0;
	return result < 0 ? result : object->second_error;
}

int source_attributes(struct source *source, struct dmm_bytes handle, struct source_file *file, source_xattr_fn xattr,
                      source_loss_fn loss, void *context)
{
	const struct fake_object *object = &fake_objects[id_of(handle)];
	int result = source_xattrs(source, handle, file, xattr, context);

	return result >= 0 && object->loss ? loss(context, object->loss, "the source has more than it can give") : result;
}

const struct idmap *source_sids(const struct source *source)
{
	(void)source;
	return NULL;
}

void source_limits(const struct source *source, source_limit_fn tell, void *context)
{
	if (fake_limit)
		tell(context, fake_limit, "this source can carry none");
}

void source_counters(const struct source *source, struct source_counters *counters)
{
	memset(counters, 0, sizeof(*counters));
}

int source_disagreement(const struct source *source, const struct dmm_entry *entry, char *sentence, size_t size)
{
	return 0;
}

int source_unlisted(const struct source_file *dir)
{
	return 0;
}

bool source_is_outage(int error)
{
	return error == -ETIMEDOUT;
}

bool source_listing_is_lost(int error)
{
	return error == -ENOTCONN;
}

struct source_reach fake_reach;
const char *fake_limit;

void source_reach(const struct source *source, struct source_reach *reach)
{
	*reach = fake_reach;
}

bool fake_ahead;

bool source_takes_many(const struct source *source)
{
	return fake_ahead;
}

/* --- asking ahead: some answers are known, others are to be asked for again --- */

struct source_ahead {
	struct source_wish wishes[SOURCE_AHEAD_MOST];
	struct source_found found[SOURCE_AHEAD_MOST];
	unsigned added, taken;
};

struct source_ahead *source_ahead_new(struct source *source, bool urgent)
{
	return fake_ahead ? calloc(1, sizeof(struct source_ahead)) : NULL;
}

void source_ahead_free(struct source_ahead *ahead)
{
	free(ahead);
}

static int keep_attr(void *context, const struct dmm_entry *entry)
{
	struct source_found *found = context;

	found->attr = entry->attr;
	found->attr_known = true;
	return 0;
}

static void ask_data(const struct source_wish *wish, struct source_found *found)
{
	struct source_file *file;

	found->data_known = true;
	found->data = source_file_open(NULL, wish->handle, &file);
	if (found->data < 0)
		return;
	found->data = source_read(file, wish->data, 0, wish->bytes);
	found->data_known = found->data < 0 || (uint64_t)found->data == wish->bytes;
	source_file_close(file);
	if (found->data_known && found->data >= 0)
		source_attr(NULL, wish->handle, keep_attr, found);
}

static void ask(const struct source_wish *wish, struct source_found *found)
{
	if (wish->xattr) {
		found->xattrs_known = true;
		found->xattrs = source_attributes(NULL, wish->handle, NULL, wish->xattr, wish->loss, wish->context);
	}
	if (wish->data)
		ask_data(wish, found);
}

/* In turn: asked at once; not asked; data not asked; asked as late as can be. */
void source_ahead_add(struct source_ahead *ahead, const struct source_wish *wish)
{
	unsigned at = ahead->added++ % SOURCE_AHEAD_MOST;

	ahead->wishes[at] = *wish;
	ahead->found[at] = (struct source_found){0};
	if (at % 4 == 2)
		ahead->wishes[at].data = NULL;
	if (at % 4 == 0 || at % 4 == 2)
		ask(&ahead->wishes[at], &ahead->found[at]);
}

void source_ahead_take(struct source_ahead *ahead, bool data, struct source_found *found)
{
	unsigned at = ahead->taken++ % SOURCE_AHEAD_MOST;

	if (!data)
		ahead->wishes[at].data = NULL;
	if (at % 4 == 3)
		ask(&ahead->wishes[at], &ahead->found[at]);
	*found = ahead->found[at];
}
