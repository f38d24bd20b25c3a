/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The picture that `watch` shows: a line for each migration, and what is known about the chosen one below.
 */
#ifndef DMM_CLI_SCREEN_H
#define DMM_CLI_SCREEN_H

#include "cli/terminal.h"

#include <jansson.h>
#include <stdint.h>

struct screen {
	struct terminal_size size;
	const json_t *list;  /* figures of all */
	const json_t *lines; /* of the log of the chosen one; may be NULL */
	uint32_t chosen;     /* a migid; 0: none */
	const char *said;    /* why there is nothing to show; "" or a sentence */
};

/* The lines of the picture, each no wider than the screen, and no more than it has, between newlines. Newly allocated. */
char *screen_compose(const struct screen *screen);

/* The part of `text` that fits into so many columns; escape sequences for colours take none, and end with it. Newly allocated. */
char *screen_cut(const char *text, size_t columns);

#endif
