/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The model: eight files, two of them in a directory, of sizes around the edges of segments.
 */
#include "simulation.h"

#include "fake_source.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *path;
	unsigned dir; /* object of its directory */
	uint32_t size;
} sources[FILES] = {
	{"empty", 0, 0},
	{"byte", 0, 1},
	{"segment", 0, SEGSIZE},
	{"odd", 0, 3 * SEGSIZE + 10},
	{"even", 0, 5 * SEGSIZE},
	{"almost", 0, 2 * SEGSIZE - 1},
	{"d/six", 20, 6 * SEGSIZE},
	{"d/small", 20, 100},
};

void model_source(void)
{
	fake_reset();
	fake_dir(20, 0, "d");
	for (unsigned i = 0; i < FILES; i++)
		fake_file(i + 1, sources[i].dir, sources[i].dir ? sources[i].path + 2 : sources[i].path, sources[i].size);
}

void model_init(struct model *model)
{
	memset(model, 0, sizeof(*model));
	model->under_way = -1;
	for (unsigned i = 0; i < FILES; i++) {
		struct model_file *file = &model->files[i];
		file->there = true;
		snprintf(file->path, sizeof(file->path), "%s", sources[i].path);
		file->size = sources[i].size;
		for (uint32_t at = 0; at < file->size; at++)
			file->bytes[at] = fake_byte(i + 1, at);
	}
}

static void set_bytes(struct model_file *file, uint32_t from, uint32_t to, unsigned char value)
{
	if (to > from)
		memset(file->bytes + from, value, to - from);
}

bool model_step(const struct model *model, const struct step *step, struct model_file *after)
{
	*after = model->files[step->file % FILES];
	uint32_t end = step->off + step->len;
	if (!after->there)
		return false;
	switch (step->kind) {
	case STEP_READ:
		return step->off < after->size;
	case STEP_WRITE:
		set_bytes(after, step->off, end, step->value);
		after->size = end > after->size ? end : after->size;
		return true;
	case STEP_RESIZE:
		set_bytes(after, step->off, after->size, 0);
		after->size = step->off;
		return true;
	case STEP_PUNCH:
		set_bytes(after, step->off, end < after->size ? end : after->size, 0);
		return step->off < after->size;
	case STEP_RENAME:
		snprintf(after->path, sizeof(after->path), "%sr%u", step->off % 2 ? "d/" : "", model->names);
		return true;
	case STEP_UNLINK:
		after->there = false;
		return true;
	default:
		return false;
	}
}
