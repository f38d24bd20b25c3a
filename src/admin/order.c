/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A fetch is begun by one request and watched by others: it goes on whoever watches.
 */
#include "admin/order.h"

#include "admin/json.h"
#include "admin/request.h"
#include "base/log.h"
#include "wire/bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PATHS_MAX 1000

static void free_paths(char **paths, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(paths[i]);
	free(paths);
}

json_t *answer_fetch(const struct migration_port *port, uint32_t migid, const json_t *request)
{
	const json_t *list = json_object_get(request, "paths");
	size_t count = json_array_size(list), taken = 0;
	uint32_t number = 0;
	char why[2048] = "";
	char **paths = calloc(count + 1, sizeof(*paths));

	if (!paths)
		return request_refuse(ENOMEM, "the daemon is out of memory; try again");
	while (taken < count && count <= PATHS_MAX && bytes_get(json_array_get(list, taken), "path", &paths[taken]) == 0 &&
	       paths[taken][0] == '/')
		taken++;
	if (count == 0 || taken < count) {
		free_paths(paths, count);
		return request_refuse(EINVAL, "'fetch' takes absolute paths, at most %d, as \"paths\"", PATHS_MAX);
	}
	int error = port->fetch(port->context, (const char *const *)paths, count, &number, why, sizeof(why));
	free_paths(paths, count);
	if (error < 0)
		return request_refuse(error, "migration %u: %s", migid, *why ? why : strerror(-error));
	return json_pack("{s:b, s:{s:o}}", "ok", 1, "fetch", "number", json_of_count(number));
}

static json_t *json_of_fetch_errors(const struct fetch_status *status)
{
	json_t *list = json_array();

	for (size_t i = 0; i < status->n_errors; i++) {
		json_t *entry = json_object();
		if (bytes_set(entry, "path", status->errors[i].path) |
		    json_object_set_new(entry, "error", json_string(errno_name(status->errors[i].error))) |
		    bytes_set(entry, "detail", status->errors[i].detail) | json_array_append_new(list, entry)) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static json_t *json_of_fetch(const struct fetch_status *status)
{
	return json_pack("{s:o, s:s, s:b, s:b, s:o, s:o, s:o, s:o, s:o, s:o}", "number", json_of_count(status->number), "state",
	                 status->state == FETCH_DONE ? "done" : "running", "paused", status->paused, "target_full",
	                 status->target_full, "files_found", json_of_count(status->files_found), "files_done",
	                 json_of_count(status->files_done), "bytes_found", json_of_count(status->bytes_found), "bytes_done",
	                 json_of_count(status->bytes_done), "errors_total", json_of_count(status->errors_total), "errors",
	                 json_of_fetch_errors(status));
}

json_t *answer_fetch_status(const struct migration_port *port, uint32_t migid, const json_t *request)
{
	const json_t *number = json_object_get(request, "number");
	struct fetch_status status = {0};

	if (!json_is_integer(number) || json_integer_value(number) <= 0 || json_integer_value(number) > UINT32_MAX)
		return request_refuse(EINVAL, "'fetch-status' takes the number of a fetch as \"number\"");
	int error = port->fetch_status(port->context, (uint32_t)json_integer_value(number), &status);
	if (error < 0)
		return request_refuse(error, "migration %u knows of no fetch %lld any more", migid,
		                      (long long)json_integer_value(number));
	json_t *reply = json_pack("{s:b, s:o}", "ok", 1, "fetch", json_of_fetch(&status));
	fetch_status_free(&status);
	return reply ? reply : request_refuse(ENOMEM, "the daemon is out of memory; try again");
}

json_t *json_of_order(const struct order_stat *stat)
{
	json_t *object = json_object();

	if (bytes_set(object, "rules", stat->rules) | json_object_set_new(object, "learn", json_boolean(stat->learn)) |
	    json_object_set_new(object, "building", json_boolean(stat->building)) |
	    json_object_set_new(object, "raised", json_of_count(stat->raised)) |
	    json_object_set_new(object, "done_fetch", json_of_count(stat->done_fetch)) |
	    json_object_set_new(object, "done_first", json_of_count(stat->done_first)) |
	    json_object_set_new(object, "done_raised", json_of_count(stat->done_raised)) |
	    json_object_set_new(object, "done_last", json_of_count(stat->done_last)) |
	    json_object_set_new(object, "waiting_fetch", json_of_count(stat->waiting_fetch)) |
	    json_object_set_new(object, "waiting_first", json_of_count(stat->waiting_first)) |
	    json_object_set_new(object, "waiting_raised", json_of_count(stat->waiting_raised)) |
	    json_object_set_new(object, "waiting_last", json_of_count(stat->waiting_last))) {
		json_decref(object);
		return NULL;
	}
	return object;
}

json_t *json_of_turn(const struct where_report *report)
{
	if (!report->order_class)
		return json_null();
	json_t *object = json_object();
	if (json_object_set_new(object, "class", json_string(report->order_class)) | bytes_set(object, "clause", report->clause) |
	    json_object_set_new(object, "ahead", report->ahead < 0 ? json_null() : json_integer(report->ahead))) {
		json_decref(object);
		return NULL;
	}
	return object;
}
