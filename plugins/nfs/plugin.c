/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The nfs plugin's face to the host. Opening a file costs nothing at the server, so OPEN and CLOSE are answered at once; all else
 * goes to a channel, one after the other.
 */
#include "nfs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SMALL_BYTES (64u << 10)
#define TOGETHER 16u

static int instance_open(const struct dmm_config *config, struct dmm_instance **result)
{
	struct dmm_instance *instance = calloc(1, sizeof(*instance));
	int ret = instance ? address_parse(config, &instance->address) : -ENOMEM;

	if (ret >= 0)
		ret = owners_new(instance->address.domain, &instance->owners);
	if (ret < 0) {
		free(instance);
		return ret;
	}
	instance->log = config->log;
	atomic_init(&instance->version, instance->address.version);
	*result = instance;
	return 0;
}

static void instance_close(struct dmm_instance *instance)
{
	owners_free(instance->owners);
	free(instance);
}

static uint64_t nfs_capabilities(struct dmm_conn *conn)
{
	return conn->capabilities;
}

static int take_handle(struct dmm_bytes handle, struct fh *fh)
{
	if (handle.len == 0 || handle.len > FH_MAX)
		return -ESTALE; /* of another plugin, or damaged */
	fh->len = (unsigned)handle.len;
	memcpy(fh->bytes, handle.data, handle.len);
	return 0;
}

static int open_file(struct dmm_conn *conn, struct dmm_request *request)
{
	struct dmm_file *file = calloc(1, sizeof(*file));
	int ret = file ? take_handle(request->handle, &file->fh) : -ENOMEM;

	if (ret < 0) {
		free(file);
		return ret;
	}
	file->conn = conn;
	request->file = file;
	return 0;
}

/* The object that a request is about. */
static int object_of(struct dmm_conn *conn, const struct dmm_request *request, struct fh *fh)
{
	bool has_file = request->kind == DMM_REQ_LIST || request->kind == DMM_REQ_READ || request->kind == DMM_REQ_EXTENTS ||
	                (request->kind == DMM_REQ_XATTRS && request->file);

	if (request->kind == DMM_REQ_ROOT)
		*fh = conn->root;
	else if (has_file)
		*fh = request->file->fh;
	else
		return take_handle(request->handle, fh);
	return 0;
}

static void answer(struct dmm_request *request, int result)
{
	request->result = result;
	request->complete(request);
}

/* One after the other; but small READs that follow each other, which can be one COMPOUND, stay together. */
static unsigned next_channel(struct dmm_conn *conn, const struct dmm_request *request)
{
	bool together = conn->protocol->read_joined && request->kind == DMM_REQ_READ && request->len < SMALL_BYTES;
	unsigned turn = atomic_fetch_add_explicit(together ? &conn->next_small : &conn->next, 1, memory_order_relaxed);

	return (together ? turn / TOGETHER : turn) % conn->n_channels;
}

static void nfs_submit(struct dmm_conn *conn, struct dmm_request *request)
{
	struct fh fh;
	int ret;

	if (request->kind == DMM_REQ_OPEN) {
		answer(request, open_file(conn, request));
	} else if (request->kind == DMM_REQ_CLOSE) {
		free(request->file);
		answer(request, 0);
	} else if ((ret = object_of(conn, request, &fh)) < 0) {
		answer(request, ret);
	} else {
		channel_submit(conn->channels[next_channel(conn, request)], conn, request, &fh);
	}
}

/* Which channel has it nobody knows; each looks through what it has. */
static void nfs_cancel(struct dmm_conn *conn, struct dmm_request *request)
{
	(void)request;
	for (unsigned i = 0; i < conn->n_channels; i++)
		channel_wake(conn->channels[i]);
}

static const char *const schemes[] = {"nfs", NULL};

static const struct dmm_option options[] = {
	{"nfsvers", "version of the protocol: 3, 4 or 4.0; without it 4 is tried, then 3"},
	{"vers", "the same"},
	{"port", "TCP port of the NFS service"},
	{"mountport", "TCP port of the MOUNT service (version 3)"},
	{"conns", "connections to the server, 1 to 64 (4)"},
	{"nconnect", "the same"},
	{"domain", "the domain of the names of owners (version 4); without it that of /etc/idmapd.conf"},
	{"rsize", "bytes of one READ at most, up to 1048576"},
	{NULL, NULL},
};

static const struct dmm_plugin plugin = {
	.abi = DMM_PLUGIN_ABI,
	.struct_size = sizeof(struct dmm_plugin),
	.name = "nfs",
	.version = "1",
	.description = "an export of an NFS server, version 3 or 4",
	.schemes = schemes,
	.options = options,
	.threads = DMM_THREADS_ASYNC,
	.open = instance_open,
	.close = instance_close,
	.connect = session_open,
	.disconnect = session_close,
	.capabilities = nfs_capabilities,
	.submit = nfs_submit,
	.cancel = nfs_cancel,
	.limits = nfs_limits,
};

DMMFS_PLUGIN(plugin)
