/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the nfs plugin makes of addresses, attributes and ACLs, without a server.
 */
#include "nfs.h"

#include <check.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static char error[512];
static struct address address;

static int parse(const char *source, const char *name, const char *value)
{
	struct dmm_setting setting = {name, value};
	struct dmm_config config = {.struct_size = sizeof(config),
	                            .source = source,
	                            .settings = &setting,
	                            .n_settings = name ? 1 : 0,
	                            .error = error,
	                            .error_size = sizeof(error)};

	error[0] = '\0';
	return address_parse(&config, &address);
}

START_TEST(test_addresses)
{
	ck_assert_int_eq(parse("nfs://nas/export/home/", NULL, NULL), 0);
	ck_assert_str_eq(address.host, "nas");
	ck_assert_str_eq(address.path, "/export/home");
	ck_assert_uint_eq(address.port, 0);
	ck_assert_uint_eq(address.version, 0);
	ck_assert_int_eq(parse("nfs://nas:2050/a%20b%25", NULL, NULL), 0);
	ck_assert_uint_eq(address.port, 2050);
	ck_assert_str_eq(address.path, "/a b%");
	ck_assert_int_eq(parse("nfs://[fe80::1]:2049/x", NULL, NULL), 0);
	ck_assert_str_eq(address.host, "fe80::1");
	ck_assert_int_eq(parse("[::1]:/x%20", NULL, NULL), 0);
	ck_assert_str_eq(address.host, "::1");
	ck_assert_str_eq(address.path, "/x%20");
	ck_assert_int_eq(parse("nas:/", NULL, NULL), 0);
	ck_assert_str_eq(address.path, "/");
	ck_assert_int_eq(parse("nfs://nas", NULL, NULL), 0);
	ck_assert_str_eq(address.path, "/");
}
END_TEST

START_TEST(test_addresses_refused)
{
	static const char *const wrong[] = {"nfs://",        "nfs:///x",
	                                    "nas",           "nas:",
	                                    "nas:x",         ":/x",
	                                    "nfs://nas:0/x", "nfs://nas:70000/x",
	                                    "nfs://nas:/x",  "nfs://nas:2049x/x",
	                                    "nfs://nas/%00", "nfs://nas/%4"};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		ck_assert_msg(parse(wrong[i], NULL, NULL) == -EINVAL, "%s is accepted", wrong[i]);
		ck_assert_msg(*error, "%s is refused without a word", wrong[i]);
	}
}
END_TEST

START_TEST(test_options)
{
	ck_assert_int_eq(parse("nas:/x", "nfsvers", "4.0"), 0);
	ck_assert_uint_eq(address.version, 4);
	ck_assert_int_eq(parse("nas:/x", "vers", "3"), 0);
	ck_assert_uint_eq(address.version, 3);
	ck_assert_int_eq(parse("nas:/x", "nconnect", "64"), 0);
	ck_assert_uint_eq(address.channels, 64);
	ck_assert_int_eq(parse("nas:/x", "nconnect", "65"), -EINVAL);
	ck_assert_int_eq(parse("nas:/x", "conns", "0"), -EINVAL);
	ck_assert_int_eq(parse("nas:/x", "nfsvers", "4.1"), -EINVAL);
	ck_assert_int_eq(parse("nas:/x", "rsize", "-1"), -EINVAL);
	ck_assert_int_eq(parse("nas:/x", "port", ""), -EINVAL);
}
END_TEST

/* --- attributes of version 4 --- */

static struct {
	char bytes[1024];
	unsigned len;
} xdr;

static void put_32(uint32_t value)
{
	for (int shift = 24; shift >= 0; shift -= 8)
		xdr.bytes[xdr.len++] = (char)(value >> shift);
}

static void put_64(uint64_t value)
{
	put_32((uint32_t)(value >> 32));
	put_32((uint32_t)value);
}

static void put_opaque(const char *text)
{
	unsigned len = (unsigned)strlen(text);

	put_32(len);
	memcpy(xdr.bytes + xdr.len, text, len);
	memset(xdr.bytes + xdr.len + len, 0, (4 - len % 4) % 4);
	xdr.len += (len + 3) / 4 * 4;
}

static void put_all_wanted(void)
{
	xdr.len = 0;
	put_32(NF4REG);
	put_64(77);     /* change */
	put_64(123456); /* size */
	put_64(1);      /* fsid */
	put_64(2);
	put_32(NFS4_OK); /* rdattr_error */
	put_opaque("handle7");
	put_64(4711);  /* fileid */
	put_32(04755); /* mode */
	put_32(3);     /* numlinks */
	put_opaque("1000");
	put_opaque("staff@example.org");
	put_32(8); /* rawdev */
	put_32(1);
	put_64(4096);         /* space_used */
	put_64((uint64_t)-5); /* access */
	put_32(1);
	put_64(10); /* create */
	put_32(2);
	put_64(20); /* metadata */
	put_32(3);
	put_64(30); /* modify */
	put_32(999999999);
}

static struct fattr4 all(unsigned len)
{
	return (struct fattr4){.attrmask = {2, attr4_wanted}, .attr_vals = {len, xdr.bytes}};
}

START_TEST(test_attributes_4)
{
	struct attr4 got;

	put_all_wanted();
	struct fattr4 from = all(xdr.len);
	ck_assert_int_eq(attr4_decode(&from, &got), 0);
	ck_assert_uint_eq(got.attr.mode, S_IFREG | 04755);
	ck_assert_uint_eq(got.attr.size, 123456);
	ck_assert_uint_eq(got.attr.change, 77);
	ck_assert_uint_eq(got.attr.fileid, 4711);
	ck_assert_uint_eq(got.attr.nlink, 3);
	ck_assert_uint_eq(got.attr.used, 4096);
	ck_assert_int_eq(got.attr.atime.sec, -5);
	ck_assert_int_eq(got.attr.mtime.sec, 30);
	ck_assert_uint_eq(got.attr.mtime.nsec, 999999999);
	ck_assert_uint_eq(got.fh.len, 7);
	ck_assert_mem_eq(got.fh.bytes, "handle7", 7);
	ck_assert_uint_eq(got.owner.len, 4);
	ck_assert_uint_eq(got.group.len, 17);
	ck_assert_uint_eq(got.attr.valid & DMM_ATTR_OWNER, 0); /* the caller's to find */
}
END_TEST

START_TEST(test_attributes_4_cut)
{
	struct attr4 got;

	put_all_wanted();
	for (unsigned len = 0; len < xdr.len; len++) {
		struct fattr4 from = all(len);
		ck_assert_int_eq(attr4_decode(&from, &got), -EBADMSG);
	}
	put_32(0); /* and something left over */
	struct fattr4 from = all(xdr.len);
	ck_assert_int_eq(attr4_decode(&from, &got), -EBADMSG);
}
END_TEST

START_TEST(test_attributes_4_not_asked_for)
{
	uint32_t bits[3] = {attr4_wanted[0], attr4_wanted[1], 1};
	struct fattr4 from;
	struct attr4 got;

	put_all_wanted();
	from = (struct fattr4){.attrmask = {3, bits}, .attr_vals = {xdr.len, xdr.bytes}};
	ck_assert_int_eq(attr4_decode(&from, &got), -EBADMSG);
	bits[2] = 0;
	ck_assert_int_eq(attr4_decode(&from, &got), 0);
	bits[0] |= 1u << FATTR4_ACL;
	ck_assert_int_eq(attr4_decode(&from, &got), -EBADMSG);
}
END_TEST

START_TEST(test_entry_with_an_error)
{
	uint32_t bits[1] = {1u << FATTR4_RDATTR_ERROR};
	struct fattr4 from = {.attrmask = {1, bits}};
	struct attr4 got;

	xdr.len = 0;
	put_32(NFS4ERR_ACCESS);
	from.attr_vals.attrlist4_val = xdr.bytes;
	from.attr_vals.attrlist4_len = xdr.len;
	ck_assert_int_eq(attr4_decode(&from, &got), 0);
	ck_assert_int_eq(got.error, EACCES);
}
END_TEST

/* --- ACLs --- */

static struct {
	unsigned count;
	char name[64];
	unsigned char value[256];
	size_t len;
} seen;

static int see(struct dmm_request *request, const char *name, const void *value, size_t len)
{
	(void)request;
	seen.count++;
	strcpy(seen.name, name);
	ck_assert_uint_le(len, sizeof(seen.value));
	memcpy(seen.value, value, len);
	seen.len = len;
	return 0;
}

/* The bytes that setfacl -m u:77:rw makes of a file of mode 0664. */
START_TEST(test_posix_acl)
{
	static const unsigned char wanted[] = {2, 0,  0,    0,    1,    0,    6,  0, 0xff, 0xff, 0xff, 0xff, 2,    0,   6,
	                                       0, 77, 0,    0,    0,    4,    0,  4, 0,    0xff, 0xff, 0xff, 0xff, 16,  0,
	                                       6, 0,  0xff, 0xff, 0xff, 0xff, 32, 0, 4,    0,    0xff, 0xff, 0xff, 0xff};
	struct nfsacl_ace aces[] = {{NFSACL_TYPE_GROUP_OBJ, 5, 4},
	                            {NFSACL_TYPE_USER_OBJ, 3, 6},
	                            {NFSACL_TYPE_CLASS_OBJ, 0, 6},
	                            {NFSACL_TYPE_USER, 77, 6},
	                            {NFSACL_TYPE_CLASS, 0, 4}};
	struct GETACL3resok acl = {.ace = {5, aces}};
	struct dmm_request request = {.xattr = see};

	memset(&seen, 0, sizeof(seen));
	ck_assert_int_eq(acl3_report(&request, &acl), 0);
	ck_assert_uint_eq(seen.count, 1);
	ck_assert_str_eq(seen.name, "system.posix_acl_access");
	ck_assert_uint_eq(seen.len, sizeof(wanted));
	ck_assert_mem_eq(seen.value, wanted, sizeof(wanted));
	acl.ace.ace_len = 3; /* owner, group, mask: what the mode says */
	ck_assert_int_eq(acl3_report(&request, &acl), 0);
	ck_assert_uint_eq(seen.count, 1);
	aces[0].type = 0x40;
	acl.ace.ace_len = 5;
	ck_assert_int_eq(acl3_report(&request, &acl), -EBADMSG);
	aces[0].type = NFSACL_TYPE_GROUP_OBJ;
	acl.ace.ace_len = 3;
	acl.default_ace.default_ace_val = aces;
	acl.default_ace.default_ace_len = 5;
	ck_assert_int_eq(acl3_report(&request, &acl), 0);
	ck_assert_str_eq(seen.name, "system.posix_acl_default");
}
END_TEST

static void put_ace(const char *who, uint32_t flags)
{
	put_32(0); /* allow */
	put_32(flags);
	put_32(0x1f);
	put_opaque(who);
}

START_TEST(test_nfs4_acl)
{
	uint32_t bits[1] = {1u << FATTR4_ACL};
	struct dmm_request request = {.xattr = see};

	memset(&seen, 0, sizeof(seen));
	xdr.len = 0;
	put_32(3);
	put_ace("OWNER@", 0);
	put_ace("GROUP@", ACE4_IDENTIFIER_GROUP);
	put_ace("EVERYONE@", 0);
	struct fattr4 from = {.attrmask = {1, bits}, .attr_vals = {xdr.len, xdr.bytes}};
	ck_assert_int_eq(acl4_report(&request, &from), 0);
	ck_assert_uint_eq(seen.count, 0);

	xdr.len = 0;
	put_32(2);
	put_ace("alice@example.org", 0);
	put_ace("EVERYONE@", 0);
	for (unsigned len = 0; len < xdr.len; len++) {
		from.attr_vals.attrlist4_len = len;
		ck_assert_int_eq(acl4_report(&request, &from), -EBADMSG);
	}
	from.attr_vals.attrlist4_len = xdr.len;
	ck_assert_int_eq(acl4_report(&request, &from), 0);
	ck_assert_uint_eq(seen.count, 1);
	ck_assert_str_eq(seen.name, "system.nfs4_acl");
	ck_assert_uint_eq(seen.len, xdr.len);
}
END_TEST

/* --- cookies --- */

START_TEST(test_cookies_that_go_round)
{
	struct dmm_file dir = {0};
	unsigned steps = 0;

	ck_assert(file_advance(&dir, 1));
	ck_assert(!file_advance(&dir, 1));
	for (uint64_t round = 2; round < 1000; round++) {
		uint64_t cookie = round % 7 + 100;
		if (!file_advance(&dir, cookie))
			break;
		steps++;
	}
	ck_assert_uint_lt(steps, 40);
	dir = (struct dmm_file){0};
	for (uint64_t cookie = 1; cookie < 100000; cookie++)
		ck_assert(file_advance(&dir, cookie));
}
END_TEST

static int uid_of(struct owners *owners, const char *name, uint32_t *uid)
{
	return owner_uid(owners, (struct dmm_bytes){name, strlen(name)}, uid);
}

START_TEST(test_owners)
{
	struct owners *owners;
	uint32_t id = 77;

	ck_assert_int_eq(owners_new("corp.example", &owners), 0);
	ck_assert(uid_of(owners, "1000", &id) == 0 && id == 1000);
	ck_assert(uid_of(owners, "4294967294", &id) == 0 && id == 4294967294u);
	ck_assert_int_eq(uid_of(owners, "4294967295", &id), -ENOENT); /* stands for no id */
	ck_assert_int_eq(uid_of(owners, "-1", &id), -ENOENT);
	ck_assert_int_eq(uid_of(owners, "", &id), -ENOENT);
	ck_assert_int_eq(uid_of(owners, "@corp.example", &id), -ENOENT);
	for (unsigned round = 0; round < 2; round++) { /* asked, and remembered */
		ck_assert(uid_of(owners, "root@corp.example", &id) == 0 && id == 0);
		ck_assert(uid_of(owners, "root@CORP.EXAMPLE", &id) == 0 && id == 0);
		ck_assert_int_eq(uid_of(owners, "root@other.example", &id), -ENOENT);
		ck_assert_int_eq(uid_of(owners, "root@", &id), -ENOENT);
		ck_assert_int_eq(uid_of(owners, "nobody", &id), -ENOENT);
		ck_assert_int_eq(uid_of(owners, "nobody@corp.example", &id), -ENOENT);
		ck_assert_int_eq(owner_gid(owners, (struct dmm_bytes){"nogroup@corp.example", 20}, &id), -ENOENT);
		ck_assert(owner_gid(owners, (struct dmm_bytes){"root", 4}, &id) == 0 && id == 0);
	}
	ck_assert_int_eq(owner_uid(owners, (struct dmm_bytes){"ro\0ot", 5}, &id), -ENOENT);
	owners_free(owners);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("nfs_plugin");
	TCase *tcase = tcase_create("parts");

	tcase_add_test(tcase, test_addresses);
	tcase_add_test(tcase, test_addresses_refused);
	tcase_add_test(tcase, test_options);
	tcase_add_test(tcase, test_attributes_4);
	tcase_add_test(tcase, test_attributes_4_cut);
	tcase_add_test(tcase, test_attributes_4_not_asked_for);
	tcase_add_test(tcase, test_entry_with_an_error);
	tcase_add_test(tcase, test_posix_acl);
	tcase_add_test(tcase, test_nfs4_acl);
	tcase_add_test(tcase, test_cookies_that_go_round);
	tcase_add_test(tcase, test_owners);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
