/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Fuzz target: what a server of NFS version 3 says of an object. The input is a POSIX ACL of the side protocol, 12 bytes an entry, half
 * of them for the default ACL, then attributes; and once more the cookies of a listing that goes round, one byte each.
 *
 * Properties: an ACL is reported in the order of tags and ids or is -EBADMSG; times and types are decoded whatever they are; a listing
 * that goes round is noticed before its third round is over.
 */
#include "nfs.h"

#include <endian.h>
#include <errno.h>
#include <linux/posix_acl_xattr.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static int take(struct dmm_request *request, const char *name, const void *value, size_t len)
{
	const struct posix_acl_xattr_entry *entries = (const void *)((const struct posix_acl_xattr_header *)value + 1);
	size_t count = (len - sizeof(struct posix_acl_xattr_header)) / sizeof(*entries);

	must(request && strncmp(name, "system.posix_acl_", 17) == 0);
	must(len == sizeof(struct posix_acl_xattr_header) + count * sizeof(*entries));
	for (size_t i = 0; i < count; i++) {
		must(le16toh(entries[i].e_perm) <= 7);
		must(i == 0 || le16toh(entries[i - 1].e_tag) <= le16toh(entries[i].e_tag));
	}
	return 0;
}

static void try_acl(const uint8_t *data, size_t size)
{
	struct dmm_request request = {.xattr = take};
	unsigned count = (unsigned)(size / 12), half = count / 2;
	struct nfsacl_ace *aces = calloc(count + 1, sizeof(*aces));
	struct GETACL3resok acl = {0};

	for (unsigned i = 0; i < count; i++) {
		aces[i].type = (enum nfsacl_type)(xdr_word(data + 12 * i) & 0x103f);
		aces[i].id = xdr_word(data + 12 * i + 4);
		aces[i].perm = xdr_word(data + 12 * i + 8);
	}
	acl.ace.ace_len = acl.ace_count = half;
	acl.ace.ace_val = aces;
	acl.default_ace.default_ace_len = acl.default_ace_count = count - half;
	acl.default_ace.default_ace_val = aces + half;
	int ret = acl3_report(&request, &acl);
	must(ret == 0 || ret == -EBADMSG);
	free(aces);
}

static void try_attributes(const uint8_t *data, size_t size)
{
	struct fattr3 from = {0};
	struct dmm_attr attr;

	memcpy(&from, data, size < sizeof(from) ? size : sizeof(from));
	attr_from_3(&attr, &from);
	must((attr.mode & 07777) == (from.mode & 07777) && attr.size == from.size);
	must(attr.mtime.sec >= INT32_MIN && attr.mtime.sec <= INT32_MAX);
}

static void try_cookies(const uint8_t *data, size_t size)
{
	struct dmm_file dir = {0};
	size_t replies = 0;

	while (size && file_advance(&dir, data[replies % size]))
		must(replies++ < 4 * size + 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	try_acl(data, size);
	try_attributes(data, size);
	try_cookies(data, size);
	return 0;
}
