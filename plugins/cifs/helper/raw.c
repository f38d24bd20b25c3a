/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What libsmbclient does not give: security descriptors as the server has them, with their control flags and, where the user may
 * read them, audit lists; and the list of alternate data streams. They come through libsmb2, over a session of its own, in one
 * round trip for an object: open, both questions, close.
 */
#include "helper.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* clang-format off */
/* The second needs the first, the third both. */
#include <smb2/smb2.h>
#include <smb2/libsmb2.h>
#include <smb2/libsmb2-raw.h>
/* clang-format on */

#define ANSWER_MOST 65535 /* bytes: more would need more than one credit */
#define PATIENCE_S 20
#define READ_ATTRIBUTES 0x80u
#define GROUP_INFORMATION 0x2u
#define DACL_INFORMATION 0x4u
#define SHARE_ALL 0x7u
/* SMB2_SEC_NTLMSSP, SMB2_SEC_KRB5: the library documents the names and keeps them to itself. */
#define BY_PASSWORD 1
#define BY_TICKET 2 /* where it was built without Kerberos there is no session */

enum step { STEP_OPEN, STEP_SECURITY, STEP_STREAMS, STEP_CLOSE, STEPS };

/* An object that is asked about. */
struct asking {
	unsigned answered; /* steps */
	int error[STEPS];  /* positive errno */
	void *bytes[STEPS];
	size_t len[STEPS];
};

static void take_bytes(struct asking *asking, enum step step, const struct smb2_query_info_reply *reply)
{
	size_t len = reply->output_buffer ? reply->output_buffer_length : 0;

	asking->bytes[step] = malloc(len + 1);
	if (asking->bytes[step] && len)
		memcpy(asking->bytes[step], reply->output_buffer, len);
	asking->len[step] = asking->bytes[step] ? len : 0;
	asking->error[step] = asking->bytes[step] ? 0 : ENOMEM;
}

/* The steps are answered in their order. */
static void on_answer(struct smb2_context *smb2, int status, void *data, void *context)
{
	struct asking *asking = context;
	enum step step = asking->answered++;

	(void)smb2;
	if (step >= STEPS)
		return;
	asking->error[step] = status ? nterror_to_errno((uint32_t)status) : 0;
	if (status && !asking->error[step])
		asking->error[step] = EIO;
	if (!status && data && (step == STEP_SECURITY || step == STEP_STREAMS))
		take_bytes(asking, step, data);
}

static struct smb2_pdu *make(struct smb2_context *smb2, enum step step, const char *path, bool audit, struct asking *asking)
{
	struct smb2_create_request open = {
		.requested_oplock_level = SMB2_OPLOCK_LEVEL_NONE,
		.impersonation_level = SMB2_IMPERSONATION_IMPERSONATION,
		.desired_access = SMB2_READ_CONTROL | READ_ATTRIBUTES | (audit ? SMB2_ACCESS_SYSTEM_SECURITY : 0),
		.share_access = SHARE_ALL,
		.create_disposition = SMB2_FILE_OPEN,
		.name = path,
	};
	struct smb2_query_info_request query = {
		.info_type = step == STEP_SECURITY ? SMB2_0_INFO_SECURITY : SMB2_0_INFO_FILE,
		.file_info_class = step == STEP_SECURITY ? 0 : SMB2_FILE_STREAM_INFORMATION,
		.output_buffer_length = ANSWER_MOST,
		.additional_information = step != STEP_SECURITY
	                                          ? 0
	                                          : SMB2_OWNER_SECURITY_INFORMATION | GROUP_INFORMATION | DACL_INFORMATION |
	                                                    (audit ? SMB2_SACL_SECURITY_INFORMATION : 0),
	};
	struct smb2_close_request close = {.flags = 0};

	memcpy(query.file_id, compound_file_id, SMB2_FD_SIZE);
	memcpy(close.file_id, compound_file_id, SMB2_FD_SIZE);
	switch (step) {
	case STEP_OPEN:
		return smb2_cmd_create_async(smb2, &open, on_answer, asking);
	case STEP_CLOSE:
		return smb2_cmd_close_async(smb2, &close, on_answer, asking);
	default:
		return smb2_cmd_query_info_async(smb2, &query, on_answer, asking);
	}
}

static int send_steps(struct smb2_context *smb2, const char *path, bool audit, struct asking *asking)
{
	struct smb2_pdu *first = NULL;

	for (enum step step = 0; step < STEPS; step++) {
		struct smb2_pdu *pdu = make(smb2, step, path, audit, asking);
		if (!pdu && first)
			smb2_free_pdu(smb2, first);
		if (!pdu)
			return -ENOMEM;
		if (first)
			smb2_add_compound_pdu(smb2, first, pdu);
		else
			first = pdu;
	}
	smb2_queue_pdu(smb2, first);
	return 0;
}

/* By the clock that nobody sets. */
static time_t now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

/* Until all steps are answered. The session is of no more use after a failure. */
static int wait_for(struct smb2_context *smb2, const struct asking *asking)
{
	time_t end = now_s() + PATIENCE_S;

	while (asking->answered < STEPS) {
		struct pollfd fd = {.fd = smb2_get_fd(smb2), .events = (short)smb2_which_events(smb2)};
		if (now_s() > end || (poll(&fd, 1, 1000) < 0 && errno != EINTR))
			return -ECONNABORTED;
		if (fd.revents && smb2_service(smb2, fd.revents) < 0)
			return -ECONNABORTED;
	}
	return 0;
}

static void forget(struct asking *asking)
{
	for (enum step step = 0; step < STEPS; step++)
		free(asking->bytes[step]);
}

void raw_disconnect(struct session *session)
{
	if (session->raw)
		smb2_destroy_context(session->raw);
	session->raw = NULL;
}

static int ask(struct session *session, const char *path, bool audit, struct asking *asking)
{
	*asking = (struct asking){0};
	int ret = session->raw ? send_steps(session->raw, path, audit, asking) : -ECONNABORTED;
	if (ret >= 0)
		ret = wait_for(session->raw, asking);
	if (ret < 0)
		raw_disconnect(session); /* calls back what it still owes us: `asking` must be there */
	else
		ret = -asking->error[STEP_OPEN];
	if (ret < 0)
		forget(asking);
	return ret;
}

/* --- the session --- */

static const char *who(const struct session *session, const char *settings, size_t len)
{
	return *session->principal ? session->principal : setting(settings, len, "username");
}

static struct smb2_context *open_session(const struct session *session, const char *settings, size_t len)
{
	struct smb2_context *smb2 = smb2_init_context();
	const char *port = setting(settings, len, "port"), *domain = setting(settings, len, "domain");
	bool seal = *setting(settings, len, "seal") == '1';
	char server[300];

	if (!smb2)
		return NULL;
	snprintf(server, sizeof(server), "%s%s%s", setting(settings, len, "host"), atoi(port) ? ":" : "", atoi(port) ? port : "");
	smb2_set_security_mode(smb2, SMB2_NEGOTIATE_SIGNING_ENABLED);
	smb2_set_authentication(smb2, *session->principal ? BY_TICKET : BY_PASSWORD);
	smb2_set_version(smb2, strcmp(setting(settings, len, "lowest"), "SMB3_11") == 0            ? SMB2_VERSION_0311
	                       : seal || strncmp(setting(settings, len, "lowest"), "SMB3", 4) == 0 ? SMB2_VERSION_ANY3
	                                                                                           : SMB2_VERSION_ANY);
	smb2_set_seal(smb2, seal);
	smb2_set_sign(smb2, 1);
	smb2_set_timeout(smb2, PATIENCE_S);
	smb2_set_user(smb2, who(session, settings, len));
	if (!*session->principal)
		smb2_set_password(smb2, setting(settings, len, "password"));
	if (*domain)
		smb2_set_domain(smb2, domain);
	if (smb2_connect_share(smb2, server, setting(settings, len, "share"), who(session, settings, len)) < 0) {
		smb2_destroy_context(smb2);
		return NULL;
	}
	smb2_set_passthrough(smb2, 1);
	return smb2;
}

int64_t raw_connect(struct session *session, const char *settings, size_t len)
{
	struct asking asking;

	if (!*who(session, settings, len))
		return 0; /* who has no name has nothing to read */
	raw_disconnect(session);
	session->raw = open_session(session, settings, len);
	if (!session->raw ||
	    (strcmp(setting(settings, len, "lowest"), "SMB2_10") == 0 && smb2_get_dialect(session->raw) < 0x210)) {
		raw_disconnect(session);
		/* The other library goes on without encryption where the server has none, also when it is told to require it. */
		return *setting(settings, len, "seal") == '1' ? -EPROTONOSUPPORT : 0;
	}
	bool answered = ask(session, "", true, &asking) == 0;
	session->audit = answered && asking.error[STEP_SECURITY] == 0;
	if (answered)
		forget(&asking);
	return session->raw ? (int64_t)(CONNECTED_RAW | (session->audit ? CONNECTED_AUDIT : 0)) : 0;
}

static void put(struct answer *answer, const void *bytes, size_t len)
{
	void *room = answer_more(answer, len);

	if (room && len)
		memcpy(room, bytes, len);
}

/* The protocol writes paths with backslashes. */
static char *with_backslashes(const char *path, size_t len)
{
	char *copy = malloc(len + 1);

	for (size_t i = 0; copy && i < len; i++)
		copy[i] = path[i] == '/' ? '\\' : path[i];
	if (copy)
		copy[len] = '\0';
	return copy;
}

int64_t answer_raw(struct session *session, const char *path, size_t len, struct answer *answer)
{
	char *name = with_backslashes(path, len);
	struct asking asking;
	int ret = name ? ask(session, name, session->audit, &asking) : -ENOMEM;

	free(name);
	if (ret < 0)
		return ret;
	struct wire_raw raw = {.len_descriptor = (uint32_t)asking.len[STEP_SECURITY],
	                       .len_streams = (uint32_t)asking.len[STEP_STREAMS],
	                       .descriptor_error = -asking.error[STEP_SECURITY],
	                       .streams_error = -asking.error[STEP_STREAMS]};
	put(answer, &raw, sizeof(raw));
	put(answer, asking.bytes[STEP_SECURITY], raw.len_descriptor);
	put(answer, asking.bytes[STEP_STREAMS], raw.len_streams);
	forget(&asking);
	return 0;
}
