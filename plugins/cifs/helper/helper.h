/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dmmfs-smb: the process in which libsmbclient lives. It answers one question at a time (wire.h) until its socket is closed. It may
 * be killed at any moment; nothing depends on its end. Not for use by hand.
 */
#ifndef SMB_HELPER_H
#define SMB_HELPER_H

#include "wire.h"

#include <libsmbclient.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

/* An answer in the making. */
struct answer {
	struct reply reply;
	char *more;
	size_t room;
};

/* Room for so many more bytes, which are counted in; NULL without memory. */
void *answer_more(struct answer *answer, size_t bytes);
/* Why there is no session, as the only thing that the answer has; -error. */
int answer_sentence(struct answer *answer, int error, const char *sentence);

/* session.c */
struct session {
	SMBCCTX *context;
	char base[1024];          /* smb://host/share */
	char principal[512];      /* with Kerberos: whose tickets KRB5CCNAME has; "": without */
	time_t until;             /* with Kerberos: the session ends soon after; 0: without */
	char *shared;             /* SHARED_BYTES */
	struct smb2_context *raw; /* raw.c; NULL: there is none */
	bool audit;               /* the user may read audit lists */
};
int session_connect(struct session *session, const char *settings, size_t len);
/* The value of a setting, "" without. */
const char *setting(const char *settings, size_t len, const char *name);
/* Whether the share can still be looked at. */
bool session_lives(struct session *session);
/* The URL of a path below the share; newly allocated. */
char *session_url(const struct session *session, const char *path, size_t len);

/* answers.c: what the questions are answered with. Results: negative errno. */
int64_t answer_stat(struct session *session, const char *url, struct answer *answer);
int64_t answer_open(struct session *session, const char *url, bool dir, struct answer *answer);
int64_t answer_close(struct session *session, uint64_t number);
int64_t answer_list(struct session *session, uint64_t number, struct answer *answer);
int64_t answer_read(struct session *session, const struct ask *ask);
int64_t answer_security(struct session *session, const char *url, struct answer *answer);

/* tickets.c, or notickets.c. 0: there are some, or none are needed. */
int tickets_get(struct session *session, const char *settings, size_t len, struct answer *answer);

/* raw.c, or noraw.c. CONNECTED_*; 0 when there is no such session; -EPROTONOSUPPORT: it was to be encrypted, and the server refuses.
 * Once the other one is there. */
int64_t raw_connect(struct session *session, const char *settings, size_t len);
void raw_disconnect(struct session *session);
int64_t answer_raw(struct session *session, const char *path, size_t len, struct answer *answer);
/* As answer_stat(), in one round trip. An error says no more than that the other library is to be asked. */
int64_t raw_stat(struct session *session, const char *path, size_t len, struct answer *answer);
/* `wants` are the bytes after the question. */
int64_t answer_whole(struct session *session, const char *wants, size_t len, struct answer *answer);

#endif
