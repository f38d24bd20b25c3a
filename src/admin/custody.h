/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The requests "verify", "verification" and "report". Rows of the table in request.c.
 */
#ifndef DMM_ADMIN_CUSTODY_H
#define DMM_ADMIN_CUSTODY_H

#include "migrate/report.h"

#include <jansson.h>

json_t *answer_verify(const struct migration_port *port, uint32_t migid, const json_t *request);
json_t *answer_verification(const struct migration_port *port, uint32_t migid, const json_t *request);
json_t *answer_report(const struct migration_port *port, uint32_t migid, const json_t *request);

#endif
