/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Prints the names of all fault points, so that a new one is tried without anyone remembering. */
#include "base/fault.h"

#include <stdio.h>

int main(void)
{
	for (int point = 0; point < (int)FAULT_POINTS; point++)
		puts(fault_name((enum fault_point)point));
	return 0;
}
