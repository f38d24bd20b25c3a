/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The structs of migrate/report.h as JSON. The keys are an interface: dmmfs-admin-json(5) documents them, and none is ever renamed.
 */
#include "admin/json.h"

#include "admin/admin.h"
#include "admin/order.h"
#include "base/clock.h"
#include "base/log.h"
#include "wire/bytes.h"

#include <string.h>
#include <sys/stat.h>

/* A report of a file in more pieces than this says how many are left out: the sums are always those of all. */
#define RANGES_MAX 200000

json_t *json_of_count(uint64_t count)
{
	return json_integer(count > INT64_MAX ? INT64_MAX : (json_int_t)count);
}

/* Counters are signed in the store; one that is negative for a moment is nothing. */
static json_t *json_of_total(int64_t total)
{
	return json_integer(total < 0 ? 0 : total);
}

static json_t *json_of_errno(int error)
{
	return error ? json_string(errno_name(error)) : json_null();
}

static const char *state_name(enum migration_state state)
{
	static const char *const names[] = {[MIGRATION_RUNNING] = "running",
	                                    [MIGRATION_PAUSED] = "paused",
	                                    [MIGRATION_HALTED] = "halted",
	                                    [MIGRATION_COMPLETE] = "complete",
	                                    [MIGRATION_FAILED] = "failed"};
	return names[state];
}

/* 0, or -1 when any member could not be made: the caller drops the whole object. */
static int set_totals(json_t *object, const struct totals *totals)
{
	int64_t dirs_pending = totals->dirs_found - totals->dirs_migrated - totals->dirs_waived;
	int64_t files_pending = totals->files_pending - totals->files_waived;
	/* Of what is waived nothing is pending any more; how many bytes that are among others is not counted. */
	int64_t bytes_pending = files_pending > 0 || totals->files_waived == 0 ? totals->bytes_pending : 0;
	return json_object_set_new(object, "dirs_found", json_of_total(totals->dirs_found)) |
	       json_object_set_new(object, "dirs_migrated", json_of_total(totals->dirs_migrated)) |
	       json_object_set_new(object, "dirs_pending", json_of_total(dirs_pending)) |
	       json_object_set_new(object, "dirs_error", json_of_total(totals->dirs_error)) |
	       json_object_set_new(object, "files_found", json_of_total(totals->files_found)) |
	       json_object_set_new(object, "files_migrated", json_of_total(totals->files_migrated)) |
	       json_object_set_new(object, "files_pending", json_of_total(files_pending)) |
	       json_object_set_new(object, "files_error", json_of_total(totals->files_error)) |
	       json_object_set_new(object, "bytes_found", json_of_total(totals->bytes_found)) |
	       json_object_set_new(object, "bytes_migrated", json_of_total(totals->bytes_migrated)) |
	       json_object_set_new(object, "bytes_pending", json_of_total(bytes_pending)) |
	       json_object_set_new(object, "dirs_waived", json_of_total(totals->dirs_waived)) |
	       json_object_set_new(object, "files_waived", json_of_total(totals->files_waived)) |
	       json_object_set_new(object, "names_waived", json_of_total(totals->names_waived)) |
	       json_object_set_new(object, "errors_fixed", json_of_total(totals->errors_fixed)) |
	       json_object_set_new(object, "drift_found", json_of_total(totals->drift_found)) |
	       json_object_set_new(object, "skipped", json_of_total(totals->skipped)) |
	       json_object_set_new(object, "links_pending", json_of_total(totals->links_pending));
}

static int set_speed(json_t *object, const struct migration_stat *stat)
{
	bool ended = stat->state == MIGRATION_COMPLETE || stat->state == MIGRATION_FAILED;
	return json_object_set_new(object, "estimate", json_boolean(!stat->crawl_done && !ended)) |
	       json_object_set_new(object, "rate_bytes_per_s", json_of_count(stat->rate_bytes_per_s)) |
	       json_object_set_new(object, "rate_files_per_s", json_of_count(stat->rate_files_per_s)) |
	       json_object_set_new(object, "eta_s", stat->eta_s < 0 ? json_null() : json_integer(stat->eta_s)) |
	       json_object_set_new(object, "uptime_s", json_of_count(stat->uptime_s));
}

static int set_traffic(json_t *object, const struct migration_stat *stat)
{
	return json_object_set_new(object, "demand_requests", json_of_count(stat->demand_requests)) |
	       json_object_set_new(object, "demand_waiting", json_of_count(stat->demand_waiting)) |
	       json_object_set_new(object, "demand_p50_us", json_of_count(stat->demand_p50_us)) |
	       json_object_set_new(object, "demand_p99_us", json_of_count(stat->demand_p99_us)) |
	       json_object_set_new(object, "demand_bytes", json_of_count(stat->demand_bytes)) |
	       json_object_set_new(object, "background_bytes", json_of_count(stat->background_bytes)) |
	       json_object_set_new(object, "source_requests", json_of_count(stat->source_requests)) |
	       json_object_set_new(object, "source_bytes", json_of_count(stat->source_bytes)) |
	       json_object_set_new(object, "source_retries", json_of_count(stat->source_retries));
}

static int set_health(json_t *object, const struct migration_stat *stat)
{
	return json_object_set_new(object, "state_bytes", json_of_count(stat->state_bytes)) |
	       json_object_set_new(object, "state_commits", json_of_count(stat->state_commits)) |
	       json_object_set_new(object, "state_trouble", json_of_errno(stat->state_trouble)) |
	       json_object_set_new(object, "source_unreachable_since",
	                           stat->source_down_since_ns ? json_of_count(stat->source_down_since_ns / NS_PER_S)
	                                                      : json_null()) |
	       json_object_set_new(object, "source_error", json_of_errno(stat->source_error)) |
	       json_object_set_new(object, "target_full", json_boolean(stat->target_full)) |
	       json_object_set_new(object, "passthrough", json_boolean(stat->passthrough)) |
	       json_object_set_new(object, "segsize", json_of_count(stat->segsize));
}

static json_t *json_of_some(uint64_t count)
{
	return count ? json_of_count(count) : json_null();
}

static json_t *json_of_yields(enum yields_to yields_to)
{
	static const char *const names[] = {[YIELDS_TO_DEMAND] = "demand",
	                                    [YIELDS_TO_OPERATIONS] = "operations",
	                                    [YIELDS_RECOVERING] = "recovering",
	                                    [YIELDS_TO_COMPANY] = "company"};
	return yields_to == YIELDS_TO_NOBODY ? json_null() : json_string(names[yields_to]);
}

static json_t *json_of_background(const struct background_stat *stat)
{
	json_t *object = json_object();
	if (json_object_set_new(object, "rule", json_of_some(stat->rule)) |
	    json_object_set_new(object, "rule_text", stat->rule ? json_string(stat->rule_text) : json_null()) |
	    json_object_set_new(object, "rule_until", json_of_some(stat->rule_until > 0 ? (uint64_t)stat->rule_until : 0)) |
	    json_object_set_new(object, "limit_bytes_per_s", json_of_some(stat->limit_bytes_per_s)) |
	    json_object_set_new(object, "names_workers", json_of_count(stat->names_workers)) |
	    json_object_set_new(object, "names_workers_max", json_of_count(stat->names_workers_max)) |
	    json_object_set_new(object, "data_workers", json_of_count(stat->data_workers)) |
	    json_object_set_new(object, "data_workers_max", json_of_count(stat->data_workers_max)) |
	    json_object_set_new(object, "latency_target_us", json_of_some(stat->latency_target_us)) |
	    json_object_set_new(object, "demand_p90_us", json_of_some(stat->demand_p90_us)) |
	    json_object_set_new(object, "served_p90_us", json_of_some(stat->served_p90_us)) |
	    json_object_set_new(object, "share_pct", json_of_count(stat->share_pct)) |
	    json_object_set_new(object, "yields_to", json_of_yields(stat->yields_to))) {
		json_decref(object);
		return NULL;
	}
	return object;
}

json_t *admin_stat_json(const struct migration_stat *stat)
{
	json_t *object = json_object();
	if (json_object_set_new(object, "migid", json_integer(stat->migid)) |
	    json_object_set_new(object, "state", json_string(state_name(stat->state))) |
	    bytes_set(object, "source", stat->source) | bytes_set(object, "target", stat->target) |
	    bytes_set(object, "mountpoint", stat->mountpoint) | bytes_set(object, "statedir", stat->statedir) |
	    set_totals(object, &stat->totals) | set_speed(object, stat) | set_traffic(object, stat) | set_health(object, stat) |
	    json_object_set_new(object, "background", json_of_background(&stat->background)) |
	    json_object_set_new(object, "order", json_of_order(&stat->order))) {
		json_decref(object);
		return NULL;
	}
	return object;
}

char *admin_stat_text(const struct migration_stat *stat)
{
	json_t *object = admin_stat_json(stat);
	char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
	json_decref(object);
	return text;
}

static const char *type_name(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "file";
	case S_IFDIR:
		return "directory";
	case S_IFLNK:
		return "symlink";
	case S_IFIFO:
		return "fifo";
	case S_IFSOCK:
		return "socket";
	case S_IFCHR:
		return "character device";
	case S_IFBLK:
		return "block device";
	default:
		return "unknown";
	}
}

#define KINDS 4
static const char *const kind_names[KINDS] = {
	[WHERE_SOURCE] = "source", [WHERE_RESIDENT] = "resident", [WHERE_CHANGED] = "changed", [WHERE_HOLE] = "hole"};

static json_t *json_of_ranges(const struct where_report *report)
{
	json_t *list = json_array();
	for (size_t i = 0; i < report->n_ranges && i < RANGES_MAX; i++) {
		const struct where_range *range = &report->ranges[i];
		json_t *entry = json_pack("{s:o, s:o, s:s}", "offset", json_of_count(range->off), "length",
		                          json_of_count(range->len), "where", kind_names[range->kind]);
		if (json_array_append_new(list, entry)) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static int set_ranges(json_t *object, const struct where_report *report)
{
	uint64_t sums[KINDS] = {0};
	for (size_t i = 0; i < report->n_ranges; i++)
		sums[report->ranges[i].kind] += report->ranges[i].len;
	size_t cut = report->n_ranges > RANGES_MAX ? report->n_ranges - RANGES_MAX : 0;
	return json_object_set_new(object, "bytes_source", json_of_count(sums[WHERE_SOURCE])) |
	       json_object_set_new(object, "bytes_resident", json_of_count(sums[WHERE_RESIDENT])) |
	       json_object_set_new(object, "bytes_changed", json_of_count(sums[WHERE_CHANGED])) |
	       json_object_set_new(object, "bytes_hole", json_of_count(sums[WHERE_HOLE])) |
	       json_object_set_new(object, "ranges", json_of_ranges(report)) |
	       json_object_set_new(object, "ranges_left_out", json_of_count(cut));
}

json_t *json_of_where(const char *path, const struct where_report *report)
{
	char mode[16];
	json_t *object = json_object();
	snprintf(mode, sizeof(mode), "%04o", report->mode & 07777);
	if (bytes_set(object, "path", path) | json_object_set_new(object, "type", json_string(type_name(report->mode))) |
	    json_object_set_new(object, "mode", json_string(mode)) |
	    json_object_set_new(object, "size", json_of_count(report->size)) |
	    json_object_set_new(object, "finished", json_boolean(report->finished)) |
	    json_object_set_new(object, "error", json_of_errno(report->error)) |
	    bytes_set(object, "error_detail", report->error_detail) | json_object_set_new(object, "order", json_of_turn(report)) |
	    set_ranges(object, report)) {
		json_decref(object);
		return NULL;
	}
	return object;
}

const char *error_state_name(enum error_state state)
{
	static const char *const names[] = {
		[ERROR_RETRYING] = "retrying", [ERROR_WAITING] = "waiting", [ERROR_WAIVED] = "waived", [ERROR_FIXED] = "fixed"};
	return names[state];
}

static const char *error_kind_name(enum error_kind kind)
{
	static const char *const names[] = {
		[ERROR_OF_DIR] = "directory", [ERROR_OF_FILE] = "file", [ERROR_OF_NAME] = "name",
		[ERROR_LOSS] = "loss",        [ERROR_DRIFT] = "drift",  [ERROR_PROTOCOL] = "protocol"};
	return names[kind];
}

json_t *json_of_error(const struct error_record *record)
{
	json_t *object = json_object();
	if (json_object_set_new(object, "id", json_of_count(record->id)) |
	    json_object_set_new(object, "kind", json_string(error_kind_name(record->kind))) |
	    json_object_set_new(object, "state", json_string(error_state_name(record->state))) |
	    json_object_set_new(object, "error", json_of_errno(record->error)) |
	    json_object_set_new(object, "told", json_of_errno(record->told)) |
	    json_object_set_new(object, "tries", json_of_count(record->tries)) |
	    json_object_set_new(object, "first", json_of_count(record->first_ns / NS_PER_S)) |
	    json_object_set_new(object, "last", json_of_count(record->last_ns / NS_PER_S)) |
	    json_object_set_new(object, "next", record->next_ns ? json_of_count(record->next_ns / NS_PER_S) : json_null()) |
	    json_object_set_new(object, "ino", json_of_count(record->ino)) |
	    json_object_set_new(object, "bytes", json_of_count(record->bytes)) | bytes_set(object, "what", record->what) |
	    bytes_set(object, "path", record->path) | bytes_set(object, "detail", record->detail)) {
		json_decref(object);
		return NULL;
	}
	return object;
}

json_t *json_of_holder(const struct holder *holder)
{
	json_t *object = json_object();
	if (json_object_set_new(object, "pid", json_integer(holder->pid)) | bytes_set(object, "command", holder->command) |
	    bytes_set(object, "path", holder->path)) {
		json_decref(object);
		return NULL;
	}
	return object;
}

static int add_line(void *list, const struct log_line *line)
{
	json_t *entry = json_pack("{s:I, s:I, s:s}", "id", (json_int_t)line->id, "time_ms",
	                          (json_int_t)(line->wall_ns / NS_PER_MS), "level", log_level_name(line->level));
	if (entry && bytes_set(entry, "text", line->text)) {
		json_decref(entry);
		entry = NULL;
	}
	return json_array_append_new(list, entry);
}

json_t *json_of_log(uint64_t after, uint64_t last)
{
	json_t *list = json_array();
	uint64_t newest = log_newest();
	if (newest > last && newest - last > after)
		after = newest - last;
	if (list && log_read(after, add_line, list)) {
		json_decref(list);
		return NULL;
	}
	return list;
}
