/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Sizes in text: examples of the DMM specification, bad input, and properties checked on random values.
 */
#include "base/size.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t random_state;

static uint64_t random_u64(void)
{
	random_state += 0x9e3779b97f4a7c15ull;
	uint64_t z = random_state;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static void seed_random(void)
{
	const char *seed = getenv("DMMFS_TEST_SEED");
	random_state = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL);
	printf("DMMFS_TEST_SEED=%llu\n", (unsigned long long)random_state);
	fflush(stdout);
}

static void expect(const char *text, uint64_t bytes)
{
	uint64_t got = 0;
	ck_assert_msg(size_parse(text, &got) == 0, "'%s' refused", text);
	ck_assert_msg(got == bytes, "'%s' gave %llu", text, (unsigned long long)got);
}

static void expect_error(const char *text, int error)
{
	uint64_t got = 4711;
	int result = size_parse(text, &got);
	ck_assert_msg(result == error, "'%s' gave %d", text, result);
	ck_assert_uint_eq(got, 4711);
}

START_TEST(test_examples)
{
	expect("256m", 256ull << 20);
	expect("2G", 2ull << 30);
	expect("1.5G", 1536ull << 20);
	expect("0", 0);
	expect("007", 7);
	expect("4096", 4096);
	expect("4096B", 4096);
	expect("4096b", 4096);
	expect("1kB", 1024);
	expect("1Kb", 1024);
	expect("1.5", 1);
	expect("0.9B", 0);
	expect("0.0009765625K", 1);
	expect("0.0009765624999999999999999999999999999999K", 0);
	expect("0.5t", 1ull << 39);
	expect("8191P", 8191ull << 50);
	expect("9223372036854775807", INT64_MAX);
	expect("9223372036854775807.999999", INT64_MAX);
	expect("0000000000000000000000000000000001K", 1024);
}
END_TEST

START_TEST(test_bad_input)
{
	static const char *const bad[] = {"",    " ",    " 1",    "1 ",  "1 K",      "K",    "B",      ".",   ".5",   "1.",
	                                  "1.K", "1..5", "1.5.5", "-1",  "+1",       "1KK",  "1BB",    "1BK", "1KiB", "1E",
	                                  "1Z",  "0x10", "1e3",   "1,5", "\xd9\xa1", "1K\n", "1k\xff", "inf", "nan"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		expect_error(bad[i], -EINVAL);
	expect_error(NULL, -EINVAL);
}
END_TEST

START_TEST(test_range)
{
	expect_error("9223372036854775808", -ERANGE);
	expect_error("8192P", -ERANGE);
	expect_error("8388608T", -ERANGE);
	expect_error("18446744073709551616", -ERANGE);
	expect_error("99999999999999999999999999999999999999999999999999K", -ERANGE);
	/* What has not the form is not of that form, however large. */
	expect_error("99999999999999999999999999999999999999999999999999X", -EINVAL);
	char long_fraction[400];
	memset(long_fraction, '9', sizeof(long_fraction));
	memcpy(long_fraction, "8191.", 5);
	memcpy(long_fraction + sizeof(long_fraction) - 2, "P", 2);
	expect(long_fraction, INT64_MAX);
}
END_TEST

/* Any number of units, of either case, with or without B, is that many. */
START_TEST(test_whole_round_trip)
{
	static const char letters[] = "KMGTPkmgtp";
	for (int i = 0; i < 100000; i++) {
		unsigned unit = (unsigned)(random_u64() % 11); /* 10: none */
		unsigned shift = unit == 10 ? 0 : 10 * (unit % 5 + 1);
		uint64_t number = random_u64() >> (1 + shift + random_u64() % (63 - shift));
		char text[64];
		snprintf(text, sizeof(text), "%llu%.*s%s", (unsigned long long)number, unit != 10, &letters[unit % 10],
		         i % 3 == 0   ? "B"
		         : i % 3 == 1 ? "b"
		                      : "");
		expect(text, number << shift);
	}
}
END_TEST

/* Every count of bytes written as an exact decimal fraction of a unit comes back to the byte, and one digit less never gives
 * more. */
START_TEST(test_fraction_round_trip)
{
	for (int i = 0; i < 20000; i++) {
		unsigned shift = 10 * (unsigned)(1 + random_u64() % 5);
		uint64_t bytes = random_u64() >> (1 + random_u64() % 60);
		uint64_t mask = (1ull << shift) - 1, rest = bytes & mask, got;
		char text[128];
		int len = snprintf(text, sizeof(text), "%llu.", (unsigned long long)(bytes >> shift));
		for (unsigned digit = 0; digit < shift; digit++) {
			__extension__ unsigned __int128 times_ten = (unsigned __int128)rest * 10;
			text[len++] = (char)('0' + (int)(times_ten >> shift));
			rest = (uint64_t)times_ten & mask;
		}
		ck_assert_uint_eq(rest, 0);
		snprintf(text + len, sizeof(text) - (size_t)len, "%c", "KMGTP"[shift / 10 - 1]);
		expect(text, bytes);
		snprintf(text + len - 1, sizeof(text) - (size_t)len + 1, "%c", "KMGTP"[shift / 10 - 1]);
		ck_assert_int_eq(size_parse(text, &got), 0);
		ck_assert_uint_le(got, bytes);
	}
}
END_TEST

/* Random text: either refused, or of the form; never read beyond its end (the sanitizer's part). */
START_TEST(test_random_text)
{
	static const char alphabet[] = "0123456789.KMGTPBkmgtpb -+x\xff";
	for (int i = 0; i < 200000; i++) {
		size_t len = random_u64() % 12;
		char *text = malloc(len + 1);
		for (size_t at = 0; at < len; at++)
			text[at] = alphabet[random_u64() % (sizeof(alphabet) - 1)];
		text[len] = 0;
		uint64_t bytes = 0;
		int result = size_parse(text, &bytes);
		ck_assert(result == 0 || result == -EINVAL || result == -ERANGE);
		if (result == 0) {
			size_t digits = strspn(text, "0123456789");
			ck_assert_msg(digits > 0 && strlen(text) - strspn(text, "0123456789.") <= 2, "'%s' taken", text);
			ck_assert_uint_le(bytes, INT64_MAX);
		}
		free(text);
	}
}
END_TEST

static void expect_text(uint64_t bytes, const char *text)
{
	char buf[32];
	ck_assert_str_eq(size_format(bytes, buf, sizeof(buf)), text);
}

START_TEST(test_format)
{
	expect_text(0, "0 B");
	expect_text(1, "1 B");
	expect_text(1023, "1023 B");
	expect_text(1024, "1 KiB");
	expect_text(1025, "1.0 KiB");
	expect_text(1536, "1.5 KiB");
	expect_text(1 << 20, "1 MiB");
	expect_text((1 << 20) - 1, "1.0 MiB");
	expect_text((1 << 20) - 1024, "1023 KiB");
	expect_text(1536ull << 20, "1.5 GiB");
	expect_text(INT64_MAX, "8.0 EiB");
	expect_text(UINT64_MAX, "16.0 EiB");
}
END_TEST

/* What is shown is at most five per cent off, and never needs more than four digits before the point. */
START_TEST(test_format_is_near)
{
	for (int i = 0; i < 100000; i++) {
		uint64_t bytes = random_u64() >> (random_u64() % 64), unit = 1;
		char buf[32], name[8];
		double number;
		size_format(bytes, buf, sizeof(buf));
		ck_assert_int_eq(sscanf(buf, "%lf %7s", &number, name), 2);
		for (const char *letters = "KMGTPE"; name[1]; letters++) {
			unit *= 1024;
			if (*letters == name[0])
				break;
		}
		double off = number * (double)unit - (double)bytes;
		ck_assert_msg(off <= (double)bytes * 0.05 && -off <= (double)bytes * 0.05, "%llu is no %s",
		              (unsigned long long)bytes, buf);
		ck_assert(number < 1024);
	}
}
END_TEST

START_TEST(test_print_round_trip)
{
	char buf[SIZE_TEXT];
	for (int i = 0; i < 100000; i++) {
		uint64_t bytes = (random_u64() >> (1 + random_u64() % 63)) << (random_u64() % 40) & INT64_MAX;
		expect(size_print(bytes, buf, sizeof(buf)), bytes);
	}
	ck_assert_str_eq(size_print(0, buf, sizeof(buf)), "0");
	ck_assert_str_eq(size_print(65536, buf, sizeof(buf)), "64K");
	ck_assert_str_eq(size_print(1536, buf, sizeof(buf)), "1536");
	ck_assert_str_eq(size_print(1ull << 60, buf, sizeof(buf)), "1024P");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("size");
	TCase *tests = tcase_create("size");
	seed_random();
	tcase_add_test(tests, test_examples);
	tcase_add_test(tests, test_bad_input);
	tcase_add_test(tests, test_range);
	tcase_add_test(tests, test_whole_round_trip);
	tcase_add_test(tests, test_fraction_round_trip);
	tcase_add_test(tests, test_random_text);
	tcase_add_test(tests, test_print_round_trip);
	tcase_add_test(tests, test_format);
	tcase_add_test(tests, test_format_is_near);
	tcase_set_timeout(tests, 60);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
