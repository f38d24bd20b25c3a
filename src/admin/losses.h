/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The loss report: what could not be carried, by kind (migrate/loss.h), for how many objects, with their paths. And the requests
 * "losses" and "loss-list". Rows of the table in request.c.
 */
#ifndef DMM_ADMIN_LOSSES_H
#define DMM_ADMIN_LOSSES_H

#include "migrate/report.h"

#include <jansson.h>

json_t *answer_losses(const struct migration_port *port, uint32_t migid, const json_t *request);
json_t *answer_loss_list(const struct migration_port *port, uint32_t migid, const json_t *request);

#endif
