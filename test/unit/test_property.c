/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The table of properties is sound; values that are right are taken and wrong ones refused with what is allowed, on examples and
 * on random values.
 */
#include "base/duration.h"
#include "base/size.h"
#include "property/mount_flags.h"
#include "property/property.h"

#include <check.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
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

static const struct property *named(const char *name)
{
	const struct property *property = property_find(name);
	ck_assert_msg(property != NULL, "there is no %s", name);
	return property;
}

static void right(const char *name, const char *value)
{
	char error[1024] = "";
	ck_assert_msg(property_check(named(name), value, error, sizeof(error)) == 0, "%s", error);
}

/* Refused, with a sentence that names the property and says this. */
static void wrong(const char *name, const char *value, const char *said)
{
	char error[1024] = "";
	ck_assert_msg(property_check(named(name), value, error, sizeof(error)) == -EINVAL, "%s=%s is taken", name, value);
	ck_assert_msg(strncmp(error, name, strlen(name)) == 0 && strstr(error, said), "'%s' lacks '%s'", error, said);
}

/* --- the table --- */

static void check_row(const struct property *property, size_t index)
{
	char error[1024] = "", allowed[PROPERTY_ALLOWED_MAX] = "";

	ck_assert_uint_eq(property_index(property), index);
	ck_assert_ptr_eq(property_find(property->name), property);
	for (const char *c = property->name; *c; c++)
		ck_assert_msg(islower((unsigned char)*c), "%s", property->name);
	ck_assert_msg(property->group && *property->group, "%s has no group", property->name);
	ck_assert_msg(property->help && strlen(property->help) > 10, "%s has no help", property->name);
	ck_assert_msg(property->help[strlen(property->help) - 1] == '.', "the help of %s is no sentence", property->name);
	ck_assert_msg(!property->standard != !property->without, "%s: a default, or words instead", property->name);
	ck_assert_msg((property->type == PROPERTY_CHOICE) == (property->choices != NULL), "%s", property->name);
	ck_assert_msg(!property->max || property->min <= property->max, "%s", property->name);
	if (property->standard)
		ck_assert_msg(property_check(property, property->standard, error, sizeof(error)) == 0, "%s", error);
	else /* what has a number has a default */
		ck_assert_msg(property->type == PROPERTY_TEXT || property->type == PROPERTY_PATH, "%s", property->name);
	property_allowed(property, allowed, sizeof(allowed));
	ck_assert_msg(strlen(allowed) > 5 && strlen(allowed) < sizeof(allowed) - 1, "%s: '%s'", property->name, allowed);
	ck_assert(property->type == PROPERTY_CHOICE || property_argument(property) != NULL);
}

START_TEST(test_table)
{
	size_t n = 0;
	for (; property_at(n); n++)
		check_row(property_at(n), n);
	ck_assert_uint_gt(n, 20);
	ck_assert_uint_le(n, PROPERTY_MAX);
	ck_assert_ptr_null(property_at(n + 1));
	ck_assert_ptr_null(property_find("colour"));
	ck_assert_ptr_null(property_find(""));
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < i; j++)
			ck_assert_str_ne(property_at(i)->name, property_at(j)->name);
}
END_TEST

/* A group has one heading in the manual. */
START_TEST(test_groups)
{
	for (size_t i = 1; property_at(i); i++)
		for (size_t j = 0; j + 1 < i && strcmp(property_at(i)->group, property_at(i - 1)->group) != 0; j++)
			ck_assert_msg(strcmp(property_at(j)->group, property_at(i)->group) != 0, "%s stands apart of its group",
			              property_at(i)->name);
}
END_TEST

/* --- values --- */

START_TEST(test_values)
{
	right("segsize", "64K");
	right("segsize", "0.5M");
	right("segsize", "65536");
	wrong("segsize", "1K", "from 4K to 64M");
	wrong("segsize", "5000", "a multiple of 4K");
	wrong("segsize", "65M", "4K to 64M");
	wrong("segsize", "1 M", "N[.N][KMGTP][B]");
	wrong("segsize", "", "needs a value");
	wrong("segsize", "-4096", "multiple");
	right("maxnsproc", "1");
	right("maxnsproc", "1024");
	wrong("maxnsproc", "0", "a number from 1 to 1024");
	wrong("maxnsproc", "1025", "1024");
	wrong("maxnsproc", "+1", "number");
	wrong("maxnsproc", " 1", "number");
	wrong("maxnsproc", "99999999999999999999999", "number");
	right("background", "on");
	wrong("background", "yes", "on or off");
	wrong("background", "On", "on or off");
	wrong("collision", "merge", "error, overwrite or rename");
	right("logfile", "/var/log/\xff");
	wrong("logfile", "log", "an absolute path");
	right("bandwidth", "none");
	right("bandwidth", "20MB/s");
	wrong("bandwidth", "fast", "a rate");
	wrong("fsname", "a\nb", "control");
	right("mountflags", "nosuid,nodev");
	wrong("mountflags", "nosuid,", "nosuid");
	wrong("mountflags", "colour", "a list, with commas");
	ck_assert_uint_eq(property_number(named("segsize"), "64K"), 65536);
	ck_assert_uint_eq(property_number(named("background"), "on"), 1);
	ck_assert_uint_eq(property_number(named("background"), "off"), 0);
	ck_assert_uint_eq(property_number(named("collision"), "rename"), 2);
}
END_TEST

START_TEST(test_long_values)
{
	char *value = malloc(PROPERTY_VALUE_MAX + 2), error[128];
	memset(value, 'x', PROPERTY_VALUE_MAX + 1);
	value[PROPERTY_VALUE_MAX + 1] = 0;
	wrong("fsname", value, "no longer than");
	wrong("segsize", value + 2, "must be a multiple");
	value[PROPERTY_VALUE_MAX] = 0;
	right("fsname", value);
	for (size_t size = 1; size < sizeof(error); size++) { /* a sentence that is cut off is no harm */
		ck_assert_int_eq(property_check(named("segsize"), "colourful", error, size), -EINVAL);
		ck_assert_uint_lt(strlen(error), size);
	}
	free(value);
}
END_TEST

/* Of random sizes exactly those are right that the table allows, in any form. */
START_TEST(test_random_sizes)
{
	for (int i = 0; i < 100000; i++) {
		uint64_t bytes = (random_u64() >> (random_u64() % 64)) & INT64_MAX;
		char text[SIZE_TEXT], error[512];
		if (i % 2)
			bytes = bytes / 4096 * 4096;
		size_print(bytes, text, sizeof(text));
		bool allowed = bytes >= 4096 && bytes <= 64 << 20 && bytes % 4096 == 0;
		ck_assert_msg((property_check(named("segsize"), text, error, sizeof(error)) == 0) == allowed, "%s", text);
		if (allowed)
			ck_assert_uint_eq(property_number(named("segsize"), text), bytes);
	}
}
END_TEST

/* --- durations --- */

static void lasts(const char *text, uint64_t ns)
{
	uint64_t got = 0;
	ck_assert_msg(duration_parse(text, &got) == 0, "'%s' refused", text);
	ck_assert_msg(got == ns, "'%s' gave %llu", text, (unsigned long long)got);
}

START_TEST(test_durations)
{
	static const char *const none[] = {"", "1", "s", "1.s", ".5s", "1 s", "1S", "-1s", "1sec", "1.5", "1ms ", "1,5s", "0x1s"};
	uint64_t ns;
	lasts("0s", 0);
	lasts("1us", 1000);
	lasts("20ms", 20000000);
	lasts("0.1s", 100000000);
	lasts("1.5h", 5400000000000);
	lasts("0.000000001s", 1);
	lasts("0.0000000019s", 1);
	lasts("106751d", 106751 * 86400000000000);
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		ck_assert_msg(duration_parse(none[i], &ns) == -EINVAL, "'%s' is taken", none[i]);
	ck_assert_int_eq(duration_parse("106752d", &ns), -ERANGE);
	ck_assert_int_eq(duration_parse("99999999999999999999999999s", &ns), -ERANGE);
}
END_TEST

START_TEST(test_duration_round_trip)
{
	for (int i = 0; i < 100000; i++) {
		uint64_t ns = (random_u64() >> (1 + random_u64() % 63)) / 1000 * 1000, got = 0;
		char text[DURATION_TEXT];
		duration_print(ns, text, sizeof(text));
		ck_assert_msg(duration_parse(text, &got) == 0 && got == ns, "%s", text);
	}
}
END_TEST

/* --- sets and flags --- */

struct pair {
	const char *name, *value;
};

static const char *lookup(void *context, const struct property *property)
{
	for (const struct pair *pair = context; pair->name; pair++)
		if (strcmp(pair->name, property->name) == 0)
			return pair->value;
	return NULL;
}

static void together(struct pair *pairs, const char *said)
{
	char error[512] = "";
	int result = property_check_set(lookup, pairs, error, sizeof(error));
	ck_assert_msg((result == 0) == !said && (!said || strstr(error, said)), "'%s'", error);
}

START_TEST(test_sets)
{
	together((struct pair[]){{NULL}}, NULL);
	together((struct pair[]){{"maxnsproc", "3"}, {NULL}}, NULL);
	together((struct pair[]){{"maxnsproc", "2"}, {NULL}}, "maxnsproc must be greater than resnsproc");
	together((struct pair[]){{"maxnsproc", "2"}, {"resnsproc", "1"}, {NULL}}, NULL);
	together((struct pair[]){{"resdfproc", "16"}, {NULL}}, "maxdfproc must be greater than resdfproc");
	together((struct pair[]){{"highwater", "50000"}, {NULL}}, NULL);
	together((struct pair[]){{"highwater", "49999"}, {NULL}}, "highwater must be greater than lowwater or the same");
}
END_TEST

START_TEST(test_mount_flags)
{
	for (int i = 0; i < 10000; i++) {
		unsigned long all = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_SYNCHRONOUS | MS_DIRSYNC | MS_NOATIME |
		                    MS_NODIRATIME | MS_RELATIME | MS_STRICTATIME,
			      flags = random_u64() & all, got = 0;
		char text[256];
		mount_flags_print(flags, text, sizeof(text));
		if (flags)
			ck_assert_int_eq(mount_flags_parse(text, &got), 0);
		ck_assert_msg(got == flags, "%s", text);
	}
	unsigned long flags = MS_NOSUID;
	ck_assert_int_eq(mount_flags_parse("suid,ro,colour", &flags), -EINVAL);
	ck_assert_uint_eq(flags, MS_NOSUID);
	ck_assert_int_eq(mount_flags_parse("suid,ro", &flags), 0);
	ck_assert_uint_eq(flags, MS_RDONLY);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("property");
	TCase *tests = tcase_create("property");
	seed_random();
	tcase_add_test(tests, test_table);
	tcase_add_test(tests, test_groups);
	tcase_add_test(tests, test_values);
	tcase_add_test(tests, test_long_values);
	tcase_add_test(tests, test_random_sizes);
	tcase_add_test(tests, test_durations);
	tcase_add_test(tests, test_duration_round_trip);
	tcase_add_test(tests, test_sets);
	tcase_add_test(tests, test_mount_flags);
	tcase_set_timeout(tests, 60);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
