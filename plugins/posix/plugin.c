/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The posix plugin's face to the host: the table of functions, and the switch over the kinds of requests. Every request is
 * complete when submit() returns.
 */
#include "posix.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <time.h>

static int posix_open(const struct dmm_config *config, struct dmm_instance **result)
{
	struct dmm_instance *instance;
	char path[PATH_MAX];
	int ret;

	ret = address_parse(config, path, sizeof(path));
	if (ret < 0)
		return ret;
	instance = calloc(1, sizeof(*instance));
	if (!instance)
		return -ENOMEM;
	instance->log = config->log;
	pthread_mutex_init(&instance->identities.lock, NULL);
	ret = root_open(instance, config, path);
	if (ret < 0) {
		pthread_mutex_destroy(&instance->identities.lock);
		free(instance);
		return ret;
	}
	*result = instance;
	return 0;
}

static void posix_close(struct dmm_instance *instance)
{
	root_close(instance);
	pthread_mutex_destroy(&instance->identities.lock);
	free(instance);
}

static int posix_connect(struct dmm_instance *instance, struct dmm_conn **result)
{
	struct dmm_conn *conn = malloc(sizeof(*conn));

	if (!conn)
		return -ENOMEM;
	conn->instance = instance;
	*result = conn;
	return 0;
}

static void posix_disconnect(struct dmm_conn *conn)
{
	free(conn);
}

static uint64_t posix_capabilities(struct dmm_conn *conn)
{
	const struct dmm_instance *instance = conn->instance;

	return DMM_CAP_EXTENTS | DMM_CAP_XATTR | DMM_CAP_POSIX_ACL | DMM_CAP_FD | (instance->birth_time ? DMM_CAP_BTIME : 0) |
	       (instance->handles ? DMM_CAP_PERSISTENT_HANDLES : 0);
}

int request_go_on(const struct dmm_request *request)
{
	struct timespec now;

	if (atomic_load_explicit(&request->cancelled, memory_order_relaxed))
		return -ECANCELED;
	if (request->deadline_ns == 0)
		return 0;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec >= request->deadline_ns ? -ETIMEDOUT : 0;
}

static int64_t answer(struct dmm_conn *conn, struct dmm_request *request)
{
	switch (request->kind) {
	case DMM_REQ_ROOT:
		return posix_root(conn, request);
	case DMM_REQ_ATTR:
		return posix_attr(conn, request);
	case DMM_REQ_OPEN:
		return posix_open_file(conn, request);
	case DMM_REQ_CLOSE:
		posix_close_file(request->file);
		return 0;
	case DMM_REQ_LIST:
		return posix_list(request->file, request);
	case DMM_REQ_READ:
		return posix_read(request->file, request);
	case DMM_REQ_READLINK:
		return posix_readlink(conn, request);
	case DMM_REQ_XATTRS:
		return posix_xattrs(conn, request);
	case DMM_REQ_EXTENTS:
		return posix_extents(request->file, request);
	case DMM_REQ_WHOLE:
		break;
	}
	return -EOPNOTSUPP;
}

static void posix_submit(struct dmm_conn *conn, struct dmm_request *request)
{
	request->result = answer(conn, request);
	request->complete(request);
}

static int posix_file_fd(struct dmm_file *file)
{
	return file->fd;
}

static const char *const schemes[] = {"file", NULL};

static const struct dmm_plugin plugin = {
	.abi = DMM_PLUGIN_ABI,
	.struct_size = sizeof(struct dmm_plugin),
	.name = "posix",
	.version = "1",
	.description = "a directory of this machine",
	.schemes = schemes,
	.threads = DMM_THREADS_PARALLEL,
	.open = posix_open,
	.close = posix_close,
	.connect = posix_connect,
	.disconnect = posix_disconnect,
	.capabilities = posix_capabilities,
	.submit = posix_submit,
	.file_fd = posix_file_fd,
};

DMMFS_PLUGIN(plugin)
