/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What keeps a tree from going on without end: the lineage of directories, and the set of names of a listing.
 */
#include "migrate/internal.h"
#include "migrate/names.h"

#include <check.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

static struct dmm_attr directory(uint64_t fsid, uint64_t fileid)
{
	return (struct dmm_attr){.fsid = fsid, .fileid = fileid};
}

/* Below `above`, which is freed; the new one is returned. */
static struct source_ref below(struct source_ref above, uint64_t fsid, uint64_t fileid)
{
	struct dmm_attr attr = directory(fsid, fileid);
	struct source_ref own;

	ck_assert_int_eq(lineage_extend(&above, &attr, &own), 0);
	ck_assert_uint_eq(own.len, above.len + LINEAGE_BYTES);
	free((void *)above.bytes);
	return own;
}

static void refused(const struct source_ref *above, uint64_t fsid, uint64_t fileid)
{
	struct dmm_attr attr = directory(fsid, fileid);
	struct source_ref own = {.len = 1};

	ck_assert_int_eq(lineage_extend(above, &attr, &own), -ELOOP);
	ck_assert_uint_eq(own.len, 1);
}

START_TEST(its_own_ancestor)
{
	struct source_ref path = {0};

	for (uint64_t fileid = 1; fileid <= 300; fileid++)
		path = below(path, 7, fileid);
	for (uint64_t fileid = 1; fileid <= 300; fileid++)
		refused(&path, 7, fileid);
	path = below(path, 8, 1); /* of another file system */
	path = below(path, 1, 8);
	path = below(path, 0, 0);
	free((void *)path.bytes);
}
END_TEST

START_TEST(deeper_than_a_path)
{
	struct source_ref path = {0};

	for (uint64_t fileid = 0; fileid < PATH_MAX / 2; fileid++)
		path = below(path, 1, fileid);
	refused(&path, 1, PATH_MAX);
	free((void *)path.bytes);
}
END_TEST

START_TEST(names_once)
{
	struct name_set *set = name_set_new();
	char name[16];

	ck_assert(!name_set_has(set, ""));
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < 1000; i++) {
			snprintf(name, sizeof(name), "%d", i);
			ck_assert_int_eq(name_set_add(set, name), round == 0);
		}
	ck_assert_uint_eq(name_set_count(set), 1000);
	name_set_free(set);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("migrate-hostile");
	TCase *tcase = tcase_create("hostile");
	tcase_add_test(tcase, its_own_ancestor);
	tcase_add_test(tcase, deeper_than_a_path);
	tcase_add_test(tcase, names_once);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
