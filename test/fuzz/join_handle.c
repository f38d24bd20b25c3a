/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Fuzz target: the handle of an object of two sources, and a name of the second side. Properties: refused, or its parts lie within the
 * bytes, make the same bytes again, and can be told of.
 */
#include "source/join.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_within(const uint8_t *data, size_t size, const void *part, size_t len)
{
	const uint8_t *at = part;

	return len == 0 || (at >= data && at <= data + size && len <= (size_t)(data + size - at));
}

static void check_handle(const uint8_t *data, size_t size)
{
	static unsigned char again[DMM_HANDLE_MAX];
	struct join_handle handle;
	char sentence[1024];
	struct dmm_attr attr = {.mode = 0100644, .size = size};

	if (join_handle_parse((struct dmm_bytes){data, size}, &handle) < 0)
		return;
	if (!is_within(data, size, handle.first.data, handle.first.len) || handle.first.len == 0 ||
	    !is_within(data, size, handle.second.data, handle.second.len) || !is_within(data, size, handle.name, handle.name_len))
		abort();
	int told = join_handle_tell(&handle, &attr, sentence, sizeof(sentence));
	if ((told != 0) != (*sentence != '\0'))
		abort();
	if (join_handle_make(&handle, again) != (int)size || memcmp(again, data, size) != 0)
		abort();
}

static void check_names(const uint8_t *data, size_t size)
{
	struct join_names names;
	char name[DMM_NAME_MAX + 1];
	struct dmm_entry entry = {.name = name, .handle = {"handle", 6}, .attr = {.mode = 0100644}};

	join_names_init(&names, 0);
	for (size_t at = 0; at < size; at += entry.name_len + 1) {
		entry.name_len = data[at] < size - at - 1 ? data[at] : size - at - 1;
		memcpy(name, data + at + 1, entry.name_len);
		name[entry.name_len] = '\0';
		entry.name_len = strlen(name);
		entry.attr.fileid = at % 3;
		if (join_names_add(&names, &entry) < 0 || !join_names_find(&names, name, entry.name_len))
			abort();
		join_name_is_made_up(name, entry.name_len);
		join_name_is_legal(name, entry.name_len);
	}
	if (join_names_rest(&names) < 0)
		abort();
	for (size_t i = 0; i < names.count; i++) {
		entry.name = join_names_name(&names, &names.all[i]);
		entry.name_len = names.all[i].name_len;
		const struct join_name *like = join_names_like(&names, &entry);
		if (like && like->matched)
			abort();
	}
	join_names_free(&names);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_handle(data, size);
	check_names(data, size);
	return 0;
}
