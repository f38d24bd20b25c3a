/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Objects, each asked about in one compound of requests through libsmb2 ([MS-SMB2] 3.2.4.1.4), and many compounds on their way at once.
 */
#ifndef SMB_COMPOUND_H
#define SMB_COMPOUND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct smb2_context;

/* A READ of more would need more than one credit. */
#define READ_PIECE 65536u
#define READS_MOST 4u

enum step { STEP_OPEN, STEP_SECURITY, STEP_STREAMS, STEP_NUMBER, STEP_READ, STEP_CLOSE = STEP_READ + READS_MOST, STEPS };

struct compound;

/* What a callback gets. */
struct compound_step {
	struct compound *compound;
	bool answered;
	int error; /* positive errno */
	void *bytes;
	size_t len; /* of these, or of what was read */
};

struct compound {
	/* in */
	char *path; /* with backslashes; freed by compound_forget() */
	bool audit; /* with audit lists */
	bool look;  /* attributes and the file's number, nothing else */
	char *data; /* room for `wanted` bytes, at most READS_MOST * READ_PIECE */
	uint32_t wanted;

	/* out */
	struct compound_step steps[STEPS];
	unsigned waiting;                                   /* steps without an answer */
	bool seen;                                          /* what CLOSE says of the file ([MS-SMB2] 2.2.16) is known */
	uint64_t created, accessed, written, changed, size; /* NTTIME; bytes */
	uint32_t attributes;
};

/* The path as the protocol writes it; newly allocated. */
char *compound_path(const char *path, size_t len);
/* All of them. 0: each was answered, which may have been with errors; -ECONNABORTED, -ENOMEM: the session is of no more use, and to be
 * destroyed, which still calls back what it owes, before the compounds may go. */
int compounds_run(struct smb2_context *smb2, struct compound *compounds, size_t n);
/* Bytes read, or a negative errno: it could not be opened, read or closed. */
int64_t compound_result(const struct compound *compound);
/* With `look`: the file's number at the server; 0: it told none. */
uint64_t compound_number(const struct compound *compound);
void compound_forget(struct compound *compound);

#endif
