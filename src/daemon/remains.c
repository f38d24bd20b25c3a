/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Finish, what is waived: what becomes of it is noted in the configuration before anything is done, so that the list is whole
 * after a kill, and then done. The mount is gone and the state is closed, as after a start that completes a finish.
 */
#include "daemon/witness.h"

#include "admin/json.h"
#include "base/cleanup.h"
#include "base/fault.h"
#include "base/log.h"
#include "migrate/remains.h"

#include <errno.h>
#include <stdlib.h>

/* The list is for people, and in one transaction. */
#define LISTED_MAX 2000

struct list {
	json_t *entries;
	size_t left_out;
};

static int add(void *context, const struct error_record *record)
{
	struct list *list = context;

	log_info("waived: what=\"%s\" path=\"%s\" error=%s %s", record->what, record->path, errno_name(record->error),
	         record->detail);
	if (json_array_size(list->entries) >= LISTED_MAX)
		list->left_out++;
	else if (json_array_append_new(list->entries, json_of_error(record)))
		return -ENOMEM;
	return 0;
}

static int note(struct daemon *daemon)
{
	CLEAN_FREE char *known = NULL;
	struct list list = {0};

	if (config_get(daemon->config, daemon->migid, "waived", &known) >= 0)
		return 0; /* before a kill */
	list.entries = json_array();
	int result = remains_tell(daemon->store, &daemon->target, add, &list);
	CLEAN_FREE char *text = result < 0 ? NULL : json_dumps(list.entries, JSON_COMPACT);
	json_decref(list.entries);
	if (result >= 0 && list.left_out)
		log_warning("more is waived than the configuration lists; it is all in the log: left_out=%zu", list.left_out);
	if (result < 0 || !text)
		return result < 0 ? result : -ENOMEM;
	return config_set(daemon->config, daemon->migid, "waived", text);
}

int daemon_settle_remains(struct daemon *daemon)
{
	char error[1024] = "";

	if (!daemon_state_exists(daemon))
		return 0; /* it was settled before the state went */
	int result = daemon_open_store(daemon, error, sizeof(error));
	if (result < 0) {
		log_error("the state cannot be opened to finish: %s", error);
		return result;
	}
	result = daemon_witness_look(daemon, error, sizeof(error));
	if (result < 0)
		log_error("the finish cannot be completed with this state: %s", error);
	if (result >= 0)
		result = note(daemon);
	if (result >= 0)
		result = remains_settle(daemon->store, &daemon->target);
	store_close(daemon->store);
	daemon->store = NULL;
	return result < 0 ? result : fault_hit(FAULT_REMAINS_SETTLED);
}
