/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Fuzz target: the list of streams and the security descriptor that an SMB server sends. Properties: the list comes to an end, its names
 * are UTF-8 of one component; a descriptor grows by its head alone.
 */
#include "cifs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition) \
	do { \
		if (!(condition)) \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1); /* of exactly this size, for the sanitizer */
	unsigned char *value = malloc(size + NTACL_HEAD);
	struct stream stream;
	size_t at = 0, before = 0, most = size;
	int ret;

	memcpy(copy, data, size);
	while ((ret = stream_next(copy, size, &at, &stream)) == 1 || ret == -EILSEQ) {
		MUST(most-- > 0 && at > before && at <= size);
		before = at;
		if (ret == 1)
			MUST(*stream.name && strlen(stream.name) < STREAM_NAME_MOST && !strpbrk(stream.name, "/:"));
	}
	MUST(ret == 0 || ret == -EBADMSG);
	ret = ntacl_wrap(copy, size, value);
	MUST(ret == -EBADMSG || ret == (int)size + NTACL_HEAD);
	free(value);
	free(copy);
	return 0;
}
