/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Output of commands: JSON, colours, and members of JSON objects as C values.
 */
#ifndef DMM_CLI_PRINT_H
#define DMM_CLI_PRINT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

void print_json(const json_t *value);      /* indented, for the eye */
void print_json_line(const json_t *value); /* one line, flushed: one of a stream */

/* True when standard output is a terminal that understands escape sequences. */
bool print_on_terminal(void);

/* The escape sequence for the state of a migration; "" unless colours are wanted (a terminal, and NO_COLOR is not set). */
const char *print_state_color(const char *state);
const char *print_trouble_color(void);
const char *print_level_color(const char *level); /* of a line of the log */

/* Members; 0, "" or false when they are not there or of another type. */
uint64_t member_count(const json_t *object, const char *key);
const char *member_text(const json_t *object, const char *key);
bool member_true(const json_t *object, const char *key);

/* A name in the form for terminals: format_name() of the bytes. Newly allocated, never NULL. */
char *member_name(const json_t *object, const char *key);

#endif
