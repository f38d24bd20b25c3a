/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What is UTF-8 in text of any bytes, and what of it must never reach a terminal or a log.
 */
#ifndef DMM_BASE_UTF8_H
#define DMM_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Length of the valid UTF-8 sequence (RFC 3629) at `text`, which ends with a NUL; 0: none begins here. */
size_t utf8_sequence(const char *text);

/* A control character begins here: C0, DEL, C1 (U+0080 to U+009F, commands to some terminals), or one that ends a line or turns the
 * direction of writing round (U+2028 to U+202E, U+2066 to U+2069). */
bool utf8_is_control(const char *text);

/* Writes what begins at *text to `buf` and moves *text behind it: a valid sequence as it is, a control character and what is not
 * UTF-8 as \xNN for each byte. At most 12 bytes and the NUL; how many without the NUL. */
#define UTF8_SHOWN_BYTES 13
size_t utf8_show(const char **text, char *buf);

#endif
