/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Random steps of applications, crashes and restarts against the migrator, with a source in memory, compared with a model of what
 * applications may rely on (docs/CRASH-CONTRACT.md): a file is the source's but for what was acknowledged to an application; of the
 * step that a crash cuts off each byte is as before or as after it.
 *
 *   case     a list of steps, made from a seed; world.c runs it in processes that die at its crashes
 *   model    what each file must be, in memory that all processes share; model.c
 *   shrink   a case that fails is run again with steps left out, as long as it still fails; main.c
 *
 * The steps of a seed are always the same; which thread runs first is the system's choice, so that a rare failure may need its seed
 * more than once.
 */
#ifndef DMM_TEST_SIMULATION_H
#define DMM_TEST_SIMULATION_H

#include <stdbool.h>
#include <stdint.h>

#define SEGSIZE 4096u
#define FILES 8u
#define SIZE_MAX_BYTES (8 * SEGSIZE)
#define NAME_BYTES 32

enum step_kind {
	STEP_READ,   /* [off, off + len) is as the model has it */
	STEP_WRITE,  /* value */
	STEP_RESIZE, /* to off */
	STEP_PUNCH,
	STEP_RENAME, /* to a name that nobody has; off % 2: into the directory */
	STEP_UNLINK,
	STEP_CRASH, /* here */
	STEP_FAULT, /* at one of the next hits of a fault point */
	STEP_HALT,  /* in order, and started again */
	STEP_KINDS
};

struct step {
	enum step_kind kind;
	unsigned file;
	uint32_t off, len;
	unsigned char value;
};

/* What a file must be. */
struct model_file {
	bool there;
	char path[NAME_BYTES];
	uint32_t size;
	unsigned char bytes[SIZE_MAX_BYTES];
};

/* Shared by the processes of one case. */
struct model {
	struct model_file files[FILES], after; /* `after`: the file of the step that is under way, when it is done */
	int under_way;                         /* that file, or -1 */
	bool writes;                           /* that step is a write */
	unsigned done;                         /* steps */
	unsigned names;                        /* given by renames */
	bool background;
	char failure[512];
};

/* model.c */
void model_init(struct model *model);
/* What the file becomes by this step. False: the step is not for it now. */
bool model_step(const struct model *model, const struct step *step, struct model_file *after);
/* The files at the source, in fake_objects. */
void model_source(void);

/* world.c: true when all is as it must be; else model->failure says what is not. `model` is shared memory. */
bool world_run(const char *top, struct model *model, const struct step *steps, unsigned count);

#endif
