/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A source from its opening to its end, and the calls that need no open file.
 */
#include "source/join.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- opening ------------------------------------------------------------------------------------------------------------------ */

static void plugin_log(enum dmm_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void plugin_log(enum dmm_log_level level, const char *format, ...)
{
	static const enum log_level levels[] = {LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG};
	char line[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	log_write((unsigned)level <= DMM_LOG_DEBUG ? levels[level] : LOG_LEVEL_DEBUG, "source: %s", line);
}

static int check_settings(const struct plugin_module *module, const struct source_options *options, char *error,
                          size_t error_size)
{
	for (size_t i = 0; i < options->n_settings; i++) {
		if (plugin_takes_option(module, options->settings[i].name))
			continue;
		snprintf(error, error_size, "The plugin \"%s\" takes no option \"%s\"; take it out of the mount options.",
		         module->plugin.name, options->settings[i].name);
		return -EINVAL;
	}
	return 0;
}

static int open_instance(struct source *source, const struct source_options *options, char *error, size_t error_size)
{
	const struct dmm_config config = {
		.struct_size = sizeof(config),
		.source = options->source,
		.settings = options->settings,
		.n_settings = options->n_settings,
		.error = error,
		.error_size = error_size,
		.log = plugin_log,
	};
	int ret;

	error[0] = '\0';
	ret = source->module.plugin.open(&config, &source->instance);
	if (ret < 0 && !error[0])
		snprintf(error, error_size, "The source %s cannot be opened: %s.", options->source, strerror(-ret));
	return ret < 0 ? ret : 0;
}

/* One that answers and refuses is not out of reach: there is something else to be put right. */
static const char *remedy(int failure)
{
	switch (failure) {
	case -EACCES:
	case -EPERM:
		return "the server answers and refuses: check its permissions for this machine, the path, and the credentials, "
		       "where the source needs some";
	case -ENOENT:
	case -ENOTDIR:
	case -ENODEV:
		return "the server answers and shows nothing of that name: check the path, and what it exports or shares";
	default:
		return "check the address and whether the server answers";
	}
}

/* The first connection tells whether the source can be reached, and what it can do. */
static int connect_first(struct source *source, const struct source_options *options, char *error, size_t error_size)
{
	struct retry retry = retry_begin(source);
	const struct dmm_plugin *plugin = &source->module.plugin;
	struct connection *connection;
	int ret;

	do
		ret = connection_take(source, &connection);
	while (retry_again(&retry, ret, false));
	if (ret < 0) {
		snprintf(error, error_size, "The source %s cannot be reached: %s; %s.", options->source, strerror(-ret),
		         remedy(ret));
		return ret;
	}
	source->capabilities = plugin->capabilities ? plugin->capabilities(connection->conn) : 0;
	ret = limits_ask(source, connection->conn);
	connection_give(source, connection, 0, 0);
	return ret;
}

static void init(struct source *source, const struct source_options *options)
{
	source->tries = options->tries > 0 ? options->tries : 1;
	source->timeout_ns = options->timeout_ms * NS_PER_MS;
	pool_init(&source->pool, source->module.plugin.threads == DMM_THREADS_CONNECTION,
	          options->connections > 0 ? options->connections : CONNECTIONS_DEFAULT);
	pthread_mutex_init(&source->serial, NULL);
	pthread_mutex_init(&source->sleep_lock, NULL);
	pthread_cond_init(&source->sleep, NULL);
	pthread_mutex_init(&source->unknown.lock, NULL);
	for (unsigned i = 0; i < SHARDS; i++)
		pthread_mutex_init(&source->shards[i].lock, NULL);
}

struct source *source_new(void)
{
	struct source *source = aligned_alloc(_Alignof(struct source), sizeof(*source));

	if (source)
		memset(source, 0, sizeof(*source));
	return source;
}

int source_open(const struct source_options *options, struct source **result, char *error, size_t error_size)
{
	struct source *source;
	int ret;

	if (options->nt)
		return join_open(options, result, error, error_size);
	source = source_new();
	if (!source)
		return -ENOMEM;
	ret = plugin_load(options->plugin_dir, options->protocol, options->source, &source->module, error, error_size);
	if (ret < 0) {
		free(source);
		return ret;
	}
	init(source, options);
	ret = check_settings(&source->module, options, error, error_size);
	if (ret == 0 && options->idmap)
		ret = idmap_load(options->idmap, &source->idmap, error, error_size);
	if (ret == 0)
		ret = open_instance(source, options, error, error_size);
	if (ret == 0 && options->known)
		source->capabilities = options->known[0];
	else if (ret == 0)
		ret = connect_first(source, options, error, error_size);
	if (ret < 0) {
		source_close(source);
		return ret;
	}
	*result = source;
	return 0;
}

void source_close(struct source *source)
{
	if (!source)
		return;
	if (source->helpers)
		lane_stop(source->helpers);
	if (source->join) {
		join_close(source->join);
		pthread_mutex_destroy(&source->sleep_lock);
		free(source);
		return;
	}
	pool_destroy(source);
	if (source->instance)
		source->module.plugin.close(source->instance);
	plugin_unload(&source->module);
	idmap_free(source->idmap);
	limits_free(source->limits);
	owner_forget(source);
	for (unsigned i = 0; i < SHARDS; i++)
		pthread_mutex_destroy(&source->shards[i].lock);
	pthread_cond_destroy(&source->sleep);
	pthread_mutex_destroy(&source->sleep_lock);
	pthread_mutex_destroy(&source->serial);
	free(source);
}

void source_set_entries_max(struct source *source, uint64_t entries)
{
	if (source->join) {
		source_set_entries_max(source->join->first, entries);
		source_set_entries_max(source->join->second, entries);
	}
	atomic_store(&source->entries_max, entries);
}

const char *source_plugin_name(const struct source *source)
{
	return source->module.plugin.name;
}

const char *source_advice(const struct source *source, int error)
{
	static const struct {
		const char *plugin, *sentence;
	} refusals[] = {
		{"nfs", "the server does not let root read it: export the source to this machine without squashing root "
	                "(no_root_squash), then retry"},
		{"cifs",
	         "the server does not let the user of credentials= read it: take one with the rights of a backup operator, then "
	         "retry"},
	};

	for (size_t i = 0; (error == -EACCES || error == -EPERM) && i < sizeof(refusals) / sizeof(*refusals); i++)
		if (strcmp(source_plugin_name(source), refusals[i].plugin) == 0)
			return refusals[i].sentence;
	return NULL;
}

uint64_t source_capabilities(const struct source *source)
{
	return source->capabilities;
}

void source_known(const struct source *source, uint64_t known[2])
{
	known[0] = source->join ? source->join->first->capabilities : source->capabilities;
	known[1] = source->join ? source->join->second->capabilities : 0;
}

const struct idmap *source_sids(const struct source *source)
{
	return source->idmap && source->capabilities & DMM_CAP_NT_ACL && idmap_has_sids(source->idmap) ? source->idmap : NULL;
}

void source_cancel_all(struct source *source)
{
	if (source->join) {
		source_cancel_all(source->join->first);
		source_cancel_all(source->join->second);
		return;
	}
	atomic_store(&source->cancelled, true);
	pthread_mutex_lock(&source->sleep_lock);
	pthread_cond_broadcast(&source->sleep);
	pthread_mutex_unlock(&source->sleep_lock);
	pthread_mutex_lock(&source->pool.lock);
	pthread_cond_broadcast(&source->pool.changed);
	pthread_mutex_unlock(&source->pool.lock);
	call_cancel_all(source);
}

/* --- calls by handle ------------------------------------------------------------------------------------------------------------ */

/* One object, to the sink. */
static int run_object(struct call *call, source_entry_fn entry, void *context)
{
	struct gather gather = {0};

	call->entry = gather_add;
	call->context = &gather;
	int ret = (int)call_run(call);
	int refused = ret >= 0 ? gather_deliver(&gather, entry, context) : 0;
	gather_free(&gather);
	return refused < 0 ? refused : ret;
}

int source_root(struct source *source, source_entry_fn entry, void *context)
{
	struct call call = CALL(source, DMM_REQ_ROOT);

	if (source->join)
		return join_root(source->join, entry, context);
	return run_object(&call, entry, context);
}

int source_attr(struct source *source, struct dmm_bytes handle, source_entry_fn entry, void *context)
{
	struct call call = CALL(source, DMM_REQ_ATTR);

	if (source->join)
		return join_attr(source->join, handle, entry, context);
	call.request.handle = handle;
	return run_object(&call, entry, context);
}

int readlink_result(char *buf, size_t size, int64_t len)
{
	if (len < 0)
		return (int)len;
	/* All of the buffer: there may be more, and the NUL has no room. */
	if ((uint64_t)len >= size)
		return -ENAMETOOLONG;
	buf[len] = '\0';
	return (int)len;
}

int source_readlink(struct source *source, struct dmm_bytes handle, char *buf, size_t size)
{
	struct call call = CALL(source, DMM_REQ_READLINK);

	if (source->join)
		return join_readlink(source->join, handle, buf, size);
	call.request.handle = handle;
	call.request.buf = buf;
	call.request.len = size;
	return readlink_result(buf, size, call_run(&call));
}

int source_xattrs(struct source *source, struct dmm_bytes handle, struct source_file *file, source_xattr_fn xattr, void *context)
{
	return source_attributes(source, handle, file, xattr, NULL, context);
}

bool source_has_no_attributes(const struct source *source, const struct dmm_entry *entry)
{
	return !source->join && (entry->attr.valid & DMM_ATTR_NO_XATTRS); /* of two sources, only one says so */
}

int source_attributes(struct source *source, struct dmm_bytes handle, struct source_file *file, source_xattr_fn xattr,
                      source_loss_fn loss, void *context)
{
	struct call call = CALL(source, DMM_REQ_XATTRS);

	if (source->join)
		return join_attributes(source->join, handle, file, xattr, loss, context);
	if (file)
		return source_file_xattrs(file, xattr, loss, context);
	call.request.handle = handle;
	call.xattr = xattr;
	call.loss = loss;
	call.context = context;
	return (int)call_run(&call);
}
