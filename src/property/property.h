/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The properties of a migration (DMM specification, section 5.1): one table (table.c) with the name, the type, the default, what
 * is allowed, when it can change, and a sentence of help. What the manual, mount options, dmmfs-admin and completion say of
 * properties comes from it, and every value that gets in anywhere is checked by it.
 *
 * Values are text, everywhere but where they are used: property_number() gives what the text means.
 * No locks, no state: the table is constant. Threads: any.
 */
#ifndef DMM_PROPERTY_PROPERTY_H
#define DMM_PROPERTY_PROPERTY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum property_type {
	PROPERTY_TEXT,
	PROPERTY_PATH,     /* absolute */
	PROPERTY_SIZE,     /* bytes; base/size.h */
	PROPERTY_RATE,     /* bytes a second: "20MB/s", "none"; property/measure.h, which has its range */
	PROPERTY_COUNT,    /* a whole number */
	PROPERTY_BOOL,     /* on, off */
	PROPERTY_CHOICE,   /* one of `choices` */
	PROPERTY_DURATION, /* nanoseconds; base/duration.h */
};

enum property_when {
	PROPERTY_AT_CREATE, /* only while the migration is made; the same again is not a change */
	PROPERTY_HALTED,    /* while no daemon runs */
	PROPERTY_LIVE,      /* at any time, in force at once */
};

struct property {
	const char *name;
	const char *group; /* the heading in the manual; properties of a group stand together in the table */
	enum property_type type;
	enum property_when when;
	const char *argument;       /* what stands for a value in the manual; NULL: as its type says */
	const char *standard;       /* the default; NULL: `without` says in words what is in force */
	const char *without;        /* half a sentence */
	uint64_t min, max;          /* of what property_number() gives; max 0: no limit */
	uint64_t multiple;          /* of which the number must be a multiple; 0: of none */
	const char *const *choices; /* ended by NULL */
	const char *also;           /* a word that is allowed beside what the type allows ("none"); its number is PROPERTY_ALSO */
	const char *allowed;        /* what is allowed, half a sentence, where the type does not say it */
	bool positional;            /* on a mount line it has a place or words of its own, and is not written NAME=VALUE */
	const char *help;           /* sentences */
	/* What the type cannot know. 0 or a negative errno with what IS allowed in `error`, to follow "it must be". May be NULL. */
	int (*check)(const char *value, char *error, size_t error_size);
};

/* At most so many rows. */
#define PROPERTY_MAX 96
/* The longest value, in bytes. */
#define PROPERTY_VALUE_MAX (64 << 10)
#define PROPERTY_ALSO UINT64_MAX

/* NULL: there is none of this name. */
const struct property *property_find(const char *name);
/* The table, from 0; NULL behind its end. */
const struct property *property_at(size_t index);
size_t property_index(const struct property *property);

/* 0, or -EINVAL with a sentence that says what is allowed. An empty value is never right: the default is no value at all. */
int property_check(const struct property *property, const char *value, char *error, size_t error_size);

/* What a value means that is right: bytes, bytes a second, a number, 0 or 1, the index of the choice, nanoseconds. Not for text
 * and paths. */
uint64_t property_number(const struct property *property, const char *value);

/* The value that belongs to this property now, or NULL for its default. */
typedef const char *(*property_lookup)(void *context, const struct property *property);
/* What no value by itself can be wrong in: properties that limit each other. Each value is right. 0, or -EINVAL with a sentence. */
int property_check_set(property_lookup lookup, void *context, char *error, size_t error_size);

/* Half a sentence: "a multiple of 4K from 4K to 64M, written N[.N][KMGTP][B]". Returns `buf`. */
#define PROPERTY_ALLOWED_MAX 512
const char *property_allowed(const struct property *property, char *buf, size_t buf_size);
/* Words for people: "size", "while halted", "SIZE". */
const char *property_type_name(enum property_type type);
const char *property_when_name(enum property_when when);
const char *property_argument(const struct property *property);

#endif
