/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The figures of a migration, from its daemon or from the configuration database.
 */
#include "cli/figures.h"

#include "base/clock.h"
#include "base/log.h"
#include "cli/memory.h"
#include "cli/print.h"
#include "wire/bytes.h"
#include "wire/socket.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#define STAT_TIMEOUT_S 5
#define BUSY_US 100000
#define DYING_NS (2 * NS_PER_S)

/* --- asking --------------------------------------------------------------------------------------------------------------- */

int figures_errno(const char *name)
{
	for (int error = 1; error < 200; error++)
		if (strcmp(errno_name(error), name) == 0)
			return error;
	return EIO;
}

/* So that a daemon which serves another migration under this number does not take the request for itself. */
static void name_uuid(const struct cli *cli, uint32_t migid, json_t *request)
{
	char digits[16];
	snprintf(digits, sizeof(digits), "%u", migid);
	json_t *uuid = json_object_get(cli->uuids, digits);
	if (uuid)
		json_object_set(request, "uuid", uuid);
}

/* The conversation broke off. A daemon that died in it is told from one that ended it: the socket that it left refuses. A process
 * is not dead at once, so it gets a moment. */
static int why_it_broke(const char *path, int error)
{
	uint64_t end_ns = clock_monotonic_ns() + DYING_NS;

	do {
		int fd = -1, result = socket_connect(path, end_ns, &fd);
		if (result < 0)
			return daemon_is_absent(result) ? result : error;
		close(fd);
		usleep(BUSY_US / 10);
	} while (clock_monotonic_ns() < end_ns);
	return error;
}

/* A daemon that has too many requests says so: it is asked again as long as there is time. */
static int ask_patiently(const char *path, const json_t *request, uint64_t deadline_ns, json_t **reply)
{
	for (;;) {
		int error = socket_ask(path, request, deadline_ns, reply);
		bool busy = error == 0 && strcmp(member_text(*reply, "error"), "EAGAIN") == 0;
		if (error == -ENODATA || error == -ECONNRESET || error == -EPIPE)
			return why_it_broke(path, error);
		if (!busy || clock_monotonic_ns() + BUSY_US * NS_PER_US >= deadline_ns)
			return error;
		json_decref(*reply);
		*reply = NULL;
		usleep(BUSY_US);
	}
}

int daemon_ask(const struct cli *cli, uint32_t migid, json_t *request, unsigned timeout_s, json_t **reply)
{
	char path[PATH_MAX];
	*reply = NULL;
	memory_must(request);
	name_uuid(cli, migid, request);
	int error = socket_path(cli->rundir ? cli->rundir : socket_default_rundir(), migid, path, sizeof(path));
	if (!error)
		error = ask_patiently(path, request, clock_monotonic_ns() + timeout_s * NS_PER_S, reply);
	json_decref(request);
	if (error)
		return error;
	return member_true(*reply, "ok") ? 0 : -figures_errno(member_text(*reply, "error"));
}

bool daemon_is_absent(int error)
{
	return error == -ENOENT || error == -ECONNREFUSED || error == -ENOTDIR;
}

static enum exit_code code_of(int error)
{
	switch (-error) {
	case EBUSY:
	case EALREADY:
	case EINPROGRESS:
		return CLI_REFUSED;
	case ESHUTDOWN:
	case EAGAIN:
		return CLI_SILENT;
	default:
		return CLI_FAILED;
	}
}

int daemon_fail(struct cli *cli, uint32_t migid, int error, json_t *reply)
{
	if (reply) {
		char *message = NULL;
		bytes_get(reply, "message", &message);
		int code = cli_fail(cli, code_of(error), error, "%s", message ? message : strerror(-error));
		free(message);
		json_decref(reply);
		return code;
	}
	if (error == -ECONNREFUSED)
		return cli_fail(
			cli, CLI_SILENT, error,
			"the daemon of migration %u has died and left its socket: 'dmmfs-admin start %u' goes on where it "
			"was",
			migid, migid);
	if (daemon_is_absent(error))
		return cli_fail(cli, CLI_SILENT, error,
		                "no daemon runs for migration %u: 'dmmfs-admin start %u' starts it, it goes on where it was",
		                migid, migid);
	if (error == -ETIMEDOUT)
		return cli_fail(cli, CLI_SILENT, error,
		                "the daemon of migration %u does not answer: see its log, or try again later", migid);
	return cli_fail(cli, CLI_SILENT, error, "the daemon of migration %u ended the conversation (%s): see its log", migid,
	                errno_name(error));
}

/* --- what is kept --------------------------------------------------------------------------------------------------------- */

/* What the daemon stored at its end; nothing when it was killed before it ever could. */
static json_t *read_result(const struct migration *migration)
{
	json_t *result = json_loads(migration->result, JSON_REJECT_DUPLICATES, NULL);
	if (json_is_object(result)) {
		json_object_del(result, "escaped"); /* the names are the database's */
		return result;
	}
	json_decref(result);
	return memory_must(json_object());
}

static void complete_counts(json_t *figures)
{
	static const char *const counts[] = {
		"dirs_found",      "dirs_migrated",  "dirs_pending",  "dirs_error",     "files_found",      "files_migrated",
		"files_pending",   "files_error",    "bytes_found",   "bytes_migrated", "bytes_pending",    "links_pending",
		"dirs_waived",     "files_waived",   "names_waived",  "errors_fixed",   "drift_found",      "skipped",
		"demand_requests", "demand_p50_us",  "demand_p99_us", "demand_bytes",   "background_bytes", "source_requests",
		"source_bytes",    "source_retries", "state_bytes",   "state_commits",  "segsize"};
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		if (!json_is_integer(json_object_get(figures, counts[i])))
			json_object_set_new(figures, counts[i], json_integer(0));
}

/* What only a daemon that runs can have. */
static void clear_present(json_t *figures)
{
	static const char *const counts[] = {"rate_bytes_per_s", "rate_files_per_s", "demand_waiting", "uptime_s"};
	static const char *const flags[] = {"target_full", "passthrough"};
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		json_object_set_new(figures, counts[i], json_integer(0));
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		json_object_set_new(figures, flags[i], json_false());
	json_object_set_new(figures, "eta_s", json_null());
	json_object_set_new(figures, "state_trouble", json_null());
	json_object_set_new(figures, "source_unreachable_since", json_null());
	json_object_set_new(figures, "source_error", json_null());
	json_object_set_new(figures, "background", json_null());
	json_object_set_new(figures, "order", json_null());
}

static bool has_ended(const struct migration *migration)
{
	return strcmp(migration->state, "complete") == 0 || strcmp(migration->state, "failed") == 0;
}

/* A deletion of it was cut off. */
static bool is_deleted(const struct migration *migration)
{
	return strcmp(migration->state, "deleting") == 0;
}

json_t *figures_kept(const struct migration *migration)
{
	json_t *figures = memory_must(json_object()), *result = read_result(migration);
	bool ended = has_ended(migration);
	json_object_set_new(figures, "migid", json_integer(migration->migid));
	json_object_set_new(figures, "state", json_string(ended || is_deleted(migration) ? migration->state : "halted"));
	bytes_set(figures, "source", migration->source);
	bytes_set(figures, "target", migration->target);
	bytes_set(figures, "mountpoint", migration->mountpoint);
	bytes_set(figures, "statedir", migration->statedir);
	json_object_update_missing(figures, result);
	json_object_set_new(figures, "estimate", json_boolean(!ended && !json_is_false(json_object_get(result, "estimate"))));
	complete_counts(figures);
	clear_present(figures);
	json_decref(result);
	return figures;
}

/* How a daemon is that gave no figures. */
static const char *silence(int error, const json_t *reply)
{
	if (!reply)
		return daemon_is_absent(error) ? "none" : "silent";
	return error == -ESHUTDOWN ? "ending" : "silent";
}

/* Kept figures in the light of how the daemon is. */
static json_t *without_daemon(const struct migration *migration, const char *how)
{
	json_t *figures = figures_kept(migration);
	const char *state = migration->state;
	json_object_set_new(figures, "daemon", json_string(how));
	if (strcmp(how, "none") != 0 && (strcmp(state, "running") == 0 || strcmp(state, "paused") == 0))
		json_object_set_new(figures, "state", json_string(state));
	return figures;
}

/* A daemon that is gone may have noted its end after the database was read. */
static json_t *look_again(struct cli *cli, uint32_t migid)
{
	struct migrations migrations;
	json_t *figures = NULL;
	if (migrations_load(cli, &migrations))
		return NULL;
	for (size_t i = 0; i < migrations.count && !figures; i++)
		if (migrations.list[i].migid == migid)
			figures = without_daemon(&migrations.list[i], "none");
	migrations_free(&migrations);
	return figures;
}

json_t *figures_get(struct cli *cli, const struct migration *migration)
{
	json_t *reply = NULL, *figures = NULL;
	int error = daemon_ask(cli, migration->migid, json_pack("{s:s}", "op", "stat"),
	                       cli->timeout_s ? cli->timeout_s : STAT_TIMEOUT_S, &reply);
	if (error == 0 && json_is_object(json_object_get(reply, "stat"))) {
		figures = json_incref(json_object_get(reply, "stat"));
		json_object_set_new(figures, "daemon", json_string("running"));
	} else {
		const char *how = silence(error, reply);
		if (strcmp(how, "none") == 0 && !has_ended(migration))
			figures = look_again(cli, migration->migid);
		if (!figures)
			figures = without_daemon(migration, how);
	}
	json_decref(reply);
	return figures;
}
