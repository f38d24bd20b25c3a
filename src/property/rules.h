/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The order of a migration as an administrator writes it: what comes first, what last, what not at all.
 *
 *     first '/projects/apollo'; first size<64K; last '*.iso' '*.vmdk'; last age>365d; skip /scratch; skip owner=backup; small
 *
 * Clauses are separated by ';'. The first clause that matches an object decides; of several "first" clauses the earlier comes
 * first, of several "last" the later comes last. A clause is first, last or skip, and what must hold:
 *
 *     'PATTERN'             a name or a path from the top (property/glob.h); quotes may be left out where there is no blank, ';' or
 *                           quote in it; '' in quotes is a quote. Of several patterns any
 *     @FILE                 the paths in that file (property/paths.h), likewise
 *     size<N size>N         bytes, as 64K, 1.5G
 *     age<N age>N           since the last change of the data, as 90s, 12h, 365d, 2w, 1y
 *     owner=NAME|UID        at the source
 *     depth<N depth>N depth=N   names in the path; 1: an entry of the top
 *
 * Size, age and owner are those of files: a clause that asks for them matches no directory. What matches a directory by pattern or
 * list holds for all in it. Without any clause's match the general order applies: one of small (smaller files first), new (newer
 * first), found (as they are found; the default).
 *
 * A set of rules is constant once loaded; any thread may ask it.
 */
#ifndef DMM_PROPERTY_RULES_H
#define DMM_PROPERTY_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define RULES_CLAUSES_MAX 1000u
#define RULES_TEXT_MAX (64u << 10)

enum rule_verb { RULE_FIRST, RULE_LAST, RULE_SKIP };
enum rule_order { ORDER_FOUND, ORDER_SMALL, ORDER_NEW };

struct rules;

/* Reads the text; nothing else is looked at. On failure (-EINVAL, -E2BIG) a sentence that names the clause. */
int rules_parse(const char *text, struct rules **rules, char *error, size_t error_size);
/* The same for the table of properties: in `error` what is allowed. */
int rules_check(const char *text, char *error, size_t error_size);
/* Looks up owners and reads lists. On failure (the first is told of) the clause concerned matches nothing; the others work. Once. */
int rules_load(struct rules *rules, char *error, size_t error_size);
void rules_free(struct rules *rules);

/* In one form: parses to the same. Newly allocated; NULL without memory. */
char *rules_print(const struct rules *rules);

unsigned rules_count(const struct rules *rules);
enum rule_verb rules_verb(const struct rules *rules, unsigned clause);
enum rule_order rules_order(const struct rules *rules);
bool rules_have(const struct rules *rules, enum rule_verb verb);
/* Does any clause ask for owners? */
bool rules_ask_owner(const struct rules *rules);
/* The clause alone as text. Newly allocated. */
char *rules_clause(const struct rules *rules, unsigned clause);

struct rule_object {
	const char *path; /* below the top, without a slash at the beginning */
	bool is_dir;
	uint64_t size;   /* bytes; from here on of files only */
	int64_t mtime_s; /* since the epoch */
	uid_t owner;
};

/* The number of the clause that decides, -1: none. A directory in which a "first" clause may find matches counts as its match:
 * the way there must come first, too. */
int rules_match(const struct rules *rules, const struct rule_object *object, int64_t now_s);

/* What an administrator types behind "first" as one argument: a test as it is, anything else is one pattern. A clause in the
 * printed form, newly allocated; NULL, with a sentence, when it is none. */
char *rules_first_clause(const char *argument, char *error, size_t error_size);

#endif
