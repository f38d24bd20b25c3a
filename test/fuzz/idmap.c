/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Fuzz target: the file of property idmap, and ACLs. Properties: accepted, or refused with a sentence; a map never gives the id that
 * stands for none to one that was another.
 */
#include "source/idmap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char error[256] = "";
	struct idmap *map;
	int ret = idmap_parse((const char *)data, size, "map", &map, error, sizeof(error));

	if (ret < 0) {
		if (ret != -EINVAL || !*error)
			abort();
		return 0;
	}
	for (uint32_t id = 0; id < 100; id++)
		if (idmap_uid(map, id * 43000001u) == UINT32_MAX || idmap_gid(map, id) == UINT32_MAX)
			abort();
	void *acl = malloc(size ? size : 1);
	memcpy(acl, data, size);
	idmap_acl(map, acl, size);
	free(acl);
	idmap_free(map);
	return 0;
}
