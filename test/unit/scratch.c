/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "scratch.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

static char dir[256];

const char *scratch_path(const char *name)
{
	static char paths[4][512];
	static unsigned turn;
	char *path = paths[turn++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

static void make(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(dir, sizeof(dir), "%s/dmmfs-unit-XXXXXX", tmp ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

static int remove_below(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return ftw->level > 0 ? remove(path) : 0;
}

static void empty(void)
{
	ck_assert_int_eq(nftw(dir, remove_below, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static void take_away(void)
{
	empty();
	ck_assert_int_eq(remove(dir), 0);
}

void scratch_add(TCase *tcase)
{
	tcase_add_unchecked_fixture(tcase, make, take_away);
	tcase_add_checked_fixture(tcase, empty, NULL);
}
