/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The questions as calls of libsmbclient.
 */
#include "helper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Entries in one answer. */
#define LIST_MOST 1000
#define TEXT_MOST (256u << 10)

/* The library leaves errno as it finds it now and then. */
static int64_t failure(void)
{
	return errno ? -errno : -EIO;
}

static struct wire_time time_from(struct timespec time)
{
	return (struct wire_time){.sec = time.tv_sec, .nsec = (uint32_t)time.tv_nsec};
}

static int put_entry(struct answer *answer, const struct libsmb_file_info *info, const struct stat *st, const char *name)
{
	size_t len = strlen(name);
	char *at = answer_more(answer, sizeof(struct wire_entry) + len);
	struct wire_entry entry = {.len_name = (uint32_t)len,
	                           .attributes = info->attrs,
	                           .size = info->size,
	                           .fileid = st->st_ino,
	                           .is_dir = (info->attrs & DOS_DIRECTORY) != 0,
	                           .btime = time_from(info->btime_ts),
	                           .atime = time_from(info->atime_ts),
	                           .mtime = time_from(info->mtime_ts),
	                           .ctime = time_from(info->ctime_ts)};

	if (!at)
		return -ENOMEM;
	memcpy(at, &entry, sizeof(entry));
	memcpy(at + sizeof(entry), name, len);
	return 0;
}

/* stat() of the library has no DOS attributes and no creation time; they come from an attribute that it makes up. */
static uint32_t dos_mode(struct session *session, const char *url)
{
	char text[64];
	int len =
		smbc_getFunctionGetxattr(session->context)(session->context, url, "system.dos_attr.mode", text, sizeof(text) - 1);

	text[len > 0 && len < (int)sizeof(text) ? len : 0] = '\0';
	return (uint32_t)strtoul(text, NULL, 0);
}

int64_t answer_stat(struct session *session, const char *url, struct answer *answer)
{
	struct stat st;

	errno = 0;
	if (smbc_getFunctionStat(session->context)(session->context, url, &st) < 0)
		return failure();
	struct libsmb_file_info info = {.size = (uint64_t)st.st_size,
	                                .attrs = (uint16_t)dos_mode(session, url),
	                                .mtime_ts = st.st_mtim,
	                                .atime_ts = st.st_atim,
	                                .ctime_ts = st.st_ctim};
	if (S_ISDIR(st.st_mode))
		info.attrs |= DOS_DIRECTORY;
	return put_entry(answer, &info, &st, "");
}

int64_t answer_open(struct session *session, const char *url, bool dir, struct answer *answer)
{
	SMBCFILE *file;

	errno = 0;
	if (dir)
		file = smbc_getFunctionOpendir(session->context)(session->context, url);
	else
		file = smbc_getFunctionOpen(session->context)(session->context, url, O_RDONLY, 0);
	if (!file)
		return failure();
	/* Directories and files are closed by different functions. */
	answer->reply.file = (uint64_t)(uintptr_t)file | (dir ? 1 : 0);
	return 0;
}

static SMBCFILE *file_of(uint64_t number)
{
	return (SMBCFILE *)(uintptr_t)(number & ~(uint64_t)1);
}

int64_t answer_close(struct session *session, uint64_t number)
{
	int result;

	errno = 0;
	if (number & 1)
		result = smbc_getFunctionClosedir(session->context)(session->context, file_of(number));
	else
		result = smbc_getFunctionClose(session->context)(session->context, file_of(number));
	return result < 0 ? failure() : 0;
}

static bool is_dots(const char *name)
{
	return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

int64_t answer_list(struct session *session, uint64_t number, struct answer *answer)
{
	smbc_readdirplus2_fn next = smbc_getFunctionReaddirPlus2(session->context);
	const struct libsmb_file_info *info;
	int64_t count = 0;
	struct stat st;

	errno = 0;
	while (count < LIST_MOST && (info = next(session->context, file_of(number), &st))) {
		if (is_dots(info->name))
			continue;
		int ret = put_entry(answer, info, &st, info->name);
		if (ret < 0)
			return ret;
		count++;
		errno = 0;
	}
	return count < LIST_MOST && errno ? -errno : count;
}

int64_t answer_read(struct session *session, const struct ask *ask)
{
	SMBCFILE *file = file_of(ask->file);
	size_t len = ask->len < SHARED_BYTES ? ask->len : SHARED_BYTES;

	errno = 0;
	if (smbc_getFunctionLseek(session->context)(session->context, file, (off_t)ask->off, SEEK_SET) < 0)
		return failure();
	ssize_t got = smbc_getFunctionRead(session->context)(session->context, file, session->shared, len);
	return got < 0 ? failure() : got;
}

int64_t answer_security(struct session *session, const char *url, struct answer *answer)
{
	char *text = answer_more(answer, TEXT_MOST);

	if (!text)
		return -ENOMEM;
	errno = 0;
	*text = '\0';
	if (smbc_getFunctionGetxattr(session->context)(session->context, url, "system.nt_sec_desc.*", text, TEXT_MOST) < 0)
		return failure();
	answer->reply.len_more = (uint32_t)strnlen(text, TEXT_MOST);
	return answer->reply.len_more ? 0 : -ENODATA;
}
