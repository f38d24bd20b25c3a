/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A source in memory: an implementation of source/source.h that a test fills with objects and makes fail as it likes.
 *
 * The byte at `off` of file `id` is fake_byte(id, off), so contents need no memory.
 */
#ifndef DMM_TEST_FAKE_SOURCE_H
#define DMM_TEST_FAKE_SOURCE_H

#include "source/source.h"

#define FAKE_OBJECTS 1024
#define FAKE_NAMES 8

struct fake_object {
	_Atomic uint32_t mode; /* 0: there is no such object */
	_Atomic uint64_t size;
	uint32_t nlink;
	bool no_owner; /* its owner cannot be told */
	struct {
		unsigned dir;
		const char *name;
	} names[FAKE_NAMES];
	unsigned n_names;

	const char *xattr; /* name of the one extended attribute it has, or NULL; sources have them when an object has */
	size_t xattr_bytes;
	int second_error;        /* positive errno: of two sources the second does not give its attributes */
	const char *loss;        /* what it has and the source cannot bring, a kind of loss, or NULL */
	_Atomic int64_t mtime;   /* seconds; 0: one of its own */
	_Atomic unsigned turned; /* its bytes are those of another: fake_byte(id + turned, off) */
	_Atomic uint32_t uid;
	_Atomic unsigned lost;     /* so many listings of it are lost, after half of their entries... */
	int lost_by;               /* ... by this negative errno; 0: with their connection */
	_Atomic unsigned spared;   /* but so many before these are not */
	unsigned late;             /* this object comes into this directory once that was listed, and the next of it goes */
	_Atomic unsigned restless; /* so many times its modification time moves on when it is looked at */

	int open_error, read_error;                     /* negative errno; read_error for the next `failures` reads */
	_Atomic unsigned failures, opens, reads, looks; /* looks: requests for its attributes alone */
	_Atomic unsigned turn;                          /* its first open was the so manieth of all objects', from 1 */
	uint64_t fail_from;                             /* reads of bytes below succeed */
	_Atomic uint64_t hold_from;                     /* what was read from here on is held back as long as this is not 0 */
	_Atomic uint64_t hold_to;                       /* up to here; 0: to the end */
	_Atomic unsigned held;
};

/* Object 0 is the root. */
extern struct fake_object fake_objects[FAKE_OBJECTS];

/* What source_reach() says. */
extern struct source_reach fake_reach;

/* A kind of loss: what no object brings, or NULL. */
extern const char *fake_limit;

/* Whether it can be asked ahead, and whether attributes come with data that is read. */
extern bool fake_ahead, fake_tells;

/* What is begun is answered by threads of their own, in any order. */
extern bool fake_late;

/* Reads that are begun and not ended; and the most there ever were. */
extern _Atomic unsigned fake_begun, fake_begun_most;

void fake_reset(void);
void fake_begin_turns(void); /* also while a migration reads: what is counted from now on is counted from 1 */
void fake_dir(unsigned id, unsigned parent, const char *name);
void fake_file(unsigned id, unsigned parent, const char *name, uint64_t size);
void fake_link(unsigned id, unsigned parent, const char *name); /* one more name */
unsigned char fake_byte(unsigned id, uint64_t off);

#endif
