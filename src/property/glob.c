/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Two matchers of the same form, one over the characters of a name, one over the names of a path. Of several '*' (or '**') only the
 * last one that was met needs to be tried again: where the pattern before it fits first, the most is left for what follows.
 */
#include "property/glob.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The next character: a code point, or a byte of what is not UTF-8, which no code point is equal to. */
static uint32_t take(const char **at, const char *end)
{
	const unsigned char *s = (const unsigned char *)*at;
	unsigned more = s[0] >= 0xF0 ? 3 : s[0] >= 0xE0 ? 2 : s[0] >= 0xC2 ? 1 : 0;
	uint32_t c = s[0] & (0x3Fu >> more);

	if (s[0] < 0x80) {
		*at += 1;
		return s[0];
	}
	if (more == 0 || s[0] > 0xF4 || end - *at <= (ptrdiff_t)more) {
		*at += 1;
		return 0x110000u + s[0];
	}
	for (unsigned i = 1; i <= more; i++) {
		if ((s[i] & 0xC0) != 0x80) {
			*at += 1;
			return 0x110000u + s[0];
		}
		c = c << 6 | (s[i] & 0x3F);
	}
	*at += more + 1;
	return c;
}

static uint32_t take_literal(const char **p, const char *end)
{
	if (**p == '\\' && *p + 1 < end)
		++*p;
	return take(p, end);
}

/* *p is behind the '['. One past the ']', or NULL when there is none. A ']' that comes first is one of the set. */
static const char *match_set(const char *p, const char *end, uint32_t c, bool *matches)
{
	bool inverse = p < end && (*p == '!' || *p == '^'), found = false;

	p += inverse;
	for (bool first = true; p < end && (first || *p != ']'); first = false) {
		uint32_t low = take_literal(&p, end), high = low;
		if (p + 1 < end && p[0] == '-' && p[1] != ']') {
			p++;
			high = take_literal(&p, end);
		}
		found = found || (c >= low && c <= high);
	}
	if (p >= end)
		return NULL;
	*matches = found != inverse;
	return p + 1;
}

/* One element of the pattern that is no '*' against one character. */
static bool match_one(const char **p, const char *p_end, const char **s, const char *s_end)
{
	uint32_t c = take(s, s_end);

	if (**p == '?') {
		++*p;
		return true;
	}
	if (**p == '[') {
		bool matches = false;
		const char *after = match_set(*p + 1, p_end, c, &matches);
		*p = after ? after : p_end;
		return matches;
	}
	return take_literal(p, p_end) == c;
}

static bool match_name(const char *p, const char *p_end, const char *s, const char *s_end)
{
	const char *star_p = NULL, *star_s = NULL;

	for (;;) {
		if (p < p_end && *p == '*') {
			star_p = ++p;
			star_s = s;
			continue;
		}
		if (p == p_end && s == s_end)
			return true;
		if (p < p_end && s < s_end && match_one(&p, p_end, &s, s_end))
			continue;
		if (!star_p || star_s == s_end)
			return false;
		take(&star_s, s_end);
		p = star_p;
		s = star_s;
	}
}

/* --- paths --- */

static const char *name_end(const char *path)
{
	return path + strcspn(path, "/");
}

static const char *next_name(const char *path)
{
	const char *end = name_end(path);

	return *end ? end + 1 : end;
}

static bool is_stars(const char *p)
{
	return p[0] == '*' && p[1] == '*' && (p[2] == '/' || p[2] == '\0');
}

static bool same_name(const char *p, const char *s)
{
	return match_name(p, name_end(p), s, name_end(s));
}

static bool match_path(const char *p, const char *s)
{
	const char *star_p = NULL, *star_s = NULL;

	while (*p) { /* once it is used up: this is it, or lies in it */
		if (is_stars(p)) {
			p = next_name(p);
			if (!*p)
				return *s != '\0';
			star_p = p;
			star_s = s;
		} else if (*s && same_name(p, s)) {
			p = next_name(p);
			s = next_name(s);
		} else if (star_p && *star_s) {
			s = star_s = next_name(star_s);
			p = star_p;
		} else {
			return false;
		}
	}
	return true;
}

bool glob_match(const char *pattern, const char *path)
{
	if (pattern[0] == '/')
		return match_path(pattern + 1, path);
	for (const char *s = path; *s; s = next_name(s))
		if (same_name(pattern, s))
			return true;
	return false;
}

bool glob_leads(const char *pattern, const char *dir)
{
	if (pattern[0] != '/' || is_stars(pattern + 1))
		return false;
	const char *p = pattern + 1, *s = dir;
	for (; *s; s = next_name(s), p = next_name(p)) {
		if (!*p)
			return false;
		if (is_stars(p))
			return true;
		if (!same_name(p, s))
			return false;
	}
	return *p != '\0';
}

/* --- form --- */

static const char *name_complaint(const char *p, const char *end)
{
	size_t len = (size_t)(end - p);

	if (len == 0)
		return "has an empty name between two slashes";
	if ((len == 1 && p[0] == '.') || (len == 2 && p[0] == '.' && p[1] == '.'))
		return "has '.' or '..' for a name";
	if (len == 2 && p[0] == '*' && p[1] == '*')
		return NULL;
	while (p < end) {
		bool matches;
		if (p + 1 < end && p[0] == '*' && p[1] == '*')
			return "has '**' beside other characters; it stands alone between slashes";
		if (*p == '\\' && p + 1 == end)
			return "ends a name with a backslash";
		if (*p == '[') {
			p = match_set(p + 1, end, 0, &matches);
			if (!p)
				return "has a '[' without its ']'";
		} else if (*p == '*') {
			p++;
		} else {
			take_literal(&p, end);
		}
	}
	return NULL;
}

const char *glob_complaint(const char *pattern)
{
	if (!*pattern)
		return "is empty";
	if (pattern[0] != '/' && strchr(pattern, '/'))
		return "has a slash, so it must begin with one: '/a/b' from the top, '/**/a/b' anywhere";
	if (pattern[0] != '/' && is_stars(pattern))
		return "is '**' alone; '/**' is everything";
	for (const char *p = pattern + (pattern[0] == '/');;) {
		const char *end = name_end(p), *complaint = name_complaint(p, end);
		if (complaint || !*end)
			return complaint;
		p = end + 1;
	}
}
