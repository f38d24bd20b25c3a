/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The address of a source: smb://host[:port]/share[/path], or //host/share[/path] as mount.cifs(8) has it; and the mount options.
 */
#include "cifs.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

__attribute__((format(printf, 2, 3))) static int refuse(const struct dmm_config *config, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(config->error, config->error_size, format, args);
	va_end(args);
	return -EINVAL;
}

/* --- options --- */

static int number(const struct dmm_config *config, const struct dmm_setting *setting, int base, unsigned long max,
                  uint32_t *value)
{
	char *end;
	unsigned long parsed = strtoul(setting->value, &end, base);

	if (!isdigit((unsigned char)*setting->value) || *end || parsed > max)
		return refuse(config,
		              base == 8 ? "%s=%s: must be octal digits, at most %04lo." : "%s=%s: must be a number, at most %lu.",
		              setting->name, setting->value, max);
	*value = (uint32_t)parsed;
	return 0;
}

static int take_version(const struct dmm_config *config, const struct dmm_setting *setting, struct address *address)
{
	static const struct {
		const char *name, *lowest;
	} versions[] = {{"2.1", "SMB2_10"}, {"3", "SMB3_00"}, {"3.0", "SMB3_00"}, {"3.0.2", "SMB3_02"}, {"3.1.1", "SMB3_11"}};

	for (size_t i = 0; i < sizeof(versions) / sizeof(*versions); i++) {
		if (strcmp(setting->value, versions[i].name))
			continue;
		address->vers = versions[i].lowest;
		return 0;
	}
	return refuse(config, "vers=%s: the lowest version that is spoken: 2.1, 3.0, 3.0.2 or 3.1.1.", setting->value);
}

static int take_path_setting(const struct dmm_config *config, const struct dmm_setting *setting, char *to, size_t size)
{
	if (*setting->value != '/' || strlen(setting->value) >= size)
		return refuse(config, "%s=%s: must be an absolute path.", setting->name, setting->value);
	strcpy(to, setting->value);
	return 0;
}

static int take_text(const struct dmm_config *config, const struct dmm_setting *setting, char *to, size_t size)
{
	if (!*setting->value || strlen(setting->value) >= size)
		return refuse(config, "%s=: must be 1 to %zu bytes.", setting->name, size - 1);
	strcpy(to, setting->value);
	return 0;
}

static int take_security(const struct dmm_config *config, const struct dmm_setting *setting, struct address *address)
{
	if (strcmp(setting->value, "krb5") && strcmp(setting->value, "ntlmssp"))
		return refuse(config, "sec=%s: must be krb5 or ntlmssp.", setting->value);
	address->kerberos = strcmp(setting->value, "krb5") == 0;
	return 0;
}

static int take_setting(const struct dmm_config *config, const struct dmm_setting *setting, struct address *address)
{
	const char *name = setting->name;
	uint32_t port = 0;

	if (strcmp(name, "credentials") == 0 || strcmp(name, "cred") == 0)
		return take_path_setting(config, setting, address->credentials, sizeof(address->credentials));
	if (strcmp(name, "keytab") == 0)
		return take_path_setting(config, setting, address->keytab, sizeof(address->keytab));
	if (strcmp(name, "ccache") == 0)
		return take_text(config, setting, address->ccache, sizeof(address->ccache));
	if (strcmp(name, "username") == 0)
		return take_text(config, setting, address->username, sizeof(address->username));
	if (strcmp(name, "seal") == 0) {
		address->seal = true;
		return 0;
	}
	if (strcmp(name, "sec") == 0)
		return take_security(config, setting, address);
	if (strcmp(name, "vers") == 0)
		return take_version(config, setting, address);
	if (strcmp(name, "uid") == 0)
		return number(config, setting, 10, UINT32_MAX - 1, &address->uid);
	if (strcmp(name, "gid") == 0)
		return number(config, setting, 10, UINT32_MAX - 1, &address->gid);
	if (strcmp(name, "file_mode") == 0)
		return number(config, setting, 8, 0777, &address->file_mode);
	if (strcmp(name, "dir_mode") == 0)
		return number(config, setting, 8, 0777, &address->dir_mode);
	if (strcmp(name, "port") == 0) {
		int ret = number(config, setting, 10, 65535, &port);
		address->port = port;
		return ret;
	}
	return refuse(config, "%s: the cifs plugin has no such option.", name);
}

/* --- the address --- */

static int take_part(const struct dmm_config *config, const char *from, size_t len, char *to, size_t size, const char *what)
{
	if (len == 0 || len >= size)
		return refuse(config, "%s: the %s is missing; write smb://server/share or //server/share.", config->source, what);
	memcpy(to, from, len);
	to[len] = '\0';
	return 0;
}

/* %HH, in an URL alone. */
static int decode(const struct dmm_config *config, char *text)
{
	char *to = text;

	for (const char *from = text; *from; from++) {
		char byte = *from;
		if (byte == '%') {
			if (!isxdigit((unsigned char)from[1]) || !isxdigit((unsigned char)from[2]) ||
			    strncmp(from, "%00", 3) == 0)
				return refuse(config,
				              "%s: '%%' in an smb URL must be followed by two hexadecimal digits other than 00.",
				              config->source);
			byte = (char)strtoul((char[]){from[1], from[2], '\0'}, NULL, 16);
			from += 2;
		}
		*to++ = byte;
	}
	*to = '\0';
	return 0;
}

/* No empty components, none that are "." or "..". */
static int take_path(const struct dmm_config *config, const char *path, bool encoded, struct address *address)
{
	char copy[PATH_MAX], *rest = copy;
	size_t len = 0;

	if (strlen(path) >= sizeof(copy))
		return refuse(config, "the path of the source is longer than %d bytes.", PATH_MAX - 1);
	strcpy(copy, path);
	if (encoded && decode(config, copy) < 0)
		return -EINVAL;
	address->path[0] = '\0';
	for (char *name; (name = strtok_r(rest, "/", &rest)); len = strlen(address->path)) {
		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
			return refuse(config, "%s: '.' and '..' have no place in the path of a source.", config->source);
		snprintf(address->path + len, sizeof(address->path) - len, "%s%s", len ? "/" : "", name);
	}
	return 0;
}

static int take_host(const struct dmm_config *config, const char *host, size_t len, struct address *address)
{
	const char *colon = *host == '[' ? NULL : memchr(host, ':', len);
	char port[8];

	if (memchr(host, '@', len)) /* what stands there is not repeated: it may be a password */
		return refuse(config,
		              "the address of a share names no user and no password; write smb://server/share, and put both "
		              "into a file for credentials=.");
	if (!colon)
		return take_part(config, host, len, address->host, sizeof(address->host), "name of the server");
	snprintf(port, sizeof(port), "%.*s", (int)(host + len - colon - 1 < 7 ? host + len - colon - 1 : 7), colon + 1);
	int ret = number(config, &(struct dmm_setting){"port", port}, 10, 65535, &address->port);
	return ret < 0 ? ret
	               : take_part(config, host, (size_t)(colon - host), address->host, sizeof(address->host),
	                           "name of the server");
}

int address_parse(const struct dmm_config *config, struct address *address)
{
	const char *source = config->source;
	bool url = strncasecmp(source, "smb://", 6) == 0;

	*address = (struct address){.vers = "SMB2_10", .file_mode = 0644, .dir_mode = 0755};
	if (!url && strncmp(source, "//", 2))
		return refuse(config, "%s: not the address of a share; write smb://server/share or //server/share.", source);
	const char *host = source + (url ? 6 : 2), *share = host + strcspn(host, "/");
	int ret = take_host(config, host, (size_t)(share - host), address);
	share += *share == '/';
	const char *path = share + strcspn(share, "/");
	if (ret >= 0)
		ret = take_part(config, share, (size_t)(path - share), address->share, sizeof(address->share),
		                "name of the share");
	if (ret >= 0)
		ret = take_path(config, path, url, address);
	if (ret >= 0 && url)
		ret = decode(config, address->share);
	if (ret >= 0 && strchr(address->share, '/'))
		ret = refuse(config, "%s: a share has no '/' in its name.", source);
	for (size_t i = 0; ret >= 0 && i < config->n_settings; i++)
		ret = take_setting(config, &config->settings[i], address);
	if (ret >= 0)
		ret = kerberos_check(config, address);
	/* Version 2.1 has no encryption, and the library would go on without. */
	if (ret >= 0 && address->seal && strcmp(address->vers, "SMB2_10") == 0)
		address->vers = "SMB3_00";
	return ret;
}
