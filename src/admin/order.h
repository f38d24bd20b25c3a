/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The requests "fetch" and "fetch-status", and what stat and where say of the order.
 *
 *   {"op":"fetch","paths":[{"path":P},...]}  -> {"ok":true,"fetch":{"number":N}}
 *   {"op":"fetch-status","number":N}         -> {"ok":true,"fetch":{...}}
 */
#ifndef DMM_ADMIN_ORDER_H
#define DMM_ADMIN_ORDER_H

#include "migrate/report.h"

#include <jansson.h>

json_t *answer_fetch(const struct migration_port *port, uint32_t migid, const json_t *request);
json_t *answer_fetch_status(const struct migration_port *port, uint32_t migid, const json_t *request);

/* New references, or NULL without memory. Of something finished: null. */
json_t *json_of_order(const struct order_stat *stat);
json_t *json_of_turn(const struct where_report *report);

#endif
