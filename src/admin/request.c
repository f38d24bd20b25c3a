/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * From a request to its reply. The request was checked to be a JSON object, and nothing else: each operation checks its members.
 */
#include "admin/request.h"

#include "admin/admin.h"
#include "admin/custody.h"
#include "admin/decide.h"
#include "admin/json.h"
#include "admin/losses.h"
#include "admin/order.h"
#include "admin/properties.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "wire/bytes.h"
#include "wire/frame.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ERRORS_PAGE 10000
#define ERRORS_PAGE_BYTES (FRAME_REPLY_MAX / 8) /* of names as they are: in JSON a byte may take five */
#define WAIT_MAX_S (365u * 86400)

json_t *request_refuse(int error, const char *format, ...)
{
	char message[2048];
	va_list args;
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	json_t *reply = json_pack("{s:b, s:s}", "ok", 0, "error", errno_name(error));
	if (reply && bytes_set(reply, "message", message))
		json_object_set_new(reply, "message", json_string("out of memory"));
	return reply;
}

/* Takes over `value`. */
static json_t *reply_with(const char *key, json_t *value)
{
	json_t *reply = json_pack("{s:b, s:o}", "ok", 1, key, value);
	return reply ? reply : request_refuse(ENOMEM, "the daemon is out of memory; try again");
}

/* NULL, or the refusal of a member that is not in `known` (names, ended by NULL). */
static json_t *refuse_unknown_members(const json_t *request, const char *const *known)
{
	const char *op = json_string_value(json_object_get(request, "op"));
	for (void *at = json_object_iter((json_t *)request); at; at = json_object_iter_next((json_t *)request, at)) {
		const char *key = json_object_iter_key(at);
		bool found = strcmp(key, "op") == 0 || strcmp(key, "uuid") == 0 || strcmp(key, "escaped") == 0;
		for (size_t i = 0; known[i] && !found; i++)
			found = strcmp(key, known[i]) == 0;
		if (!found)
			return request_refuse(EINVAL, "this daemon does not know '%.100s' in the request '%.100s'", key, op);
	}
	return NULL;
}

/* False when the member is there and no number from 0 to `max`; `value` keeps its default when it is not there. */
static bool get_count(const json_t *request, const char *key, uint64_t max, uint64_t *value)
{
	const json_t *member = json_object_get(request, key);
	if (!member)
		return true;
	if (!json_is_integer(member) || json_integer_value(member) < 0 || (uint64_t)json_integer_value(member) > max)
		return false;
	*value = (uint64_t)json_integer_value(member);
	return true;
}

static json_t *answer_stat(const struct migration_port *port, uint32_t migid, const json_t *request)
{
	CLEAN_FREE struct migration_stat *stat = calloc(1, sizeof(*stat));
	if (!stat)
		return request_refuse(ENOMEM, "the daemon is out of memory; try again");
	int error = port->stat(port->context, stat);
	if (error)
		return request_refuse(error, "the figures of migration %u can not be had: %s", migid, strerror(-error));
	return reply_with("stat", admin_stat_json(stat));
}

static json_t *refuse_where(uint32_t migid, const char *path, int error)
{
	switch (error) {
	case -ENOENT:
	case -ENOTDIR:
		return request_refuse(ENOENT, "%s: there is no such file in migration %u", path, migid);
	case -EXDEV:
		return request_refuse(error, "%s is not below the mount point or the target of migration %u", path, migid);
	default:
		return request_refuse(error, "%s: %s", path, strerror(-error));
	}
}

static json_t *answer_where(const struct migration_port *port, uint32_t migid, const json_t *request)
{
	CLEAN_FREE char *path = NULL;
	struct where_report report = {0};
	if (bytes_get(request, "path", &path) || path[0] != '/')
		return request_refuse(EINVAL, "'where' needs an absolute path in \"path\"");
	int error = port->where(port->context, path, &report);
	if (error)
		return refuse_where(migid, path, error);
	json_t *reply = reply_with("where", json_of_where(path, &report));
	free(report.ranges);
	return reply;
}

struct page {
	json_t *list;
	uint64_t after;
	size_t max, bytes;
	const char *state; /* of these alone; NULL: of all */
	int more;          /* or a negative errno */
};

static int add_error(void *context, const struct error_record *record)
{
	struct page *page = context;
	if (record->id <= page->after || (page->state && strcmp(page->state, error_state_name(record->state))))
		return 0;
	if (json_array_size(page->list) >= page->max || page->bytes >= ERRORS_PAGE_BYTES)
		return page->more = 1;
	json_t *entry = json_of_error(record);
	if (json_array_append_new(page->list, entry))
		return page->more = -ENOMEM;
	page->bytes += 256 + strlen(record->path ? record->path : "") + strlen(record->detail ? record->detail : "");
	return 0;
}

static bool get_error_state(const json_t *request, const char **state)
{
	const json_t *member = json_object_get(request, "state");
	*state = json_string_value(member);
	for (enum error_state known = ERROR_RETRYING; *state && known <= ERROR_FIXED; known++)
		if (strcmp(*state, error_state_name(known)) == 0)
			return true;
	return !member;
}

static json_t *answer_errors(const struct migration_port *port, uint32_t migid, const json_t *request)
{
	uint64_t max = ERRORS_PAGE;
	struct page page = {0};
	if (!get_count(request, "after", INT64_MAX, &page.after) || !get_count(request, "max", ERRORS_PAGE, &max))
		return request_refuse(EINVAL, "'errors' takes numbers: \"after\" an id, \"max\" at most %d", ERRORS_PAGE);
	if (!get_error_state(request, &page.state))
		return request_refuse(EINVAL, "'errors' takes as \"state\" retrying, waiting, waived or fixed");
	bool fixed = page.state && strcmp(page.state, error_state_name(ERROR_FIXED)) == 0;
	page.max = max;
	page.list = json_array();
	int error = page.list ? (fixed ? port->errors_fixed : port->errors)(port->context, add_error, &page) : -ENOMEM;
	if (page.more < 0)
		error = page.more;
	if (error < 0) {
		json_decref(page.list);
		return request_refuse(error, "the errors of migration %u can not be read: %s", migid, strerror(-error));
	}
	json_t *reply = reply_with("errors", page.list);
	json_object_set_new(reply, "more", json_boolean(page.more));
	return reply;
}

/* The ring of the log holds no more than a reply does. */
static json_t *answer_log(const struct migration_port *port, uint32_t migid, const json_t *request)
{
	uint64_t after = 0, last = INT64_MAX;
	(void)port;
	(void)migid;
	if (!get_count(request, "after", INT64_MAX, &after) || !get_count(request, "last", INT64_MAX, &last))
		return request_refuse(EINVAL, "'log' takes numbers: \"after\" an id, \"last\" how many lines");
	json_t *reply = reply_with("log", json_of_log(after, last));
	json_object_set_new(reply, "run", json_of_count(log_started_ns()));
	return reply;
}

static json_t *refuse_to_leave(uint32_t migid, const char *op, int error, const struct finish_result *result)
{
	const char *message = result->message;
	if (!*message && error == -EBUSY)
		message = "files are open on the mount: close them, or wait for them with --wait, or detach with --lazy";
	else if (!*message && error == -EINPROGRESS)
		message =
			"not everything has come over: dmmfs-admin stat and dmmfs-admin errors tell what is pending or in error";
	else if (!*message)
		message = strerror(-error);
	json_t *reply = request_refuse(error, "migration %u can not %s: %s", migid, op, message);
	if (error != -EBUSY)
		return reply;
	json_t *list = json_array();
	for (size_t i = 0; i < result->n_holders; i++)
		json_array_append_new(list, json_of_holder(&result->holders[i]));
	json_object_set_new(reply, "holders", list);
	return reply;
}

/* finish and halt: the mount is to go. */
static json_t *answer_leave(const struct migration_port *port, uint32_t migid, const json_t *request)
{
	const char *op = json_string_value(json_object_get(request, "op"));
	const json_t *lazy = json_object_get(request, "lazy");
	uint64_t wait_s = 0;
	if ((lazy && !json_is_boolean(lazy)) || !get_count(request, "wait_s", WAIT_MAX_S, &wait_s))
		return request_refuse(EINVAL, "'%s' takes true or false as \"lazy\" and seconds, at most %u, as \"wait_s\"", op,
		                      WAIT_MAX_S);
	struct finish_request wanted = {.lazy = json_is_true(lazy), .wait_s = (unsigned)wait_s};
	CLEAN_FREE struct finish_result *result = calloc(1, sizeof(*result));
	if (!result)
		return request_refuse(ENOMEM, "the daemon is out of memory; try again");
	int (*leave)(void *, const struct finish_request *, struct finish_result *) =
		strcmp(op, "halt") == 0 ? port->halt : port->finish;
	int error = leave(port->context, &wanted, result);
	json_t *reply = error ? refuse_to_leave(migid, op, error, result) : reply_with(op, json_object());
	free(result->holders);
	return reply;
}

static json_t *answer_pause(const struct migration_port *port, uint32_t migid, const json_t *request)
{
	const char *op = json_string_value(json_object_get(request, "op"));
	int error = port->pause(port->context, strcmp(op, "pause") == 0);
	if (error < 0)
		return request_refuse(error, "migration %u can not %s, the configuration database can not be written: %s", migid,
		                      op, strerror(-error));
	return reply_with(op, json_object());
}

static json_t *answer_upgrade(const struct migration_port *port, uint32_t migid, const json_t *request)
{
	const json_t *begin = json_object_get(request, "begin");
	struct upgrade_status status;
	char why[1024] = "";
	if (begin && !json_is_boolean(begin))
		return request_refuse(EINVAL, "'upgrade' takes true or false as \"begin\"");
	int error = port->upgrade(port->context, json_is_true(begin), &status, why, sizeof(why));
	if (error < 0)
		return request_refuse(error, "migration %u can not be upgraded: %s", migid, *why ? why : strerror(-error));
	return reply_with("upgrade", json_pack("{s:i, s:i, s:s, s:I, s:I}", "pid", (int)status.pid, "keeper", (int)status.keeper,
	                                       "version", status.version, "takeovers", (json_int_t)status.takeovers, "pause_ms",
	                                       (json_int_t)(status.pause_ns / NS_PER_MS)));
}

static const struct operation {
	const char *name;
	json_t *(*answer)(const struct migration_port *port, uint32_t migid, const json_t *request);
	bool is_long;
	const char *members[6];
} operations[] = {
	{"stat", answer_stat, false, {NULL}},
	{"where", answer_where, false, {"path", NULL}},
	{"errors", answer_errors, false, {"after", "max", "state", NULL}},
	{"retry", answer_retry, false, {"entries", NULL}},
	{"waive", answer_waive, false, {"entries", NULL}},
	{"log", answer_log, false, {"after", "last", NULL}},
	{"finish", answer_leave, true, {"lazy", "wait_s", NULL}},
	{"halt", answer_leave, true, {"lazy", "wait_s", NULL}},
	{"pause", answer_pause, false, {NULL}},
	{"resume", answer_pause, false, {NULL}},
	{"upgrade", answer_upgrade, true, {"begin", NULL}},
	{"set", answer_set, false, {"properties", NULL}},
	{"get", answer_get, false, {NULL}},
	{"fetch", answer_fetch, false, {"paths", NULL}},
	{"fetch-status", answer_fetch_status, false, {"number", NULL}},
	{"verify", answer_verify, false, {"action", "full", "sample_ppm", "seed", "limit_bytes_per_s", NULL}},
	{"verification", answer_verification, false, {NULL}},
	{"report", answer_report, true, {NULL}},
	{"losses", answer_losses, true, {NULL}},
	{"loss-list", answer_loss_list, true, {"after", "kind", NULL}},
};

static const struct operation *find_operation(const json_t *request)
{
	const char *op = json_string_value(json_object_get(request, "op"));
	for (size_t i = 0; op && i < sizeof(operations) / sizeof(operations[0]); i++)
		if (strcmp(op, operations[i].name) == 0)
			return &operations[i];
	return NULL;
}

bool request_is_long(const json_t *request)
{
	const struct operation *operation = find_operation(request);
	return operation && operation->is_long;
}

bool request_awaits_end(const json_t *request)
{
	const struct operation *operation = find_operation(request);
	return operation && operation->answer == answer_leave;
}

/* Whoever means another migration, that a lost or another configuration gave the same number, must not be obeyed here. */
static bool is_for_another(const struct migration_port *port, const json_t *request)
{
	const char *uuid = json_string_value(json_object_get(request, "uuid"));
	return uuid && port->uuid && strcmp(uuid, port->uuid) != 0;
}

/* Who only looks is not worth a line. */
static bool changes_something(const char *op)
{
	static const char *const ops[] = {"finish", "halt",  "pause", "resume", "set",
	                                  "first",  "fetch", "retry", "waive",  "verify"};
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		if (strcmp(ops[i], op) == 0)
			return true;
	return false;
}

static json_t *answer_and_log(const struct operation *operation, const struct migration_port *port, uint32_t migid,
                              const json_t *request)
{
	bool logged = changes_something(operation->name);
	if (logged)
		log_event(LOG_LEVEL_INFO, "asked", "to=%s", operation->name);
	json_t *reply = operation->answer(port, migid, request);
	if (logged && !json_is_true(json_object_get(reply, "ok")))
		log_event(LOG_LEVEL_INFO, "refused", "to=%s error=%s", operation->name,
		          json_string_value(json_object_get(reply, "error")));
	return reply;
}

bool request_is_for_guests(const json_t *request)
{
	const struct operation *operation = find_operation(request);
	return operation && operation->answer == answer_stat;
}

json_t *request_answer(const struct migration_port *port, uint32_t migid, const json_t *request)
{
	const char *op = json_string_value(json_object_get(request, "op"));
	if (!op)
		return request_refuse(EINVAL, "a request needs its name in \"op\"");
	const struct operation *operation = find_operation(request);
	if (!operation)
		return request_refuse(ENOTSUP, "this daemon does not know the request '%.100s'", op);
	if (is_for_another(port, request))
		return request_refuse(ESTALE,
		                      "this daemon serves another migration %u than the one that is meant (its uuid is %s): the "
		                      "configuration database is not the one that it was started with; name that with --confdir",
		                      migid, port->uuid);
	json_t *refusal = refuse_unknown_members(request, operation->members);
	return refusal ? refusal : answer_and_log(operation, port, migid, request);
}
