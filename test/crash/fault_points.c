/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Prints all fault points, so that a new one is tried without anyone remembering: its name, and whether something can fail there. */
#include "base/fault.h"

#include <stdio.h>

int main(void)
{
	for (int point = 0; point < (int)FAULT_POINTS; point++)
		printf("%s %s\n", fault_name((enum fault_point)point),
		       fault_can_fail((enum fault_point)point) ? "fails" : "ends");
	return 0;
}
