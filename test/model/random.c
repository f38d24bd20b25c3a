/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Random numbers from a seed (splitmix64), the same on every machine.
 */
#include "model.h"

#include <linux/posix_acl_xattr.h>
#include <string.h>

static uint64_t state;

static uint64_t mix(uint64_t *from)
{
	uint64_t z = (*from += 0x9E3779B97F4A7C15ull);

	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
	return z ^ (z >> 31);
}

void random_seed(uint64_t seed)
{
	state = seed;
}

static uint64_t kept;

void random_seed_push(uint64_t seed)
{
	kept = state;
	state = seed;
}

void random_seed_pop(void)
{
	state = kept;
}

uint64_t random_below(uint64_t n)
{
	return n ? mix(&state) % n : 0;
}

bool one_in(unsigned n)
{
	return random_below(n) == 0;
}

void random_fill(void *buf, size_t len, uint64_t seed)
{
	unsigned char *to = buf;

	for (size_t at = 0; at < len; at += 8) {
		uint64_t word = mix(&seed);
		memcpy(to + at, &word, len - at < 8 ? len - at : 8);
	}
}

uint64_t random_offset(uint64_t segsize, uint64_t max)
{
	uint64_t edge = random_below(max / segsize + 1) * segsize;

	switch (random_below(4)) {
	case 0:
		return edge;
	case 1:
		return edge + random_below(9) > 4 ? edge + random_below(9) - (edge ? 4 : 0) : edge;
	case 2:
		return edge + random_below(segsize / 512) * 512;
	default:
		return random_below(max);
	}
}

size_t random_acl(unsigned char *value)
{
	struct posix_acl_xattr_header header = {.a_version = POSIX_ACL_XATTR_VERSION};
	struct posix_acl_xattr_entry entries[6];
	size_t count = 0;
	bool extended = !one_in(4);

#define ADD(tag, id) entries[count++] = (struct posix_acl_xattr_entry){(tag), (uint16_t)random_below(8), (id)}
	ADD(0x01, (uint32_t)-1);
	if (extended)
		ADD(0x02, user_uid(1 + (unsigned)random_below(USERS - 1)));
	ADD(0x04, (uint32_t)-1);
	if (extended && one_in(2))
		ADD(0x08, user_uid(1 + (unsigned)random_below(USERS - 1)));
	if (extended)
		ADD(0x10, (uint32_t)-1);
	ADD(0x20, (uint32_t)-1);
#undef ADD
	memcpy(value, &header, sizeof(header));
	memcpy(value + sizeof(header), entries, count * sizeof(*entries));
	return sizeof(header) + count * sizeof(*entries);
}
