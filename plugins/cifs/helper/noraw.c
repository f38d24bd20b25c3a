/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * In place of raw.c where libsmb2 is not there: what libsmbclient does not give does not come over.
 */
#include "helper.h"

#include <errno.h>

int64_t raw_connect(struct session *session, const char *settings, size_t len)
{
	(void)session;
	(void)settings;
	(void)len;
	return 0;
}

void raw_disconnect(struct session *session)
{
	(void)session;
}

int64_t answer_raw(struct session *session, const char *path, size_t len, struct answer *answer)
{
	(void)session;
	(void)path;
	(void)len;
	(void)answer;
	return -EOPNOTSUPP;
}

int64_t answer_whole(struct session *session, const char *wants, size_t len, struct answer *answer)
{
	return answer_raw(session, wants, len, answer);
}

int64_t raw_stat(struct session *session, const char *path, size_t len, struct answer *answer)
{
	return answer_raw(session, path, len, answer);
}
