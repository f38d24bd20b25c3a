/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Message frames: poll(2) before each step, so that the deadline holds whether or not the descriptor blocks.
 */
#include "wire/frame.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define HEADER_BYTES 4
#define FIRST_BYTES 16384 /* allocated on the word of a header alone */

/* Milliseconds until the deadline, rounded up so that a wait never ends just before it; -1: for ever. */
static int remaining_ms(uint64_t deadline_ns)
{
	if (deadline_ns == 0)
		return -1;
	uint64_t now_ns = clock_monotonic_ns();
	if (now_ns >= deadline_ns)
		return 0;
	uint64_t ms = (deadline_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS;
	return ms > INT_MAX ? INT_MAX : (int)ms;
}

static int wait_ready(int fd, short events, uint64_t deadline_ns)
{
	for (;;) {
		struct pollfd pollfd = {.fd = fd, .events = events};
		int timeout_ms = remaining_ms(deadline_ns);
		int ready = poll(&pollfd, 1, timeout_ms);
		if (ready > 0)
			return pollfd.revents & POLLNVAL ? -EBADF : 0;
		if (ready < 0 && errno != EINTR)
			return -errno;
		if (ready == 0 && timeout_ms == 0)
			return -ETIMEDOUT;
	}
}

/* `got` counts what arrived, also on failure. */
static int receive_bytes(int fd, void *buf, size_t len, uint64_t deadline_ns, size_t *got)
{
	for (*got = 0; *got < len;) {
		int error = wait_ready(fd, POLLIN, deadline_ns);
		if (error)
			return error;
		ssize_t n = recv(fd, (char *)buf + *got, len - *got, MSG_DONTWAIT);
		if (n > 0)
			*got += (size_t)n;
		else if (n == 0)
			return -ECONNRESET;
		else if (errno != EINTR && errno != EAGAIN)
			return -errno;
	}
	return 0;
}

static int send_bytes(int fd, const void *buf, size_t len, uint64_t deadline_ns)
{
	for (size_t sent = 0; sent < len;) {
		int error = wait_ready(fd, POLLOUT, deadline_ns);
		if (error)
			return error;
		ssize_t n = send(fd, (const char *)buf + sent, len - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n >= 0)
			sent += (size_t)n;
		else if (errno != EINTR && errno != EAGAIN)
			return -errno;
	}
	return 0;
}

int frame_send(int fd, const json_t *message, size_t max_bytes, uint64_t deadline_ns)
{
	size_t len = json_dumpb(message, NULL, 0, JSON_COMPACT);
	if (len == 0)
		return -EINVAL;
	if (len > max_bytes || len > UINT32_MAX)
		return -EMSGSIZE;
	CLEAN_FREE char *frame = malloc(HEADER_BYTES + len);
	if (!frame)
		return -ENOMEM;
	uint32_t header = htonl((uint32_t)len);
	memcpy(frame, &header, HEADER_BYTES);
	if (json_dumpb(message, frame + HEADER_BYTES, len, JSON_COMPACT) != len)
		return -EINVAL;
	return send_bytes(fd, frame, HEADER_BYTES + len, deadline_ns);
}

int frame_parse(const char *text, size_t len, json_t **message)
{
	json_error_t why;
	json_t *parsed = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
	if (!parsed)
		return json_error_code(&why) == json_error_out_of_memory ? -ENOMEM : -EBADMSG;
	if (!json_is_object(parsed)) {
		json_decref(parsed);
		return -EBADMSG;
	}
	*message = parsed;
	return 0;
}

/* Doubles the buffer as the text fills it: a liar who announces much and sends little costs little. */
static int receive_text(int fd, size_t len, uint64_t deadline_ns, char **text)
{
	CLEAN_FREE char *buf = NULL;
	for (size_t room = 0, filled = 0; filled < len;) {
		room = room == 0 ? FIRST_BYTES : room * 2;
		room = room < len ? room : len;
		char *grown = realloc(buf, room);
		if (!grown)
			return -ENOMEM;
		buf = grown;
		size_t got;
		int error = receive_bytes(fd, buf + filled, room - filled, deadline_ns, &got);
		if (error)
			return error;
		filled = room;
	}
	*text = buf;
	buf = NULL;
	return 0;
}

int frame_receive(int fd, size_t max_bytes, uint64_t deadline_ns, json_t **message)
{
	uint32_t header;
	size_t got;
	int error = receive_bytes(fd, &header, HEADER_BYTES, deadline_ns, &got);
	if (error)
		return error == -ECONNRESET && got == 0 ? -ENODATA : error;
	size_t len = ntohl(header);
	if (len > max_bytes)
		return -EMSGSIZE;
	if (len == 0)
		return -EBADMSG;
	CLEAN_FREE char *text = NULL;
	error = receive_text(fd, len, deadline_ns, &text);
	return error ? error : frame_parse(text, len, message);
}
