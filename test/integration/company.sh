#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# While applications are at work the background leaves them a processor, and goes on; workers that only wait are left alone.
. "$(dirname "$0")/lib.sh"

# As if there were two processors, or one.
taskset -pc "$(taskset -pc $$ | sed 's/.*: //' | tr ',-' '\n\n' | head -n 2 | sort -nu | paste -sd,)" $$ >/dev/null

mnt=$work/target
mkdir -p source target
for n in {1..30}; do head -c 2M /dev/zero >source/$n; done

# By number: to look at the mount would be work on it.
work_on_it()
{
	rm -f enough
	while [ ! -e enough ]; do : >"$mnt/new" && rm "$mnt/new"; done &
	application=$!
}
go_away() { : >enough && wait "$application" && : >"$mnt/new" && rm "$mnt/new"; }
workers() { echo "$(figure 1 names_workers) $(figure 1 data_workers)"; }
all_work() { [ "$(workers)" = "$all" ]; }
left_alone() { [ "$(figure 1 served_p90_us)" != null ] && [ "$(figure 1 data_workers)" -gt 1 ]; }
leaves_one() { figure_is 1 yields_to company && [ "$(workers)" = '1 1' ]; }
moved() { figure 1 background_bytes; }
has_moved() { [ "$(moved)" -gt "$before" ]; }

slow 'read spin 100' # of a processor, for 960 segments
start_slow one "$work/source" "$mnt" -o segsize=64K,whole=0
all="$(figure 1 names_workers_max) $(figure 1 data_workers_max)"
before=0
wait_for 30 has_moved
wait_for 30 all_work
say "ok: all workers go on when nobody is there"
work_on_it
wait_for 30 leaves_one
say 'ok: beside an application one of each goes on'
wait_for 10 eval '"$admin" stat 1 | grep -q "leaves a processor to the applications"'
say 'ok: people are told'

timeout 60 sh -c 'while :; do :; done' & hogs=$!
timeout 60 sh -c 'while :; do :; done' & hogs="$hogs $!"
for _ in 1 2 3; do
	before=$(moved)
	wait_for 60 has_moved
done
# shellcheck disable=SC2086
kill $hogs 2>/dev/null || : # or their time is over
say 'ok: it comes forward beside programs that use all processors'

slow 'read delay 150'
wait_for 30 left_alone
say 'ok: workers that wait for the source are left alone'
go_away
wait_for 30 all_work
equal 'nobody is yielded to' null "$(figure 1 yields_to)"
stop one "$mnt"
