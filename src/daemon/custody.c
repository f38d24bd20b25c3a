/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The custody record: what was moved from where to where, when, with what digests, and what did not come over. As of now while the
 * migration runs; the last one is kept in the configuration before the state goes.
 */
#include "daemon/daemon.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "dmmfs-config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int64_t time_in_config(struct daemon *daemon, const char *name)
{
	CLEAN_FREE char *text = NULL;

	return config_get(daemon->config, daemon->migid, name, &text) < 0 ? 0 : strtoll(text, NULL, 10);
}

static int64_t time_in_state(struct daemon *daemon, const char *name)
{
	char text[32];

	return store_meta_get(daemon->store, name, text, sizeof(text)) < 0 ? 0 : strtoll(text, NULL, 10);
}

int daemon_report(void *context, struct migration_report *report)
{
	struct daemon *daemon = context;

	*report = (struct migration_report){.version = DMM_VERSION, .written_s = (int64_t)(clock_wall_ns() / NS_PER_S)};
	daemon_stat(daemon, &report->stat);
	snprintf(report->uuid, sizeof(report->uuid), "%s", daemon->uuid);
	if (gethostname(report->machine, sizeof(report->machine) - 1) < 0)
		report->machine[0] = '\0';
	report->created_s = time_in_config(daemon, "created");
	report->started_s = report->written_s - (int64_t)report->stat.uptime_s;
	report->completed_s = time_in_state(daemon, MIGRATE_COMPLETED);
	migrate_digests(daemon->migrate, &report->digests);
	migrate_verify_status(daemon->migrate, &report->verify);
	return 0;
}

int daemon_keep_report(struct daemon *daemon)
{
	CLEAN_FREE struct migration_report *report = calloc(1, sizeof(*report));

	if (!report)
		return -ENOMEM;
	daemon_report(daemon, report);
	report->stat.state = MIGRATION_COMPLETE;
	CLEAN_FREE char *text = admin_report_text(&daemon->port, report);
	verify_status_free(&report->verify);
	CLEAN_FREE char *losses = admin_losses_text(&daemon->port);
	const char *const settings[] = {"report", text, "losses", losses, NULL};
	return text && losses ? config_set_many(daemon->config, daemon->migid, settings) : -EIO;
}

int daemon_verify_start(void *context, const struct verify_request *request)
{
	struct daemon *daemon = context;

	return migrate_verify_start(daemon->migrate, request);
}

int daemon_verify_stop(void *context)
{
	struct daemon *daemon = context;

	return migrate_verify_stop(daemon->migrate);
}

void daemon_verify_status(void *context, struct verify_status *status)
{
	struct daemon *daemon = context;

	migrate_verify_status(daemon->migrate, status);
}
