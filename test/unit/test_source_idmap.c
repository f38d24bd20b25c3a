/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Maps of owners and groups.
 */
#include "source/idmap.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char error[512];

static struct idmap *parse(const char *text)
{
	struct idmap *map = NULL;

	error[0] = '\0';
	ck_assert_msg(idmap_parse(text, strlen(text), "map", &map, error, sizeof(error)) == 0, "%s", error);
	return map;
}

static void refused(const char *text, const char *says)
{
	struct idmap *map = NULL;

	error[0] = '\0';
	ck_assert_msg(idmap_parse(text, strlen(text), "map", &map, error, sizeof(error)) == -EINVAL, "accepted: %s", text);
	ck_assert_msg(strstr(error, says), "'%s' is not in: %s", says, error);
	ck_assert_ptr_null(map);
}

START_TEST(test_ids_and_ranges)
{
	struct idmap *map = parse("# people\nuid 1000 2000\nuid\t5000-5999  15000 # the old ones\n\n gid 7 8\r\nuid 0 0\n");

	ck_assert_uint_eq(idmap_uid(map, 1000), 2000);
	ck_assert_uint_eq(idmap_uid(map, 5000), 15000);
	ck_assert_uint_eq(idmap_uid(map, 5999), 15999);
	ck_assert_uint_eq(idmap_uid(map, 4999), 4999);
	ck_assert_uint_eq(idmap_uid(map, 6000), 6000);
	ck_assert_uint_eq(idmap_uid(map, 4294967294u), 4294967294u);
	ck_assert_uint_eq(idmap_gid(map, 7), 8);
	ck_assert_uint_eq(idmap_gid(map, 1000), 1000);
	idmap_free(map);
}
END_TEST

START_TEST(test_all_others)
{
	struct idmap *map = parse("uid 0 0\nuid * 65534\n");

	ck_assert_uint_eq(idmap_uid(map, 0), 0);
	ck_assert_uint_eq(idmap_uid(map, 1), 65534);
	ck_assert_uint_eq(idmap_gid(map, 1), 1);
	idmap_free(map);
	map = parse("");
	ck_assert_uint_eq(idmap_uid(map, 1), 1);
	idmap_free(map);
}
END_TEST

START_TEST(test_wrong_lines)
{
	refused("uid 1000\n", "line 1: write 'uid FROM TO'");
	refused("\nuser 1\n", "line 2: write 'uid FROM TO'");
	refused("user a b\n", "behind a name one id");
	refused("user a 4294967295\n", "behind a name one id");
	refused("group * 1\ngroup * 1\n", "line 2: there is a line with '*'");
	refused("user a 1\ngroup a 1\nuser a 2\n", "line 3: this name is in line 1 already");
	refused("uid 1 2 3\n", "line 1");
	refused("uid a 2\n", "an id or a range");
	refused("uid 1 a\n", "one id, or a range");
	refused("uid 1 -2\n", "one id, or a range");
	refused("uid 9-8 1\n", "the end of a range");
	refused("uid 1- 1\n", "the end of a range");
	refused("uid 4294967295 1\n", "an id or a range");
	refused("uid 1 4294967295\n", "one id, or a range");
	refused("uid 0-10 4294967290\n", "would become ids above");
	refused("uid * 1\nuid * 2\n", "line 2: there is a line with '*'");
	refused("uid * 1-2\n", "behind '*' one id");
	refused("uid 1-10 100\ngid 5 5\nuid 10 7\n", "line 3: id 10 is in line 1 already");
	refused("uid 10 7\nuid 1-10 100\n", "line 2: id 10 is in line 1 already");
}
END_TEST

START_TEST(test_names)
{
	struct idmap *map =
		parse("user bob@corp 7\nuser alice@corp 4294967294\ngroup domain\\040users@corp 8\ngroup a\\000b 9\n");
	uint32_t id = 99;

	ck_assert(idmap_user(map, "alice@corp", &id) && id == 4294967294u);
	ck_assert(idmap_user(map, "bob@corp", &id) && id == 7);
	ck_assert(!idmap_user(map, "bob", &id) && !idmap_user(map, "Bob@corp", &id) && !idmap_user(map, "", &id) && id == 7);
	ck_assert(!idmap_group(map, "bob@corp", &id));
	ck_assert(idmap_group(map, "domain users@corp", &id) && id == 8);
	ck_assert(idmap_group(map, "a\\000b", &id) && id == 9); /* no byte 0 comes in */
	ck_assert(!idmap_other_users(map, &id) && !idmap_other_groups(map, &id) && id == 9);
	idmap_free(map);
	map = parse("user * 5\nuid * 6\n");
	ck_assert(idmap_other_users(map, &id) && id == 5);
	ck_assert(!idmap_other_groups(map, &id) && !idmap_user(map, "*", &id));
	idmap_free(map);
}
END_TEST

/* Against the plain way to do it. */
START_TEST(test_random_maps)
{
	unsigned seed = getenv("SEED") ? (unsigned)atoi(getenv("SEED")) : (unsigned)_i + 1;
	uint32_t wanted[300], at = 0;
	char text[8192] = "";

	srand(seed);
	for (unsigned id = 0; id < 300; id++)
		wanted[id] = id;
	while ((at += 1 + (unsigned)rand() % 20) < 280) {
		unsigned len = 1 + (unsigned)rand() % 10, to = (unsigned)rand() % 100000;
		char line[64];
		if (len == 1)
			snprintf(line, sizeof(line), "uid %u %u\n", at, to);
		else
			snprintf(line, sizeof(line), "uid %u-%u %u\n", at, at + len - 1, to);
		for (unsigned i = 0; i < len; i++)
			wanted[at + i] = to + i;
		memmove(text + strlen(line), text, strlen(text) + 1); /* the last line first */
		memcpy(text, line, strlen(line));
		at += len;
	}
	struct idmap *map = parse(text);
	for (unsigned id = 0; id < 300; id++)
		ck_assert_msg(idmap_uid(map, id) == wanted[id], "seed %u: %u", seed, id);
	idmap_free(map);
}
END_TEST

START_TEST(test_acl)
{
	unsigned char acl[] = {2, 0,  0,  0, 1, 0, 6,  0, 0xff, 0xff, 0xff, 0xff, 2,    0,   6,
	                       0, 77, 0,  0, 0, 4, 0,  4, 0,    0xff, 0xff, 0xff, 0xff, 8,   0,
	                       4, 0,  77, 0, 0, 0, 32, 0, 4,    0,    0xff, 0xff, 0xff, 0xff};
	unsigned char wanted[sizeof(acl)];
	struct idmap *map = parse("uid 77 258\nuid * 9\ngid * 10\n");

	memcpy(wanted, acl, sizeof(acl));
	wanted[16] = 2;
	wanted[17] = 1;
	wanted[32] = 10;
	idmap_acl(map, acl, sizeof(acl));
	ck_assert_mem_eq(acl, wanted, sizeof(acl));
	idmap_acl(map, acl, 3); /* too short to be one */
	acl[0] = 1;
	wanted[0] = 1;
	idmap_acl(map, acl, sizeof(acl));
	ck_assert_mem_eq(acl, wanted, sizeof(acl));
	idmap_free(map);
}
END_TEST

START_TEST(test_files)
{
	struct idmap *map = NULL;

	ck_assert_int_eq(idmap_load("/nonexistent/map", &map, error, sizeof(error)), -ENOENT);
	ck_assert_ptr_nonnull(strstr(error, "/nonexistent/map"));
	ck_assert_int_eq(idmap_load("/dev/zero", &map, error, sizeof(error)), -EINVAL);
	ck_assert_int_eq(idmap_load("/tmp", &map, error, sizeof(error)), -EINVAL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("source_idmap");
	TCase *tcase = tcase_create("idmap");

	tcase_add_test(tcase, test_ids_and_ranges);
	tcase_add_test(tcase, test_all_others);
	tcase_add_test(tcase, test_wrong_lines);
	tcase_add_test(tcase, test_names);
	tcase_add_loop_test(tcase, test_random_maps, 0, 50);
	tcase_add_test(tcase, test_acl);
	tcase_add_test(tcase, test_files);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
