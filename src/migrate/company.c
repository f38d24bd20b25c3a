/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "migrate/company.h"

#include "base/clock.h"

#include <sched.h>
#include <string.h>

#define MEASURED_MIN_NS (10 * NS_PER_MS) /* of workers' time: less says nothing, and is counted the next time */

void company_init(struct company *company)
{
	cpu_set_t processors;

	memset(company, 0, sizeof(*company));
	company->processors = sched_getaffinity(0, sizeof(processors), &processors) < 0 ? 1 : (unsigned)CPU_COUNT(&processors);
}

void company_measure(struct company *company, uint64_t worked_ns, uint64_t wanted_ns)
{
	uint64_t worked = worked_ns - company->worked_ns, wanted = wanted_ns - company->wanted_ns;

	if (worked < MEASURED_MIN_NS)
		return;
	double want = wanted < worked ? (double)wanted / (double)worked : 1;
	company->want = company->want > 0 ? (company->want + want) / 2 : want;
	company->worked_ns = worked_ns;
	company->wanted_ns = wanted_ns;
}

unsigned company_workers(const struct company *company)
{
	unsigned spare = company->processors > 1 ? company->processors - 1 : 1;

	if (!company->here || company->want <= 0)
		return COMPANY_NO_LIMIT;
	double workers = spare / company->want;
	return workers < COMPANY_NO_LIMIT ? (unsigned)workers : COMPANY_NO_LIMIT;
}
