/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Descriptors of removed files that are open: in the keeper's hands, and in the service manager's, should the keeper be killed.
 *
 * The manager knows each by its place in the table. What it is told follows what is in the table, whose states say what it is still to be
 * told; so a keeper that comes after a kill at any instruction goes on from there. Who is killed between telling and noting tells it
 * once more, which changes nothing. A manager that does not read for a while is told later: nobody waits for it.
 */
#ifndef DMM_KEEPER_HELD_H
#define DMM_KEEPER_HELD_H

#include "keeper/memory.h"

/* Takes the descriptor over; of a node that is held already it replaces the one that was. More than `most` are not held. Both return
 * whether the manager is still to be told. */
bool held_take(struct memory *memory, uint64_t node, int fd, unsigned most);
bool held_let_go(struct memory *memory, uint64_t node);
/* Tells the manager what it is still to be told. Returns whether something is left. */
bool held_settle(struct memory *memory);
/* The manager is to have them, too, whatever it was told before. */
void held_store_all(struct memory *memory);
/* Closes all; the manager is told when `forget`. */
void held_end(struct memory *memory, bool forget);

/* Of what the manager gave back: takes over the one that has this name; false: it is none of the table's. */
bool held_recover(struct memory *memory, const char *name, int fd);
/* Before the first and after the last of them: no entry has a descriptor; those that got none are dropped. Returns how many have one. */
void held_recover_begin(struct memory *memory);
unsigned held_recover_end(struct memory *memory);

#endif
