/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The service manager that started us, if one did: telling it how we are, and having it keep descriptors that a next process of the same
 * service gets (sd_notify(3), sd_pid_notify_with_fds(3), sd_listen_fds(3)). Its protocol is a datagram of lines to the socket that
 * NOTIFY_SOCKET names; libsystemd would do no more, and would bring its own dependencies into the one process that must not die.
 *
 * A datagram that was sent is read later, in order, also when its sender has been killed meanwhile. What the manager does not take (its
 * store is full, or the unit has none) it drops without a word.
 *
 * Threads: any, but for manager_given().
 */
#ifndef DMM_KEEPER_MANAGER_H
#define DMM_KEEPER_MANAGER_H

#include <stdbool.h>
#include <stddef.h>

#define MANAGER_NAME_SIZE 64

bool manager_is_there(void);
void manager_ready(void);
void manager_stopping(void);

/* From now on it keeps a duplicate of the descriptor under this name, a second one of the same file description only once; closes all
 * of this name. These wait at most so long for room in the manager's queue, and then give -EAGAIN; 0 when there is no manager. */
int manager_store(const char *name, int fd, int timeout_ms);
int manager_remove(const char *name, int timeout_ms);
/* Returns when it has read everything that was sent before, or gives -ETIMEDOUT. */
int manager_await(int timeout_ms);

/* What it kept of a process before this one. */
struct manager_given {
	char name[MANAGER_NAME_SIZE]; /* "" when it is longer, which none of ours is */
	int fd;
};
/* The caller's, descriptors and array, all close-on-exec; 0 and NULL when there is nothing for this process. The environment says
 * nothing of them afterwards. */
size_t manager_given(struct manager_given **given);

#endif
