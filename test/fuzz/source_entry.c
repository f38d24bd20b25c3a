/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Directory entries from a source, through the checks of the port. Whatever came in, what the sink gets can be made on a target:
 * a name of one component, and either an error or sound attributes.
 *
 * Input: one byte (length of the handle; 0xff: one too long), the bytes of a struct dmm_attr, then the name.
 */
#include "source/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition) \
	do { \
		if (!(condition)) \
			abort(); \
	} while (0)

static void require_component(const struct dmm_entry *entry)
{
	REQUIRE(entry->name_len >= 1 && entry->name_len <= DMM_NAME_MAX);
	REQUIRE(strlen(entry->name) == entry->name_len);
	REQUIRE(!strchr(entry->name, '/'));
	REQUIRE(strcmp(entry->name, ".") != 0 && strcmp(entry->name, "..") != 0);
}

static void require_sound(const struct dmm_entry *entry)
{
	const struct dmm_attr *attr = &entry->attr;

	REQUIRE(entry->handle.len >= 1 && entry->handle.len <= DMM_HANDLE_MAX);
	REQUIRE(attr->size <= INT64_MAX);
	REQUIRE(attr->mtime.nsec < 1000000000);
	REQUIRE(!(attr->valid & DMM_ATTR_USED) || attr->used <= INT64_MAX);
	REQUIRE(!(attr->valid & DMM_ATTR_OWNER) || (attr->uid != UINT32_MAX && attr->gid != UINT32_MAX));
	REQUIRE((attr->mode & S_IFMT) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char handle[DMM_HANDLE_MAX + 1];
	char printable[PRINTABLE_MAX];
	struct dmm_entry entry = {0}, checked;

	if (size < 1 + sizeof(entry.attr))
		return 0;
	entry.handle = (struct dmm_bytes){handle, data[0] == 0xff ? sizeof(handle) : data[0]};
	memcpy(&entry.attr, data + 1, sizeof(entry.attr));
	entry.name_len = size - 1 - sizeof(entry.attr);
	char *name = malloc(entry.name_len + 1);
	memcpy(name, data + 1 + sizeof(entry.attr), entry.name_len);
	name[entry.name_len] = '\0';
	entry.name = name;

	check_entry(&entry, &checked, printable);
	require_component(&checked);
	if (checked.error == 0) {
		require_sound(&checked);
		REQUIRE(checked.name == name);
	} else {
		REQUIRE(checked.error == EBADMSG || checked.error == ENAMETOOLONG);
		REQUIRE(checked.handle.len == 0 && checked.attr.mode == 0);
	}
	free(name);
	return 0;
}
