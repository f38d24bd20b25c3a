/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Owners of version 4, which are strings (RFC 7530, 5.9):
 *
 *     1000             the id itself, as servers with AUTH_SYS send it
 *     nobody, nobody@domain, nogroup...   the server has no name for its own id, or does not tell: unknown
 *     name@domain      looked up here. With option domain= by the name service: the whole string, since a name may contain an '@', then
 *                      without its domain, if that is ours. Otherwise by libnfsidmap, as /etc/idmapd.conf says; where that is not there
 *                      as with domain=, the domain being the host's.
 *
 * A name of another domain is never the same name here. One that nobody here has is not turned into somebody else: it has no id, the
 * host asks the administrator's map, and reports it.
 *
 * A few thousand answers are remembered, since a tree has few owners and many files. Lock: one, a leaf but for the name service, which
 * may not answer several at a time.
 */
#include "nfs.h"

#include <errno.h>
#include <grp.h>
#include <netdb.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#ifdef HAVE_NFSIDMAP
#include <dlfcn.h>
#include <nfsidmap.h>
#endif

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
	enum { LIBRARY_UNKNOWN, LIBRARY_WORKS, LIBRARY_USELESS } library;
	bool chosen; /* the administrator has named the domain */
	char domain[256];
	struct known users[SLOTS], groups[SLOTS];
};

/* What is behind the first '.' of the host's full name; empty: it has no domain. */
static void own_domain(char *domain, size_t size)
{
	struct addrinfo hints = {.ai_flags = AI_CANONNAME, .ai_socktype = SOCK_STREAM}, *found = NULL;
	char host[256] = "";

	gethostname(host, sizeof(host) - 1);
	const char *dot = strchr(host, '.');
	if (!dot && getaddrinfo(host, NULL, &hints, &found) == 0 && found->ai_canonname)
		dot = strchr(found->ai_canonname, '.');
	snprintf(domain, size, "%s", dot ? dot + 1 : "");
	if (found)
		freeaddrinfo(found);
}

int owners_new(const char *domain, struct owners **result)
{
	struct owners *owners = calloc(1, sizeof(*owners));

	if (!owners)
		return -ENOMEM;
	pthread_mutex_init(&owners->lock, NULL);
	owners->chosen = *domain;
	snprintf(owners->domain, sizeof(owners->domain), "%s", domain);
	*result = owners;
	return 0;
}

void owners_free(struct owners *owners)
{
#ifdef HAVE_NFSIDMAP
	if (owners->library == LIBRARY_WORKS)
		nfs4_term_name_mapping();
#endif
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

/* Whether nobody has the name, or it cannot be told now: the object is then tried again. */
static int failure(int error)
{
	static const int passing[] = {EAGAIN, EINTR, EIO, EMFILE, ENFILE, ENOMEM, ETIMEDOUT, ECONNREFUSED};

	for (size_t i = 0; i < sizeof(passing) / sizeof(*passing); i++)
		if (error == passing[i])
			return -EAGAIN;
	return -ENOENT;
}

typedef int ask_fn(const char *name, uint32_t *id);

static int ask_users(const char *name, uint32_t *id)
{
	char buf[16384];
	struct passwd entry, *found = NULL;
	int error = getpwnam_r(name, &entry, buf, sizeof(buf), &found);

	if (found)
		*id = found->pw_uid;
	return found ? 0 : failure(error);
}

static int ask_groups(const char *name, uint32_t *id)
{
	char buf[65536];
	struct group entry, *found = NULL;
	int error = getgrnam_r(name, &entry, buf, sizeof(buf), &found);

	if (found)
		*id = found->gr_gid;
	return found ? 0 : failure(error);
}

static struct known *slot(struct known *table, const char *name)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 16777619u;
	return &table[hash % SLOTS];
}

#ifdef HAVE_NFSIDMAP
/* Its methods are plugins that look for its symbols everywhere but in it, and we are loaded where nobody looks. */
static bool library_works(void)
{
	Dl_info info;

	return dladdr((void *)(uintptr_t)nfs4_name_to_uid, &info) &&
	       dlopen(info.dli_fname, RTLD_LAZY | RTLD_GLOBAL | RTLD_NOLOAD) && nfs4_init_name_mapping(NULL) == 0;
}

/* A name of another domain is EINVAL to it. 1: it cannot be asked. */
static int ask_library(struct owners *owners, const char *name, bool is_group, uint32_t *id)
{
	char copy[NAME_MOST];
	uid_t uid = 0;
	gid_t gid = 0;

	if (owners->library == LIBRARY_UNKNOWN)
		owners->library = library_works() ? LIBRARY_WORKS : LIBRARY_USELESS;
	if (owners->library == LIBRARY_USELESS)
		return 1;
	snprintf(copy, sizeof(copy), "%s", name);
	int ret = is_group ? nfs4_name_to_gid(copy, &gid) : nfs4_name_to_uid(copy, &uid);
	if (ret == 0)
		*id = is_group ? gid : uid;
	return ret == 0 ? 0 : failure(-ret);
}
#else
static int ask_library(struct owners *owners, const char *name, bool is_group, uint32_t *id)
{
	(void)owners;
	(void)name;
	(void)is_group;
	(void)id;
	return 1;
}
#endif

static int ask_here(struct owners *owners, const char *name, ask_fn *ask, uint32_t *id)
{
	char local[NAME_MOST];
	int ret = ask(name, id);

	if (ret != -ENOENT)
		return ret;
	snprintf(local, sizeof(local), "%s", name);
	char *at = strrchr(local, '@');
	if (!at || at == local)
		return -ENOENT;
	if (!owners->chosen && !*owners->domain)
		own_domain(owners->domain, sizeof(owners->domain));
	if (strcasecmp(at + 1, owners->domain) != 0)
		return -ENOENT;
	*at = '\0';
	return ask(local, id);
}

/* What servers say when they do not know either. */
static bool is_nobody(const char *name, bool is_group)
{
	static const char *const words[] = {"nobody", "nfsnobody", "nogroup"};
	size_t len = strcspn(name, "@");

	for (size_t i = 0; i < (is_group ? 3 : 2); i++)
		if (strlen(words[i]) == len && memcmp(words[i], name, len) == 0)
			return true;
	return false;
}

static int resolve(struct owners *owners, const char *name, bool is_group, uint32_t *id)
{
	int ret = is_nobody(name, is_group) ? -ENOENT : owners->chosen ? 1 : ask_library(owners, name, is_group, id);

	return ret > 0 ? ask_here(owners, name, is_group ? ask_groups : ask_users, id) : ret;
}

static int find(struct owners *owners, struct known *table, struct dmm_bytes bytes, uint32_t *id)
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
		known->result = resolve(owners, name, table == owners->groups, &known->id);
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
	return find(owners, owners->users, name, uid);
}

int owner_gid(struct owners *owners, struct dmm_bytes name, uint32_t *gid)
{
	return find(owners, owners->groups, name, gid);
}
