/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A listing must come to an end, whatever cookies a server gives.
 */
#include "nfs.h"

bool file_advance(struct dmm_file *dir, uint64_t cookie)
{
	if (dir->replies && (cookie == dir->cookie || cookie == dir->mark))
		return false;
	dir->cookie = cookie;
	if (++dir->replies >= dir->mark_at) {
		dir->mark = cookie;
		dir->mark_at = dir->mark_at ? 2 * dir->mark_at : 1;
	}
	return true;
}
