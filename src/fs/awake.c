/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fs/awake.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define FEW_PROCESSORS 4
#define MANY_REQUESTS 4 /* between two looks */
#define HARDLY_ANY 2
#define LOOKS_BEFORE 2
#define LOOKS_AFTER 30

static bool wanted(enum awake_when when)
{
	return when == AWAKE_ON || (when == AWAKE_AUTO && sysconf(_SC_NPROCESSORS_ONLN) <= FEW_PROCESSORS);
}

void awake_start(struct awake *awake, enum awake_when when)
{
	*awake = (struct awake){.path = wanted(when) ? "/dev/cpu_dma_latency" : NULL, .fd = -1};
}

/* A container may not have the device, or not the right to it. Nobody asks twice. */
static void take(struct awake *awake)
{
	int32_t latency_us = 0;
	int fd = open(awake->path, O_WRONLY | O_CLOEXEC);

	if (fd >= 0 && write(fd, &latency_us, sizeof(latency_us)) == sizeof(latency_us)) {
		awake->fd = fd;
		return;
	}
	log_info("processors may sleep while requests are frequent, which makes these slower; allow the daemon to write to the "
	         "device, or set awake=off: path=%s error=%s",
	         awake->path, errno_name(errno));
	awake->path = NULL;
	if (fd >= 0)
		close(fd);
}

void awake_let_go(struct awake *awake)
{
	close(awake->fd);
	awake->fd = -1;
}

void awake_stop(struct awake *awake)
{
	if (awake_is_held(awake))
		awake_let_go(awake);
	awake->path = NULL;
}

void awake_look(struct awake *awake, uint64_t requests)
{
	uint64_t since = requests - awake->seen;

	awake->seen = requests;
	awake->busy = since >= MANY_REQUESTS ? awake->busy + 1 : 0;
	awake->calm = since < HARDLY_ANY ? awake->calm + 1 : 0;
	if (!awake_is_held(awake) && awake->path && awake->busy >= LOOKS_BEFORE)
		take(awake);
	else if (awake_is_held(awake) && awake->calm >= LOOKS_AFTER)
		awake_let_go(awake);
}
