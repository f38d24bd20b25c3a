/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The kinds of the loss report: which entry of the ledger is of which, and that each has its word and its sentence.
 */
#include "migrate/coming.h"
#include "migrate/loss.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static enum loss_kind of(enum error_kind kind, enum error_state state, const char *what, int error)
{
	return loss_of(&(struct error_record){.kind = kind, .state = state, .what = (char *)what, .error = error});
}

START_TEST(attributes_have_their_kinds)
{
	static const struct {
		const char *what;
		int error;
		enum loss_kind kind;
	} cases[] = {
		{"owner", ENODATA, LOSS_OWNER},
		{"mode", EPERM, LOSS_MODE},
		{"mode", ENODATA, LOSS_SET_ID},
		{"set-id", EPERM, LOSS_SET_ID},
		{"times", EINVAL, LOSS_TIMES},
		{"inode flags", EOPNOTSUPP, LOSS_FLAGS},
		{"skip", ECANCELED, LOSS_SKIPPED},
		{"system.posix_acl_access", EOPNOTSUPP, LOSS_ACL},
		{"system.posix_acl_default", EOPNOTSUPP, LOSS_ACL},
		{"system.nfs4_acl", EOPNOTSUPP, LOSS_ACL},
		{"security.NTACL", ENOSPC, LOSS_ACL},
		{"security.NTACLS", ENOSPC, LOSS_XATTR},
		{"security.capability", EOPNOTSUPP, LOSS_CAPABILITY},
		{"user.DOSATTRIB", ENOSPC, LOSS_DOS_ATTRIBUTES},
		{"user.DosStream.notes:$DATA", ENOSPC, LOSS_STREAMS},
		{"user.colour", ENOSPC, LOSS_XATTR},
		{"streams", EOPNOTSUPP, LOSS_STREAMS},
		{"hard-link", EOPNOTSUPP, LOSS_HARD_LINK},
		{"what a plugin made up", EOPNOTSUPP, LOSS_OTHER},
		{"", EOPNOTSUPP, LOSS_OTHER},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_msg(of(ERROR_LOSS, ERROR_WAIVED, cases[i].what, cases[i].error) == cases[i].kind, "%s is %s",
		              cases[i].what, loss_kind_name(of(ERROR_LOSS, ERROR_WAIVED, cases[i].what, cases[i].error)));
	ck_assert_int_eq(of(ERROR_PROTOCOL, ERROR_WAIVED, "xattr", EOPNOTSUPP), LOSS_XATTR);
	ck_assert_int_eq(of(ERROR_DRIFT, ERROR_WAIVED, "drift", ESTALE), LOSS_DRIFT);
}
END_TEST

START_TEST(what_may_still_come_is_no_loss)
{
	for (enum error_kind kind = ERROR_OF_DIR; kind <= ERROR_OF_NAME; kind++) {
		ck_assert_int_eq(of(kind, ERROR_RETRYING, "read", EIO), LOSS_KINDS);
		ck_assert_int_eq(of(kind, ERROR_WAITING, "read", EIO), LOSS_KINDS);
		ck_assert_int_eq(of(kind, ERROR_WAIVED, "read", EIO), LOSS_OBJECT);
	}
	ck_assert_int_eq(of(ERROR_OF_NAME, ERROR_WAITING, "create", EOPNOTSUPP), LOSS_REPARSE_POINT);
	ck_assert_int_eq(of(ERROR_OF_NAME, ERROR_WAIVED, "create", EOPNOTSUPP), LOSS_REPARSE_POINT);
	ck_assert_int_eq(of(ERROR_OF_NAME, ERROR_WAITING, "create", ENAMETOOLONG), LOSS_NAME);
	ck_assert_int_eq(of(ERROR_OF_NAME, ERROR_WAITING, "create", EILSEQ), LOSS_NAME);
	ck_assert_int_eq(of(ERROR_OF_NAME, ERROR_WAITING, "create", EEXIST), LOSS_CASE);
	ck_assert_int_eq(of(ERROR_OF_NAME, ERROR_WAITING, "create", EACCES), LOSS_KINDS);
}
END_TEST

START_TEST(each_has_a_word_and_a_sentence)
{
	for (enum loss_kind kind = 0; kind < LOSS_KINDS; kind++) {
		const char *means = loss_kind_means(kind);
		ck_assert_int_eq(loss_kind_of(loss_kind_name(kind)), kind);
		ck_assert_int_eq(means[strlen(means) - 1], '.');
	}
	ck_assert_int_eq(loss_kind_of("nothing"), LOSS_KINDS);
}
END_TEST

static int count_loss(void *context, const char *kind, const char *detail)
{
	ck_assert_str_eq(kind, "acl");
	ck_assert_str_eq(detail, "a sentence");
	++*(int *)context;
	return 0;
}

/* Of two sources the one may tell of a loss and the other not answer: neither hides the other. */
START_TEST(a_loss_hides_no_disagreement)
{
	char told[] = "acl\0a sentence\0acl\0a sentence";
	struct coming coming = {.losses = told, .losses_len = sizeof(told), .found = {.xattrs_known = true, .xattrs = EACCES}};
	struct xattr_set xattrs = {0};
	int count = 0;

	ck_assert_int_eq(coming_attributes(&coming, &xattrs, count_loss, &count), EACCES);
	ck_assert_int_eq(count, 2);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("loss");
	TCase *tcase = tcase_create("loss");
	tcase_add_test(tcase, attributes_have_their_kinds);
	tcase_add_test(tcase, what_may_still_come_is_no_loss);
	tcase_add_test(tcase, each_has_a_word_and_a_sentence);
	tcase_add_test(tcase, a_loss_hides_no_disagreement);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
