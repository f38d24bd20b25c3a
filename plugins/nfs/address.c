/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The address of a source: nfs://host[:port]/path, or host:/path as it is written for mount(8); and the mount options.
 */
#include "nfs.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SCHEME "nfs://"

__attribute__((format(printf, 2, 3))) static int refuse(const struct dmm_config *config, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(config->error, config->error_size, format, args);
	va_end(args);
	return -EINVAL;
}

static int number(const struct dmm_config *config, const char *name, const char *text, unsigned long min, unsigned long max,
                  unsigned *value)
{
	char *end;
	unsigned long parsed = isdigit((unsigned char)*text) ? strtoul(text, &end, 10) : max + 1;

	if (parsed > max || parsed < min || *end)
		return refuse(config, "%s=%s: must be a number from %lu to %lu.", name, text, min, max);
	*value = (unsigned)parsed;
	return 0;
}

static int version(const struct dmm_config *config, const char *name, const char *text, struct address *address)
{
	if (strcmp(text, "3") == 0)
		address->version = 3;
	else if (strcmp(text, "4") == 0 || strcmp(text, "4.0") == 0)
		address->version = 4;
	else
		return refuse(config, "%s=%s: must be 3, 4 or 4.0; without it version 4 is tried first, then 3.", name, text);
	return 0;
}

static int domain(const struct dmm_config *config, const char *text, struct address *address)
{
	if (!*text || strlen(text) >= sizeof(address->domain) || strchr(text, '@'))
		return refuse(config, "domain=%s: must be the part behind the '@' of the names of owners, such as example.com.",
		              text);
	strcpy(address->domain, text);
	return 0;
}

static int take_setting(const struct dmm_config *config, const struct dmm_setting *setting, struct address *address)
{
	const char *name = setting->name, *value = setting->value;

	if (strcmp(name, "nfsvers") == 0 || strcmp(name, "vers") == 0)
		return version(config, name, value, address);
	if (strcmp(name, "port") == 0)
		return number(config, name, value, 1, 65535, &address->port);
	if (strcmp(name, "mountport") == 0)
		return number(config, name, value, 1, 65535, &address->mountport);
	if (strcmp(name, "conns") == 0 || strcmp(name, "nconnect") == 0)
		return number(config, name, value, 1, CHANNELS_MOST, &address->channels);
	if (strcmp(name, "rsize") == 0)
		return number(config, name, value, 4096, READ_MOST, &address->rsize);
	if (strcmp(name, "domain") == 0)
		return domain(config, value, address);
	return refuse(config, "%s: the nfs plugin has no such option.", name);
}

/* Where the host ends: an IPv6 address stands in brackets. */
static const char *host_end(const char *host, const char *stops)
{
	const char *bracket = *host == '[' ? strchr(host, ']') : NULL;

	return bracket ? bracket + 1 : host + strcspn(host, stops);
}

static int take_host(const struct dmm_config *config, const char *host, const char *end, struct address *address)
{
	if (*host == '[' && end > host + 1 && end[-1] == ']') {
		host++;
		end--;
	}
	if (end == host || (size_t)(end - host) >= sizeof(address->host))
		return refuse(config, "%s: the name of the server is missing; write nfs://server/path or server:/path.",
		              config->source);
	memcpy(address->host, host, (size_t)(end - host));
	address->host[end - host] = '\0';
	return 0;
}

static int take_path(const struct dmm_config *config, const char *path, bool encoded, struct address *address)
{
	size_t len = 0;

	if (*path != '/')
		return refuse(config, "%s: the path of the export is missing; write nfs://server/path or server:/path.",
		              config->source);
	for (; *path; path++) {
		char byte = *path;
		if (encoded && byte == '%') {
			if (!isxdigit((unsigned char)path[1]) || !isxdigit((unsigned char)path[2]) ||
			    strncmp(path, "%00", 3) == 0)
				return refuse(config,
				              "%s: '%%' in an nfs URL must be followed by two hexadecimal digits other than 00; "
				              "write a percent sign as %%25.",
				              config->source);
			byte = (char)strtoul((char[]){path[1], path[2], '\0'}, NULL, 16);
			path += 2;
		}
		if (len + 1 >= sizeof(address->path))
			return refuse(config, "the path of the source is longer than %zu bytes.", sizeof(address->path) - 1);
		address->path[len++] = byte;
	}
	while (len > 1 && address->path[len - 1] == '/')
		len--;
	address->path[len] = '\0';
	return 0;
}

static int parse_url(const struct dmm_config *config, struct address *address)
{
	const char *host = config->source + strlen(SCHEME);
	const char *end = host_end(host, ":/");
	int ret = take_host(config, host, end, address);

	if (ret >= 0 && *end == ':') {
		const char *slash = end + 1 + strcspn(end + 1, "/");
		char port[8] = "";

		snprintf(port, sizeof(port), "%.*s", (int)(slash - end - 1 < 7 ? slash - end - 1 : 7), end + 1);
		ret = number(config, "port", port, 1, 65535, &address->port);
		end = slash;
	}
	return ret < 0 ? ret : take_path(config, *end ? end : "/", true, address);
}

int address_parse(const struct dmm_config *config, struct address *address)
{
	const char *source = config->source;
	int ret;

	*address = (struct address){.channels = CHANNELS_DEFAULT, .rsize = READ_MOST};
	if (strncasecmp(source, SCHEME, strlen(SCHEME)) == 0) {
		ret = parse_url(config, address);
	} else {
		const char *end = host_end(source, ":");

		if (*end != ':')
			return refuse(config, "%s: not the address of an export; write nfs://server/path or server:/path.",
			              source);
		ret = take_host(config, source, end, address);
		if (ret >= 0)
			ret = take_path(config, end + 1, false, address);
	}
	for (size_t i = 0; ret >= 0 && i < config->n_settings; i++)
		ret = take_setting(config, &config->settings[i], address);
	return ret;
}
