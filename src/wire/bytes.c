/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Names of any bytes in JSON strings, and back.
 */
#include "wire/bytes.h"

#include "base/cleanup.h"
#include "base/utf8.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

bool bytes_are_utf8(const char *text)
{
	while (*text) {
		size_t len = utf8_sequence(text);
		if (len == 0)
			return false;
		text += len;
	}
	return true;
}

char *bytes_escape(const char *text)
{
	char *escaped = malloc(strlen(text) * 4 + 1), *to = escaped;
	if (!escaped)
		return NULL;
	while (*text) {
		size_t len = utf8_sequence(text);
		if (len == 0) {
			to += sprintf(to, "\\x%02x", (unsigned char)*text++);
			continue;
		}
		if (*text == '\\')
			*to++ = '\\';
		memcpy(to, text, len);
		to += len;
		text += len;
	}
	*to = 0;
	return escaped;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place. A NUL is no byte of a name: \x00 is refused. */
static int unescape(char *text)
{
	char *to = text;
	for (const char *from = text; *from;) {
		if (*from != '\\') {
			*to++ = *from++;
		} else if (from[1] == '\\') {
			*to++ = '\\';
			from += 2;
		} else if (from[1] == 'x' && hex_digit(from[2]) >= 0 && hex_digit(from[3]) >= 0) {
			*to = (char)(hex_digit(from[2]) << 4 | hex_digit(from[3]));
			if (*to++ == 0)
				return -EBADMSG;
			from += 4;
		} else {
			return -EBADMSG;
		}
	}
	*to = 0;
	return 0;
}

/* The place of `key` in "escaped", or -1. */
static ssize_t find_escaped(const json_t *object, const char *key)
{
	const json_t *list = json_object_get(object, "escaped");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *entry = json_string_value(json_array_get(list, i));
		if (entry && strcmp(entry, key) == 0)
			return (ssize_t)i;
	}
	return -1;
}

static int mark_escaped(json_t *object, const char *key, bool escaped)
{
	json_t *list = json_object_get(object, "escaped");
	ssize_t at = find_escaped(object, key);
	if (escaped == (at >= 0))
		return 0;
	if (!escaped) {
		json_array_remove(list, (size_t)at);
		return json_array_size(list) == 0 && json_object_del(object, "escaped") ? -ENOMEM : 0;
	}
	if (!list) {
		list = json_array();
		if (json_object_set_new(object, "escaped", list))
			return -ENOMEM;
	}
	return json_array_append_new(list, json_string(key)) ? -ENOMEM : 0;
}

int bytes_set(json_t *object, const char *key, const char *text)
{
	bool plain = !text || bytes_are_utf8(text);
	CLEAN_FREE char *escaped = plain ? NULL : bytes_escape(text);
	if (!plain && !escaped)
		return -ENOMEM;
	json_t *value = text ? json_string(plain ? text : escaped) : json_null();
	if (json_object_set_new(object, key, value))
		return -ENOMEM;
	return mark_escaped(object, key, !plain);
}

int bytes_get(const json_t *object, const char *key, char **text)
{
	const char *value = json_string_value(json_object_get(object, key));
	if (!value)
		return -ENOENT;
	CLEAN_FREE char *copy = strdup(value);
	if (!copy)
		return -ENOMEM;
	int error = find_escaped(object, key) >= 0 ? unescape(copy) : 0;
	if (error)
		return error;
	*text = copy;
	copy = NULL;
	return 0;
}
