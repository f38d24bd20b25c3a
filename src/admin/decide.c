/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Which errors are meant is an array of objects, each with an id or a path; without it all are that are not settled.
 */
#include "admin/decide.h"

#include "admin/json.h"
#include "admin/request.h"
#include "base/cleanup.h"
#include "wire/bytes.h"

#include <errno.h>
#include <string.h>

/* A path ends as the entries of the ledger have them. */
static void trim(char *path)
{
	size_t len = strlen(path);

	while (len > 1 && path[len - 1] == '/')
		path[--len] = '\0';
}

/* 0, or -EINVAL: each entry has one of the two. */
static int take_choice(const json_t *entry, struct error_choice *choice)
{
	const json_t *id = json_object_get(entry, "id");
	char *path = NULL;

	*choice = (struct error_choice){0};
	if (json_is_integer(id) && json_integer_value(id) > 0 && !json_object_get(entry, "path")) {
		choice->id = (uint64_t)json_integer_value(id);
		return 0;
	}
	if (id || bytes_get(entry, "path", &path))
		return -EINVAL;
	trim(path);
	choice->path = path;
	return *path ? 0 : -EINVAL;
}

static void free_choices(struct error_choice *choices, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free((char *)choices[i].path);
	free(choices);
}

static json_t *tell(const char *key, const struct decision_result *result)
{
	json_t *told =
		json_pack("{s:o, s:o}", "changed", json_of_count(result->changed), "unchanged", json_of_count(result->unchanged));
	json_t *reply = json_pack("{s:b, s:o}", "ok", 1, key, told);

	return reply ? reply : request_refuse(ENOMEM, "the daemon is out of memory; see dmmfs-admin errors for what was done");
}

static json_t *ask(const struct migration_port *port, uint32_t migid, enum error_decision decision,
                   const struct error_choice *choices, size_t count)
{
	CLEAN_FREE struct decision_result *result = calloc(1, sizeof(*result));

	if (!result)
		return request_refuse(ENOMEM, "the daemon is out of memory; try again");
	int error = port->decide(port->context, decision, choices, count, result);
	if (error == 0)
		return tell(decision == DECIDE_RETRY ? "retry" : "waive", result);
	return request_refuse(error, "migration %u: %s", migid, *result->message ? result->message : strerror(-error));
}

static json_t *answer(const struct migration_port *port, uint32_t migid, const json_t *request, enum error_decision decision)
{
	const json_t *entries = json_object_get(request, "entries");
	size_t count = json_array_size(entries), taken = 0;

	if (!entries)
		return ask(port, migid, decision, NULL, 0);
	struct error_choice *choices = calloc(count + 1, sizeof(*choices));
	if (!choices)
		return request_refuse(ENOMEM, "the daemon is out of memory; try again");
	while (taken < count && take_choice(json_array_get(entries, taken), &choices[taken]) == 0)
		taken++;
	json_t *reply = count && taken == count
	                        ? ask(port, migid, decision, choices, count)
	                        : request_refuse(EINVAL, "\"entries\" is an array of objects, each with an \"id\" "
	                                                 "greater than 0 or a \"path\"");
	free_choices(choices, taken < count ? taken + 1 : count);
	return reply;
}

json_t *answer_retry(const struct migration_port *port, uint32_t migid, const json_t *request)
{
	return answer(port, migid, request, DECIDE_RETRY);
}

json_t *answer_waive(const struct migration_port *port, uint32_t migid, const json_t *request)
{
	return answer(port, migid, request, DECIDE_WAIVE);
}
