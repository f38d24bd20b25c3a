/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How much of the state is in the memory of the process (I12), and what passed through it. LMDB maps its file, and each page that is looked at stays mapped: a walk
 * through ten million records would show gigabytes as ours, although they are the page cache's. So beyond RESIDENT_MAX the mapping is
 * emptied; the pages stay in the cache as long as the system has room, and who needs one again gets it by a fault of a microsecond.
 *
 * Threads: any, while no one can close the environment: readers with a slot, the committer.
 */
#include "base/cleanup.h"
#include "state/store_private.h"

#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Of all files that the process has mapped: its program and libraries take some 8 MiB. */
#define RESIDENT_MAX ((size_t)24 << 20)

void resident_find_map(struct store *store, const void *inside)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	uintptr_t from, to;

	store->map = NULL;
	while (maps && !store->map && fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &from, &to) == 2 && (uintptr_t)inside >= from &&
		    (uintptr_t)inside < to) {
			store->map = (void *)from;
			store->map_room = to - from;
		}
	}
	if (maps)
		fclose(maps);
}

/* Bytes of files that are mapped and in memory; 0 when nobody can tell. */
static size_t mapped_bytes(void)
{
	CLEAN_FD int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	char text[128];
	ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	size_t size, resident, shared;

	if (len <= 0)
		return 0;
	text[len] = '\0';
	return sscanf(text, "%zu %zu %zu", &size, &resident, &shared) == 3 ? shared * (size_t)sysconf(_SC_PAGESIZE) : 0;
}

void resident_limit(struct store *store)
{
	if (!store->map || atomic_flag_test_and_set(&store->limiting))
		return;
	if (mapped_bytes() > RESIDENT_MAX)
		madvise(store->map, store->map_room, MADV_DONTNEED); /* never written through, so nothing is lost */
	atomic_flag_clear(&store->limiting);
}

/* The directory whose entries came in one batch had an object for each of them. Freed, that is memory of the process all the same. */
void resident_trim(void)
{
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}
