/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What somebody does to the target past us, while no daemon runs, must not be made worse.
 *
 * What we do ourselves has a change time before the last daemon left or after this one started; so what has one between was changed by
 * others. When it left is the time of the witness, which is touched at the end, and before while a directory is populated that takes
 * long: of its entries no commit tells until all are made. Of a file that has not come over this tells in doubt only: a set time, another name. It counts as written when its modification
 * time is not the one that we left it with either. Where its data has not come over nobody can tell its bytes from holes then: nothing
 * is fetched over it until the administrator has looked. That it is so is kept in the error ledger, by an errno that nothing else has.
 */
#include "migrate/internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "target/witness.h"

/* Far below what daemon/witness.c allows for after the last note of a daemon that was killed. */
#define TOUCH_NS (10 * NS_PER_S)

void beside_at_work(struct migrate *migrate)
{
	uint64_t now = clock_monotonic_ns();
	unsigned long long last = atomic_load_explicit(&migrate->touched_ns, memory_order_relaxed);

	if (now - last < TOUCH_NS || !atomic_compare_exchange_strong(&migrate->touched_ns, &last, now))
		return;
	int result = target_witness_touch(migrate->target);
	if (result < 0 && result != -ENOENT) /* where there is none nobody asks it */
		log_warning("the witness cannot be touched: error=%s", errno_name(result));
}

bool beside_changed(const struct migrate *migrate, const struct stat *st)
{
	const struct migrate_options *options = &migrate->options;

	if (!options->left_ns || st->st_ctim.tv_sec < 0)
		return false;
	uint64_t changed_ns = (uint64_t)st->st_ctim.tv_sec * NS_PER_S + (uint64_t)st->st_ctim.tv_nsec;
	for (unsigned i = 0; i < options->n_gaps; i++)
		if (changed_ns > options->gaps[i].left_ns && changed_ns < options->gaps[i].back_ns)
			return true;
	return changed_ns > options->left_ns && changed_ns < migrate->started_ns;
}

static bool time_moved(const struct object *object, const struct stat *st)
{
	return object->file.mtime_valid &&
	       (object->file.mtime.sec != st->st_mtim.tv_sec || object->file.mtime.nsec != (uint32_t)st->st_mtim.tv_nsec);
}

bool beside_written(struct object *object, const struct stat *st)
{
	struct migrate *migrate = object->migrate;
	char detail[16];

	if (time_moved(object, st) && beside_changed(migrate, st)) {
		log_warning("a file that has not come over was written into past the mount: ino=%llu",
		            (unsigned long long)object->ino);
		return true;
	}
	return ledger_count(&migrate->ledger) &&
	       ledger_find(&migrate->ledger, object->ino, detail, sizeof(detail)) == BESIDE_ERROR;
}
