/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The libsmb2 that is built in has Debian's patches: an answer that is a chain of more parts than the library has room for ends the session
 * (CVE-2025-57632). It is internal to the library, so its own header is needed.
 */
#include <check.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

/* clang-format off */
/* Each needs those before it. */
#include <smb2/smb2.h>
#include <smb2/libsmb2.h>
#include <smb2/libsmb2-raw.h>
#include <libsmb2-private.h>
/* clang-format on */

START_TEST(test_a_chain_has_an_end)
{
	struct smb2_context *smb2 = smb2_init_context();
	struct smb2_io_vectors *vectors = calloc(1, sizeof(*vectors));
	static uint8_t byte;

	ck_assert(smb2 && vectors);
	for (unsigned i = 0; i < SMB2_MAX_VECTORS; i++)
		ck_assert_ptr_nonnull(smb2_add_iovector(smb2, vectors, &byte, 1, NULL));
	ck_assert_ptr_null(smb2_add_iovector(smb2, vectors, &byte, 1, NULL));
	ck_assert_int_eq(vectors->niov, SMB2_MAX_VECTORS);
	free(vectors);
	smb2_destroy_context(smb2);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cifs_library");
	TCase *tcase = tcase_create("chains");

	tcase_add_test(tcase, test_a_chain_has_an_end);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
