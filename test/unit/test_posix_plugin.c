/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The posix plugin on real directory trees: every type of object, names, links, attributes, data and holes, each on every stage
 * of posix_tree.h.
 */
#include "posix_tree.h"

#include <dlfcn.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

static void expect_time(struct dmm_time time, struct timespec stamp)
{
	ck_assert_int_eq(time.sec, stamp.tv_sec);
	ck_assert_uint_eq(time.nsec, (unsigned)stamp.tv_nsec);
}

/* What lstat(2) says, and the same by handle. */
static void expect_attr(struct source *source, const struct found *found)
{
	const struct dmm_attr *attr = &found->attr;
	struct listing again = {0};
	struct stat st;

	must(lstat(at_tree(found->name), &st));
	ck_assert_int_eq(found->error, 0);
	ck_assert_uint_eq(attr->mode, st.st_mode);
	ck_assert_uint_eq(attr->nlink, st.st_nlink);
	ck_assert_uint_eq(attr->uid, st.st_uid);
	ck_assert_uint_eq(attr->gid, st.st_gid);
	ck_assert_uint_eq(attr->size, (uint64_t)st.st_size);
	ck_assert_uint_eq(attr->used, (uint64_t)st.st_blocks * 512);
	ck_assert_uint_eq(attr->fileid, st.st_ino);
	ck_assert_uint_eq(attr->rdev_major, major(st.st_rdev));
	ck_assert_uint_eq(attr->rdev_minor, minor(st.st_rdev));
	expect_time(attr->mtime, st.st_mtim);
	expect_time(attr->ctime, st.st_ctim);
	expect_time(attr->atime, st.st_atim);

	ck_assert_int_eq(source_attr(source, handle_of_found(found), keep_entry, &again), 0);
	ck_assert_uint_eq(again.count, 1);
	again.entries[0].attr.valid |= attr->valid & DMM_ATTR_NO_XATTRS; /* a listing alone tells */
	ck_assert_mem_eq(&again.entries[0].attr, attr, sizeof(*attr));
	ck_assert_uint_eq(again.entries[0].handle_len, found->handle_len);
	forget(&again);
}

static void make_socket(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	must(fd);
	/* Relative, since the address is short. */
	must(chdir(tree_dir));
	strcpy(address.sun_path, name);
	must(bind(fd, (struct sockaddr *)&address, sizeof(address)));
	must(chdir("/"));
	close(fd);
}

START_TEST(test_types)
{
	struct listing listing = {0};
	struct source_file *file = NULL;
	char text[PATH_MAX];
	bool devices = geteuid() == 0;

	enter_stage(_i);
	devices = devices && _i != STAGE_USER;
	make_file("file", "data", 4);
	must(chmod(at_tree("file"), 06751));
	must(mkdir(at_tree("dir"), 01777));
	must(symlink("no/such/target", at_tree("link")));
	must(mkfifo(at_tree("fifo"), 0600));
	make_socket("socket");
	if (devices) {
		must(mknod(at_tree("null"), S_IFCHR | 0666, makedev(1, 3)));
		must(mknod(at_tree("block"), S_IFBLK | 0600, makedev(240, 70000)));
		must(lchown(at_tree("link"), 1234, 5678));
	}

	struct source *source = open_tree_source();
	list_tree(source, &listing);
	ck_assert_uint_eq(listing.count, devices ? 7 : 5);
	for (size_t i = 0; i < listing.count; i++) {
		const struct found *found = &listing.entries[i];
		int openable = S_ISREG(found->attr.mode) || S_ISDIR(found->attr.mode);
		int expected = openable ? 0 : S_ISLNK(found->attr.mode) ? -ELOOP : -ENXIO;

		expect_attr(source, found);
		ck_assert_int_eq(source_file_open(source, handle_of_found(found), &file), expected);
		if (openable)
			source_file_close(file);
		if (!S_ISLNK(found->attr.mode))
			ck_assert_int_eq(source_readlink(source, handle_of_found(found), text, sizeof(text)), -EINVAL);
	}
	ck_assert_int_eq(source_readlink(source, handle_of_found(find(&listing, "link")), text, sizeof(text)), 14);
	ck_assert_str_eq(text, "no/such/target");
	ck_assert_int_eq(source_readlink(source, handle_of_found(find(&listing, "link")), text, 14), -ENAMETOOLONG);
	forget(&listing);
	source_close(source);
}
END_TEST

START_TEST(test_names)
{
	static const char *const names[] = {"lat\xe9", "new\nline",    "...",         " ", "-rf",
	                                    "\xff",    "\xe2\x82\xac", "back\\slash", "*"};
	char longest[DMM_NAME_MAX + 1];
	struct listing listing = {0};

	enter_stage(_i);
	memset(longest, 'x', DMM_NAME_MAX);
	longest[DMM_NAME_MAX] = '\0';
	make_file(longest, "", 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		make_file(names[i], names[i], strlen(names[i]));

	struct source *source = open_tree_source();
	list_tree(source, &listing);
	ck_assert_uint_eq(listing.count, sizeof(names) / sizeof(names[0]) + 1);
	expect_attr(source, find(&listing, longest));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct source_file *file = open_found(source, find(&listing, names[i]));
		char data[32];
		ck_assert_int_eq(source_read(file, data, 0, sizeof(data)), (int64_t)strlen(names[i]));
		ck_assert_mem_eq(data, names[i], strlen(names[i]));
		source_file_close(file);
	}
	forget(&listing);
	source_close(source);
}
END_TEST

START_TEST(test_hard_links)
{
	struct listing listing = {0};

	enter_stage(_i);
	make_file("one", "same", 4);
	make_file("other", "else", 4);
	must(link(at_tree("one"), at_tree("two")));
	struct source *source = open_tree_source();
	list_tree(source, &listing);
	const struct dmm_attr *one = &find(&listing, "one")->attr, *two = &find(&listing, "two")->attr;
	const struct dmm_attr *other = &find(&listing, "other")->attr;
	ck_assert_uint_eq(one->nlink, 2);
	ck_assert_uint_eq(one->fsid, two->fsid);
	ck_assert_uint_eq(one->fileid, two->fileid);
	ck_assert(other->fsid != one->fsid || other->fileid != one->fileid);
	forget(&listing);
	source_close(source);
}
END_TEST

START_TEST(test_large_directory)
{
	struct listing listing = {0};
	char name[32];

	enter_stage(_i);
	must(mkdir(at_tree("empty"), 0755));
	must(mkdir(at_tree("large"), 0755));
	for (int i = 0; i < 3000; i++) {
		sprintf(name, "large/entry-%d", i);
		make_file(name, "", 0);
	}
	struct source *source = open_tree_source();
	struct listing large = {0}, empty = {0};
	list_tree(source, &listing);
	ck_assert_int_ge(list_handle(source, handle_of_found(find(&listing, "large")), &large), 3);
	ck_assert_uint_eq(large.count, 3000);
	bool seen[3000] = {false};
	for (size_t i = 0; i < large.count; i++) {
		int number = atoi(large.entries[i].name + strlen("entry-"));
		ck_assert_int_eq(large.entries[i].error, 0);
		ck_assert(!seen[number]);
		seen[number] = true;
	}
	ck_assert_int_eq(list_handle(source, handle_of_found(find(&listing, "empty")), &empty), 0);
	ck_assert_uint_eq(empty.count, 0);
	forget(&large);
	forget(&empty);
	forget(&listing);
	source_close(source);
}
END_TEST

/* --- extended attributes -------------------------------------------------------------------------------------------------------- */

struct xattrs {
	size_t count;
	struct {
		char name[256];
		size_t len;
		char value[2000];
	} all[100];
};

static int keep_xattr(void *context, const char *name, const void *value, size_t len)
{
	struct xattrs *xattrs = context;
	ck_assert_uint_lt(xattrs->count, 100);
	ck_assert_uint_le(len, sizeof(xattrs->all[0].value));
	strcpy(xattrs->all[xattrs->count].name, name);
	xattrs->all[xattrs->count].len = len;
	memcpy(xattrs->all[xattrs->count].value, value, len);
	xattrs->count++;
	return 0;
}

static void expect_xattr(const struct xattrs *xattrs, const char *name, const void *value, size_t len)
{
	for (size_t i = 0; i < xattrs->count; i++) {
		if (strcmp(xattrs->all[i].name, name) != 0)
			continue;
		ck_assert_uint_eq(xattrs->all[i].len, len);
		ck_assert_mem_eq(xattrs->all[i].value, value, len);
		return;
	}
	ck_abort_msg("not reported: %s", name);
}

/* u::rw- u:1005:rwx g::r-- m::rwx o::--- as the kernel stores it */
static const unsigned char acl[] = {2, 0,    0,    0,    1,    0,    6,    0, 0xff, 0xff, 0xff, 0xff, 2,    0,    7,
                                    0, 0xed, 3,    0,    0,    4,    0,    4, 0,    0xff, 0xff, 0xff, 0xff, 0x10, 0,
                                    7, 0,    0xff, 0xff, 0xff, 0xff, 0x20, 0, 0,    0,    0xff, 0xff, 0xff, 0xff};

static void read_xattrs(struct source *source, const struct found *found, bool open, struct xattrs *xattrs)
{
	struct source_file *file = open ? open_found(source, found) : NULL;
	xattrs->count = 0;
	ck_assert_int_eq(source_xattrs(source, handle_of_found(found), file, keep_xattr, xattrs), 0);
	source_file_close(file);
}

START_TEST(test_xattrs)
{
	static const unsigned char cap[20] = {0, 0, 0, 2, 0x20}; /* VFS_CAP_REVISION_2: CAP_KILL */
	static struct xattrs xattrs;
	struct listing listing = {0};
	char large[1500], name[64]; /* all of them fit into one block, as ext4 wants it */

	enter_stage(_i);
	memset(large, 'v', sizeof(large));
	make_file("plain", "", 0);
	make_file("acl", "", 0);
	make_file("many", "", 0);
	make_file("cap", "", 0);
	must(mkdir(at_tree("dir"), 0755));
	must(symlink("x", at_tree("link")));
	must(mkfifo(at_tree("fifo"), 0600));
	must(setxattr(at_tree("acl"), "system.posix_acl_access", acl, sizeof(acl), 0));
	must(setxattr(at_tree("dir"), "system.posix_acl_default", acl, sizeof(acl), 0));
	must(setxattr(at_tree("cap"), "security.capability", cap, sizeof(cap), 0));
	must(lsetxattr(at_tree("link"), "trusted.of", "link", 4, 0));
	must(lsetxattr(at_tree("fifo"), "trusted.of", "fifo", 4, 0));
	must(setxattr(at_tree("many"), "trusted.empty", "", 0, 0));
	must(setxattr(at_tree("many"), "trusted.large", large, sizeof(large), 0));
	for (int i = 0; i < 30; i++) {
		sprintf(name, "trusted.a-name-of-some-length.%d", i);
		must(setxattr(at_tree("many"), name, name + strlen(name) - 1, 1, 0));
	}

	struct source *source = open_tree_source();
	ck_assert_uint_eq(source_capabilities(source) & (DMM_CAP_XATTR | DMM_CAP_POSIX_ACL), DMM_CAP_XATTR | DMM_CAP_POSIX_ACL);
	list_tree(source, &listing);
	for (size_t i = 0; i < listing.count; i++) {
		const struct found *found = &listing.entries[i];
		bool has_none = found->attr.valid & DMM_ATTR_NO_XATTRS;
		ck_assert_msg(!has_none || strcmp(found->name, "plain") == 0, "%s has some", found->name);
	}
	for (int open = 0; open < 2; open++) {
		read_xattrs(source, find(&listing, "plain"), open, &xattrs);
		ck_assert_uint_eq(xattrs.count, 0);
		read_xattrs(source, find(&listing, "acl"), open, &xattrs);
		ck_assert_uint_eq(xattrs.count, 1);
		expect_xattr(&xattrs, "system.posix_acl_access", acl, sizeof(acl));
		read_xattrs(source, find(&listing, "dir"), open, &xattrs);
		ck_assert_uint_eq(xattrs.count, 1);
		expect_xattr(&xattrs, "system.posix_acl_default", acl, sizeof(acl));
		read_xattrs(source, find(&listing, "cap"), open, &xattrs);
		ck_assert_uint_eq(xattrs.count, 1);
		expect_xattr(&xattrs, "security.capability", cap, sizeof(cap));
		read_xattrs(source, find(&listing, "many"), open, &xattrs);
		ck_assert_uint_eq(xattrs.count, 32);
		expect_xattr(&xattrs, "trusted.empty", "", 0);
		expect_xattr(&xattrs, "trusted.large", large, sizeof(large));
		expect_xattr(&xattrs, "trusted.a-name-of-some-length.17", "7", 1);
	}
	read_xattrs(source, find(&listing, "link"), false, &xattrs);
	ck_assert_uint_eq(xattrs.count, 1);
	expect_xattr(&xattrs, "trusted.of", "link", 4);
	read_xattrs(source, find(&listing, "fifo"), false, &xattrs);
	ck_assert_uint_eq(xattrs.count, 1);
	expect_xattr(&xattrs, "trusted.of", "fifo", 4);
	forget(&listing);
	source_close(source);
}
END_TEST

START_TEST(test_inode_flags)
{
	struct listing listing = {0};
	int flags = FS_NODUMP_FL | FS_APPEND_FL;

	enter_stage(_i);
	make_file("flagged", "", 0);
	make_file("plain", "", 0);
	int fd = open(at_tree("flagged"), O_RDONLY);
	must(fd);
	if (ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0) {
		struct source *source = open_tree_source();
		list_tree(source, &listing);
		ck_assert_uint_eq(find(&listing, "flagged")->attr.flags, (uint32_t)flags);
		ck_assert(find(&listing, "flagged")->attr.valid & DMM_ATTR_FLAGS);
		ck_assert_uint_eq(find(&listing, "plain")->attr.flags, 0);
		forget(&listing);
		source_close(source);
		flags = 0;
		must(ioctl(fd, FS_IOC_SETFLAGS, &flags));
	} else {
		ck_assert_int_ne(_i, STAGE_TMPFS); /* at least one stage has them */
	}
	close(fd);
}
END_TEST

/* --- data ------------------------------------------------------------------------------------------------------------------------ */

static int print_extent(void *context, const struct dmm_extent *extent)
{
	char *text = context;
	sprintf(text + strlen(text), "%lluK+%lluK ", (unsigned long long)extent->off >> 10,
	        (unsigned long long)extent->len >> 10);
	return 0;
}

START_TEST(test_data_and_holes)
{
	static char block[64 << 10], got[64 << 10];
	struct listing listing = {0};
	char text[200] = "";

	enter_stage(_i);
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (char)(i * 7 + i / 251);
	make_file("full", block, sizeof(block) - 13);
	make_file("empty", "", 0);
	int fd = open(at_tree("sparse"), O_WRONLY | O_CREAT, 0600);
	must(fd);
	ck_assert_int_eq(pwrite(fd, block, sizeof(block), 1 << 20), sizeof(block));
	ck_assert_int_eq(pwrite(fd, block, sizeof(block), 3 << 20), sizeof(block));
	must(ftruncate(fd, 8 << 20));
	must(fsync(fd));
	close(fd);

	struct source *source = open_tree_source();
	ck_assert(source_capabilities(source) & DMM_CAP_EXTENTS);
	list_tree(source, &listing);

	struct source_file *file = open_found(source, find(&listing, "full"));
	ck_assert_int_eq(source_read(file, got, 0, sizeof(got)), sizeof(block) - 13);
	ck_assert_mem_eq(got, block, sizeof(block) - 13);
	ck_assert_int_eq(source_read(file, got, 1000, 100), 100);
	ck_assert_mem_eq(got, block + 1000, 100);
	ck_assert_int_eq(source_read(file, got, sizeof(block), 100), 0);
	ck_assert_int_eq(source_read(file, got, UINT64_MAX - 5, 100), -EINVAL);
	source_file_close(file);

	file = open_found(source, find(&listing, "sparse"));
	ck_assert_uint_lt(find(&listing, "sparse")->attr.used, 8 << 20);
	ck_assert_int_eq(source_extents(file, 0, 8 << 20, print_extent, text), 0);
	ck_assert_str_eq(text, "1024K+64K 3072K+64K ");
	text[0] = '\0';
	ck_assert_int_eq(source_extents(file, (1 << 20) + 4096, 2 << 20, print_extent, text), 0);
	ck_assert_str_eq(text, "1028K+60K 3072K+4K ");
	text[0] = '\0';
	ck_assert_int_eq(source_extents(file, 4 << 20, UINT64_MAX, print_extent, text), 0);
	ck_assert_int_eq(source_extents(file, 9 << 20, 1, print_extent, text), 0);
	ck_assert_str_eq(text, "");
	int behind = source_file_fd(file);
	must(behind);
	ck_assert_int_eq(lseek(behind, 0, SEEK_END), 8 << 20);
	ck_assert_int_eq(write(behind, "x", 1), -1);
	source_file_close(file);

	file = open_found(source, find(&listing, "empty"));
	ck_assert_int_eq(source_read(file, got, 0, 1), 0);
	ck_assert_int_eq(source_extents(file, 0, 1, print_extent, text), 0);
	ck_assert_str_eq(text, "");
	source_file_close(file);
	forget(&listing);
	source_close(source);
}
END_TEST

/* --- what changes meanwhile --------------------------------------------------------------------------------------------------------- */

/* The plugin itself, without the host, which would hand entries on only when the plugin is done with all of them. */
struct bare_list {
	struct dmm_request request;
	unsigned count, gone;
};

static int remove_others(struct dmm_request *request, const struct dmm_entry *entry)
{
	struct bare_list *list = (struct bare_list *)request;
	char name[16];

	for (int i = 0; i < 50 && list->count == 0; i++) {
		sprintf(name, "f%d", i);
		if (strcmp(name, entry->name) != 0)
			must(unlink(at_tree(name)));
	}
	if (list->count++ == 0)
		ck_assert_int_eq(entry->error, 0);
	else
		ck_assert_int_eq(entry->error, ENOENT);
	ck_assert_int_eq(entry->name[0], 'f');
	list->gone += entry->error == ENOENT && entry->handle.len == 0;
	return 0;
}

static void nothing_more(struct dmm_request *request)
{
	(void)request;
}

static void bare_submit(const struct dmm_plugin *plugin, struct dmm_conn *conn, struct dmm_request *request)
{
	request->struct_size = sizeof(*request);
	request->complete = nothing_more;
	plugin->submit(conn, request);
}

static int keep_handle(struct dmm_request *request, const struct dmm_entry *entry)
{
	struct dmm_bytes *handle = request->host;

	*handle = (struct dmm_bytes){memcpy(malloc(entry->handle.len), entry->handle.data, entry->handle.len), entry->handle.len};
	return 0;
}

/* The listing is in the plugin's buffer already when the files go. */
START_TEST(test_entries_that_vanish)
{
	char path[4096], name[16], error[256] = "";
	const struct dmm_plugin *(*entry)(void);
	struct dmm_instance *instance;
	struct dmm_conn *conn;
	struct dmm_bytes root;

	enter_stage(_i);
	for (int i = 0; i < 50; i++) {
		sprintf(name, "f%d", i);
		make_file(name, "", 0);
	}
	snprintf(path, sizeof(path), "%s/posix.so", getenv("DMMFS_PLUGINDIR"));
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	ck_assert_ptr_nonnull(library);
	*(void **)&entry = dlsym(library, DMM_PLUGIN_ENTRY_NAME);
	const struct dmm_plugin *plugin = entry();
	struct dmm_config config = {
		.struct_size = sizeof(config), .source = at_tree(""), .error = error, .error_size = sizeof(error)};
	must(plugin->open(&config, &instance));
	must(plugin->connect(instance, &conn));

	struct dmm_request ask = {.kind = DMM_REQ_ROOT, .entry = keep_handle, .host = &root};
	bare_submit(plugin, conn, &ask);
	ask.kind = DMM_REQ_OPEN;
	ask.handle = root;
	bare_submit(plugin, conn, &ask);
	ck_assert_int_eq(ask.result, 0);
	struct bare_list list = {.request = {.kind = DMM_REQ_LIST, .file = ask.file, .entry = remove_others}};
	bare_submit(plugin, conn, &list.request);
	ck_assert_int_eq(list.request.result, 50);
	ck_assert_uint_eq(list.gone, 49);

	ask.kind = DMM_REQ_CLOSE;
	bare_submit(plugin, conn, &ask);
	plugin->disconnect(conn);
	plugin->close(instance);
	dlclose(library);
	free((void *)root.data);
}
END_TEST

START_TEST(test_handles_after_changes)
{
	struct listing listing = {0};
	struct source_file *file = NULL;

	enter_stage(_i);
	make_file("renamed", "r", 1);
	make_file("removed", "", 0);
	struct source *source = open_tree_source();
	/* Of what is mounted below only the path is lasting. */
	bool lasting = (source_capabilities(source) & DMM_CAP_PERSISTENT_HANDLES) && _i != STAGE_BELOW;
	if (_i == STAGE_TMPFS)
		ck_assert(lasting);
	if (_i == STAGE_OVERLAY || _i == STAGE_USER)
		ck_assert(!lasting);
	list_tree(source, &listing);
	ck_assert_int_eq(find(&listing, "renamed")->handle[0], lasting ? 'H' : 'P');
	must(rename(at_tree("renamed"), at_tree("elsewhere")));
	must(unlink(at_tree("removed")));
	int ret = source_file_open(source, handle_of_found(find(&listing, "renamed")), &file);
	ck_assert_int_eq(ret, lasting ? 0 : -ENOENT);
	if (ret == 0)
		source_file_close(file);
	ret = source_file_open(source, handle_of_found(find(&listing, "removed")), &file);
	ck_assert_int_eq(ret, lasting ? -ESTALE : -ENOENT);
	forget(&listing);
	source_close(source);
}
END_TEST

/* Nothing that stands in the place of a path leads out of the source, or hangs. */
START_TEST(test_paths_that_were_replaced)
{
	struct listing listing = {0}, below = {0};
	struct source_file *file = NULL;

	enter_stage(_i);
	must(mkdir(at_tree("dir"), 0755));
	make_file("dir/passwd", "ours", 4);
	make_file("file", "", 0);
	struct source *source = open_tree_source();
	list_tree(source, &listing);
	list_handle(source, handle_of_found(find(&listing, "dir")), &below);
	must(rename(at_tree("dir"), at_tree("moved")));
	must(symlink("/etc", at_tree("dir")));
	must(unlink(at_tree("file")));
	must(mkfifo(at_tree("file"), 0600));

	const struct found *passwd = find(&below, "passwd");
	int ret = source_file_open(source, handle_of_found(passwd), &file);
	if (passwd->handle[0] == 'H') {
		char data[8];
		ck_assert_int_eq(source_read(file, data, 0, sizeof(data)), 4);
		source_file_close(file);
	} else {
		ck_assert_int_eq(ret, -ELOOP);
		ck_assert_int_eq(source_attr(source, handle_of_found(passwd), keep_entry, &below), -ELOOP);
	}
	ret = source_file_open(source, handle_of_found(find(&listing, "file")), &file);
	ck_assert_int_eq(ret, -ESTALE);
	forget(&below);
	forget(&listing);
	source_close(source);
}
END_TEST

/* A handle from a damaged record. */
START_TEST(test_damaged_handles)
{
	struct listing listing = {0}, again = {0};
	unsigned seed = 4711;

	enter_stage(_i);
	make_file("file", "", 0);
	struct source *source = open_tree_source();
	list_tree(source, &listing);
	const struct found *found = find(&listing, "file");
	for (size_t len = 0; len < found->handle_len; len++) {
		struct dmm_bytes cut = {found->handle, len};
		struct source_file *file = NULL;
		int ret = source_file_open(source, cut, &file);
		if (ret == 0)
			source_file_close(file); /* a path cut to that of a directory */
		else
			ck_assert_int_lt(ret, 0);
	}
	for (int i = 0; i < 5000; i++) {
		unsigned char damaged[512];
		size_t len = found->handle_len < sizeof(damaged) ? found->handle_len : sizeof(damaged);
		memcpy(damaged, found->handle, len);
		for (int n = rand_r(&seed) % 4; n >= 0; n--)
			damaged[(size_t)rand_r(&seed) % len] = (unsigned char)rand_r(&seed);
		again.count = 0;
		int ret = source_attr(source, (struct dmm_bytes){damaged, len}, keep_entry, &again);
		ck_assert_int_le(ret, 0);
		for (size_t k = 0; k < again.count; k++)
			free(again.entries[k].handle);
	}
	free(again.entries);
	forget(&listing);
	source_close(source);
}
END_TEST

int main(void)
{
	int stages = geteuid() == 0 && may_mount() ? N_STAGES : 1;
	Suite *suite = suite_create("posix-plugin");
	TCase *tcase = tcase_create("tree");

	make_top_dir();
	tcase_set_timeout(tcase, 30);
	tcase_add_loop_test(tcase, test_types, 0, stages);
	tcase_add_loop_test(tcase, test_names, 0, stages);
	tcase_add_loop_test(tcase, test_hard_links, 0, stages);
	tcase_add_loop_test(tcase, test_large_directory, 0, stages);
	/* trusted.* and file capabilities are root's */
	if (stages == N_STAGES)
		tcase_add_loop_test(tcase, test_xattrs, 0, STAGE_USER);
	tcase_add_loop_test(tcase, test_inode_flags, 0, stages);
	tcase_add_loop_test(tcase, test_data_and_holes, 0, stages);
	tcase_add_loop_test(tcase, test_entries_that_vanish, 0, stages == N_STAGES ? STAGE_BELOW : 1);
	tcase_add_loop_test(tcase, test_handles_after_changes, 0, stages);
	tcase_add_loop_test(tcase, test_paths_that_were_replaced, 0, stages);
	tcase_add_loop_test(tcase, test_damaged_handles, 0, stages);
	suite_add_tcase(suite, tcase);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	remove_top_dir();
	if (failed)
		return EXIT_FAILURE;
	if (stages == N_STAGES)
		return EXIT_SUCCESS;
	printf("only on a plain directory: the other stages need root and a mount namespace\n");
	return 77;
}
