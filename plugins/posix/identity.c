/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * fsid: together with the inode number the identity of an object, by which hard links are recognised. Two rules: different
 * objects never get an equal pair (they would be joined into one file), and the same object gets the same pair after a restart,
 * when st_dev may have changed.
 *
 *   root's device     f_fsid of statfs(2) where the file system has one (often made from its UUID), else st_dev
 *   another mount     made from where it is mounted. Not f_fsid: two copies of one disk image, or an overlay and the file system
 *                     below it, have equal ones.
 *   another device on the same mount (subvolumes of btrfs, layers of overlayfs)
 *                     f_fsid where it differs from the root's, else from st_dev
 */
#include "posix.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

/* The finaliser of splitmix64: every bit of the input moves every bit of the result. */
static uint64_t mix(uint64_t a, uint64_t b)
{
	uint64_t x = a * 0x9e3779b97f4a7c15u + b + 0x7f4a7c15u;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static uint64_t fsid_of_fd(int fd)
{
	struct statfs fs;
	uint64_t fsid;

	if (fstatfs(fd, &fs) < 0)
		return 0;
	_Static_assert(sizeof(fs.f_fsid) == sizeof(fsid), "f_fsid is two 32-bit numbers");
	memcpy(&fsid, &fs.f_fsid, sizeof(fsid));
	return fsid;
}

uint64_t identity_of_fd(int fd, uint64_t dev)
{
	uint64_t fsid = fsid_of_fd(fd);

	return fsid ? fsid : dev;
}

uint64_t identity_below_mount(uint64_t dir_fsid, uint64_t dir_ino, const char *name)
{
	uint64_t x = mix(dir_fsid, dir_ino);

	for (; *name; name++)
		x = mix(x, (unsigned char)*name);
	return x;
}

uint64_t identity_other_device(uint64_t dir_fsid, uint64_t dev)
{
	return mix(dir_fsid, dev);
}

static bool cache_find(struct identity_cache *cache, uint64_t dev, uint64_t *fsid)
{
	bool found = false;

	pthread_mutex_lock(&cache->lock);
	for (unsigned i = 0; i < cache->count && !found; i++) {
		if (cache->known[i].dev == dev) {
			*fsid = cache->known[i].fsid;
			found = true;
		}
	}
	pthread_mutex_unlock(&cache->lock);
	return found;
}

static void cache_add(struct identity_cache *cache, uint64_t dev, uint64_t fsid)
{
	pthread_mutex_lock(&cache->lock);
	if (cache->count < IDENTITY_CACHE) {
		cache->known[cache->count].dev = dev;
		cache->known[cache->count].fsid = fsid;
		cache->count++;
	}
	pthread_mutex_unlock(&cache->lock);
}

int identity_on_root_mount(struct dmm_instance *instance, int dir, const char *name, uint64_t dev, uint64_t *fsid)
{
	int fd;

	if (dev == instance->dev) {
		*fsid = instance->fsid;
		return 0;
	}
	if (cache_find(&instance->identities, dev, fsid))
		return 0;
	fd = *name ? openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC) : dir;
	if (fd < 0)
		return -errno;
	*fsid = fsid_of_fd(fd);
	if (fd != dir)
		close(fd);
	if (*fsid == 0 || *fsid == instance->fsid)
		*fsid = identity_other_device(instance->fsid, dev);
	cache_add(&instance->identities, dev, *fsid);
	return 0;
}
