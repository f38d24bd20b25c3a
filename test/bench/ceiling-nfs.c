/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The ceiling that dmmfs is held against: what the raw, pipelined requests of libnfs give, with nothing around them. Prints
 * "NAME VALUE UNIT" lines. Asserts no time; ends with 1 when a request fails.
 *
 *   ceiling-nfs large URL CONNECTIONS FILE [INTO]   a large file, in reads of 1 MiB; INTO: written there and synced, too
 *   ceiling-nfs tree URL CONNECTIONS [INTO]         all below the export: lists with attributes, then the data of each file
 *   ceiling-nfs first URL FILE N                    4 KiB at N places of a file, with the library's open and read
 *   ceiling-nfs calls URL N                         N files at most of all below the export, with the library's calls, one after the
 *                                                   other: what a client does that waits for each answer
 *
 * A thread for each connection. The items of a tree (directories to list, files to read) lie on one stack for all; each thread
 * keeps WINDOW of them in flight. A file that is written gets owner, mode and times, like any copy.
 */
#include "nfs.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define WINDOW 32      /* items in flight on each connection */
#define WINDOW_LARGE 8 /* reads of a large file in flight on each */
#define READ_BYTES READ_MOST
#define PAUSE_NS 20000000 /* between two first reads: none is slowed by what the one before left to do */

struct item {
	struct item *next;
	bool is_dir;
	struct fh fh;
	struct dmm_attr attr;
	uint64_t cookie, off;
	char verifier[8];
	bool piece; /* of a large file, up to attr.size */
	int fd;     /* written to; -1: not open yet */
	struct link *link;
	char path[]; /* below INTO */
};

struct link {
	struct nfs_context *nfs;
	struct rpc_context *rpc;
	pthread_t thread;
	unsigned in_flight;
};

static unsigned version, window = WINDOW;
static int into = -1, large_fd = -1;
static struct {
	pthread_mutex_t lock;
	struct item *stack;
	unsigned long pending; /* on the stack or in flight */
	uint64_t files, dirs, bytes;
} work = {.lock = PTHREAD_MUTEX_INITIALIZER};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* --- items --- */

/* On top of the stack. Only where nobody takes from it meanwhile may the caller still touch it. */
static struct item *push(const char *dir, const char *name, const struct fh *fh, const struct dmm_attr *attr)
{
	size_t len = strlen(dir) + strlen(name) + 2;
	struct item *item = calloc(1, sizeof(*item) + len);

	if (!item)
		err(1, "memory");
	snprintf(item->path, len, "%s%s%s", dir, *dir ? "/" : "", name);
	item->is_dir = S_ISDIR(attr->mode);
	item->fh = *fh;
	item->attr = *attr;
	item->fd = -1;
	if (item->is_dir && *item->path && into >= 0 && mkdirat(into, item->path, 0755) < 0)
		err(1, "mkdir %s", item->path);
	pthread_mutex_lock(&work.lock);
	item->next = work.stack;
	work.stack = item;
	work.pending++;
	pthread_mutex_unlock(&work.lock);
	return item;
}

static struct item *pop(bool *over)
{
	pthread_mutex_lock(&work.lock);
	struct item *item = work.stack;
	if (item)
		work.stack = item->next;
	*over = work.pending == 0;
	pthread_mutex_unlock(&work.lock);
	return item;
}

static void ended(struct item *item)
{
	pthread_mutex_lock(&work.lock);
	work.pending--;
	work.files += !item->is_dir;
	work.dirs += item->is_dir;
	work.bytes += item->is_dir ? 0 : item->attr.size;
	pthread_mutex_unlock(&work.lock);
	item->link->in_flight--;
	free(item);
}

/* --- what came --- */

static void finish_file(struct item *item)
{
	const struct dmm_attr *attr = &item->attr;
	const struct timespec times[2] = {{attr->atime.sec, attr->atime.nsec}, {attr->mtime.sec, attr->mtime.nsec}};

	if (!item->piece && item->fd >= 0 &&
	    (fchown(item->fd, attr->uid, attr->gid) < 0 || fchmod(item->fd, attr->mode & 07777) < 0 ||
	     futimens(item->fd, times) < 0 || close(item->fd) < 0))
		err(1, "%s", item->path);
	ended(item);
}

static void start(struct item *item);

static void data_came(struct item *item, const char *data, unsigned len)
{
	if (len == 0)
		errx(1, "%s: nothing came at %llu", item->path, (unsigned long long)item->off);
	if (into >= 0 && item->fd < 0)
		item->fd = openat(into, item->path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	if (into >= 0 && pwrite(item->fd, data, len, (off_t)item->off) != (ssize_t)len)
		err(1, "%s", item->path);
	item->off += len;
	if (item->off < item->attr.size)
		start(item);
	else
		finish_file(item);
}

static void entry_came(struct item *dir, const char *name, const struct fh *fh, const struct dmm_attr *attr)
{
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return;
	if (S_ISDIR(attr->mode) || (S_ISREG(attr->mode) && attr->size > 0))
		push(dir->path, name, fh, attr);
}

static void list_came(struct item *dir, const char *verifier, bool eof)
{
	memcpy(dir->verifier, verifier, sizeof(dir->verifier));
	if (eof)
		ended(dir);
	else
		start(dir);
}

/* --- version 3 --- */

static void on_read3(struct rpc_context *rpc, int status, void *data, void *opaque)
{
	const struct READ3res *res = data;
	struct item *item = opaque;

	if (status != RPC_STATUS_SUCCESS || res->status != NFS3_OK)
		errx(1, "%s: READ fails: %s", item->path, rpc_get_error(rpc));
	data_came(item, res->READ3res_u.resok.data.data_val, res->READ3res_u.resok.data.data_len);
}

static void on_list3(struct rpc_context *rpc, int status, void *data, void *opaque)
{
	const struct READDIRPLUS3res *res = data;
	struct item *dir = opaque;

	if (status != RPC_STATUS_SUCCESS || res->status != NFS3_OK)
		errx(1, "%s: READDIRPLUS fails: %s", dir->path, rpc_get_error(rpc));
	for (const void *at = res->READDIRPLUS3res_u.resok.reply.entries; at;) {
		struct entryplus3 entry;
		struct dmm_attr attr;
		memcpy(&entry, at, sizeof(entry));
		at = entry.nextentry;
		dir->cookie = entry.cookie;
		const nfs_fh3 *from = &entry.name_handle.post_op_fh3_u.handle;
		struct fh fh = {.len = from->data.data_len};
		memcpy(fh.bytes, from->data.data_val, fh.len);
		attr_from_3(&attr, &entry.name_attributes.post_op_attr_u.attributes);
		entry_came(dir, entry.name, &fh, &attr);
	}
	list_came(dir, res->READDIRPLUS3res_u.resok.cookieverf, res->READDIRPLUS3res_u.resok.reply.eof);
}

static void start3(struct item *item)
{
	nfs_fh3 fh = {.data = {item->fh.len, item->fh.bytes}};
	struct READ3args read = {.file = fh, .offset = item->off, .count = READ_BYTES};
	struct READDIRPLUS3args list = {.dir = fh, .cookie = item->cookie, .dircount = LIST_MOST, .maxcount = LIST_MOST};
	int ret;

	memcpy(list.cookieverf, item->verifier, sizeof(list.cookieverf));
	if (item->attr.size - item->off < READ_BYTES)
		read.count = (count3)(item->attr.size - item->off);
	ret = item->is_dir ? rpc_nfs3_readdirplus_async(item->link->rpc, on_list3, &list, item)
	                   : rpc_nfs3_read_async(item->link->rpc, on_read3, &read, item);
	if (ret != 0)
		errx(1, "%s: %s", item->path, rpc_get_error(item->link->rpc));
}

/* --- version 4 --- */

static nfs_resop4 answer4(struct rpc_context *rpc, int status, const struct COMPOUND4res *res, const char *path)
{
	nfs_resop4 last;

	if (status != RPC_STATUS_SUCCESS || res->status != NFS4_OK)
		errx(1, "%s: COMPOUND fails: %s", path, rpc_get_error(rpc));
	memcpy(&last, (const char *)res->resarray.resarray_val + (res->resarray.resarray_len - 1) * sizeof(last), sizeof(last));
	return last;
}

static void on_read4(struct rpc_context *rpc, int status, void *data, void *opaque)
{
	struct item *item = opaque;
	nfs_resop4 last = answer4(rpc, status, data, item->path);
	const READ4resok *ok = &last.nfs_resop4_u.opread.READ4res_u.resok4;

	data_came(item, ok->data.data_val, ok->data.data_len);
}

static void on_list4(struct rpc_context *rpc, int status, void *data, void *opaque)
{
	struct item *dir = opaque;
	nfs_resop4 last = answer4(rpc, status, data, dir->path);
	const READDIR4resok *ok = &last.nfs_resop4_u.opreaddir.READDIR4res_u.resok4;

	for (const void *at = ok->reply.entries; at;) {
		struct entry4 entry;
		struct attr4 decoded;
		char name[DMM_NAME_MAX + 1];
		memcpy(&entry, at, sizeof(entry));
		at = entry.nextentry;
		dir->cookie = entry.cookie;
		if (attr4_decode(&entry.attrs, &decoded) < 0)
			errx(1, "%s: attributes that cannot be decoded", dir->path);
		snprintf(name, sizeof(name), "%.*s", (int)entry.name.utf8string_len, entry.name.utf8string_val);
		entry_came(dir, name, &decoded.fh, &decoded.attr);
	}
	list_came(dir, ok->cookieverf, ok->reply.eof);
}

static void start4(struct item *item)
{
	uint64_t left = item->attr.size - item->off;
	nfs_argop4 ops[2] = {{.argop = OP_PUTFH}};
	struct COMPOUND4args args = {.argarray = {2, ops}};

	ops[0].nfs_argop4_u.opputfh.object = (nfs_fh4){item->fh.len, item->fh.bytes};
	if (item->is_dir) {
		READDIR4args *list = &ops[1].nfs_argop4_u.opreaddir;
		ops[1].argop = OP_READDIR;
		list->cookie = item->cookie;
		memcpy(list->cookieverf, item->verifier, sizeof(list->cookieverf));
		list->dircount = list->maxcount = LIST_MOST;
		list->attr_request = (bitmap4){2, attr4_wanted};
	} else {
		ops[1].argop = OP_READ;
		ops[1].nfs_argop4_u.opread.offset = item->off;
		ops[1].nfs_argop4_u.opread.count = left < READ_BYTES ? (count4)left : READ_BYTES;
	}
	if (rpc_nfs4_compound_async(item->link->rpc, item->is_dir ? on_list4 : on_read4, &args, item) != 0)
		errx(1, "%s: %s", item->path, rpc_get_error(item->link->rpc));
}

static void start(struct item *item)
{
	if (version == 4)
		start4(item);
	else
		start3(item);
}

/* --- connections --- */

static void serve(struct link *link, int timeout_ms)
{
	struct pollfd poll_fd = {.fd = rpc_get_fd(link->rpc), .events = (short)rpc_which_events(link->rpc)};

	if (poll(&poll_fd, 1, timeout_ms) < 0 && errno != EINTR)
		err(1, "poll");
	if (rpc_service(link->rpc, poll_fd.revents) < 0)
		errx(1, "the connection is lost: %s", rpc_get_error(link->rpc));
}

static void connect_link(struct link *link, const char *text)
{
	static unsigned count;
	char name[64];
	int one = 1;

	link->nfs = nfs_init_context();
	snprintf(name, sizeof(name), "ceiling-%d-%u", (int)getpid(), count++);
	nfs4_set_client_name(link->nfs, name);
	struct nfs_url *url = nfs_parse_url_dir(link->nfs, text);
	if (!url || nfs_mount(link->nfs, url->server, url->path) != 0)
		errx(1, "%s: %s", text, nfs_get_error(link->nfs));
	nfs_destroy_url(url);
	link->rpc = nfs_get_rpc_context(link->nfs);
	setsockopt(rpc_get_fd(link->rpc), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/* --- the root of the export: what the library keeps to itself --- */

struct root {
	struct fh fh;
	bool done;
};

static void on_root4(struct rpc_context *rpc, int status, void *data, void *opaque)
{
	struct root *root = opaque;
	nfs_resop4 last = answer4(rpc, status, data, "/");
	const nfs_fh4 *fh = &last.nfs_resop4_u.opgetfh.GETFH4res_u.resok4.object;

	root->fh.len = fh->nfs_fh4_len;
	memcpy(root->fh.bytes, fh->nfs_fh4_val, fh->nfs_fh4_len);
	root->done = true;
}

/* As libnfs has it: its header only names the type. */
struct nfs_fh {
	int len;
	char *val;
};

static struct fh handle_of(struct nfsfh *file)
{
	const struct nfs_fh *from = nfs_get_fh(file);
	struct fh fh = {.len = (unsigned)from->len};

	memcpy(fh.bytes, from->val, fh.len);
	return fh;
}

static void find_root(struct link *link, const char *text, struct root *root)
{
	struct nfsfh *file;

	if (version == 3) {
		if (nfs_open(link->nfs, "/", O_RDONLY, &file) != 0)
			errx(1, "%s: %s", text, nfs_get_error(link->nfs));
		root->fh = handle_of(file);
		nfs_close(link->nfs, file);
		return;
	}
	struct nfs_url *url = nfs_parse_url_dir(link->nfs, text);
	nfs_argop4 ops[64] = {{.argop = OP_PUTROOTFH}};
	unsigned n = 1;
	char *rest = url->path;
	for (char *name; (name = strtok_r(rest, "/", &rest)) && n < 62; n++) {
		ops[n].argop = OP_LOOKUP;
		ops[n].nfs_argop4_u.oplookup.objname = (component4){(unsigned)strlen(name), name};
	}
	ops[n++].argop = OP_GETFH;
	struct COMPOUND4args args = {.argarray = {n, ops}};
	if (rpc_nfs4_compound_async(link->rpc, on_root4, &args, root) != 0)
		errx(1, "%s: %s", text, rpc_get_error(link->rpc));
	while (!root->done)
		serve(link, 1000);
	nfs_destroy_url(url);
}

/* --- a tree --- */

static void *run_items(void *context)
{
	struct link *link = context;

	for (bool over = false; !over;) {
		for (struct item *item; link->in_flight < window && (item = pop(&over));) {
			item->link = link;
			link->in_flight++;
			start(item);
		}
		if (!over)
			serve(link, link->in_flight ? 1000 : 1);
	}
	return NULL;
}

static void run_all(struct link *links, unsigned n, void *(*run)(void *context))
{
	for (unsigned i = 0; i < n; i++)
		if (pthread_create(&links[i].thread, NULL, run, &links[i]) != 0)
			errx(1, "threads");
	for (unsigned i = 0; i < n; i++)
		pthread_join(links[i].thread, NULL);
	if (into >= 0 && syncfs(into) < 0)
		err(1, "sync");
}

static void tree(struct link *links, unsigned n, const char *url)
{
	struct root root = {0};

	find_root(&links[0], url, &root);
	uint64_t began_ns = now_ns();
	push("", "", &root.fh, &(struct dmm_attr){.mode = S_IFDIR});
	run_all(links, n, run_items);
	double seconds = (double)(now_ns() - began_ns) / 1e9;
	printf("seconds %.3f s\nobjects-per-second %.0f /s\n", seconds, (double)(work.files + work.dirs) / seconds);
}

/* --- a large file: its pieces are the items --- */

static void large(struct link *links, unsigned n, const char *path)
{
	struct nfsfh *file;
	struct nfs_stat_64 st;

	if (nfs_open(links[0].nfs, path, O_RDONLY, &file) != 0 || nfs_fstat64(links[0].nfs, file, &st) != 0)
		errx(1, "%s: %s", path, nfs_get_error(links[0].nfs));
	struct fh fh = handle_of(file);
	if (into >= 0)
		large_fd = openat(into, "large", O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	uint64_t began_ns = now_ns(), off = st.nfs_size;
	window = WINDOW_LARGE;
	while (off > 0) { /* the first piece lies on top in the end */
		uint64_t end = off;
		off = (off - 1) / READ_BYTES * READ_BYTES;
		struct item *item = push("", "large", &fh, &(struct dmm_attr){.mode = S_IFREG, .size = end});
		item->off = off;
		item->piece = true;
		item->fd = large_fd;
	}
	run_all(links, n, run_items);
	printf("rate %.0f MiB/s\n", (double)st.nfs_size / 1048576.0 / ((double)(now_ns() - began_ns) / 1e9));
	nfs_close(links[0].nfs, file);
}

/* --- the first bytes --- */

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static double percentile_us(uint64_t *took, size_t n, size_t percent)
{
	qsort(took, n, sizeof(*took), compare);
	return (double)took[n * percent / 100] / 1000.0;
}

static void first(struct link *link, const char *path, unsigned places)
{
	uint64_t *both = calloc(places, sizeof(*both)), *reads = calloc(places, sizeof(*reads));
	struct nfs_stat_64 st;
	char buf[4096];

	if (!both || !reads || nfs_stat64(link->nfs, path, &st) != 0)
		errx(1, "%s: %s", path, nfs_get_error(link->nfs));
	for (unsigned i = 0; i < places; i++) {
		uint64_t off = st.nfs_size / places * ((i * 37) % places) + 123 * sizeof(buf);
		struct nfsfh *file;
		nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
		uint64_t began_ns = now_ns();
		if (nfs_open(link->nfs, path, O_RDONLY, &file) != 0)
			errx(1, "%s: %s", path, nfs_get_error(link->nfs));
		uint64_t opened_ns = now_ns();
		if (nfs_pread(link->nfs, file, off, sizeof(buf), buf) != sizeof(buf))
			errx(1, "%s: %s", path, nfs_get_error(link->nfs));
		reads[i] = now_ns() - opened_ns;
		both[i] = now_ns() - began_ns;
		nfs_close(link->nfs, file);
	}
	printf("open-and-first-read-p50 %.1f us\n", percentile_us(both, places, 50));
	printf("open-and-first-read-p99 %.1f us\n", percentile_us(both, places, 99));
	printf("first-read-p50 %.1f us\n", percentile_us(reads, places, 50));
	printf("first-read-p99 %.1f us\n", percentile_us(reads, places, 99));
	free(both);
	free(reads);
}

/* --- one synchronous client --- */

static unsigned long called;

static void call_for_file(struct link *link, const char *path, uint64_t size)
{
	static char buf[READ_BYTES];
	struct nfsfh *file;

	if (nfs_open(link->nfs, path, O_RDONLY, &file) != 0)
		errx(1, "%s: %s", path, nfs_get_error(link->nfs));
	for (uint64_t off = 0; off < size;) {
		int got = nfs_pread(link->nfs, file, off, sizeof(buf), buf);
		if (got <= 0)
			errx(1, "%s: %s", path, nfs_get_error(link->nfs));
		off += (uint64_t)got;
	}
	nfs_close(link->nfs, file);
	called++;
}

static void call_below(struct link *link, const char *path, unsigned long most)
{
	struct nfsdir *dir;

	if (nfs_opendir(link->nfs, path, &dir) != 0)
		errx(1, "%s: %s", path, nfs_get_error(link->nfs));
	for (struct nfsdirent *entry; called < most && (entry = nfs_readdir(link->nfs, dir));) {
		char below[4096];
		if (strcmp(entry->name, ".") == 0 || strcmp(entry->name, "..") == 0)
			continue;
		snprintf(below, sizeof(below), "%s/%s", strcmp(path, "/") == 0 ? "" : path, entry->name);
		if (S_ISDIR(entry->mode))
			call_below(link, below, most);
		else
			call_for_file(link, below, entry->size);
	}
	nfs_closedir(link->nfs, dir);
}

static void calls(struct link *link, unsigned long most)
{
	uint64_t began_ns = now_ns();

	call_below(link, "/", most);
	printf("files-per-second %.1f /s\n", (double)called / ((double)(now_ns() - began_ns) / 1e9));
}

static void usage(void)
{
	fprintf(stderr, "usage: ceiling-nfs large URL CONNECTIONS FILE [INTO] | tree URL CONNECTIONS [INTO] | first URL FILE N | "
	                "calls URL N\n");
	exit(2);
}

int main(int argc, char **argv)
{
	bool is_large = argc > 4 && strcmp(argv[1], "large") == 0, is_tree = argc > 3 && strcmp(argv[1], "tree") == 0;
	bool is_first = argc == 5 && strcmp(argv[1], "first") == 0, is_calls = argc == 4 && strcmp(argv[1], "calls") == 0;
	unsigned n = is_large || is_tree ? (unsigned)atoi(argv[3]) : 1;
	const char *dir = is_large ? argv[5] : is_tree ? argv[4] : NULL; /* argv ends with NULL */
	struct link *links = calloc(n ? n : 1, sizeof(*links));

	if (!(is_large || is_tree || is_first || is_calls) || n == 0 || !links)
		usage();
	version = strstr(argv[2], "version=4") ? 4 : 3;
	if (dir && (into = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		err(1, "%s", dir);
	for (unsigned i = 0; i < n; i++)
		connect_link(&links[i], argv[2]);
	if (is_large)
		large(links, n, argv[4]);
	else if (is_tree)
		tree(links, n, argv[2]);
	else if (is_calls)
		calls(links, strtoul(argv[3], NULL, 10));
	else
		first(links, argv[3], (unsigned)atoi(argv[4]));
	for (unsigned i = 0; i < n; i++)
		nfs_destroy_context(links[i].nfs);
	free(links);
	return 0;
}
