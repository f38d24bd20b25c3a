#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# While applications ask much of the mount the processors are kept awake, and not a moment longer than needed.
. "$(dirname "$0")/lib.sh"

device=/dev/cpu_dma_latency
mnt=$work/target
mkdir -p source target
echo content >source/file

work_on_it()
{
	rm -f enough
	applications=
	for n in 1 2; do
		python3 -c '
import os, sys
while not os.path.exists("enough"):
    for _ in range(200):
        os.close(os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY))
        os.unlink(sys.argv[1])' "$mnt/new$n" &
		applications="$applications $!"
	done
}
# shellcheck disable=SC2086
go_away() { : >enough && wait $applications; }
keeps_awake() { [ -n "$(find "/proc/$(worker one)/fd" -lname $device 2>/dev/null)" ]; } # others come and go meanwhile
lets_sleep() { ! keeps_awake; }

start one "$work/source" "$mnt" -o awake=on
check 'nobody asks anything' lets_sleep
work_on_it
if { : >$device; } 2>/dev/null; then
	wait_for 30 keeps_awake
	say 'ok: much work keeps processors awake'
	go_away
	wait_for 10 lets_sleep
	say 'ok: they may sleep when it is over'
else
	wait_for 30 grep -q "processors may sleep.*path=$device" one.log
	say 'ok: where the device is missing the log tells'
	go_away
fi
stop one "$mnt"

start one "$work/source" "$mnt" -o awake=off
work_on_it
for _ in {1..20}; do
	lets_sleep || fail 'processors are kept awake although awake is off'
	sleep 0.05
done
go_away
stop one "$mnt"
