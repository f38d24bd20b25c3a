/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A migration that is none, behind struct migration_port: for tests of admin/ and of dmmfs-admin.
 *
 * Below its mount point, the last component of a path says what `where` answers: "absent", "resident", "partly", "broken", "dir",
 * "missing"; everything else is resident.
 */
#ifndef DMM_TEST_SIMULATED_PORT_H
#define DMM_TEST_SIMULATED_PORT_H

#include "migrate/report.h"

#include <pthread.h>

#define SIMULATED_UUID "00000000-1111-4222-8333-444444444444"

struct simulated {
	pthread_mutex_t lock; /* guards what follows, once requests may come */
	pthread_cond_t changed;
	struct migration_port port;
	struct migration_stat stat;
	int stat_error;
	uint32_t takeovers; /* upgrades that were asked for */
	unsigned n_errors;  /* entries of the error ledger */
	int finish_result;  /* what finish gives */
	bool finish_waits;  /* until simulated_release() */
	unsigned finishes, finishes_waiting, halts;
	bool released;
	struct finish_request asked; /* the last one */
	enum error_decision decided; /* likewise */
	bool waived;                 /* the errors are */
	char segsize[64];            /* what was set */
};

void simulated_init(struct simulated *simulated, uint32_t migid, const char *mountpoint);
void simulated_release(struct simulated *simulated);
void simulated_await_finishes(struct simulated *simulated, unsigned waiting);

#endif
