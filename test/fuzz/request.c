/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Requests of the administrator's socket: any JSON object gets a reply, which can be sent, tells whether it was heeded, and if not
 * why. The bytes are the request's text; when they are no JSON object, a request is made of them: a name, and members that some
 * request knows with values of any type. What is asked of the migration fails as the bytes say.
 */
#include "admin/request.h"
#include "base/log.h"
#include "wire/frame.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition) \
	do { \
		if (!(condition)) \
			abort(); \
	} while (0)

struct bytes {
	const uint8_t *data;
	size_t left;
};

static unsigned take(struct bytes *bytes, unsigned limit)
{
	if (bytes->left == 0)
		return 0;
	bytes->left--;
	return *bytes->data++ % limit;
}

/* --- a migration that does what the bytes say ------------------------------------------------------------------------------------ */

static int outcome(void *context)
{
	static const int errors[] = {0,    0,       0,         0,       -ENOENT, -EBUSY, -EINPROGRESS,
	                             -EIO, -ENOSPC, -EALREADY, -EINVAL, -ENOMEM, -EXDEV};
	return errors[take(context, sizeof(errors) / sizeof(errors[0]))];
}

static int give_stat(void *context, struct migration_stat *stat)
{
	*stat = (struct migration_stat){
		.migid = 1, .eta_s = -1, .state = (enum migration_state)take(context, MIGRATION_FAILED + 1)};
	snprintf(stat->source, sizeof(stat->source), "\xff\x1b\n");
	return outcome(context);
}

static int give_where(void *context, const char *path, struct where_report *report)
{
	MUST(path[0] == '/');
	*report = (struct where_report){.mode = S_IFREG};
	int error = outcome(context);
	if (error)
		return error;
	report->n_ranges = take(context, 4);
	report->ranges = calloc(report->n_ranges + 1, sizeof(*report->ranges));
	return error;
}

static int give_leave(void *context, const struct finish_request *request, struct finish_result *result)
{
	MUST(request->wait_s <= 365u * 86400);
	*result = (struct finish_result){0};
	int error = outcome(context);
	if (error == -EBUSY && take(context, 2)) {
		result->n_holders = 1;
		result->holders = calloc(1, sizeof(*result->holders));
	}
	return error;
}

static int give_errors(void *context, int (*each)(void *each_context, const struct error_record *record), void *each_context)
{
	struct error_record record = {.what = (char *)"read", .path = (char *)"\xff/a", .detail = (char *)""};
	for (record.id = take(context, 4); record.id < 10; record.id++) {
		record.state = (enum error_state)(record.id % 3);
		int result = each(each_context, &record);
		if (result)
			return result;
	}
	return outcome(context);
}

static int give_errors_after(void *context, uint64_t after, int (*each)(void *each_context, const struct error_record *record),
                             void *each_context)
{
	static const char *const whats[] = {"owner", "user.a", "", "inode flags", "\xff", "security.NTACL", "skip"};
	struct error_record record = {.path = (char *)"\xff/a", .detail = (char *)"why"};
	for (record.id = after + 1; record.id < 10; record.id++) {
		record.kind = (enum error_kind)take(context, ERROR_PROTOCOL + 1);
		record.state = (enum error_state)take(context, ERROR_WAIVED + 1);
		record.error = (int32_t)take(context, 130);
		record.what = (char *)whats[take(context, sizeof(whats) / sizeof(whats[0]))];
		int result = each(each_context, &record);
		if (result)
			return result;
	}
	return outcome(context);
}

static int take_decision(void *context, enum error_decision decision, const struct error_choice *choices, size_t count,
                         struct decision_result *result)
{
	(void)decision;
	for (size_t i = 0; i < count; i++)
		MUST(choices[i].id || choices[i].path);
	*result = (struct decision_result){.changed = count};
	return outcome(context);
}

static int take_pause(void *context, bool paused)
{
	(void)paused;
	return outcome(context);
}

static int take_set(void *context, const struct setting_change *changes, size_t n, char *error, size_t error_size)
{
	MUST(changes || n == 0);
	snprintf(error, error_size, "no");
	return outcome(context);
}

static int give_get(void *context, int (*each)(void *each_context, const char *name, const char *value, const char *from),
                    void *each_context)
{
	int result = each(each_context, "segsize", take(context, 2) ? "1M" : NULL, "default");
	return result < 0 ? result : outcome(context);
}

static int take_verify(void *context, const struct verify_request *request)
{
	(void)request;
	return outcome(context);
}

static void give_verification(void *context, struct verify_status *status)
{
	(void)context;
	*status = (struct verify_status){0};
}

static int give_upgrade(void *context, bool begin, struct upgrade_status *status, char *error, size_t error_size)
{
	*status = (struct upgrade_status){.pid = 1, .version = "1", .takeovers = take(context, 100)};
	snprintf(error, error_size, "not now");
	return begin ? -(int)take(context, 130) : 0;
}

static int give_report(void *context, struct migration_report *report)
{
	memset(report, 0, sizeof(*report));
	report->version = "1";
	return outcome(context);
}

/* --- requests -------------------------------------------------------------------------------------------------------------- */

static json_t *make_value(struct bytes *bytes, unsigned depth)
{
	static const char *const texts[] = {"", "/", "/a/\\xff", "segsize", "start", "stop", "\x1b[31m", "waiting", "1M", "all"};
	json_t *value;
	switch (take(bytes, depth ? 8 : 6)) {
	case 0:
		return json_integer((json_int_t)take(bytes, 256) - 2);
	case 1:
		return json_integer(take(bytes, 2) ? INT64_MAX : INT64_MIN);
	case 2:
		return json_real(0.5 * take(bytes, 256));
	case 3:
		return json_boolean(take(bytes, 2));
	case 4:
		return json_null();
	case 5:
		return json_string(texts[take(bytes, sizeof(texts) / sizeof(texts[0]))]);
	case 6:
		value = json_array();
		for (unsigned n = take(bytes, 4); n > 0; n--)
			json_array_append_new(value, make_value(bytes, depth - 1));
		return value;
	default:
		value = json_object();
		for (unsigned n = take(bytes, 4); n > 0; n--)
			json_object_set_new(value, texts[take(bytes, sizeof(texts) / sizeof(texts[0]))],
			                    make_value(bytes, depth - 1));
		return value;
	}
}

static json_t *make_request(struct bytes *bytes)
{
	static const char *const ops[] = {"stat",         "where",  "errors",  "retry", "waive",  "log",       "finish",
	                                  "halt",         "pause",  "resume",  "set",   "get",    "first",     "verify",
	                                  "verification", "report", "upgrade", "fetch", "losses", "loss-list", "x"};
	static const char *const members[] = {"path",
	                                      "after",
	                                      "max",
	                                      "state",
	                                      "entries",
	                                      "last",
	                                      "lazy",
	                                      "wait_s",
	                                      "properties",
	                                      "action",
	                                      "full",
	                                      "uuid",
	                                      "escaped",
	                                      "patterns",
	                                      "sample_ppm",
	                                      "seed",
	                                      "limit_bytes_per_s",
	                                      "paths",
	                                      "kind"};
	json_t *request = json_object();
	json_object_set_new(request, "op", json_string(ops[take(bytes, sizeof(ops) / sizeof(ops[0]))]));
	for (unsigned n = take(bytes, 4); n > 0; n--)
		json_object_set_new(request, members[take(bytes, sizeof(members) / sizeof(members[0]))], make_value(bytes, 2));
	return request;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes bytes = {data, size};
	struct migration_port port = {
		.context = &bytes,
		.stat = give_stat,
		.where = give_where,
		.finish = give_leave,
		.errors = give_errors,
		.errors_fixed = give_errors,
		.decide = take_decision,
		.uuid = "00000000-0000-0000-0000-000000000000",
		.halt = give_leave,
		.pause = take_pause,
		.set = take_set,
		.get = give_get,
		.verify_start = take_verify,
		.verify_stop = outcome,
		.verify_status = give_verification,
		.report = give_report,
		.upgrade = give_upgrade,
		.errors_after = give_errors_after,
	};
	json_t *request;
	log_set_level(LOG_LEVEL_ERROR);
	if (frame_parse((const char *)data, size, &request))
		request = make_request(&bytes);
	request_is_long(request);
	json_t *reply = request_answer(&port, 1, request);
	MUST(json_is_object(reply) && json_is_boolean(json_object_get(reply, "ok")));
	if (json_is_false(json_object_get(reply, "ok")))
		MUST(json_is_string(json_object_get(reply, "error")) && json_is_string(json_object_get(reply, "message")));
	char *text = json_dumps(reply, JSON_COMPACT);
	MUST(text && strlen(text) <= FRAME_REPLY_MAX);
	free(text);
	json_decref(reply);
	json_decref(request);
	return 0;
}
