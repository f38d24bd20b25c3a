/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What no object of a source can bring with it, as its plugin said after the first connection. Constant from then on.
 */
#include "source/join.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LIMITS_MOST 64
#define TEXT_MOST 1024

struct limits {
	struct limit {
		char *kind, *sentence;
	} all[LIMITS_MOST];
	size_t count;
};

static void keep(void *context, const char *kind, const char *sentence)
{
	struct limits *limits = context;

	if (limits->count == LIMITS_MOST || !kind || !sentence)
		return;
	struct limit *limit = &limits->all[limits->count];
	*limit = (struct limit){strndup(kind, TEXT_MOST), strndup(sentence, TEXT_MOST)};
	if (limit->kind && limit->sentence) {
		limits->count++;
		return;
	}
	free(limit->kind);
	free(limit->sentence);
}

int limits_ask(struct source *source, struct dmm_conn *conn)
{
	const struct dmm_plugin *plugin = &source->module.plugin;

	if (!plugin->limits)
		return 0;
	source->limits = calloc(1, sizeof(*source->limits));
	if (!source->limits)
		return -ENOMEM;
	plugin->limits(conn, keep, source->limits);
	return 0;
}

void limits_free(struct limits *limits)
{
	for (size_t i = 0; limits && i < limits->count; i++) {
		free(limits->all[i].kind);
		free(limits->all[i].sentence);
	}
	free(limits);
}

void source_limits(const struct source *source, source_limit_fn tell, void *context)
{
	const struct limits *limits = source->limits;

	if (source->join)
		join_limits(source->join, tell, context);
	for (size_t i = 0; limits && i < limits->count; i++)
		tell(context, limits->all[i].kind, limits->all[i].sentence);
}
