/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the worker tells the keeper: one message a packet on a pair of sockets. A message that was sent outlives its sender, and as long
 * as it was not dropped its receiver, where the service manager keeps the sockets.
 */
#ifndef DMM_KEEPER_MESSAGE_H
#define DMM_KEEPER_MESSAGE_H

#include <stdint.h>

enum message_kind { MESSAGE_NONE, MESSAGE_HOLD, MESSAGE_LET_GO, MESSAGE_SERVES };

/* fd: a descriptor that goes with it, or -1. 0, or -1 and errno. */
int message_send(int socket, enum message_kind kind, uint64_t node, int fd);
/* Does not wait. 1: there is one (*fd is -1 or the caller's); 0: none; -1 and errno. It is the first until it is dropped, which is to
 * be done when all that it asks for is done. */
int message_look(int socket, enum message_kind *kind, uint64_t *node, int *fd);
void message_drop(int socket);

#endif
