/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Want of memory. The kernel ends the largest of the processes that share what has run out; of a keeper and its worker that is the worker,
 * but where a worker has just died, and what fills the memory is no process (files in memory), the keeper is all that is left. Its end
 * frees next to nothing and takes the mount along. So the keeper takes itself out of the choice, as servers do whose small first process
 * must stay (sshd). Its workers are what it was itself when it was started: they can be replaced, and the machine must be able to end
 * them.
 *
 * The kernel tells nobody whom it has ended and why, but in its log. It counts them, for the whole machine.
 */
#include "keeper/internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/oom.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define ADJ "/proc/self/oom_score_adj"
#define VMSTAT_SIZE (16 << 10)
#define TELL_AGAIN_NS (60 * NS_PER_S)

/* The length of what was read, with a zero after it, or negative errno. */
static int read_text(const char *path, char *text, size_t size)
{
	CLEAN_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t len = fd < 0 ? -1 : 1;

	while (len > 0 && used + 1 < size) {
		len = read(fd, text + used, size - 1 - used);
		used += len > 0 ? (size_t)len : 0;
	}
	if (len < 0)
		return -errno;
	text[used] = '\0';
	return (int)used;
}

static int write_adj(int adj)
{
	CLEAN_FD int fd = open(ADJ, O_WRONLY | O_CLOEXEC);
	char text[16];
	int len = snprintf(text, sizeof(text), "%d", adj);

	return fd < 0 || write(fd, text, (size_t)len) != len ? -errno : 0;
}

void want_remember(struct memory *memory)
{
	char text[16];

	memory->oom_score_adj = read_text(ADJ, text, sizeof(text)) > 0 ? (int32_t)strtol(text, NULL, 10) : 0;
}

int want_spare(void)
{
	return write_adj(OOM_SCORE_ADJ_MIN);
}

int want_be_as_started(const struct memory *memory)
{
	return write_adj(memory->oom_score_adj);
}

uint64_t want_ended(void)
{
	static char text[VMSTAT_SIZE]; /* touched once, while there is memory */
	const char *line = read_text("/proc/vmstat", text, sizeof(text)) > 0 ? strstr(text, "\noom_kill ") : NULL;

	return line ? strtoull(line + strlen("\noom_kill "), NULL, 10) : 0;
}

void want_tell(struct keeper *keeper, int how)
{
	uint64_t ended = want_ended(), now_ns = clock_monotonic_ns();
	bool told = keeper->told_ns && now_ns - keeper->told_ns < TELL_AGAIN_NS;

	if (!WIFSIGNALED(how) || WTERMSIG(how) != SIGKILL || ended <= keeper->wanted || told)
		return;
	keeper->told_ns = now_ns;
	log_warning("memory is short, and the kernel has most likely ended the daemon for it (the kernel's log tells): "
	            "raise MemoryMax= of the unit, or the limit of the container, or let something else use less%s: "
	            "ended=%llu since_s=%llu",
	            keeper->spared ? "" : "; the mount may go next, for its keeper has no right to be spared (CAP_SYS_RESOURCE)",
	            (unsigned long long)(ended - keeper->wanted), (unsigned long long)((now_ns - keeper->started_ns) / NS_PER_S));
}
