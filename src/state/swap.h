/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Replacing a state by one that was made beside it. The old one is not opened: it may be damaged. It is kept, as data.mdb.damaged or
 * data.mdb.damaged-N, and nothing is ever written over it.
 *
 * Until swap_commit() a crash leaves the old state as it is, and what was made beside it is made again; between its two renames there is
 * no state, which a start refuses.
 */
#ifndef DMM_STATE_SWAP_H
#define DMM_STATE_SWAP_H

#include <stddef.h>

struct swap;

/* Takes the state's directory, which exists, as a daemon does: -EBUSY when one has it. With a sentence. */
int swap_begin(const char *dir, struct swap **swap, char *error, size_t error_size);
/* An empty directory in it, to make the new state in; what an interrupted attempt left is gone. */
int swap_make_room(struct swap *swap);
const char *swap_path(const struct swap *swap);
/* The new state takes the place of the old one, durably. It is closed. `kept`: the name that the old one has now, "" without one. */
int swap_commit(struct swap *swap, char *kept, size_t size);
/* Gives the directory back; takes away what was not committed. */
void swap_end(struct swap *swap);

#endif
