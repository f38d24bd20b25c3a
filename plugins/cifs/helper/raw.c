/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What libsmbclient does not give: security descriptors as the server has them, with their control flags and, where the user may
 * read them, audit lists; the list of alternate data streams; and all of a small object in one round trip (compound.h). They come through
 * libsmb2, over a session of its own.
 */
#include "compound.h"
#include "helper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

/* clang-format off */
/* The second needs the first. */
#include <smb2/smb2.h>
#include <smb2/libsmb2.h>
/* clang-format on */

#define PATIENCE_S 20
/* SMB2_SEC_NTLMSSP, SMB2_SEC_KRB5: the library documents the names and keeps them to itself. */
#define BY_PASSWORD 1
#define BY_TICKET 2 /* where it was built without Kerberos there is no session */

void raw_disconnect(struct session *session)
{
	if (session->raw)
		smb2_destroy_context(session->raw);
	session->raw = NULL;
}

/* The session is of no more use after a failure. */
static int run(struct session *session, struct compound *compounds, size_t n)
{
	int ret = session->raw ? compounds_run(session->raw, compounds, n) : -ECONNABORTED;

	if (ret < 0)
		raw_disconnect(session); /* calls back what it still owes: the compounds must be there */
	return ret;
}

/* --- the session --- */

/* The library verifies the signature of an answer wrongly when that comes in pieces and it has to wait in between, which on a network it
 * often does; so a read that was begun waits here. */
static int wait_in_reads(struct smb2_context *smb2)
{
	const struct timeval patience = {.tv_sec = PATIENCE_S};
	int fd = smb2_get_fd(smb2), flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0)
		return -errno;
	return 0;
}

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
	if (smb2_connect_share(smb2, server, setting(settings, len, "share"), who(session, settings, len)) < 0 ||
	    wait_in_reads(smb2) < 0) {
		smb2_destroy_context(smb2);
		return NULL;
	}
	smb2_set_passthrough(smb2, 1);
	return smb2;
}

/* Whether the user may read audit lists: as the top of the share is answered. */
static bool sees_audit(struct session *session)
{
	struct compound top = {.path = compound_path("", 0), .audit = true};
	bool sees = top.path && run(session, &top, 1) == 0 && compound_result(&top) == 0 && top.steps[STEP_SECURITY].error == 0;

	compound_forget(&top);
	return sees;
}

int64_t raw_connect(struct session *session, const char *settings, size_t len)
{
	bool seal = *setting(settings, len, "seal") == '1';

	if (!*who(session, settings, len))
		return 0; /* who has no name has nothing to read */
	raw_disconnect(session);
	session->raw = open_session(session, settings, len);
	if (!session->raw ||
	    (strcmp(setting(settings, len, "lowest"), "SMB2_10") == 0 && smb2_get_dialect(session->raw) < 0x210)) {
		raw_disconnect(session);
		/* The other library goes on without encryption where the server has none, also when it is told to require it. */
		return seal ? -EPROTONOSUPPORT : 0;
	}
	session->audit = sees_audit(session);
	if (!session->raw)
		return 0;
	return (int64_t)(CONNECTED_RAW | CONNECTED_WHOLE | (session->audit ? CONNECTED_AUDIT : 0));
}

/* --- answers --- */

static bool put(struct answer *answer, const void *bytes, size_t len)
{
	void *room = answer_more(answer, len);

	if (room && len)
		memcpy(room, bytes, len);
	return room;
}

static void describe(const struct compound *compound, struct wire_raw *raw)
{
	const struct compound_step *security = &compound->steps[STEP_SECURITY], *streams = &compound->steps[STEP_STREAMS];

	*raw = (struct wire_raw){.len_descriptor = (uint32_t)security->len,
	                         .len_streams = (uint32_t)streams->len,
	                         .descriptor_error = -security->error,
	                         .streams_error = -streams->error};
}

static bool put_bytes(struct answer *answer, const struct compound *compound)
{
	const struct compound_step *security = &compound->steps[STEP_SECURITY], *streams = &compound->steps[STEP_STREAMS];

	return put(answer, security->bytes, security->len) && put(answer, streams->bytes, streams->len);
}

int64_t answer_raw(struct session *session, const char *path, size_t len, struct answer *answer)
{
	struct compound compound = {.path = compound_path(path, len), .audit = session->audit};
	int64_t ret = compound.path ? run(session, &compound, 1) : -ENOMEM;
	struct wire_raw raw;

	if (ret >= 0)
		ret = -compound.steps[STEP_OPEN].error;
	if (ret >= 0) {
		describe(&compound, &raw);
		ret = put(answer, &raw, sizeof(raw)) && put_bytes(answer, &compound) ? 0 : -ENOMEM;
	}
	compound_forget(&compound);
	return ret;
}

/* --- whole objects --- */

/* NTTIME counts from 1601; 0 says that it is not known. */
static struct wire_time time_of(uint64_t nttime)
{
	const int64_t epoch_s = 11644473600;

	if (nttime == 0 || nttime > INT64_MAX)
		return (struct wire_time){0};
	return (struct wire_time){.sec = (int64_t)(nttime / 10000000) - epoch_s, .nsec = (uint32_t)(nttime % 10000000) * 100};
}

static struct wire_entry entry_of(const struct compound *compound)
{
	return (struct wire_entry){.attributes = compound->attributes,
	                           .size = compound->size,
	                           .is_dir = (compound->attributes & DOS_DIRECTORY) != 0,
	                           .btime = time_of(compound->created),
	                           .atime = time_of(compound->accessed),
	                           .mtime = time_of(compound->written),
	                           .ctime = time_of(compound->changed)};
}

static bool put_whole(struct answer *answer, const struct compound *compound)
{
	int64_t got = compound_result(compound);
	struct wire_whole whole = {.error = got < 0 ? (int32_t)got : 0};

	if (got < 0)
		return put(answer, &whole, sizeof(whole));
	whole.len = (uint32_t)got;
	whole.seen = compound->seen;
	whole.entry = entry_of(compound);
	describe(compound, &whole.raw);
	return put(answer, &whole, sizeof(whole)) && put_bytes(answer, compound);
}

/* How many there are; -EINVAL: that cannot be. */
static int take_wants(struct session *session, const char *wants, size_t left, struct compound *compounds)
{
	uint64_t at = 0;
	int n = 0;

	for (struct wire_want want; left >= sizeof(want) && n < WHOLE_OBJECTS_MOST; n++) {
		memcpy(&want, wants, sizeof(want));
		wants += sizeof(want);
		left -= sizeof(want);
		if (want.len_path > left || want.len > READS_MOST * READ_PIECE || want.len > SHARED_BYTES - at)
			return -EINVAL;
		compounds[n] = (struct compound){.path = compound_path(wants, want.len_path),
		                                 .audit = session->audit,
		                                 .data = session->shared + at,
		                                 .wanted = want.len};
		if (!compounds[n].path)
			return -ENOMEM;
		at += want.len;
		wants += want.len_path;
		left -= want.len_path;
	}
	return left ? -EINVAL : n;
}

int64_t answer_whole(struct session *session, const char *wants, size_t len, struct answer *answer)
{
	struct compound compounds[WHOLE_OBJECTS_MOST] = {0};
	int n = take_wants(session, wants, len, compounds);
	int ret = n < 0 ? n : run(session, compounds, (size_t)n);

	for (int i = 0; i < n && ret >= 0; i++)
		ret = put_whole(answer, &compounds[i]) ? 0 : -ENOMEM;
	for (int i = 0; i < WHOLE_OBJECTS_MOST; i++)
		compound_forget(&compounds[i]);
	return ret;
}

/* --- attributes alone --- */

int64_t raw_stat(struct session *session, const char *path, size_t len, struct answer *answer)
{
	if (!session->raw)
		return -EOPNOTSUPP;
	struct compound compound = {.path = compound_path(path, len), .look = true};
	int64_t ret = compound.path ? run(session, &compound, 1) : -ENOMEM;

	if (ret >= 0)
		ret = compound_result(&compound);
	struct wire_entry entry = entry_of(&compound);
	entry.fileid = compound_number(&compound);
	if (ret >= 0 && (!compound.seen || !entry.fileid))
		ret = -EOPNOTSUPP;
	if (ret >= 0 && !put(answer, &entry, sizeof(entry)))
		ret = -ENOMEM;
	compound_forget(&compound);
	return ret < 0 ? ret : 0;
}
