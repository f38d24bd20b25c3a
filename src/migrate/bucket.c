/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Once in debt the bucket opens again when it holds OPEN_S worth: with small pieces it would otherwise open and close for each of
 * them. It holds at most FULL_S worth, so that a little lateness of who waits for it costs no rate.
 */
#include "migrate/bucket.h"

#include "base/clock.h"

#include <math.h>

#define OPEN_S 0.05
#define FULL_S 0.1

static void refill(struct bucket *bucket, uint64_t now_ns)
{
	double rate = (double)bucket->rate;

	if (now_ns > bucket->at_ns) {
		bucket->tokens += rate * (double)(now_ns - bucket->at_ns) / (double)NS_PER_S;
		bucket->at_ns = now_ns;
	}
	if (bucket->tokens > rate * FULL_S)
		bucket->tokens = rate * FULL_S;
	if (bucket->tokens >= rate * OPEN_S)
		bucket->closed = false;
}

void bucket_set(struct bucket *bucket, uint64_t rate, uint64_t now_ns)
{
	if (bucket->rate == rate)
		return;
	if (bucket->rate == 0 || rate == 0)
		*bucket = (struct bucket){.rate = rate, .at_ns = now_ns};
	refill(bucket, now_ns); /* what has passed was at the old rate */
	bucket->rate = rate;
}

bool bucket_take(struct bucket *bucket, uint64_t bytes, uint64_t now_ns)
{
	if (bucket->rate == 0)
		return true;
	refill(bucket, now_ns);
	if (bucket->closed)
		return false;
	bucket->tokens -= (double)bytes;
	bucket->closed = bucket->tokens <= 0;
	return true;
}

void bucket_give_back(struct bucket *bucket, uint64_t bytes)
{
	if (bucket->rate)
		bucket->tokens += (double)bytes; /* never more than FULL_S after the next refill */
}

uint64_t bucket_wait_ns(struct bucket *bucket, uint64_t now_ns)
{
	if (bucket->rate == 0)
		return 0;
	refill(bucket, now_ns);
	if (!bucket->closed)
		return 0;
	double rate = (double)bucket->rate;
	return (uint64_t)ceil((rate * OPEN_S - bucket->tokens) / rate * (double)NS_PER_S) + 1;
}
