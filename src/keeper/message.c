/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "keeper/message.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

struct message {
	uint32_t kind, padding;
	uint64_t node;
};

union control {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

int message_send(int socket, enum message_kind kind, uint64_t node, int fd)
{
	struct message message = {.kind = kind, .node = node};
	struct iovec part = {&message, sizeof(message)};
	union control control = {0};
	struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
	ssize_t sent;

	if (fd >= 0) {
		header.msg_control = control.bytes;
		header.msg_controllen = sizeof(control.bytes);
		struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
		*rights = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(fd))};
		memcpy(CMSG_DATA(rights), &fd, sizeof(fd));
	}
	do
		sent = sendmsg(socket, &header, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -1 : 0;
}

int message_look(int socket, enum message_kind *kind, uint64_t *node, int *fd)
{
	struct message message;
	struct iovec part = {&message, sizeof(message)};
	union control control;
	struct msghdr header = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
	ssize_t len;

	do
		len = recvmsg(socket, &header, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (len < 0 && errno == EINTR);
	if (len < 0)
		return errno == EAGAIN ? 0 : -1;
	*fd = -1;
	struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
	if (rights && rights->cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(rights), sizeof(*fd));
	if (len == 0)
		return 0; /* nobody is at the other end any more */
	*kind = len == sizeof(message) ? message.kind : MESSAGE_NONE;
	*node = message.node;
	return 1;
}

void message_drop(int socket)
{
	struct message message;

	while (recv(socket, &message, sizeof(message), MSG_DONTWAIT) < 0 && errno == EINTR)
		;
}
