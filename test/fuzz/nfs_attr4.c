/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Fuzz target: attributes and ACLs of NFS version 4 as a server sends them. The first 8 bytes are the bitmap, the rest the values.
 *
 * Properties: accepted or -EBADMSG; what is accepted lies within the bytes that came.
 */
#include "nfs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void within(struct dmm_bytes bytes, const char *start, size_t len)
{
	const char *data = bytes.data;

	must(bytes.len == 0 || (data >= start && data + bytes.len <= start + len));
}

static int take(struct dmm_request *request, const char *name, const void *value, size_t len)
{
	must(name && value && len >= 4 && request);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dmm_request request = {.xattr = take};
	uint32_t bits[2], acl = 1u << FATTR4_ACL;
	struct attr4 got;

	if (size < sizeof(bits))
		return 0;
	memcpy(bits, data, sizeof(bits));
	size_t len = size - sizeof(bits);
	char *values = malloc(len + 1); /* of its own, so that the sanitizer sees a step too far */
	memcpy(values, data + sizeof(bits), len);
	/* Mostly what we asked for, or nothing is ever read. */
	bits[0] &= attr4_wanted[0];
	bits[1] &= attr4_wanted[1];
	struct fattr4 from = {.attrmask = {2, bits}, .attr_vals = {(unsigned)len, values}};
	int ret = attr4_decode(&from, &got);
	must(ret == 0 || ret == -EBADMSG);
	if (ret == 0) {
		must(got.fh.len <= FH_MAX);
		within(got.owner, values, len);
		within(got.group, values, len);
	}
	from.attrmask.bitmap4_len = 1;
	from.attrmask.bitmap4_val = &acl;
	ret = acl4_report(&request, &from);
	must(ret == 0 || ret == -EBADMSG);
	free(values);
	return 0;
}
