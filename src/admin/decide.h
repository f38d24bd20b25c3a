/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The operations "retry" and "waive": what the administrator decides about errors.
 */
#ifndef DMM_ADMIN_DECIDE_H
#define DMM_ADMIN_DECIDE_H

#include "migrate/report.h"

#include <jansson.h>

/* New references; see request_answer(). */
json_t *answer_retry(const struct migration_port *port, uint32_t migid, const json_t *request);
json_t *answer_waive(const struct migration_port *port, uint32_t migid, const json_t *request);

#endif
