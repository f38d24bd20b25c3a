/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The result of the last verification, which outlives the daemon as an entry of the state's identity: numbers with a blank between
 * them. docs/FORMAT.md has their order.
 */
#include "migrate/verify.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_FORM 1u
#define HEAD_NUMBERS 9u
#define COUNT_ONE(member) +1
#define NUMBERS (HEAD_NUMBERS VERIFY_COUNTS(COUNT_ONE))

void verify_to_text(const struct verify_status *status, char text[VERIFY_TEXT_SIZE])
{
	const uint64_t numbers[NUMBERS] = {TEXT_FORM,
	                                   (uint64_t)status->life,
	                                   status->request.full,
	                                   status->request.ppm,
	                                   status->request.seed,
	                                   status->request.rate,
	                                   (uint64_t)status->error,
	                                   (uint64_t)status->started_s,
	                                   (uint64_t)status->ended_s,
#define LIST_MEMBER(member) status->member,
	                                   VERIFY_COUNTS(LIST_MEMBER)};
	size_t at = 0;

	for (size_t i = 0; i < NUMBERS; i++)
		at += (size_t)snprintf(text + at, VERIFY_TEXT_SIZE - at, "%s%" PRIu64, i ? " " : "", numbers[i]);
}

int verify_from_text(const char *text, struct verify_status *status)
{
	uint64_t numbers[NUMBERS], *number = numbers + HEAD_NUMBERS;
	char *end;

	for (size_t i = 0; i < NUMBERS; i++) {
		if (*text < '0' || *text > '9')
			return -EBADMSG;
		numbers[i] = strtoull(text, &end, 10);
		if (*end && *end != ' ')
			return -EBADMSG;
		text = end + (*end == ' ');
	}
	if (*text || numbers[0] != TEXT_FORM || numbers[1] > VERIFY_FAILED || numbers[3] > VERIFY_ALL_PPM ||
	    numbers[6] > INT32_MAX)
		return -EBADMSG;
	*status = (struct verify_status){
		.life = (enum verify_life)numbers[1],
		.request = {.full = numbers[2] != 0, .ppm = (uint32_t)numbers[3], .seed = numbers[4], .rate = numbers[5]},
		.error = (int)numbers[6],
		.started_s = (int64_t)numbers[7],
		.ended_s = (int64_t)numbers[8],
		.eta_s = -1,
	};
#define TAKE_MEMBER(member) status->member = *number++;
	VERIFY_COUNTS(TAKE_MEMBER)
	status->files_total = status->files;
	status->bytes_total = status->bytes_seen = status->bytes;
	return 0;
}
