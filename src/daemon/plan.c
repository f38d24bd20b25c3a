/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dmmfs --plan: a look before the leap, for `dmmfs-admin plan`. It asks what a start asks (daemon/open.c), in the same order but to
 * the end, and walks over the source. Nothing is written, neither there nor on the target; no state, no mark, no configuration.
 */
#include "daemon/plan.h"

#include "daemon/look.h"
#include "daemon/place.h"

#include "base/clock.h"
#include "base/log.h"
#include "wire/bytes.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Files are read for so long to see how fast that is. */
#define READ_S 3

json_t *plan_find(struct plan *plan, enum weight weight, const char *kind, uint64_t count, const char *remedy, const char *format,
                  ...)
{
	static const char *const weights[] = {[NOTE] = "note", [LOSS] = "loss", [STOP] = "stop"};
	char what[1024];
	va_list args;
	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	json_t *finding = json_pack("{s:s, s:s, s:I, s:[]}", "weight", weights[weight], "kind", kind, "count", (json_int_t)count,
	                            "examples");
	bytes_set(finding, "what", what);
	bytes_set(finding, "remedy", remedy);
	json_array_append_new(plan->findings, finding);
	plan->stops = plan->stops || weight == STOP;
	plan->loses = plan->loses || weight == LOSS;
	return finding;
}

/* --- the target --- */

static void look_at_contents(struct plan *plan)
{
	char uuid[64];
	int occupied = target_occupied(&plan->target);
	if (target_mark(&plan->target, uuid, sizeof(uuid)) == 0) {
		plan_find(plan, STOP, "target-taken", 1, "finish or delete that one first, or go on with it: dmmfs-admin list",
		          "the target %s belongs to a migration that has begun already (%s)", plan->options.target, uuid);
		return;
	}
	if (occupied < 0)
		plan_find(plan, STOP, "target-unreadable", 1, "make it readable for root", "the target %s can not be listed: %s",
		          plan->options.target, strerror(-occupied));
	if (occupied > 0 && plan->options.migrate.collision == COLLISION_ERROR)
		plan_find(plan, STOP, "collision", 1,
		          "use an empty directory, or collision=overwrite to replace what has the same name, or collision=rename "
		          "to keep it under another name",
		          "the target %s is not empty", plan->options.target);
	else if (occupied > 0)
		plan_find(plan, NOTE, "collision", 1, "look at what is there before",
		          "the target %s is not empty; what has the same name at the source is %s", plan->options.target,
		          plan->options.migrate.collision == COLLISION_OVERWRITE ? "replaced" : "kept under another name");
}

static void look_at_target(struct plan *plan)
{
	char error[1024];
	if (place_is_ours(plan->options.target)) {
		plan_find(plan, STOP, "target-taken", 1, "see dmmfs-admin list", "%s is mounted by dmmfs already",
		          plan->options.target);
		return;
	}
	if (target_open(plan->options.target, &plan->target, error, sizeof(error)) < 0) {
		plan_find(plan, STOP, "target", 1, NULL, "%s", error);
		return;
	}
	target_look_only(&plan->target);
	plan->has_target = true;
	if (target_limits(&plan->target, &plan->limits) < 0)
		plan_find(plan, STOP, "target", 1, "check its file system", "the file system of the target %s can not be asked",
		          plan->options.target);
	else if (plan->limits.read_only)
		plan_find(plan, STOP, "target-read-only", 1, "mount it for writing",
		          "the file system of the target %s is mounted read-only", plan->options.target);
	look_at_contents(plan);
}

/* --- the source --- */

static void look_at_place(struct plan *plan)
{
	char error[1024], path[PATH_MAX];
	if (!plan->options.source_is_path)
		return;
	if (place_check_nesting(plan->options.source, plan->options.target, error, sizeof(error)) < 0)
		plan_find(plan, STOP, "nesting", 1, "choose another target", "%s", error);
	if (plan->options.statedir && place_check_state(plan->options.source, plan->options.statedir, error, sizeof(error)) < 0)
		plan_find(plan, STOP, "nesting", 1, "choose another statedir", "%s", error);
	snprintf(path, sizeof(path), "%s/" TARGET_OURS, plan->options.source);
	if (access(path, F_OK) == 0)
		plan_find(plan, STOP, "source-unfinished", 1, "finish that one first",
		          "the source %s is itself the target of a migration that is not finished", plan->options.source);
}

static void open_source(struct plan *plan)
{
	char error[1024];
	struct source_options source, nt;

	options_source(&plan->options, &source, &nt);
	if (source_open(&source, &plan->source, error, sizeof(error)) < 0)
		plan_find(plan, STOP, "source", 1, NULL, "%s", error);
	else
		source_set_entries_max(plan->source, plan->options.maxentries);
}

static void load_order(struct plan *plan)
{
	char error[1024];
	const char *text = plan->options.migrate.order;
	if (!text)
		return;
	if (rules_parse(text, &plan->order, error, sizeof(error)) < 0 || rules_load(plan->order, error, sizeof(error)) < 0)
		plan_find(plan, STOP, "order", 1, "set the property order anew", "%s", error);
}

static void tell_progress(void *context, uint64_t objects, uint64_t bytes)
{
	(void)context;
	look_say("progress", json_pack("{s:I, s:I}", "objects", (json_int_t)objects, "bytes", (json_int_t)bytes));
}

static void walk(struct plan *plan)
{
	const struct survey_options options = {
		.workers = plan->options.migrate.maxnsproc,
		.walk_ns = plan->walk_s * NS_PER_S,
		.read_ns = READ_S * NS_PER_S,
		.target = &plan->target,
		.limits = &plan->limits,
		.order = plan->order,
		.progress = tell_progress,
	};
	int result = survey_run(plan->source, &options, &plan->survey);
	if (result < 0)
		plan_find(plan, STOP, "source", 1, "mount it, or make it readable for root",
		          "the source %s can not be listed: %s", plan->options.source, strerror(-result));
	plan->has_survey = result >= 0;
}

/* --- the whole --- */

static void look(struct plan *plan)
{
	plan->target = (struct target){.tree_fd = -1, .root_fd = -1, .ours_fd = -1, .links_fd = -1, .witness_fd = -1};
	plan->limits = (struct target_limits){.free_bytes = UINT64_MAX,
	                                      .free_bytes_root = UINT64_MAX,
	                                      .free_inodes = UINT64_MAX,
	                                      .block_bytes = 4096,
	                                      .file_max = INT64_MAX,
	                                      .time_min_s = INT64_MIN,
	                                      .time_max_s = INT64_MAX,
	                                      .xattr_max = UINT64_MAX};
	look_at_place(plan);
	look_at_target(plan);
	open_source(plan);
	load_order(plan);
	if (plan->source && plan->has_target)
		walk(plan);
	if (plan->has_survey)
		verdict_judge(plan);
}

int plan_main(int argc, char **argv)
{
	struct plan plan = {.findings = json_array()};
	char error[1024] = "";
	if (argc < 4)
		return EXIT_USAGE;
	plan.walk_s = (unsigned)strtoul(argv[1], NULL, 10);
	argv[1] = argv[0];
	log_set_level(LOG_LEVEL_ERROR);
	int result = options_parse(argc - 1, argv + 1, &plan.options, error, sizeof(error));
	if (result == 0 && !plan.options.by_migid)
		result = options_resolve(&plan.options, error, sizeof(error));
	if (result == 0)
		result = options_settle(&plan.options, error, sizeof(error));
	if (result == 0) {
		look(&plan);
		look_say("summary", verdict_object(&plan));
	} else {
		look_fail(result, "%s", error);
	}
	if (plan.source)
		source_close(plan.source);
	if (plan.has_target)
		target_close(&plan.target);
	if (plan.has_survey)
		survey_free(&plan.survey);
	rules_free(plan.order);
	options_free(&plan.options);
	json_decref(plan.findings);
	return result == 0 ? EXIT_OK : EXIT_FAILED;
}
