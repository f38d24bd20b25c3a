/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Rates and latencies as administrators write them.
 *
 * A rate is a size and "/s", which may be left out: "20MB/s", "1.5G". A latency is a duration, down to the microsecond: "20ms".
 * "none" is no limit, "off" no target. What the format functions write means exactly the same when it is parsed.
 */
#ifndef DMM_PROPERTY_MEASURE_H
#define DMM_PROPERTY_MEASURE_H

#include <stddef.h>
#include <stdint.h>

#define MEASURE_TEXT 32 /* enough for each of the texts below */

/* Bytes a second. */
#define RATE_NONE 0u
#define RATE_MIN 1024u
#define RATE_MAX (1ull << 50)
/* Microseconds. */
#define LATENCY_OFF 0u
#define LATENCY_MIN_US 100u
#define LATENCY_MAX_US 60000000u

/* -EINVAL: not of that form; -ERANGE: below RATE_MIN or above RATE_MAX. */
int rate_parse(const char *text, uint64_t *bytes_per_s);
const char *rate_format(uint64_t bytes_per_s, char *buf, size_t size);

/* The same for LATENCY_MIN_US and LATENCY_MAX_US. */
int latency_parse(const char *text, uint64_t *us);
const char *latency_format(uint64_t us, char *buf, size_t size);

/* What is allowed, for error messages. */
extern const char rate_allowed[], latency_allowed[];

#endif
