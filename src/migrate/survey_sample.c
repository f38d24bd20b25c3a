/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How fast a source can be read: a sample of its files, each as likely as any other, read for a few seconds by all workers.
 */
#include "migrate/survey_private.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "migrate/internal.h"

#include <errno.h>
#include <string.h>

#define READ_BYTES ((size_t)1 << 20)
#define READ_FILE_MAX ((uint64_t)16 << 20) /* of one file; the rest goes on as its beginning did */

static uint64_t random_next(struct surveying *surveying)
{
	surveying->seed ^= surveying->seed << 13;
	surveying->seed ^= surveying->seed >> 7;
	surveying->seed ^= surveying->seed << 17;
	return surveying->seed;
}

static void forget(struct sample_file *file)
{
	free(file->handle);
	free(file->path);
}

void survey_offer(struct surveying *surveying, const struct dmm_entry *entry, const char *dir)
{
	if (entry->attr.size == 0)
		return;
	uint64_t at = surveying->n_candidates++ < SAMPLE_FILES ? surveying->n_sample++
	                                                       : random_next(surveying) % surveying->n_candidates;
	if (at >= SAMPLE_FILES)
		return;
	struct sample_file *file = &surveying->sample[at];
	forget(file);
	file->handle = buffer_alloc(entry->handle.len + 1);
	memcpy(file->handle, entry->handle.data, entry->handle.len);
	file->handle_len = entry->handle.len;
	file->path = survey_path(dir, entry->name);
	file->size = entry->attr.size;
}

static void read_one(struct surveying *surveying, const struct sample_file *sample, void *buffer, uint64_t end_ns)
{
	struct source_file *file;
	uint64_t begin_ns = clock_monotonic_ns(), bytes = 0, opened_ns;
	int64_t got = source_file_open(surveying->source, (struct dmm_bytes){sample->handle, sample->handle_len}, &file);

	if (got >= 0) {
		opened_ns = clock_monotonic_ns();
		do {
			got = source_read(file, buffer, bytes, READ_BYTES);
			bytes += got > 0 ? (uint64_t)got : 0;
		} while (got == (int64_t)READ_BYTES && bytes < READ_FILE_MAX && clock_monotonic_ns() < end_ns);
		uint64_t read_ns = clock_monotonic_ns() - opened_ns;
		source_file_close(file);
		LOCKED(&surveying->lock);
		surveying->survey->sample_files++;
		surveying->survey->sample_bytes += bytes;
		surveying->survey->sample_open_ns += opened_ns - begin_ns;
		surveying->survey->sample_read_ns += read_ns;
	}
	if (got < 0 && got != -ECANCELED)
		survey_note(surveying, SURVEY_NOT_READ, sample->path, "", "%s", strerror((int)-got));
}

static void *work(void *context)
{
	struct surveying *surveying = context;
	uint64_t end_ns = clock_monotonic_ns() + surveying->options->read_ns;
	CLEAN_FREE void *buffer = buffer_alloc(READ_BYTES);

	while (clock_monotonic_ns() < end_ns) {
		pthread_mutex_lock(&surveying->lock);
		size_t next = surveying->next_sample++;
		pthread_mutex_unlock(&surveying->lock);
		if (next >= surveying->n_sample)
			break;
		read_one(surveying, &surveying->sample[next], buffer, end_ns);
	}
	return NULL;
}

/* A random order: the sample was filled in the order of the walk, and the time may not suffice for all of it. */
static void shuffle(struct surveying *surveying)
{
	for (size_t i = surveying->n_sample; i > 1; i--) {
		size_t other = random_next(surveying) % i;
		struct sample_file swap = surveying->sample[i - 1];
		surveying->sample[i - 1] = surveying->sample[other];
		surveying->sample[other] = swap;
	}
}

void survey_read(struct surveying *surveying)
{
	unsigned wanted = surveying->survey->workers, started = 0;
	pthread_t threads[SURVEY_WORKERS_MAX];
	uint64_t begin_ns = clock_monotonic_ns();

	if (surveying->options->read_ns == 0 || surveying->n_sample == 0)
		return;
	shuffle(surveying);
	while (started < wanted && pthread_create(&threads[started], NULL, work, surveying) == 0)
		started++;
	if (started == 0)
		work(surveying);
	for (unsigned i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	surveying->survey->sample_ns = clock_monotonic_ns() - begin_ns;
}

void survey_sample_free(struct surveying *surveying)
{
	for (size_t i = 0; i < surveying->n_sample; i++)
		forget(&surveying->sample[i]);
}
