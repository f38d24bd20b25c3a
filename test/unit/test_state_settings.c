/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Properties in the configuration database: all or nothing, and two who change at the same time.
 */
#include "state/settings.h"
#include "state_fixture.h"

#include <sys/wait.h>

static struct config *config;
static uint32_t migid;
static char message[1024];

static struct config *open_config(void)
{
	struct config *opened = NULL;
	int code = config_open(state_dir, 1, &opened, message, sizeof(message));
	ck_assert_msg(code == 0, "config_open: %d %s", code, message);
	return opened;
}

static void setup(void)
{
	state_dir_make();
	config = open_config();
	ck_assert_int_eq(config_create(config, &migid), 0);
}

static void teardown(void)
{
	config_close(config);
	state_dir_remove();
}

static int change(const char *name, const char *value, enum property_when now)
{
	return settings_change(config, migid, &(struct setting_change){name, value}, 1, now, message, sizeof(message));
}

static void expect(const char *name, const char *value)
{
	struct settings settings;
	ck_assert_int_eq(settings_load(config, migid, &settings), 0);
	const char *got = settings.text[property_index(property_find(name))];
	ck_assert_msg(got && value ? strcmp(got, value) == 0 : got == value, "%s is %s", name, got ? got : "not set");
	settings_free(&settings);
}

START_TEST(test_change)
{
	ck_assert_int_eq(change("segsize", "64K", PROPERTY_LIVE), 0);
	expect("segsize", "64K");
	ck_assert_int_eq(change("segsize", "", PROPERTY_LIVE), 0);
	expect("segsize", NULL);
	ck_assert_int_eq(change("segsize", "64K", PROPERTY_LIVE), 0);
	ck_assert_int_eq(change("segsize", NULL, PROPERTY_LIVE), 0);
	expect("segsize", NULL);
	ck_assert_int_eq(change("threads", "8", PROPERTY_LIVE), -EBUSY);
	ck_assert_ptr_nonnull(strstr(message, "unmount it"));
	ck_assert_int_eq(change("threads", "8", PROPERTY_HALTED), 0);
	ck_assert_int_eq(change("target", "/a", PROPERTY_HALTED), -EBUSY);
	ck_assert_int_eq(change("target", "/a", PROPERTY_AT_CREATE), 0);
	expect("target", "/a");
	ck_assert_int_eq(change("colour", "red", PROPERTY_LIVE), -ENOENT);
	ck_assert_ptr_nonnull(strstr(message, "--describe"));
	/* What the program keeps for itself is no property. */
	ck_assert_int_eq(change("uuid", "x", PROPERTY_AT_CREATE), -ENOENT);
	ck_assert_int_eq(change("state", "complete", PROPERTY_AT_CREATE), -ENOENT);
	migid++;
	ck_assert_int_eq(change("segsize", "64K", PROPERTY_LIVE), -ENOENT);
}
END_TEST

START_TEST(test_all_or_nothing)
{
	struct setting_change half[] = {{"whole", "2M"}, {"segsize", "3K"}}, set[] = {{"whole", "2M"}, {"maxnsproc", "2"}},
			      good[] = {{"whole", "2M"}, {"maxnsproc", "2"}, {"resnsproc", "1"}};
	ck_assert_int_eq(settings_change(config, migid, half, 2, PROPERTY_LIVE, message, sizeof(message)), -EINVAL);
	expect("whole", NULL);
	ck_assert_int_eq(settings_change(config, migid, set, 2, PROPERTY_LIVE, message, sizeof(message)), -EINVAL);
	ck_assert_ptr_nonnull(strstr(message, "resnsproc"));
	expect("whole", NULL);
	ck_assert_int_eq(settings_change(config, migid, good, 3, PROPERTY_LIVE, message, sizeof(message)), 0);
	expect("whole", "2M");
	expect("resnsproc", "1");
}
END_TEST

START_TEST(test_plugin_settings)
{
	struct settings settings;
	ck_assert_int_eq(change("plugin.credentials", "/etc/secret", PROPERTY_LIVE), -EBUSY);
	ck_assert_int_eq(change("plugin.credentials", "/etc/secret", PROPERTY_HALTED), 0);
	ck_assert_int_eq(change("plugin.", "x", PROPERTY_HALTED), -ENOENT);
	ck_assert_int_eq(change("plugin.a=b", "x", PROPERTY_HALTED), -ENOENT);
	ck_assert_int_eq(settings_load(config, migid, &settings), 0);
	ck_assert_uint_eq(settings.n_plugin, 1);
	ck_assert_str_eq(settings.plugin[0].name, "credentials");
	ck_assert_str_eq(settings.plugin[0].value, "/etc/secret");
	settings_free(&settings);
	ck_assert_int_eq(change("plugin.credentials", "", PROPERTY_HALTED), 0);
	ck_assert_int_eq(settings_load(config, migid, &settings), 0);
	ck_assert_uint_eq(settings.n_plugin, 0);
	settings_free(&settings);
}
END_TEST

START_TEST(test_expected)
{
	struct config_pair pair = {"segsize", "1M"}, unset = {"segsize", NULL}, as_read = {"segsize", "1M"};
	ck_assert_int_eq(config_update(config, migid, &pair, 1, &as_read, 1), -EAGAIN);
	expect("segsize", NULL);
	ck_assert_int_eq(config_update(config, migid, &pair, 1, &unset, 1), 0);
	ck_assert_int_eq(config_update(config, migid, &pair, 1, &unset, 1), -EAGAIN);
	ck_assert_int_eq(config_update(config, migid, &unset, 1, &as_read, 1), 0);
	expect("segsize", NULL);
}
END_TEST

/* Each in a process of its own; 0 when every change went through or was refused for what the other had set. */
static void change_for_a_while(const char *name, unsigned from)
{
	config = open_config();
	for (unsigned i = 0; i < 100; i++) {
		char value[16];
		snprintf(value, sizeof(value), "%u", from + i % 8);
		int result = change(name, value, PROPERTY_LIVE);
		if (result != 0 && (result != -EINVAL || !strstr(message, "must be greater")))
			_exit(1);
	}
	config_close(config);
	_exit(0);
}

/* max from 4 to 11, reserve from 0 to 7: right one by one, not always together. */
START_TEST(test_two_at_once)
{
	pid_t children[2];
	config_close(config);
	for (int i = 0; i < 2; i++) {
		children[i] = fork();
		if (children[i] == 0)
			change_for_a_while(i ? "resnsproc" : "maxnsproc", i ? 0 : 4);
	}
	config = open_config();
	for (int ended = 0; ended < 2;) {
		struct settings settings;
		int status;
		ck_assert_int_eq(settings_load(config, migid, &settings), 0);
		const char *max = settings.text[property_index(property_find("maxnsproc"))],
			   *reserve = settings.text[property_index(property_find("resnsproc"))];
		ck_assert_int_gt(max ? atoi(max) : 8, reserve ? atoi(reserve) : 2);
		settings_free(&settings);
		if (waitpid(-1, &status, WNOHANG) > 0) {
			ck_assert_int_eq(status, 0);
			ended++;
		}
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("settings");
	TCase *tests = tcase_create("settings");
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, test_change);
	tcase_add_test(tests, test_all_or_nothing);
	tcase_add_test(tests, test_plugin_settings);
	tcase_add_test(tests, test_expected);
	tcase_add_test(tests, test_two_at_once);
	tcase_set_timeout(tests, 60);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
