/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A source that is two: its opening, and what is asked by handle. See join.h.
 *
 * Owner, mode, times, ACL and all other attributes are the first side's. Of the second only those attributes are taken that mean
 * something to clients of SMB alone, so that its server can give nothing else to an object: no capability, no ACL of POSIX.
 */
#include "source/join.h"

#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XATTRS_ATTEMPTS 3

/* --- opening --- */

static int open_side(const struct source_options *options, const struct source_options *like, struct source **side, char *error,
                     size_t error_size)
{
	struct source_options own = *options;

	own.plugin_dir = like->plugin_dir;
	own.tries = like->tries;
	own.timeout_ms = like->timeout_ms;
	own.nt = NULL;
	return source_open(&own, side, error, error_size);
}

static uint64_t both_capabilities(const struct join *join)
{
	return source_capabilities(join->first) |
	       (source_capabilities(join->second) & (DMM_CAP_XATTR | DMM_CAP_NT_ACL | DMM_CAP_STREAMS));
}

/* For those who ask ahead (ahead.c): what the side with fewer has. */
static unsigned both_connections(const struct join *join)
{
	const struct connection_pool *first = &join->first->pool, *second = &join->second->pool;
	unsigned count = CONNECTIONS_DEFAULT;

	if (first->exclusive && first->wanted < count)
		count = first->wanted;
	if (second->exclusive && second->wanted < count)
		count = second->wanted;
	return count;
}

int join_open(const struct source_options *options, struct source **result, char *error, size_t error_size)
{
	struct source *joined = source_new();
	struct join *join = calloc(1, sizeof(*join));
	int ret = joined && join ? 0 : -ENOMEM;

	if (ret == 0)
		ret = open_side(options, options, &join->first, error, error_size);
	if (ret == 0)
		ret = open_side(options->nt, options, &join->second, error, error_size);
	if (ret == 0 && !options->known)
		ret = join_check(join, options, error, error_size);
	if (ret < 0) {
		if (join)
			join_close(join);
		free(joined);
		return ret;
	}
	joined->join = join;
	joined->pool.wanted = both_connections(join);
	pthread_mutex_init(&joined->sleep_lock, NULL);
	joined->module.plugin.name = join->first->module.plugin.name;
	joined->capabilities = both_capabilities(join);
	*result = joined;
	return 0;
}

void join_close(struct join *join)
{
	source_close(join->second);
	source_close(join->first);
	free(join);
}

/* --- calls by handle --- */

struct rooting {
	const struct join *join;
	unsigned char *handle; /* DMM_HANDLE_MAX */
	struct dmm_entry first;
	source_entry_fn entry;
	void *context;
};

static int take_second_root(void *context, const struct dmm_entry *entry)
{
	struct rooting *rooting = context;
	struct dmm_entry joined = rooting->first;
	struct join_handle handle = {.flags = JOIN_DIR, .first = rooting->first.handle, .second = entry->handle};
	int len = join_handle_make(&handle, rooting->handle);

	if (len < 0 || !handle.second.len)
		return -ENAMETOOLONG;
	joined.handle = (struct dmm_bytes){rooting->handle, (size_t)len};
	return rooting->entry(rooting->context, &joined);
}

static int take_first_root(void *context, const struct dmm_entry *entry)
{
	struct rooting *rooting = context;

	rooting->first = *entry;
	return source_root(rooting->join->second, take_second_root, rooting);
}

int join_root(const struct join *join, source_entry_fn entry, void *context)
{
	struct rooting rooting = {.join = join, .handle = malloc(DMM_HANDLE_MAX), .entry = entry, .context = context};
	int ret = rooting.handle ? source_root(join->first, take_first_root, &rooting) : -ENOMEM;

	free(rooting.handle);
	return ret;
}

struct renaming {
	struct dmm_bytes handle;
	source_entry_fn entry;
	void *context;
};

static int give_handle(void *context, const struct dmm_entry *entry)
{
	const struct renaming *renaming = context;
	struct dmm_entry joined = *entry;

	joined.handle = renaming->handle;
	return renaming->entry(renaming->context, &joined);
}

int join_attr(const struct join *join, struct dmm_bytes bytes, source_entry_fn entry, void *context)
{
	struct renaming renaming = {bytes, entry, context};
	struct join_handle handle;
	int ret = join_handle_parse(bytes, &handle);

	return ret < 0 ? ret : source_attr(join->first, handle.first, give_handle, &renaming);
}

int join_readlink(const struct join *join, struct dmm_bytes bytes, char *buf, size_t size)
{
	struct join_handle handle;
	int ret = join_handle_parse(bytes, &handle);

	return ret < 0 ? ret : source_readlink(join->first, handle.first, buf, size);
}

/* --- attributes --- */

struct attributes {
	source_xattr_fn xattr;
	source_loss_fn loss; /* or NULL */
	void *context;
	unsigned given; /* to a sink: then there is no other attempt, which would give it again */
	int refused;    /* by a sink */
};

static bool is_nt(const char *name)
{
	static const char streams[] = "user.DosStream.";

	return strcmp(name, "security.NTACL") == 0 || strcmp(name, "user.DOSATTRIB") == 0 ||
	       strncmp(name, streams, sizeof(streams) - 1) == 0;
}

static int give_nt(void *context, const char *name, const void *value, size_t len)
{
	struct attributes *attributes = context;

	if (!is_nt(name))
		return 0;
	attributes->given++;
	attributes->refused = attributes->xattr(attributes->context, name, value, len);
	return attributes->refused;
}

/* What the second side cannot carry matters only where nothing else was asked of it. */
static bool is_nt_kind(const char *kind)
{
	static const char *const kinds[] = {"acl", "sacl", "streams", "dos-attributes"};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (strcmp(kind, kinds[i]) == 0)
			return true;
	return false;
}

static int give_nt_loss(void *context, const char *kind, const char *detail)
{
	struct attributes *attributes = context;

	if (!attributes->loss || !is_nt_kind(kind))
		return 0;
	attributes->given++;
	attributes->refused = attributes->loss(attributes->context, kind, detail);
	return attributes->refused;
}

struct limiting {
	source_limit_fn tell;
	void *context;
};

static void tell_nt_limit(void *context, const char *kind, const char *sentence)
{
	const struct limiting *limiting = context;

	if (is_nt_kind(kind))
		limiting->tell(limiting->context, kind, sentence);
}

void join_limits(const struct join *join, source_limit_fn tell, void *context)
{
	struct limiting limiting = {tell, context};

	source_limits(join->first, tell, context);
	source_limits(join->second, tell_nt_limit, &limiting);
}

bool join_may_pass(int error)
{
	switch (-error) {
	case EACCES:
	case EPERM:
	case ENOENT:
	case ENOTDIR:
	case EOPNOTSUPP:
	case ENODATA:
	case EMSGSIZE:
	case E2BIG:
	case ENOMEM:
	case ECANCELED:
		return false;
	default:
		return !source_is_outage(error);
	}
}

/* After the first side's, so that of one name the second's value is the last. */
int join_attributes(const struct join *join, struct dmm_bytes bytes, struct source_file *file, source_xattr_fn xattr,
                    source_loss_fn loss, void *context)
{
	struct attributes attributes = {.xattr = xattr, .loss = loss, .context = context};
	struct join_handle handle;
	int ret = join_handle_parse(bytes, &handle);

	if (ret >= 0 && (source_capabilities(join->first) & DMM_CAP_XATTR))
		ret = source_attributes(join->first, handle.first, file, xattr, loss, context);
	if (ret < 0 || !handle.second.len)
		return ret;
	for (unsigned attempt = 0; attempt < XATTRS_ATTEMPTS; attempt++) {
		ret = source_attributes(join->second, handle.second, NULL, give_nt, give_nt_loss, &attributes);
		if (ret >= 0 || attributes.given || !join_may_pass(ret))
			break;
	}
	if (ret >= 0 || attributes.refused < 0 || source_is_outage(ret) || ret == -ECANCELED || ret == -ENOMEM)
		return ret < 0 ? ret : 0;
	return -ret;
}

/* --- trouble --- */

void join_reach(const struct join *join, struct source_reach *reach)
{
	struct source_reach second;

	source_reach(join->first, reach);
	source_reach(join->second, &second);
	if (second.down && (!reach->down || second.since_ns < reach->since_ns)) {
		second.recoveries += reach->recoveries;
		*reach = second;
	} else {
		reach->recoveries += second.recoveries;
	}
}

void join_counters(const struct join *join, struct source_counters *counters)
{
	struct source_counters second;

	source_counters(join->first, counters);
	source_counters(join->second, &second);
	for (size_t kind = 0; kind < sizeof(counters->requests) / sizeof(counters->requests[0]); kind++)
		counters->requests[kind] += second.requests[kind];
	counters->bytes_read += second.bytes_read;
	counters->errors += second.errors;
	counters->retries += second.retries;
}

/* --- what whoever makes an object asks --- */

int source_disagreement(const struct source *source, const struct dmm_entry *entry, char *sentence, size_t size)
{
	struct join_handle handle;

	if (!source->join || entry->error || join_handle_parse(entry->handle, &handle) < 0)
		return 0;
	return join_handle_tell(&handle, &entry->attr, sentence, size);
}
