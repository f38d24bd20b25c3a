/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Running programs. Their standard error is read line by line, their standard output from a file when they have ended.
 *
 * A daemon that stays behind keeps neither: it gives them up when it serves.
 */
#include "cli/run.h"

#include "base/cleanup.h"
#include "cli/memory.h"
#include "dmmfs-config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *set_or_null(const char *name)
{
	const char *value = getenv(name);
	return value && *value ? value : NULL;
}

const char *run_daemon_program(void)
{
	const char *named = set_or_null("DMMFS_DAEMON");
	return named ? named : DMM_SBINDIR "/dmmfs";
}

bool run_by_systemd(const struct cli *cli)
{
	return access("/run/systemd/system", F_OK) == 0 && !cli->confdir && !cli->rundir && !set_or_null("DMMFS_CONFDIR") &&
	       !set_or_null("DMMFS_RUNDIR") && !set_or_null("DMMFS_DAEMON");
}

/* --- reading what it says ------------------------------------------------------------------------------------------------- */

static bool is_logged(const char *text, const char *level)
{
	size_t len = strlen(level);
	return strncmp(text, level, len) == 0 && strncmp(text + len, ": ", 2) == 0;
}

/* A line of standard error: the program's last word, or of its log, of which warnings and errors are for the eye. */
static void take_line(struct ran *ran, const char *name, char *line)
{
	size_t len = strlen(name);
	line[strcspn(line, "\n")] = 0;
	if (is_logged(line, name) && is_logged(line + len + 2, "info"))
		return;
	if (is_logged(line, name) && (is_logged(line + len + 2, "warning") || is_logged(line + len + 2, "error"))) {
		fprintf(stderr, "dmmfs-admin: %s\n", line + len + 2);
		return;
	}
	if (is_logged(line, name)) {
		if (*ran->message)
			fprintf(stderr, "dmmfs-admin: %s\n", ran->message);
		free(ran->message);
		ran->message = memory_must(strdup(line + len + 2));
	} else {
		fprintf(stderr, "%s\n", line);
	}
}

static char *read_all(FILE *from)
{
	char *text = NULL;
	size_t size = 0;
	FILE *to = memory_must(open_memstream(&text, &size));
	char buf[4096];
	for (size_t len; (len = fread(buf, 1, sizeof(buf), from)) > 0;)
		fwrite(buf, 1, len, to);
	if (fclose(to) != 0)
		memory_must(NULL);
	return text;
}

/* --- running ---------------------------------------------------------------------------------------------------------------- */

static void become(const char *program, char *const *argv, int out, int err)
{
	int null = open("/dev/null", O_RDONLY);
	if (null >= 0 && dup2(null, 0) == 0 && dup2(out, 1) == 1 && dup2(err, 2) == 2)
		execvp(program, argv);
	dprintf(2, "%s: %s can not be run: %s\n", argv[0], program, strerror(errno));
	_exit(127);
}

static int await(pid_t child)
{
	int status;
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void run(const char *program, char *const *argv, struct ran *ran)
{
	int errors[2];
	FILE *output = tmpfile();
	*ran = (struct ran){.status = -1, .message = memory_must(strdup(""))};
	fflush(NULL);
	if (!output || pipe2(errors, O_CLOEXEC) < 0) {
		ran->output = memory_must(strdup(""));
		return;
	}
	pid_t child = fork();
	if (child == 0)
		become(program, argv, fileno(output), errors[1]);
	close(errors[1]);
	FILE *from = memory_must(fdopen(errors[0], "r"));
	CLEAN_FREE char *line = NULL;
	size_t room = 0;
	while (child > 0 && getline(&line, &room, from) > 0)
		take_line(ran, argv[0], line);
	fclose(from);
	if (child > 0)
		ran->status = await(child);
	rewind(output);
	ran->output = read_all(output);
	fclose(output);
}

static void explain(struct ran *ran, const char *program)
{
	if (ran->status == 0 || *ran->message)
		return;
	free(ran->message);
	ran->message = NULL;
	if (ran->status > 128 ? asprintf(&ran->message, "%s was ended by SIG%s", program, sigabbrev_np(ran->status - 128)) < 0
	                      : asprintf(&ran->message, "%s failed without a word, with status %d", program, ran->status) < 0)
		memory_must(NULL);
}

void run_daemon(const struct cli *cli, const char *const *arguments, struct ran *ran)
{
	const char *program = run_daemon_program();
	size_t count = 0;
	while (arguments[count])
		count++;
	char **argv = memory_must(calloc(count + 2, sizeof(*argv)));
	argv[0] = memory_must(strdup("dmmfs"));
	memcpy(argv + 1, arguments, count * sizeof(*argv));
	if (cli->confdir)
		setenv("DMMFS_CONFDIR", cli->confdir, 1);
	if (cli->rundir)
		setenv("DMMFS_RUNDIR", cli->rundir, 1);
	run(program, argv, ran);
	explain(ran, program);
	free(argv[0]);
	free(argv);
}

void run_systemctl(const char *verb, uint32_t migid, struct ran *ran)
{
	char name[] = "systemctl", word[32], unit[32];
	snprintf(word, sizeof(word), "%s", verb);
	snprintf(unit, sizeof(unit), "dmmfs@%u.service", migid);
	run("systemctl", (char *[]){name, word, unit, NULL}, ran);
	explain(ran, "systemctl");
}

void ran_free(struct ran *ran)
{
	free(ran->output);
	free(ran->message);
}
