/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The cifs plugin's face to the host.
 */
#include "cifs.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static int instance_open(const struct dmm_config *config, struct dmm_instance **result)
{
	struct dmm_instance *instance = calloc(1, sizeof(*instance));
	int ret = instance ? address_parse(config, &instance->address) : -ENOMEM;

	if (ret >= 0 && *instance->address.credentials)
		ret = credentials_load(instance->address.credentials, &instance->credentials, config->error, config->error_size);
	if (ret >= 0)
		ret = kerberos_check_keytab(config, &instance->address);
	if (ret < 0) {
		free(instance);
		return ret;
	}
	pthread_mutex_init(&instance->refusal_lock, NULL);
	instance->log = config->log;
	*result = instance;
	return 0;
}

static void instance_close(struct dmm_instance *instance)
{
	credentials_forget(&instance->credentials);
	refusal_forget(instance);
	pthread_mutex_destroy(&instance->refusal_lock);
	free(instance);
}

/* --- connections --- */

struct settings {
	char text[8192];
	size_t len;
};

__attribute__((format(printf, 2, 3))) static void add(struct settings *settings, const char *format, ...)
{
	size_t left = sizeof(settings->text) - settings->len;
	va_list args;

	va_start(args, format);
	int len = vsnprintf(settings->text + settings->len, left, format, args);
	va_end(args);
	if (len >= 0 && (size_t)len < left)
		settings->len += (size_t)len + 1;
}

/* A password that was changed at the server, and then in the file, is taken from there; a file that cannot be read just now does not
 * matter. */
static void read_credentials(struct dmm_instance *instance, struct credentials *credentials)
{
	char error[512];

	if (*instance->address.credentials &&
	    credentials_load(instance->address.credentials, credentials, error, sizeof(error)) == 0)
		return;
	memcpy(credentials, &instance->credentials, sizeof(*credentials));
}

static int set_up(struct dmm_conn *conn)
{
	const struct address *address = &conn->instance->address;
	struct settings settings = {.len = 0};
	struct credentials credentials;
	struct reply reply;
	char *refusal;

	read_credentials(conn->instance, &credentials);
	add(&settings, "host=%s", address->host);
	add(&settings, "share=%s", address->share);
	add(&settings, "port=%u", address->port);
	add(&settings, "lowest=%s", address->vers);
	add(&settings, "seal=%d", address->seal);
	add(&settings, "kerberos=%d", address->kerberos);
	add(&settings, "keytab=%s", address->keytab);
	add(&settings, "ccache=%s", address->ccache);
	add(&settings, "username=%s", *address->username ? address->username : credentials.username);
	add(&settings, "password=%s", credentials.password);
	add(&settings, "domain=%s", credentials.domain);
	credentials_forget(&credentials);
	struct ask ask = {.kind = ASK_CONNECT, .len_path = (uint32_t)settings.len};
	int ret = (int)helper_ask(conn, NULL, &ask, settings.text, &reply, &refusal);
	conn->can = ret < 0 ? 0 : reply.file;
	if (ret >= 0)
		atomic_store(&conn->instance->connected, true);
	if (ret >= 0)
		refusal_forget(conn->instance);
	else if (refusal)
		refusal_tell(conn->instance, refusal);
	free(refusal);
	if (ret == -EPROTONOSUPPORT) {
		conn->instance->log(DMM_LOG_ERROR, "the server opens no encrypted session (AES-128-CCM), which seal demands");
		ret = atomic_load(&conn->instance->connected) ? -ECONNREFUSED : ret;
	}
	explicit_bzero(&settings, sizeof(settings));
	return ret;
}

static void cifs_disconnect(struct dmm_conn *conn)
{
	helper_end(conn);
	free(conn);
}

static int cifs_connect(struct dmm_instance *instance, struct dmm_conn **result)
{
	struct dmm_conn *conn = calloc(1, sizeof(*conn));

	if (!conn)
		return -ENOMEM;
	conn->instance = instance;
	int ret = helper_start(conn);
	if (ret == 0)
		ret = set_up(conn);
	if (ret < 0) {
		cifs_disconnect(conn);
		return ret;
	}
	*result = conn;
	return 0;
}

static uint64_t cifs_capabilities(struct dmm_conn *conn)
{
	return DMM_CAP_XATTR | DMM_CAP_NT_ACL | DMM_CAP_BTIME | (conn->can & CONNECTED_RAW ? DMM_CAP_STREAMS : 0) |
	       (conn->can & CONNECTED_WHOLE ? DMM_CAP_WHOLE : 0);
}

static void cifs_submit(struct dmm_conn *conn, struct dmm_request *request)
{
	if (request->kind == DMM_REQ_WHOLE) {
		whole_answer(conn, &request, 1);
		return;
	}
	request->result = request_answer(conn, request);
	request->complete(request);
}

static const char *const schemes[] = {"smb", NULL};

static const struct dmm_option options[] = {
	{"credentials", "a file of mode 0600 with username=, password= and domain="},
	{"cred", "the same"},
	{"seal", "encrypt all traffic"},
	{"sec", "krb5 or ntlmssp (ntlmssp)"},
	{"keytab", "with krb5: keys from which tickets are got, as often as needed"},
	{"ccache", "with krb5: tickets that somebody else gets, in the form of KRB5CCNAME"},
	{"username", "with krb5: whose tickets (the first of the keytab, the owner of the tickets)"},
	{"vers", "lowest version of the protocol: 2.1, 3.0, 3.0.2 or 3.1.1 (2.1)"},
	{"port", "TCP port (445)"},
	{"uid", "owner of what comes over (0)"},
	{"gid", "group of what comes over (0)"},
	{"file_mode", "permissions of files, in octal digits (0644)"},
	{"dir_mode", "permissions of directories (0755)"},
	{NULL, NULL},
};

static const struct dmm_plugin plugin = {
	.abi = DMM_PLUGIN_ABI,
	.struct_size = sizeof(struct dmm_plugin),
	.name = "cifs",
	.version = "1",
	.description = "a share of an SMB server",
	.schemes = schemes,
	.options = options,
	.threads = DMM_THREADS_CONNECTION,
	.open = instance_open,
	.close = instance_close,
	.connect = cifs_connect,
	.disconnect = cifs_disconnect,
	.capabilities = cifs_capabilities,
	.submit = cifs_submit,
	.submit_many = whole_answer,
	.cancel = helper_wake,
	.limits = cifs_limits,
};

DMMFS_PLUGIN(plugin)
