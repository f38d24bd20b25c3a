/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The list of streams that a server gives: entries of next offset, length of the name, size, allocation, and the name in UTF-16,
 * ":name:$DATA". Nothing in it is believed.
 */
#include "cifs.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#define ENTRY_HEAD 24
#define TYPE ":$DATA"

static uint32_t get_u32(const uint8_t *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, sizeof(value));
	return le32toh(value);
}

static unsigned get_u16(const uint8_t *bytes)
{
	return bytes[0] | (unsigned)bytes[1] << 8;
}

/* One character, `n` units left; how many it took, 0: it is none. */
static size_t take_character(const uint8_t *units, size_t n, uint32_t *character)
{
	uint32_t first = get_u16(units), second = n > 1 ? get_u16(units + 2) : 0;

	*character = first;
	if (first < 0xd800 || first > 0xdfff)
		return first ? 1 : 0;
	if (first > 0xdbff || second < 0xdc00 || second > 0xdfff)
		return 0;
	*character = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
	return 2;
}

static size_t put_character(uint32_t character, char *to)
{
	if (character < 0x80) {
		to[0] = (char)character;
		return 1;
	}
	size_t len = character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
	for (size_t i = len - 1; i > 0; i--, character >>= 6)
		to[i] = (char)(0x80 | (character & 0x3f));
	to[0] = (char)((0xf00u >> len & 0xffu) | character);
	return len;
}

/* The whole name, with its colons. */
static int take_name(const uint8_t *units, size_t n, char *name, size_t size)
{
	size_t len = 0;

	while (n > 0) {
		uint32_t character;
		size_t taken = take_character(units, n, &character);
		if (taken == 0 || character == '/' || len + 5 > size)
			return -EILSEQ;
		len += put_character(character, name + len);
		units += 2 * taken;
		n -= taken;
	}
	name[len] = '\0';
	return (int)len;
}

/* 1: a named stream; 0: the file's own data. */
static int strip(char *name, size_t len)
{
	if (len < strlen(TYPE) + 1 || name[0] != ':' || strcmp(name + len - strlen(TYPE), TYPE) != 0)
		return -EILSEQ;
	len -= strlen(TYPE) + 1;
	memmove(name, name + 1, len);
	name[len] = '\0';
	return len == 0 ? 0 : strchr(name, ':') ? -EILSEQ : 1;
}

int stream_next(const void *list, size_t len, size_t *at, struct stream *stream)
{
	const uint8_t *bytes = list;

	while (*at < len) {
		const uint8_t *entry = bytes + *at;
		if (len - *at < ENTRY_HEAD)
			return -EBADMSG;
		uint32_t next = get_u32(entry), len_name = get_u32(entry + 4);
		if (len_name > len - *at - ENTRY_HEAD || len_name % 2 || (next && (next < ENTRY_HEAD || next >= len - *at)))
			return -EBADMSG;
		stream->size = get_u32(entry + 8) | (uint64_t)get_u32(entry + 12) << 32;
		*at = next ? *at + next : len;
		int ret = take_name(entry + ENTRY_HEAD, len_name / 2, stream->name, sizeof(stream->name));
		ret = ret < 0 ? ret : strip(stream->name, (size_t)ret);
		if (ret != 0)
			return ret;
	}
	return 0;
}
