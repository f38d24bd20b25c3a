/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A daemon without a mount: the socket of admin/ in front of a simulated migration, and its entry in a configuration database. For
 * tests of dmmfs-admin, which drive it by lines on standard input; it answers each with a line.
 *
 * usage: simulated_daemon CONFDIR RUNDIR SOURCE TARGET MOUNTPOINT
 */
#include "admin/admin.h"
#include "simulated_port.h"

#include "base/cleanup.h"
#include "state/config.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct daemon {
	struct config *config;
	struct admin *admin;
	struct simulated simulated;
	uint32_t migid;
};

static int check(int error, const char *what)
{
	if (error < 0)
		fprintf(stderr, "simulated_daemon: %s: %s\n", what, strerror(-error));
	return error;
}

static void set_all_here(struct simulated *simulated)
{
	struct totals *totals = &simulated->stat.totals;
	totals->dirs_migrated = totals->dirs_found;
	totals->files_migrated = totals->files_found;
	totals->bytes_migrated = totals->bytes_found;
	totals->files_pending = totals->bytes_pending = totals->files_error = 0;
	simulated->stat.crawl_done = true;
	simulated->stat.eta_s = 0;
}

/* As a daemon does at its end. */
static void keep(struct daemon *daemon, const char *state, enum migration_state as)
{
	daemon->simulated.stat.state = as;
	char *text = admin_stat_text(&daemon->simulated.stat);
	const char *settings[] = {"state", state, "result", text, "finished", "1700000000", NULL};
	check(config_set_many(daemon->config, daemon->migid, settings), "config_set_many");
	free(text);
}

/* False at the end. */
static bool obey(struct daemon *daemon, const char *line)
{
	struct simulated *simulated = &daemon->simulated;
	LOCKED(&simulated->lock); /* requests are served meanwhile */
	if (strcmp(line, "busy") == 0)
		simulated->finish_result = -EBUSY;
	else if (strcmp(line, "pending") == 0)
		simulated->finish_result = -EINPROGRESS;
	else if (strcmp(line, "all here") == 0)
		set_all_here(simulated);
	else if (strcmp(line, "complete") == 0) /* but not finished */
		simulated->stat.state = MIGRATION_COMPLETE;
	else if (strcmp(line, "crawled") == 0)
		simulated->stat.crawl_done = true;
	else if (sscanf(line, "errors %u", &simulated->n_errors) == 1)
		simulated->stat.totals.files_error = simulated->n_errors;
	else if (strcmp(line, "fail") == 0)
		simulated->stat.state = MIGRATION_FAILED;
	else if (strcmp(line, "halt") == 0)
		keep(daemon, "halted", MIGRATION_HALTED);
	else if (strcmp(line, "end") != 0)
		fprintf(stderr, "simulated_daemon: what is '%s'?\n", line);
	puts("done");
	return strcmp(line, "halt") != 0 && strcmp(line, "end") != 0;
}

static bool was_finished(struct daemon *daemon)
{
	pthread_mutex_lock(&daemon->simulated.lock);
	bool finished = daemon->simulated.finishes > 0 && daemon->simulated.finish_result == 0 && !daemon->simulated.asked.lazy;
	pthread_mutex_unlock(&daemon->simulated.lock);
	return finished;
}

static void serve(struct daemon *daemon)
{
	char line[256];
	for (;;) {
		struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
		if (poll(&input, 1, 20) > 0) {
			if (!fgets(line, sizeof(line), stdin))
				return;
			line[strcspn(line, "\n")] = 0;
			if (!obey(daemon, line))
				return;
		}
		if (was_finished(daemon)) {
			usleep(300000); /* taking the state away */
			set_all_here(&daemon->simulated);
			keep(daemon, "complete", MIGRATION_COMPLETE);
			return;
		}
	}
}

int main(int argc, char **argv)
{
	static struct daemon daemon;
	char why[512];
	if (argc != 6)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	setvbuf(stdin, NULL, _IONBF, 0);
	if (config_open(argv[1], 1, &daemon.config, why, sizeof(why))) {
		fprintf(stderr, "simulated_daemon: %s\n", why);
		return 1;
	}
	if (config_find(daemon.config, argv[3], argv[4], &daemon.migid) &&
	    check(config_create(daemon.config, &daemon.migid), "create"))
		return 1;
	const char *settings[] = {"source", argv[3],   "target",  argv[4], "mountpoint", argv[5], "statedir", "/x/.dmmfs",
	                          "state",  "running", "segsize", "1M",    "bandwidth",  "\xff",  NULL};
	if (check(config_set_many(daemon.config, daemon.migid, settings), "settings"))
		return 1;
	simulated_init(&daemon.simulated, daemon.migid, argv[5]);
	snprintf(daemon.simulated.stat.source, sizeof(daemon.simulated.stat.source), "%s", argv[3]);
	snprintf(daemon.simulated.stat.target, sizeof(daemon.simulated.stat.target), "%s", argv[4]);
	if (admin_start(argv[2], daemon.migid, &daemon.simulated.port, &daemon.admin))
		return 1;
	printf("ready %u\n", daemon.migid);
	serve(&daemon);
	admin_stop(daemon.admin);
	config_close(daemon.config);
	return 0;
}
