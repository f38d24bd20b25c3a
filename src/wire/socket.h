/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The socket of a daemon in the file system, for both sides. Paths may be longer than the 107 bytes that an address holds.
 */
#ifndef DMM_WIRE_SOCKET_H
#define DMM_WIRE_SOCKET_H

#include <jansson.h>
#include <stdint.h>

/* "/run/dmmfs", or what DMMFS_RUNDIR says. */
const char *socket_default_rundir(void);

/* RUNDIR/MIGID.sock. -ENAMETOOLONG. */
int socket_path(const char *rundir, uint32_t migid, char *buf, size_t buf_size);

/* A listening socket with mode 0600 at `path`. One that is in the way is replaced if nobody answers there; -EADDRINUSE if
 * somebody does. Whoever may call this at the same time for the same path must hold a lock against the other. */
int socket_listen(const char *path, int *fd);

/* -ENOENT or -ECONNREFUSED: nobody is there; -ETIMEDOUT: somebody is, and does not take the connection. */
int socket_connect(const char *path, uint64_t deadline_ns, int *fd);

/* One request and its reply on a connection of their own; errors of socket_connect(), frame_send() and frame_receive(). */
int socket_ask(const char *path, const json_t *request, uint64_t deadline_ns, json_t **reply);

#endif
