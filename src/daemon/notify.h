/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Telling the service manager how we are (sd_notify(3)): a datagram to the socket that NOTIFY_SOCKET names, if it does.
 */
#ifndef DMM_DAEMON_NOTIFY_H
#define DMM_DAEMON_NOTIFY_H

void notify_ready(void);
void notify_stopping(void);

#endif
