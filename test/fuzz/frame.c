/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Message frames from outside: any bytes are refused or become a JSON object, which sent again comes back the same; any string in
 * it that claims to be an escaped name is refused or turned into bytes that escape to the same string.
 */
#include "wire/frame.h"
#include "base/clock.h"
#include "wire/bytes.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition) \
	do { \
		if (!(condition)) \
			abort(); \
	} while (0)

static void check_names(json_t *message)
{
	const char *key;
	json_t *value;
	void *next;
	json_object_foreach_safe(message, next, key, value)
	{
		char *name;
		if (bytes_get(message, key, &name))
			continue;
		json_t *again = json_object();
		char *read = NULL;
		MUST(bytes_set(again, key, name) == 0);
		MUST(bytes_get(again, key, &read) == 0 && strcmp(read, name) == 0);
		free(read);
		free(name);
		json_decref(again);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int pair[2];
	json_t *message = NULL, *again = NULL;
	uint64_t deadline_ns = clock_monotonic_ns() + 10 * NS_PER_S;
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	MUST(write(pair[0], data, size) == (ssize_t)size);
	shutdown(pair[0], SHUT_WR);
	if (frame_receive(pair[1], FRAME_REQUEST_MAX, deadline_ns, &message) == 0) {
		MUST(json_is_object(message));
		check_names(message);
		MUST(frame_send(pair[1], message, FRAME_REPLY_MAX, deadline_ns) == 0);
		MUST(frame_receive(pair[0], FRAME_REPLY_MAX, deadline_ns, &again) == 0);
		MUST(json_equal(message, again));
	}
	json_decref(message);
	json_decref(again);
	close(pair[0]);
	close(pair[1]);
	return 0;
}
