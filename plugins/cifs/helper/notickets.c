/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * In place of tickets.c where libkrb5 is not there: no Kerberos.
 */
#include "helper.h"

#include <errno.h>

int tickets_get(struct session *session, const char *settings, size_t len, struct answer *answer)
{
	(void)session;
	if (*setting(settings, len, "kerberos") != '1')
		return 0;
	return answer_sentence(answer, EOPNOTSUPP, "sec=krb5: dmmfs was built without libkrb5, and knows no Kerberos");
}
