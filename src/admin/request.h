/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * From a request to its reply: no sockets, no threads.
 */
#ifndef DMM_ADMIN_REQUEST_H
#define DMM_ADMIN_REQUEST_H

#include "migrate/report.h"

#include <jansson.h>
#include <stdbool.h>

/* New reference to the reply; never NULL unless there is no memory for even an error. */
json_t *request_answer(const struct migration_port *port, uint32_t migid, const json_t *request);

/* True for requests that may take long. */
bool request_is_long(const json_t *request);
/* True for those of them that wait for the end of the daemon. */
bool request_awaits_end(const json_t *request);

/* True for requests that those may make who are not root, but allowed to see how migrations get on. */
bool request_is_for_guests(const json_t *request);

/* {"ok":false,"error":NAME,"message":...}; `error` negative or positive. */
json_t *request_refuse(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
