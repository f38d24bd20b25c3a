/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A token bucket for bytes that the background reads from the source.
 *
 * Who takes may take more than there is: what comes in large pieces (segments) goes into debt, and nobody takes anything until the
 * debt is paid. So the rate holds over any time that is long beside one piece, whatever the size of the pieces; what may be saved
 * up while nobody takes is a tenth of a second's worth.
 *
 * No clock and no lock of its own.
 */
#ifndef DMM_MIGRATE_BUCKET_H
#define DMM_MIGRATE_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

struct bucket {
	uint64_t rate; /* bytes a second; 0: no limit */
	double tokens; /* bytes; below 0: debt */
	uint64_t at_ns;
	bool closed; /* a debt was made and is not paid yet */
};

/* Another rate from now on. A debt stays, and is paid at the new one; without a limit there is none. */
void bucket_set(struct bucket *bucket, uint64_t rate, uint64_t now_ns);
/* False: not before the debt is paid. */
bool bucket_take(struct bucket *bucket, uint64_t bytes, uint64_t now_ns);
/* Bytes that were taken and not read. */
void bucket_give_back(struct bucket *bucket, uint64_t bytes);
/* How long until something can be taken; 0: now. */
uint64_t bucket_wait_ns(struct bucket *bucket, uint64_t now_ns);

#endif
