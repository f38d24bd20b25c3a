/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Cleanup attributes: what a function takes it gives back on every way out.
 */
#ifndef DMM_BASE_CLEANUP_H
#define DMM_BASE_CLEANUP_H

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void cleanup_free(void *pointer)
{
	free(*(void **)pointer);
}

static inline void cleanup_unlock(pthread_mutex_t **mutex)
{
	if (*mutex)
		pthread_mutex_unlock(*mutex);
}

#define CLEAN_FD __attribute__((cleanup(cleanup_close)))
#define CLEAN_FREE __attribute__((cleanup(cleanup_free)))

/* Holds the mutex until the end of the enclosing block. */
#define LOCKED(mutex) \
	__attribute__((cleanup(cleanup_unlock), unused)) pthread_mutex_t *locked_here = (pthread_mutex_lock(mutex), (mutex))

/* Takes the descriptor out of the variable's hands. */
static inline int steal_fd(int *fd)
{
	int taken = *fd;
	*fd = -1;
	return taken;
}

#endif
