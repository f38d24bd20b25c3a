/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Reading questions, writing answers.
 */
#include "helper.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATH_MOST (2u << 20) /* of several objects */

void *answer_more(struct answer *answer, size_t bytes)
{
	size_t need = answer->reply.len_more + bytes;

	if (need > MORE_MOST)
		return NULL;
	if (need > answer->room) {
		size_t room = answer->room ? answer->room : 4096;
		while (room < need)
			room *= 2;
		char *more = realloc(answer->more, room);
		if (!more)
			return NULL;
		answer->more = more;
		answer->room = room;
	}
	void *at = answer->more + answer->reply.len_more;
	answer->reply.len_more = (uint32_t)need;
	return at;
}

int answer_sentence(struct answer *answer, int error, const char *sentence)
{
	size_t len = strlen(sentence);

	answer->reply.len_more = 0;
	void *room = answer_more(answer, len);
	if (room)
		memcpy(room, sentence, len);
	return -error;
}

static bool take(void *bytes, size_t len)
{
	for (char *at = bytes; len;) {
		ssize_t n = recv(HELPER_SOCKET, at, len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

static bool give(const void *bytes, size_t len)
{
	for (const char *at = bytes; len;) {
		ssize_t n = send(HELPER_SOCKET, at, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

static int64_t answer_path(struct session *session, const struct ask *ask, const char *path, struct answer *answer)
{
	char *url = session_url(session, path, ask->len_path);
	int64_t result = -ENOMEM;

	if (!url)
		return result;
	switch (ask->kind) {
	case ASK_STAT:
		result = raw_stat(session, path, ask->len_path, answer);
		if (result < 0)
			result = answer_stat(session, url, answer);
		break;
	case ASK_OPEN:
	case ASK_OPEN_DIR:
		result = answer_open(session, url, ask->kind == ASK_OPEN_DIR, answer);
		break;
	case ASK_SECURITY:
		result = answer_security(session, url, answer);
		break;
	default:
		result = -EOPNOTSUPP;
	}
	free(url);
	return result;
}

/* What the library has errors for, in words. A server that takes no passwords says so by one that it has none for. */
static int refused(const struct session *session, int result, struct answer *answer)
{
	bool by_ticket = *session->principal;

	if (by_ticket && (result == -EACCES || result == -EPERM || result == -EINVAL))
		return answer_sentence(
			answer, EACCES,
			"the server refuses the Kerberos ticket: does it know the user, is its clock right, has its "
			"keytab the key that the KDC has?");
	if (!by_ticket && result == -EINVAL)
		return answer_sentence(
			answer, EACCES,
			"the server does not take the session: one that takes tickets of Kerberos and no passwords "
			"wants sec=krb5");
	return result;
}

static int64_t answer_connect(struct session *session, const char *settings, size_t len, struct answer *answer)
{
	int result = tickets_get(session, settings, len, answer);

	if (result == 0)
		result = refused(session, session_connect(session, settings, len), answer);
	int64_t can = result < 0 ? result : raw_connect(session, settings, len);

	if (can < 0)
		return can;
	answer->reply.file = (uint64_t)can;
	return 0;
}

/* Soon the server will say so. With the next session come new tickets; in this one no new object is begun with, but what is open or
 * half answered comes to its end, if it can: a listing cannot go on in another session. A colon is in the name of a stream alone. */
static bool is_over(const struct session *session, const struct ask *ask, const char *path)
{
	bool stream = ask->kind == ASK_OPEN && strchr(path, ':');
	bool begun = stream || ask->kind == ASK_LIST || ask->kind == ASK_READ || ask->kind == ASK_CLOSE;

	return session->until && !begun && time(NULL) >= session->until;
}

static int64_t answer_ask(struct session *session, const struct ask *ask, const char *path, struct answer *answer)
{
	if (ask->kind == ASK_CONNECT)
		return answer_connect(session, path, ask->len_path, answer);
	if (!session->context || is_over(session, ask, path))
		return -ENOTCONN;
	switch (ask->kind) {
	case ASK_CLOSE:
		return answer_close(session, ask->file);
	case ASK_LIST:
		return answer_list(session, ask->file, answer);
	case ASK_READ:
		return answer_read(session, ask);
	case ASK_RAW:
		return answer_raw(session, path, ask->len_path, answer);
	case ASK_WHOLE:
		return answer_whole(session, path, ask->len_path, answer);
	default:
		return answer_path(session, ask, path, answer);
	}
}

/* The library makes a lost session anew by itself, and when that fails says so of the object, by any error. Whether it is that is shown
 * by the top of the share, which could be looked at once. */
static int64_t of_session(struct session *session, const struct ask *ask, int64_t result)
{
	bool suspect = result < 0 && result != -ENODATA && result != -EOPNOTSUPP && result != -ENOMEM;

	if (!suspect || ask->kind == ASK_CONNECT || session_lives(session))
		return result;
	return -ENOTCONN;
}

static bool turn(struct session *session, struct answer *answer)
{
	struct ask ask;
	char *path = NULL;

	if (!take(&ask, sizeof(ask)) || ask.len_path > PATH_MOST)
		return false;
	path = malloc(ask.len_path + 1);
	if (!path || !take(path, ask.len_path)) {
		free(path);
		return false;
	}
	path[ask.len_path] = '\0';
	answer->reply = (struct reply){0};
	answer->reply.result = of_session(session, &ask, answer_ask(session, &ask, path, answer));
	if (answer->reply.result < 0 && ask.kind != ASK_CONNECT) /* that one comes with a sentence */
		answer->reply.len_more = 0;
	explicit_bzero(path, ask.len_path); /* it may have been the password */
	free(path);
	return give(&answer->reply, sizeof(answer->reply)) && give(answer->more, answer->reply.len_more);
}

int main(void)
{
	struct session session = {0};
	struct answer answer = {0};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_DUMPABLE, 0); /* a core dump would hold the password */
	session.shared = mmap(NULL, SHARED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, HELPER_SHARED, 0);
	if (session.shared == MAP_FAILED) {
		fputs("dmmfs-smb is started by the cifs plugin of dmmfs, not by hand\n", stderr);
		return 1;
	}
	while (turn(&session, &answer))
		;
	return 0;
}
