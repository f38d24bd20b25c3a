/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Attributes and errors of version 4: RFC 7530, 5 and 13. Values follow each other in the order of their numbers, as the bitmap
 * says; one that we did not ask for cannot be skipped, since its length is not known, and makes the answer unusable.
 */
#include "nfs.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define WORD(attr) (1u << ((attr)-32))

uint32_t attr4_wanted[2] = {
	1u << FATTR4_TYPE | 1u << FATTR4_CHANGE | 1u << FATTR4_SIZE | 1u << FATTR4_FSID | 1u << FATTR4_RDATTR_ERROR |
		1u << FATTR4_FILEHANDLE | 1u << FATTR4_FILEID,
	WORD(FATTR4_MODE) | WORD(FATTR4_NUMLINKS) | WORD(FATTR4_OWNER) | WORD(FATTR4_OWNER_GROUP) | WORD(FATTR4_RAWDEV) |
		WORD(FATTR4_SPACE_USED) | WORD(FATTR4_TIME_ACCESS) | WORD(FATTR4_TIME_CREATE) | WORD(FATTR4_TIME_METADATA) |
		WORD(FATTR4_TIME_MODIFY),
};

uint32_t attr4_look[2] = {
	1u << FATTR4_TYPE | 1u << FATTR4_CHANGE | 1u << FATTR4_SIZE | 1u << FATTR4_FSID | 1u << FATTR4_FILEID,
	WORD(FATTR4_MODE) | WORD(FATTR4_TIME_METADATA) | WORD(FATTR4_TIME_MODIFY),
};

/* What is needed at least to make an object; an entry with an error has nothing else. */
#define NEEDED (1u << FATTR4_TYPE | 1u << FATTR4_SIZE | 1u << FATTR4_FILEID)

struct reader {
	const unsigned char *at;
	size_t left;
	bool bad;
};

static const unsigned char *take(struct reader *reader, size_t bytes)
{
	const unsigned char *at = reader->at;

	if (reader->bad || bytes > reader->left) {
		reader->bad = true;
		return NULL;
	}
	reader->at += bytes;
	reader->left -= bytes;
	return at;
}

static uint32_t take_32(struct reader *reader)
{
	const unsigned char *b = take(reader, 4);

	return b ? xdr_word(b) : 0;
}

static uint64_t take_64(struct reader *reader)
{
	uint64_t high = take_32(reader);

	return high << 32 | take_32(reader);
}

static struct dmm_bytes take_opaque(struct reader *reader)
{
	uint32_t len = take_32(reader);
	const unsigned char *data = take(reader, len);

	take(reader, (4 - len % 4) % 4);
	return (struct dmm_bytes){data, data ? len : 0};
}

static struct dmm_time take_time(struct reader *reader)
{
	int64_t sec = (int64_t)take_64(reader);

	return (struct dmm_time){.sec = sec, .nsec = take_32(reader)};
}

/* Two numbers as one; both count. */
static uint64_t take_fsid(struct reader *reader)
{
	uint64_t major = take_64(reader);

	return major * 0x9E3779B97F4A7C15ull ^ take_64(reader);
}

static void take_fh(struct reader *reader, struct fh *fh)
{
	struct dmm_bytes bytes = take_opaque(reader);

	if (bytes.len > FH_MAX)
		reader->bad = true;
	if (reader->bad || bytes.len == 0)
		return;
	fh->len = (unsigned)bytes.len;
	memcpy(fh->bytes, bytes.data, bytes.len);
}

static uint32_t type_of(uint32_t type)
{
	static const uint32_t types[] = {[NF4REG] = S_IFREG, [NF4DIR] = S_IFDIR,   [NF4BLK] = S_IFBLK, [NF4CHR] = S_IFCHR,
	                                 [NF4LNK] = S_IFLNK, [NF4SOCK] = S_IFSOCK, [NF4FIFO] = S_IFIFO};

	return type < sizeof(types) / sizeof(*types) ? types[type] : 0; /* named attributes: the host refuses them */
}

static void first_word(struct reader *reader, uint32_t bits, struct attr4 *to)
{
	struct dmm_attr *attr = &to->attr;

	if (bits & 1u << FATTR4_TYPE)
		attr->mode |= type_of(take_32(reader));
	if (bits & 1u << FATTR4_CHANGE) {
		attr->change = take_64(reader);
		attr->valid |= DMM_ATTR_CHANGE;
	}
	if (bits & 1u << FATTR4_SIZE)
		attr->size = take_64(reader);
	if (bits & 1u << FATTR4_FSID)
		attr->fsid = take_fsid(reader);
	if (bits & 1u << FATTR4_RDATTR_ERROR)
		to->error = -error_from_4((nfsstat4)take_32(reader));
	if (bits & 1u << FATTR4_FILEHANDLE)
		take_fh(reader, &to->fh);
	if (bits & 1u << FATTR4_FILEID)
		attr->fileid = take_64(reader);
}

static void owners_and_device(struct reader *reader, uint32_t bits, struct attr4 *to)
{
	struct dmm_attr *attr = &to->attr;

	if (bits & WORD(FATTR4_OWNER))
		to->owner = take_opaque(reader);
	if (bits & WORD(FATTR4_OWNER_GROUP))
		to->group = take_opaque(reader);
	if (bits & WORD(FATTR4_RAWDEV)) {
		attr->rdev_major = take_32(reader);
		attr->rdev_minor = take_32(reader);
	}
	if (bits & WORD(FATTR4_SPACE_USED)) {
		attr->used = take_64(reader);
		attr->valid |= DMM_ATTR_USED;
	}
}

static void times(struct reader *reader, uint32_t bits, struct dmm_attr *attr)
{
	if (bits & WORD(FATTR4_TIME_ACCESS)) {
		attr->atime = take_time(reader);
		attr->valid |= DMM_ATTR_ATIME;
	}
	if (bits & WORD(FATTR4_TIME_CREATE)) {
		attr->btime = take_time(reader);
		attr->valid |= DMM_ATTR_BTIME;
	}
	if (bits & WORD(FATTR4_TIME_METADATA)) {
		attr->ctime = take_time(reader);
		attr->valid |= DMM_ATTR_CTIME;
	}
	if (bits & WORD(FATTR4_TIME_MODIFY))
		attr->mtime = take_time(reader);
}

static void second_word(struct reader *reader, uint32_t bits, struct attr4 *to)
{
	struct dmm_attr *attr = &to->attr;

	if (bits & WORD(FATTR4_MODE))
		attr->mode |= take_32(reader) & 07777;
	if (bits & WORD(FATTR4_NUMLINKS)) {
		attr->nlink = take_32(reader);
		attr->valid |= DMM_ATTR_NLINK;
	}
	owners_and_device(reader, bits, to);
	times(reader, bits, attr);
}

int attr4_decode(const struct fattr4 *from, struct attr4 *to)
{
	struct reader reader = {(const unsigned char *)from->attr_vals.attrlist4_val, from->attr_vals.attrlist4_len, false};
	uint32_t bits[2] = {0};

	*to = (struct attr4){0};
	for (unsigned i = 0; i < from->attrmask.bitmap4_len; i++) {
		if (from->attrmask.bitmap4_val[i] & ~(i < 2 ? attr4_wanted[i] : 0u))
			return -EBADMSG;
		if (i < 2)
			bits[i] = from->attrmask.bitmap4_val[i];
	}
	first_word(&reader, bits[0], to);
	second_word(&reader, bits[1], to);
	if (reader.bad || reader.left)
		return -EBADMSG;
	if (to->error)
		return 0;
	return (bits[0] & NEEDED) == NEEDED && bits[1] & WORD(FATTR4_MODE) ? 0 : -EBADMSG;
}

int error_from_4(nfsstat4 status)
{
	switch (status) {
	case NFS4_OK:
		return 0;
	case NFS4ERR_PERM:
		return -EPERM;
	case NFS4ERR_NOENT:
		return -ENOENT;
	case NFS4ERR_NXIO:
		return -ENXIO;
	case NFS4ERR_ACCESS:
	case NFS4ERR_WRONGSEC:
		return -EACCES;
	case NFS4ERR_NOTDIR:
		return -ENOTDIR;
	case NFS4ERR_ISDIR:
		return -EISDIR;
	case NFS4ERR_INVAL:
		return -EINVAL;
	case NFS4ERR_NAMETOOLONG:
		return -ENAMETOOLONG;
	case NFS4ERR_STALE:
	case NFS4ERR_BADHANDLE:
	case NFS4ERR_FHEXPIRED:
	case NFS4ERR_BAD_COOKIE:
	case NFS4ERR_NOT_SAME: /* of a listing: it has to begin anew */
		return -ESTALE;
	case NFS4ERR_NOTSUPP:
	case NFS4ERR_ATTRNOTSUPP:
		return -EOPNOTSUPP;
	case NFS4ERR_DELAY:
	case NFS4ERR_GRACE:
	case NFS4ERR_RESOURCE:
	case NFS4ERR_LOCKED:
	case NFS4ERR_SHARE_DENIED:
		return -EAGAIN;
	case NFS4ERR_SERVERFAULT:
	case NFS4ERR_MOVED:
		return -EREMOTEIO;
	case NFS4ERR_MINOR_VERS_MISMATCH:
		return -EPROTONOSUPPORT;
	default:
		return -EIO;
	}
}
