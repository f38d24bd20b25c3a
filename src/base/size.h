/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Sizes as the DMM specification writes them (section 5.1, segsize): "N[.N][KMGTP][B]", units of 1024, case ignored, no blank
 * between number and unit.
 */
#ifndef DMM_BASE_SIZE_H
#define DMM_BASE_SIZE_H

#include <stddef.h>
#include <stdint.h>

/* -EINVAL: not of that form; -ERANGE: larger than 2^63-1. Fractions of a byte are cut off. */
int size_parse(const char *text, uint64_t *bytes);

/* What size_parse() reads back as the same number: "64M", "1536K", "5". Returns `buf`, for which SIZE_TEXT bytes are enough. */
#define SIZE_TEXT 32
const char *size_print(uint64_t bytes, char *buf, size_t buf_size);

/* "1.5 GiB", for people. Returns `buf`. */
const char *size_format(uint64_t bytes, char *buf, size_t buf_size);

#endif
