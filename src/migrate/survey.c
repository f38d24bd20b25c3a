/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The walk over a source before a migration. See survey.h.
 */
#include "migrate/survey_private.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "migrate/internal.h"
#include "migrate/listing.h"
#include "migrate/names.h"

#include <errno.h>
#include <string.h>

#define PROGRESS_NS (250 * NS_PER_MS)

/* When the time is over, what waits for the source has so long to come back; then it is taken back. */
#define GRACE_NS NS_PER_S

/* --- directories --- */

void survey_add_dir(struct surveying *surveying, struct survey_dir *dir)
{
	dir->next = surveying->dirs;
	surveying->dirs = dir;
	pthread_cond_signal(&surveying->changed);
}

static int take_root(void *context, const struct dmm_entry *entry)
{
	struct survey_dir **root = context;
	if (entry->error)
		return -entry->error;
	struct survey_dir *dir = must_alloc(sizeof(*dir) + entry->handle.len + 1);
	memcpy(dir + 1, entry->handle.data, entry->handle.len);
	dir->handle = (struct dmm_bytes){dir + 1, entry->handle.len};
	dir->path = (char *)(dir + 1) + entry->handle.len; /* empty */
	dir->fsid = entry->attr.fsid;
	*root = dir;
	return 0;
}

static void end_listing(struct listing *listing, int result)
{
	struct surveying *surveying = listing->surveying;
	struct survey *survey = surveying->survey;
	bool stopped = atomic_load(&surveying->stop);

	if (result < 0 && !stopped)
		survey_note(surveying, SURVEY_UNREADABLE, listing->dir->path, "", "%s", strerror(-result));
	if (surveying->options->limits->folds_case)
		survey_compare_names(listing);
	LOCKED(&surveying->lock);
	survey->dirs_unseen += stopped && result < 0;
	if (listing->entries > survey->largest_dir.value || !survey->largest_dir.path) {
		free(survey->largest_dir.path);
		survey->largest_dir = (struct survey_place){strdup(listing->dir->path), listing->entries};
	}
}

/* What was counted is not counted again when the listing begins anew. */
static int take_entry(void *context, const struct dmm_entry *entry)
{
	struct listing *listing = context;

	if (atomic_load(&listing->surveying->stop))
		return -ECANCELED;
	return name_set_add(listing->seen, entry->name) || !listing->anew ? survey_entry(listing, entry) : 0;
}

static void begin_anew(void *context)
{
	((struct listing *)context)->anew = true;
}

static void list(struct surveying *surveying, const struct survey_dir *dir)
{
	struct listing listing = {.surveying = surveying, .dir = dir, .seen = name_set_new()};
	int result = list_whole(&(struct whole_listing){.source = surveying->source,
	                                                .handle = dir->handle,
	                                                .entry = take_entry,
	                                                .anew = begin_anew,
	                                                .context = &listing},
	                        NULL);

	name_set_free(listing.seen);
	end_listing(&listing, result);
}

/* The next directory; NULL: there is none any more, or the time is over. */
static struct survey_dir *next_dir(struct surveying *surveying)
{
	LOCKED(&surveying->lock);
	while (!surveying->dirs && surveying->busy && !atomic_load(&surveying->stop))
		pthread_cond_wait(&surveying->changed, &surveying->lock);
	struct survey_dir *dir = atomic_load(&surveying->stop) ? NULL : surveying->dirs;
	if (!dir) {
		surveying->running--;
		pthread_cond_broadcast(&surveying->changed);
		return NULL;
	}
	surveying->dirs = dir->next;
	surveying->busy++;
	return dir;
}

static void *work(void *context)
{
	struct surveying *surveying = context;
	struct survey_dir *dir;

	while ((dir = next_dir(surveying))) {
		list(surveying, dir);
		free(dir);
		LOCKED(&surveying->lock);
		if (--surveying->busy == 0)
			pthread_cond_broadcast(&surveying->changed);
	}
	return NULL;
}

/* --- the whole --- */

static void tell_progress(struct surveying *surveying)
{
	const struct survey *survey = surveying->survey;
	uint64_t objects = survey->dirs + survey->files + survey->symlinks + survey->fifos + survey->sockets + survey->devices;
	uint64_t bytes = survey->bytes;

	if (!surveying->options->progress)
		return;
	pthread_mutex_unlock(&surveying->lock);
	surveying->options->progress(surveying->options->context, objects, bytes);
	pthread_mutex_lock(&surveying->lock);
}

/* Until the workers have ended; at the end of the time they are told to. */
static void attend(struct surveying *surveying, uint64_t begin_ns)
{
	uint64_t end_ns = surveying->options->walk_ns ? begin_ns + surveying->options->walk_ns : UINT64_MAX;
	bool cancelled = false;
	LOCKED(&surveying->lock);

	while (surveying->running) {
		uint64_t now_ns = clock_monotonic_ns(), until_ns = now_ns + PROGRESS_NS;
		until_ns = until_ns < end_ns || now_ns >= end_ns ? until_ns : end_ns;
		struct timespec until = {(time_t)(until_ns / NS_PER_S), (long)(until_ns % NS_PER_S)};
		pthread_cond_timedwait(&surveying->changed, &surveying->lock, &until);
		now_ns = clock_monotonic_ns();
		if (now_ns >= end_ns && !atomic_exchange(&surveying->stop, true))
			pthread_cond_broadcast(&surveying->changed);
		if (!cancelled && end_ns != UINT64_MAX && now_ns >= end_ns + GRACE_NS) {
			source_cancel_all(surveying->source); /* then nothing can be read any more, either */
			cancelled = true;
		}
		if (now_ns >= until_ns)
			tell_progress(surveying);
	}
}

static void walk(struct surveying *surveying)
{
	unsigned wanted = surveying->options->workers < SURVEY_WORKERS_MAX ? surveying->options->workers : SURVEY_WORKERS_MAX;
	pthread_t threads[SURVEY_WORKERS_MAX];
	uint64_t begin_ns = clock_monotonic_ns();

	surveying->running = wanted;
	unsigned started = 0;
	while (started < wanted && pthread_create(&threads[started], NULL, work, surveying) == 0)
		started++;
	pthread_mutex_lock(&surveying->lock);
	surveying->running -= wanted - started;
	pthread_mutex_unlock(&surveying->lock);
	if (started == 0) {
		surveying->running = 1;
		work(surveying);
	}
	attend(surveying, begin_ns);
	for (unsigned i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	surveying->survey->workers = started ? started : 1;
	surveying->survey->list_ns = clock_monotonic_ns() - begin_ns;
}

static void clean_up(struct surveying *surveying)
{
	for (struct survey_dir *dir = surveying->dirs, *next; dir; dir = next) {
		next = dir->next;
		surveying->survey->dirs_unseen++;
		free(dir);
	}
	surveying->survey->complete = surveying->survey->dirs_unseen == 0 && !atomic_load(&surveying->stop);
	for (size_t i = 0; i < surveying->n_xattrs; i++)
		free(surveying->xattrs[i].name);
	survey_sample_free(surveying);
	free(surveying->links);
	pthread_cond_destroy(&surveying->changed);
	pthread_mutex_destroy(&surveying->lock);
}

int survey_run(struct source *source, const struct survey_options *options, struct survey *survey)
{
	struct surveying *surveying = must_alloc(sizeof(*surveying));
	struct survey_dir *root = NULL;
	pthread_condattr_t monotonic;

	*survey = (struct survey){.dirs = 1};
	surveying->source = source;
	surveying->options = options;
	surveying->survey = survey;
	surveying->has_xattrs = source_capabilities(source) & DMM_CAP_XATTR;
	surveying->seed = clock_monotonic_ns() | 1;
	int result = source_root(source, take_root, &root);
	if (result < 0 || !root) {
		free(surveying);
		return result < 0 ? result : -EBADMSG;
	}
	pthread_mutex_init(&surveying->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&surveying->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	survey->bytes_needed = options->limits->block_bytes;
	survey->deepest.path = strdup("");
	survey_add_dir(surveying, root);
	walk(surveying);
	survey_read(surveying);
	clean_up(surveying);
	free(surveying);
	return 0;
}

void survey_free(struct survey *survey)
{
	struct survey_place *const places[] = {&survey->largest_file, &survey->largest_dir, &survey->deepest,
	                                       &survey->longest_name};
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		free(places[i]->path);
	for (size_t i = 0; i < SURVEY_EXAMPLES; i++)
		free(survey->mount_examples[i].path);
	for (size_t p = 0; p < SURVEY_PROBLEMS; p++)
		for (size_t i = 0; i < SURVEY_EXAMPLES; i++)
			free(survey->examples[p][i].path);
}
