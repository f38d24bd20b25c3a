/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the worker tells the keeper: one message a packet on a pair of sockets. A message that was sent outlives its sender.
 */
#ifndef DMM_KEEPER_MESSAGE_H
#define DMM_KEEPER_MESSAGE_H

#include <stdint.h>

enum message_kind { MESSAGE_HOLD = 1, MESSAGE_LET_GO };

/* fd: a descriptor that goes with it, or -1. 0, or -1 and errno. */
int message_send(int socket, enum message_kind kind, uint64_t node, int fd);
/* Does not wait. 1: there was one (*fd is -1 or the caller's); 0: none; -1 and errno. */
int message_receive(int socket, enum message_kind *kind, uint64_t *node, int *fd);

#endif
