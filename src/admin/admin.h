/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The administrator's door: a socket RUNDIR/MIGID.sock on which dmmfs-admin and other programs of root ask for the figures of a
 * migration, for the place of a file, for errors, and for the end. It holds no policy: every answer is struct migration_port's.
 *
 * One request and one reply (wire/frame.h) a connection:
 *
 *   {"op":"stat"}                                 -> {"ok":true,"stat":{...}}
 *   {"op":"where","path":P}                       -> {"ok":true,"where":{...}}
 *   {"op":"errors","after":ID,"max":N,"state":S}  -> {"ok":true,"errors":[{...},...],"more":BOOL}
 *   {"op":"retry","entries":[{"id":N},{"path":P}]}-> {"ok":true,"retry":{...}}; "waive" likewise; without "entries" all
 *   {"op":"log","after":ID,"last":N}               -> {"ok":true,"log":[{...},...],"run":TIME}
 *   {"op":"finish","lazy":BOOL,"wait_s":SECONDS}  -> {"ok":true,"finish":{}}
 *   {"op":"halt","lazy":BOOL,"wait_s":SECONDS}    -> {"ok":true,"halt":{}}
 *   {"op":"pause"}, {"op":"resume"}               -> {"ok":true,"pause":{}}, {"ok":true,"resume":{}}
 *   {"op":"set","properties":{NAME:TEXT|null,...}} -> {"ok":true,"set":{}}
 *   {"op":"get"}                                  -> {"ok":true,"properties":[{"name":N,"value":TEXT|null,"from":FROM},...]}
 *   {"op":"verify","action":A,...}                -> {"ok":true,"verify":{...}}; A is start or stop
 *   {"op":"verification"}                         -> {"ok":true,"verify":{...}}: of the one that runs or ran last
 *   {"op":"report"}                               -> {"ok":true,"report":{...}}
 *   {"op":"losses"}                               -> {"ok":true,"losses":{...}}
 *   {"op":"loss-list","after":ID,"kind":K}        -> {"ok":true,"entries":[{...},...],"more":BOOL}
 *   anything that fails                           -> {"ok":false,"error":"EBUSY","message":"..."}, finish, halt: and "holders"
 *
 * Only "op" and "path" are needed. Each request may say in "uuid" which migration it means; another one's is refused (ESTALE).
 * Members that a daemon does not know are refused, not ignored: a newer client must not believe that they were heeded. Names are
 * written as wire/bytes.h says; dmmfs-admin-json(5) documents the objects.
 *
 * Threads: one accepts, others serve (a lane, one for each connection); requests for the end take at most two of them, so that one which waits for files to
 * be closed never delays a stat. The port is called from any of them.
 */
#ifndef DMM_ADMIN_ADMIN_H
#define DMM_ADMIN_ADMIN_H

#include "migrate/report.h"

#include <jansson.h>
#include <stdint.h>

struct admin;

/* Makes the directory (mode 0700) and the socket (0600). Only root is served; but where the directory lets a group in (0750, as
 * tmpfiles.d makes /run/dmmfs for the group dmmfs) the socket is that group's, too, and its members are answered "stat". `rundir` NULL: /run/dmmfs, or what DMMFS_RUNDIR says. The port stays the
 * caller's and must live until admin_stop(). -EADDRINUSE: another daemon answers for this migid; -EPERM: the directory is not
 * ours alone. Logs why it fails. */
int admin_start(const char *rundir, uint32_t migid, const struct migration_port *port, struct admin **admin);

/* Before the migration is taken apart: from now on only a finish() that is under way goes on in the port, all other requests are
 * answered ESHUTDOWN. Returns when none of them is in the port any more. */
void admin_quiesce(struct admin *admin);

/* Removes the socket: nobody meets this daemon from now on, and another one may have its place. What was asked before is answered. */
void admin_withdraw(struct admin *admin);

/* The same, if it was not done; waits for requests that are being served, answers ESHUTDOWN to those that wait. A finish() of the port
 * that waits for files to be closed must have been made to return before. NULL is allowed, here and above. None of them may be called
 * by the port itself. */
void admin_stop(struct admin *admin);

/* The figures as a JSON object: what "stat" gives, and what the setting "result" keeps of a migration that has ended. New
 * reference, or NULL without memory. */
json_t *admin_stat_json(const struct migration_stat *stat);

/* The same as text, newly allocated. */
char *admin_stat_text(const struct migration_stat *stat);

/* The custody record as JSON text, newly allocated; NULL when it cannot be made. The port is asked for the ledger. */
/* What dmmfs-admin losses prints, of a migration whose state is about to go: text, newly allocated, NULL when it cannot be had. */
char *admin_losses_text(const struct migration_port *port);
/* The same from entries of a ledger, of each kind at most so many listed: made, handed each entry, and ended, which gives the
 * object and the rest up. NULL without memory. */
struct losses;
struct losses *admin_losses_new(size_t most);
int admin_losses_take(void *losses, const struct error_record *record);
json_t *admin_losses_end(struct losses *losses);

char *admin_report_text(const struct migration_port *port, const struct migration_report *report);

#endif
