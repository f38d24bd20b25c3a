/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Spans of time in text: "N[.N]" and a unit, one of us, ms, s, m, h, d, without a blank between: "20ms", "1.5h". There is always
 * a unit: a bare number would mean seconds to one and milliseconds to another.
 */
#ifndef DMM_BASE_DURATION_H
#define DMM_BASE_DURATION_H

#include <stddef.h>
#include <stdint.h>

#define DURATION_TEXT 32 /* room for any duration_print() */

/* -EINVAL: not of that form; -ERANGE: longer than 2^63-1 ns. Fractions of a nanosecond are cut off. */
int duration_parse(const char *text, uint64_t *ns);

/* What duration_parse() reads back as the same span, down to the microsecond: "90s", "1500us". Returns `buf`. */
const char *duration_print(uint64_t ns, char *buf, size_t buf_size);

#endif
