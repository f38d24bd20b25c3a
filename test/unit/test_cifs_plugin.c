/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the cifs plugin makes of addresses, credentials and security descriptors, without a server.
 */
#include "cifs.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char error[512];
static struct address address;

static int parse(const char *source, const char *name, const char *value)
{
	struct dmm_setting setting = {name, value};
	struct dmm_config config = {.struct_size = sizeof(config),
	                            .source = source,
	                            .settings = &setting,
	                            .n_settings = name ? 1 : 0,
	                            .error = error,
	                            .error_size = sizeof(error)};

	error[0] = '\0';
	return address_parse(&config, &address);
}

START_TEST(test_addresses)
{
	ck_assert_int_eq(parse("smb://nas/home", NULL, NULL), 0);
	ck_assert_str_eq(address.host, "nas");
	ck_assert_str_eq(address.share, "home");
	ck_assert_str_eq(address.path, "");
	ck_assert_int_eq(parse("smb://nas:4450/my%20share//a/b%25/", NULL, NULL), 0);
	ck_assert_uint_eq(address.port, 4450);
	ck_assert_str_eq(address.share, "my share");
	ck_assert_str_eq(address.path, "a/b%");
	ck_assert_int_eq(parse("//nas/home/a%20b", NULL, NULL), 0);
	ck_assert_str_eq(address.path, "a%20b");
}
END_TEST

START_TEST(test_addresses_refused)
{
	static const char *const wrong[] = {"smb://",
	                                    "smb://nas",
	                                    "smb:///home",
	                                    "nas/home",
	                                    "//nas",
	                                    "//nas/",
	                                    "smb://nas/home/..",
	                                    "smb://nas/home/%2e%2e/x",
	                                    "smb://nas/a%",
	                                    "smb://nas/x%2fy",
	                                    "smb://nas/x/%00",
	                                    "smb://nas:0x/home",
	                                    "smb://nas:99999/home"};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		ck_assert_msg(parse(wrong[i], NULL, NULL) == -EINVAL, "%s is accepted", wrong[i]);
		ck_assert_msg(*error, "%s is refused without a word", wrong[i]);
	}
}
END_TEST

/* Credentials have a file of their own; one that is written into the address is not shown to everybody who reads the log. */
START_TEST(test_address_with_password)
{
	static const char *const wrong[] = {"smb://alice:secret@nas/home", "//alice:secret@nas",
	                                    "smb://alice%40corp:secret@nas/x"};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		ck_assert_msg(parse(wrong[i], NULL, NULL) == -EINVAL, "%s is accepted", wrong[i]);
		ck_assert_ptr_nonnull(strstr(error, "credentials="));
		ck_assert_ptr_null(strstr(error, "secret"));
	}
	ck_assert_int_eq(parse("smb://alice@nas/home", NULL, NULL), -EINVAL);
	ck_assert_int_eq(parse("smb://nas/home/a@b", NULL, NULL), 0);
}
END_TEST

START_TEST(test_options)
{
	ck_assert_int_eq(parse("//nas/x", "vers", "3.0"), 0);
	ck_assert_str_eq(address.vers, "SMB3_00");
	ck_assert_int_eq(parse("//nas/x", "seal", ""), 0);
	ck_assert_str_eq(address.vers, "SMB3_00"); /* 2.1 has no encryption */
	ck_assert_int_eq(parse("//nas/x", "vers", "1"), -EINVAL);
	ck_assert_int_eq(parse("//nas/x", "sec", "krb5"), 0);
	ck_assert(address.kerberos);
	ck_assert_int_eq(parse("//192.0.2.1/x", "sec", "krb5"), -EINVAL); /* it has no ticket */
	ck_assert_int_eq(parse("smb://[2001:db8::1]/x", "sec", "krb5"), -EINVAL);
	ck_assert_int_eq(parse("//nas/x", "keytab", "/etc/krb5.keytab"), -EINVAL); /* without Kerberos */
	ck_assert_int_eq(parse("//nas/x", "ccache", "KEYRING:x"), -EINVAL);
	ck_assert_int_eq(parse("//nas/x", "username", "root"), -EINVAL);
	ck_assert_ptr_nonnull(strstr(error, "credentials="));
	ck_assert_int_eq(parse("//nas/x", "sec", "none"), -EINVAL);
	ck_assert_int_eq(parse("//nas/x", "credentials", "here"), -EINVAL);
	ck_assert_int_eq(parse("//nas/x", "file_mode", "640"), 0);
	ck_assert_uint_eq(address.file_mode, 0640);
	ck_assert_int_eq(parse("//nas/x", "file_mode", "4755"), -EINVAL);
	ck_assert_int_eq(parse("//nas/x", "uid", "1000"), 0);
	ck_assert_uint_eq(address.uid, 1000);
	ck_assert_int_eq(parse("//nas/x", "uid", "root"), -EINVAL);
	ck_assert_int_eq(parse("//nas/x", "password", "secret"), -EINVAL);
}
END_TEST

/* --- credentials --- */

static struct credentials credentials;

static int load(const char *text, mode_t mode)
{
	char path[] = "/tmp/dmmfs-credentials-XXXXXX";
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	ck_assert_int_eq(fchmod(fd, mode), 0);
	close(fd);
	error[0] = '\0';
	int ret = credentials_load(path, &credentials, error, sizeof(error));
	unlink(path);
	return ret;
}

START_TEST(test_credentials)
{
	ck_assert_int_eq(load("# of the old server\nusername=alice\r\npassword= a b=c \ndomain=OLD\n", 0600), 0);
	ck_assert_str_eq(credentials.username, "alice");
	ck_assert_str_eq(credentials.password, " a b=c ");
	ck_assert_str_eq(credentials.domain, "OLD");
	ck_assert_int_eq(load("user=bob\npass=x", 0400), 0);
	ck_assert_str_eq(credentials.username, "bob");
	credentials_forget(&credentials);
	ck_assert_str_eq(credentials.password, "");
}
END_TEST

START_TEST(test_credentials_refused)
{
	ck_assert_int_eq(load("username=a\npassword=secret\n", 0640), -EPERM);
	ck_assert_ptr_nonnull(strstr(error, "chmod 600"));
	ck_assert_int_eq(load("password=secret\n", 0600), -EINVAL);
	ck_assert_int_eq(load("username=a\nwhat=secret\n", 0600), -EINVAL);
	ck_assert_ptr_nonnull(strstr(error, "line 2"));
	ck_assert_ptr_null(strstr(error, "secret"));
	ck_assert_int_eq(credentials_load("/nonexistent", &credentials, error, sizeof(error)), -ENOENT);
}
END_TEST

/* --- what Samba reads --- */

START_TEST(test_dosattrib)
{
	/* hidden, read-only; made at 2001-02-03 04:05:06 UTC */
	static const unsigned char wanted[] = {0, 0, 5, 0, 5, 0,    0,    0,    0x11, 0,    0,    0,
	                                       3, 0, 0, 0, 0, 0xd1, 0xc6, 0xc1, 0x98, 0x8d, 0xc0, 1};
	unsigned char made[DOSATTRIB_SIZE];
	struct wire_time time = {.sec = 981173106};

	dosattrib_make(made, 3, nttime_from(&time));
	ck_assert_mem_eq(made, wanted, 8 + 8);
	uint64_t created;
	memcpy(&created, made + 16, 8);
	ck_assert_uint_eq(created, (981173106ull + 11644473600ull) * 10000000ull);
	ck_assert_uint_eq(nttime_from(&(struct wire_time){0}), 0);
	ck_assert_uint_eq(sizeof(wanted), sizeof(made));
}
END_TEST

START_TEST(test_ntacl)
{
	static const unsigned char wanted[] = {
		1, 0, 1,  0,    0,    0, 2,    0,                                           /* head */
		1, 0, 4,  0x80, 28,   0, 0,    0,  44, 0, 0, 0, 0,    0, 0, 0, 60, 0, 0, 0, /* descriptor */
		1, 2, 0,  0,    0,    0, 0,    22, 1,  0, 0, 0, 0xe8, 3, 0, 0,              /* S-1-22-1-1000 */
		1, 2, 0,  0,    0,    0, 0,    22, 2,  0, 0, 0, 100,  0, 0, 0,              /* S-1-22-2-100 */
		2, 0, 28, 0,    1,    0, 0,    0,                                           /* ACL of one */
		0, 3, 20, 0,    0xff, 1, 0x1f, 0,  1,  1, 0, 0, 0,    0, 0, 1, 0,  0, 0, 0, /* S-1-1-0 */
	};
	unsigned char made[512];

	ck_assert_int_eq(
		ntacl_make("REVISION:1,OWNER:S-1-22-1-1000,GROUP:S-1-22-2-100,ACL:S-1-1-0:0/3/0x001f01ff", made, sizeof(made)),
		(int)sizeof(wanted));
	ck_assert_mem_eq(made, wanted, sizeof(wanted));
}
END_TEST

START_TEST(test_ntacl_refused)
{
	static const char *const wrong[] = {"",
	                                    "REVISION:1",
	                                    "REVISION:1,OWNER:alice,GROUP:S-1-1-0",
	                                    "REVISION:2,OWNER:S-1-1-0,GROUP:S-1-1-0",
	                                    "REVISION:1,OWNER:S-1-1-0,GROUP:S-1-1-0,ACL:Everyone:0/3/0x1",
	                                    "REVISION:1,OWNER:S-1-1-0,GROUP:S-1-1-0,ACL:S-1-1-0:9/3/0x1",
	                                    "REVISION:1,OWNER:S-1-1-0,GROUP:S-1-1-0,ACL:S-1-1-0:0/3000/0x1",
	                                    "REVISION:1,OWNER:S-1-1-0,GROUP:S-1-1-0,ACL:S-1-1-0:0",
	                                    "REVISION:1,OWNER:S-1-999999999999999-0,GROUP:S-1-1-0"};
	unsigned char made[512];

	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		ck_assert_msg(ntacl_make(wrong[i], made, sizeof(made)) == -EBADMSG, "accepted: %s", wrong[i]);
	for (size_t size = 0; size < 88; size++)
		ck_assert_int_eq(
			ntacl_make("REVISION:1,OWNER:S-1-22-1-1000,GROUP:S-1-22-2-100,ACL:S-1-1-0:0/3/0x001f01ff", made, size),
			-EMSGSIZE);
}
END_TEST

START_TEST(test_handles)
{
	unsigned char bytes[HANDLE_HEAD + 3] = "";
	struct wire_entry entry = {.attributes = 0x27, .is_dir = 1, .btime = {.sec = 1, .nsec = 100}};
	struct handle handle;

	handle_head(bytes, &entry);
	memcpy(bytes + HANDLE_HEAD, "a/b", 3);
	ck_assert_int_eq(handle_parse((struct dmm_bytes){bytes, sizeof(bytes)}, &handle), 0);
	ck_assert(handle.is_dir);
	ck_assert_uint_eq(handle.attributes, 0x27);
	ck_assert_uint_eq(handle.created, nttime_from(&entry.btime));
	ck_assert_uint_eq(handle.len_path, 3);
	ck_assert_mem_eq(handle.path, "a/b", 3);
	ck_assert_int_eq(handle_parse((struct dmm_bytes){bytes, HANDLE_HEAD - 1}, &handle), -ESTALE);
	bytes[0] = 'H';
	ck_assert_int_eq(handle_parse((struct dmm_bytes){bytes, sizeof(bytes)}, &handle), -ESTALE);
}
END_TEST

/* --- streams --- */

struct list {
	unsigned char bytes[1024];
	size_t len, last;
};

static void put_le(unsigned char *at, uint64_t value, size_t size)
{
	for (size_t i = 0; i < size; i++)
		at[i] = (unsigned char)(value >> (8 * i));
}

/* Of characters below 256. */
static void add_stream(struct list *list, const char *name, uint64_t size)
{
	size_t at = list->len;

	if (at > 0)
		put_le(list->bytes + list->last, at - list->last, 4);
	put_le(list->bytes + at + 4, 2 * strlen(name), 4);
	put_le(list->bytes + at + 8, size, 8);
	for (size_t i = 0; name[i]; i++)
		put_le(list->bytes + at + 24 + 2 * i, (unsigned char)name[i], 2);
	list->last = at;
	list->len = at + 24 + 2 * strlen(name);
}

START_TEST(test_streams)
{
	struct list list = {.len = 0};
	struct stream stream;
	size_t at = 0;

	ck_assert_int_eq(stream_next(list.bytes, 0, &at, &stream), 0);
	add_stream(&list, "::$DATA", 12);
	add_stream(&list, ":notes:$DATA", 5000000000);
	add_stream(&list, ":a/b:$DATA", 1);
	add_stream(&list, ":x:$INDEX_ALLOCATION", 1);
	add_stream(&list, ":uml\xe4ut:$DATA", 7);
	ck_assert_int_eq(stream_next(list.bytes, list.len, &at, &stream), 1);
	ck_assert_str_eq(stream.name, "notes");
	ck_assert_uint_eq(stream.size, 5000000000);
	ck_assert_int_eq(stream_next(list.bytes, list.len, &at, &stream), -EILSEQ);
	ck_assert_int_eq(stream_next(list.bytes, list.len, &at, &stream), -EILSEQ);
	ck_assert_int_eq(stream_next(list.bytes, list.len, &at, &stream), 1);
	ck_assert_str_eq(stream.name, "uml\xc3\xa4ut");
	ck_assert_int_eq(stream_next(list.bytes, list.len, &at, &stream), 0);
}
END_TEST

START_TEST(test_streams_damaged)
{
	struct list list = {.len = 0}, bad;
	struct stream stream;
	size_t at = 0;

	add_stream(&list, ":one:$DATA", 1);
	add_stream(&list, ":two:$DATA", 1);
	for (uint32_t next = 1; next < 24; next++) { /* backwards, or into itself */
		bad = list;
		put_le(bad.bytes, next, 4);
		at = 0;
		ck_assert_int_eq(stream_next(bad.bytes, bad.len, &at, &stream), -EBADMSG);
	}
	bad = list;
	put_le(bad.bytes, 0xfffffff0, 4);
	ck_assert_int_eq(stream_next(bad.bytes, bad.len, &at, &stream), -EBADMSG);
	bad = list;
	put_le(bad.bytes + 4, 0xfffffffe, 4);
	ck_assert_int_eq(stream_next(bad.bytes, bad.len, &at, &stream), -EBADMSG);
	ck_assert_int_eq(stream_next(list.bytes, 10, &at, &stream), -EBADMSG);
}
END_TEST

START_TEST(test_descriptors_as_they_are)
{
	unsigned char descriptor[36] = {1, 0, 4, 0x94}, value[36 + NTACL_HEAD];

	put_le(descriptor + 4, 20, 4); /* owner */
	put_le(descriptor + 16, 32, 4);
	ck_assert_int_eq(ntacl_wrap(descriptor, sizeof(descriptor), value), (int)sizeof(value));
	ck_assert_mem_eq(value, "\1\0\1\0\0\0\2\0\1\0\4\x94\x1c\0\0\0\0\0\0\0\0\0\0\0\x28\0\0\0", 28);
	put_le(descriptor + 4, 36, 4);
	ck_assert_int_eq(ntacl_wrap(descriptor, sizeof(descriptor), value), -EBADMSG);
	put_le(descriptor + 4, 19, 4);
	ck_assert_int_eq(ntacl_wrap(descriptor, sizeof(descriptor), value), -EBADMSG);
	ck_assert_int_eq(ntacl_wrap(descriptor, 19, value), -EBADMSG);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cifs_plugin");
	TCase *tcase = tcase_create("parts");

	tcase_add_test(tcase, test_addresses);
	tcase_add_test(tcase, test_addresses_refused);
	tcase_add_test(tcase, test_address_with_password);
	tcase_add_test(tcase, test_options);
	tcase_add_test(tcase, test_credentials);
	tcase_add_test(tcase, test_credentials_refused);
	tcase_add_test(tcase, test_dosattrib);
	tcase_add_test(tcase, test_ntacl);
	tcase_add_test(tcase, test_ntacl_refused);
	tcase_add_test(tcase, test_handles);
	tcase_add_test(tcase, test_streams);
	tcase_add_test(tcase, test_streams_damaged);
	tcase_add_test(tcase, test_descriptors_as_they_are);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
