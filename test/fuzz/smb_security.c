/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Fuzz target: a security descriptor in the words of libsmbclient, and handles of the cifs plugin. The first byte says how much room
 * there is for the value, in units of 16 bytes; the rest is the text, or the handle.
 *
 * Properties: the value fits into its room, or it is -EMSGSIZE; -EBADMSG for what is none; a handle's path lies within it.
 */
#include "cifs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void try_text(const uint8_t *data, size_t size, size_t room)
{
	unsigned char *value = malloc(room + 1); /* of its own, so that the sanitizer sees a step too far */
	char *text = malloc(size + 1);

	memcpy(text, data, size);
	text[size] = '\0';
	int ret = ntacl_make(text, value, room);
	must(ret == -EBADMSG || ret == -EMSGSIZE || (ret > 0 && (size_t)ret <= room));
	free(text);
	free(value);
}

static void try_handle(const uint8_t *data, size_t size)
{
	uint8_t *bytes = malloc(size + 1);
	struct handle handle;

	memcpy(bytes, data, size);
	int ret = handle_parse((struct dmm_bytes){bytes, size}, &handle);
	must(ret == 0 || ret == -ESTALE);
	if (ret == 0)
		must(handle.path >= (char *)bytes && handle.path + handle.len_path <= (char *)bytes + size);
	free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	try_text(data + 1, size - 1, (size_t)data[0] * 16);
	try_handle(data + 1, size - 1);
	return 0;
}
