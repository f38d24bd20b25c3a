/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Attributes and errors of version 3: RFC 1813, 2.6 and 2.5.
 */
#include "nfs.h"

#include <errno.h>
#include <sys/stat.h>

static uint32_t type_of(ftype3 type)
{
	switch (type) {
	case NF3REG:
		return S_IFREG;
	case NF3DIR:
		return S_IFDIR;
	case NF3BLK:
		return S_IFBLK;
	case NF3CHR:
		return S_IFCHR;
	case NF3LNK:
		return S_IFLNK;
	case NF3SOCK:
		return S_IFSOCK;
	case NF3FIFO:
		return S_IFIFO;
	default:
		return 0; /* the host refuses it */
	}
}

/* Seconds are unsigned on the wire, but servers put negative ones there for times before 1970. */
static struct dmm_time time_from(const struct nfstime3 *from)
{
	return (struct dmm_time){.sec = (int32_t)from->seconds, .nsec = from->nseconds};
}

void attr_from_3(struct dmm_attr *attr, const struct fattr3 *from)
{
	*attr = (struct dmm_attr){
		.valid = DMM_ATTR_OWNER | DMM_ATTR_NLINK | DMM_ATTR_USED | DMM_ATTR_ATIME | DMM_ATTR_CTIME,
		.mode = type_of(from->type) | (from->mode & 07777),
		.nlink = from->nlink,
		.uid = from->uid,
		.gid = from->gid,
		.rdev_major = from->rdev.specdata1,
		.rdev_minor = from->rdev.specdata2,
		.size = from->size,
		.used = from->used,
		.fsid = from->fsid,
		.fileid = from->fileid,
		.atime = time_from(&from->atime),
		.mtime = time_from(&from->mtime),
		.ctime = time_from(&from->ctime),
	};
}

int error_from_3(nfsstat3 status)
{
	switch (status) {
	case NFS3_OK:
		return 0;
	case NFS3ERR_PERM:
		return -EPERM;
	case NFS3ERR_NOENT:
		return -ENOENT;
	case NFS3ERR_IO:
		return -EIO;
	case NFS3ERR_NXIO:
		return -ENXIO;
	case NFS3ERR_ACCES:
		return -EACCES;
	case NFS3ERR_NODEV:
		return -ENODEV;
	case NFS3ERR_NOTDIR:
		return -ENOTDIR;
	case NFS3ERR_ISDIR:
		return -EISDIR;
	case NFS3ERR_INVAL:
		return -EINVAL;
	case NFS3ERR_NAMETOOLONG:
		return -ENAMETOOLONG;
	case NFS3ERR_STALE:
	case NFS3ERR_BADHANDLE:
	case NFS3ERR_BAD_COOKIE: /* the listing has to begin anew */
		return -ESTALE;
	case NFS3ERR_NOTSUPP:
		return -EOPNOTSUPP;
	case NFS3ERR_JUKEBOX: /* come again later: the data is on a tape */
		return -EAGAIN;
	case NFS3ERR_SERVERFAULT:
		return -EREMOTEIO;
	default:
		return -EIO;
	}
}
