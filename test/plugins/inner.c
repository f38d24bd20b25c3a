/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "inner.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct dmm_plugin *inner;

static int load(void)
{
	const struct dmm_plugin *(*entry)(void);
	const char *given = getenv("DMMFS_SLOW_INNER");
	char path[PATH_MAX];
	Dl_info here;

	if (inner)
		return 0;
	if (given) {
		snprintf(path, sizeof(path), "%s", given);
	} else {
		if (!dladdr(&inner, &here) || !strrchr(here.dli_fname, '/'))
			return -ENOENT;
		int dir = (int)(strrchr(here.dli_fname, '/') - here.dli_fname);
		snprintf(path, sizeof(path), "%.*s/../../plugins/posix.so", dir, here.dli_fname);
	}
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	if (!library)
		return -ENOENT;
	*(void **)&entry = dlsym(library, DMM_PLUGIN_ENTRY_NAME);
	inner = entry ? entry() : NULL;
	return inner ? 0 : -ENOEXEC;
}

int inner_open(const struct dmm_config *config, const char *scheme, struct dmm_instance **instance)
{
	struct dmm_config given = *config;
	int result = load();

	if (result < 0) {
		snprintf(config->error, config->error_size, "the posix plugin cannot be loaded; see DMMFS_SLOW_INNER");
		return result;
	}
	if (strncmp(given.source, scheme, strlen(scheme)) == 0)
		given.source += strlen(scheme);
	return inner->open(&given, instance);
}

void inner_close(struct dmm_instance *instance)
{
	inner->close(instance);
}

int inner_connect(struct dmm_instance *instance, struct dmm_conn **conn)
{
	return inner->connect(instance, conn);
}

void inner_disconnect(struct dmm_conn *conn)
{
	inner->disconnect(conn);
}

uint64_t inner_capabilities(struct dmm_conn *conn)
{
	return inner->capabilities(conn) & ~DMM_CAP_FD;
}
