/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Two sources as one: which name of the one side belongs to which of the other, what is told of a pair that is none, what of either side
 * reaches the sink, and what trouble of the second side does.
 */
#include "sim.h"
#include "source/join.h"

#include <sys/stat.h>

/* --- two sides ------------------------------------------------------------------------------------------------------------------- */

struct node {
	int parent; /* index; -1: there is none */
	const char *name;
	uint32_t mode;
	uint64_t size, fileid;
	struct dmm_time mtime;
	int error; /* of the entry */
};

struct side {
	char letter; /* begins its handles */
	struct node nodes[32];
	const char *xattrs[4]; /* of every object */
	int connect_error, list_error, xattr_error;
	unsigned fail; /* so many times */
	bool endless;  /* listings begin again */
	size_t handle_pad;
};

static struct side sides[2];

struct sim_conn {
	struct side *side;
	int number;
};

struct sim_dir {
	int index;
	bool listed;
};

static int open_side(const struct dmm_config *config, struct dmm_instance **instance)
{
	sim.opened++;
	*instance = (struct dmm_instance *)&sides[strcmp(config->source, "sim://second") == 0];
	return 0;
}

static int connect_side(struct dmm_instance *instance, struct dmm_conn **result)
{
	struct side *side = (struct side *)instance;
	if (side->connect_error)
		return side->connect_error;
	struct sim_conn *conn = malloc(sizeof(*conn));
	*conn = (struct sim_conn){side, ++sim.connects};
	*result = (struct dmm_conn *)conn;
	return 0;
}

static uint64_t capabilities(struct dmm_conn *conn)
{
	return DMM_CAP_XATTR | (((struct sim_conn *)conn)->side->letter == 'S' ? DMM_CAP_NT_ACL | DMM_CAP_FD : DMM_CAP_POSIX_ACL);
}

static int give_node(const struct side *side, struct dmm_request *request, int index, const char *name)
{
	const struct node *node = &side->nodes[index];
	size_t pad = index ? side->handle_pad : 0, len = 2 + pad;
	char *handle = calloc(1, len + 1);

	handle[0] = side->letter;
	handle[1] = (char)('0' + index);
	memset(handle + 2, 'p', pad);
	struct dmm_entry entry = {
		.name = name,
		.name_len = strlen(name),
		.handle = {handle, len},
		.error = node->error,
		.attr = {.mode = node->mode, .size = node->size, .fsid = 1, .fileid = node->fileid, .mtime = node->mtime},
	};
	int ret = request->entry(request, &entry);
	free(handle);
	return ret;
}

static int index_of(const struct side *side, struct dmm_bytes handle)
{
	ck_assert_uint_ge(handle.len, 2);
	ck_assert_int_eq(((const char *)handle.data)[0], side->letter); /* never the other's */
	return ((const char *)handle.data)[1] - '0';
}

static int64_t list_side(struct side *side, struct dmm_request *request)
{
	struct sim_dir *dir = (struct sim_dir *)request->file;
	int64_t count = 0;

	if (side->fail && side->list_error) {
		side->fail--;
		return side->list_error;
	}
	for (int i = 1; !dir->listed && i < 32; i++)
		if (side->nodes[i].name && side->nodes[i].parent == dir->index) {
			int ret = give_node(side, request, i, side->nodes[i].name);
			if (ret < 0)
				return ret;
			count++;
		}
	dir->listed = !side->endless;
	return count;
}

static int64_t xattrs_of(struct side *side, struct dmm_request *request)
{
	if (side->fail && side->xattr_error) {
		side->fail--;
		return side->xattr_error;
	}
	for (size_t i = 0; i < 4 && side->xattrs[i]; i++) {
		int ret = request->xattr(request, side->xattrs[i], &side->letter, 1);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int64_t answer(struct dmm_conn *conn, struct dmm_request *request)
{
	struct side *side = ((struct sim_conn *)conn)->side;

	switch (request->kind) {
	case DMM_REQ_ROOT:
		return give_node(side, request, 0, "");
	case DMM_REQ_ATTR:
		return give_node(side, request, index_of(side, request->handle), "");
	case DMM_REQ_OPEN: {
		struct sim_dir *dir = calloc(1, sizeof(*dir));
		dir->index = index_of(side, request->handle);
		request->file = (struct dmm_file *)dir;
		sim.files_opened++;
		return 0;
	}
	case DMM_REQ_CLOSE:
		free(request->file);
		sim.files_closed++;
		return 0;
	case DMM_REQ_LIST:
		return list_side(side, request);
	case DMM_REQ_READ:
		memset(request->buf, side->letter, 1);
		return request->off == 0;
	case DMM_REQ_XATTRS:
		return xattrs_of(side, request);
	default:
		return -EOPNOTSUPP;
	}
}

static const struct node root = {.parent = -1, .mode = S_IFDIR | 0755};

static struct node file_node(const char *name, uint64_t size, uint64_t fileid)
{
	return (struct node){.name = name, .mode = S_IFREG | 0644, .size = size, .fileid = fileid, .mtime = {1000, 123456789}};
}

static struct node dir_node(const char *name)
{
	return (struct node){.name = name, .mode = S_IFDIR | 0755, .mtime = {1000, 123456700}};
}

/* Both have the same file "same" and the same directory "dir", so that they pass for one tree. */
static void setup(void)
{
	sim_setup();
	sim.plugin->open = open_side;
	sim.plugin->connect = connect_side;
	sim.plugin->capabilities = capabilities;
	sim.answer = answer;
	for (int i = 0; i < 2; i++) {
		sides[i] = (struct side){.letter = i ? 'S' : 'F'};
		sides[i].nodes[0] = root;
		sides[i].nodes[1] = file_node("same", 10, 1);
		sides[i].nodes[2] = dir_node("dir");
	}
	sides[1].nodes[1].mtime.nsec = 123456700; /* as SMB has it */
}

static int try_open(struct source **source, char *error, size_t size)
{
	struct source_options options = sim_options();
	const struct source_options nt = {.source = "sim://second", .protocol = "sim_plugin"};

	options.source = "sim://first";
	options.nt = &nt;
	return source_open(&options, source, error, size);
}

static struct source *open_both(void)
{
	struct source *source;
	char error[1024] = "";
	int ret = try_open(&source, error, sizeof(error));
	ck_assert_msg(ret == 0, "%d: %s", ret, error);
	return source;
}

/* --- what a listing gave ------------------------------------------------------------------------------------------------------- */

struct got {
	struct source *source;
	size_t count, handle_len;
	struct {
		char name[256];
		int error, told;
		char sentence[512];
		unsigned char handle[300];
		size_t len;
	} all[40];
};

static int keep(void *context, const struct dmm_entry *entry)
{
	struct got *got = context;
	size_t i = got->count++;

	ck_assert_uint_lt(i, 40);
	strcpy(got->all[i].name, entry->name);
	got->all[i].error = entry->error;
	got->all[i].told = source_disagreement(got->source, entry, got->all[i].sentence, sizeof(got->all[i].sentence));
	got->all[i].len = entry->handle.len;
	if (entry->handle.len)
		memcpy(got->all[i].handle, entry->handle.data, entry->handle.len < 300 ? entry->handle.len : 300);
	return 0;
}

static size_t find(const struct got *got, const char *name)
{
	size_t found = SIZE_MAX;

	for (size_t i = 0; i < got->count; i++)
		if (strcmp(got->all[i].name, name) == 0) {
			ck_assert_msg(found == SIZE_MAX, "%s comes twice", name);
			found = i;
		}
	ck_assert_msg(found != SIZE_MAX, "%s does not come", name);
	return found;
}

static struct dmm_bytes handle_of(const struct got *got, const char *name)
{
	size_t i = find(got, name);

	return (struct dmm_bytes){got->all[i].handle, got->all[i].len};
}

static int list_handle(struct got *got, struct dmm_bytes handle, int *unlisted)
{
	struct source_file *dir;
	int ret = source_file_open(got->source, handle, &dir);

	if (ret < 0)
		return ret;
	while ((ret = source_list(dir, keep, got)) > 0)
		;
	*unlisted = source_unlisted(dir);
	source_file_close(dir);
	return ret;
}

static int list_top(struct source *source, struct got *got, int *unlisted)
{
	struct got top = {.source = source};

	*got = (struct got){.source = source};
	ck_assert_int_eq(source_root(source, keep, &top), 0);
	return list_handle(got, handle_of(&top, ""), unlisted);
}

/* Of a listing in which nothing goes wrong. */
static struct got list_both(struct source *source)
{
	struct got got;
	int unlisted;

	ck_assert_int_eq(list_top(source, &got, &unlisted), 0);
	ck_assert_int_eq(unlisted, 0);
	return got;
}

static void expect(const struct got *got, const char *name, int told, const char *sentence)
{
	size_t i = find(got, name);

	ck_assert_int_eq(got->all[i].error, 0);
	ck_assert_msg(got->all[i].told == told, "%s: %d, not %d: %s", name, got->all[i].told, told, got->all[i].sentence);
	if (told)
		ck_assert_msg(strstr(got->all[i].sentence, sentence) != NULL, "%s: %s", name, got->all[i].sentence);
}

/* --- attributes ---------------------------------------------------------------------------------------------------------------- */

struct taken {
	char text[512];
};

static int take_xattr(void *context, const char *name, const void *value, size_t len)
{
	struct taken *taken = context;
	size_t used = strlen(taken->text);

	ck_assert_uint_eq(len, 1);
	snprintf(taken->text + used, sizeof(taken->text) - used, "%s=%c ", name, *(const char *)value);
	return 0;
}

static void give_xattrs(void)
{
	static const char *const first[] = {"user.colour", "user.DOSATTRIB"};
	static const char *const second[] = {"user.DOSATTRIB", "security.capability", "user.DosStream.x:$DATA", "security.NTACL"};

	memcpy(sides[0].xattrs, first, sizeof(first));
	memcpy(sides[1].xattrs, second, sizeof(second));
}

/* --- tests ----------------------------------------------------------------------------------------------------------------------- */

START_TEST(test_agreement)
{
	struct source *source = open_both();
	struct got got = list_both(source);
	ck_assert_uint_eq(got.count, 2);
	expect(&got, "same", 0, NULL);
	expect(&got, "dir", 0, NULL);
	ck_assert_uint_eq(source_capabilities(source), DMM_CAP_XATTR | DMM_CAP_POSIX_ACL | DMM_CAP_NT_ACL);
	source_close(source);
}
END_TEST

START_TEST(test_disagreements)
{
	struct node *first = sides[0].nodes, *second = sides[1].nodes;
	first[3] = file_node("size", 5, 3), second[3] = file_node("size", 7, 3);
	first[4] = file_node("time", 5, 4), second[4] = file_node("time", 5, 4);
	second[4].mtime.nsec += 1000;
	first[5] = file_node("kind", 5, 5), second[5] = dir_node("kind");
	first[6] = file_node("here", 5, 6);
	first[7] = dir_node("herewith");
	first[8] = file_node("odd:name", 5, 8);
	first[9] = file_node("lat\xe9", 5, 9);
	first[10] = file_node("broken", 5, 10), second[10] = file_node("broken", 5, 10);
	second[10].error = EACCES;
	second[11] = file_node("there", 5, 11);
	second[12] = file_node("ODDNA~7X", 5, 0);
	struct source *source = open_both();
	struct got got = list_both(source);
	expect(&got, "size", EREMCHG, "its size is 5, and 7 on the SMB side");
	expect(&got, "time", EREMCHG, "1970-01-01 00:16:40.1234567, and 1970-01-01 00:16:40.1234577");
	expect(&got, "kind", EISDIR, "it is a file, and a directory on the SMB side");
	expect(&got, "here", ENOENT, "it is not on the SMB side");
	expect(&got, "herewith", ENOENT, "all that is in it");
	expect(&got, "odd:name", EILSEQ, "SMB can not show its name");
	expect(&got, "lat\xe9", EILSEQ, "SMB can not show its name");
	expect(&got, "broken", EACCES, "can not tell of it");
	ck_assert_int_eq(got.all[find(&got, "there")].error, EREMOTE);
	ck_assert_uint_eq(got.count, 11); /* the name that was made up for one of the two is no object */
	source_close(source);
}
END_TEST

START_TEST(test_times_of_different_grain)
{
	static const struct {
		struct dmm_time first, second;
		bool same;
	} times[] = {
		{{1000, 123456789}, {1000, 123456700}, true},  {{1000, 123456789}, {1000, 123456800}, true},
		{{1000, 123456789}, {1000, 0}, true},          {{1000, 0}, {1000, 5}, true},
		{{1000, 999999990}, {1001, 0}, true},          {{1000, 123456789}, {1001, 123456789}, false},
		{{1000, 123456789}, {1000, 123450000}, false}, {{INT64_MIN, 1}, {INT64_MAX, 1}, false},
	};
	sides[0].nodes[1].mtime = times[_i].first;
	sides[1].nodes[1].mtime = times[_i].second;
	struct source *source = open_both();
	struct got got = list_both(source);
	expect(&got, "same", times[_i].same ? 0 : EREMCHG, "modification time");
	source_close(source);
}
END_TEST

START_TEST(test_other_names)
{
	struct node *first = sides[0].nodes, *second = sides[1].nodes;
	first[3] = file_node("README", 5, 3), second[3] = file_node("readme", 5, 33);
	first[4] = file_node("\xc3\x84rger", 5, 4), second[4] = file_node("\xc3\xa4RGER", 5, 44);
	first[5] = file_node("odd:name", 5, 5), second[5] = file_node("ODDNA~1", 5, 5);
	/* Exact names come first, whatever the order. */
	first[6] = file_node("Case", 5, 6), second[6] = file_node("case", 5, 77);
	first[7] = file_node("case", 5, 7), second[7] = file_node("Case", 5, 66);
	/* Two candidates are none. */
	first[8] = file_node("twins", 5, 8), second[8] = file_node("Twins", 5, 88);
	second[9] = file_node("TWINS", 5, 99);
	/* Equal numbers of files that are not the same. */
	first[10] = file_node("other", 5, 10), second[10] = file_node("another", 6, 10);
	struct source *source = open_both();
	struct got got = list_both(source);
	expect(&got, "README", ENOTUNIQ, "its name on the SMB side is \"readme\"");
	expect(&got, "\xc3\x84rger", ENOTUNIQ, "\xc3\xa4RGER");
	expect(&got, "odd:name", ENOTUNIQ, "ODDNA~1");
	expect(&got, "Case", 0, NULL);
	expect(&got, "case", 0, NULL);
	expect(&got, "twins", ENOENT, "it is not on the SMB side");
	ck_assert_int_eq(got.all[find(&got, "Twins")].error, EREMOTE);
	ck_assert_int_eq(got.all[find(&got, "TWINS")].error, EREMOTE);
	expect(&got, "other", ENOENT, "it is not on the SMB side");
	ck_assert_int_eq(got.all[find(&got, "another")].error, EREMOTE);
	source_close(source);
}
END_TEST

START_TEST(test_what_smb_does_not_know)
{
	struct node *first = sides[0].nodes, *second = sides[1].nodes;
	first[3] = file_node("link", 4, 3), second[3] = dir_node("link"); /* followed by the server */
	first[3].mode = S_IFLNK | 0777;
	first[4] = file_node("fifo", 0, 4);
	first[4].mode = S_IFIFO | 0644;
	first[5] = file_node("dangling", 4, 5);
	first[5].mode = S_IFLNK | 0777;
	give_xattrs();
	struct source *source = open_both();
	struct got got = list_both(source);
	struct taken taken = {""};
	ck_assert_uint_eq(got.count, 5);
	expect(&got, "link", 0, NULL);
	expect(&got, "fifo", 0, NULL);
	expect(&got, "dangling", 0, NULL);
	ck_assert_int_eq(source_xattrs(source, handle_of(&got, "link"), NULL, take_xattr, &taken), 0);
	ck_assert_str_eq(taken.text, "user.colour=F user.DOSATTRIB=F ");
	source_close(source);
}
END_TEST

START_TEST(test_what_is_below_a_directory_of_one_side)
{
	sides[0].nodes[3] = dir_node("here");
	sides[0].nodes[4] = file_node("below", 5, 4);
	sides[0].nodes[4].parent = 3;
	struct source *source = open_both();
	struct got got = list_both(source), below = {.source = source};
	int unlisted = -1;
	ck_assert_int_eq(list_handle(&below, handle_of(&got, "here"), &unlisted), 0);
	ck_assert_int_eq(unlisted, 0);
	ck_assert_uint_eq(below.count, 1);
	expect(&below, "below", 0, NULL); /* told once, at the top */
	source_close(source);
}
END_TEST

START_TEST(test_attributes)
{
	give_xattrs();
	struct source *source = open_both();
	struct got got = list_both(source);
	struct taken taken = {""};
	ck_assert_int_eq(source_xattrs(source, handle_of(&got, "same"), NULL, take_xattr, &taken), 0);
	ck_assert_str_eq(taken.text,
	                 "user.colour=F user.DOSATTRIB=F user.DOSATTRIB=S user.DosStream.x:$DATA=S security.NTACL=S ");
	source_close(source);
}
END_TEST

START_TEST(test_attributes_that_cannot_be_had)
{
	static const struct {
		int error, times, wanted;
	} cases[] = {{-EACCES, 1, EACCES}, {-EIO, 1, 0}, {-EIO, 9, EIO}, {-EBADMSG, 9, EBADMSG}, {-ETIMEDOUT, 9, -ETIMEDOUT}};
	give_xattrs();
	struct source *source = open_both();
	struct got got = list_both(source);
	struct taken taken = {""};
	sides[1].xattr_error = cases[_i].error;
	sides[1].fail = (unsigned)cases[_i].times;
	ck_assert_int_eq(source_xattrs(source, handle_of(&got, "same"), NULL, take_xattr, &taken), cases[_i].wanted);
	ck_assert_ptr_nonnull(strstr(taken.text, "user.colour=F"));
	source_close(source);
}
END_TEST

/* Of this directory: the first side's entries come all the same. Of the whole side: the listing fails, as the first's would. */
START_TEST(test_listing_that_cannot_be_had)
{
	static const struct {
		int error, times, result, unlisted;
	} cases[] = {{-EACCES, 1, 0, EACCES}, {-EIO, 1, 0, 0}, {-EIO, 9, 0, EIO}, {-ETIMEDOUT, 9, -ETIMEDOUT, 0}};
	sides[0].nodes[3] = file_node("here", 5, 3);
	struct source *source = open_both();
	struct got got;
	int unlisted = 0;
	sides[1].list_error = cases[_i].error;
	sides[1].fail = (unsigned)cases[_i].times;
	ck_assert_int_eq(list_top(source, &got, &unlisted), cases[_i].result);
	ck_assert_int_eq(unlisted, cases[_i].unlisted);
	if (cases[_i].result == 0) {
		ck_assert_uint_eq(got.count, 3);
		expect(&got, "here", cases[_i].unlisted ? 0 : ENOENT, "not on the SMB side");
	}
	source_close(source);
}
END_TEST

/* The start is the first that meets it. */
START_TEST(test_listing_in_a_circle)
{
	struct source *source;
	char error[1024] = "";
	sides[1].endless = true;
	ck_assert_int_eq(try_open(&source, error, sizeof(error)), -EBADMSG);
	ck_assert_msg(strstr(error, "cannot be compared") != NULL, "%s", error);
}
END_TEST

START_TEST(test_an_outage_is_of_either_side)
{
	struct source *source = open_both();
	struct source_reach reach;
	struct got got;
	int unlisted;
	source_reach(source, &reach);
	ck_assert(!reach.down);
	sides[1].list_error = -ETIMEDOUT;
	sides[1].fail = 3;
	ck_assert_int_eq(list_top(source, &got, &unlisted), -ETIMEDOUT);
	source_reach(source, &reach);
	ck_assert(reach.down);
	ck_assert_int_eq(reach.error, ETIMEDOUT);
	got = list_both(source);
	source_reach(source, &reach);
	ck_assert(!reach.down);
	ck_assert_uint_eq(reach.recoveries, 1);
	source_close(source);
}
END_TEST

START_TEST(test_data_is_of_the_first_side)
{
	struct source *source = open_both();
	struct got got = list_both(source);
	struct source_file *file;
	char byte = 0;
	ck_assert_int_eq(source_file_open(source, handle_of(&got, "same"), &file), 0);
	ck_assert_int_eq(source_read(file, &byte, 0, 1), 1);
	ck_assert_int_eq(byte, 'F');
	ck_assert_int_eq(source_file_fd(file), -EOPNOTSUPP);
	source_file_close(file);
	ck_assert_int_eq(source_file_open(source, handle_of(&got, "dir"), &file), 0);
	ck_assert_int_eq(source_read(file, &byte, 0, 1), -EISDIR);
	source_file_close(file);
	struct got again = {.source = source};
	ck_assert_int_eq(source_attr(source, handle_of(&got, "same"), keep, &again), 0);
	ck_assert_uint_eq(again.all[0].len, handle_of(&got, "same").len);
	ck_assert_mem_eq(again.all[0].handle, handle_of(&got, "same").data, again.all[0].len);
	source_close(source);
}
END_TEST

/* By threads of the source, which make the ordinary calls: here, while the second side cannot give its attributes, too. */
START_TEST(test_asking_ahead)
{
	sim.plugin->threads = _i == 0 ? DMM_THREADS_PARALLEL : DMM_THREADS_CONNECTION;
	give_xattrs();
	struct source *source = open_both();
	struct got got = list_both(source);
	struct source_ahead *ahead = source_ahead_new(source, false);
	if (_i == 0) { /* without round trips nothing is gained */
		ck_assert_ptr_null(ahead);
		source_close(source);
		return;
	}
	struct taken taken[2] = {{""}, {""}};
	char data[10];
	struct source_found found;
	sides[1].xattr_error = -EACCES;
	sides[1].fail = _i == 2;
	source_ahead_add(
		ahead,
		&(struct source_wish){
			.handle = handle_of(&got, "same"), .xattr = take_xattr, .context = &taken[0], .data = data, .bytes = 1});
	source_ahead_take(ahead, true, &found);
	ck_assert(found.xattrs_known && found.data_known && found.attr_known);
	ck_assert_int_eq(found.xattrs, _i == 2 ? EACCES : 0);
	ck_assert_int_eq(found.data, 1);
	ck_assert_int_eq(data[0], 'F');
	ck_assert_uint_eq(found.attr.size, 10);
	ck_assert_int_eq(strstr(taken[0].text, "security.NTACL=S") != NULL, _i == 1);
	source_ahead_add(ahead,
	                 &(struct source_wish){.handle = handle_of(&got, "dir"), .xattr = take_xattr, .context = &taken[1]});
	source_ahead_free(ahead);
	ck_assert_ptr_nonnull(strstr(taken[1].text, "security.NTACL=S"));
	source_close(source);
}
END_TEST

START_TEST(test_handles_that_are_none_of_ours)
{
	static const unsigned char cut[] = {'J', 0x10, 2, 0, 'F', '1'}, none[] = {'J', 0, 0, 0, 'S', '1'}, *empty = cut;
	const struct dmm_bytes bad[] = {{"F1", 2}, {cut, sizeof(cut)}, {none, sizeof(none)}, {empty, 1}, {"J\0\377\377F1", 6}};
	struct source *source = open_both();
	struct source_file *file;
	struct got got = {.source = source};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		ck_assert_int_eq(source_file_open(source, bad[i], &file), -EBADMSG);
		ck_assert_int_eq(source_attr(source, bad[i], keep, &got), -EBADMSG);
		ck_assert_int_eq(source_xattrs(source, bad[i], NULL, take_xattr, NULL), -EBADMSG);
	}
	source_close(source);
}
END_TEST

/* Whatever their length: together they stay below what the state can hold. */
START_TEST(test_long_handles)
{
	sides[_i == 0].handle_pad = 65000;
	sides[_i != 0].handle_pad = 1000;
	struct source *source = open_both();
	struct got got = list_both(source);
	expect(&got, "same", ENAMETOOLONG, "can not tell of it");
	ck_assert_uint_le(handle_of(&got, "same").len, DMM_HANDLE_MAX);
	source_close(source);
}
END_TEST

START_TEST(test_another_tree_is_refused)
{
	struct source *source;
	char error[1024] = "";
	sides[1].nodes[1] = file_node("unlike\x1b", 10, 77);
	sides[1].nodes[2].name = "else";
	ck_assert_int_eq(try_open(&source, error, sizeof(error)), -ESTALE);
	ck_assert_msg(strstr(error, "sim://first and sim://second do not show the same tree") != NULL, "%s", error);
	ck_assert_msg(strstr(error, "\"unlike\\x1b\" on the second alone") != NULL, "%s", error);
}
END_TEST

/* The tops look alike, what is below does not. */
START_TEST(test_another_tree_below)
{
	struct source *source;
	char error[1024] = "";
	for (int i = 3; i < 13; i++)
		for (int side = 0; side < 2; side++) {
			sides[side].nodes[i] = file_node(side ? "x" : "y", 1, 0);
			sides[side].nodes[i].parent = 2;
		}
	static char names[2][10][8];
	for (int i = 0; i < 10; i++)
		for (int side = 0; side < 2; side++) {
			snprintf(names[side][i], 8, "%c%d", side ? 'x' : 'y', i);
			sides[side].nodes[3 + i].name = names[side][i];
		}
	ck_assert_int_eq(try_open(&source, error, sizeof(error)), -ESTALE);
}
END_TEST

/* A user who sees little, a veto: what is seen is the same. */
START_TEST(test_a_part_of_the_tree_is_accepted)
{
	static char names[10][8];
	for (int i = 0; i < 10; i++) {
		snprintf(names[i], 8, "n%d", i);
		sides[_i].nodes[3 + i] = file_node(names[i], 1, 0);
	}
	source_close(open_both());
}
END_TEST

START_TEST(test_the_second_must_answer_at_the_start)
{
	struct source *source;
	char error[1024] = "";
	sides[1].connect_error = -EACCES;
	ck_assert_int_eq(try_open(&source, error, sizeof(error)), -EACCES);
	ck_assert_msg(strstr(error, "sim://second cannot be reached") != NULL, "%s", error);
}
END_TEST

START_TEST(test_names_that_smb_has)
{
	static const struct {
		const char *name;
		bool legal, made_up;
	} names[] = {
		{"plain", true, false},      {"a b.c", true, false},  {"\xc3\xa4", true, false}, {"BXTCMD~5", true, true},
		{"A~1.TXT", true, true},     {"a~1", true, false},    {"A.B~1", true, false},    {"AB~1.TEXT", true, false},
		{"LONGNAME~1", true, false}, {"a:b", false, false},   {"end.", false, false},    {"end ", false, false},
		{"\xff", false, false},      {"tab\t", false, false}, {"NUL", false, false},     {"con.txt", false, false},
		{"COM1", false, false},      {"COM", true, false},    {"COM0", true, false},     {"nullify", true, false},
	};
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		size_t len = strlen(names[i].name);
		ck_assert_msg(join_name_is_legal(names[i].name, len) == names[i].legal, "%s", names[i].name);
		ck_assert_msg(join_name_is_made_up(names[i].name, len) == names[i].made_up, "%s", names[i].name);
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *suite = suite_create("source_join");
	TCase *tcase = tcase_create("join");
	tcase_add_checked_fixture(tcase, setup, sim_teardown);
	tcase_set_timeout(tcase, 30);
	tcase_add_test(tcase, test_agreement);
	tcase_add_test(tcase, test_disagreements);
	tcase_add_loop_test(tcase, test_times_of_different_grain, 0, 8);
	tcase_add_test(tcase, test_other_names);
	tcase_add_test(tcase, test_what_smb_does_not_know);
	tcase_add_test(tcase, test_what_is_below_a_directory_of_one_side);
	tcase_add_test(tcase, test_attributes);
	tcase_add_loop_test(tcase, test_attributes_that_cannot_be_had, 0, 5);
	tcase_add_loop_test(tcase, test_listing_that_cannot_be_had, 0, 4);
	tcase_add_test(tcase, test_listing_in_a_circle);
	tcase_add_test(tcase, test_an_outage_is_of_either_side);
	tcase_add_test(tcase, test_data_is_of_the_first_side);
	tcase_add_loop_test(tcase, test_asking_ahead, 0, 3);
	tcase_add_test(tcase, test_handles_that_are_none_of_ours);
	tcase_add_loop_test(tcase, test_long_handles, 0, 2);
	tcase_add_test(tcase, test_names_that_smb_has);
	tcase_add_test(tcase, test_another_tree_is_refused);
	tcase_add_test(tcase, test_another_tree_below);
	tcase_add_loop_test(tcase, test_a_part_of_the_tree_is_accepted, 0, 2);
	tcase_add_test(tcase, test_the_second_must_answer_at_the_start);
	suite_add_tcase(suite, tcase);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(suite());
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
