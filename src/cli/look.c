/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Running the daemon's program in a mode that looks. See look.h.
 *
 * Its standard error goes to a file of this process, read when it has ended: a library that gives up says why in its last words,
 * and no pipe can fill up meanwhile.
 */
#include "cli/look.h"

#include "base/cleanup.h"
#include "cli/find.h"
#include "cli/memory.h"
#include "cli/run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void become(const char *program, const char *const *arguments, int out, int err)
{
	size_t count = 0;
	while (arguments[count])
		count++;
	const char **argv = memory_must(calloc(count + 2, sizeof(*argv)));
	argv[0] = "dmmfs";
	memcpy(argv + 1, arguments, count * sizeof(*argv));
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null >= 0 && dup2(null, 0) == 0 && (out < 0 || dup2(out, 1) == 1) && dup2(err, 2) == 2)
		execvp(program, (char **)argv);
	dprintf(2, "%s can not be run: %s\n", program, strerror(errno));
	_exit(127);
}

static void take_line(struct look *look, const char *text, void (*line)(void *context, const char *what, const json_t *object),
                      void *context)
{
	json_t *object = json_loads(text, 0, NULL);
	const char *what = json_object_iter_key(json_object_iter(object));
	json_t *value = json_object_get(object, what ? what : "");
	json_t **kept = !what                          ? NULL
	                : strcmp(what, "summary") == 0 ? &look->summary
	                : strcmp(what, "failure") == 0 ? &look->failure
	                                               : NULL;
	if (kept) {
		json_decref(*kept);
		*kept = json_incref(value);
	} else if (value && line) {
		line(context, what, value);
	}
	json_decref(object);
}

static void read_lines(struct look *look, int from, void (*line)(void *context, const char *what, const json_t *object),
                       void *context)
{
	FILE *file = memory_must(fdopen(from, "r"));
	CLEAN_FREE char *text = NULL;
	size_t room = 0;
	while (getline(&text, &room, file) > 0)
		take_line(look, text, line, context);
	fclose(file);
}

/* The last line that says something. */
static void read_words(struct look *look, FILE *file)
{
	CLEAN_FREE char *text = NULL;
	size_t room = 0;
	rewind(file);
	while (getline(&text, &room, file) > 0) {
		text[strcspn(text, "\n")] = 0;
		if (*text)
			snprintf(look->words, sizeof(look->words), "%s", text);
	}
}

static void await(struct look *look, pid_t child)
{
	int status = 0;
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	look->status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	look->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

int look_run(struct cli *cli, const char *const *arguments, bool through,
             void (*line)(void *context, const char *what, const json_t *object), void *context, struct look *look)
{
	int ends[2] = {-1, -1};
	FILE *words = tmpfile();
	*look = (struct look){.status = -1};
	fflush(NULL);
	if (!words || (!through && pipe2(ends, O_CLOEXEC) < 0))
		return cli_fail(cli, CLI_FAILED, errno, "no pipe and no temporary file can be had: %s", strerror(errno));
	pid_t child = fork();
	if (child == 0)
		become(run_daemon_program(), arguments, ends[1], fileno(words));
	if (ends[1] >= 0)
		close(ends[1]);
	if (child > 0 && !through)
		read_lines(look, ends[0], line, context);
	if (child > 0) {
		await(look, child);
		read_words(look, words);
	}
	fclose(words);
	if (child < 0)
		return cli_fail(cli, CLI_FAILED, errno, "no process can be started: %s", strerror(errno));
	if (look->status == 127)
		return cli_fail(cli, CLI_FAILED, ENOENT, "%s: install dmmfs, or name its program with DMMFS_DAEMON", look->words);
	return CLI_OK;
}

void look_free(struct look *look)
{
	json_decref(look->summary);
	json_decref(look->failure);
}

const char *look_death(const struct look *look, char text[640])
{
	char how[64];
	if (look->signal == SIGALRM)
		snprintf(how, sizeof(how), "did not come forward any more");
	else if (look->signal)
		snprintf(how, sizeof(how), "was killed by SIG%s", sigabbrev_np(look->signal));
	else
		snprintf(how, sizeof(how), "ended with status %d", look->status);
	snprintf(text, 640, "%s%s%s%s", how, *look->words ? " (" : "", look->words, *look->words ? ")" : "");
	return text;
}

char *look_statedir(const struct migration *migration)
{
	char *path = NULL;
	if (*migration->statedir)
		return memory_must(strdup(migration->statedir));
	if (asprintf(&path, "%s/.dmmfs/state", strcmp(migration->target, "/") ? migration->target : "") < 0)
		memory_must(NULL);
	return path;
}
