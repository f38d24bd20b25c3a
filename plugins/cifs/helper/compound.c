/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Compounds: open, security descriptor, list of streams, data, close; in one round trip, and all of a batch on their way at once. How many
 * of them really are, the credits of the server say, which the library counts.
 *
 * A step is answered once, by its own callback, whatever the order; a step that the server calls pending is answered later.
 */
#include "compound.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* clang-format off */
/* The second needs the first, the third both. */
#include <smb2/smb2.h>
#include <smb2/libsmb2.h>
#include <smb2/libsmb2-raw.h>
/* clang-format on */

#define ANSWER_MOST 65535 /* bytes: more would need more than one credit */
#define PATIENCE_S 20
#define READ_DATA 0x1u
#define READ_ATTRIBUTES 0x80u
#define GROUP_INFORMATION 0x2u
#define DACL_INFORMATION 0x4u
#define SHARE_ALL 0x7u
#define CLOSE_WITH_ATTRIBUTES 0x1u
#define FILE_INTERNAL_INFORMATION 6 /* [MS-FSCC] 2.4.22 */

char *compound_path(const char *path, size_t len)
{
	char *copy = malloc(len + 1);

	for (size_t i = 0; copy && i < len; i++)
		copy[i] = path[i] == '/' ? '\\' : path[i];
	if (copy)
		copy[len] = '\0';
	return copy;
}

/* --- answers --- */

static void take_bytes(struct compound_step *step, const struct smb2_query_info_reply *reply)
{
	size_t len = reply->output_buffer ? reply->output_buffer_length : 0;

	step->bytes = malloc(len + 1);
	if (step->bytes && len)
		memcpy(step->bytes, reply->output_buffer, len);
	step->len = step->bytes ? len : 0;
	step->error = step->bytes ? 0 : ENOMEM;
}

static void take_attributes(struct compound *compound, const struct smb2_close_reply *reply)
{
	compound->seen = reply->flags & CLOSE_WITH_ATTRIBUTES;
	compound->created = reply->creation_time;
	compound->accessed = reply->last_access_time;
	compound->written = reply->last_write_time;
	compound->changed = reply->change_time;
	compound->size = reply->end_of_file;
	compound->attributes = reply->file_attributes;
}

static unsigned number_of(const struct compound_step *step)
{
	return (unsigned)(step - step->compound->steps);
}

static void on_answer(struct smb2_context *smb2, int status, void *data, void *context)
{
	struct compound_step *step = context;
	unsigned number = number_of(step);

	(void)smb2;
	if (step->answered || (uint32_t)status == SMB2_STATUS_PENDING)
		return;
	step->answered = true;
	step->compound->waiting--;
	step->error = status ? nterror_to_errno((uint32_t)status) : 0;
	if (status && !step->error)
		step->error = EIO;
	if (status || !data)
		return;
	if (number == STEP_SECURITY || number == STEP_STREAMS || number == STEP_NUMBER)
		take_bytes(step, data);
	else if (number >= STEP_READ && number < STEP_CLOSE)
		step->len = ((const struct smb2_read_reply *)data)->data_length;
	else if (number == STEP_CLOSE)
		take_attributes(step->compound, data);
}

/* --- requests --- */

static struct smb2_pdu *make_open(struct smb2_context *smb2, struct compound *compound)
{
	struct smb2_create_request open = {
		.requested_oplock_level = SMB2_OPLOCK_LEVEL_NONE,
		.impersonation_level = SMB2_IMPERSONATION_IMPERSONATION,
		.desired_access = READ_ATTRIBUTES | (compound->look ? 0 : SMB2_READ_CONTROL) |
	                          (compound->wanted ? READ_DATA : 0) | (compound->audit ? SMB2_ACCESS_SYSTEM_SECURITY : 0),
		.share_access = SHARE_ALL,
		.create_disposition = SMB2_FILE_OPEN,
		.name = compound->path,
	};

	return smb2_cmd_create_async(smb2, &open, on_answer, &compound->steps[STEP_OPEN]);
}

static struct smb2_pdu *make_query(struct smb2_context *smb2, struct compound *compound, unsigned step)
{
	bool security = step == STEP_SECURITY;
	uint32_t parts = SMB2_OWNER_SECURITY_INFORMATION | GROUP_INFORMATION | DACL_INFORMATION |
	                 (compound->audit ? SMB2_SACL_SECURITY_INFORMATION : 0);
	struct smb2_query_info_request query = {
		.info_type = security ? SMB2_0_INFO_SECURITY : SMB2_0_INFO_FILE,
		.file_info_class = security              ? 0
	                           : step == STEP_NUMBER ? FILE_INTERNAL_INFORMATION
	                                                 : SMB2_FILE_STREAM_INFORMATION,
		.output_buffer_length = ANSWER_MOST,
		.additional_information = security ? parts : 0,
	};

	memcpy(query.file_id, compound_file_id, SMB2_FD_SIZE);
	return smb2_cmd_query_info_async(smb2, &query, on_answer, &compound->steps[step]);
}

static struct smb2_pdu *make_read(struct smb2_context *smb2, struct compound *compound, unsigned step)
{
	uint32_t at = (step - STEP_READ) * READ_PIECE, left = compound->wanted - at;
	struct smb2_read_request read = {
		.length = left < READ_PIECE ? left : READ_PIECE,
		.offset = at,
		.buf = (uint8_t *)compound->data + at,
	};

	memcpy(read.file_id, compound_file_id, SMB2_FD_SIZE);
	return smb2_cmd_read_async(smb2, &read, on_answer, &compound->steps[step]);
}

static struct smb2_pdu *make_close(struct smb2_context *smb2, struct compound *compound)
{
	struct smb2_close_request close = {.flags = compound->wanted || compound->look ? CLOSE_WITH_ATTRIBUTES : 0};

	memcpy(close.file_id, compound_file_id, SMB2_FD_SIZE);
	return smb2_cmd_close_async(smb2, &close, on_answer, &compound->steps[STEP_CLOSE]);
}

static struct smb2_pdu *make(struct smb2_context *smb2, struct compound *compound, unsigned step)
{
	switch (step) {
	case STEP_OPEN:
		return make_open(smb2, compound);
	case STEP_SECURITY:
	case STEP_STREAMS:
	case STEP_NUMBER:
		return make_query(smb2, compound, step);
	case STEP_CLOSE:
		return make_close(smb2, compound);
	default:
		return make_read(smb2, compound, step);
	}
}

/* Steps that this one has. */
static bool has(const struct compound *compound, unsigned step)
{
	if (step == STEP_OPEN || step == STEP_CLOSE)
		return true;
	if (step < STEP_READ)
		return compound->look == (step == STEP_NUMBER);
	return (step - STEP_READ) * READ_PIECE < compound->wanted;
}

static int send(struct smb2_context *smb2, struct compound *compound)
{
	struct smb2_pdu *first = NULL;

	for (unsigned step = 0; step < STEPS; step++) {
		if (!has(compound, step))
			continue;
		compound->steps[step] = (struct compound_step){.compound = compound};
		struct smb2_pdu *pdu = make(smb2, compound, step);
		if (!pdu && first)
			smb2_free_pdu(smb2, first);
		if (!pdu)
			return -ENOMEM;
		compound->waiting++;
		if (first)
			smb2_add_compound_pdu(smb2, first, pdu);
		else
			first = pdu;
	}
	smb2_queue_pdu(smb2, first);
	return 0;
}

static bool all_answered(const struct compound *compounds, size_t n, size_t *from)
{
	while (*from < n && compounds[*from].waiting == 0)
		++*from;
	return *from == n;
}

/* By the clock that nobody sets. */
static time_t now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

int compounds_run(struct smb2_context *smb2, struct compound *compounds, size_t n)
{
	time_t end = now_s() + PATIENCE_S;
	size_t answered = 0;

	for (size_t i = 0; i < n; i++) {
		int ret = send(smb2, &compounds[i]);
		if (ret < 0)
			return ret;
	}
	while (!all_answered(compounds, n, &answered)) {
		struct pollfd fd = {.fd = smb2_get_fd(smb2), .events = (short)smb2_which_events(smb2)};
		if (now_s() > end || (poll(&fd, 1, 1000) < 0 && errno != EINTR))
			return -ECONNABORTED;
		if (fd.revents && smb2_service(smb2, fd.revents) < 0)
			return -ECONNABORTED;
	}
	return 0;
}

uint64_t compound_number(const struct compound *compound)
{
	const struct compound_step *step = &compound->steps[STEP_NUMBER];
	uint64_t number;

	if (step->error || step->len != sizeof(number))
		return 0;
	memcpy(&number, step->bytes, sizeof(number));
	return le64toh(number);
}

int64_t compound_result(const struct compound *compound)
{
	const struct compound_step *steps = compound->steps;
	uint64_t got = 0;

	if (steps[STEP_OPEN].error || steps[STEP_CLOSE].error)
		return -(steps[STEP_OPEN].error ? steps[STEP_OPEN].error : steps[STEP_CLOSE].error);
	for (unsigned step = STEP_READ; step < STEP_CLOSE && has(compound, step); step++) {
		uint32_t at = (step - STEP_READ) * READ_PIECE, left = compound->wanted - at;
		uint32_t asked = left < READ_PIECE ? left : READ_PIECE;

		if (steps[step].error)
			return -steps[step].error;
		if (steps[step].len > asked)
			return -EBADMSG;
		got += steps[step].len;
		if (steps[step].len < asked)
			break;
	}
	return (int64_t)got;
}

void compound_forget(struct compound *compound)
{
	for (unsigned step = 0; step < STEPS; step++)
		free(compound->steps[step].bytes);
	free(compound->path);
	*compound = (struct compound){0};
}
