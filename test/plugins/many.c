/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A source plugin for benches: as many files as wanted, of which none exists anywhere.
 *
 *     DMMFS_PLUGINDIR=BUILD/test/plugins dmmfs many:///DIRECTORIES/FILES/BYTES /mnt ...
 *
 * The root has DIRECTORIES directories with FILES files of BYTES bytes each. Handles have 28 bytes, as those of many NFS servers.
 */
#include "dmmfs/plugin.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HANDLE_BYTES 28
#define LIST_STEP 1000
#define NO_FILE UINT32_MAX /* of a directory's handle */
#define ROOT UINT32_MAX

struct dmm_instance {
	unsigned dirs, files;
	unsigned long long bytes;
};

struct dmm_file {
	unsigned dir, next;
};

struct object {
	uint32_t dir, file;
	uint8_t filler[HANDLE_BYTES - 8];
};

static struct object object_of(const struct dmm_bytes *handle)
{
	struct object object;

	memcpy(&object, handle->data, sizeof(object));
	return object;
}

static int give(const struct dmm_instance *instance, struct dmm_request *request, struct object object, const char *name)
{
	bool is_dir = object.file == NO_FILE;
	struct dmm_entry entry = {
		.name = name,
		.name_len = strlen(name),
		.handle = {&object, sizeof(object)},
		.attr = {.valid = DMM_ATTR_OWNER | DMM_ATTR_NLINK | DMM_ATTR_CHANGE,
	                 .mode = is_dir ? 0040755 : 0100644,
	                 .nlink = is_dir ? 2 : 1,
	                 .size = is_dir ? 4096 : instance->bytes,
	                 .fsid = 1,
	                 .fileid = ((uint64_t)object.dir << 32 | object.file) + 1,
	                 .change = 1,
	                 .mtime = {.sec = 1700000000, .nsec = object.file % 1000000000},
	                 .ctime = {.sec = 1700000000}},
	};
	return request->entry(request, &entry);
}

static int64_t list(const struct dmm_instance *instance, struct dmm_request *request)
{
	struct dmm_file *dir = request->file;
	unsigned end = dir->dir == ROOT ? instance->dirs : instance->files, given = 0;
	char name[32];

	for (; dir->next < end && given < LIST_STEP; given++, dir->next++) {
		struct object object = dir->dir == ROOT ? (struct object){.dir = dir->next, .file = NO_FILE}
		                                        : (struct object){.dir = dir->dir, .file = dir->next};
		snprintf(name, sizeof(name), "%s%07u", dir->dir == ROOT ? "dir" : "file", dir->next);
		int result = give(instance, request, object, name);
		if (result < 0)
			return result;
	}
	return given;
}

static int64_t open_object(struct dmm_request *request)
{
	request->file = calloc(1, sizeof(*request->file));
	if (!request->file)
		return -ENOMEM;
	request->file->dir = object_of(&request->handle).dir;
	return 0;
}

static int64_t read_bytes(const struct dmm_instance *instance, struct dmm_request *request)
{
	uint64_t rest = request->off < instance->bytes ? instance->bytes - request->off : 0;
	uint64_t len = request->len < rest ? request->len : rest;

	memset(request->buf, 'm', len);
	return (int64_t)len;
}

static int64_t answer(const struct dmm_instance *instance, struct dmm_request *request)
{
	switch (request->kind) {
	case DMM_REQ_ROOT:
		return give(instance, request, (struct object){.dir = ROOT, .file = NO_FILE}, "");
	case DMM_REQ_ATTR:
		return give(instance, request, object_of(&request->handle), "");
	case DMM_REQ_OPEN:
		return open_object(request);
	case DMM_REQ_CLOSE:
		free(request->file);
		return 0;
	case DMM_REQ_LIST:
		return list(instance, request);
	case DMM_REQ_READ:
		return read_bytes(instance, request);
	default:
		return -EOPNOTSUPP;
	}
}

/* --- instance and connection are one --- */

static int many_open(const struct dmm_config *config, struct dmm_instance **instance)
{
	struct dmm_instance numbers;

	if (sscanf(config->source, "many:///%u/%u/%llu", &numbers.dirs, &numbers.files, &numbers.bytes) != 3) {
		snprintf(config->error, config->error_size, "%s is not many:///DIRECTORIES/FILES/BYTES", config->source);
		return -EINVAL;
	}
	*instance = malloc(sizeof(**instance));
	if (!*instance)
		return -ENOMEM;
	**instance = numbers;
	return 0;
}

static void many_close(struct dmm_instance *instance)
{
	free(instance);
}

static int many_connect(struct dmm_instance *instance, struct dmm_conn **conn)
{
	*conn = (struct dmm_conn *)instance;
	return 0;
}

static void many_disconnect(struct dmm_conn *conn)
{
	(void)conn;
}

static uint64_t many_capabilities(struct dmm_conn *conn)
{
	(void)conn;
	return DMM_CAP_CHANGE | DMM_CAP_PERSISTENT_HANDLES;
}

static void many_submit(struct dmm_conn *conn, struct dmm_request *request)
{
	request->result = answer((const struct dmm_instance *)conn, request);
	request->complete(request);
}

static const char *const schemes[] = {"many", NULL};

static const struct dmm_plugin plugin = {
	.abi = DMM_PLUGIN_ABI,
	.struct_size = sizeof(struct dmm_plugin),
	.name = "many",
	.version = "1",
	.description = "as many files as wanted, for benches",
	.schemes = schemes,
	.threads = DMM_THREADS_PARALLEL,
	.open = many_open,
	.close = many_close,
	.connect = many_connect,
	.disconnect = many_disconnect,
	.capabilities = many_capabilities,
	.submit = many_submit,
};

DMMFS_PLUGIN(plugin)
