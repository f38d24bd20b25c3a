/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A clock of the day that a test sets, for one program:
 *
 *     LD_PRELOAD=clock.so DMMFS_TEST_CLOCK=FILE program ...
 *
 * FILE holds by how many seconds the clock is ahead (or "-N": behind) and is read at every look. The kernel knows nothing of it: times
 * of files are the machine's, and so is what a wait until a moment of CLOCK_REALTIME waits for, which shows as one that does not end.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long long ahead_s(void)
{
	const char *path = getenv("DMMFS_TEST_CLOCK");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	char text[32] = "";

	if (fd < 0)
		return 0;
	ssize_t len = read(fd, text, sizeof(text) - 1);
	close(fd);
	return len > 0 ? strtoll(text, NULL, 10) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	int result = (int)syscall(SYS_clock_gettime, clock, now);

	if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		now->tv_sec += ahead_s();
	return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec time;

	clock_gettime(CLOCK_REALTIME, &time);
	*now = (struct timeval){.tv_sec = time.tv_sec, .tv_usec = time.tv_nsec / 1000};
	return 0;
}

time_t time(time_t *now)
{
	struct timespec time;

	clock_gettime(CLOCK_REALTIME, &time);
	if (now)
		*now = time.tv_sec;
	return time.tv_sec;
}
