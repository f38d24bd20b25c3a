/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A terminal that a program has for itself: the alternate screen, without echo and cursor, put back however the program ends.
 */
#ifndef DMM_CLI_TERMINAL_H
#define DMM_CLI_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

struct terminal_size {
	size_t columns, rows;
};

/* What happened. TERMINAL_SIGNAL: the program is to end, terminal_end() and then by this signal. */
enum terminal_event { TERMINAL_NOTHING, TERMINAL_QUIT, TERMINAL_UP, TERMINAL_DOWN, TERMINAL_REDRAW, TERMINAL_SIGNAL };

/* Of standard output; 80 by 24 when nobody knows. */
struct terminal_size terminal_size(void);

/* Takes the terminal of standard output, and keys from standard input if that is one. Blocks the signals that it takes, before any
 * thread is started. 0 or negative errno. */
int terminal_begin(void);

/* Puts everything back. Also called by exit(3). */
void terminal_end(void);

/* Waits so long for a key, a signal, or for `fd` to be readable. */
enum terminal_event terminal_wait(int fd, int timeout_ms);

/* Ends the program by the signal that came. */
void terminal_die(void);

#endif
