/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The daemon of one migration: everything wired together.
 *
 *   open    what there is of it: configuration, target, state, source (open.c)
 *   serve   migrate, mount, admin socket, until the mount is gone (serve.c)
 *   end     finished: take what is ours away; otherwise: halted, to go on another day (serve.c, finish.c)
 */
#ifndef DMM_DAEMON_DAEMON_H
#define DMM_DAEMON_DAEMON_H

#include "admin/admin.h"
#include "daemon/options.h"
#include "fs/fs.h"
#include "state/config.h"

#include <pthread.h>

#define UUID_SIZE 37

enum ending { ENDING_HALT, ENDING_FINISH };

struct daemon {
	struct options *options;
	char *statedir; /* resolved */
	uint32_t migid;
	char uuid[UUID_SIZE];
	bool known, marked; /* the configuration, the target knew this migration before */
	bool fresh;         /* it was not there before */
	bool halted;        /* its last daemon ended in order, as far as the configuration knows */
	struct config *config;
	struct target target;
	struct store *store;
	struct source *source;
	struct migrate *migrate;
	struct monitor monitor;
	struct fs *fs;
	struct kept *kept; /* what outlives this process, if there is a keeper */
	struct admin *admin;
	struct migration_port port;

	pthread_mutex_t properties; /* the values in options that can change while it runs; apply.c */
	atomic_bool autofinish;     /* the property, as it is now */
	pthread_mutex_t lock;       /* below */
	pthread_cond_t changed;
	bool finishing; /* one finish or halt at a time */
	bool upgrading; /* another process takes the place of this one */
	bool leaving;   /* the mount is gone, and what is here is taken apart */
	pthread_t giving_way;
	enum ending ending;
	bool ended; /* all that finish asks for is done */
	int end_result;
};

int daemon_open(struct daemon *daemon, char *error, size_t error_size);
/* Its first part, which writes nothing: are the places fit, can target and source be opened? Both are open afterwards. */
int daemon_look(struct daemon *daemon, char *error, size_t error_size);
/* -ENOTEMPTY, with a sentence, when the target holds anything. */
int daemon_refuse_occupied(struct daemon *daemon, char *error, size_t error_size);
/* An entry with these settings and those of the command line, and a new migid that no daemon serves under, known to the
 * configuration or not. */
int daemon_create_entry(struct daemon *daemon, const struct config_pair *settings, size_t n_settings);
/* create.c: makes a migration and prints its migid. */
int daemon_create(struct options *options, char *error, size_t error_size);
/* Goes on from where another process of the same mount stopped. */
static inline bool daemon_takes_over(const struct daemon *daemon)
{
	return daemon->kept && kept_inherited(daemon->kept);
}

/* Returns when the mount is gone and everything is closed. `ready` is called once when the mount serves. */
int daemon_serve(struct daemon *daemon, void (*ready)(void *context), void *context, char *error, size_t error_size);
void daemon_close(struct daemon *daemon);

/* Completes a finish that was cut off: removes what is ours. Nothing is mounted. */
int daemon_clean_up(struct daemon *daemon);
/* Takes our files, our directory and our mark away. */
int daemon_remove_ours(struct daemon *daemon);

/* open.c */
/* The source is waited for as the options say. Until this is called it is not waited for without end: who starts a migration wants
 * to know that its source cannot be reached. */
void daemon_set_patience(struct daemon *daemon);
/* daemon->statedir, if it is not known: as the options say, or in the target. */
void daemon_default_statedir(struct daemon *daemon);
bool daemon_state_exists(struct daemon *daemon);
int daemon_open_store(struct daemon *daemon, char *error, size_t error_size);

/* remains.c: what is waived, at the end of a finish. */
int daemon_settle_remains(struct daemon *daemon);

/* finish.c */
int daemon_finish(void *context, const struct finish_request *request, struct finish_result *result);
void daemon_autofinish(void *context);

/* leave.c: unmounts, and everything stays as it is on disk; pause: the background stops, also after the next start. */
int daemon_halt(void *context, const struct finish_request *request, struct finish_result *result);
int daemon_pause(void *context, bool paused);

/* upgrade.c: another process takes the place of this one. */
int daemon_upgrade(void *context, bool begin, struct upgrade_status *status, char *error, size_t error_size);
/* The end of the mount has come: an upgrade that has begun is called off, or comes first; then this does not return. */
void daemon_end_upgrade(struct daemon *daemon);

/* custody.c */
int daemon_report(void *context, struct migration_report *report);
/* In the configuration, where it outlives the state. */
int daemon_keep_report(struct daemon *daemon);
int daemon_verify_start(void *context, const struct verify_request *request);
int daemon_verify_stop(void *context);
void daemon_verify_status(void *context, struct verify_status *status);

/* port.c: answers to admin/. */
void daemon_port(struct daemon *daemon, struct migration_port *port);
void daemon_stat(struct daemon *daemon, struct migration_stat *stat);

/* 1: the migration of these options is complete already; nothing is to be mounted. A result of daemon_open(). */
#define DAEMON_COMPLETE 1

#endif
