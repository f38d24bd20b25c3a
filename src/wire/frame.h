/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Message frames on a stream socket: the length of the text, 4 bytes big-endian, then one JSON object in UTF-8.
 *
 * What arrives is hostile until checked: a length above what the receiver wants ends the conversation before anything is
 * allocated for it, memory grows only as bytes really arrive, and text that is not exactly one JSON object (RFC 8259, no
 * duplicate keys, nesting limited by jansson) is refused.
 *
 * Deadlines are of the monotonic clock in nanoseconds (base/clock.h), 0: none. Threads: any, one at a time on a descriptor and
 * direction. After any error the stream is out of step and can only be closed.
 */
#ifndef DMM_WIRE_FRAME_H
#define DMM_WIRE_FRAME_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_REQUEST_MAX (1u << 20) /* bytes of text */
#define FRAME_REPLY_MAX (64u << 20)

/* 0; -EMSGSIZE: larger than `max_bytes`, nothing was sent; -ETIMEDOUT; -EPIPE, -ECONNRESET: the other side is gone; -ENOMEM. */
int frame_send(int fd, const json_t *message, size_t max_bytes, uint64_t deadline_ns);

/* A new reference in `message`. 0; -ENODATA: the other side closed before a frame began; -ECONNRESET: within one;
 * -EMSGSIZE: the frame is announced larger than `max_bytes`; -EBADMSG: no JSON object; -ETIMEDOUT; -ENOMEM. */
int frame_receive(int fd, size_t max_bytes, uint64_t deadline_ns, json_t **message);

/* The text of a frame, checked as above. */
int frame_parse(const char *text, size_t len, json_t **message);

#endif
