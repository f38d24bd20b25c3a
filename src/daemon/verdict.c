/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What follows from a look at source and target: findings, how long it will take, and all of it as one object. See plan.c.
 *
 * The time is a range, and says what it rests on: the source was measured just now, from one machine and perhaps from a cache; the
 * target was not, since nothing is written there, so for it stands what file systems do in an ordinary way.
 */
#include "daemon/plan.h"

#include "base/clock.h"
#include "base/kernel.h"
#include "base/size.h"
#include "wire/bytes.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* Objects that a target makes in a second: a fast one at most, a slow one at least. */
#define MAKES_MOST 20000
#define MAKES_LEAST 1000

/* --- findings --- */

static void add_examples(json_t *finding, const struct survey_example *examples)
{
	json_t *list = json_object_get(finding, "examples");
	for (size_t i = 0; i < SURVEY_EXAMPLES && examples[i].path; i++) {
		json_t *example = json_object();
		bytes_set(example, "path", examples[i].path);
		bytes_set(example, "detail", examples[i].detail);
		json_array_append_new(list, example);
	}
}

static const struct {
	enum weight weight;
	const char *kind, *what, *remedy;
} problems[SURVEY_PROBLEMS] = {
	[SURVEY_UNREADABLE] = {LOSS, "unreadable", "can not be looked at, or not be listed",
                               "make them readable for this machine, or remove them; they will wait in 'errors'"},
	[SURVEY_NOT_READ] = {LOSS, "unreadable-data", "of the files that were read as a sample can not be read",
                             "make them readable for this machine: there will be more of them than these"},
	[SURVEY_NAME_LONG] = {LOSS, "name-too-long", "have a name that is too long for the target",
                              "rename them, or use another file system for the target"},
	[SURVEY_NAME_BYTES] = {LOSS, "name-not-taken", "have a name that the file system of the target does not take",
                               "rename them, or use another file system for the target"},
	[SURVEY_NAME_CASE] = {LOSS, "name-case", "have a name that the target takes for the same as another one",
                              "rename them, or use a target that tells upper from lower case"},
	[SURVEY_FILE_LARGE] = {LOSS, "file-too-large", "are larger than a file can be on the target",
                               "use another file system for it"},
	[SURVEY_TIME] = {LOSS, "time", "have a modification time that the target can not keep",
                         "set other times, or accept that the nearest one is kept"},
	[SURVEY_XATTR] = {LOSS, "xattr", "extended attributes or ACLs can not be held by the target",
                          "mount it with support for them (acl, user_xattr), or accept that they are lost and listed"},
	[SURVEY_XATTR_LARGE] = {LOSS, "xattr-too-large", "have more extended attributes than may fit on the target",
                                "use xfs or btrfs, or ext4 with the feature ea_inode"},
	[SURVEY_KIND] = {LOSS, "kind", "are links or special files, for which the target has nothing",
                         "use a file system of Linux for the target"},
	[SURVEY_SKIPPED] = {NOTE, "skipped",
                            "names are left out, with all that is in directories among them, because the order says so",
                            "see the property order; applications will not see them"},
	[SURVEY_DISAGREES] = {LOSS, "sides-disagree", "are not the same on the SMB side",
                              "look whether cifs= names the same directory; each will be listed as a loss"},
	[SURVEY_REMOTE] = {LOSS, "smb-alone", "are on the SMB side alone",
                           "let the source show them too, or remove them; they will wait in 'errors'"},
};

static void judge_problems(struct plan *plan)
{
	for (size_t i = 0; i < SURVEY_PROBLEMS; i++) {
		uint64_t count = plan->survey.problems[i];
		if (count)
			add_examples(plan_find(plan, problems[i].weight, problems[i].kind, count, problems[i].remedy, "%llu %s",
			                       (unsigned long long)count, problems[i].what),
			             plan->survey.examples[i]);
	}
}

static uint64_t objects_of(const struct survey *survey)
{
	return survey->dirs + survey->files - survey->linked_names + survey->linked_files + survey->symlinks + survey->fifos +
	       survey->sockets + survey->devices;
}

static void judge_room(struct plan *plan)
{
	const struct survey *survey = &plan->survey;
	const struct target_limits *limits = &plan->limits;
	char need[32], have[32];
	size_format(survey->bytes_needed, need, sizeof(need));
	if (survey->bytes_needed > limits->free_bytes_root)
		plan_find(
			plan, LOSS, "space", survey->bytes_needed - limits->free_bytes_root,
			"make room, or take a larger target: when it is full, what is missing is read from the source and waits",
			"about %s are needed and %s are free", need, size_format(limits->free_bytes_root, have, sizeof(have)));
	else if (survey->bytes_needed > limits->free_bytes)
		plan_find(plan, NOTE, "space-reserved", survey->bytes_needed - limits->free_bytes,
		          "applications may find the target full: make room, or lower what is reserved (tune2fs -m)",
		          "about %s are needed; of what is free a part is reserved for root, without it there are %s", need,
		          size_format(limits->free_bytes, have, sizeof(have)));
	else if (survey->bytes > limits->free_bytes && survey->bytes > survey->bytes_allocated)
		plan_find(plan, NOTE, "space-sparse", survey->bytes - survey->bytes_allocated,
		          "if the source compresses its files, they take more room on the target: make sure that it is there",
		          "it fits only as long as holes stay holes: files are %s long, and %s are free",
		          size_format(survey->bytes, need, sizeof(need)), size_format(limits->free_bytes, have, sizeof(have)));
	if (objects_of(survey) > limits->free_inodes)
		plan_find(plan, LOSS, "inodes", objects_of(survey) - limits->free_inodes,
		          "make the file system of the target with more inodes (mkfs.ext4 -N), or use xfs or btrfs",
		          "%llu inodes are needed and %llu are free", (unsigned long long)objects_of(survey),
		          (unsigned long long)limits->free_inodes);
}

static void judge_source(struct plan *plan)
{
	const struct survey *survey = &plan->survey;
	if (survey->complete && objects_of(survey) == 1 && survey->problems[SURVEY_UNREADABLE] == 0)
		plan_find(plan, LOSS, "source-empty", 1, "is it mounted? Mount it and look again", "the source %s is empty",
		          plan->options.source);
	if (survey->mounts)
		add_examples(plan_find(plan, NOTE, "submount", survey->mounts,
		                       "they come over with the rest, into the one file system of the target; unmount what is "
		                       "not to come",
		                       "%llu other file systems are mounted below the source",
		                       (unsigned long long)survey->mounts),
		             survey->mount_examples);
	if (!survey->complete)
		plan_find(
			plan, NOTE, "incomplete", survey->dirs_unseen, "leave --quick out to see everything",
			"the time was over before everything was seen; %llu directories that are known were not listed, and all "
			"figures are too low",
			(unsigned long long)survey->dirs_unseen);
	if (survey->linked_files && plan->limits.plain_only == false && survey->linked_files > 100000)
		plan_find(plan, NOTE, "several-names", survey->linked_files,
		          "nothing is needed; memory and state grow a little until all names were seen",
		          "%llu files have several names", (unsigned long long)survey->linked_files);
}

void verdict_judge(struct plan *plan)
{
	judge_source(plan);
	judge_problems(plan);
	judge_room(plan);
}

/* --- how long --- */

struct duration {
	double list_s, open_s, read_s, make_most_s, make_least_s;
	const char *bound;
	double least_s, most_s;
};

static double read_seconds(const struct survey *survey, double *open_s)
{
	double workers = survey->workers ? survey->workers : 1;
	double files = (double)(survey->files - survey->linked_names + survey->linked_files);
	*open_s = files * (double)survey->sample_open_ns / (double)survey->sample_files / workers / (double)NS_PER_S;
	return survey->sample_bytes ? (double)survey->bytes_allocated * (double)survey->sample_read_ns /
	                                      (double)survey->sample_bytes / workers / (double)NS_PER_S
	                            : 0;
}

/* False: nothing could be measured. Listing, reading and making happen at once: at best the longest of them counts, at worst they
 * wait for each other, and reading takes twice as long as the sample. */
static bool estimate(const struct plan *plan, struct duration *duration)
{
	const struct survey *survey = &plan->survey;
	double objects = (double)objects_of(survey);
	if (!plan->has_survey || (survey->bytes && survey->sample_files == 0))
		return false;
	*duration = (struct duration){.list_s = (double)survey->list_ns / (double)NS_PER_S,
	                              .make_most_s = objects / MAKES_LEAST,
	                              .make_least_s = objects / MAKES_MOST};
	if (survey->sample_files)
		duration->read_s = read_seconds(survey, &duration->open_s);
	const struct {
		const char *name;
		double seconds;
	} parts[] = {{"listing", duration->list_s},
	             {"opening files", duration->open_s},
	             {"reading data", duration->read_s},
	             {"making objects on the target", duration->make_least_s}};
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (parts[i].seconds >= duration->least_s) {
			duration->least_s = parts[i].seconds;
			duration->bound = parts[i].name;
		}
	}
	duration->most_s = duration->list_s + 2 * (duration->open_s + duration->read_s) + duration->make_most_s;
	return true;
}

/* --- the object --- */

static json_int_t per_second(double amount, double ns)
{
	return ns > 0 ? (json_int_t)(amount * (double)NS_PER_S / ns) : 0;
}

static json_t *rates(const struct survey *survey)
{
	double workers = survey->workers;
	double listed =
		(double)(survey->dirs + survey->files + survey->symlinks + survey->fifos + survey->sockets + survey->devices);
	return json_pack("{s:i, s:I, s:I, s:I, s:I, s:I}", "workers", (int)survey->workers, "list_objects_per_s",
	                 per_second(listed, (double)survey->list_ns), "open_files_per_s",
	                 per_second((double)survey->sample_files * workers, (double)survey->sample_open_ns), "read_bytes_per_s",
	                 per_second((double)survey->sample_bytes * workers, (double)survey->sample_read_ns), "sample_files",
	                 (json_int_t)survey->sample_files, "sample_bytes", (json_int_t)survey->sample_bytes);
}

static json_t *place(const struct survey_place *from, const char *unit)
{
	if (!from->path)
		return json_null();
	json_t *object = json_pack("{s:I}", unit, (json_int_t)from->value);
	bytes_set(object, "path", from->path);
	return object;
}

static json_t *space(const struct target_limits *limits)
{
	return json_pack("{s:s, s:I, s:I, s:o}", "type", limits->type, "free_bytes", (json_int_t)limits->free_bytes,
	                 "free_bytes_root", (json_int_t)limits->free_bytes_root, "free_inodes",
	                 limits->free_inodes == UINT64_MAX ? json_null() : json_integer((json_int_t)limits->free_inodes));
}

/* The kernel knows for certain only when something is mounted: since Linux 6.9, on file systems that are not stacked themselves too
 * often. */
static bool has_passthrough(const struct plan *plan)
{
	return plan->options.passthrough && !plan->target.on_overlay && kernel_is_since(6, 9);
}

static json_t *objects(const struct survey *survey)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "directories", (json_int_t)survey->dirs, "files",
	                 (json_int_t)survey->files, "symlinks", (json_int_t)survey->symlinks, "fifos", (json_int_t)survey->fifos,
	                 "sockets", (json_int_t)survey->sockets, "devices", (json_int_t)survey->devices, "files_several_names",
	                 (json_int_t)survey->linked_files, "several_names", (json_int_t)survey->linked_names);
}

static void add_survey(json_t *object, const struct plan *plan)
{
	const struct survey *survey = &plan->survey;
	struct duration duration;
	json_object_set_new(object, "complete", json_boolean(survey->complete));
	json_object_set_new(object, "objects", objects(survey));
	json_object_set_new(object, "bytes", json_integer((json_int_t)survey->bytes));
	json_object_set_new(object, "bytes_allocated", json_integer((json_int_t)survey->bytes_allocated));
	json_object_set_new(object, "bytes_needed", json_integer((json_int_t)survey->bytes_needed));
	json_object_set_new(object, "largest_file", place(&survey->largest_file, "bytes"));
	json_object_set_new(object, "largest_directory", place(&survey->largest_dir, "entries"));
	json_object_set_new(object, "deepest_directory", place(&survey->deepest, "depth"));
	json_object_set_new(object, "longest_name", place(&survey->longest_name, "bytes"));
	json_object_set_new(object, "xattrs_looked_at", json_integer((json_int_t)survey->looked_at_xattrs));
	json_object_set_new(object, "rates", rates(survey));
	json_object_set_new(object, "duration",
	                    estimate(plan, &duration)
	                            ? json_pack("{s:I, s:I, s:s}", "least_s", (json_int_t)(duration.least_s + 1), "most_s",
	                                        (json_int_t)(duration.most_s + 2), "bound_by", duration.bound)
	                            : json_null());
}

json_t *verdict_object(const struct plan *plan)
{
	json_t *object = json_pack("{s:s, s:O, s:b}", "verdict",
	                           plan->stops   ? "impossible"
	                           : plan->loses ? "losses"
	                                         : "clear",
	                           "findings", plan->findings, "passthrough_expected", has_passthrough(plan));
	bytes_set(object, "source", plan->options.source);
	bytes_set(object, "target", plan->options.target);
	json_object_set_new(object, "plugin", plan->source ? json_string(source_plugin_name(plan->source)) : json_null());
	json_object_set_new(object, "file_system", plan->has_target ? space(&plan->limits) : json_null());
	json_object_set_new(object, "looked", json_boolean(plan->has_survey));
	if (plan->has_survey)
		add_survey(object, plan);
	return object;
}
