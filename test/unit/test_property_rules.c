/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The order of a migration as text: what matches what, what is refused, and that what is printed reads back as the same.
 */
#include "property/glob.h"
#include "property/paths.h"
#include "property/rules.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- patterns --- */

static const struct {
	const char *pattern, *path;
	bool matches;
} globs[] = {
	{"*.iso", "a/b/c.iso", true},
	{"*.iso", "a.iso/b", true}, /* in a directory that matches */
	{"*.iso", "a.isoo", false},
	{"b", "a/b/c", true},
	{"b", "", false},
	{"a*b*c", "aXbYbZc", true},
	{"a*b*c", "aXbYbZ", false},
	{"?", "\xC3\xA4", true},
	{"??", "\xC3\xA4", false},
	{"??", "\xFF\xFE", true},
	{"[a-c]x", "bx", true},
	{"[!a-c]x", "bx", false},
	{"[]x]", "]", true},
	{"[\xC3\xA4\xC3\xB6]", "\xC3\xB6", true},
	{"[\xC3\xA4\xC3\xB6]", "\xC3", false},
	{"\\*", "*", true},
	{"\\*", "x", false},
	{"/a", "a", true},
	{"/a", "a/b/c", true},
	{"/a", "b/a", false},
	{"/a/*", "a/b", true},
	{"/a/*", "a", false},
	{"/a/**", "a/b/c", true},
	{"/a/**", "a", false},
	{"/**/b", "b", true},
	{"/**/b", "a/c/b", true},
	{"/**/b/c", "b/a/b/c", true},
	{"/a/**/b", "a/b", true},
	{"/a/**/b", "a/x/y/b/z", true},
	{"/a/**/b", "a/x", false},
	{"/**", "a", true},
	{"/**", "", false},
	{"/a*/b", "aa/b", true},
	{"/a*/b", "a/a/b", false},
};

START_TEST(patterns_match_what_they_say)
{
	ck_assert_msg(glob_match(globs[_i].pattern, globs[_i].path) == globs[_i].matches, "'%s' and '%s'", globs[_i].pattern,
	              globs[_i].path);
	ck_assert_ptr_null(glob_complaint(globs[_i].pattern));
}
END_TEST

static const struct {
	const char *pattern, *dir;
	bool leads;
} ways[] = {
	{"/a/b/**", "", true},  {"/a/b/**", "a", true},  {"/a/b/**", "a/b", true}, {"/a/b/**", "a/c", false},
	{"/a/b", "a/b", false}, {"/a/*/c", "a/x", true}, {"*.iso", "", false},     {"/**/x", "", false},
	{"/a/**/x", "a", true}, {"/a/**/x", "b", false}, {"/a", "", true},
};

START_TEST(patterns_lead_to_where_they_begin)
{
	ck_assert_msg(glob_leads(ways[_i].pattern, ways[_i].dir) == ways[_i].leads, "'%s' and '%s'", ways[_i].pattern,
	              ways[_i].dir);
}
END_TEST

/* A matcher as simple as can be, exponential and all. */
static bool simple_name(const char *p, size_t p_len, const char *s, size_t s_len)
{
	if (p_len == 0)
		return s_len == 0;
	if (*p == '*')
		return simple_name(p + 1, p_len - 1, s, s_len) || (s_len > 0 && simple_name(p, p_len, s + 1, s_len - 1));
	return s_len > 0 && (*p == '?' || *p == *s) && simple_name(p + 1, p_len - 1, s + 1, s_len - 1);
}

static bool simple_path(const char *p, const char *s)
{
	size_t p_len = strcspn(p, "/"), s_len = strcspn(s, "/");
	const char *p_next = p + p_len + (p[p_len] == '/'), *s_next = s + s_len + (s[s_len] == '/');

	if (!*p)
		return true;
	if (p_len == 2 && strncmp(p, "**", 2) == 0)
		return (!*p_next ? *s != '\0' : simple_path(p_next, s)) || (*s && simple_path(p, s_next));
	return *s && simple_name(p, p_len, s, s_len) && simple_path(p_next, s_next);
}

static uint64_t seed;

static unsigned pick(unsigned below)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(seed >> 33) % below;
}

static void random_path(char *path, const char *letters, bool stars)
{
	for (unsigned names = 1 + pick(5); names > 0; names--) {
		if (stars && pick(4) == 0) {
			path = stpcpy(path, "**");
		} else {
			char last = 0;
			for (unsigned len = 1 + pick(4); len > 0; len--) {
				char c = letters[pick((unsigned)strlen(letters))];
				*path++ = last = c == '*' && last == '*' ? 'a' : c;
			}
		}
		*path++ = names > 1 ? '/' : '\0';
	}
}

START_TEST(patterns_match_as_a_simple_matcher_does)
{
	char pattern[256], path[256];
	unsigned matched = 0;

	for (unsigned i = 0; i < 200000; i++) {
		pattern[0] = '/';
		random_path(pattern + 1, "ab*?", true);
		random_path(path, "ab", false);
		bool matches = simple_path(pattern + 1, path);
		matched += matches;
		ck_assert_ptr_null(glob_complaint(pattern));
		ck_assert_msg(glob_match(pattern, path) == matches, "'%s' and '%s': not %d", pattern, path, matches);
		/* What matches is reached: each directory on the way leads there or matches, unless the pattern begins anywhere. */
		for (char *slash = strrchr(path, '/'); matches && slash && strncmp(pattern, "/**", 3);
		     slash = strrchr(path, '/')) {
			*slash = '\0';
			ck_assert_msg(glob_leads(pattern, path) || glob_match(pattern, path), "'%s' does not lead through '%s'",
			              pattern, path);
		}
	}
	ck_assert_uint_gt(matched, 1000);
}
END_TEST

/* --- lists --- */

START_TEST(a_list_holds_paths_and_what_is_in_them)
{
	static const char lines[] = "./a/b\n/c\n\na/b!x\nd/e/f/\n";
	struct paths *paths;
	char error[256] = "";

	ck_assert_msg(paths_parse("list", lines, strlen(lines), &paths, error, sizeof(error)) == 0, "%s", error);
	ck_assert_uint_eq(paths_count(paths), 4);
	ck_assert(paths_match(paths, "a/b"));
	ck_assert(paths_match(paths, "a/b/c/d"));
	ck_assert(paths_match(paths, "a/b!x"));
	ck_assert(paths_match(paths, "d/e/f"));
	ck_assert(!paths_match(paths, "a"));
	ck_assert(!paths_match(paths, "a/bb"));
	ck_assert(!paths_match(paths, "d/e"));
	ck_assert(!paths_match(paths, ""));
	ck_assert(paths_lead(paths, ""));
	ck_assert(paths_lead(paths, "a"));
	ck_assert(paths_lead(paths, "d/e"));
	ck_assert(!paths_lead(paths, "a/b"));
	ck_assert(!paths_lead(paths, "b"));
	paths_free(paths);
}
END_TEST

START_TEST(a_list_with_nuls_may_hold_newlines)
{
	static const char bytes[] = "a\nb\0c";
	struct paths *paths;
	char error[256];

	ck_assert_int_eq(paths_parse("list", bytes, sizeof(bytes), &paths, error, sizeof(error)), 0);
	ck_assert_uint_eq(paths_count(paths), 2);
	ck_assert(paths_match(paths, "a\nb"));
	paths_free(paths);
}
END_TEST

START_TEST(a_bad_line_is_named)
{
	static const char lines[] = "a\nb/../c\n";
	struct paths *paths;
	char error[256];

	ck_assert_int_eq(paths_parse("/etc/list", lines, strlen(lines), &paths, error, sizeof(error)), -EINVAL);
	ck_assert_msg(strstr(error, "line 2 of /etc/list") && strstr(error, "b/../c"), "%s", error);
	ck_assert_int_eq(paths_read("/does/not/exist", &paths, error, sizeof(error)), -ENOENT);
	ck_assert_ptr_nonnull(strstr(error, "/does/not/exist"));
}
END_TEST

/* --- rules --- */

static struct rules *parse(const char *text)
{
	struct rules *rules;
	char error[512] = "";

	ck_assert_msg(rules_parse(text, &rules, error, sizeof(error)) == 0, "%s: %s", text, error);
	ck_assert_msg(rules_load(rules, error, sizeof(error)) == 0, "%s: %s", text, error);
	return rules;
}

static int decides(const struct rules *rules, const char *path, bool is_dir, uint64_t size, int64_t mtime_s, uid_t owner)
{
	return rules_match(rules, &(struct rule_object){path, is_dir, size, mtime_s, owner}, 1000000000);
}

#define NOW 1000000000

START_TEST(the_first_clause_that_matches_decides)
{
	struct rules *rules =
		parse("first /p/a/**; first size<64K; last *.iso size>1M; last age>365d; skip /scratch; skip owner=0; "
	              "last depth>3; small");

	ck_assert_int_eq(rules_order(rules), ORDER_SMALL);
	ck_assert_uint_eq(rules_count(rules), 7);
	ck_assert_int_eq(decides(rules, "p/a/x", false, 1 << 20, NOW, 1), 0);
	ck_assert_int_eq(decides(rules, "p", true, 0, NOW, 1), 0); /* leads there */
	ck_assert_int_eq(decides(rules, "", true, 0, NOW, 1), 0);
	ck_assert_int_eq(decides(rules, "q", true, 0, NOW, 1), -1);
	ck_assert_int_eq(decides(rules, "x.iso", false, 65535, NOW, 1), 1);
	ck_assert_int_eq(decides(rules, "x.iso", false, 2 << 20, NOW, 1), 2);
	ck_assert_int_eq(decides(rules, "x.iso", false, 1 << 20, NOW, 1), -1);
	ck_assert_int_eq(decides(rules, "x.iso", true, 0, 0, 0), -1); /* size, age and owner are of files */
	ck_assert_int_eq(decides(rules, "old", false, 1 << 20, NOW - 366 * 86400, 1), 3);
	ck_assert_int_eq(decides(rules, "scratch", true, 0, NOW, 1), 4);
	ck_assert_int_eq(decides(rules, "scratch/f", false, 1 << 20, NOW, 1), 4);
	ck_assert_int_eq(decides(rules, "f", false, 1 << 20, NOW, 0), 5);
	ck_assert_int_eq(decides(rules, "a/b/c/d", true, 0, NOW, 1), 6);
	ck_assert_int_eq(decides(rules, "a/b/c", true, 0, NOW, 1), -1);
	ck_assert(rules_have(rules, RULE_SKIP));
	ck_assert(rules_ask_owner(rules));
	rules_free(rules);
}
END_TEST

START_TEST(first_keeps_something_of_what_is_skipped)
{
	struct rules *rules = parse("first /scratch/keep/**; skip /scratch/**");

	ck_assert_int_eq(decides(rules, "scratch/keep", true, 0, NOW, 1), 0);
	ck_assert_int_eq(decides(rules, "scratch/keep/x", false, 0, NOW, 1), 0);
	ck_assert_int_eq(decides(rules, "scratch/else", true, 0, NOW, 1), 1);
	rules_free(rules);
}
END_TEST

static const struct {
	const char *text, *complaint;
} wrong[] = {
	{"frist *.c", "clause 1 of the order (frist *.c): 'frist' is none of first, last, skip"},
	{"small; first", "clause 2 of the order (first): 'first' of what"},
	{"first 'a", "the quote ' is not closed"},
	{"first a'b", "a quote in the middle"},
	{"first 'a'b", "behind a closing quote"},
	{"last size>", "needs a size"},
	{"last size>5X", "needs a size"},
	{"last size<1K size<2K", "given twice"},
	{"last age>365", "needs a number with s, m, h, d, w or y"},
	{"last depth>x", "needs a number"},
	{"skip owner=", "needs a user's name"},
	{"skip owner=0 owner=1", "given twice"},
	{"skip colour=red", "is no test"},
	{"first a/b", "must begin with one"},
	{"first /a//b", "empty name"},
	{"first /a/../b", "'.' or '..'"},
	{"first /", "is the top"},
	{"first a**b", "stands alone"},
	{"first **", "everything"},
	{"first [a", "without its ']'"},
	{"first @list", "absolute path"},
	{"small; new", "given twice"},
	{"small *.c", "stands alone"},
	{"'first' x", "must begin with"},
};

START_TEST(what_is_wrong_is_said_with_its_clause)
{
	struct rules *rules;
	char error[512] = "";

	ck_assert_int_eq(rules_parse(wrong[_i].text, &rules, error, sizeof(error)), -EINVAL);
	ck_assert_msg(strstr(error, "clause ") && strstr(error, wrong[_i].complaint), "%s: %s", wrong[_i].text, error);
}
END_TEST

START_TEST(what_cannot_be_loaded_matches_nothing_and_stops_nothing_else)
{
	struct rules *rules;
	char error[512] = "";

	ck_assert_int_eq(
		rules_parse("skip owner=no.such.user.here; skip @/does/not/exist; last *.iso", &rules, error, sizeof(error)), 0);
	ck_assert_int_eq(rules_load(rules, error, sizeof(error)), -ENOENT);
	ck_assert_msg(strstr(error, "no.such.user.here"), "%s", error);
	ck_assert_int_eq(decides(rules, "a", false, 0, NOW, 0), -1);
	ck_assert_int_eq(decides(rules, "a.iso", false, 0, NOW, 0), 2);
	rules_free(rules);
}
END_TEST

static const char *const forms[][2] = {
	{"", "found"},
	{" ; found ;", "found"},
	{"first   /a/  \"b c\"", "first '/a' 'b c'"},
	{"last size>1024K\tage<48h;new", "last size>1M age<2d; new"},
	{"first 'it''s' @/etc/list depth=3 owner=root", "first 'it''s' @'/etc/list' depth=3 owner=root"},
	{"last age>730d; found", "last age>2y"},
};

START_TEST(there_is_one_form)
{
	struct rules *rules;
	char error[512];

	ck_assert_int_eq(rules_parse(forms[_i][0], &rules, error, sizeof(error)), 0);
	char *printed = rules_print(rules);
	ck_assert_str_eq(printed, forms[_i][1]);
	free(printed);
	rules_free(rules);
}
END_TEST

static char *random_clause(char *text)
{
	static const char *const heads[] = {"first", "last", "skip"};
	static const char *const conditions[] = {"*.iso",   "'a b;c'", "\"it's\"",   "/x/**/[a-z]?", "@/l",
	                                         "@'/l i'", "size<1K", "size>70000", "age<#h",       "age>#s",
	                                         "depth<#", "depth>#", "depth=#",    "owner=#"};
	unsigned used = 0;

	char *at = stpcpy(text, heads[pick(3)]);
	for (unsigned n = 1 + pick(4); n > 0; n--) {
		unsigned which = pick(14);
		if (used & 1u << which)
			continue;
		used |= 1u << which;
		*at++ = " \t"[pick(2)];
		at = stpcpy(at, conditions[which]);
		if (at[-1] == '#' || at[-2] == '#') { /* a number in its place */
			char unit = at[-1] == '#' ? '\0' : at[-1];
			at = strrchr(text, '#');
			at += sprintf(at, "%u", pick(100000));
			*at = unit;
			at += unit != '\0';
			*at = '\0';
		}
	}
	return at;
}

START_TEST(what_is_printed_reads_back_as_the_same)
{
	for (unsigned i = 0; i < 20000; i++) {
		char text[2048], error[512] = "";
		char *at = text;
		struct rules *rules, *again;
		*at = '\0';
		for (unsigned n = pick(6); n > 0; n--)
			at = stpcpy(random_clause(at), pick(2) ? ";" : " ; ");
		at = stpcpy(at, (const char *const[]){"", "small", "new", "found"}[pick(4)]);
		ck_assert_msg(rules_parse(text, &rules, error, sizeof(error)) == 0, "%s: %s", text, error);
		char *printed = rules_print(rules);
		ck_assert_msg(rules_parse(printed, &again, error, sizeof(error)) == 0, "%s: %s", printed, error);
		char *twice = rules_print(again);
		ck_assert_str_eq(printed, twice);
		for (unsigned o = 0; o < 8; o++) {
			struct rule_object object = {(const char *const[]){"a b;c", "x/y/b", "c.iso", "it's/x"}[pick(4)],
			                             pick(2) == 0, pick(200000), NOW - (int64_t)pick(10000000), pick(3)};
			ck_assert_int_eq(rules_match(rules, &object, NOW), rules_match(again, &object, NOW));
		}
		free(printed);
		free(twice);
		rules_free(rules);
		rules_free(again);
	}
}
END_TEST

START_TEST(an_argument_is_a_test_or_one_pattern)
{
	static const char *const cases[][2] = {
		{"/a b/**", "first '/a b/**'"}, {"size<64K", "first size<64K"}, {"*.c", "first '*.c'"},
		{"it's;", "first 'it''s;'"},    {"size<64K; skip *", NULL},     {"a/b", NULL},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char error[512] = "";
		char *clause = rules_first_clause(cases[i][0], error, sizeof(error));
		if (cases[i][1])
			ck_assert_msg(clause && strcmp(clause, cases[i][1]) == 0, "%s: %s", cases[i][0], error);
		else
			ck_assert(!clause && *error);
		free(clause);
	}
}
END_TEST

int main(void)
{
	const char *given = getenv("DMMFS_TEST_SEED");
	seed = given ? strtoull(given, NULL, 0) : (uint64_t)getpid();
	printf("DMMFS_TEST_SEED=%llu\n", (unsigned long long)seed);

	Suite *suite = suite_create("property_rules");
	TCase *tcase = tcase_create("rules");
	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, patterns_match_what_they_say, 0, sizeof(globs) / sizeof(*globs));
	tcase_add_loop_test(tcase, patterns_lead_to_where_they_begin, 0, sizeof(ways) / sizeof(*ways));
	tcase_add_test(tcase, patterns_match_as_a_simple_matcher_does);
	tcase_add_test(tcase, a_list_holds_paths_and_what_is_in_them);
	tcase_add_test(tcase, a_list_with_nuls_may_hold_newlines);
	tcase_add_test(tcase, a_bad_line_is_named);
	tcase_add_test(tcase, the_first_clause_that_matches_decides);
	tcase_add_test(tcase, first_keeps_something_of_what_is_skipped);
	tcase_add_loop_test(tcase, what_is_wrong_is_said_with_its_clause, 0, sizeof(wrong) / sizeof(*wrong));
	tcase_add_test(tcase, what_cannot_be_loaded_matches_nothing_and_stops_nothing_else);
	tcase_add_loop_test(tcase, there_is_one_form, 0, sizeof(forms) / sizeof(*forms));
	tcase_add_test(tcase, what_is_printed_reads_back_as_the_same);
	tcase_add_test(tcase, an_argument_is_a_test_or_one_pattern);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
