/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See parts.h.
 */
#include "state/parts.h"

#include <assert.h>

void read_tag(struct bytes_reader *in, enum record_tag tag)
{
	if (read_u8(in) != tag)
		in->bad = true;
}

uint8_t read_flags(struct bytes_reader *in, uint8_t known)
{
	uint8_t flags = read_u8(in);
	if (flags & ~known)
		in->bad = true;
	return flags;
}

/* --- handles --- */

uint8_t *write_handle(uint8_t *out, const struct handle *handle)
{
	assert(handle->len <= HANDLE_BYTES_MAX);
	out = write_u32(out, (uint32_t)handle->type);
	out = write_u8(out, (uint8_t)handle->len);
	return write_bytes(out, handle->bytes, handle->len);
}

void read_handle(struct bytes_reader *in, struct handle *handle)
{
	handle->type = (int32_t)read_u32(in);
	handle->len = read_u8(in);
	if (handle->len > HANDLE_BYTES_MAX)
		in->bad = true;
	const uint8_t *bytes = read_bytes(in, handle->len);
	if (bytes)
		memcpy(handle->bytes, bytes, handle->len);
}

/* Handles that say the inode number, of 32 or 64 bits, and a generation after it; the rest needs no more bytes. */
#define GENERATION_BYTES 4
static const struct known_handle {
	int32_t type;
	uint32_t ino_bytes;
} known_handles[] = {
	[1] = {1, 4},    /* FILEID_INO32_GEN: ext4, and others */
	[2] = {0x81, 8}, /* the same with the flag of xfs for 64 bits */
};
#define HANDLE_PLAIN 0u
#define KNOWN_HANDLES (sizeof(known_handles) / sizeof(known_handles[0]))

/* In the byte order of the machine, as the file system has it. False: the number has more bits. */
static bool ino_bytes(uint64_t ino, uint32_t len, uint8_t bytes[8])
{
	uint32_t low = (uint32_t)ino;
	if (len == sizeof(low))
		memcpy(bytes, &low, sizeof(low));
	else
		memcpy(bytes, &ino, sizeof(ino));
	return len == sizeof(ino) || low == ino;
}

unsigned own_handle_form(const struct handle *handle, uint64_t ino)
{
	uint8_t bytes[8];
	for (unsigned form = 1; form < KNOWN_HANDLES; form++) {
		const struct known_handle *known = &known_handles[form];
		if (handle->type == known->type && handle->len == known->ino_bytes + GENERATION_BYTES &&
		    ino_bytes(ino, known->ino_bytes, bytes) && memcmp(handle->bytes, bytes, known->ino_bytes) == 0)
			return form;
	}
	return HANDLE_PLAIN;
}

uint8_t *write_own_handle(uint8_t *out, const struct handle *handle, unsigned form)
{
	if (form == HANDLE_PLAIN)
		return write_handle(out, handle);
	return write_bytes(out, handle->bytes + known_handles[form].ino_bytes, GENERATION_BYTES);
}

void read_own_handle(struct bytes_reader *in, uint64_t ino, unsigned form, struct handle *handle)
{
	if (form == HANDLE_PLAIN) {
		read_handle(in, handle);
	} else if (form < KNOWN_HANDLES) {
		const struct known_handle *known = &known_handles[form];
		const uint8_t *generation = read_bytes(in, GENERATION_BYTES);
		if (!generation)
			return;
		handle->type = known->type;
		handle->len = known->ino_bytes + GENERATION_BYTES;
		ino_bytes(ino, known->ino_bytes, handle->bytes);
		memcpy(handle->bytes + known->ino_bytes, generation, GENERATION_BYTES);
	} else {
		in->bad = true;
	}
	if (!in->bad && form != own_handle_form(handle, ino))
		in->bad = true;
}

/* --- times --- */

#define NS_PER_SECOND 1000000000u

enum { TIME_NONE, TIME_SAME, TIME_PACKED, TIME_WIDE };

unsigned time_form(const struct moment *time, const struct moment *other)
{
	if (time->sec == 0 && time->nsec == 0)
		return TIME_NONE;
	if (other && time->sec == other->sec && time->nsec == other->nsec)
		return TIME_SAME;
	return time->sec >= -(1ll << 33) && time->sec < 1ll << 33 && time->nsec < 1u << 30 ? TIME_PACKED : TIME_WIDE;
}

uint8_t *write_time(uint8_t *out, const struct moment *time, unsigned form)
{
	if (form == TIME_PACKED)
		return write_u64(out, (uint64_t)time->sec << 30 | time->nsec);
	if (form != TIME_WIDE)
		return out;
	out = write_u64(out, (uint64_t)time->sec);
	return write_u32(out, time->nsec);
}

void read_time(struct bytes_reader *in, struct moment *time, const struct moment *other, unsigned form)
{
	*time = (struct moment){0};
	if (form == TIME_SAME && other) {
		*time = *other;
	} else if (form == TIME_PACKED) {
		uint64_t packed = read_u64(in);
		*time = (struct moment){(int64_t)packed >> 30, (uint32_t)(packed & ((1u << 30) - 1))};
	} else if (form == TIME_WIDE) {
		time->sec = (int64_t)read_u64(in);
		time->nsec = read_u32(in);
	}
	if (time->nsec >= NS_PER_SECOND || form != time_form(time, other))
		in->bad = true;
}

/* --- numbers --- */

uint8_t *write_digest(uint8_t *out, const struct digest *digest)
{
	out = write_u64(out, digest->low);
	return write_u64(out, digest->high);
}

void read_digest(struct bytes_reader *in, struct digest *digest)
{
	digest->low = read_u64(in);
	digest->high = read_u64(in);
}

#define POWER_AND_MORE 0x80u

uint8_t *write_power(uint8_t *out, uint64_t value)
{
	unsigned shift = value ? (unsigned)__builtin_ctzll(value) : 0;
	uint64_t rest = value >> shift;
	if (rest == 1)
		return write_u8(out, (uint8_t)shift);
	out = write_u8(out, (uint8_t)(shift | POWER_AND_MORE));
	return write_varint(out, rest);
}

uint64_t read_power(struct bytes_reader *in)
{
	unsigned byte = read_u8(in), shift = byte & ~POWER_AND_MORE;
	uint64_t rest = byte & POWER_AND_MORE ? read_varint(in) : 1;
	if (shift > 63 || rest % 2 == 0 || ((byte & POWER_AND_MORE) && rest == 1) || rest << shift >> shift != rest) {
		in->bad = true;
		return 0;
	}
	return rest << shift;
}

/* The difference modulo 2^64, as a number with a sign whose lowest bit is the sign. */
uint8_t *write_near(uint8_t *out, uint64_t value, uint64_t other)
{
	uint64_t difference = value - other;
	return write_varint(out, difference << 1 ^ (difference >> 63 ? UINT64_MAX : 0));
}

uint64_t read_near(struct bytes_reader *in, uint64_t other)
{
	uint64_t read = read_varint(in);
	return other + (read >> 1 ^ (read & 1 ? UINT64_MAX : 0));
}

uint32_t read_varint32(struct bytes_reader *in)
{
	uint64_t read = read_varint(in);
	if (read > UINT32_MAX)
		in->bad = true;
	return (uint32_t)read;
}

/* --- references to the source --- */

uint8_t *write_source(uint8_t *out, const struct source_ref *source, unsigned unit)
{
	out = write_varint(out, source->len / unit);
	return write_bytes(out, source->bytes, source->len);
}

void read_source(struct bytes_reader *in, struct source_ref *source, unsigned unit)
{
	uint64_t units = read_varint(in);
	if (units > UINT16_MAX / unit) {
		in->bad = true;
		units = 0;
	}
	source->len = (uint16_t)(units * unit);
	source->bytes = read_bytes(in, source->len);
}

void place_source(uint8_t **room, struct source_ref *source)
{
	if (source->len)
		memcpy(*room, source->bytes, source->len);
	source->bytes = *room;
	*room += source->len;
}
