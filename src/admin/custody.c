/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Verification and the custody record as JSON. Entries of the ledger are listed up to a bound and always counted.
 */
#include "admin/custody.h"

#include "admin/admin.h"
#include "admin/json.h"
#include "admin/request.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "wire/bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LISTED_MAX 500 /* entries of each kind in a report */

static json_t *json_of_time(int64_t seconds)
{
	return seconds > 0 ? json_integer(seconds) : json_null();
}

/* --- verification --- */

static json_t *json_of_finding(const struct verify_finding *finding)
{
	static const char *const verdicts[] = {[VERIFY_DAMAGED] = "damaged",
	                                       [VERIFY_SUSPECT] = "suspect",
	                                       [VERIFY_DRIFTED] = "drifted",
	                                       [VERIFY_MISSING] = "missing",
	                                       [VERIFY_UNREADABLE] = "unreadable"};
	json_t *object = json_pack("{s:s, s:o}", "verdict", verdicts[finding->verdict], "error",
	                           finding->error ? json_string(errno_name(finding->error)) : json_null());
	if (object && bytes_set(object, "path", finding->path)) {
		json_decref(object);
		return NULL;
	}
	return object;
}

static int set_findings(json_t *object, const struct verify_status *status)
{
	json_t *list = json_array();
	for (size_t i = 0; i < status->n_findings; i++)
		if (json_array_append_new(list, json_of_finding(&status->findings[i]))) {
			json_decref(list);
			return -1;
		}
	return json_object_set_new(object, "findings", list);
}

static json_t *json_of_verify(const struct verify_status *status)
{
	static const char *const lives[] = {[VERIFY_NEVER] = "never",
	                                    [VERIFY_RUNNING] = "running",
	                                    [VERIFY_DONE] = "done",
	                                    [VERIFY_STOPPED] = "stopped",
	                                    [VERIFY_FAILED] = "failed"};
	json_t *object = json_object();
	int bad = json_object_set_new(object, "state", json_string(lives[status->life])) |
	          json_object_set_new(object, "full", json_boolean(status->request.full)) |
	          json_object_set_new(object, "sample_ppm", json_integer(status->request.ppm)) |
	          json_object_set_new(object, "seed", json_of_count(status->request.seed)) |
	          json_object_set_new(object, "limit_bytes_per_s", json_of_count(status->request.rate)) |
	          json_object_set_new(object, "error", status->error ? json_string(errno_name(status->error)) : json_null()) |
	          json_object_set_new(object, "started", json_of_time(status->started_s)) |
	          json_object_set_new(object, "ended", json_of_time(status->ended_s)) |
	          json_object_set_new(object, "files_total", json_of_count(status->files_total)) |
	          json_object_set_new(object, "bytes_total", json_of_count(status->bytes_total)) |
	          json_object_set_new(object, "bytes_seen", json_of_count(status->bytes_seen)) |
	          json_object_set_new(object, "rate_bytes_per_s", json_of_count(status->rate_bytes_per_s)) |
	          json_object_set_new(object, "eta_s", status->eta_s < 0 ? json_null() : json_integer(status->eta_s));
#define SET_COUNT(member) bad |= json_object_set_new(object, #member, json_of_count(status->member));
	VERIFY_COUNTS(SET_COUNT)
	if (bad || set_findings(object, status)) {
		json_decref(object);
		return NULL;
	}
	return object;
}

/* False: a member that is not of its form. */
static bool read_request(const json_t *request, struct verify_request *wanted)
{
	const json_t *full = json_object_get(request, "full"), *ppm = json_object_get(request, "sample_ppm");
	const json_t *rate = json_object_get(request, "limit_bytes_per_s"), *seed = json_object_get(request, "seed");

	*wanted = (struct verify_request){.full = json_is_true(full), .ppm = VERIFY_ALL_PPM};
	if ((full && !json_is_boolean(full)) || (ppm && !json_is_integer(ppm)) || (rate && !json_is_integer(rate)) ||
	    (seed && !json_is_integer(seed)))
		return false;
	if (ppm && (json_integer_value(ppm) < 1 || json_integer_value(ppm) > VERIFY_ALL_PPM))
		return false;
	if (json_integer_value(rate) < 0 || json_integer_value(seed) < 0)
		return false;
	if (ppm)
		wanted->ppm = (uint32_t)json_integer_value(ppm);
	wanted->rate = (uint64_t)json_integer_value(rate);
	wanted->seed = (uint64_t)json_integer_value(seed);
	return true;
}

json_t *answer_verification(const struct migration_port *port, uint32_t migid, const json_t *request)
{
	struct verify_status status;

	port->verify_status(port->context, &status);
	json_t *object = json_of_verify(&status);
	verify_status_free(&status);
	json_t *reply = json_pack("{s:b, s:o}", "ok", 1, "verify", object);
	return reply ? reply : request_refuse(ENOMEM, "the daemon is out of memory; try again");
}

json_t *answer_verify(const struct migration_port *port, uint32_t migid, const json_t *request)
{
	const char *action = json_string_value(json_object_get(request, "action"));
	struct verify_request wanted;

	if (!action || (strcmp(action, "start") && strcmp(action, "stop")) || !read_request(request, &wanted))
		return request_refuse(EINVAL,
		                      "'verify' takes start or stop as \"action\", true or false as \"full\", 1 to %u as "
		                      "\"sample_ppm\", and numbers as \"seed\" and \"limit_bytes_per_s\"",
		                      VERIFY_ALL_PPM);
	int error = strcmp(action, "start") == 0 ? port->verify_start(port->context, &wanted) : port->verify_stop(port->context);
	if (error == -EALREADY)
		return request_refuse(error,
		                      "migration %u is being verified: dmmfs-admin verify --status %u tells of it, and "
		                      "dmmfs-admin verify --stop %u ends it",
		                      migid, migid, migid);
	if (error == -ENOENT)
		return request_refuse(error, "migration %u is not being verified", migid);
	if (error)
		return request_refuse(error, "migration %u can not be verified: %s", migid, strerror(-error));
	return answer_verification(port, migid, request);
}

/* --- the custody record --- */

/* Entries that are told of alike. */
struct listed {
	const char *key;
	json_t *list;
	uint64_t count;
};

enum { LOSSES, WAIVERS, DRIFT, ERRORS, FIXED, LISTS };

static int add_to(struct listed *listed, const struct error_record *record)
{
	listed->count++;
	if (json_array_size(listed->list) == LISTED_MAX)
		return 0;
	return json_array_append_new(listed->list, json_of_error(record)) ? -ENOMEM : 0;
}

static int sort_entry(void *context, const struct error_record *record)
{
	struct listed *lists = context;

	if (record->kind == ERROR_LOSS)
		return add_to(&lists[LOSSES], record);
	if (record->kind == ERROR_DRIFT)
		return add_to(&lists[DRIFT], record);
	return add_to(&lists[record->state == ERROR_WAIVED ? WAIVERS : ERRORS], record);
}

static int add_fixed(void *context, const struct error_record *record)
{
	return add_to(context, record);
}

static int set_lists(json_t *object, const struct migration_port *port, const struct totals *totals)
{
	struct listed lists[LISTS] = {
		{.key = "losses"}, {.key = "waivers"}, {.key = "drift"}, {.key = "errors"}, {.key = "fixed"}};
	for (int i = 0; i < LISTS; i++)
		lists[i].list = json_array();
	int error = port->errors(port->context, sort_entry, lists);
	if (error >= 0)
		error = port->errors_fixed(port->context, add_fixed, &lists[FIXED]);
	if (totals->errors_fixed > 0) /* the ledger lists the last ones alone */
		lists[FIXED].count = (uint64_t)totals->errors_fixed;
	for (int i = 0; i < LISTS; i++)
		if (json_object_set_new(object, lists[i].key,
		                        json_pack("{s:o, s:o}", "count", json_of_count(lists[i].count), "listed", lists[i].list)))
			error = -ENOMEM;
	return error;
}

static json_t *json_of_digests(const struct digest_summary *summary)
{
	char text[DIGEST_TEXT_SIZE];
	return json_pack("{s:o, s:o, s:s}", "files", json_of_count(summary->files), "bytes", json_of_count(summary->bytes),
	                 "digest", digest_text(&summary->digest, text));
}

static int set_totals(json_t *object, const struct totals *totals)
{
	json_t *counts = json_object();
#define SET_TOTAL(member) bad |= json_object_set_new(counts, #member, json_integer(totals->member < 0 ? 0 : totals->member));
	int bad = 0;
	SET_TOTAL(dirs_found)
	SET_TOTAL(dirs_migrated)
	SET_TOTAL(files_found)
	SET_TOTAL(files_migrated)
	SET_TOTAL(bytes_found)
	SET_TOTAL(bytes_migrated)
	SET_TOTAL(files_pending)
	SET_TOTAL(bytes_pending)
	SET_TOTAL(files_error)
	SET_TOTAL(dirs_error)
	SET_TOTAL(files_waived)
	SET_TOTAL(dirs_waived)
	SET_TOTAL(names_waived)
	SET_TOTAL(errors_fixed)
	SET_TOTAL(drift_found)
	SET_TOTAL(skipped)
	return bad | json_object_set_new(object, "totals", counts);
}

static json_t *json_of_report(const struct migration_port *port, const struct migration_report *report)
{
	const struct migration_stat *stat = &report->stat;
	json_t *figures = admin_stat_json(stat), *object = json_object();
	int bad = json_object_set_new(object, "migid", json_integer(stat->migid)) |
	          json_object_set_new(object, "uuid", json_string(report->uuid)) |
	          json_object_set(object, "state", json_object_get(figures, "state")) |
	          bytes_set(object, "source", stat->source) | bytes_set(object, "target", stat->target) |
	          bytes_set(object, "mountpoint", stat->mountpoint) |
	          json_object_set_new(object, "version", json_string(report->version)) |
	          bytes_set(object, "machine", report->machine) |
	          json_object_set_new(object, "created", json_of_time(report->created_s)) |
	          json_object_set_new(object, "started", json_of_time(report->started_s)) |
	          json_object_set_new(object, "completed", json_of_time(report->completed_s)) |
	          json_object_set_new(object, "finished", json_null()) |
	          json_object_set_new(object, "written", json_of_time(report->written_s)) | set_totals(object, &stat->totals) |
	          json_object_set_new(object, "digests", json_of_digests(&report->digests)) |
	          json_object_set_new(object, "verify",
	                              report->verify.life == VERIFY_NEVER ? json_null() : json_of_verify(&report->verify));
	json_decref(figures);
	if (bad || set_lists(object, port, &stat->totals) < 0) {
		json_decref(object);
		return NULL;
	}
	return object;
}

json_t *answer_report(const struct migration_port *port, uint32_t migid, const json_t *request)
{
	CLEAN_FREE struct migration_report *report = calloc(1, sizeof(*report));

	if (!report)
		return request_refuse(ENOMEM, "the daemon is out of memory; try again");
	port->report(port->context, report);
	json_t *object = json_of_report(port, report);
	verify_status_free(&report->verify);
	json_t *reply = json_pack("{s:b, s:o}", "ok", 1, "report", object);
	return reply ? reply : request_refuse(EIO, "the report of migration %u can not be made; see its log", migid);
}

char *admin_report_text(const struct migration_port *port, const struct migration_report *report)
{
	json_t *object = json_of_report(port, report);
	char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;

	json_decref(object);
	return text;
}
