/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The session with the kernel: INIT, the receive loops, mount and unmount.
 *
 * /dev/fuse is mounted here, not by libfuse, and read by our own loops on that one descriptor: a keeper holds it (keeper/keeper.h) while
 * the worker that serves it is replaced. What differs for one that comes later is in adopt.c.
 */
#include "fs/internal.h"

#include "base/cleanup.h"
#include "base/descriptors.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#define MAX_WRITE (1u << 20)
#define MAX_HEADERS 4096u /* before the bytes of a write */
#define READAHEAD_KB "1024"
/* The kernel's own limit (12) would let a few reads that wait for the source block all others. */
#define MAX_BACKGROUND 65535
#define WOKEN_THREADS 4
#define GATE_LOOK_US 100

static bool read_number(const char *path, unsigned *number)
{
	FILE *file = fopen(path, "re");
	bool found = file && fscanf(file, "%u", number) == 1;

	if (file)
		fclose(file);
	return found;
}

/* --- INIT --- */

static void want(struct fuse_conn_info *conn, uint64_t flag, bool wanted)
{
	if (wanted)
		fuse_set_feature_flag(conn, flag);
	else
		fuse_unset_feature_flag(conn, flag);
}

static void ask_for(struct fs *fs, struct fuse_conn_info *conn)
{
	want(conn, FUSE_CAP_ASYNC_READ, true);
	want(conn, FUSE_CAP_ATOMIC_O_TRUNC, true);
	want(conn, FUSE_CAP_EXPORT_SUPPORT, true);
	want(conn, FUSE_CAP_DONT_MASK, true);
	want(conn, FUSE_CAP_POSIX_ACL, true);
	want(conn, FUSE_CAP_SETXATTR_EXT, true);
	want(conn, FUSE_CAP_HANDLE_KILLPRIV_V2, true);
	want(conn, FUSE_CAP_HANDLE_KILLPRIV, false);
	want(conn, FUSE_CAP_READDIRPLUS, true);
	want(conn, FUSE_CAP_READDIRPLUS_AUTO, true);
	want(conn, FUSE_CAP_PARALLEL_DIROPS, true);
	want(conn, FUSE_CAP_IOCTL_DIR, true);
	want(conn, FUSE_CAP_CACHE_SYMLINKS, true);
	want(conn, FUSE_CAP_AUTO_INVAL_DATA, false);     /* see detach.c */
	want(conn, FUSE_CAP_EXPLICIT_INVAL_DATA, false); /* a size that others changed drops the cache at once */
	want(conn, FUSE_CAP_ASYNC_DIO, false);           /* its waits cannot be interrupted */
	want(conn, FUSE_CAP_SPLICE_READ, false);         /* copies are cheaper than pipes here */
	want(conn, FUSE_CAP_SPLICE_WRITE, false);
	want(conn, FUSE_CAP_SPLICE_MOVE, false);
	want(conn, FUSE_CAP_WRITEBACK_CACHE, false); /* excludes passthrough */
	want(conn, FUSE_CAP_POSIX_LOCKS, false);     /* locks stay in the kernel, and so outlive the daemon */
	want(conn, FUSE_CAP_FLOCK_LOCKS, false);
	want(conn, FUSE_CAP_OVER_IO_URING, false); /* its requests are not sent again */
	bool passthrough = !fs->options.no_passthrough && fuse_set_feature_flag(conn, FUSE_CAP_PASSTHROUGH);
	conn->max_write = MAX_WRITE;
	atomic_store(&fs->passthrough, passthrough);
}

static void init(void *userdata, struct fuse_conn_info *conn)
{
	struct fs *fs = userdata;

	if (kept_inherited(fs->kept))
		adopt_agree(fs, conn);
	else
		ask_for(fs, conn);
	conn->max_backing_stack_depth = fs->target->on_overlay ? 1 : 0;
	conn->max_background = MAX_BACKGROUND;
	conn->congestion_threshold = MAX_BACKGROUND / 4 * 3;
	conn->max_readahead = MAX_WRITE;
	conn->time_gran = 1;
	conn->no_interrupt = 0;
	if (!kept_inherited(fs->kept))
		adopt_keep_agreed(fs, conn);
	bool passthrough = atomic_load(&fs->passthrough);
	log_info("serving: mountpoint=%s passthrough=%s", fs->options.mountpoint,
	         passthrough                  ? "yes"
	         : fs->options.no_passthrough ? "no (switched off)"
	                                      : "no (the kernel has none: Linux 6.9 or newer has)");
	LOCKED(&fs->lock);
	atomic_store(&fs->serving, true);
	pthread_cond_broadcast(&fs->changed);
}

const struct fuse_lowlevel_ops fs_operations = {
	.init = init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.readlink = op_readlink,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.symlink = op_symlink,
	.rename = op_rename,
	.link = op_link,
	.open = op_open,
	.read = op_read,
	.write = op_write,
	.flush = op_flush,
	.release = op_release,
	.fsync = op_fsync,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.releasedir = op_releasedir,
	.fsyncdir = op_fsyncdir,
	.statfs = op_statfs,
	.setxattr = op_setxattr,
	.getxattr = op_getxattr,
	.listxattr = op_listxattr,
	.removexattr = op_removexattr,
	.create = op_create,
	.tmpfile = op_tmpfile,
	.ioctl = op_ioctl,
	.fallocate = op_fallocate,
	.copy_file_range = op_copy_file_range,
	.lseek = op_lseek,
};

/* --- receiving --- */

/* The frame of the kernel's protocol that libfuse keeps to itself (linux/fuse.h): only what is needed of it. */
struct in_header {
	uint32_t len, opcode;
	uint64_t unique, nodeid;
	uint32_t uid, gid, pid, padding;
};
struct setxattr_in {
	uint32_t size, flags, setxattr_flags, padding;
};
#define OPCODE_SETXATTR 21
#define SETXATTR_ACL_KILL_SGID (1u << 0)

static void look_ahead(const struct fuse_buf *buf)
{
	const struct in_header *header = buf->mem;
	const struct setxattr_in *setxattr = (const struct setxattr_in *)(header + 1);

	request_unique = header->unique;
	setxattr_kills_sgid = buf->size >= sizeof(*header) + sizeof(*setxattr) && header->opcode == OPCODE_SETXATTR &&
	                      (setxattr->setxattr_flags & SETXATTR_ACL_KILL_SGID);
}

static void note_taken(struct fs *fs, const struct fuse_buf *buf)
{
	const struct in_header *header = buf->mem;

	turn_taken(&fs->turn, header->opcode, header->pid);
}

static void note_end(struct fs *fs)
{
	LOCKED(&fs->lock);
	atomic_store(&fs->ended, true);
	pthread_cond_broadcast(&fs->changed);
}

/* Whoever closes the gate looks at `busy` afterwards, so one of both sees the other. */
static void process(struct receiver *receiver, struct fuse_buf *buf)
{
	struct fs *fs = receiver->fs;

	atomic_store(&receiver->busy, true);
	if (atomic_load(&fs->gate_closed)) {
		atomic_store(&receiver->busy, false);
		for (;;)
			pause(); /* the process ends, and the next one gets the request */
	}
	if (!kept_memory(fs->kept)->n_init)
		adopt_keep_init(fs, buf);
	look_ahead(buf);
	fuse_session_process_buf(fs->session, buf);
	nodes_done(fs->nodes);
	atomic_store_explicit(&receiver->busy, false, memory_order_release);
}

/* What may happen to memory that is not locked, or not pinned, and what to do about it: once. */
static void tell_of_memory(struct fs *fs, const struct inbox *inbox, int pinned)
{
	char remedy[96] = "allow io_uring";
	unsigned moves = 1;

	if ((inbox->locked && pinned >= 0) || atomic_exchange(&fs->told_of_memory, true))
		return;
	if (pinned == -ENOMEM) /* what was pinned by one that died is still counted when the next one begins */
		snprintf(remedy, sizeof(remedy), "raise the limit of locked memory (LimitMEMLOCK=) to %u MiB for each migration",
		         fs->options.threads * 3);
	if (!inbox->locked)
		log_warning(
			"no memory can be locked: if it is swapped out, a request that comes in the moment of a crash may fail; "
			"raise the limit of locked memory (LimitMEMLOCK=) to %u MiB",
			fs->options.threads * 2);
	else if (!read_number("/proc/sys/vm/compact_unevictable_allowed", &moves) || moves)
		log_info("no memory can be pinned (%s): if the kernel moves it, a request that comes in the moment of a crash "
		         "may fail; %s, or set vm.compact_unevictable_allowed to 0",
		         errno_name(-pinned), remedy);
}

static void *receive(void *context)
{
	struct receiver *receiver = context;
	struct fs *fs = receiver->fs;
	int fd = fuse_session_fd(fs->session);

	pthread_setname_np(pthread_self(), "fuse");
	creds_thread_start(NULL);
	tell_of_memory(fs, &receiver->inbox, inbox_pin(&receiver->inbox));
	while (!fuse_session_exited(fs->session)) {
		turn_await(&fs->turn, fd);
		ssize_t len = inbox_receive(&receiver->inbox, fd);
		if (len == -EINTR) {
			turn_missed(&fs->turn);
			continue;
		}
		if (len < 0) {
			if (len != -ENODEV)
				log_error("no requests can be received any more: error=%s", errno_name((int)len));
			break;
		}
		struct fuse_buf buf = {.mem = receiver->inbox.bytes, .size = (size_t)len};
		note_taken(fs, &buf);
		process(receiver, &buf);
	}
	turn_end(&fs->turn);
	data_thread_stop(NULL);
	note_end(fs);
	return NULL;
}

/* --- mounting --- */

static int mount_fuse(struct fs *fs, char *error, size_t error_size)
{
	const struct fs_options *options = &fs->options;
	char data[256];
	CLEAN_FD int fd = kept_take_fuse(fs->kept);

	if (kept_inherited(fs->kept))
		return steal_fd(&fd);
	if (fd < 0)
		fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		snprintf(error, error_size, "cannot open /dev/fuse: %s; load the fuse module, or give the container the device",
		         strerror(errno));
		return -errno;
	}
	snprintf(data, sizeof(data), "fd=%d,rootmode=40000,user_id=0,group_id=0,default_permissions%s", fd,
	         options->allow_other ? ",allow_other" : "");
	if (mount(options->fsname, options->mountpoint, "fuse.dmmfs", options->mount_flags, data) < 0) {
		snprintf(error, error_size, "cannot mount on %s: %s", options->mountpoint, strerror(errno));
		return -errno;
	}
	return steal_fd(&fd);
}

/* The kernel reads ahead 128 KiB by default and so asks for small pieces. */
static void raise_readahead(struct fs *fs)
{
	char path[128];
	struct statx st;

	/* Without a request to ourselves: killed while we wait for its answer we could not end, nor could the connection, which
	 * ends when its descriptor is closed. */
	if (statx(AT_FDCWD, fs->options.mountpoint, AT_STATX_DONT_SYNC, 0, &st) < 0)
		return;
	kept_memory(fs->kept)->device_major = st.stx_dev_major;
	kept_memory(fs->kept)->device_minor = st.stx_dev_minor;
	snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u/read_ahead_kb", st.stx_dev_major, st.stx_dev_minor);
	CLEAN_FD int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, READAHEAD_KB, strlen(READAHEAD_KB)) < 0)
		log_debug("the read-ahead of the mount stays as it is: path=%s error=%s", path, errno_name(errno));
}

static void warn_of_timeouts(void)
{
	static const char *const names[] = {"/proc/sys/fs/fuse/default_request_timeout", "/proc/sys/fs/fuse/max_request_timeout"};

	for (size_t i = 0; i < 2; i++) {
		unsigned seconds;
		if (read_number(names[i], &seconds) && seconds)
			log_warning(
				"%s is %u: the kernel ends the whole mount when the source is silent for so long; set it to 0",
				names[i], seconds);
	}
}

static int start_session(struct fs *fs, char *error, size_t error_size)
{
	char name[] = "dmmfs", debug[] = "-d";
	char *argv[] = {name, fs->options.debug ? debug : NULL, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(fs->options.debug ? 2 : 1, argv);
	char path[32];

	fs->session = fuse_session_new(&args, &fs_operations, sizeof(fs_operations), fs);
	fuse_opt_free_args(&args);
	if (!fs->session) {
		snprintf(error, error_size, "libfuse refuses to start a session");
		return -EINVAL;
	}
	int fd = mount_fuse(fs, error, error_size);
	if (fd < 0)
		return fd;
	snprintf(path, sizeof(path), "/dev/fd/%d", fd);
	return fuse_session_mount(fs->session, path) < 0 ? -EIO : 0;
}

static int start_receiver(struct fs *fs)
{
	struct receiver *receiver = &fs->receivers[fs->n_threads];
	unsigned agreed = kept_memory(fs->kept)->max_write; /* of a mount that was taken over */

	receiver->fs = fs;
	int result = inbox_open(&receiver->inbox, MAX_HEADERS + (agreed > MAX_WRITE ? agreed : MAX_WRITE));
	if (result >= 0)
		result = -pthread_create(&receiver->thread, NULL, receive, receiver);
	if (result < 0) {
		inbox_close(&receiver->inbox);
		return result;
	}
	fs->n_threads++;
	return 0;
}

static int start_threads(struct fs *fs)
{
	struct lane_options woken = {
		.name = "woken", .max = WOKEN_THREADS, .thread_start = creds_thread_start, .thread_stop = data_thread_stop};
	struct lane_options notices = {.name = "notices", .max = 1};
	int result = lane_start(&woken, &fs->woken);

	if (result >= 0)
		result = lane_start(&notices, &fs->notices);
	if (result >= 0)
		result = patience_start(&fs->patience);
	if (result >= 0 && kept_inherited(fs->kept))
		result = adopt_rest(fs);
	fs->receivers = calloc(fs->options.threads, sizeof(*fs->receivers));
	if (!fs->receivers)
		return -ENOMEM;
	while (result >= 0 && fs->n_threads < fs->options.threads)
		result = start_receiver(fs);
	return result;
}

static void await_init(struct fs *fs)
{
	LOCKED(&fs->lock);
	while (!atomic_load(&fs->serving) && !atomic_load(&fs->ended))
		pthread_cond_wait(&fs->changed, &fs->lock);
}

int fs_start(const struct fs_options *options, const struct monitor *monitor, const struct target *target, struct fs **started,
             char *error, size_t error_size)
{
	struct fs *fs = calloc(1, sizeof(*fs));

	if (!fs)
		return -ENOMEM;
	fs->options = *options;
	fs->monitor = monitor;
	fs->target = target;
	fs->kept = options->kept;
	fs->nodes = node_table_new(target, fs->kept, descriptors_limit() / 2);
	pthread_mutex_init(&fs->lock, NULL);
	pthread_cond_init(&fs->changed, NULL);
	turn_start(&fs->turn, options->threads, options->awake);
	*started = fs;
	warn_of_timeouts();
	bool inherited = kept_inherited(fs->kept);
	int result = start_session(fs, error, error_size);
	if (result >= 0 && inherited)
		result = adopt_init(fs, error, error_size);
	if (result < 0)
		return result;
	result = start_threads(fs);
	if (result < 0) {
		snprintf(error, error_size, inherited ? "cannot go on with what is open: %s" : "cannot start threads: %s",
		         strerror(-result));
		if (!inherited)
			umount2(options->mountpoint, MNT_DETACH);
		return result;
	}
	await_init(fs);
	prune_start(fs);
	if (!inherited)
		raise_readahead(fs);
	return 0;
}

bool fs_uses_passthrough(const struct fs *fs)
{
	return atomic_load(&fs->passthrough);
}

/* --- the end --- */

int fs_unmount(struct fs *fs, int flags)
{
	return fs->options.unmount(fs->options.mountpoint, flags);
}

void fs_close_gate(struct fs *fs)
{
	atomic_store(&fs->gate_closed, true);
	for (unsigned i = 0; i < fs->n_threads; i++)
		while (atomic_load(&fs->receivers[i].busy))
			usleep(GATE_LOOK_US);
	while (atomic_load(&fs->woken_running))
		usleep(GATE_LOOK_US);
}

void fs_wait(struct fs *fs)
{
	for (unsigned i = 0; i < fs->n_threads; i++) {
		pthread_join(fs->receivers[i].thread, NULL);
		inbox_close(&fs->receivers[i].inbox);
	}
	fs->n_threads = 0;
	if (fs->looking)
		pthread_join(fs->looker, NULL);
	fs->looking = false;
}

void fs_free(struct fs *fs)
{
	fs_wait(fs);
	patience_stop(&fs->patience);
	if (fs->woken)
		lane_stop(fs->woken);
	if (fs->notices)
		lane_stop(fs->notices);
	if (fs->session)
		fuse_session_destroy(fs->session);
	turn_stop(&fs->turn);
	node_table_free(fs->nodes);
	free(fs->receivers);
	free(fs);
}
