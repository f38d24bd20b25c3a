/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Names that a server lists and then does not know. Samba shows names that Windows could not write under made-up ones (BXTCMD~5), and
 * where its share is case sensitive it opens nothing by these. To the host "not there" means that the object is gone and nothing is
 * lost, which would be wrong: so the directory is asked once more.
 */
#include "cifs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Entries of one answer: 1 when the name is among them. */
static int find(const char *more, size_t left, const char *name, size_t len)
{
	struct wire_entry entry;

	while (left >= sizeof(entry)) {
		memcpy(&entry, more, sizeof(entry));
		more += sizeof(entry);
		left -= sizeof(entry);
		if (entry.len_name > left)
			return -EBADMSG;
		if (entry.len_name == len && memcmp(more, name, len) == 0)
			return 1;
		more += entry.len_name;
		left -= entry.len_name;
	}
	return 0;
}

static int look_in(struct dmm_conn *conn, struct dmm_request *request, uint64_t dir, const char *name, size_t len)
{
	struct ask ask = {.kind = ASK_LIST, .file = dir};
	struct reply reply;
	int64_t ret;
	int found = 0;

	do {
		char *more;
		ret = helper_ask(conn, request, &ask, NULL, &reply, &more);
		if (ret > 0 && more)
			found = find(more, reply.len_more, name, len);
		free(more);
	} while (ret > 0 && found == 0);
	return ret < 0 ? (int)ret : found;
}

int64_t not_there(struct dmm_conn *conn, struct dmm_request *request, const char *path, size_t len_path)
{
	const char *slash = len_path ? memrchr(path, '/', len_path) : NULL, *name = slash ? slash + 1 : path;
	struct ask open = {.kind = ASK_OPEN_DIR, .len_path = slash ? (uint32_t)(slash - path) : 0};
	struct reply reply, closed;

	if (len_path == 0 || helper_ask(conn, request, &open, path, &reply, NULL) < 0)
		return -ENOENT;
	int found = look_in(conn, request, reply.file, name, (size_t)(path + len_path - name));
	struct ask close = {.kind = ASK_CLOSE, .file = reply.file};
	if (!conn->broken)
		helper_ask(conn, request, &close, NULL, &closed, NULL);
	return found > 0 ? -EILSEQ : -ENOENT;
}
