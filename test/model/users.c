/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The users that do operations: root, and two without privileges, one with a second group.
 */
#include "model.h"

#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const unsigned uids[USERS] = {0, 2001, 2002};

unsigned user_uid(unsigned user)
{
	return uids[user];
}

void user_become(unsigned user)
{
	gid_t groups[2] = {uids[user], uids[2]};

	if (seteuid(0) < 0 || setgroups(user == 1 ? 2 : 1, groups) < 0 || setegid(uids[user]) < 0 || seteuid(uids[user]) < 0) {
		perror("model: cannot change the user");
		exit(2);
	}
}
