/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Memory of a short-lived program: without it there is nothing to do but to say so and end.
 */
#ifndef DMM_CLI_MEMORY_H
#define DMM_CLI_MEMORY_H

#include <stdio.h>
#include <stdlib.h>

static inline void *memory_must(void *pointer)
{
	if (!pointer) {
		fputs("dmmfs-admin: out of memory\n", stderr);
		exit(1);
	}
	return pointer;
}

#endif
