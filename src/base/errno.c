/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Names of errors, for logs and for programs.
 */
#include "base/log.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* Numbers that are the kernel's own and get out now and then, by NFS above all. */
static const struct {
	int error;
	const char *name;
} kernel_errors[] = {
	{512, "ERESTARTSYS"}, {515, "ENOIOCTLCMD"},  {521, "EBADHANDLE"}, {523, "EBADCOOKIE"}, {524, "ENOTSUPP"},
	{525, "ETOOSMALL"},   {526, "ESERVERFAULT"}, {527, "EBADTYPE"},   {528, "EJUKEBOX"},
};

const char *errno_name(int error)
{
	static _Thread_local char unnamed[16];
	if (error < 0 && error != INT_MIN)
		error = -error;
	/* Two names of one number: we say the one that POSIX uses for files. */
	if (error == ENOTSUP)
		return "ENOTSUP";
	const char *name = strerrorname_np(error);
	if (name)
		return name;
	for (size_t i = 0; i < sizeof(kernel_errors) / sizeof(kernel_errors[0]); i++)
		if (kernel_errors[i].error == error)
			return kernel_errors[i].name;
	snprintf(unnamed, sizeof(unnamed), "E%d", error);
	return unnamed;
}
