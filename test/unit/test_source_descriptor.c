/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * SIDs in a map of ids, and security descriptors as owner, permissions and POSIX ACL: what is granted, what is refused, and what is
 * told because it cannot be said.
 */
#include "source/descriptor.h"
#include "source/sid.h"

#include <check.h>
#include <endian.h>
#include <errno.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct idmap *map_of(const char *text)
{
	char error[256] = "";
	struct idmap *map;

	ck_assert_msg(idmap_parse(text, strlen(text), "map", &map, error, sizeof(error)) == 0, "%s", error);
	return map;
}

static void expect_refused(const char *text, const char *part)
{
	char error[256] = "";
	struct idmap *map;

	ck_assert_int_eq(idmap_parse(text, strlen(text), "map", &map, error, sizeof(error)), -EINVAL);
	ck_assert_msg(strstr(error, part) != NULL, "'%s' is refused with: %s", text, error);
}

static int64_t user(const struct idmap *map, const char *text)
{
	uint32_t id;
	struct sid sid;

	ck_assert_int_eq(sid_parse(text, &sid), 0);
	return idmap_sid_user(map, &sid, &id) ? (int64_t)id : -1;
}

static int64_t group(const struct idmap *map, const char *text)
{
	uint32_t id;
	struct sid sid;

	ck_assert_int_eq(sid_parse(text, &sid), 0);
	return idmap_sid_group(map, &sid, &id) ? (int64_t)id : -1;
}

START_TEST(sids_have_ids)
{
	struct idmap *map = map_of("sid S-1-5-21-1-2-3-* 100000\nsid S-1-5-21-1-2-3-1001 7\nuid 50 51\ngid 60 61\n"
	                           "sid S-1-5-32-544 0\nsid S-1-5-21-9-9-9-* 4294967000\n");

	ck_assert(idmap_has_sids(map));
	ck_assert_int_eq(user(map, "S-1-5-21-1-2-3-1105"), 101105);
	ck_assert_int_eq(group(map, "S-1-5-21-1-2-3-513"), 100513);
	ck_assert_int_eq(user(map, "S-1-5-21-1-2-3-1001"), 7);
	ck_assert_int_eq(user(map, "S-1-5-32-544"), 0);
	ck_assert_int_eq(user(map, "S-1-5-21-1-2-4-1001"), -1);
	ck_assert_int_eq(user(map, "S-1-5-21-1-2-3"), -1);
	ck_assert_int_eq(user(map, "S-1-5"), -1);
	ck_assert_int_eq(user(map, "S-1-5-21-9-9-9-294"), 4294967294u);
	ck_assert_int_eq(user(map, "S-1-5-21-9-9-9-295"), -1);
	ck_assert_int_eq(user(map, "S-1-5-21-9-9-9-4294967295"), -1);
	/* Those of Samba for ids: computed, and mapped as ids are. */
	ck_assert_int_eq(user(map, "S-1-22-1-50"), 51);
	ck_assert_int_eq(user(map, "S-1-22-1-1000"), 1000);
	ck_assert_int_eq(group(map, "S-1-22-1-1000"), -1);
	ck_assert_int_eq(group(map, "S-1-22-2-60"), 61);
	ck_assert_int_eq(user(map, "S-1-22-2-60"), -1);
	ck_assert_int_eq(user(map, "S-1-22-1-4294967295"), -1);
	idmap_free(map);

	map = map_of("user S-1-5-21-1-2-3-500 0\ngroup S-1-5-21-1-2-3-513 100\nsid S-1-5-21-1-2-3-* 100000");
	ck_assert(idmap_has_sids(map));
	ck_assert_int_eq(user(map, "S-1-5-21-1-2-3-500"), 0);
	ck_assert_int_eq(group(map, "S-1-5-21-1-2-3-500"), -1);
	ck_assert_int_eq(group(map, "S-1-5-21-1-2-3-513"), 100);
	ck_assert_int_eq(user(map, "S-1-5-21-1-2-3-513"), -1);
	ck_assert_int_eq(user(map, "S-1-5-21-1-2-3-1001"), 101001);
	idmap_free(map);
	map = map_of("user S-1-5-18 0");
	ck_assert(idmap_has_sids(map));
	idmap_free(map);
	map = map_of("sid * 65534\nsid S-1-5-18 0");
	ck_assert_int_eq(user(map, "S-1-5-99"), 65534);
	ck_assert_int_eq(user(map, "S-1-5-18"), 0);
	idmap_free(map);
	map = map_of("uid 1 2");
	ck_assert(!idmap_has_sids(map));
	idmap_free(map);
}
END_TEST

START_TEST(lines_that_are_wrong)
{
	expect_refused("sid S-1-5-18", "write 'uid FROM TO'");
	expect_refused("sid alice 5", "a SID is expected");
	expect_refused("sid S-2-5-18 5", "a SID is expected");
	expect_refused("sid S-1-5-4294967296 5", "a SID is expected");
	expect_refused("sid S-1-5-18-x 5", "behind the SID of a domain");
	expect_refused("sid S-1-5-18 4294967295", "one id is expected");
	expect_refused("sid S-1-5-18 5-6", "one id is expected");
	expect_refused("sid S-1-5-18 5\nsid S-1-5-18 6", "line 2: this SID is in line 1 already");
	expect_refused("sid * 5\nsid * 5", "already");
}
END_TEST

/* --- descriptors --- */

struct blob {
	uint8_t bytes[2048];
	size_t len, acl, aces;
};

static void put(struct blob *blob, uint64_t value, size_t size)
{
	value = htole64(value);
	memcpy(blob->bytes + blob->len, &value, size);
	blob->len += size;
}

static void put_at(struct blob *blob, size_t at, uint64_t value, size_t size)
{
	value = htole64(value);
	memcpy(blob->bytes + at, &value, size);
}

static size_t put_sid(struct blob *blob, const char *text)
{
	struct sid sid;
	size_t at = blob->len;

	ck_assert_int_eq(sid_parse(text, &sid), 0);
	put(blob, 1, 1);
	put(blob, sid.count, 1);
	for (int i = 5; i >= 0; i--)
		put(blob, sid.authority >> (8 * i) & 0xff, 1);
	for (int i = 0; i < sid.count; i++)
		put(blob, sid.parts[i], 4);
	return at;
}

#define OWNER "S-1-5-21-1-2-3-1001"
#define GROUP "S-1-5-21-1-2-3-513"

/* With an empty DACL. */
static struct blob begin(const char *owner, const char *group_sid)
{
	struct blob blob = {.len = 0};

	put(&blob, 1, 2);
	put(&blob, 1, 2);
	put(&blob, 0x20000, 4);
	put(&blob, 1, 2);
	put(&blob, 0x8004, 2);
	blob.len += 16;
	put_at(&blob, 12, put_sid(&blob, owner), 4);
	put_at(&blob, 16, put_sid(&blob, group_sid), 4);
	blob.acl = blob.len;
	put_at(&blob, 24, blob.acl, 4);
	put(&blob, 2, 2);
	put(&blob, 8, 2);
	put(&blob, 0, 4);
	return blob;
}

static void ace(struct blob *blob, unsigned type, unsigned flags, uint32_t mask, const char *sid)
{
	size_t at = blob->len;

	put(blob, type, 1);
	put(blob, flags, 1);
	put(blob, 0, 2);
	put(blob, mask, 4);
	put_sid(blob, sid);
	put_at(blob, at + 2, blob->len - at, 2);
	put_at(blob, blob->acl + 2, blob->len - blob->acl, 2);
	put_at(blob, blob->acl + 4, ++blob->aces, 2);
}

#define READ_EXECUTE 0x1200a9u
#define MODIFY 0x1301bfu
#define FULL 0x1f01ffu
#define READ 0x120089u

static char losses[2048];

static void note(void *context, const char *kind, const char *detail)
{
	(void)context;
	snprintf(losses + strlen(losses), sizeof(losses) - strlen(losses), "%s: %s\n", kind, detail);
}

/* "u::rwx,u:5:r-x,g::r--,..." as getfacl has it. */
static const char *words(const void *value)
{
	static char text[1024];
	const struct posix_acl_xattr_entry *entry = (const void *)((const char *)value + 4);

	*text = '\0';
	for (bool last = !value; !last; entry++) {
		unsigned tag = le16toh(entry->e_tag), perm = le16toh(entry->e_perm);
		char id[16] = "";
		if (tag == ACL_USER || tag == ACL_GROUP)
			snprintf(id, sizeof(id), "%u", le32toh(entry->e_id));
		last = tag == ACL_OTHER;
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s:%s:%c%c%c", *text ? "," : "",
		         tag == ACL_USER_OBJ || tag == ACL_USER     ? "u"
		         : tag == ACL_GROUP_OBJ || tag == ACL_GROUP ? "g"
		         : tag == ACL_MASK                          ? "m"
		                                                    : "o",
		         id, perm & 4 ? 'r' : '-', perm & 2 ? 'w' : '-', perm & 1 ? 'x' : '-');
	}
	return text;
}

static struct descriptor_posix translate(const struct blob *blob, bool is_dir, bool read_only)
{
	struct idmap *map = map_of("sid S-1-5-21-1-2-3-* 100000");
	struct descriptor_posix posix;

	*losses = '\0';
	ck_assert_int_eq(descriptor_to_posix(map, blob->bytes, blob->len, is_dir, read_only, note, NULL, &posix), 0);
	idmap_free(map);
	return posix;
}

START_TEST(plain_permissions_need_no_acl)
{
	struct blob blob = begin(OWNER, GROUP);

	ace(&blob, 0, 0, FULL, OWNER);
	ace(&blob, 0, 0, READ_EXECUTE, GROUP);
	ace(&blob, 0, 0, READ, "S-1-1-0");
	ace(&blob, 0, 0, FULL, "S-1-5-18");
	struct descriptor_posix posix = translate(&blob, false, false);
	ck_assert(posix.has_uid && posix.has_gid && posix.has_mode);
	ck_assert_uint_eq(posix.uid, 101001);
	ck_assert_uint_eq(posix.gid, 100513);
	ck_assert_uint_eq(posix.mode, 0754);
	ck_assert_ptr_null(posix.access);
	ck_assert_str_eq(losses, "");
	descriptor_posix_free(&posix);
	posix = translate(&blob, false, true);
	ck_assert_uint_eq(posix.mode, 0554);
	descriptor_posix_free(&posix);
}
END_TEST

START_TEST(others_by_name)
{
	struct blob blob = begin(OWNER, GROUP);

	ace(&blob, 0, 0, FULL, OWNER);
	ace(&blob, 0, 0, MODIFY, "S-1-5-21-1-2-3-1002");
	ace(&blob, 0, 0, READ, "S-1-22-2-44");
	ace(&blob, 0, 0, READ, "S-1-5-21-7-7-7-1002");
	struct descriptor_posix posix = translate(&blob, false, false);
	/* Nobody says whether a SID is a user or a group, so a line makes it both. */
	ck_assert_str_eq(words(posix.access), "u::rwx,u:101002:rwx,g::---,g:44:r--,g:101002:rwx,m::rwx,o::---");
	ck_assert_uint_eq(posix.mode, 0700);
	ck_assert_str_eq(losses, "acl: it gives rights to somebody: S-1-5-21-7-7-7-1002 is in no line of the map of ids\n");
	descriptor_posix_free(&posix);
}
END_TEST

START_TEST(the_order_of_denials_counts)
{
	struct blob blob = begin(OWNER, GROUP);

	ace(&blob, 1, 0, 0x2, GROUP);
	ace(&blob, 0, 0, MODIFY, GROUP);
	ace(&blob, 0, 0, FULL, OWNER);
	ace(&blob, 1, 0, 0x1, OWNER); /* too late */
	struct descriptor_posix posix = translate(&blob, false, false);
	ck_assert_uint_eq(posix.mode, 0750);
	ck_assert_msg(strstr(losses, "it denies rights") != NULL, "%s", losses);
	ck_assert_ptr_eq(strchr(losses, '\n'), losses + strlen(losses) - 1); /* told once */
	descriptor_posix_free(&posix);
}
END_TEST

START_TEST(everybody_denied)
{
	struct blob blob = begin(OWNER, GROUP);

	ace(&blob, 1, 0, 0x2, "S-1-1-0");
	ace(&blob, 0, 0, FULL, OWNER);
	struct descriptor_posix posix = translate(&blob, false, false);
	ck_assert_uint_eq(posix.mode, 0500);
	descriptor_posix_free(&posix);
}
END_TEST

START_TEST(what_new_files_inherit)
{
	struct blob blob = begin(OWNER, GROUP);

	ace(&blob, 0, 3, FULL, OWNER);                 /* for itself, and for what is made */
	ace(&blob, 0, 3 | 8, FULL, "S-1-3-0");         /* the creator's */
	ace(&blob, 0, 3 | 8, READ_EXECUTE, "S-1-3-1"); /* for what is made alone */
	ace(&blob, 0, 2, FULL, "S-1-1-0");             /* for directories alone */
	struct descriptor_posix posix = translate(&blob, true, false);
	ck_assert_uint_eq(posix.mode, 0777);
	ck_assert_ptr_null(posix.access);
	ck_assert_str_eq(words(posix.inherited), "u::rwx,u:101001:rwx,g::r-x,g:101001:rwx,m::rwx,o::---");
	ck_assert_msg(strstr(losses, "not inherited") != NULL, "%s", losses);
	descriptor_posix_free(&posix);
	posix = translate(&blob, false, false); /* files have nothing to leave */
	ck_assert_ptr_null(posix.inherited);
	descriptor_posix_free(&posix);
}
END_TEST

START_TEST(a_directory_needs_all_of_write)
{
	struct blob blob = begin(OWNER, GROUP);

	ace(&blob, 0, 0, 0x3, OWNER); /* files, and no directories */
	ace(&blob, 0, 0, 0x7, GROUP);
	struct descriptor_posix posix = translate(&blob, true, false);
	ck_assert_uint_eq(posix.mode, 0460);
	descriptor_posix_free(&posix);
}
END_TEST

START_TEST(an_owner_that_nobody_knows)
{
	struct blob blob = begin("S-1-5-21-7-7-7-500", GROUP);

	ace(&blob, 0, 0, FULL, "S-1-5-21-7-7-7-500");
	struct descriptor_posix posix = translate(&blob, false, false);
	ck_assert(!posix.has_uid && posix.has_gid);
	ck_assert_str_eq(losses, "owner: its owner S-1-5-21-7-7-7-500 is in no line of the map of ids\n");
	descriptor_posix_free(&posix);
}
END_TEST

START_TEST(damaged_ones_are_refused)
{
	struct blob good = begin(OWNER, GROUP);
	struct idmap *map = map_of("sid * 1");
	struct descriptor_posix posix;

	ace(&good, 0, 0, FULL, OWNER);
	ace(&good, 0, 3, READ, "S-1-1-0");
	for (size_t len = 0; len < good.len; len++) {
		uint8_t *cut = malloc(len ? len : 1);
		memcpy(cut, good.bytes, len);
		ck_assert_int_eq(descriptor_to_posix(map, cut, len, true, false, note, NULL, &posix), -EBADMSG);
		free(cut);
	}
	struct blob bad = good;
	put_at(&bad, 12, 0xfffffff0, 4); /* the owner */
	ck_assert_int_eq(descriptor_to_posix(map, bad.bytes, bad.len, true, false, note, NULL, &posix), -EBADMSG);
	bad = good;
	put_at(&bad, bad.acl + 4, 3, 2); /* entries that are not there */
	ck_assert_int_eq(descriptor_to_posix(map, bad.bytes, bad.len, true, false, note, NULL, &posix), -EBADMSG);
	bad = good;
	put_at(&bad, bad.acl + 8 + 2, 4, 2); /* an entry without end */
	ck_assert_int_eq(descriptor_to_posix(map, bad.bytes, bad.len, true, false, note, NULL, &posix), -EBADMSG);
	idmap_free(map);
}
END_TEST

START_TEST(without_a_list_the_mode_stays)
{
	struct blob blob = begin(OWNER, GROUP);

	put_at(&blob, 10, 0x8000, 2);
	struct descriptor_posix posix = translate(&blob, false, false);
	ck_assert(posix.has_uid && !posix.has_mode && !posix.access);
	descriptor_posix_free(&posix);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("descriptor");
	TCase *tcase = tcase_create("descriptor");
	tcase_add_test(tcase, sids_have_ids);
	tcase_add_test(tcase, lines_that_are_wrong);
	tcase_add_test(tcase, plain_permissions_need_no_acl);
	tcase_add_test(tcase, others_by_name);
	tcase_add_test(tcase, the_order_of_denials_counts);
	tcase_add_test(tcase, everybody_denied);
	tcase_add_test(tcase, what_new_files_inherit);
	tcase_add_test(tcase, a_directory_needs_all_of_write);
	tcase_add_test(tcase, an_owner_that_nobody_knows);
	tcase_add_test(tcase, damaged_ones_are_refused);
	tcase_add_test(tcase, without_a_list_the_mode_stays);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
