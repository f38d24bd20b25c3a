/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * One object: from what the source says of it to an object on the target with everything but the data.
 */
#include "migrate/make.h"
#include "migrate/coming.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/utf8.h"
#include "migrate/descriptor.h"
#include "migrate/names.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct loss_context {
	struct making *making;
	const struct dmm_entry *entry;
};

void making_equip(struct making *making)
{
	making->batch = batch_new();
	making->births = births_new(making->migrate);
	making->buffer = buffer_alloc(MAKE_BUFFER_SIZE);
	making->stream = digest_stream_new();
	if (!making->stream)
		abort(); /* as must_alloc() does */
}

void making_strip(struct making *making)
{
	free(making->children);
	free(making->verdicts);
	free(making->offers);
	free(making->buffer);
	digest_stream_free(making->stream);
	xattr_set_free(&making->xattrs);
	births_free(making->births);
}

void making_keep_child(struct making *making, struct object *child)
{
	if (making->n_children == making->children_cap) {
		making->children_cap = making->children_cap ? making->children_cap * 2 : 64;
		making->children = realloc(making->children, making->children_cap * sizeof(struct object *));
		if (!making->children)
			abort();
		if (making->judging)
			making->verdicts = realloc(making->verdicts, making->children_cap * sizeof(struct verdict));
		if (making->judging && !making->verdicts)
			abort();
	}
	if (making->judging)
		making->verdicts[making->n_children] = making->verdict;
	making->children[making->n_children++] = child;
}

void making_join(struct making *making, struct making *other)
{
	making->redo = making->redo || other->redo;
	making->fetched_bytes += other->fetched_bytes;
	for (unsigned class = 0; class < ORDER_CLASSES; class ++)
		making->filled_files[class] += other->filled_files[class];
	totals_add(&making->delta, &other->delta);
	batch_join(making->batch, other->batch);
	births_take_over(making->births, other->births);
	for (size_t i = 0; i < other->n_children; i++) {
		if (making->judging)
			making->verdict = other->verdicts[i];
		making_keep_child(making, other->children[i]);
	}
	for (size_t i = 0; i < other->n_offers; i++) {
		making->verdict = other->offers[i].verdict;
		make_offer(making, other->offers[i].ino, other->offers[i].bytes);
	}
	making_strip(other);
}

void making_lost_so(struct making *making, const char *name, const char *what, const char *detail, int error, bool blocks)
{
	ledger_loss(&making->migrate->ledger,
	            &(struct failure){.ino = making->dir->ino,
	                              .handle = &making->dir->handle,
	                              .is_dir = true,
	                              .name = making->single && name ? making->single : name,
	                              .what = what,
	                              .detail = detail,
	                              .error = error,
	                              .blocks = blocks,
	                              .source = {making->dir->source_len, making->dir->source_bytes},
	                              .lineage = making->dir->dir.lineage},
	            making->batch);
}

/* A name of the source, as far as there is room, readable. */
static void show_name(struct dmm_bytes name, char shown[128])
{
	char text[100];
	size_t len = name.len < sizeof(text) ? name.len : sizeof(text) - 1, used = 0;
	const char *at = text;

	memcpy(text, name.data, len);
	text[len] = '\0';
	shown[0] = '\0';
	while (*at && used + UTF8_SHOWN_BYTES <= 128)
		used += utf8_show(&at, shown + used);
}

const char *make_loss_detail(const struct dmm_attr *attr, const char *what, int error, char detail[LOSS_DETAIL_SIZE])
{
	bool owner = strcmp(what, "owner") == 0, group = strcmp(what, "group") == 0;
	struct dmm_bytes name = owner ? attr->owner_name : group ? attr->group_name : (struct dmm_bytes){0};
	const char *line = owner ? "user" : "group";
	char shown[128];

	if (error == -EKEYREJECTED)
		return "setid=drop: a file does not keep the rights of its owner or group for whoever runs it";
	if (error == -ENOTRECOVERABLE)
		return "the file system of the target has no NFSv4 ACLs: the mode alone is enforced; the ACL is kept as it came "
		       "in the "
		       "attribute " TARGET_NFS4_ACL;
	if (error != -ENODATA || name.len == 0)
		return NULL;
	show_name(name, shown);
	snprintf(detail, LOSS_DETAIL_SIZE,
	         "\"%s\" has no id here, and what it owned is root's; give it one with a line \"%s %s ID\" in the "
	         "file of idmap=",
	         shown, line, shown);
	return detail;
}

void making_lost(struct making *making, const char *name, const char *what, int error, bool blocks)
{
	const char *detail = error == -EREMOTE
	                             ? "it is on the SMB side alone, so it has no owner and no mode: let the source show it too "
	                               "and retry, or waive it"
	                             : NULL;

	making_lost_so(making, name, what, detail, error, blocks);
}

static void lose(void *context, const char *what, int error)
{
	const struct loss_context *loss = context;
	char detail[LOSS_DETAIL_SIZE];

	making_lost_so(loss->making, loss->entry->name, what, make_loss_detail(&loss->entry->attr, what, error, detail), error,
	               false);
}

int make_keep_xattr(struct xattr_set *xattrs, const char *name, const void *value, size_t len)
{
	if (strcmp(name, TARGET_MARK) == 0)
		return 0; /* the source was a target once and was not finished; its mark is not ours */
	return xattr_set_add(xattrs, name, value, len);
}

static int keep_xattr(void *context, const char *name, const void *value, size_t len)
{
	const struct loss_context *collecting = context;

	return make_keep_xattr(&collecting->making->xattrs, name, value, len);
}

/* The source has it, and its plugin cannot bring it. */
static int keep_loss(void *context, const char *kind, const char *detail)
{
	const struct loss_context *collecting = context;

	making_lost_so(collecting->making, collecting->entry->name, kind, detail, -EOPNOTSUPP, false);
	return 0;
}

static void tell_descriptor(void *context, const char *kind, const char *detail)
{
	keep_loss(context, kind, detail);
}

/* Of a source that is two. Told where the object is made, which is once, whatever its names are. */
static void tell_disagreement(struct making *making, const struct dmm_entry *entry)
{
	char sentence[1024];
	int error = source_disagreement(making->migrate->source, entry, sentence, sizeof(sentence));

	if (error)
		making_lost_so(making, entry->name, "disagreement", sentence, -error, false);
}

int make_collect(struct making *making, const struct dmm_entry *entry, struct source_file *file, char *link_text)
{
	struct source *source = making->migrate->source;
	struct coming *coming = making->coming;
	int result = 0;

	xattr_set_clear(&making->xattrs);
	making->attr = entry->attr;
	if (S_ISLNK(entry->attr.mode)) {
		if (coming && coming->found.link_known)
			result = coming_link(coming, link_text);
		else
			result = source_readlink(source, entry->handle, link_text, PATH_MAX);
	}
	if (result < 0)
		return result;
	tell_disagreement(making, entry);
	if (!(source_capabilities(source) & DMM_CAP_XATTR) || source_has_no_attributes(source, entry))
		return 0;
	struct loss_context collecting = {making, entry};
	if (coming && coming->found.xattrs_known)
		result = coming_attributes(coming, &making->xattrs, keep_loss, &collecting);
	else
		result = source_attributes(source, entry->handle, file, keep_xattr, keep_loss, &collecting);
	if (result > 0)
		making_lost_so(making, entry->name, "disagreement", "the SMB side does not give all its attributes", -result,
		               false);
	return result < 0 ? result
	                  : descriptor_apply(source_sids(source), &making->xattrs, &making->attr, tell_descriptor, &collecting);
}

/* Our attempt may have come as far as the inode flags: immutable, append-only. */
static bool unlock(int dirfd, const char *name, const struct stat *st)
{
	if (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode))
		return false;
	CLEAN_FD int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	return fd >= 0 && target_unlock_flags(fd) >= 0;
}

int make_aside(int dirfd, const char *name)
{
	char beside[NAME_MAX + 32];

	for (unsigned n = 1; n < 10000; n++) {
		snprintf(beside, sizeof(beside), "%.*s.collision-%u", (int)(NAME_MAX - 16), name, n);
		if (renameat2(dirfd, name, dirfd, beside, RENAME_NOREPLACE) == 0) {
			log_info("a name collision: \"%s\" of the target is now \"%s\"", name, beside);
			return 0;
		}
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

bool make_reserved(const struct object *dir, const char *name)
{
	return dir->ino == dir->migrate->target->root_ino && strcmp(name, TARGET_OURS) == 0;
}

bool make_taken(const struct making *making, int dirfd, const char *name)
{
	return making->present && dirfd == making->dirfd &&
	       (!name_set_has(making->present, name) || name_set_has(making->aside, name)) &&
	       strcmp(name, "lost+found") != 0; /* present in every new file system, and in no list of ours */
}

/* What has the name already is ours, from an attempt that a crash cut off (no application has seen this directory), or with
 * collision=overwrite the administrator's wish; what somebody made past us while no daemon ran moves aside. A directory stays and gets
 * its entries when its own turn comes; when it is a file's name and not empty it moves aside, since nobody wished for the end of all that
 * is in it. */
static int make_way(struct making *making, int dirfd, const char *name, const struct dmm_entry *entry)
{
	struct stat st;

	if (make_taken(making, dirfd, name))
		return -EEXIST;
	making->redo = true;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode) && S_ISDIR(entry->attr.mode)) {
		int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		return fd < 0 ? -errno : fd;
	}
	int flags = S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0;
	bool others = making->migrate->options.collision != COLLISION_OVERWRITE && beside_changed(making->migrate, &st);
	if (!others && (unlinkat(dirfd, name, flags) == 0 ||
	                (errno == EPERM && unlock(dirfd, name, &st) && unlinkat(dirfd, name, flags) == 0)))
		return -EAGAIN;
	if (!others && errno != ENOTEMPTY)
		return -errno;
	int result = make_aside(dirfd, name);
	return result < 0 ? result : -EAGAIN;
}

int make_object(struct making *making, int dirfd, const char *name, const struct dmm_entry *entry, const char *link_text)
{
	int fd = target_make(dirfd, name, &entry->attr, link_text);

	if (fd == -EEXIST)
		fd = make_way(making, dirfd, name, entry);
	/* What has the name after it was free is another entry of this directory, which another thread made meanwhile: for the target the
	 * two names are one. */
	return fd == -EAGAIN ? target_make(dirfd, name, &entry->attr, link_text) : fd;
}

int make_apply(struct making *making, int fd, const struct dmm_entry *entry, bool inherited_acl)
{
	struct loss_context loss = {making, entry};
	struct apply apply = {
		.attr = &making->attr,
		.xattrs = &making->xattrs,
		.inherited_acl = inherited_acl || making->redo,
		.drop_set_id = making->migrate->options.drop_set_id,
		.loss = lose,
		.context = &loss,
	};
	return target_apply(fd, &apply);
}

int make_record_digest(struct making *making, int fd)
{
	struct stat st;
	struct digest_record record = {.segsize = making->segsize};
	int result = target_handle(fd, "", &record.handle);

	if (result < 0)
		return result;
	if (fstat(fd, &st) < 0)
		return -errno;
	record.ino = st.st_ino;
	record.size = (uint64_t)st.st_size;
	record.mtime = (struct moment){st.st_mtim.tv_sec, (uint32_t)st.st_mtim.tv_nsec};
	record.ctime = (struct moment){st.st_ctim.tv_sec, (uint32_t)st.st_ctim.tv_nsec};
	digest_stream_end(making->stream, &record.digest);
	batch_digest_put(making->batch, &record);
	return 0;
}

static struct moment moment_of(struct dmm_time time)
{
	return (struct moment){time.sec, time.nsec};
}

int make_record_file(struct making *making, struct batch *batch, int fd, const struct dmm_entry *entry)
{
	const struct dmm_attr *attr = &entry->attr;
	struct stat st;
	struct file_record record = {
		.source = {(uint16_t)entry->handle.len, entry->handle.data},
		.limit = attr->size,
		.segsize = making->segsize,
		.source_used = attr->valid & DMM_ATTR_USED ? attr->used : attr->size,
		.inode_flags = attr->valid & DMM_ATTR_FLAGS ? attr->flags : 0,
		.mtime_valid = true,
		.mtime = moment_of(attr->mtime),
		.source_size = attr->size,
		.source_change = attr->valid & DMM_ATTR_CHANGE ? attr->change : 0,
		.source_mtime = moment_of(attr->mtime),
		.source_ctime = attr->valid & DMM_ATTR_CTIME ? moment_of(attr->ctime) : (struct moment){0},
	};
	int result = target_handle(fd, "", &record.handle);
	if (result < 0)
		return result;
	if (fstat(fd, &st) < 0)
		return -errno;
	record.ino = st.st_ino;
	object_bury(making->migrate, record.ino, &record.handle, false);
	record.shown_ctime = (struct moment){st.st_ctim.tv_sec, (uint32_t)st.st_ctim.tv_nsec};
	batch_file_put(batch, &record);
	if (making->judging)
		make_offer(making, record.ino, attr->size);
	return 0;
}
