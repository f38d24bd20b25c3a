/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The address of a source: an absolute path as it stands, or a file URL (RFC 8089) with percent-encoded bytes.
 */
#include "posix.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The path behind "file:", or NULL when the URL names another host. */
static const char *url_path(const char *url)
{
	const char *rest = url + strlen("file:");

	if (strncmp(rest, "//", 2) != 0)
		return rest;
	rest += 2;
	if (strncasecmp(rest, "localhost/", strlen("localhost/")) == 0)
		rest += strlen("localhost");
	return *rest == '/' ? rest : NULL;
}

static int too_long(const struct dmm_config *config)
{
	snprintf(config->error, config->error_size,
	         "The path of the source is longer than the system takes; name it by a shorter one.");
	return -ENAMETOOLONG;
}

static int decode(const struct dmm_config *config, const char *from, char *path, size_t path_size)
{
	size_t len = 0;

	for (; *from; from++) {
		char byte = *from;

		if (byte == '%') {
			int high = hex_digit(from[1]);
			int low = high < 0 ? -1 : hex_digit(from[2]);

			if (low < 0 || (high == 0 && low == 0)) {
				snprintf(config->error, config->error_size,
				         "%s: '%%' in a file URL must be followed by two hexadecimal digits other than 00; "
				         "write a percent sign as %%25, or give the plain path.",
				         config->source);
				return -EINVAL;
			}
			byte = (char)(high << 4 | low);
			from += 2;
		}
		if (len + 1 >= path_size)
			return too_long(config);
		path[len++] = byte;
	}
	path[len] = '\0';
	return 0;
}

int address_parse(const struct dmm_config *config, char *path, size_t path_size)
{
	const char *source = config->source;

	if (strncasecmp(source, "file:", 5) == 0) {
		const char *rest = url_path(source);
		int ret;

		if (!rest) {
			snprintf(config->error, config->error_size,
			         "%s: a file URL names a path of this machine; write file:///path, or use the plugin of the "
			         "protocol that reaches the other host.",
			         source);
			return -EINVAL;
		}
		ret = decode(config, rest, path, path_size);
		if (ret < 0)
			return ret;
	} else {
		if (strlen(source) >= path_size)
			return too_long(config);
		strcpy(path, source);
	}
	if (path[0] != '/') {
		snprintf(config->error, config->error_size,
		         "%s is not an absolute path; write the whole path of the source directory, beginning with '/'.", source);
		return -EINVAL;
	}
	return 0;
}
