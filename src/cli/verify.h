/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The result of a verification (the object of the request "verify") in words: for verify and report.
 */
#ifndef DMM_CLI_VERIFY_H
#define DMM_CLI_VERIFY_H

#include <jansson.h>
#include <stdbool.h>

void verify_print(const json_t *verify);

/* Something that is neither equal nor an application's doing. */
bool verify_found_something(const json_t *verify);

#endif
