/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The world that tests of the migrator live in: the source in memory (fake_source.h), a real directory as the target, a real state, and
 * applications that do there what src/fs does for them. A test fills the source, sets options, opens the world, and may close and open it
 * again, as a daemon that starts anew does.
 *
 * The world owns all that is declared here, one of each in a process. world_case() sets it up before each test: the source empty, options
 * and store_options as they are by default. They are the test's to change until the world is opened; target, store, migrate and monitor
 * are there from then on until it is closed. Who opens closes; a test that fails need not, since its process ends. Files lie in
 * scratch.h's directory, as target/ and state/, and go with it.
 *
 * Applications may come from several threads; all else is the one thread's that runs the test.
 */
#ifndef DMM_TEST_MIGRATE_WORLD_H
#define DMM_TEST_MIGRATE_WORLD_H

#include "fake_source.h"
#include "migrate/internal.h"
#include "scratch.h"

#include <check.h>
#include <unistd.h>

extern struct migrate_options options;
extern struct store_options store_options;
extern struct target target;
extern struct store *store;
extern struct migrate *migrate;
extern struct monitor monitor; /* where applications come by */

/* Waits until it is so. Who needs more patience says so before this is included. */
#ifndef AWAIT_MS
#define AWAIT_MS 20000
#endif
#define AWAIT(condition) \
	do { \
		for (int ms = 0; !(condition); ms += 10) { \
			ck_assert_msg(ms < AWAIT_MS, "in vain: %s", #condition); \
			usleep(10000); \
		} \
	} while (0)
#define await_complete() AWAIT(figures()->state == MIGRATION_COMPLETE)

/* --- to run tests --- */

/* Whether this process may open objects by handle, as a migration does; else it says that tests are left out. */
bool world_is_possible(void);

/* A case of the suite whose tests have the world each, made ready by `setup`. */
TCase *world_case(Suite *suite, const char *name, void (*setup)(void));

/* Runs the suite, which is freed, for main() to return. */
int world_run(Suite *suite);

/* --- a migration --- */

/* For setup: files come by segments of so many bytes, never whole when they are opened or with their directory. */
void world_by_segments(uint64_t segsize);

void world_open(void);       /* world_open_state() and world_start() */
void world_open_state(void); /* target and state, with the record of the root when they are new */
void world_start(void);      /* the migrator; also once more, after migrate_stop() */
void world_close(void);

/* Opens the world, takes the steps and is killed: all in another process. */
void world_crash(void (*steps)(void));

struct migration_stat *figures(void); /* those of now, until the next call */

/* Opens the world, with the background, and awaits the end: all that was found is here, and nothing is left or in error. */
void world_complete(void);

/* --- applications --- */

#define MINE 0 /* what applications write: no byte of the source is zero */

struct subject subject_at(int dirfd, const char *name);
int64_t size_of(const char *path); /* below the target; negative when it is not there */

/* These take a path below the target and return when they may go on, with 0 or a negative errno. */
int app_names(const char *path);              /* looks into a directory */
int app_read(const char *path, uint64_t off); /* returns the one byte */
int app_write(const char *path, uint64_t off, uint64_t len);
int app_resize(const char *path, uint64_t size);

/* Raises the event, does as it says, and tells how it ended. `action` returns 0, or -1 with errno. */
int app_change(const char *path, enum event_kind kind, uint64_t off, uint64_t len,
               int (*action)(int fd, uint64_t off, uint64_t len));
int write_mine(int fd, uint64_t off, uint64_t len); /* such an action */

#endif
