/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The session with the server: a context of libsmbclient, set as the plugin says.
 */
#include "helper.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* What the plugin sent; the library asks for it by a callback without context of ours. */
static struct {
	char username[512], password[512], domain[256];
} login;

static void tell_login(SMBCCTX *context, const char *server, const char *share, char *domain, int domain_size, char *username,
                       int username_size, char *password, int password_size)
{
	(void)context;
	(void)server;
	(void)share;
	if (*login.domain)
		snprintf(domain, (size_t)domain_size, "%s", login.domain);
	snprintf(username, (size_t)username_size, "%s", login.username);
	snprintf(password, (size_t)password_size, "%s", login.password);
}

const char *setting(const char *settings, size_t len, const char *name)
{
	size_t name_len = strlen(name);

	for (size_t at = 0; at < len; at += strlen(settings + at) + 1)
		if (strncmp(settings + at, name, name_len) == 0 && settings[at + name_len] == '=')
			return settings + at + name_len + 1;
	return "";
}

static void say_nothing(void *context, int level, const char *text)
{
	(void)context;
	(void)level;
	(void)text;
}

static SMBCCTX *make_context(const char *settings, size_t len)
{
	SMBCCTX *context = smbc_new_context();
	const char *port = setting(settings, len, "port");

	if (!context)
		return NULL;
	smbc_setLogCallback(context, NULL, say_nothing);
	smbc_setFunctionAuthDataWithContext(context, tell_login);
	smbc_setOptionNoAutoAnonymousLogin(context, *login.username != '\0');
	smbc_setOptionUseKerberos(context, *setting(settings, len, "kerberos") == '1');
	smbc_setOptionFallbackAfterKerberos(context, 0);
	smbc_setOptionCaseSensitive(context, 1);
	smbc_setOptionUrlEncodeReaddirEntries(context, 0);
	smbc_setOptionOneSharePerServer(context, 1);
	smbc_setOptionFullTimeNames(context, 1);
	smbc_setOptionSmbEncryptionLevel(context, *setting(settings, len, "seal") == '1' ? SMBC_ENCRYPTLEVEL_REQUIRE
	                                                                                 : SMBC_ENCRYPTLEVEL_DEFAULT);
	smbc_setTimeout(context, 20000);
	if (atoi(port))
		smbc_setPort(context, (uint16_t)atoi(port));
	if (!smbc_init_context(context) || !smbc_setOptionProtocols(context, setting(settings, len, "lowest"), "SMB3_11")) {
		smbc_free_context(context, 1);
		return NULL;
	}
	return context;
}

int session_connect(struct session *session, const char *settings, size_t len)
{
	struct stat st;

	snprintf(login.username, sizeof(login.username), "%s", setting(settings, len, "username"));
	snprintf(login.password, sizeof(login.password), "%s", setting(settings, len, "password"));
	snprintf(login.domain, sizeof(login.domain), "%s", setting(settings, len, "domain"));
	if (*session->principal) { /* with a name and no password it takes the tickets; without a name it would come as nobody */
		snprintf(login.username, sizeof(login.username), "%s", session->principal);
		*login.password = *login.domain = '\0';
	}
	session->context = make_context(settings, len);
	if (!session->context)
		return -ENOMEM;
	char *share = session_url(session, setting(settings, len, "share"), strlen(setting(settings, len, "share")));
	if (!share)
		return -ENOMEM;
	snprintf(session->base, sizeof(session->base), "smb://%s%s", setting(settings, len, "host"), share);
	free(share);
	return smbc_getFunctionStat(session->context)(session->context, session->base, &st) < 0 ? -errno : 0;
}

bool session_lives(struct session *session)
{
	struct stat st;

	return smbc_getFunctionStat(session->context)(session->context, session->base, &st) == 0;
}

/* All but letters, digits and a few more as %HH. */
char *session_url(const struct session *session, const char *path, size_t len)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t base = strlen(session->base);
	char *url = malloc(base + 1 + 3 * len + 1), *to = url;

	if (!url)
		return NULL;
	memcpy(to, session->base, base);
	to += base;
	*to++ = '/';
	for (size_t i = 0; i < len; i++) {
		unsigned char byte = (unsigned char)path[i];
		if ((byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
		    strchr("/-_.", byte)) {
			*to++ = (char)byte;
		} else {
			*to++ = '%';
			*to++ = digits[byte >> 4];
			*to++ = digits[byte & 15];
		}
	}
	*to = '\0';
	return url;
}
