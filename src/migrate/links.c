/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How many names a file with several names shows while they come over: as many as at the source, more or less what applications
 * made or removed, whatever of them is on the target already and although one name is in our staging directory.
 *
 *     shown = names on the target - the staging name + names at the source - names joined so far
 *
 * The store knows the names joined up to its last commit, and the target is ahead of it. So what is under way is kept here, from
 * the first change of a file's names until the record of it is committed, and the target's count is read under the same lock
 * that names are joined under.
 */
#include "migrate/internal.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

struct flight {
	struct flight *next;
	struct link_record link; /* seen: as on the target */
	bool staged;
	unsigned refs;
};

static struct flight **find(struct migrate *migrate, uint64_t ino)
{
	struct flight **at = &migrate->flights[ino % FLIGHT_BUCKETS];

	while (*at && (*at)->link.ino != ino)
		at = &(*at)->next;
	return at;
}

struct flight *flight_take(struct migrate *migrate, const struct link_record *link)
{
	LOCKED(&migrate->flights_lock);
	struct flight **at = find(migrate, link->ino);

	if (!*at) {
		*at = must_alloc(sizeof(**at));
		**at = (struct flight){.link = *link, .staged = true};
	}
	(*at)->refs++;
	return *at;
}

static void put(struct migrate *migrate, struct flight *flight)
{
	LOCKED(&migrate->flights_lock);

	if (--flight->refs)
		return;
	*find(migrate, flight->link.ino) = flight->next;
	free(flight);
}

void flights_add(struct flights *flights, struct flight *flight)
{
	if (flights->count == flights->cap) {
		flights->cap = flights->cap ? flights->cap * 2 : 16;
		flights->all = realloc(flights->all, flights->cap * sizeof(*flights->all));
		if (!flights->all)
			abort();
	}
	flights->all[flights->count++] = flight;
}

void flights_put(struct migrate *migrate, struct flights *flights)
{
	for (size_t i = 0; i < flights->count; i++)
		put(migrate, flights->all[i]);
	free(flights->all);
	*flights = (struct flights){0};
}

void flight_name_joined(struct flight *flight)
{
	flight->link.seen++;
}

void flight_unstaged(struct flight *flight)
{
	flight->staged = false;
}

/* In the store, or under way. */
static bool look_up(struct migrate *migrate, const struct subject *subject, struct flight *found)
{
	struct flight *flight = *find(migrate, subject->ino);

	if (flight) {
		*found = *flight;
	} else {
		*found = (struct flight){.staged = true};
		if (store_link_of_ino(migrate->store, subject->ino, &found->link) <= 0)
			return false;
	}
	return handle_equal(&found->link.handle, &subject->handle);
}

bool links_shown(struct migrate *migrate, const struct subject *subject, uint32_t *shown)
{
	LOCKED(&migrate->flights_lock);
	struct flight flight;
	struct stat st;

	if (!look_up(migrate, subject, &flight))
		return false;
	CLEAN_FD int fd = target_open_handle(migrate->target, &subject->handle, O_PATH);
	if (fd < 0 || fstat(fd, &st) < 0)
		return false;
	int64_t to_come = flight.staged ? (int64_t)flight.link.nlink - flight.link.seen - 1 : 0;
	*shown = (uint32_t)((int64_t)st.st_nlink + to_come);
	return true;
}
