/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The handle of an object of two sources, as the state keeps it:
 *
 *   u8   'J'
 *   u8   enum join_flag
 *   u16  length of the first side's handle, at least 1
 *   with a flag of JOIN_DETAILED, of the second side: u64 size, i64 and u32 modification time, u32 errno, u8 length of the name,
 *        the name
 *   the first side's handle
 *   the second side's handle: the rest
 *
 * Little endian. Either side's handle may be anything, so every length is checked, and the whole is bounded by DMM_HANDLE_MAX.
 */
#include "source/join.h"

#include "base/utf8.h"

#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define MAGIC 'J'
#define HEAD 4
#define DETAILS 25 /* without the name */

/* --- bytes --- */

static void put(unsigned char **at, uint64_t value, size_t bytes)
{
	value = htole64(value);
	memcpy(*at, &value, bytes);
	*at += bytes;
}

static uint64_t get(const unsigned char **at, size_t bytes)
{
	uint64_t value = 0;

	memcpy(&value, *at, bytes);
	*at += bytes;
	return le64toh(value);
}

static size_t details_size(const struct join_handle *handle)
{
	return handle->flags & JOIN_DETAILED ? DETAILS + (size_t)handle->name_len : 0;
}

static void fit(struct join_handle *handle)
{
	if (HEAD + details_size(handle) + handle->first.len + handle->second.len <= DMM_HANDLE_MAX)
		return;
	*handle = (struct join_handle){
		.flags = (handle->flags & JOIN_DIR) | JOIN_ERROR,
		.first = handle->first,
		.error = ENAMETOOLONG,
	};
}

int join_handle_make(struct join_handle *handle, unsigned char *buf)
{
	unsigned char *at = buf;

	fit(handle);
	if (HEAD + details_size(handle) + handle->first.len > DMM_HANDLE_MAX)
		return -ENAMETOOLONG;
	put(&at, MAGIC, 1);
	put(&at, handle->flags, 1);
	put(&at, handle->first.len, 2);
	if (handle->flags & JOIN_DETAILED) {
		put(&at, handle->size, 8);
		put(&at, (uint64_t)handle->mtime.sec, 8);
		put(&at, handle->mtime.nsec, 4);
		put(&at, handle->error, 4);
		put(&at, handle->name_len, 1);
		if (handle->name_len)
			memcpy(at, handle->name, handle->name_len);
		at += handle->name_len;
	}
	memcpy(at, handle->first.data, handle->first.len);
	at += handle->first.len;
	if (handle->second.len)
		memcpy(at, handle->second.data, handle->second.len);
	return (int)(at + handle->second.len - buf);
}

int join_handle_parse(struct dmm_bytes bytes, struct join_handle *handle)
{
	const unsigned char *at = bytes.data, *end = at + bytes.len;

	*handle = (struct join_handle){0};
	if (bytes.len < HEAD || bytes.len > DMM_HANDLE_MAX || get(&at, 1) != MAGIC)
		return -EBADMSG;
	handle->flags = (uint8_t)get(&at, 1);
	handle->first.len = get(&at, 2);
	if (handle->flags & JOIN_DETAILED) {
		if (end - at < DETAILS)
			return -EBADMSG;
		handle->size = get(&at, 8);
		handle->mtime.sec = (int64_t)get(&at, 8);
		handle->mtime.nsec = (uint32_t)get(&at, 4);
		handle->error = (uint32_t)get(&at, 4);
		handle->name_len = (uint8_t)get(&at, 1);
		handle->name = (const char *)at;
		if (end - at < handle->name_len)
			return -EBADMSG;
		at += handle->name_len;
	}
	if (handle->first.len == 0 || (size_t)(end - at) < handle->first.len)
		return -EBADMSG;
	handle->first.data = at;
	at += handle->first.len;
	handle->second = (struct dmm_bytes){at, (size_t)(end - at)};
	return 0;
}

/* --- comparing --- */

/* SMB counts in 100 ns, and a side without a fraction may know whole seconds alone. */
static bool same_time(struct dmm_time one, struct dmm_time other)
{
	if (one.sec == other.sec && (one.nsec == 0 || other.nsec == 0))
		return true;
	if (one.sec < other.sec - 1 || one.sec > other.sec + 1)
		return false;
	int64_t ns = (one.sec - other.sec) * 1000000000 + (int64_t)one.nsec - (int64_t)other.nsec;
	return ns >= -100 && ns <= 100; /* cut off, or rounded */
}

struct join_facts join_facts_of(const struct dmm_attr *attr)
{
	return (struct join_facts){.size = attr->size, .fileid = attr->fileid, .mtime = attr->mtime, .mode = attr->mode};
}

uint8_t join_compare(const struct join_facts *first, const struct join_facts *second)
{
	uint8_t flags = 0;

	if (S_ISDIR(first->mode) != S_ISDIR(second->mode))
		return JOIN_TYPE;
	if (S_ISREG(first->mode) && first->size != second->size)
		flags |= JOIN_SIZE;
	if (!same_time(first->mtime, second->mtime))
		flags |= JOIN_MTIME;
	return flags;
}

/* --- telling --- */

struct telling {
	char *text;
	size_t size, len;
};

__attribute__((format(printf, 2, 3))) static void say(struct telling *telling, const char *format, ...)
{
	va_list args;

	if (telling->len + 3 >= telling->size)
		return;
	if (telling->len)
		telling->len += (size_t)snprintf(telling->text + telling->len, telling->size - telling->len, "; ");
	va_start(args, format);
	int len = vsnprintf(telling->text + telling->len, telling->size - telling->len, format, args);
	va_end(args);
	if (len > 0)
		telling->len = telling->len + (size_t)len < telling->size ? telling->len + (size_t)len : telling->size - 1;
}

static const char *show_time(struct dmm_time time, char text[64])
{
	time_t sec = (time_t)time.sec;
	struct tm tm;
	char day[40];

	if (!gmtime_r(&sec, &tm) || strftime(day, sizeof(day), "%Y-%m-%d %H:%M:%S", &tm) == 0)
		snprintf(text, 64, "%lld s after 1970", (long long)time.sec);
	else
		snprintf(text, 64, "%s.%07u", day, time.nsec / 100 % 10000000);
	return text;
}

static void say_name(struct telling *telling, const struct join_handle *handle)
{
	char name[DMM_NAME_MAX + 1], shown[4 * DMM_NAME_MAX + UTF8_SHOWN_BYTES];
	const char *from = name;
	size_t len = 0;

	memcpy(name, handle->name, handle->name_len);
	name[handle->name_len] = '\0';
	while (*from)
		len += utf8_show(&from, shown + len);
	shown[len] = '\0';
	say(telling, "its name on the SMB side is \"%s\"", shown);
}

int join_handle_tell(const struct join_handle *handle, const struct dmm_attr *attr, char *sentence, size_t size)
{
	static const char *const without = "it comes over without NT attributes";
	struct telling telling = {.text = sentence, .size = size};
	char here[64], there[64];
	bool dir = handle->flags & JOIN_DIR;

	*sentence = '\0';
	if (handle->flags & JOIN_ALONE) {
		say(&telling, "it is not on the SMB side: %s%s", without, dir ? ", and so does all that is in it" : "");
		return ENOENT;
	}
	if (handle->flags & JOIN_HIDDEN) {
		say(&telling, "SMB can not show its name: %s%s", without, dir ? ", and so does all that is in it" : "");
		return EILSEQ;
	}
	if (handle->flags & JOIN_ERROR) {
		say(&telling, "the SMB side can not tell of it: %s", without);
		return handle->error ? (int)handle->error : EIO;
	}
	if (handle->flags & JOIN_TYPE) {
		say(&telling, "it is a %s, and a %s on the SMB side: %s", dir ? "directory" : "file", dir ? "file" : "directory",
		    without);
		return dir ? ENOTDIR : EISDIR;
	}
	if (handle->flags & JOIN_SIZE)
		say(&telling, "its size is %llu, and %llu on the SMB side", (unsigned long long)attr->size,
		    (unsigned long long)handle->size);
	if (handle->flags & JOIN_MTIME)
		say(&telling, "its modification time is %s, and %s on the SMB side", show_time(attr->mtime, here),
		    show_time(handle->mtime, there));
	if (handle->flags & JOIN_NAMED)
		say_name(&telling, handle);
	if (handle->flags & (JOIN_SIZE | JOIN_MTIME))
		return EREMCHG;
	return handle->flags & JOIN_NAMED ? ENOTUNIQ : 0;
}
