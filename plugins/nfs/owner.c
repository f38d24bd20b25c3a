/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Owners of version 4, which are strings (RFC 7530, 5.9): digits are the id itself, as servers with AUTH_SYS send them; of a
 * name@domain the name is looked up here by the name service. A name that nobody here has is not turned into somebody else: the
 * caller leaves the owner out, and the host reports it.
 *
 * A few thousand answers are remembered, since a tree has few owners and many files. Lock: one, a leaf but for the name service.
 */
#include "nfs.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME_MOST 256
#define SLOTS 1024
#define REMEMBER_S 300

struct known {
	char name[NAME_MOST];
	uint32_t id;
	int result;
	time_t since;
};

struct owners {
	pthread_mutex_t lock;
	struct known users[SLOTS], groups[SLOTS];
};

int owners_new(struct owners **result)
{
	struct owners *owners = calloc(1, sizeof(*owners));

	if (!owners)
		return -ENOMEM;
	pthread_mutex_init(&owners->lock, NULL);
	*result = owners;
	return 0;
}

void owners_free(struct owners *owners)
{
	pthread_mutex_destroy(&owners->lock);
	free(owners);
}

static bool is_number(const char *name, uint32_t *id)
{
	char *end;

	if (*name < '0' || *name > '9')
		return false;
	errno = 0;
	unsigned long long number = strtoull(name, &end, 10);
	if (*end || errno || number >= UINT32_MAX)
		return false;
	*id = (uint32_t)number;
	return true;
}

static int ask_users(const char *name, uint32_t *id)
{
	char buf[16384];
	struct passwd entry, *found = NULL;
	int error = getpwnam_r(name, &entry, buf, sizeof(buf), &found);

	if (found)
		*id = found->pw_uid;
	return found ? 0 : error == 0 || error == ENOENT || error == ESRCH ? -ENOENT : -EAGAIN;
}

static int ask_groups(const char *name, uint32_t *id)
{
	char buf[65536];
	struct group entry, *found = NULL;
	int error = getgrnam_r(name, &entry, buf, sizeof(buf), &found);

	if (found)
		*id = found->gr_gid;
	return found ? 0 : error == 0 || error == ENOENT || error == ESRCH ? -ENOENT : -EAGAIN;
}

static struct known *slot(struct known *table, const char *name)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 16777619u;
	return &table[hash % SLOTS];
}

/* The whole string first, since a local name may contain an '@'; then without the domain. */
static int resolve(const char *name, int (*ask)(const char *name, uint32_t *id), uint32_t *id)
{
	char local[NAME_MOST];
	int ret = ask(name, id);

	if (ret != -ENOENT)
		return ret;
	snprintf(local, sizeof(local), "%s", name);
	char *at = strrchr(local, '@');
	if (!at || at == local)
		return -ENOENT;
	*at = '\0';
	return ask(local, id);
}

static int find(struct owners *owners, struct known *table, struct dmm_bytes bytes, int (*ask)(const char *name, uint32_t *id),
                uint32_t *id)
{
	char name[NAME_MOST];
	struct timespec now;

	if (bytes.len == 0 || bytes.len >= sizeof(name) || memchr(bytes.data, '\0', bytes.len))
		return -ENOENT;
	memcpy(name, bytes.data, bytes.len);
	name[bytes.len] = '\0';
	if (is_number(name, id))
		return 0;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	pthread_mutex_lock(&owners->lock);
	struct known *known = slot(table, name);
	if (strcmp(known->name, name) || now.tv_sec - known->since > REMEMBER_S) {
		known->result = resolve(name, ask, &known->id);
		known->since = now.tv_sec;
		strcpy(known->name, known->result == -EAGAIN ? "" : name);
	}
	int ret = known->result;
	*id = known->id;
	pthread_mutex_unlock(&owners->lock);
	return ret;
}

int owner_uid(struct owners *owners, struct dmm_bytes name, uint32_t *uid)
{
	return find(owners, owners->users, name, ask_users, uid);
}

int owner_gid(struct owners *owners, struct dmm_bytes name, uint32_t *gid)
{
	return find(owners, owners->groups, name, ask_groups, gid);
}
