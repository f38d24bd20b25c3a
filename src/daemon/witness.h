/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Do a state and a target belong to one moment? See target/witness.h.
 */
#ifndef DMM_DAEMON_WITNESS_H
#define DMM_DAEMON_WITNESS_H

#include "daemon/daemon.h"

/* Name of the witness, in the identity of the state. */
#define IDENTITY_WITNESS "witness"

/* A new state gets a witness; the one of any other is taken and compared. The state is open, nothing is submitted to it yet. -ESTALE:
 * they do not belong together; with a sentence. */
int daemon_witness(struct daemon *daemon, char *error, size_t error_size);
/* Only compares, for who does away with a migration: the witness need not be there when the state has none. */
int daemon_witness_look(struct daemon *daemon, char *error, size_t error_size);
/* For struct store_options, with the target as its context. */
int daemon_witness_note(void *context, enum store_note what, uint64_t commit);

#endif
