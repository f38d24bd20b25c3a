/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * An exponential average over a minute: a moment's rate jumps with every large file and every directory of small ones, and would
 * make the time remaining jump with it. Divided by its weight it is right from the beginning, not only after minutes.
 */
#include "migrate/pace.h"

#include "base/clock.h"

#include <math.h>

#define OVER_S 60.0
#define MEASURED_MIN_S 2.0
#define YEARS_S (10.0 * 365 * 86400) /* who says more does not know */

void pace_tick(struct pace *pace, uint64_t now_ns, uint64_t bytes, uint64_t files)
{
	double seconds = (double)(now_ns - pace->at_ns) / (double)NS_PER_S;

	if (pace->at_ns && seconds > 0) {
		double kept = exp(-seconds / OVER_S), fresh = 1 - kept;
		pace->bytes_per_s = pace->bytes_per_s * kept + (double)(bytes - pace->bytes) / seconds * fresh;
		pace->files_per_s = pace->files_per_s * kept + (double)(files - pace->files) / seconds * fresh;
		pace->weight = pace->weight * kept + fresh;
	}
	pace->at_ns = now_ns;
	pace->bytes = bytes;
	pace->files = files;
}

int64_t pace_remaining(const struct pace *pace, int64_t bytes, int64_t files)
{
	double seconds = 0;

	if (bytes <= 0 && files <= 0)
		return 0;
	if (pace->weight < 1 - exp(-MEASURED_MIN_S / OVER_S))
		return -1;
	/* Only one of them moves while a large file, or empty ones, come over. */
	if (bytes > 0 && pace->bytes_per_s > 0)
		seconds = (double)bytes / (pace->bytes_per_s / pace->weight);
	if (files > 0 && pace->files_per_s > 0)
		seconds = fmax(seconds, (double)files / (pace->files_per_s / pace->weight));
	return seconds > 0 && seconds < YEARS_S ? (int64_t)fmax(1, round(seconds)) : -1;
}
