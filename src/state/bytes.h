/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Bytes of a record: written one after the other, and read back with every step checked. Integers in values are little endian,
 * integers in keys big endian, so that the order of keys is the order of numbers.
 *
 * A reader that runs out of bytes, or is told that something is not as it must be, turns bad and stays bad; it then yields zeros
 * and never touches memory outside its bounds. The caller asks once, at the end.
 */
#ifndef DMM_STATE_BYTES_H
#define DMM_STATE_BYTES_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes_reader {
	const uint8_t *at, *end;
	bool bad;
};

/* The next `len` bytes, or NULL. */
static inline const uint8_t *read_bytes(struct bytes_reader *reader, size_t len)
{
	if (reader->bad || (size_t)(reader->end - reader->at) < len) {
		reader->bad = true;
		return NULL;
	}
	const uint8_t *bytes = reader->at;
	reader->at += len;
	return bytes;
}

static inline uint8_t read_u8(struct bytes_reader *reader)
{
	const uint8_t *bytes = read_bytes(reader, 1);
	return bytes ? *bytes : 0;
}

static inline uint16_t read_u16(struct bytes_reader *reader)
{
	uint16_t value = 0;
	const uint8_t *bytes = read_bytes(reader, sizeof(value));
	if (bytes)
		memcpy(&value, bytes, sizeof(value));
	return le16toh(value);
}

static inline uint32_t read_u32(struct bytes_reader *reader)
{
	uint32_t value = 0;
	const uint8_t *bytes = read_bytes(reader, sizeof(value));
	if (bytes)
		memcpy(&value, bytes, sizeof(value));
	return le32toh(value);
}

static inline uint64_t read_u64(struct bytes_reader *reader)
{
	uint64_t value = 0;
	const uint8_t *bytes = read_bytes(reader, sizeof(value));
	if (bytes)
		memcpy(&value, bytes, sizeof(value));
	return le64toh(value);
}

/* Nothing may follow, and nothing was wrong. */
static inline bool read_complete(const struct bytes_reader *reader)
{
	return !reader->bad && reader->at == reader->end;
}

static inline uint8_t *write_u8(uint8_t *out, uint8_t value)
{
	*out = value;
	return out + 1;
}

static inline uint8_t *write_u16(uint8_t *out, uint16_t value)
{
	value = htole16(value);
	memcpy(out, &value, sizeof(value));
	return out + sizeof(value);
}

static inline uint8_t *write_u32(uint8_t *out, uint32_t value)
{
	value = htole32(value);
	memcpy(out, &value, sizeof(value));
	return out + sizeof(value);
}

static inline uint8_t *write_u64(uint8_t *out, uint64_t value)
{
	value = htole64(value);
	memcpy(out, &value, sizeof(value));
	return out + sizeof(value);
}

/* Seven bits a byte, the lowest first; the highest bit says that more follow. One form for each number: the last byte is not 0
 * unless it is the only one. */
static inline uint64_t read_varint(struct bytes_reader *reader)
{
	uint64_t value = 0;
	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint8_t byte = read_u8(reader);
		if ((byte == 0 && shift > 0) || (shift == 63 && byte > 1))
			break;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return value;
	}
	reader->bad = true;
	return 0;
}

static inline uint8_t *write_varint(uint8_t *out, uint64_t value)
{
	for (; value > 0x7f; value >>= 7)
		out = write_u8(out, (uint8_t)(value | 0x80));
	return write_u8(out, (uint8_t)value);
}

static inline uint8_t *write_bytes(uint8_t *out, const void *bytes, size_t len)
{
	if (len)
		memcpy(out, bytes, len);
	return out + len;
}

static inline void key_put_u64(uint8_t *key, uint64_t value)
{
	value = htobe64(value);
	memcpy(key, &value, sizeof(value));
}

static inline uint64_t key_get_u64(const uint8_t *key)
{
	uint64_t value;
	memcpy(&value, key, sizeof(value));
	return be64toh(value);
}

static inline void key_put_u32(uint8_t *key, uint32_t value)
{
	value = htobe32(value);
	memcpy(key, &value, sizeof(value));
}

static inline uint32_t key_get_u32(const uint8_t *key)
{
	uint32_t value;
	memcpy(&value, key, sizeof(value));
	return be32toh(value);
}

#endif
