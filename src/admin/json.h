/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The structs of migrate/report.h as JSON. Each function gives a new reference, or NULL without memory. Beside admin_stat_json().
 */
#ifndef DMM_ADMIN_JSON_H
#define DMM_ADMIN_JSON_H

#include "migrate/report.h"

#include <jansson.h>

json_t *json_of_where(const char *path, const struct where_report *report);
const char *error_state_name(enum error_state state);
json_t *json_of_error(const struct error_record *record);
json_t *json_of_holder(const struct holder *holder);

/* The lines of the program's log that are in memory: those with an id above `after`, and of these the last ones. */
json_t *json_of_log(uint64_t after, uint64_t last);

/* Not negative and not above what a JSON integer holds here. */
json_t *json_of_count(uint64_t count);

#endif
