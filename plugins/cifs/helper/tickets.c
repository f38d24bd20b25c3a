/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Kerberos: the tickets of one session. They are asked for here and not by the libraries of SMB, of which one takes a missing ticket
 * for leave to come as nobody, and neither says why there is none.
 *
 * They come from a keytab or a password, anew for each session, or are copied from where somebody else keeps them; nothing is written
 * there. The copy lies in a file system in memory that has no name in any directory, and that ends with this process, which may be
 * killed at any moment: both libraries, which bring different implementations of Kerberos along, find it through KRB5CCNAME. A session
 * ends at the server with its ticket, and the next one comes with others.
 */
#include "helper.h"

#include <errno.h>
#include <krb5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#define SENTENCE_MOST 1024

struct tickets {
	krb5_context context;
	krb5_ccache cache;     /* ours */
	krb5_principal client; /* NULL until it is known */
	krb5_keytab keytab;    /* NULL: from elsewhere */
	char name[64];         /* its name */
	char from[300];        /* what they come from, for people */
	const char *sought;    /* whom they are for, for people */
	time_t until;
	struct answer *answer;
};

/* --- why there is none --- */

#define CHECK_CLIENT "check username=, and the keys of the keytab or the password"
#define CHECK_CLOCKS "set the clocks of this machine, of the KDC and of the server by the same time"
#define CHECK_KDC "check that a KDC of the realm answers, and krb5.conf(5)"
#define GET_SOME "get some with kinit(1), or give a keytab= from which dmmfs gets them by itself"

/* The errno makes source_error of dmmfs-admin stat; whether it lasts or passes is known to nobody. */
static const struct reason {
	krb5_error_code code;
	int error;
	const char *remedy;
} reasons[] = {
	{KRB5_KDC_UNREACH, EHOSTUNREACH, CHECK_KDC},
	{KRB5_REALM_CANT_RESOLVE, EHOSTUNREACH, CHECK_KDC},
	{KRB5_REALM_UNKNOWN, EHOSTUNREACH, CHECK_KDC},
	{KRB5KDC_ERR_SVC_UNAVAILABLE, EHOSTUNREACH, CHECK_KDC},
	{KRB5KRB_AP_ERR_SKEW, EKEYREJECTED, CHECK_CLOCKS},
	{KRB5_KDCREP_SKEW, EKEYREJECTED, CHECK_CLOCKS},
	{KRB5KRB_AP_ERR_TKT_NYV, EKEYREJECTED, CHECK_CLOCKS},
	{KRB5KRB_AP_ERR_TKT_EXPIRED, EKEYEXPIRED, GET_SOME},
	{KRB5KDC_ERR_KEY_EXP, EKEYEXPIRED, "give the user another password"},
	{KRB5KDC_ERR_C_PRINCIPAL_UNKNOWN, EKEYREJECTED, CHECK_CLIENT},
	{KRB5KDC_ERR_PREAUTH_FAILED, EKEYREJECTED, CHECK_CLIENT},
	{KRB5KRB_AP_ERR_BAD_INTEGRITY, EKEYREJECTED, CHECK_CLIENT},
	{KRB5_KT_NOTFOUND, ENOKEY, CHECK_CLIENT},
	{KRB5KDC_ERR_S_PRINCIPAL_UNKNOWN, EKEYREJECTED, "write the name of the server that the realm knows as cifs/NAME"},
	{KRB5_FCC_NOFILE, ENOKEY, GET_SOME},
	{KRB5_CC_NOTFOUND, ENOKEY, GET_SOME},
};

static const struct reason *reason_of(krb5_error_code code)
{
	static const struct reason other = {0, EKEYREJECTED, "check krb5.conf(5), username= and what the KDC says in its log"};

	for (size_t i = 0; i < sizeof(reasons) / sizeof(*reasons); i++)
		if (reasons[i].code == code)
			return &reasons[i];
	return &other;
}

static int refuse(const struct tickets *tickets, krb5_error_code code)
{
	const struct reason *reason = reason_of(code);
	const char *message = krb5_get_error_message(tickets->context, code);
	char sentence[SENTENCE_MOST], *name = NULL;

	if (tickets->client && krb5_unparse_name(tickets->context, tickets->client, &name))
		name = NULL;
	snprintf(sentence, sizeof(sentence), "Kerberos gives no ticket for %s, from %s: %s: %s", name ? name : tickets->sought,
	         tickets->from, message, reason->remedy);
	krb5_free_error_message(tickets->context, message);
	krb5_free_unparsed_name(tickets->context, name);
	return answer_sentence(tickets->answer, reason->error, sentence);
}

/* --- where they lie --- */

/* Under the descriptor of a file system that is mounted nowhere; it stays open as long as the process lives. */
static int make_place(struct tickets *tickets)
{
	int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
	int place = fs < 0 || fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0 ? -1 : fsmount(fs, FSMOUNT_CLOEXEC, 0);
	int error = errno;

	if (fs >= 0)
		close(fs);
	if (place < 0)
		return answer_sentence(tickets->answer, error,
		                       "there is no file system in memory for the tickets: Linux 5.2 makes "
		                       "one for who may mount (CAP_SYS_ADMIN)");
	snprintf(tickets->name, sizeof(tickets->name), "FILE:/proc/self/fd/%d/tickets", place);
	krb5_error_code code = krb5_cc_resolve(tickets->context, tickets->name, &tickets->cache);
	return code ? refuse(tickets, code) : 0;
}

/* --- where they come from --- */

static krb5_error_code keep(struct tickets *tickets, krb5_creds *ticket)
{
	krb5_error_code code = krb5_cc_initialize(tickets->context, tickets->cache, tickets->client);

	if (!code)
		code = krb5_cc_store_cred(tickets->context, tickets->cache, ticket);
	krb5_free_cred_contents(tickets->context, ticket);
	return code;
}

/* Whose the first key is. */
static krb5_error_code first_client(struct tickets *tickets)
{
	krb5_keytab_entry entry;
	krb5_kt_cursor cursor;
	krb5_error_code code = krb5_kt_start_seq_get(tickets->context, tickets->keytab, &cursor);

	if (code)
		return code;
	code = krb5_kt_next_entry(tickets->context, tickets->keytab, &entry, &cursor);
	krb5_kt_end_seq_get(tickets->context, tickets->keytab, &cursor);
	if (code)
		return code == KRB5_KT_END ? KRB5_KT_NOTFOUND : code;
	code = krb5_copy_principal(tickets->context, entry.principal, &tickets->client);
	krb5_free_keytab_entry_contents(tickets->context, &entry);
	return code;
}

static krb5_error_code from_keytab(struct tickets *tickets, const char *path)
{
	char name[sizeof(tickets->from)];
	krb5_creds ticket;

	snprintf(tickets->from, sizeof(tickets->from), "the keytab %s", path);
	snprintf(name, sizeof(name), "FILE:%s", path);
	krb5_error_code code = krb5_kt_resolve(tickets->context, name, &tickets->keytab);
	if (!code && !tickets->client)
		code = first_client(tickets);
	if (!code)
		code = krb5_get_init_creds_keytab(tickets->context, &ticket, tickets->client, tickets->keytab, 0, NULL, NULL);
	return code ? code : keep(tickets, &ticket);
}

static krb5_error_code from_password(struct tickets *tickets, const char *password)
{
	krb5_creds ticket;

	snprintf(tickets->from, sizeof(tickets->from), "the password in credentials=");
	if (!tickets->client)
		return KRB5KDC_ERR_C_PRINCIPAL_UNKNOWN;
	krb5_error_code code =
		krb5_get_init_creds_password(tickets->context, &ticket, tickets->client, password, NULL, NULL, 0, NULL, NULL);
	return code ? code : keep(tickets, &ticket);
}

static void tell_owner(struct tickets *tickets, krb5_principal owner)
{
	size_t len = strlen(tickets->from);
	char *name;

	if (krb5_unparse_name(tickets->context, owner, &name))
		return;
	snprintf(tickets->from + len, sizeof(tickets->from) - len, ", which has those of %s", name);
	krb5_free_unparsed_name(tickets->context, name);
}

/* The owner of those that are there is who was asked for, if somebody was. */
static krb5_error_code take_client(struct tickets *tickets, krb5_ccache theirs)
{
	krb5_principal owner;
	krb5_error_code code = krb5_cc_get_principal(tickets->context, theirs, &owner);

	if (code)
		return code;
	if (!tickets->client) {
		tickets->client = owner;
		return 0;
	}
	bool same = krb5_principal_compare(tickets->context, tickets->client, owner);
	if (!same)
		tell_owner(tickets, owner);
	krb5_free_principal(tickets->context, owner);
	return same ? 0 : KRB5_CC_NOTFOUND;
}

static krb5_error_code from_others(struct tickets *tickets, const char *name)
{
	krb5_ccache theirs;
	krb5_error_code code =
		*name ? krb5_cc_resolve(tickets->context, name, &theirs) : krb5_cc_default(tickets->context, &theirs);

	snprintf(tickets->from, sizeof(tickets->from), "%s", *name ? name : krb5_cc_default_name(tickets->context));
	if (code)
		return code;
	code = take_client(tickets, theirs);
	if (!code)
		code = krb5_cc_initialize(tickets->context, tickets->cache, tickets->client);
	if (!code)
		code = krb5_cc_copy_creds(tickets->context, theirs, tickets->cache);
	krb5_cc_close(tickets->context, theirs);
	return code;
}

/* --- the ticket for the server --- */

#define SKEW_MOST_S 300 /* that clocks may differ by, in Kerberos */

/* A little earlier than the ticket ends, also by the server's clock. */
static time_t session_end(const krb5_creds *ticket)
{
	time_t now = time(NULL), end = (time_t)(uint32_t)ticket->times.endtime, margin = (end - now) / 10;

	return end - (margin < SKEW_MOST_S ? margin : SKEW_MOST_S);
}

/* Fetched now, so that what is wrong with it is told; the libraries find it. The name of the server is taken as it is. */
static krb5_error_code for_server(struct tickets *tickets, const char *host)
{
	krb5_creds wanted = {.client = tickets->client}, *ticket = NULL;
	krb5_error_code code = krb5_sname_to_principal(tickets->context, host, "cifs", KRB5_NT_UNKNOWN, &wanted.server);

	if (!code)
		code = krb5_get_credentials(tickets->context, 0, tickets->cache, &wanted, &ticket);
	if (ticket)
		tickets->until = session_end(ticket);
	if (ticket)
		krb5_free_creds(tickets->context, ticket);
	krb5_free_principal(tickets->context, wanted.server);
	return code;
}

static void tell_client(const struct tickets *tickets, struct session *session)
{
	char *name;

	if (krb5_unparse_name(tickets->context, tickets->client, &name))
		return;
	snprintf(session->principal, sizeof(session->principal), "%s", name);
	session->until = tickets->until;
	krb5_free_unparsed_name(tickets->context, name);
}

static krb5_error_code get(struct tickets *tickets, const char *settings, size_t len)
{
	const char *keytab = setting(settings, len, "keytab"), *password = setting(settings, len, "password");
	const char *user = setting(settings, len, "username");
	krb5_error_code code = *user ? krb5_parse_name(tickets->context, user, &tickets->client) : 0;

	tickets->sought = *user ? user : "the user";
	snprintf(tickets->from, sizeof(tickets->from), "username=");
	if (!code && *keytab)
		code = from_keytab(tickets, keytab);
	else if (!code && *password)
		code = from_password(tickets, password);
	else if (!code)
		code = from_others(tickets, setting(settings, len, "ccache"));
	return code ? code : for_server(tickets, setting(settings, len, "host"));
}

static void forget(struct tickets *tickets)
{
	if (tickets->client)
		krb5_free_principal(tickets->context, tickets->client);
	if (tickets->keytab)
		krb5_kt_close(tickets->context, tickets->keytab);
	if (tickets->cache)
		krb5_cc_close(tickets->context, tickets->cache);
	krb5_free_context(tickets->context);
}

int tickets_get(struct session *session, const char *settings, size_t len, struct answer *answer)
{
	struct tickets tickets = {.answer = answer, .sought = "the user", .from = "krb5.conf(5)"};

	if (*setting(settings, len, "kerberos") != '1')
		return 0;
	krb5_error_code code = krb5_init_context(&tickets.context);
	if (code)
		return refuse(&tickets, code);
	int ret = make_place(&tickets);
	if (ret == 0 && (code = get(&tickets, settings, len)))
		ret = refuse(&tickets, code);
	if (ret == 0)
		tell_client(&tickets, session);
	if (ret == 0 && setenv("KRB5CCNAME", tickets.name, 1) < 0)
		ret = -errno;
	forget(&tickets);
	return ret;
}
