/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Raising events. The slots are few and constant, so a loop is the whole mechanism.
 *
 * Several monitors: an event is asked of each in order. When a later one parks or refuses an exclusive event, the earlier ones
 * that hold the subject are told that nothing was done (end with -ECANCELED), and everything is raised again after the wake.
 */
#include "monitor/monitor.h"

#include <errno.h>

void monitor_register(struct monitor *monitor, const struct monitor_ops *ops, void *context)
{
	monitor->slots[monitor->count].ops = ops;
	monitor->slots[monitor->count++].context = context;
}

static bool exclusive(enum event_kind kind)
{
	return kind == EVENT_WRITE || kind == EVENT_RESIZE || kind == EVENT_PUNCH || kind == EVENT_CHANGE || kind == EVENT_TIMES;
}

static bool opens(enum event_kind kind)
{
	return kind == EVENT_OPEN || kind == EVENT_OPEN_WRITE || kind == EVENT_STILL_OPEN;
}

static void undo(const struct monitor *monitor, struct subject *subject, const struct event *event, unsigned count)
{
	struct event nothing = *event;

	nothing.error = -ECANCELED;
	for (unsigned i = 0; exclusive(event->kind) && i < count; i++)
		monitor->slots[i].ops->end(monitor->slots[i].context, subject, &nothing, NULL);
}

int monitor_begin(const struct monitor *monitor, struct subject *subject, const struct event *event, struct waiter *waiter,
                  bool *held)
{
	bool all_quiet = true;

	if (held)
		*held = false;
	if (subject_quiet(subject) && event->kind != EVENT_CLOSE) /* which is due to those who saw the open */
		return MONITOR_GO;
	for (unsigned i = 0; i < monitor->count; i++) {
		bool quiet = false;
		if (waiter) {
			waiter->by = monitor->slots[i].ops;
			waiter->by_context = monitor->slots[i].context;
			waiter->event = *event;
		}
		int result = monitor->slots[i].ops->begin(monitor->slots[i].context, subject, event, waiter, &quiet);
		if (result != MONITOR_GO) {
			undo(monitor, subject, event, i);
			return result;
		}
		all_quiet = all_quiet && quiet;
	}
	if (all_quiet)
		atomic_store_explicit(&subject->quiet, true, memory_order_release);
	if (held)
		*held = (exclusive(event->kind) || opens(event->kind)) && !all_quiet;
	return MONITOR_GO;
}

int monitor_end(const struct monitor *monitor, struct subject *subject, const struct event *event, struct waiter *waiter)
{
	int answer = MONITOR_GO;

	for (unsigned i = 0; i < monitor->count; i++) {
		if (waiter) {
			waiter->by = monitor->slots[i].ops;
			waiter->by_context = monitor->slots[i].context;
			waiter->event = *event;
		}
		int result = monitor->slots[i].ops->end(monitor->slots[i].context, subject, event, waiter);
		if (result != MONITOR_GO)
			answer = result;
	}
	return answer;
}

bool monitor_cancel(struct subject *subject, struct waiter *waiter)
{
	return waiter->by->cancel(waiter->by_context, subject, waiter);
}

void monitor_attr(const struct monitor *monitor, struct subject *subject, struct attr_overlay *overlay)
{
	bool all_quiet = true;

	for (unsigned i = 0; i < monitor->count; i++) {
		overlay->quiet = false;
		monitor->slots[i].ops->attr(monitor->slots[i].context, subject, overlay);
		all_quiet = all_quiet && overlay->quiet;
	}
	overlay->quiet = all_quiet;
	if (all_quiet && !subject_quiet(subject))
		atomic_store_explicit(&subject->quiet, true, memory_order_release);
}

bool monitor_resident(const struct monitor *monitor, struct subject *subject, uint64_t off, uint64_t *run)
{
	bool resident = true;

	*run = UINT64_MAX - off;
	for (unsigned i = 0; resident && !subject_quiet(subject) && i < monitor->count; i++)
		resident = monitor->slots[i].ops->resident(monitor->slots[i].context, subject, off, run);
	return resident;
}

uint64_t monitor_epoch(const struct monitor *monitor, const struct subject *subject)
{
	uint64_t epoch = 0;

	for (unsigned i = 0; i < monitor->count; i++)
		if (monitor->slots[i].ops->epoch)
			epoch += monitor->slots[i].ops->epoch(monitor->slots[i].context, subject);
	return epoch;
}

uint64_t monitor_settled(const struct monitor *monitor)
{
	uint64_t settled = 0;

	for (unsigned i = 0; i < monitor->count; i++)
		if (monitor->slots[i].ops->settled)
			settled += monitor->slots[i].ops->settled(monitor->slots[i].context);
	return settled;
}

void monitor_served(const struct monitor *monitor, uint64_t took_ns)
{
	for (unsigned i = 0; i < monitor->count; i++)
		if (monitor->slots[i].ops->served)
			monitor->slots[i].ops->served(monitor->slots[i].context, took_ns);
}
