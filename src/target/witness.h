/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The witness: a small file in our directory that knows how far the state has come, since a state cannot tell by itself that it was
 * restored from a backup. It holds two numbers: of the last commit, and of the last one before which the target was synced. The state
 * holds its own number, the second one as it was, and the witness's file handle. So
 *
 *   a state below the first number    is an older copy: believing it brings source bytes over what applications wrote since (I2)
 *   a second number below the state's is that of an older target: what the state calls resident may not be there (I1)
 *   a file with another handle        is not on this file system: the target was copied, and records would find no objects (I4)
 *
 * A commit is noted after it is durable, a sync before it: so a crash leaves the first number too small and the second too great, and
 * raises no alarm.
 * The one who serves the target holds flock(2) on it: also when somebody exchanges the directory of the state, there is one daemon.
 */
#ifndef DMM_TARGET_WITNESS_H
#define DMM_TARGET_WITNESS_H

#include "target/target.h"

#define TARGET_WITNESS "witness"

/* Text of a handle, for the identity of the state: "TYPE:HEX". */
#define WITNESS_NAME_SIZE (HANDLE_BYTES_MAX * 2 + 16)

/* After target_adopt(). Makes the witness, durable, with both numbers 0, and takes it as target_witness_take() does. */
int target_witness_make(struct target *target);
/* Opens and locks it; whoever is just ending is waited for. -ENOENT: there is none; -EBUSY: another one serves this target. */
int target_witness_take(struct target *target);
/* Makes another one beside it, for a new state, and takes that instead; target_witness_install() gives it the name. */
int target_witness_renew(struct target *target);
int target_witness_install(struct target *target);
void target_witness_close(struct target *target);

/* Of the witness that was taken. */
int target_witness_name(const struct target *target, char name[WITNESS_NAME_SIZE]);
/* -EBADMSG: it holds no numbers. */
struct witness_numbers {
	uint64_t committed, begun;
};
int target_witness_read(const struct target *target, struct witness_numbers *numbers);
/* Without a witness -ENOENT. */
int target_witness_committed(const struct target *target, uint64_t commit);
int target_witness_begun(const struct target *target, uint64_t commit);
int target_witness_sync(const struct target *target);
/* What was done to the target until now was done by who holds it, whether or not a commit told of it. */
int target_witness_touch(const struct target *target);

/* Without taking it: its name and numbers, for who only looks. */
int target_witness_look(const struct target *target, char name[WITNESS_NAME_SIZE], struct witness_numbers *numbers);

#endif
