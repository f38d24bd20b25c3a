/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Walking the target, for what the records do not tell: the path of a file, and what lies beside it.
 *
 * A walk reads directories and asks the store for each inode number in them; a directory that is on record is not populated, so
 * there is nothing in it. It opens one name at a time below a descriptor of the target (I8), leaves no access times, and goes no
 * deeper than WALK_DEPTH_MAX.
 *
 * The thread waits for: a walk that is wanted, objects that users touched, fetches to look after. While nothing is wanted it sleeps.
 */
#include "migrate/order_private.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Of one directory that was touched. */
#define RAISE_MAX 4096u
/* A directory that was just looked at has nothing new beside what is touched in it. */
#define RECENT_NS (10 * NS_PER_S)
#define LOOK_AFTER_NS (100 * 1000000ull)

static bool stops(struct order *order)
{
	return atomic_load_explicit(&order->migrate->stopping, memory_order_relaxed);
}

/* --- one object --- */

/* 1: it is on record, and told; 0: it is not. */
static int visit_dir(struct order_walk *walk, uint64_t ino)
{
	struct dir_record *record;
	int result = store_dir_get(walk->order->migrate->store, ino, &record);

	if (result <= 0)
		return result;
	struct found found = {.path = walk->path, .is_dir = true, .ino = ino, .mtime_s = record->mtime.sec};
	dir_record_free(record);
	result = walk->each(walk->context, &found);
	return result < 0 ? result : 1;
}

static int visit_file(struct order_walk *walk, int dirfd, const char *name, uint64_t ino)
{
	struct file_record *record;
	struct stat st = {0};
	int result = store_file_get(walk->order->migrate->store, ino, &record);

	if (result <= 0)
		return result;
	struct found found = {.path = walk->path, .ino = ino, .bytes = record->source_size, .mtime_s = record->mtime.sec};
	file_record_free(record);
	if (walk->with_owner && fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		found.owner = st.st_uid;
	result = walk->each(walk->context, &found);
	return result < 0 ? result : 1;
}

/* --- directories --- */

static int open_dir(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int order_walk_dir(struct order_walk *walk, int fd, size_t len, unsigned depth);

static int visit(struct order_walk *walk, int dirfd, const struct dirent *entry, size_t len, unsigned depth)
{
	unsigned char type = entry->d_type;
	struct stat st;

	if (type == DT_UNKNOWN && fstatat(dirfd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		type = S_ISDIR(st.st_mode) ? DT_DIR : S_ISREG(st.st_mode) ? DT_REG : DT_LNK;
	if (type != DT_DIR && type != DT_REG)
		return 0;
	size_t name_len = strlen(entry->d_name);
	if (len + 1 + name_len >= sizeof(walk->path))
		return 0;
	size_t at = len + (len > 0);
	walk->path[len] = '/';
	memcpy(walk->path + at, entry->d_name, name_len + 1);
	int result = type == DT_DIR ? visit_dir(walk, entry->d_ino) : visit_file(walk, dirfd, entry->d_name, entry->d_ino);
	if (result != 0 || type == DT_REG || depth >= walk->depth_max)
		return result;
	int below = open_dir(dirfd, entry->d_name);
	return below < 0 ? 0 : order_walk_dir(walk, below, at + name_len, depth + 1);
}

static bool is_ours(size_t len, const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || (len == 0 && strcmp(name, TARGET_OURS) == 0);
}

/* Takes the descriptor over. */
static int order_walk_dir(struct order_walk *walk, int fd, size_t len, unsigned depth)
{
	DIR *stream = fdopendir(fd);
	int result = 0;

	if (!stream) {
		close(fd);
		return 0;
	}
	for (struct dirent *entry; result >= 0 && (entry = readdir(stream));) {
		if (!is_ours(len, entry->d_name))
			result = visit(walk, fd, entry, len, depth);
		if (stops(walk->order))
			result = -ECANCELED;
	}
	closedir(stream);
	walk->path[len] = '\0';
	return result < 0 ? result : 0;
}

/* Down to the last name of the path, of which walk->path gets more and more. 1: a directory on the way is on record, and was told. */
static int descend(struct order_walk *walk, const char *path, int *parent, const char **last)
{
	size_t len = 0;

	for (;;) {
		size_t name_len = strcspn(path, "/");
		char name[NAME_MAX + 1];
		struct stat st;
		int result = fstat(*parent, &st) < 0 ? -errno : visit_dir(walk, st.st_ino);
		if (result != 0)
			return result;
		*last = path;
		if (!path[name_len])
			return 0;
		if (name_len > NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(name, path, name_len);
		name[name_len] = '\0';
		int fd = open_dir(*parent, name);
		if (fd < 0)
			return fd == -ENOTDIR || fd == -ELOOP ? -ENOENT : fd;
		close(*parent);
		*parent = fd;
		len += (size_t)snprintf(walk->path + len, sizeof(walk->path) - len, "%s%s", len ? "/" : "", name);
		path += name_len + 1;
	}
}

int order_walk_from(struct order_walk *walk, const char *path)
{
	const char *name = path;
	struct stat st;
	walk->path[0] = '\0';
	CLEAN_FD int parent = open_dir(walk->order->migrate->target->root_fd, ".");

	if (parent < 0)
		return parent;
	int result = descend(walk, path, &parent, &name);
	if (result != 0)
		return result < 0 ? result : 0;
	if (!*name) /* the top */
		return order_walk_dir(walk, steal_fd(&parent), 0, 0);
	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	size_t len = (size_t)snprintf(walk->path, sizeof(walk->path), "%s", path);
	if (!S_ISDIR(st.st_mode))
		return S_ISREG(st.st_mode) && (result = visit_file(walk, parent, name, st.st_ino)) < 0 ? result : 0;
	result = visit_dir(walk, st.st_ino);
	int fd = result == 0 ? open_dir(parent, name) : -1;
	return fd < 0 ? (result < 0 ? result : 0) : order_walk_dir(walk, fd, len, 0);
}

/* --- all, after a start and a change of the rules --- */

static int offer_found(void *context, const struct found *found)
{
	struct order *order = context;
	struct verdict verdict;

	order_judge(order->migrate,
	            &(struct rule_object){.path = found->path,
	                                  .is_dir = found->is_dir,
	                                  .size = found->bytes,
	                                  .mtime_s = found->mtime_s,
	                                  .owner = found->owner},
	            &verdict);
	LOCKED(&order->lock);
	order_put(order, found->is_dir, &(struct queue_entry){.ino = found->ino, .key = verdict.key, .bring = verdict.bring});
	return order->walk_wanted ? -EAGAIN : 0; /* the rules have changed again */
}

static void order_walk_all(struct order *order)
{
	struct order_walk walk = {.order = order, .each = offer_found, .context = order, .depth_max = WALK_DEPTH_MAX};
	uint64_t began_ns = clock_monotonic_ns();

	store_flush(order->migrate->store); /* what has lost its place in the queues is on record now */
	pthread_rwlock_rdlock(&order->rules_lock);
	walk.with_owner = order->rules && rules_ask_owner(order->rules);
	pthread_rwlock_unlock(&order->rules_lock);
	int result = order_walk_from(&walk, "");
	if (result == -EAGAIN)
		return;
	if (result < 0 && result != -ECANCELED)
		log_warning("what is pending could not be put in order entirely: error=%s", errno_name(result));
	log_debug("what is pending is in order: ms=%llu", (unsigned long long)((clock_monotonic_ns() - began_ns) / 1000000));
	pthread_mutex_lock(&order->lock);
	if (!order->walk_wanted)
		atomic_store(&order->walking, false);
	pthread_mutex_unlock(&order->lock);
	crawl_poke(order->migrate);
}

/* --- learning --- */

void order_touch(struct migrate *migrate, const struct object *object)
{
	struct order *order = migrate->order;

	if (!atomic_load(&migrate->tuned.background) || !atomic_load_explicit(&order->learn, memory_order_relaxed))
		return;
	LOCKED(&order->lock);
	if (order->stop || order->n_touched == TOUCHED_MAX ||
	    (order->n_touched && order->touched[order->n_touched - 1].ino == object->ino))
		return;
	order->touched[order->n_touched++] = (struct touched){object->ino, object->handle, object->is_dir};
	pthread_cond_signal(&order->changed);
}

/* Name by name, never through a link. */
static int open_below(int root_fd, char *path)
{
	CLEAN_FD int fd = open_dir(root_fd, ".");

	for (char *name = path, *next; fd >= 0 && name; name = next) {
		next = strchr(name, '/');
		if (next)
			*next++ = '\0';
		int below = open_dir(fd, name);
		close(fd);
		fd = below;
	}
	return fd < 0 ? fd : steal_fd(&fd);
}

/* The directory of a file: what the kernel says, if it is so. A descriptor. */
static int open_parent(struct order *order, int fd, uint64_t ino)
{
	const struct target *target = order->migrate->target;
	char path[PATH_MAX];
	struct stat st;
	int result = target_path(target, fd, path, sizeof(path));

	if (result < 0)
		return result;
	char *slash = strrchr(path, '/');
	if (slash)
		*slash = '\0';
	CLEAN_FD int dir = slash ? open_below(target->root_fd, path) : open_dir(target->root_fd, ".");
	if (dir < 0)
		return dir;
	if (fstatat(dir, slash ? slash + 1 : path, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_ino != ino)
		return -ESTALE;
	return steal_fd(&dir);
}

static int open_touched(struct order *order, const struct touched *touched)
{
	if (touched->is_dir)
		return target_open_handle(order->migrate->target, &touched->handle, O_RDONLY | O_DIRECTORY | O_NOATIME);
	CLEAN_FD int fd = target_open_handle(order->migrate->target, &touched->handle, O_PATH);
	return fd < 0 ? fd : open_parent(order, fd, touched->ino);
}

/* Under lock. True: it was looked at just now. */
static bool is_recent(struct order *order, uint64_t ino)
{
	uint64_t now = clock_monotonic_ns();

	for (unsigned i = 0; i < RECENT_MAX; i++)
		if (order->recent[i].ino == ino && order->recent[i].until_ns > now)
			return true;
	order->recent[order->next_recent].ino = ino;
	order->recent[order->next_recent].until_ns = now + RECENT_NS;
	order->next_recent = (order->next_recent + 1) % RECENT_MAX;
	return false;
}

struct raising {
	struct order *order;
	uint64_t touch;
	unsigned count;
};

static int raise_found(void *context, const struct found *found)
{
	struct raising *raising = context;
	struct order *order = raising->order;
	/* What was touched last comes first. */
	struct queue_entry entry = {.ino = found->ino, .key = {CLASS_RAISED, 0, UINT64_MAX - raising->touch}};
	LOCKED(&order->lock);
	struct queue *queue = found->is_dir ? &order->dirs : &order->files;
	const struct queue_entry *known = queue_find(queue, found->ino);

	if (known && known->key.class <= CLASS_RAISED)
		return 0;
	order_put(order, found->is_dir, &entry);
	atomic_fetch_add_explicit(&order->raised, 1, memory_order_relaxed);
	return ++raising->count < RAISE_MAX ? 0 : -ECANCELED;
}

static void raise_beside(struct order *order, const struct touched *touched)
{
	struct raising raising = {.order = order};
	struct order_walk walk = {.order = order, .each = raise_found, .context = &raising};
	struct stat st;
	CLEAN_FD int fd = open_touched(order, touched);

	if (fd < 0 || fstat(fd, &st) < 0)
		return; /* it is gone, or its place can not be told: nothing is raised */
	pthread_mutex_lock(&order->lock);
	bool recent = is_recent(order, st.st_ino);
	raising.touch = order->touches += !recent;
	pthread_mutex_unlock(&order->lock);
	if (recent)
		return;
	/* Names of the top are told from its own by their depth; paths do not matter here. */
	strcpy(walk.path, st.st_ino == order->migrate->target->root_ino ? "" : ".");
	order_walk_dir(&walk, steal_fd(&fd), strlen(walk.path), 0);
	if (raising.count)
		crawl_poke(order->migrate);
}

/* --- the thread --- */

static bool raise_one(struct order *order)
{
	pthread_mutex_lock(&order->lock);
	bool any = order->n_touched > 0;
	struct touched touched = order->touched[any ? --order->n_touched : 0]; /* the latest first */
	pthread_mutex_unlock(&order->lock);
	if (any)
		raise_beside(order, &touched);
	return any;
}

static bool take_wanted(struct order *order)
{
	LOCKED(&order->lock);
	bool wanted = order->walk_wanted;

	order->walk_wanted = false;
	return wanted;
}

static bool fetches(const struct order *order)
{
	for (unsigned i = 0; i < BRINGS_MAX; i++)
		if (order->brings[i].number && order->brings[i].state == FETCH_RUNNING)
			return true;
	return false;
}

/* False: the end. Fetches are looked after a few times a second. */
static bool wait_for_news(struct order *order)
{
	struct timespec until;
	LOCKED(&order->lock);

	while (!order->stop && !order->walk_wanted && order->n_touched == 0) {
		if (!fetches(order)) {
			pthread_cond_wait(&order->changed, &order->lock);
			continue;
		}
		until = clock_after_ns(LOOK_AFTER_NS);
		pthread_cond_clockwait(&order->changed, &order->lock, CLOCK_MONOTONIC, &until);
		break;
	}
	return !order->stop;
}

void *order_walk_thread(void *context)
{
	struct order *order = context;

	pthread_setname_np(pthread_self(), "order");
	while (wait_for_news(order)) {
		bring_look(order);
		if (take_wanted(order))
			order_walk_all(order);
		for (unsigned i = 0; i < TOUCHED_MAX && raise_one(order); i++)
			;
	}
	return NULL;
}
