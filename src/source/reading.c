/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A read on its way while its thread does something else.
 *
 * Only with a plugin that takes any number of requests at a time (DMM_THREADS_ASYNC). The first attempt is made here, on whatever opening
 * the file has; when that fails in a way that passes, the ordinary read takes over, which waits, tries again and opens the file anew.
 */
#include "source/join.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>

struct source_reading {
	struct source_look look; /* first: came() is given it */
	struct call call;
	struct source_file *file;
	struct opening *opening;
	uint64_t began_ns, came_ns;
};

bool source_reads_begin(const struct source *source)
{
	if (source->join)
		return source_reads_begin(source->join->first);
	return source->module.plugin.threads == DMM_THREADS_ASYNC;
}

/* In a thread of the plugin; whoever awaits the call sees it. */
static void came(struct source_look *look)
{
	((struct source_reading *)look)->came_ns = clock_monotonic_ns();
}

struct source_reading *source_read_begin(struct source_file *file, void *buf, uint64_t off, uint64_t len)
{
	struct source *source = file_source(file);
	struct source_reading *reading = source && source_reads_begin(source) ? calloc(1, sizeof(*reading)) : NULL;

	if (!reading)
		return NULL;
	*reading = (struct source_reading){.look.came = came, .call = CALL(source, DMM_REQ_READ), .file = file};
	reading->call.request.off = off;
	reading->call.request.len = len;
	reading->call.request.buf = buf;
	reading->call.handle = file_handle(file);
	reading->call.look = &reading->look;
	if (file_acquire(file, &reading->call, &reading->opening) < 0) {
		free(reading);
		return NULL;
	}
	reading->began_ns = clock_monotonic_ns();
	if (!call_send(&reading->call, opening_connection(reading->opening))) {
		file_release(file, &reading->call, reading->opening, -ECANCELED);
		free(reading);
		return NULL;
	}
	return reading;
}

bool source_reading_is_done(struct source_reading *reading)
{
	return call_is_done(&reading->call);
}

static int64_t await(struct source_reading *reading)
{
	int64_t got = call_await(&reading->call);

	file_release(reading->file, &reading->call, reading->opening, got);
	return got;
}

int64_t source_read_end(struct source_reading *reading, struct source_look *look, uint64_t *took_ns)
{
	const struct dmm_request *request = &reading->call.request;
	struct source_file *file = reading->file;
	int64_t got = await(reading);

	*took_ns = 0;
	if (got < 0 && (error_passes(got) || got == -ESTALE || got == -ECANCELED)) {
		got = source_read_look(file, request->buf, request->off, request->len, look);
		free(reading);
		return got;
	}
	reach_answered(reading->call.source);
	count_result(reading->call.source, DMM_REQ_READ, got);
	look->attr = reading->look.attr;
	look->attr_known = got >= 0 && reading->look.attr_known;
	if (got == (int64_t)request->len)
		*took_ns = reading->came_ns - reading->began_ns;
	got = file_read_rest(file, request->buf, request->off, request->len, got, look);
	free(reading);
	return got;
}

void source_read_forgo(struct source_reading *reading)
{
	call_forgo(&reading->call);
	await(reading);
	free(reading);
}
