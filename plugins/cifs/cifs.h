/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The cifs plugin: a share of an SMB server (2.1 to 3.1.1) as the source. What its files share.
 *
 * libsmbclient does not bear several threads, can hang, and has crashed; so it runs in helper processes, one for each connection.
 * A helper that dies or does not answer in time is killed, its requests fail with ECONNABORTED, and the host opens another
 * connection: a hung or crashed library costs a retry, never the daemon.
 *
 * The protocol knows paths only, so a handle is a path below the share, with what the listing said of DOS attributes and creation
 * time before it (handle.c).
 *
 * Threads: DMM_THREADS_CONNECTION. One request at a time uses a connection; cancel() may come from another thread meanwhile.
 */
#ifndef CIFS_PLUGIN_H
#define CIFS_PLUGIN_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "wire.h"

#include <dmmfs/plugin.h>

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/types.h>

typedef void log_fn(enum dmm_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* address.c */
struct address {
	char host[256], share[256];
	char path[PATH_MAX]; /* of the source below the share: "" or "dir/dir" */
	unsigned port;       /* 0: 445 */
	char credentials[PATH_MAX];
	bool seal, kerberos;
	char keytab[256], ccache[256], username[256]; /* with kerberos: where tickets come from, and whose */
	const char *vers;                             /* "2.1" ... as libsmbclient calls the lowest protocol that is spoken */
	uint32_t uid, gid, file_mode, dir_mode;
};
int address_parse(const struct dmm_config *config, struct address *address);

/* kerberos.c: -EINVAL or another failure, with a sentence */
int kerberos_check(const struct dmm_config *config, const struct address *address);
int kerberos_check_keytab(const struct dmm_config *config, const struct address *address);
/* Why there is no session, into the log, once until there is one. */
struct dmm_instance;
void refusal_tell(struct dmm_instance *instance, const char *sentence);
void refusal_forget(struct dmm_instance *instance);

/* credentials.c: a file as mount.cifs has it. */
struct credentials {
	char username[256], password[512], domain[256];
};
/* -EPERM: others than its owner may read it. A sentence in `error`. */
int credentials_load(const char *path, struct credentials *credentials, char *error, size_t error_size);
void credentials_forget(struct credentials *credentials);

struct dmm_instance {
	struct address address;
	struct credentials credentials;
	log_fn *log;
	pthread_mutex_t refusal_lock;
	char *refusal; /* the last one told, NULL: there is a session */
	atomic_bool told_no_security;
	atomic_bool connected; /* once: what fails from now on may pass */
};

struct dmm_conn {
	struct dmm_instance *instance;
	pid_t pid;
	int socket;
	void *shared;
	pthread_mutex_t lock; /* guards `current` and the wake-up of whoever waits for the answer to it */
	struct dmm_request *current;
	int wake_fd;
	bool broken;
	uint64_t can; /* CONNECTED_* */
};

struct dmm_file {
	uint64_t number; /* the helper's */
	bool is_dir;
	uint32_t attributes;
	uint64_t created; /* NTTIME */
	size_t len_path;
	char path[];
};

/* helper.c: starting a helper, asking it, ending it */
int helper_start(struct dmm_conn *conn);
void helper_end(struct dmm_conn *conn);
/* `more` gets what follows the reply, newly allocated, NULL when there is nothing. request: for its deadline and cancellation, or
 * NULL. The reply's result, or -ECONNABORTED, -ETIMEDOUT, -ECANCELED, after each of which the connection is of no more use. */
int64_t helper_ask(struct dmm_conn *conn, struct dmm_request *request, const struct ask *ask, const void *path,
                   struct reply *reply, char **more);
/* Makes whoever waits look at `cancelled`. */
void helper_wake(struct dmm_conn *conn, struct dmm_request *request);

/* handle.c */
#define HANDLE_HEAD 13 /* type, attributes, creation time as NTTIME */
struct handle {
	uint32_t attributes;
	uint64_t created; /* NTTIME: 100 ns since 1601 */
	bool is_dir;
	const char *path; /* not terminated */
	size_t len_path;
};
int handle_parse(struct dmm_bytes bytes, struct handle *handle);
/* The head into `bytes`; the path is for the caller to append. */
void handle_head(unsigned char bytes[HANDLE_HEAD], const struct wire_entry *entry);

/* requests.c */
int64_t request_answer(struct dmm_conn *conn, struct dmm_request *request);
/* `path` is that of the object; `name` its name for the host. */
int give_entry(struct dmm_conn *conn, struct dmm_request *request, const struct wire_entry *from, const char *path,
               size_t len_path, const char *name);
int give_dosattrib(struct dmm_request *request, const struct handle *handle);

/* whole.c: small objects, many at once. Completes each of them. */
void whole_answer(struct dmm_conn *conn, struct dmm_request *const *requests, size_t n);

/* limits.c */
void cifs_limits(struct dmm_conn *conn, void (*tell)(void *context, const char *kind, const char *sentence), void *context);

/* raw.c: descriptor and streams as the server has them, to the sinks; only with CONNECTED_RAW */
int give_raw(struct dmm_conn *conn, struct dmm_request *request, const char *path, size_t len_path);
/* The same from what a helper answered: `left` bytes. -EBADMSG before the first sink when that cannot be right. */
int64_t give_described(struct dmm_conn *conn, struct dmm_request *request, const char *path, size_t len_path,
                       const struct wire_raw *raw, const char *bytes, size_t left);
/* To the host, if it wants to know. */
int tell_loss(struct dmm_request *request, const char *kind, const char *detail);

/* listed.c: the server knows nothing by this path, which it has listed: -ENOENT, it is gone; -EILSEQ: it lists it still. */
int64_t not_there(struct dmm_conn *conn, struct dmm_request *request, const char *path, size_t len_path);

/* streams.c: the list of streams of a file ([MS-FSCC] 2.4.44), from bytes of a server */
#define STREAM_NAME_MOST 766 /* bytes of UTF-8, with the NUL */
struct stream {
	char name[STREAM_NAME_MOST]; /* without type */
	uint64_t size;
};
/* The next one, not the unnamed one; *at begins at 0. 1: there is one; 0: that was the last; -EILSEQ: its name is none, the next may
 * be asked for; -EBADMSG: this is no list. */
int stream_next(const void *list, size_t len, size_t *at, struct stream *stream);

/* xattr.c: what Samba keeps in extended attributes, made of what a server says */
#define DOSATTRIB_SIZE 24
void dosattrib_make(unsigned char value[DOSATTRIB_SIZE], uint32_t attributes, uint64_t created);
/* The value of security.NTACL from libsmbclient's words for a security descriptor. Its length; -EBADMSG; -EMSGSIZE. */
int ntacl_make(const char *text, unsigned char *value, size_t size);
/* The same from a self-relative descriptor ([MS-DTYP] 2.4.6); room for NTACL_HEAD more bytes at `value`. */
#define NTACL_HEAD 8 /* version, version, pointer: the offsets count from here */
int ntacl_wrap(const void *descriptor, size_t len, unsigned char *value);
uint64_t nttime_from(const struct wire_time *time);

#endif
