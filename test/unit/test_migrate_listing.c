/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A listing that the source loses on the way, with its connection or because it does not know the place any more, is begun anew by whoever
 * lists: each name counts once, and what stands behind is not taken for what has gone.
 */
#define AWAIT_MS 50000
#include "migrate/listing.h"
#include "migrate/rebuild_private.h"
#include "migrate/survey.h"
#include "migrate_world.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SIZE 100u
#define DIR 1u
#define A_KIND_THAT_THERE_IS_NOT (0170000 | 0600)

static const int losses[] = {-ENOTCONN, -ESTALE};
#define LOSSES (int)(sizeof(losses) / sizeof(*losses))

/* A directory dir with the files a, b, c and d, beside another one. */
static void setup(void)
{
	static const char *const names[] = {"a", "b", "c", "d"};

	fake_dir(DIR, 0, "dir");
	for (unsigned i = 0; i < 4; i++)
		fake_file(2 + i, DIR, names[i], SIZE);
	fake_dir(9, 0, "quiet");
}

static void lose(unsigned listings, unsigned from, int error)
{
	fake_objects[DIR].spared = from;
	fake_objects[DIR].lost = listings;
	fake_objects[DIR].lost_by = error;
}

static bool is_here(const char *name)
{
	return faccessat(target.root_fd, name, F_OK, 0) == 0;
}

static void complete_with(unsigned files)
{
	await_complete();
	ck_assert_uint_eq(fake_objects[DIR].lost, 0);
	ck_assert_int_eq(figures()->totals.files_found, files);
	ck_assert_int_eq(figures()->totals.files_migrated, files);
	ck_assert(is_here("dir/a") && is_here("dir/b") && is_here("dir/d"));
}

START_TEST(a_population)
{
	options.error_retries = 0;
	lose(2, 0, losses[_i]);
	world_open();
	complete_with(4);
	ck_assert_uint_eq(fake_objects[DIR].opens, 3);
	world_close();
}
END_TEST

static int take_drift(void *context, const struct error_record *record)
{
	if (record->kind == ERROR_DRIFT)
		snprintf(context, 256, "%s", record->detail);
	return 0;
}

/* Which looks for what came while the directory was listed: `late` comes for c. */
START_TEST(a_second_listing)
{
	char detail[256] = "";

	fake_objects[DIR].late = 3;
	fake_objects[3] = (struct fake_object){0};
	lose(2, 1, losses[_i]);
	world_open();
	await_complete();
	ck_assert_uint_eq(fake_objects[DIR].lost, 0);
	ck_assert(is_here("dir/late"));
	ck_assert_int_eq(store_flush(store), 0);
	ck_assert_int_eq(store_errors_walk(store, take_drift, detail), 0);
	ck_assert_msg(strstr(detail, "1 names came and are here, 1 went"), "%s", detail);
	world_close();
}
END_TEST

/* What is in the way moves aside once, and only that. */
START_TEST(what_moves_aside)
{
	options.error_retries = 0;
	options.collision = COLLISION_RENAME;
	ck_assert_int_eq(mkdir(scratch_path("target/dir"), 0755), 0);
	ck_assert_int_ge(close(creat(scratch_path("target/dir/a"), 0600)), 0);
	ck_assert_int_ge(close(creat(scratch_path("target/dir/d"), 0600)), 0);
	lose(2, 0, losses[_i]);
	world_open();
	complete_with(4);
	ck_assert(is_here("dir/a.collision-1") && is_here("dir/d.collision-1"));
	ck_assert(!is_here("dir/a.collision-2") && !is_here("dir/d.collision-2"));
	world_close();
}
END_TEST

static int count_names(void *context, const struct error_record *record)
{
	*(unsigned *)context += record->kind == ERROR_OF_NAME && record->state == ERROR_WAITING;
	return 0;
}

static unsigned names_waiting(void)
{
	unsigned count = 0;

	ck_assert_int_eq(store_flush(store), 0);
	ck_assert_int_eq(store_errors_walk(store, count_names, &count), 0);
	return count;
}

/* Names that could not be made, one of which has not been listed when the listing is lost. */
START_TEST(names_that_are_tried_again)
{
	struct decision_result decided;

	fake_objects[2].mode = fake_objects[5].mode = A_KIND_THAT_THERE_IS_NOT;
	world_open();
	AWAIT(names_waiting() == 2);
	fake_objects[2].mode = fake_objects[5].mode = S_IFREG | 0640;
	lose(2, 0, losses[_i]);
	ck_assert_int_eq(migrate_decide(migrate, DECIDE_RETRY, &(struct error_target){.path = ""}, 1, &decided), 0);
	complete_with(4);
	ck_assert_uint_eq(names_waiting(), 0);
	world_close();
}
END_TEST

/* A place that is lost each time says nothing of the names behind it. */
START_TEST(names_that_are_not_reached)
{
	struct decision_result decided;

	fake_objects[2].mode = fake_objects[5].mode = A_KIND_THAT_THERE_IS_NOT;
	world_open();
	AWAIT(names_waiting() == 2);
	fake_objects[2].mode = fake_objects[5].mode = S_IFREG | 0640;
	lose(1000, 0, losses[_i]);
	ck_assert_int_eq(migrate_decide(migrate, DECIDE_RETRY, &(struct error_target){.path = ""}, 1, &decided), 0);
	AWAIT(is_here("dir/a") && names_waiting() == 1);
	ck_assert(!is_here("dir/d"));
	ck_assert_int_eq(figures()->totals.files_error, 1);
	world_close();
}
END_TEST

START_TEST(a_survey)
{
	struct target_limits limits = {.block_bytes = 4096,
	                               .name_max = 255,
	                               .file_max = INT64_MAX,
	                               .time_min_s = INT64_MIN,
	                               .time_max_s = INT64_MAX,
	                               .xattr_max = UINT64_MAX};
	struct survey_options survey_options = {.workers = 2, .limits = &limits};
	struct survey survey;

	lose(2, 0, losses[_i]);
	ck_assert_int_eq(survey_run(NULL, &survey_options, &survey), 0);
	ck_assert(survey.complete);
	ck_assert_uint_eq(survey.problems[SURVEY_UNREADABLE], 0);
	ck_assert_uint_eq(survey.dirs, 3);
	ck_assert_uint_eq(survey.files, 4);
	ck_assert_uint_eq(survey.bytes, 4 * SIZE);
	ck_assert_uint_eq(survey.largest_dir.value, 4);
	survey_free(&survey);
}
END_TEST

START_TEST(a_rebuild)
{
	struct origins origins = {0};
	unsigned id = DIR;

	lose(2, 0, losses[_i]);
	ck_assert_int_eq(origins_list(NULL, (struct dmm_bytes){&id, sizeof(id)}, &origins), 0);
	ck_assert_uint_eq(origins.count, 4);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_int_eq(origins.all[i]->name[0], "abcd"[i]);
	origins_free(&origins);
}
END_TEST

static struct verify_status verified;

static bool verification_is_over(void)
{
	verify_status_free(&verified);
	migrate_verify_status(migrate, &verified);
	return verified.life != VERIFY_RUNNING;
}

START_TEST(a_full_verification)
{
	world_open();
	complete_with(4);
	lose(2, 0, losses[_i]);
	ck_assert_int_eq(migrate_verify_start(migrate, &(struct verify_request){.full = true, .ppm = 1000000}), 0);
	AWAIT(verification_is_over());
	ck_assert_int_eq(verified.life, VERIFY_DONE);
	ck_assert_uint_eq(fake_objects[DIR].lost, 0);
	ck_assert_uint_eq(verified.unreadable + verified.extra + verified.missing, 0);
	ck_assert_uint_eq(verified.files, 4);
	ck_assert_uint_eq(verified.equal, 4);
	verify_status_free(&verified);
	world_close();
}
END_TEST

/* --- by itself --- */

struct taken {
	unsigned entries, times;
	int refusal; /* of the second entry */
};

static int take(void *context, const struct dmm_entry *entry)
{
	struct taken *taken = context;

	return ++taken->entries == 2 ? taken->refusal : 0;
}

static void begin_anew(void *context)
{
	((struct taken *)context)->times++;
}

static int list_dir(struct taken *taken)
{
	unsigned id = DIR;

	fake_objects[DIR].opens = 0;
	return list_whole(
		&(struct whole_listing){.handle = {&id, sizeof(id)}, .entry = take, .anew = begin_anew, .context = taken}, NULL);
}

START_TEST(one_that_is_always_lost_comes_to_an_end)
{
	struct taken taken = {0};

	lose(1000, 0, losses[_i]);
	ck_assert_int_eq(list_dir(&taken), losses[_i] == -ESTALE ? -EREMOTEIO : losses[_i]);
	ck_assert_uint_eq(fake_objects[DIR].opens, 6);
	ck_assert_uint_eq(taken.times, 5);
	ck_assert_uint_eq(taken.entries, 12);
}
END_TEST

/* What the function of an entry says is no news of the listing. */
START_TEST(one_that_is_refused_has_ended)
{
	struct taken taken = {.refusal = losses[_i]};

	ck_assert_int_eq(list_dir(&taken), losses[_i]);
	ck_assert_uint_eq(fake_objects[DIR].opens, 1);
}
END_TEST

/* At once, or when it is begun anew. */
START_TEST(a_directory_that_has_gone_is_told)
{
	struct taken taken = {0};

	fake_objects[DIR].open_error = -ESTALE;
	ck_assert_int_eq(list_dir(&taken), -ESTALE);
	ck_assert_uint_eq(fake_objects[DIR].opens, 1);
	ck_assert_uint_eq(taken.times, 0);
}
END_TEST

int main(void)
{
	if (!world_is_possible())
		return 77;
	Suite *suite = suite_create("migrate-listing");
	TCase *tests = world_case(suite, "listing", setup);
	tcase_add_loop_test(tests, a_population, 0, LOSSES);
	tcase_add_loop_test(tests, a_second_listing, 0, LOSSES);
	tcase_add_loop_test(tests, what_moves_aside, 0, LOSSES);
	tcase_add_loop_test(tests, names_that_are_tried_again, 0, LOSSES);
	tcase_add_loop_test(tests, names_that_are_not_reached, 0, LOSSES);
	tcase_add_loop_test(tests, a_survey, 0, LOSSES);
	tcase_add_loop_test(tests, a_rebuild, 0, LOSSES);
	tcase_add_loop_test(tests, a_full_verification, 0, LOSSES);
	tcase_add_loop_test(tests, one_that_is_always_lost_comes_to_an_end, 0, LOSSES);
	tcase_add_loop_test(tests, one_that_is_refused_has_ended, 0, LOSSES);
	tcase_add_test(tests, a_directory_that_has_gone_is_told);
	return world_run(suite);
}
