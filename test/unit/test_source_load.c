/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Finding and loading plugins: by name, by scheme, and every refusal with a sentence that names the thing and the remedy. Also a
 * plugin built outside the tree against <dmmfs/plugin.h> alone, with plain cc.
 */
#include "sim.h"

#include <sys/stat.h>

static char error[512];

static int try_open(const struct source_options *options)
{
	struct source *source = NULL;
	int ret;

	error[0] = '\0';
	ret = source_open(options, &source, error, sizeof(error));
	if (ret == 0)
		source_close(source);
	else
		ck_assert_ptr_null(source);
	return ret;
}

static void expect_refusal(const struct source_options *options, int expected, const char *words)
{
	int ret = try_open(options);
	ck_assert_msg(ret == expected, "%d instead of %d: %s", ret, expected, error);
	ck_assert_msg(strstr(error, words) != NULL, "no \"%s\" in: %s", words, error);
	ck_assert_msg(error[strlen(error) - 1] == '.', "no sentence: %s", error);
}

/* --- which plugin -------------------------------------------------------------------------------------------------------------- */

START_TEST(test_by_protocol)
{
	struct source_options options = sim_options();
	struct source *source = sim_open_with(&options);
	ck_assert_str_eq(source_plugin_name(source), "sim_plugin");
	ck_assert_uint_eq(source_capabilities(source), 0);
	source_close(source);
	options.protocol = "nosuch";
	expect_refusal(&options, -ENOENT, "no plugin \"nosuch\"");
	options.protocol = "../sim_plugin";
	expect_refusal(&options, -EINVAL, "no name of a plugin");
	options.protocol = "";
	expect_refusal(&options, -EINVAL, "no name of a plugin");
}
END_TEST

START_TEST(test_by_scheme)
{
	static const char *const schemes[] = {"one", "Two", NULL};
	struct source_options options = sim_options();
	options.protocol = NULL;
	sim.plugin->schemes = schemes;
	options.source = "two://server/share";
	ck_assert_msg(try_open(&options) == 0, "%s", error);
	options.source = "ONE://server";
	ck_assert_msg(try_open(&options) == 0, "%s", error);
	options.source = "three://server";
	expect_refusal(&options, -ENOENT, "serves three://");
	/* By its own name, but it does not say that it serves it. */
	options.source = "sim_plugin://server";
	expect_refusal(&options, -EINVAL, "how to reach the source");
	options.source = "server:/export";
	expect_refusal(&options, -EINVAL, "nfs://server/path");
	options.source = "relative/path";
	expect_refusal(&options, -EINVAL, "how to reach the source");
	options.plugin_dir = "/nonexistent";
	options.source = "one://server";
	expect_refusal(&options, -ENOENT, "/nonexistent");
}
END_TEST

/* A plain path means the plugin "posix", wherever that comes from: here there is none. */
START_TEST(test_by_path)
{
	struct source_options options = sim_options();
	options.protocol = NULL;
	options.source = "/some/path";
	expect_refusal(&options, -ENOENT, "no plugin \"posix\"");
}
END_TEST

/* --- what it says of itself --------------------------------------------------------------------------------------------------------- */

START_TEST(test_interface)
{
	struct source_options options = sim_options();
	switch (_i) {
	case 0:
		sim.plugin->abi = DMM_PLUGIN_ABI + 1;
		expect_refusal(&options, -ENOEXEC, "version 3 of the plugin interface");
		break;
	case 1:
		sim.plugin->struct_size = 16;
		expect_refusal(&options, -ENOEXEC, "build it anew");
		break;
	case 2:
		sim.plugin->name = "other";
		expect_refusal(&options, -ENOEXEC, "calls itself \"other\"");
		break;
	case 3:
		sim.plugin->submit = NULL;
		expect_refusal(&options, -ENOEXEC, "lacks one of");
		break;
	case 4:
		sim.plugin->threads = (enum dmm_thread_model)17;
		expect_refusal(&options, -ENOEXEC, "thread model 17");
		break;
	case 5: /* its entries are shorter than those that the host reads */
		sim.plugin->abi = 1;
		expect_refusal(&options, -ENOEXEC, "version 1 of the plugin interface and this dmmfs speaks 2");
		break;
	default:
		ck_abort();
	}
}
END_TEST

static int never_file_fd(struct dmm_file *file)
{
	ck_abort();
}

static uint64_t cap_fd(struct dmm_conn *conn)
{
	return DMM_CAP_FD;
}

/* A plugin of an earlier header ends before the newest members: what is behind its end is not looked at. One of a later header
 * is longer than ours. */
START_TEST(test_older_and_newer)
{
	sim.plugin->capabilities = cap_fd;
	sim.plugin->file_fd = never_file_fd;
	sim.plugin->struct_size = offsetof(struct dmm_plugin, file_fd);
	struct source *source = sim_open();
	struct source_file *file = sim_open_file(source);
	ck_assert_int_eq(source_file_fd(file), -EOPNOTSUPP);
	source_file_close(file);
	source_close(source);

	sim.plugin->struct_size = sizeof(struct dmm_plugin) + 64;
	source = sim_open();
	ck_assert_uint_eq(source_capabilities(source), DMM_CAP_FD);
	source_close(source);
}
END_TEST

/* --- options --------------------------------------------------------------------------------------------------------------------- */

static const struct dmm_option option_table[] = {{"port", "TCP port"}, {"sec", "security flavour"}, {NULL, NULL}};
static const struct dmm_setting *settings_seen;
static size_t n_settings_seen;

static int open_looks_at_settings(const struct dmm_config *config, struct dmm_instance **instance)
{
	settings_seen = config->settings;
	n_settings_seen = config->n_settings;
	ck_assert_uint_eq(config->struct_size, sizeof(*config));
	config->log(DMM_LOG_DEBUG, "%s", "heard");
	return sim_open_instance(config, instance);
}

START_TEST(test_options)
{
	const struct dmm_setting settings[] = {{"port", "2049"}, {"nosuch", "1"}};
	struct source_options options = sim_options();
	ck_assert_int_eq(source_option_known(sim.dir, "sim_plugin", "x", "port"), 0);
	sim.plugin->options = option_table;
	sim.plugin->open = open_looks_at_settings;
	ck_assert_int_eq(source_option_known(sim.dir, "sim_plugin", "x", "port"), 1);
	ck_assert_int_eq(source_option_known(sim.dir, "sim_plugin", "x", "por"), 0);
	ck_assert_int_eq(source_option_known(sim.dir, "nosuch", "x", "port"), 0);

	options.settings = settings;
	options.n_settings = 1;
	ck_assert_int_eq(try_open(&options), 0);
	ck_assert_ptr_eq(settings_seen, settings);
	ck_assert_uint_eq(n_settings_seen, 1);
	options.n_settings = 2;
	expect_refusal(&options, -EINVAL, "takes no option \"nosuch\"");
}
END_TEST

static int open_explains(const struct dmm_config *config, struct dmm_instance **instance)
{
	snprintf(config->error, config->error_size, "The share does not exist; name another.");
	return -ENOENT;
}

static int open_is_silent(const struct dmm_config *config, struct dmm_instance **instance)
{
	return -ENOMEM;
}

static int connect_fails(struct dmm_instance *instance, struct dmm_conn **conn)
{
	return -EACCES;
}

START_TEST(test_open_fails)
{
	struct source_options options = sim_options();
	sim.plugin->open = open_explains;
	expect_refusal(&options, -ENOENT, "The share does not exist");
	sim.plugin->open = open_is_silent;
	expect_refusal(&options, -ENOMEM, "sim://anywhere cannot be opened");
	sim.plugin->open = sim_open_instance;
	sim.plugin->connect = connect_fails;
	expect_refusal(&options, -EACCES, "sim://anywhere cannot be reached");
}
END_TEST

/* --- files ----------------------------------------------------------------------------------------------------------------------- */

static char work[64];

static void make_work(void)
{
	strcpy(work, "/tmp/dmmfs-load-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(work));
}

static void remove_work(void)
{
	char command[128];
	snprintf(command, sizeof(command), "rm -rf %s", work);
	ck_assert_int_eq(system(command), 0);
}

/* Builds WORK/NAME.so from C text, with plain cc and the public headers alone. */
static void build(const char *name, const char *text)
{
	char path[128], command[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s.c", work, name);
	file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	ck_assert_int_eq(fclose(file), 0);
	snprintf(command, sizeof(command), "cc -Wall -Wextra -Werror -shared -fPIC -I'%s/include' -o %s/%s.so %s",
	         getenv("DMMFS_SOURCEDIR"), work, name, path);
	ck_assert_msg(system(command) == 0, "%s", command);
}

static char example[8192];

/* The plugin that dmmfs-plugin(3) shows, so that what people begin with is known to work. */
static void read_example(void)
{
	char path[4096], line[512];
	bool inside = false;

	snprintf(path, sizeof(path), "%s/docs/man/dmmfs-plugin.3", getenv("DMMFS_SOURCEDIR"));
	FILE *page = fopen(path, "r");
	ck_assert_msg(page != NULL, "%s", path);
	example[0] = '\0';
	while (fgets(line, sizeof(line), page)) {
		if (strncmp(line, ".\\\" example", 11) == 0) {
			inside = !inside;
			continue;
		}
		if (!inside)
			continue;
		for (char *escape = line; (escape = strstr(escape, "\\e")); escape++)
			memmove(escape + 1, escape + 2, strlen(escape + 2) + 1);
		ck_assert_uint_lt(strlen(example) + strlen(line), sizeof(example));
		strcat(example, line);
	}
	fclose(page);
	ck_assert_str_ne(example, "");
}

/* Keeps the handle of the last entry. */
struct kept {
	int count;
	char name[16], handle[16];
	size_t handle_len;
};

static int keep(void *context, const struct dmm_entry *entry)
{
	struct kept *kept = context;
	ck_assert_int_eq(entry->error, 0);
	kept->count++;
	strcpy(kept->name, entry->name);
	kept->handle_len = entry->handle.len;
	memcpy(kept->handle, entry->handle.data, entry->handle.len);
	return 0;
}

START_TEST(test_outside_the_tree)
{
	struct source_options options = {.source = "hello://", .plugin_dir = work, .tries = 1};
	struct source_file *file = NULL;
	struct kept kept = {0};
	char text[32] = "";

	build("hello", example);
	struct source *source = sim_open_with(&options);
	ck_assert_str_eq(source_plugin_name(source), "hello");
	ck_assert_int_eq(source_root(source, keep, &kept), 0);
	ck_assert_int_eq(source_file_open(source, (struct dmm_bytes){kept.handle, kept.handle_len}, &file), 0);
	ck_assert_int_eq(source_list(file, keep, &kept), 1);
	ck_assert_int_eq(source_list(file, keep, &kept), 0);
	source_file_close(file);
	ck_assert_int_eq(kept.count, 2);
	ck_assert_str_eq(kept.name, "greeting");
	ck_assert_int_eq(source_attr(source, (struct dmm_bytes){kept.handle, kept.handle_len}, keep, &kept), 0);
	ck_assert_int_eq(source_file_open(source, (struct dmm_bytes){kept.handle, kept.handle_len}, &file), 0);
	ck_assert_int_eq(source_read(file, text, 0, sizeof(text)), 13);
	ck_assert_str_eq(text, "Hello, world\n");
	ck_assert_int_eq(source_read(file, text, 7, 5), 5);
	ck_assert_int_eq(source_read(file, text, 100, 5), 0);
	ck_assert_int_eq(source_xattrs(source, sim_handle(), file, NULL, NULL), 0);
	source_file_close(file);
	source_close(source);
}
END_TEST

START_TEST(test_not_a_plugin)
{
	struct source_options options = {.source = "x", .protocol = "plain", .plugin_dir = work, .tries = 1};
	char path[128];

	build("plain", "int nothing;\n");
	expect_refusal(&options, -ENOEXEC, "no function dmmfs_plugin_entry");
	build("null", "#include <dmmfs/plugin.h>\nconst struct dmm_plugin *DMM_PLUGIN_ENTRY(void) { return 0; }\n");
	options.protocol = "null";
	expect_refusal(&options, -ENOEXEC, "gives no plugin");
	build("missing",
	      "void not_there(void);\nvoid dmmfs_plugin_entry(void);\nvoid dmmfs_plugin_entry(void) { not_there(); }\n");
	options.protocol = "missing";
	expect_refusal(&options, -ENOEXEC, "cannot be loaded");

	/* None of these is in the way of one that serves the scheme, and if none does, the reason is told. */
	options.protocol = NULL;
	options.source = "hello://";
	expect_refusal(&options, -ENOENT, "Passed over");
	build("hello", example);
	ck_assert_msg(try_open(&options) == 0, "%s", error);
	snprintf(path, sizeof(path), "%s/dir.so", work);
	ck_assert_int_eq(mkdir(path, 0755), 0);
	options.protocol = "dir";
	expect_refusal(&options, -ENOEXEC, "cannot be loaded");
}
END_TEST

/* Whoever can write the file, or put another in its place, would have root's rights. */
START_TEST(test_who_can_write)
{
	struct source_options options = {.source = "x", .protocol = "hello", .plugin_dir = work, .tries = 1};
	char file[128], below[128];

	build("hello", example);
	snprintf(file, sizeof(file), "%s/hello.so", work);
	snprintf(below, sizeof(below), "%s/below", work);
	ck_assert_int_eq(chmod(work, 0755), 0);
	ck_assert_msg(try_open(&options) == 0, "%s", error);

	ck_assert_int_eq(chmod(file, 0757), 0);
	expect_refusal(&options, -EPERM, "chmod go-w");
	ck_assert_int_eq(chmod(file, 0755), 0);
	ck_assert_int_eq(chmod(work, 01777), 0);
	expect_refusal(&options, -EPERM, work);
	ck_assert_int_eq(chmod(work, 0755), 0);

	/* Further up: sticky, as /tmp is, will do. */
	ck_assert_int_eq(mkdir(below, 0755), 0);
	build("below/hello", example);
	options.plugin_dir = below;
	ck_assert_msg(try_open(&options) == 0, "%s", error);
	ck_assert_int_eq(chmod(work, 0777), 0);
	expect_refusal(&options, -EPERM, work);
	ck_assert_int_eq(chmod(work, 01777), 0);
	ck_assert_msg(try_open(&options) == 0, "%s", error);

	/* What counts is the file that is loaded, not the link that leads to it. */
	snprintf(below, sizeof(below), "%s/link", work);
	ck_assert_int_eq(mkdir(below, 0755), 0);
	snprintf(below, sizeof(below), "%s/link/hello.so", work);
	ck_assert_int_eq(symlink(file, below), 0);
	snprintf(below, sizeof(below), "%s/link", work);
	expect_refusal(&options, -EPERM, work);
}
END_TEST

START_TEST(test_who_owns)
{
	struct source_options options = {.source = "x", .protocol = "hello", .plugin_dir = work, .tries = 1};
	char file[128];

	if (geteuid() != 0)
		return; /* only root can give a file away */
	build("hello", example);
	snprintf(file, sizeof(file), "%s/hello.so", work);
	ck_assert_int_eq(chown(file, 65534, 0), 0);
	expect_refusal(&options, -EPERM, "chown root:root");
	ck_assert_int_eq(chown(file, 0, 65534), 0);
	ck_assert_int_eq(chmod(file, 0775), 0);
	expect_refusal(&options, -EPERM, "chmod go-w");
	ck_assert_int_eq(chown(file, 0, 0), 0);
	ck_assert_msg(try_open(&options) == 0, "%s", error);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("source-load");
	TCase *tcase = tcase_create("simulated");
	tcase_add_checked_fixture(tcase, sim_setup, sim_teardown);
	tcase_add_test(tcase, test_by_protocol);
	tcase_add_test(tcase, test_by_scheme);
	tcase_add_test(tcase, test_by_path);
	tcase_add_loop_test(tcase, test_interface, 0, 6);
	tcase_add_test(tcase, test_older_and_newer);
	tcase_add_test(tcase, test_options);
	tcase_add_test(tcase, test_open_fails);
	suite_add_tcase(suite, tcase);

	tcase = tcase_create("files");
	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, make_work, remove_work);
	tcase_add_checked_fixture(tcase, read_example, NULL);
	tcase_add_test(tcase, test_outside_the_tree);
	tcase_add_test(tcase, test_not_a_plugin);
	tcase_add_test(tcase, test_who_can_write);
	tcase_add_test(tcase, test_who_owns);
	suite_add_tcase(suite, tcase);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
