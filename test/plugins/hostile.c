/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A source plugin for tests: the posix plugin behind a server that lies.
 *
 *     DMMFS_PLUGINDIR=BUILD/test/plugins dmmfs hostile:///a/directory /mnt -o evil=on,...
 *
 * With evil=on an object whose name is one of `lies` below misbehaves as that says; everything else is honest, and with evil=off
 * all is. So one tree has every kind of trouble, and shows that each stays with its object; without evil it heals.
 *
 * A handle is a struct head and the handle of the posix plugin. Attributes of an object follow from its head, so that they are the
 * same whoever asks.
 */
#include "inner.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SCHEME "hostile://"
#define INNER_MOST 1024 /* bytes of a handle of the posix plugin */

enum lie {
	HONEST,
	/* directories */
	BAD_NAMES, /* names that are none beside its entries */
	TWICE,     /* every entry twice */
	ROUND,     /* the same entries for ever */
	ENDLESS,   /* ever new entries */
	BROKEN,    /* the listing fails after its first entries, each time */
	LOOP,      /* its entry "again" is the directory itself */
	OURS,      /* in the top: it calls itself .dmmfs */
	NOT_A_DIR, /* a file that says it is a directory */
	/* handles and attributes */
	NO_HANDLE,
	LONG_HANDLE,
	NO_OWNER, /* -1 */
	BAD_NSEC,
	FAR_PAST,
	HUGE_SIZE, /* 2^63 */
	VAST_SIZE, /* 2^63 - 1 */
	LARGER,    /* than it is */
	RESTLESS,  /* another modification time whenever one looks */
	NOT_A_FILE,
	SAME_ID, /* the identity of all others of this kind, and two links */
	MANY_LINKS,
	NO_LINKS,
	/* answers */
	CRUMBS,   /* short reads */
	TOO_MUCH, /* more bytes than were asked for */
	NONSENSE, /* a result that is no errno */
	STUBBORN, /* reads are never answered, but when they are cancelled */
	COMPLETES_TWICE,
	BAD_EXTENTS, /* beyond the end of all files */
	BAD_XATTR,   /* no name */
	FAT_XATTR,   /* 1 MiB */
	XATTRS,      /* without end */
	LONG_LINK,
	NUL_LINK,
	NO_LINK_TEXT,
};

static const char *const lies[] = {
	[BAD_NAMES] = "bad-names",
	[TWICE] = "twice",
	[ROUND] = "round",
	[ENDLESS] = "endless",
	[BROKEN] = "broken",
	[LOOP] = "loop",
	[OURS] = "ours",
	[NOT_A_DIR] = "not-a-dir",
	[NO_HANDLE] = "no-handle",
	[LONG_HANDLE] = "long-handle",
	[NO_OWNER] = "no-owner",
	[BAD_NSEC] = "bad-nsec",
	[FAR_PAST] = "far-past",
	[HUGE_SIZE] = "huge",
	[VAST_SIZE] = "vast",
	[LARGER] = "larger",
	[RESTLESS] = "restless",
	[NOT_A_FILE] = "not-a-file",
	[SAME_ID] = "same-id",
	[MANY_LINKS] = "many-links",
	[NO_LINKS] = "no-links",
	[CRUMBS] = "crumbs",
	[TOO_MUCH] = "too-much",
	[NONSENSE] = "nonsense",
	[STUBBORN] = "stubborn",
	[COMPLETES_TWICE] = "completes-twice",
	[BAD_EXTENTS] = "bad-extents",
	[BAD_XATTR] = "bad-xattr",
	[FAT_XATTR] = "fat-xattr",
	[XATTRS] = "xattrs",
	[LONG_LINK] = "long-link",
	[NUL_LINK] = "nul-link",
	[NO_LINK_TEXT] = "no-link-text",
};

struct head {
	uint64_t lie;
	uint64_t serial; /* 0, or of an object that there is not */
};

struct dmm_file {
	struct dmm_file *inner;
	struct dmm_conn *conn;
	struct head head;
	bool told; /* what it adds to a listing */
	size_t len;
	char handle[INNER_MOST]; /* the inner one */
};

static bool evil;

/* --- requests of our own to the posix plugin --- */

static void completed(struct dmm_request *request)
{
	(void)request;
}

static int64_t ask(struct dmm_conn *conn, struct dmm_request *request)
{
	request->struct_size = sizeof(*request);
	request->complete = completed;
	inner->submit(conn, request);
	return request->result;
}

/* --- entries --- */

struct relay {
	struct dmm_request *to; /* the host's */
	struct dmm_file *dir;   /* or NULL: of a single object, whose */
	struct head head;       /* this is */
	int64_t given;
};

static enum lie lie_of(const char *name)
{
	char word[32];
	size_t len = strcspn(name, "."); /* "same-id.2" is of this kind as well */

	snprintf(word, sizeof(word), "%.*s", (int)len, name);
	for (unsigned i = 1; evil && i < sizeof(lies) / sizeof(*lies); i++)
		if (strcmp(lies[i], word) == 0)
			return i;
	return HONEST;
}

static void lie_about(struct dmm_entry *entry, const struct head *head)
{
	static _Atomic int64_t looks;
	struct dmm_attr *attr = &entry->attr;

	switch ((enum lie)head->lie) {
	case NO_OWNER:
		attr->uid = UINT32_MAX;
		break;
	case BAD_NSEC:
		attr->mtime.nsec = 2000000000;
		break;
	case FAR_PAST:
		attr->mtime.sec = -((int64_t)1 << 62);
		break;
	case HUGE_SIZE:
		attr->size = (uint64_t)1 << 63;
		break;
	case VAST_SIZE:
		attr->size = INT64_MAX;
		break;
	case LARGER:
		attr->size += 200000;
		break;
	case RESTLESS:
		attr->mtime.sec += ++looks;
		break;
	case NOT_A_DIR:
		attr->mode = S_IFDIR | (attr->mode & 07777);
		break;
	case NOT_A_FILE:
		attr->mode = S_IFREG | (attr->mode & 07777);
		attr->size = 5;
		break;
	case SAME_ID:
		attr->fileid = 4711;
		attr->nlink = 2;
		break;
	case MANY_LINKS:
		attr->nlink = UINT32_MAX;
		break;
	case NO_LINKS:
		attr->nlink = 0;
		break;
	default:
		break;
	}
	if (head->serial)
		attr->fileid = head->serial;
}

/* With the handle that says which lie this is. */
static int give(struct relay *relay, const struct dmm_entry *from, const struct head *head)
{
	static const char nothing[DMM_HANDLE_MAX + 1];
	char handle[sizeof(*head) + INNER_MOST];
	struct dmm_entry entry = *from;

	if (entry.handle.len > INNER_MOST)
		return -EBADMSG;
	memcpy(handle, head, sizeof(*head));
	if (entry.handle.len)
		memcpy(handle + sizeof(*head), entry.handle.data, entry.handle.len);
	entry.handle = (struct dmm_bytes){handle, sizeof(*head) + entry.handle.len};
	entry.attr.valid &= ~DMM_ATTR_NO_XATTRS; /* the lies among them would not be asked for */
	lie_about(&entry, head);
	if (head->lie == NO_HANDLE)
		entry.handle.len = 0;
	if (head->lie == LONG_HANDLE)
		entry.handle = (struct dmm_bytes){nothing, sizeof(nothing)};
	relay->given++;
	return relay->to->entry(relay->to, &entry);
}

static int relay_object(struct dmm_request *request, const struct dmm_entry *entry)
{
	struct relay *relay = request->host;

	return give(relay, entry, &relay->head);
}

static int give_bad_names(struct relay *relay, const struct dmm_entry *like)
{
	static const struct {
		const char *name;
		size_t len; /* 0: as it is */
	} names[] = {{"/etc/passwd", 0}, {"a/b", 0}, {"../../escape", 0}, {"..", 0},
	             {".", 0},           {"", 0},    {"nul\0inside", 10}, {"unterminated!", 12}};
	char name[5000];
	int ret = 0;

	for (size_t i = 0; ret >= 0 && i < sizeof(names) / sizeof(*names); i++) {
		struct dmm_entry entry = *like;
		entry.name = names[i].name;
		entry.name_len = names[i].len ? names[i].len : strlen(names[i].name);
		ret = give(relay, &entry, &(struct head){0});
	}
	memset(name, 'x', sizeof(name));
	for (size_t len = 256; ret >= 0 && len < sizeof(name); len += 4000) {
		struct dmm_entry entry = *like;
		entry.name = name;
		entry.name_len = len;
		name[len] = '\0';
		ret = give(relay, &entry, &(struct head){0});
		name[len] = 'x';
	}
	return ret;
}

/* As many as one reply might have. */
static int give_new_names(struct relay *relay, const struct dmm_entry *like)
{
	static _Atomic uint64_t serial = 1;
	char name[32];
	int ret = 0;

	for (unsigned i = 0; ret >= 0 && i < 500; i++) {
		struct head head = {.serial = (uint64_t)1 << 50 | serial++};
		struct dmm_entry entry = *like;
		entry.name = name;
		entry.name_len = (size_t)snprintf(name, sizeof(name), "new-%llu", (unsigned long long)head.serial);
		ret = give(relay, &entry, &head);
	}
	return ret;
}

struct found {
	struct dmm_entry entry;
	char handle[INNER_MOST];
};

static int keep_found(struct dmm_request *request, const struct dmm_entry *entry)
{
	struct found *found = request->host;

	found->entry = *entry;
	memcpy(found->handle, entry->handle.data, entry->handle.len);
	found->entry.handle.data = found->handle;
	return 0;
}

/* The directory itself, as an entry of its own. */
static int give_itself(struct relay *relay, const struct dmm_entry *like)
{
	struct dmm_file *dir = relay->dir;
	struct found found;
	struct dmm_request request = {
		.kind = DMM_REQ_ATTR, .handle = {dir->handle, dir->len}, .entry = keep_found, .host = &found};

	if (ask(dir->conn, &request) < 0)
		return -EIO;
	found.entry.name = like->name;
	found.entry.name_len = like->name_len;
	found.entry.handle = (struct dmm_bytes){dir->handle, dir->len};
	return give(relay, &found.entry, &dir->head);
}

static int relay_entry(struct dmm_request *request, const struct dmm_entry *entry)
{
	struct relay *relay = request->host;
	struct dmm_file *dir = relay->dir;
	struct head head = {.lie = lie_of(entry->name)};
	struct dmm_entry renamed = *entry;
	int ret;

	if (dir->head.lie == LOOP && strcmp(entry->name, "again") == 0)
		return give_itself(relay, entry);
	if (head.lie == OURS) {
		renamed.name = ".dmmfs";
		renamed.name_len = strlen(renamed.name);
	}
	ret = give(relay, &renamed, &head);
	if (ret >= 0 && dir->head.lie == TWICE)
		ret = give(relay, &renamed, &head);
	if (ret >= 0 && dir->head.lie == BAD_NAMES && !dir->told)
		ret = give_bad_names(relay, entry);
	if (ret >= 0 && dir->head.lie == ENDLESS && S_ISREG(entry->attr.mode))
		ret = give_new_names(relay, entry);
	dir->told = true;
	return ret;
}

static void begin_again(struct dmm_file *dir)
{
	struct dmm_request close = {.kind = DMM_REQ_CLOSE, .file = dir->inner};
	struct dmm_request open = {.kind = DMM_REQ_OPEN, .handle = {dir->handle, dir->len}};

	ask(dir->conn, &close);
	dir->inner = ask(dir->conn, &open) < 0 ? NULL : open.file;
}

static int64_t list_once(struct dmm_request *request)
{
	struct dmm_file *dir = request->file;
	struct relay relay = {.to = request, .dir = dir};
	struct dmm_request inner_request = {.kind = DMM_REQ_LIST, .file = dir->inner, .entry = relay_entry, .host = &relay};

	if (!dir->inner)
		return -EIO;
	int64_t ret = ask(dir->conn, &inner_request);
	return ret < 0 ? ret : relay.given;
}

static int64_t list(struct dmm_request *request)
{
	enum lie lie = request->file->head.lie;

	if (lie == BROKEN && request->file->told)
		return -EIO;
	int64_t ret = list_once(request);
	if (ret == 0 && (lie == ROUND || lie == ENDLESS)) {
		begin_again(request->file);
		ret = list_once(request);
	}
	return ret;
}

/* --- answers --- */

/* Asks the posix plugin with the host's own request, since that is what its sinks know. */
static int64_t pass_on(struct dmm_conn *conn, struct dmm_request *request, struct dmm_bytes handle)
{
	void (*complete)(struct dmm_request *) = request->complete;
	struct dmm_bytes outer = request->handle;
	struct dmm_file *file = request->file;

	request->handle = handle;
	request->file = file ? file->inner : NULL;
	request->complete = completed;
	inner->submit(conn, request);
	request->complete = complete;
	request->file = file;
	request->handle = outer;
	return request->result;
}

static int64_t forward(struct dmm_request *request)
{
	return pass_on(request->file->conn, request, request->handle);
}

static int64_t wait_for_the_end(const struct dmm_request *request)
{
	struct timespec now;

	do {
		if (atomic_load(&request->cancelled))
			return -ECANCELED;
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec < request->deadline_ns);
	return -ETIMEDOUT;
}

static int64_t read_file(struct dmm_request *request)
{
	int64_t ret;

	switch ((enum lie)request->file->head.lie) {
	case CRUMBS:
		if (request->len > 3000)
			request->len = 1 + request->off % 3000;
		return forward(request);
	case TOO_MUCH:
		ret = forward(request);
		return ret < 0 ? ret : (int64_t)request->len + 1;
	case NONSENSE:
		return INT64_MIN;
	case STUBBORN:
		return wait_for_the_end(request);
	default:
		return forward(request);
	}
}

static int64_t xattrs(struct dmm_request *request, enum lie lie, struct dmm_conn *conn, struct dmm_bytes handle)
{
	static const char fat[1 << 20];
	char name[64];
	int ret = 0;

	if (lie == BAD_XATTR)
		return request->xattr(request, "", "value", 5);
	if (lie == FAT_XATTR)
		return request->xattr(request, "user.fat", fat, sizeof(fat));
	for (uint64_t i = 0; lie == XATTRS && ret >= 0; i++) {
		snprintf(name, sizeof(name), "user.number%llu", (unsigned long long)i);
		ret = request->xattr(request, name, "x", 1);
	}
	if (lie == XATTRS)
		return ret;
	return pass_on(conn, request, handle);
}

static int64_t extents(struct dmm_request *request)
{
	static const struct dmm_extent beyond = {UINT64_MAX - 10, 100};

	return request->file->head.lie == BAD_EXTENTS ? request->extent(request, &beyond) : forward(request);
}

static int64_t readlink_text(struct dmm_conn *conn, struct dmm_request *request, enum lie lie, struct dmm_bytes handle)
{
	switch (lie) {
	case LONG_LINK:
		memset(request->buf, 'x', request->len);
		return (int64_t)request->len + 1000;
	case NUL_LINK:
		memcpy(request->buf, "nul\0inside", 10);
		return 10;
	case NO_LINK_TEXT:
		return 0;
	default:
		return pass_on(conn, request, handle);
	}
}

static int64_t open_file(struct dmm_conn *conn, struct dmm_request *request, const struct head *head, struct dmm_bytes handle)
{
	struct dmm_request inner_request = {.kind = DMM_REQ_OPEN, .handle = handle};
	struct dmm_file *file = calloc(1, sizeof(*file));
	int64_t ret = file ? ask(conn, &inner_request) : -ENOMEM;

	if (ret < 0) {
		free(file);
		return ret;
	}
	*file = (struct dmm_file){.inner = inner_request.file, .conn = conn, .head = *head, .len = handle.len};
	memcpy(file->handle, handle.data, handle.len);
	request->file = file;
	return 0;
}

static int64_t close_file(struct dmm_conn *conn, struct dmm_request *request)
{
	struct dmm_request inner_request = {.kind = DMM_REQ_CLOSE, .file = request->file->inner};

	if (request->file->inner)
		ask(conn, &inner_request);
	free(request->file);
	return 0;
}

static int64_t object(struct dmm_conn *conn, struct dmm_request *request, const struct head *head, struct dmm_bytes handle)
{
	struct relay relay = {.to = request, .head = *head};
	struct dmm_request inner_request = {.kind = request->kind, .handle = handle, .entry = relay_object, .host = &relay};

	return ask(conn, &inner_request);
}

static int64_t answer(struct dmm_conn *conn, struct dmm_request *request)
{
	struct head head = {0};
	struct dmm_bytes handle = {NULL, 0};

	if (request->handle.len >= sizeof(head)) {
		memcpy(&head, request->handle.data, sizeof(head));
		handle =
			(struct dmm_bytes){(const char *)request->handle.data + sizeof(head), request->handle.len - sizeof(head)};
	}
	if (!evil)
		head = (struct head){0};
	switch (request->kind) {
	case DMM_REQ_ROOT:
	case DMM_REQ_ATTR:
		return object(conn, request, &head, handle);
	case DMM_REQ_OPEN:
		return open_file(conn, request, &head, handle);
	case DMM_REQ_CLOSE:
		return close_file(conn, request);
	case DMM_REQ_LIST:
		return list(request);
	case DMM_REQ_READ:
		return read_file(request);
	case DMM_REQ_READLINK:
		return readlink_text(conn, request, head.lie, handle);
	case DMM_REQ_XATTRS:
		return xattrs(request, request->file ? request->file->head.lie : head.lie, conn, handle);
	case DMM_REQ_EXTENTS:
		return extents(request);
	default:
		return -EOPNOTSUPP;
	}
}

static void hostile_submit(struct dmm_conn *conn, struct dmm_request *request)
{
	bool twice = request->kind == DMM_REQ_READ && request->file->head.lie == COMPLETES_TWICE;

	request->result = answer(conn, request);
	if (twice)
		request->complete(request);
	request->complete(request);
}

static int hostile_open(const struct dmm_config *config, struct dmm_instance **instance)
{
	struct dmm_config given = *config;

	for (size_t i = 0; i < config->n_settings; i++)
		evil = strcmp(config->settings[i].name, "evil") == 0 && strcmp(config->settings[i].value, "on") == 0;
	given.n_settings = 0;
	return inner_open(&given, SCHEME, instance);
}

static const char *const schemes[] = {"hostile", NULL};
static const struct dmm_option options[] = {{"evil", "on: lie"}, {NULL, NULL}};

static const struct dmm_plugin plugin = {
	.abi = DMM_PLUGIN_ABI,
	.struct_size = sizeof(struct dmm_plugin),
	.name = "hostile",
	.version = "1",
	.description = "the posix plugin behind a server that lies, for tests",
	.schemes = schemes,
	.options = options,
	.threads = DMM_THREADS_PARALLEL,
	.open = hostile_open,
	.close = inner_close,
	.connect = inner_connect,
	.disconnect = inner_disconnect,
	.capabilities = inner_capabilities,
	.submit = hostile_submit,
};

DMMFS_PLUGIN(plugin)
