/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Properties over the socket. Names and values are checked by the port; here only their form as JSON.
 */
#include "admin/properties.h"

#include "admin/request.h"
#include "base/cleanup.h"
#include "wire/bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHANGES_MAX 256

struct changes {
	struct setting_change list[CHANGES_MAX];
	size_t count;
};

static void free_changes(struct changes *changes)
{
	for (size_t i = 0; i < changes->count; i++)
		free((char *)changes->list[i].value);
}

/* 0, or -EINVAL: it is not of the form {NAME: TEXT or null}. Names stay the JSON object's. */
static int read_changes(const json_t *properties, struct changes *changes)
{
	const char *name;
	json_t *member;

	if (!json_is_object(properties))
		return -EINVAL;
	json_object_foreach((json_t *)properties, name, member)
	{
		char *value = NULL;
		if (strcmp(name, "escaped") == 0)
			continue;
		if (changes->count == CHANGES_MAX || (!json_is_null(member) && bytes_get(properties, name, &value)))
			return -EINVAL;
		changes->list[changes->count++] = (struct setting_change){name, value};
	}
	return changes->count ? 0 : -EINVAL;
}

json_t *answer_set(const struct migration_port *port, uint32_t migid, const json_t *request)
{
	CLEAN_FREE struct changes *changes = calloc(1, sizeof(*changes));
	char why[2048] = "";

	if (!changes)
		return request_refuse(ENOMEM, "the daemon is out of memory; try again");
	if (read_changes(json_object_get(request, "properties"), changes) < 0) {
		free_changes(changes);
		return request_refuse(EINVAL,
		                      "'set' takes names of properties, each with text or null, at most %d, as "
		                      "\"properties\"",
		                      CHANGES_MAX);
	}
	int error = port->set(port->context, changes->list, changes->count, why, sizeof(why));
	free_changes(changes);
	if (error < 0)
		return request_refuse(error, "%s", *why ? why : strerror(-error));
	return json_pack("{s:b, s:{}}", "ok", 1, "set");
}

static int add_value(void *context, const char *name, const char *value, const char *from)
{
	json_t *object = json_pack("{s:s, s:n, s:s}", "name", name, "value", "from", from);

	if (!object)
		return -ENOMEM;
	if ((value && bytes_set(object, "value", value)) || json_array_append(context, object)) {
		json_decref(object);
		return -ENOMEM;
	}
	json_decref(object);
	return 0;
}

json_t *answer_get(const struct migration_port *port, uint32_t migid, const json_t *request)
{
	json_t *list = json_array();
	int error = list ? port->get(port->context, add_value, list) : -ENOMEM;

	if (error < 0) {
		json_decref(list);
		return request_refuse(error, "the properties of migration %u can not be had: %s", migid, strerror(-error));
	}
	return json_pack("{s:b, s:o}", "ok", 1, "properties", list);
}
