/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Digests of files: a known value, any order of segments, pieces of any size, and what must change them.
 */
#include "base/digest.h"

#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEGSIZE 4096u
#define SEGMENTS 9u
#define LAST 1000u /* bytes of the last one */
#define SIZE ((SEGMENTS - 1) * SEGSIZE + LAST)

static uint8_t file[SIZE];

static void fill(void)
{
	for (size_t i = 0; i < SIZE; i++)
		file[i] = (uint8_t)(i * 31 + i / SEGSIZE);
	memset(file + 3 * SEGSIZE, 0, SEGSIZE); /* a hole */
}

static struct digest segment(const uint8_t *bytes, unsigned index)
{
	return digest_of_segment(bytes + index * SEGSIZE, index == SEGMENTS - 1 ? LAST : SEGSIZE, index);
}

static struct digest whole(const uint8_t *bytes)
{
	struct digest sum = {0};
	for (unsigned i = 0; i < SEGMENTS; i++) {
		struct digest one = segment(bytes, i);
		digest_add(&sum, &one);
	}
	return sum;
}

/* What `printf 'hello\n' | xxh128sum` says. */
START_TEST(one_segment_is_the_plain_digest)
{
	char text[DIGEST_TEXT_SIZE];
	struct digest digest = digest_of_segment("hello\n", 6, 0);
	ck_assert_str_eq(digest_text(&digest, text), "6bba86c7e069f56d5a10b435f1c8e49c");
}
END_TEST

START_TEST(the_order_does_not_matter)
{
	static const unsigned order[SEGMENTS] = {5, 0, 8, 2, 7, 1, 3, 6, 4};
	struct digest sum = {0}, forward = whole(file);
	for (unsigned i = 0; i < SEGMENTS; i++) {
		struct digest one = segment(file, order[i]);
		digest_add(&sum, &one);
	}
	ck_assert(digest_equal(&sum, &forward));
}
END_TEST

START_TEST(zeros_add_nothing)
{
	struct digest hole = segment(file, 3), none = {0};
	ck_assert(digest_equal(&hole, &none));
	hole = digest_of_segment("", 0, 7);
	ck_assert(digest_equal(&hole, &none));
}
END_TEST

START_TEST(a_change_shows)
{
	struct digest before = whole(file);
	for (size_t at = 0; at < SIZE; at += 997) {
		file[at] ^= 0x10;
		struct digest after = whole(file);
		ck_assert_msg(!digest_equal(&before, &after), "byte %zu", at);
		file[at] ^= 0x10;
	}
	uint8_t other[SEGSIZE]; /* segments that changed places */
	memcpy(other, file, SEGSIZE);
	memmove(file, file + SEGSIZE, SEGSIZE);
	memcpy(file + SEGSIZE, other, SEGSIZE);
	struct digest swapped = whole(file);
	ck_assert(!digest_equal(&before, &swapped));
}
END_TEST

START_TEST(sums_carry)
{
	struct digest sum = {.low = UINT64_MAX, .high = 1};
	digest_add(&sum, &(struct digest){.low = 2, .high = UINT64_MAX});
	ck_assert_uint_eq(sum.low, 1);
	ck_assert_uint_eq(sum.high, 1);
}
END_TEST

START_TEST(pieces_of_any_size)
{
	static const size_t sizes[] = {1, 7, 1000, SEGSIZE - 1, SEGSIZE, SEGSIZE + 1, 3 * SEGSIZE, SIZE};
	struct digest_stream *stream = digest_stream_new();
	struct digest wanted = whole(file), found;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		digest_stream_begin(stream, SEGSIZE);
		for (size_t at = 0; at < SIZE; at += sizes[i])
			digest_stream_add(stream, file + at, SIZE - at < sizes[i] ? SIZE - at : sizes[i]);
		digest_stream_end(stream, &found);
		ck_assert_msg(digest_equal(&wanted, &found), "pieces of %zu", sizes[i]);
	}
	digest_stream_begin(stream, SEGSIZE);
	digest_stream_end(stream, &found);
	ck_assert(digest_equal(&found, &(struct digest){0}));
	digest_stream_free(stream);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("digest");
	TCase *tests = tcase_create("digest");
	tcase_add_checked_fixture(tests, fill, NULL);
	tcase_add_test(tests, one_segment_is_the_plain_digest);
	tcase_add_test(tests, the_order_does_not_matter);
	tcase_add_test(tests, zeros_add_nothing);
	tcase_add_test(tests, a_change_shows);
	tcase_add_test(tests, sums_carry);
	tcase_add_test(tests, pieces_of_any_size);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
