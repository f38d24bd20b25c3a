/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Comparing the state with the witness on the target before anything of it is believed.
 *
 * The witness is made before the state says that it has one, and that before the root's record is planted: a state with a planted root
 * and no witness is not what a crash leaves.
 */
#include "daemon/witness.h"

#include "base/clock.h"
#include "base/log.h"
#include "target/witness.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAY_OUT \
	"'dmmfs-admin db rebuild' makes a new state from what source and target hold, and asks where they differ " \
	"('WHEN A STATE CAN NOT BE BELIEVED' in dmmfs-admin(8))"

static int compare(struct daemon *daemon, const char *stored, const char *name, const struct witness_numbers *seen, char *error,
                   size_t error_size)
{
	const char *target = daemon->options->target;
	uint64_t commit = store_commit_number(daemon->store), known = store_noted(daemon->store);

	if (strcmp(stored, name) != 0)
		snprintf(error, error_size,
		         "the state in %s describes another file system than that of the target %s: its objects are not found on "
		         "a "
		         "copy, nor in a backup that was restored file by file. Mount the original, or a copy of all its blocks; "
		         "without one " WAY_OUT,
		         daemon->statedir, target);
	else if (seen->committed > commit)
		snprintf(error, error_size,
		         "the state in %s is older than the target %s: it ends with commit %" PRIu64
		         ", the target has seen %" PRIu64
		         ". To believe it would bring bytes of the source over what applications wrote since. If it comes from a "
		         "backup, put back the one that it replaced; if that is lost, " WAY_OUT,
		         daemon->statedir, target, commit, seen->committed);
	else if (seen->begun < known)
		snprintf(error, error_size,
		         "the target %s is older than the state in %s: it has seen commit %" PRIu64
		         ", the state knows that it had "
		         "seen %" PRIu64
		         ". What the state calls here may be missing there. Put back the state that was saved together "
		         "with the target; if there is none, " WAY_OUT,
		         target, daemon->statedir, seen->begun, known);
	else
		return 0;
	return -ESTALE;
}

static int refuse_unreadable(struct daemon *daemon, int result, char *error, size_t error_size)
{
	const char *target = daemon->options->target;

	if (result == -EBUSY)
		snprintf(error, error_size,
		         "another daemon serves the target %s, with another directory for its state; only one may: end that one "
		         "first",
		         target);
	else if (result == -ENOENT || result == -EBADMSG)
		snprintf(error, error_size,
		         "%s/" TARGET_OURS "/" TARGET_WITNESS
		         " %s: nobody can tell whether the state in %s is as new as the target. Is the file system of the target "
		         "mounted? If it was restored from a backup, restore that file, too, and the state that was saved with "
		         "it; "
		         "otherwise " WAY_OUT,
		         target, result == -ENOENT ? "is missing" : "is damaged", daemon->statedir);
	else
		snprintf(error, error_size, "cannot read %s/" TARGET_OURS "/" TARGET_WITNESS ": %s", target, strerror(-result));
	return result == -ENOENT || result == -EBADMSG ? -ESTALE : result;
}

/* 1: the state names a witness; 0: it is new; or negative errno. */
static int stored_name(struct daemon *daemon, char name[WITNESS_NAME_SIZE], char *error, size_t error_size)
{
	char planted[8];
	int result = store_meta_get(daemon->store, IDENTITY_WITNESS, name, WITNESS_NAME_SIZE);

	if (result == -ENOENT)
		result = !daemon->marked && store_meta_get(daemon->store, "planted", planted, sizeof(planted)) == -ENOENT
		                 ? 0
		                 : -ENOENT;
	else if (result >= 0)
		result = 1;
	if (result < 0)
		snprintf(error, error_size, "the state in %s does not say to which target it belongs: %s; " WAY_OUT,
		         daemon->statedir, result == -ENOENT ? "the entry is missing" : strerror(-result));
	return result == -ENOENT ? -ESTALE : result;
}

static int make(struct daemon *daemon, char *error, size_t error_size)
{
	char name[WITNESS_NAME_SIZE];
	int result = target_witness_make(&daemon->target);

	if (result >= 0)
		result = target_witness_name(&daemon->target, name);
	if (result >= 0)
		result = store_meta_put(daemon->store, IDENTITY_WITNESS, name);
	return result < 0 ? refuse_unreadable(daemon, result, error, error_size) : 0;
}

int daemon_witness_note(void *context, enum store_note what, uint64_t commit)
{
	const struct target *target = context;

	if (what == NOTE_SETTLE)
		return target_witness_sync(target);
	return what == NOTE_BEGUN ? target_witness_begun(target, commit) : target_witness_committed(target, commit);
}

/* The witness was written last of all; by a daemon that was killed perhaps not any more, for as long as a slow disk takes. */
#define AFTER_NOTE_NS (60 * NS_PER_S)

/* The times between daemons, in the identity of the state: "LEFT-BACK " each, in nanoseconds since the epoch. A file that was written into
 * then is found out when it is looked at, and a daemon that leaves soon may not have come to it. */
#define IDENTITY_GAPS "gaps"
#define GAP_TEXT 42
/* The clock of the file system goes in steps: what this daemon does first must not be in it. */
#define BACK_SLACK_NS (20 * NS_PER_MS)

static void read_gaps(struct daemon *daemon, struct migrate_options *options)
{
	char text[BESIDE_GAPS * GAP_TEXT + 1] = "", *end = text;

	options->n_gaps = 0;
	if (store_meta_get(daemon->store, IDENTITY_GAPS, text, sizeof(text)) < 0)
		return;
	while (*end && options->n_gaps < BESIDE_GAPS) {
		struct beside_gap *gap = &options->gaps[options->n_gaps++];
		gap->left_ns = strtoull(end, &end, 10);
		end += *end == '-';
		gap->back_ns = strtoull(end, &end, 10);
		if (*end != ' ')
			return;
		end++;
	}
}

static void write_gaps(struct daemon *daemon, const struct migrate_options *options)
{
	char text[BESIDE_GAPS * GAP_TEXT + 1];
	size_t at = 0;

	for (unsigned i = 0; i < options->n_gaps; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%" PRIu64 "-%" PRIu64 " ", options->gaps[i].left_ns,
		                       options->gaps[i].back_ns);
	int result = store_meta_put(daemon->store, IDENTITY_GAPS, text);
	if (result < 0)
		log_warning("when no daemon ran cannot be kept: error=%s", errno_name(result));
}

static uint64_t length_of(const struct beside_gap *gap)
{
	return gap->back_ns - gap->left_ns;
}

/* Where there is no room the shortest one goes. */
static void add_gap(struct migrate_options *options, const struct beside_gap *gap)
{
	unsigned shortest = 0;

	if (options->n_gaps < BESIDE_GAPS) {
		options->gaps[options->n_gaps++] = *gap;
		return;
	}
	for (unsigned i = 1; i < BESIDE_GAPS; i++)
		if (length_of(&options->gaps[i]) < length_of(&options->gaps[shortest]))
			shortest = i;
	if (length_of(gap) > length_of(&options->gaps[shortest]))
		options->gaps[shortest] = *gap;
}

/* With a clock that is behind the last daemon's, or was ahead then, anything can have been changed by others. In doubt it was: what
 * they made is never taken for our leftovers, though a leftover of ours may then be taken for theirs, and stay. */
static void learn_left(struct daemon *daemon)
{
	struct migrate_options *options = &daemon->options->migrate;
	struct stat st;

	if (fstat(daemon->target.witness_fd, &st) < 0 || st.st_mtim.tv_sec < 0)
		return;
	uint64_t noted_ns = (uint64_t)st.st_mtim.tv_sec * NS_PER_S + (uint64_t)st.st_mtim.tv_nsec, now_ns = clock_wall_ns();
	options->left_ns = noted_ns + (daemon->halted ? 0 : AFTER_NOTE_NS);
	read_gaps(daemon, options);
	/* There was no time between daemons: the mount was there, and what has changed has changed through it. */
	if (daemon_takes_over(daemon)) {
		options->left_ns = kept_memory(daemon->kept)->beside_left_ns;
		return;
	}
	struct beside_gap gap = {options->left_ns, now_ns - BACK_SLACK_NS};
	if (now_ns < noted_ns) {
		gap.left_ns = 1;
		log_event(LOG_LEVEL_WARNING, "clock", "set_back_s=%llu what=%s",
		          (unsigned long long)((noted_ns - now_ns) / NS_PER_S),
		          "change times do not tell what others did to the target while no daemon ran: in doubt it is theirs");
	}
	if (gap.back_ns <= gap.left_ns)
		return;
	add_gap(options, &gap);
	write_gaps(daemon, options);
}

int daemon_witness(struct daemon *daemon, char *error, size_t error_size)
{
	char stored[WITNESS_NAME_SIZE], name[WITNESS_NAME_SIZE];
	struct witness_numbers seen;
	int result = stored_name(daemon, stored, error, error_size);

	if (result < 0)
		return result;
	if (result == 0)
		return make(daemon, error, error_size);
	result = target_witness_take(&daemon->target);
	if (result == -ENOENT)
		target_withdraw(&daemon->target); /* perhaps it is the wrong place: then our directory was made just now */
	if (result >= 0)
		result = target_witness_name(&daemon->target, name);
	if (result >= 0)
		result = target_witness_read(&daemon->target, &seen);
	if (result >= 0)
		result = compare(daemon, stored, name, &seen, error, error_size);
	else
		result = refuse_unreadable(daemon, result, error, error_size);
	if (result >= 0)
		learn_left(daemon);
	else /* what the store still has to write is not to be noted */
		target_witness_close(&daemon->target);
	return result;
}

int daemon_witness_look(struct daemon *daemon, char *error, size_t error_size)
{
	char stored[WITNESS_NAME_SIZE], name[WITNESS_NAME_SIZE];
	struct witness_numbers seen;
	int result = stored_name(daemon, stored, error, error_size);

	if (result <= 0)
		return result;
	result = target_witness_look(&daemon->target, name, &seen);
	return result < 0 ? refuse_unreadable(daemon, result, error, error_size)
	                  : compare(daemon, stored, name, &seen, error, error_size);
}
