/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * sec=krb5: what its options must be, and telling why there is no session, in the words of a helper. Tickets are the helper's
 * business (helper/tickets.c).
 */
#include "cifs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_number(const char *host)
{
	unsigned char bytes[sizeof(struct in6_addr)];

	return *host == '[' || inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

int kerberos_check(const struct dmm_config *config, const struct address *address)
{
	const char *stray = address->kerberos    ? NULL
	                    : *address->keytab   ? "keytab"
	                    : *address->ccache   ? "ccache"
	                    : *address->username ? "username"
	                                         : NULL;

	if (stray) {
		snprintf(config->error, config->error_size, "%s=: is for Kerberos: add sec=krb5%s.", stray,
		         strcmp(stray, "username") == 0 ? ", or put the name into the file of credentials=" : "");
		return -EINVAL;
	}
	if (address->kerberos && is_number(address->host)) {
		snprintf(config->error, config->error_size,
		         "%s: Kerberos knows servers by name: write the one that the realm has as cifs/NAME.", config->source);
		return -EINVAL;
	}
	return 0;
}

int kerberos_check_keytab(const struct dmm_config *config, const struct address *address)
{
	struct stat st;

	if (!*address->keytab)
		return 0;
	if (stat(address->keytab, &st) < 0) {
		int failure = -errno;
		snprintf(config->error, config->error_size, "the keytab %s cannot be read: %s.", address->keytab,
		         strerror(-failure));
		return failure;
	}
	if ((st.st_mode & 0077) == 0 && st.st_uid == geteuid())
		return 0;
	snprintf(config->error, config->error_size, "the keytab %s may be read by others: chown root %s; chmod 600 %s.",
	         address->keytab, address->keytab, address->keytab);
	return -EPERM;
}

/* A daemon that waits tries every few seconds, for days. */
void refusal_tell(struct dmm_instance *instance, const char *sentence)
{
	pthread_mutex_lock(&instance->refusal_lock);
	bool known = instance->refusal && strcmp(instance->refusal, sentence) == 0;
	if (!known) {
		free(instance->refusal);
		instance->refusal = strdup(sentence); /* without memory it is told again */
	}
	pthread_mutex_unlock(&instance->refusal_lock);
	if (!known)
		instance->log(DMM_LOG_ERROR, "%s", sentence);
}

void refusal_forget(struct dmm_instance *instance)
{
	pthread_mutex_lock(&instance->refusal_lock);
	free(instance->refusal);
	instance->refusal = NULL;
	pthread_mutex_unlock(&instance->refusal_lock);
}
