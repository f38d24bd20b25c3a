/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The requests "set" and "get": properties of a migration. Rows of the table in request.c.
 */
#ifndef DMM_ADMIN_PROPERTIES_H
#define DMM_ADMIN_PROPERTIES_H

#include "migrate/report.h"

#include <jansson.h>

json_t *answer_set(const struct migration_port *port, uint32_t migid, const json_t *request);
json_t *answer_get(const struct migration_port *port, uint32_t migid, const json_t *request);

#endif
