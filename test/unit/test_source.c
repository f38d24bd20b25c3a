/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The source port against a source that lies: names, attributes, handles, lengths, extents, attributes' names. What is not sound
 * arrives as an error, never as a value.
 */
#include "sim.h"

#include <sys/stat.h>

static const struct dmm_attr sound_attr = {.valid = DMM_ATTR_OWNER | DMM_ATTR_USED | DMM_ATTR_ATIME,
                                           .mode = S_IFREG | 0644,
                                           .uid = 1,
                                           .gid = 2,
                                           .size = 10,
                                           .used = 4096};

static struct dmm_entry entry_named(const char *name, size_t len)
{
	return (struct dmm_entry){.name = name, .name_len = len, .handle = sim_handle(), .attr = sound_attr};
}

/* What the sink of a test got. */
struct seen {
	size_t count;
	int error;
	char name[300];
	struct dmm_attr attr;
	size_t handle_len;
	int refuse_with;
};

static int see(void *context, const struct dmm_entry *entry)
{
	struct seen *seen = context;
	seen->count++;
	seen->error = entry->error;
	seen->attr = entry->attr;
	seen->handle_len = entry->handle.len;
	ck_assert_uint_eq(entry->name_len, strlen(entry->name));
	ck_assert_uint_lt(entry->name_len, sizeof(seen->name));
	strcpy(seen->name, entry->name);
	return seen->refuse_with;
}

/* Lists one entry. */
static struct seen list_one(const struct dmm_entry *entry)
{
	struct seen seen = {0};
	struct source *source = sim_open();
	struct source_file *dir = sim_open_file(source);
	sim.entries = entry;
	sim.n_entries = 1;
	sim.result = 1;
	ck_assert_int_eq(source_list(dir, see, &seen), 1);
	ck_assert_uint_eq(seen.count, 1);
	source_file_close(dir);
	source_close(source);
	return seen;
}

/* --- names -------------------------------------------------------------------------------------------------------------------- */

START_TEST(test_hostile_names)
{
	static const struct {
		const char *name;
		size_t len;
		const char *shown;
	} bad[] = {
		{"", 0, "(empty name)"},
		{".", 1, "\\x2E"},
		{"..", 2, "\\x2E\\x2E"},
		{"/", 1, "\\x2F"},
		{"../../etc/passwd", 16, "..\\x2F..\\x2Fetc\\x2Fpasswd"},
		{"a\0b", 3, "a\\x00b"},
		{"a/\n\\\xe9", 5, "a\\x2F\\x0A\\x5C\\xE9"},
		{"length says less", 6, "length"},
		{NULL, 5, "(empty name)"},
	};
	struct dmm_entry entry = entry_named(bad[_i].name, bad[_i].len);
	struct seen seen = list_one(&entry);
	ck_assert_int_eq(seen.error, EBADMSG);
	ck_assert_str_eq(seen.name, bad[_i].shown);
	ck_assert_uint_eq(seen.handle_len, 0);
}
END_TEST

START_TEST(test_names_of_any_bytes)
{
	static const char *const good[] = {"a", "...", ".x", "lat\xe9", "new\nline", "\xff\xfe", "back\\slash", " "};
	struct dmm_entry entry = entry_named(good[_i], strlen(good[_i]));
	struct seen seen = list_one(&entry);
	ck_assert_int_eq(seen.error, 0);
	ck_assert_str_eq(seen.name, good[_i]);
	ck_assert_uint_eq(seen.handle_len, 6);
	ck_assert_uint_eq(seen.attr.size, 10);
}
END_TEST

START_TEST(test_longest_name)
{
	char name[300];
	memset(name, 'n', sizeof(name));
	name[255] = '\0';
	struct dmm_entry entry = entry_named(name, 255);
	ck_assert_int_eq(list_one(&entry).error, 0);

	name[255] = 'n';
	name[256] = '\0';
	entry = entry_named(name, 256);
	struct seen seen = list_one(&entry);
	ck_assert_int_eq(seen.error, ENAMETOOLONG);
	ck_assert_uint_le(strlen(seen.name), 255);
	ck_assert_str_eq(seen.name + strlen(seen.name) - 3, "...");
}
END_TEST

START_TEST(test_entry_with_an_error)
{
	struct dmm_entry entry = {.name = "gone", .name_len = 4, .error = ENOENT};
	struct seen seen = list_one(&entry);
	ck_assert_int_eq(seen.error, ENOENT);
	ck_assert_str_eq(seen.name, "gone");

	entry.error = -5;
	ck_assert_int_eq(list_one(&entry).error, EIO);
	entry.error = 99999;
	ck_assert_int_eq(list_one(&entry).error, EIO);
}
END_TEST

/* --- attributes and handles ------------------------------------------------------------------------------------------------------ */

START_TEST(test_hostile_attributes)
{
	struct dmm_attr attr = sound_attr;
	switch (_i) {
	case 0:
		attr.mode = 0644;
		break;
	case 1:
		attr.mode = S_IFMT | 0644;
		break;
	case 2:
		attr.mode = S_IFREG | 0200000;
		break;
	case 3:
		attr.size = UINT64_MAX;
		break;
	case 4:
		attr.size = (uint64_t)INT64_MAX + 1;
		break;
	case 5:
		attr.mtime.nsec = 1000000000;
		break;
	case 6:
		attr.atime.nsec = UINT32_MAX;
		break;
	case 7:
		attr.uid = UINT32_MAX;
		break;
	case 8:
		attr.gid = UINT32_MAX;
		break;
	default:
		ck_abort();
	}
	struct dmm_entry entry = {.name = "f", .name_len = 1, .handle = sim_handle(), .attr = attr};
	struct seen seen = list_one(&entry);
	ck_assert_int_eq(seen.error, EBADMSG);
	ck_assert_str_eq(seen.name, "f");
	ck_assert_uint_eq(seen.attr.mode, 0);
}
END_TEST

START_TEST(test_harmless_attributes)
{
	struct dmm_entry entry = entry_named("f", 1);
	entry.attr.btime.nsec = UINT32_MAX; /* not said to be valid */
	entry.attr.used = UINT64_MAX;
	entry.attr.size = INT64_MAX;
	entry.attr.mtime.sec = INT64_MIN;
	struct seen seen = list_one(&entry);
	ck_assert_int_eq(seen.error, 0);
	ck_assert_uint_eq(seen.attr.valid, DMM_ATTR_OWNER | DMM_ATTR_ATIME);
}
END_TEST

START_TEST(test_hostile_handles)
{
	static char large[DMM_HANDLE_MAX + 1];
	const struct dmm_bytes bad[] = {{"h", 0}, {NULL, 4}, {large, sizeof(large)}};
	struct dmm_entry entry = entry_named("f", 1);
	entry.handle = bad[_i];
	ck_assert_int_eq(list_one(&entry).error, EBADMSG);
}
END_TEST

START_TEST(test_longest_handle)
{
	static char large[DMM_HANDLE_MAX];
	struct dmm_entry entry = entry_named("f", 1);
	entry.handle = (struct dmm_bytes){large, sizeof(large)};
	struct seen seen = list_one(&entry);
	ck_assert_int_eq(seen.error, 0);
	ck_assert_uint_eq(seen.handle_len, DMM_HANDLE_MAX);
}
END_TEST

START_TEST(test_one_object)
{
	struct source *source = sim_open();
	struct dmm_entry entries[2] = {entry_named("", 0), entry_named("", 0)};
	struct seen seen = {0};
	sim.entries = entries;

	sim.n_entries = 0;
	ck_assert_int_eq(source_root(source, see, &seen), -EBADMSG);
	sim.n_entries = 2;
	ck_assert_int_eq(source_root(source, see, &seen), -EBADMSG);
	ck_assert_uint_eq(seen.count, 0); /* of a request that fails nothing is seen */
	sim.n_entries = 1;
	ck_assert_int_eq(source_root(source, see, &seen), 0);
	ck_assert_uint_eq(seen.count, 1);

	/* Asked by handle, the answer has that handle. */
	entries[0].handle = (struct dmm_bytes){NULL, 0};
	ck_assert_int_eq(source_attr(source, sim_handle(), see, &seen), 0);
	ck_assert_uint_eq(seen.handle_len, 6);
	ck_assert_int_eq(source_root(source, see, &seen), -EBADMSG);

	entries[0].error = ESTALE;
	ck_assert_int_eq(source_attr(source, sim_handle(), see, &seen), -ESTALE);
	entries[0].error = 0;
	entries[0].attr.size = UINT64_MAX;
	ck_assert_int_eq(source_attr(source, sim_handle(), see, &seen), -EBADMSG);
	ck_assert_uint_eq(seen.count, 2);
	source_close(source);
}
END_TEST

/* --- lists ------------------------------------------------------------------------------------------------------------------------ */

START_TEST(test_list_counts_what_came)
{
	struct source *source = sim_open();
	struct source_file *dir = sim_open_file(source);
	struct dmm_entry entries[2] = {entry_named("a", 1), entry_named("b", 1)};
	struct seen seen = {0};

	sim.result = 1000; /* entries that never came */
	ck_assert_int_eq(source_list(dir, see, &seen), -EBADMSG);
	sim.entries = entries;
	sim.n_entries = 2;
	ck_assert_int_eq(source_list(dir, see, &seen), 2);
	sim.result = 0;
	ck_assert_int_eq(source_list(dir, see, &seen), 2);
	sim.n_entries = 0;
	ck_assert_int_eq(source_list(dir, see, &seen), 0);
	ck_assert_uint_eq(seen.count, 4);
	source_file_close(dir);
	source_close(source);
}
END_TEST

START_TEST(test_sink_ends_the_request)
{
	struct source *source = sim_open();
	struct source_file *dir = sim_open_file(source);
	struct dmm_entry entries[2] = {entry_named("a", 1), entry_named("b", 1)};
	struct seen seen = {.refuse_with = -EAGAIN};

	sim.entries = entries;
	sim.n_entries = 2;
	sim.result = 2;
	ck_assert_int_eq(source_list(dir, see, &seen), -EAGAIN);
	ck_assert_uint_eq(seen.count, 1); /* and not tried again */
	source_file_close(dir);
	source_close(source);
}
END_TEST

/* A sink may ask the source for more, also when the plugin serves one request at a time. */
static struct source *context_source;

static int ask_for_more(void *context, const struct dmm_entry *entry)
{
	char text[16] = "a link"; /* the simulated plugin writes none */

	*(int *)context = source_readlink(context_source, entry->handle, text, sizeof(text));
	return 0;
}

START_TEST(test_sink_asks_for_more)
{
	sim.plugin->threads = DMM_THREADS_SERIAL;
	struct source *source = sim_open();
	struct source_file *dir = sim_open_file(source);
	struct dmm_entry entries[1] = {entry_named("a", 1)};
	int len = -1;

	context_source = source;
	sim.entries = entries;
	sim.n_entries = 1;
	sim.result = 1;
	ck_assert_int_eq(source_list(dir, ask_for_more, &len), 1);
	ck_assert_int_ge(len, 0);
	source_file_close(dir);
	source_close(source);
}
END_TEST

/* A plugin that goes on after a refusal, and says that all went well. */
static int64_t deaf(struct dmm_conn *conn, struct dmm_request *request)
{
	if (request->kind != DMM_REQ_LIST)
		return sim_answer(conn, request);
	for (int i = 0; i < 5; i++) {
		struct dmm_entry entry = entry_named("again", 5);
		request->entry(request, &entry);
	}
	return 5;
}

START_TEST(test_refusal_stands)
{
	struct seen seen = {.refuse_with = -ENOSPC};
	sim.answer = deaf;
	struct source *source = sim_open();
	struct source_file *dir = sim_open_file(source);
	ck_assert_int_eq(source_list(dir, see, &seen), -ENOSPC);
	ck_assert_uint_eq(seen.count, 1);
	source_file_close(dir);
	source_close(source);
}
END_TEST

/* The wrong kind of answer. */
static int64_t confused(struct dmm_conn *conn, struct dmm_request *request)
{
	struct dmm_extent extent = {0, 1};
	struct dmm_entry entry = entry_named("x", 1);
	if (request->kind == DMM_REQ_LIST)
		request->extent(request, &extent);
	else if (request->kind == DMM_REQ_EXTENTS)
		request->xattr(request, "user.x", "", 0);
	else if (request->kind == DMM_REQ_XATTRS)
		request->entry(request, &entry);
	else
		return sim_answer(conn, request);
	return 0;
}

START_TEST(test_wrong_sink)
{
	struct seen seen = {0};
	sim.answer = confused;
	struct source *source = sim_open();
	struct source_file *file = sim_open_file(source);
	ck_assert_int_eq(source_list(file, see, &seen), -EBADMSG);
	ck_assert_int_eq(source_extents(file, 0, 10, NULL, NULL), -EBADMSG);
	ck_assert_int_eq(source_xattrs(source, sim_handle(), NULL, NULL, NULL), -EBADMSG);
	ck_assert_uint_eq(seen.count, 0);
	source_file_close(file);
	source_close(source);
}
END_TEST

static int64_t open_nothing(struct dmm_conn *conn, struct dmm_request *request)
{
	return 0;
}

START_TEST(test_open_without_a_file)
{
	struct source_file *file = NULL;
	sim.answer = open_nothing;
	struct source *source = sim_open();
	ck_assert_int_eq(source_file_open(source, sim_handle(), &file), -EBADMSG);
	ck_assert_ptr_null(file);
	source_close(source);
}
END_TEST

/* From a damaged record of ours: no plugin is asked. */
START_TEST(test_open_without_a_handle)
{
	static char large[DMM_HANDLE_MAX + 1];
	struct source_file *file = NULL;
	struct source *source = sim_open();
	ck_assert_int_eq(source_file_open(source, (struct dmm_bytes){NULL, 0}, &file), -EINVAL);
	ck_assert_int_eq(source_file_open(source, (struct dmm_bytes){large, sizeof(large)}, &file), -EINVAL);
	ck_assert_int_eq(sim.submitted, 0);
	source_close(source);
}
END_TEST

START_TEST(test_absurd_results)
{
	char buf[8];
	struct source *source = sim_open();
	struct source_file *file = sim_open_file(source);
	sim.result = INT64_MIN;
	ck_assert_int_eq(source_read(file, buf, 0, sizeof(buf)), -EBADMSG);
	sim.result = -100000;
	ck_assert_int_eq(source_read(file, buf, 0, sizeof(buf)), -EBADMSG);
	sim.result = -ECANCELED; /* nobody cancelled it */
	ck_assert_int_eq(source_read(file, buf, 0, sizeof(buf)), -EIO);
	sim.result = sizeof(buf) + 1;
	ck_assert_int_eq(source_read(file, buf, 0, sizeof(buf)), -EBADMSG);
	source_file_close(file);
	source_close(source);
}
END_TEST

/* --- data ----------------------------------------------------------------------------------------------------------------------- */

/* A file of 100 bytes, byte n is n, that gives at most seven at a time. */
static int64_t sparing(struct dmm_conn *conn, struct dmm_request *request)
{
	if (request->kind != DMM_REQ_READ)
		return sim_answer(conn, request);
	int64_t n = 0;
	while (n < 7 && (uint64_t)n < request->len && request->off + (uint64_t)n < 100) {
		((char *)request->buf)[n] = (char)(request->off + (uint64_t)n);
		n++;
	}
	return n;
}

START_TEST(test_short_reads_are_joined)
{
	char buf[120];
	struct source_counters counters;
	sim.answer = sparing;
	struct source *source = sim_open();
	struct source_file *file = sim_open_file(source);
	ck_assert_int_eq(source_read(file, buf, 10, 50), 50);
	for (int i = 0; i < 50; i++)
		ck_assert_int_eq(buf[i], 10 + i);
	ck_assert_int_eq(source_read(file, buf, 90, 30), 10);
	ck_assert_int_eq(source_read(file, buf, 100, 30), 0);
	ck_assert_int_eq(source_read(file, buf, 0, 0), 0);
	source_counters(source, &counters);
	ck_assert_uint_eq(counters.bytes_read, 60);
	ck_assert_uint_eq(counters.requests[DMM_REQ_OPEN], 1);
	source_file_close(file);
	source_counters(source, &counters);
	ck_assert_uint_eq(counters.requests[DMM_REQ_CLOSE], 1);
	ck_assert_uint_eq(counters.errors, 0);
	source_close(source);
}
END_TEST

static const char *link_text;
static size_t link_len;

static int64_t give_link(struct dmm_conn *conn, struct dmm_request *request)
{
	memcpy(request->buf, link_text, link_len < request->len ? link_len : request->len);
	return (int64_t)link_len;
}

START_TEST(test_link_texts)
{
	static const struct {
		const char *text;
		size_t len;
		int result;
	} table[] = {
		{"target", 6, 6},
		{"1234567", 7, 7},
		{"12345678", 8, -ENAMETOOLONG},
		{"123456789", 9, -EBADMSG},
		{"", 0, -EBADMSG},
		{"a\0b", 3, -EBADMSG},
		{"/../x", 5, 5},
	};
	char buf[8];
	link_text = table[_i].text;
	link_len = table[_i].len;
	sim.answer = give_link;
	struct source *source = sim_open();
	ck_assert_int_eq(source_readlink(source, sim_handle(), buf, sizeof(buf)), table[_i].result);
	if (table[_i].result > 0)
		ck_assert_str_eq(buf, table[_i].text);
	source_close(source);
}
END_TEST

/* --- extended attributes ---------------------------------------------------------------------------------------------------------- */

static const char *xattr_name;
static const void *xattr_value;
static size_t xattr_len;

static int64_t give_xattr(struct dmm_conn *conn, struct dmm_request *request)
{
	request->xattr(request, xattr_name, xattr_value, xattr_len);
	return 0;
}

static int count_xattr(void *context, const char *name, const void *value, size_t len)
{
	++*(int *)context;
	return 0;
}

START_TEST(test_xattrs)
{
	static char large[65537], long_name[257];
	memset(long_name, 'x', sizeof(long_name) - 1);
	const struct {
		const char *name;
		const void *value;
		size_t len;
		bool good;
	} table[] = {
		{"user.a", "v", 1, true},        {"user.a", NULL, 0, true},  {"user.a", large, 65536, true},
		{long_name + 1, "", 0, true},    {"", "v", 1, false},        {NULL, "v", 1, false},
		{"user.a", large, 65537, false}, {"user.a", NULL, 1, false}, {long_name, "", 0, false},
	};
	struct source *source = NULL;
	sim.answer = give_xattr;
	source = sim_open();
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		int count = 0;
		xattr_name = table[i].name;
		xattr_value = table[i].value;
		xattr_len = table[i].len;
		int ret = source_xattrs(source, sim_handle(), NULL, count_xattr, &count);
		ck_assert_msg(ret == (table[i].good ? 0 : -EBADMSG) && count == table[i].good, "%zu: %d", i, ret);
	}
	source_close(source);
}
END_TEST

/* --- extents ------------------------------------------------------------------------------------------------------------------------ */

static const struct dmm_extent *extents;
static size_t n_extents;

static int64_t give_extents(struct dmm_conn *conn, struct dmm_request *request)
{
	if (request->kind != DMM_REQ_EXTENTS)
		return sim_answer(conn, request);
	for (size_t i = 0; i < n_extents; i++)
		request->extent(request, &extents[i]);
	return 0;
}

static int print_extent(void *context, const struct dmm_extent *extent)
{
	char *text = context;
	sprintf(text + strlen(text), "%llu+%llu ", (unsigned long long)extent->off, (unsigned long long)extent->len);
	return 0;
}

START_TEST(test_extents)
{
	/* Asked for 100..200. */
	static const struct {
		struct dmm_extent given[3];
		size_t n;
		const char *got;
		int result;
	} table[] = {
		{{{110, 10}, {130, 5}}, 2, "110+10 130+5 ", 0},   {{{0, 1000}}, 1, "100+100 ", 0},
		{{{0, 110}, {190, 100}}, 2, "100+10 190+10 ", 0}, {{{0, 50}, {300, 5}}, 2, "", 0},
		{{{100, 20}, {110, 30}}, 2, "100+20 120+20 ", 0}, {{{100, 0}, {110, 0}, {120, 1}}, 3, "120+1 ", 0},
		{{{150, 10}, {110, 10}}, 2, "150+10 ", -EBADMSG}, {{{150, 10}, {150, 10}}, 2, "150+10 ", -EBADMSG},
		{{{150, UINT64_MAX}}, 1, "", -EBADMSG},
	};
	char text[200] = "";
	extents = table[_i].given;
	n_extents = table[_i].n;
	sim.answer = give_extents;
	struct source *source = sim_open();
	struct source_file *file = sim_open_file(source);
	ck_assert_int_eq(source_extents(file, 100, 100, print_extent, text), table[_i].result);
	ck_assert_str_eq(text, table[_i].got);
	text[0] = '\0';
	if (_i == 1) {
		ck_assert_int_eq(source_extents(file, 10, UINT64_MAX, print_extent, text), 0);
		ck_assert_str_eq(text, "10+990 ");
	}
	source_file_close(file);
	source_close(source);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("source");
	TCase *tcase = tcase_create("checks");
	tcase_add_checked_fixture(tcase, sim_setup, sim_teardown);
	tcase_add_loop_test(tcase, test_hostile_names, 0, 9);
	tcase_add_loop_test(tcase, test_names_of_any_bytes, 0, 8);
	tcase_add_test(tcase, test_longest_name);
	tcase_add_test(tcase, test_entry_with_an_error);
	tcase_add_loop_test(tcase, test_hostile_attributes, 0, 9);
	tcase_add_test(tcase, test_harmless_attributes);
	tcase_add_loop_test(tcase, test_hostile_handles, 0, 3);
	tcase_add_test(tcase, test_longest_handle);
	tcase_add_test(tcase, test_one_object);
	tcase_add_test(tcase, test_list_counts_what_came);
	tcase_add_test(tcase, test_sink_ends_the_request);
	tcase_add_test(tcase, test_sink_asks_for_more);
	tcase_add_test(tcase, test_refusal_stands);
	tcase_add_test(tcase, test_wrong_sink);
	tcase_add_test(tcase, test_open_without_a_file);
	tcase_add_test(tcase, test_open_without_a_handle);
	tcase_add_test(tcase, test_absurd_results);
	tcase_add_test(tcase, test_short_reads_are_joined);
	tcase_add_loop_test(tcase, test_link_texts, 0, 7);
	tcase_add_test(tcase, test_xattrs);
	tcase_add_loop_test(tcase, test_extents, 0, 9);
	suite_add_tcase(suite, tcase);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
