/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Parts that several records have, to bytes and back: handles, times, sizes, references to the source. docs/FORMAT.md has their bytes.
 *
 * Records are many, so what is mostly the same, or follows from something else in the record, takes a few bits. Each such part has forms,
 * of which the encoder takes the first that fits; the number of the form lies in the record. A reader turns bad when another form than
 * that was taken, so one record has one way to be written.
 */
#ifndef DMM_STATE_PARTS_H
#define DMM_STATE_PARTS_H

#include "state/bytes.h"
#include "state/codec.h"

#define HANDLE_ROOM(handle) (4 + 1 + (size_t)(handle)->len)
#define VARINT_ROOM 10
#define POWER_ROOM (1 + VARINT_ROOM)
#define MOMENT_BYTES 12
#define DIGEST_BYTES 16

void read_tag(struct bytes_reader *in, enum record_tag tag);
uint8_t read_flags(struct bytes_reader *in, uint8_t known);

uint8_t *write_handle(uint8_t *out, const struct handle *handle);
void read_handle(struct bytes_reader *in, struct handle *handle);

/* The handle of the object whose inode number is the record's key. Two bits. */
unsigned own_handle_form(const struct handle *handle, uint64_t ino);
uint8_t *write_own_handle(uint8_t *out, const struct handle *handle, unsigned form);
void read_own_handle(struct bytes_reader *in, uint64_t ino, unsigned form, struct handle *handle);

/* A time, with another of the same record that it may be equal to, or NULL. Two bits. */
unsigned time_form(const struct moment *time, const struct moment *other);
uint8_t *write_time(uint8_t *out, const struct moment *time, unsigned form);
void read_time(struct bytes_reader *in, struct moment *time, const struct moment *other, unsigned form);

uint8_t *write_digest(uint8_t *out, const struct digest *digest);
void read_digest(struct bytes_reader *in, struct digest *digest);

/* A number that is mostly a power of two, and not 0. */
uint8_t *write_power(uint8_t *out, uint64_t value);
uint64_t read_power(struct bytes_reader *in);

/* A number that is mostly near another. */
uint8_t *write_near(uint8_t *out, uint64_t value, uint64_t other);
uint64_t read_near(struct bytes_reader *in, uint64_t other);

uint32_t read_varint32(struct bytes_reader *in);

/* Bytes, and how many units of them there are before them. */
uint8_t *write_source(uint8_t *out, const struct source_ref *source, unsigned unit);
void read_source(struct bytes_reader *in, struct source_ref *source, unsigned unit);
/* Copies what it points to into room that the record has behind it. */
void place_source(uint8_t **room, struct source_ref *source);

#endif
