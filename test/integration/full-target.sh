#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A target without room: what has not come over is read from the source, and the migration goes on by itself when there is room.
. "$(dirname "$0")/lib.sh"

mkdir source
for i in $(seq 40); do head -c 2M /dev/urandom >source/file$i; done
fresh_fs disk 128M
mkdir disk/target
head -c 70M /dev/zero >disk/ballast
m=$work/disk/target
start one "$work/source" "$m"
wait_for 60 figure_is "$m" target_full true
say "$("$admin" stat "$m" | grep -iE 'full|room' || echo 'stat says nothing of the full disk')"
for i in $(seq 40); do cmp source/file$i disk/target/file$i || fail "file$i"; done
say 'ok: every file is read'
refused 'an application that writes is told' 1 'No space' sh -c "head -c 30M /dev/zero >disk/target/new"
rm -f disk/target/new

# The daemon looks every few seconds whether there is room; its state sometimes finds some where a file does not.
refused_for_room()
{
	local status=0
	"$admin" finish "$m" >finish.out 2>&1 || status=$?
	[ $status -eq 1 ] || [ $status -eq 4 ] || { cat finish.out && fail "finish: status $status"; }
	grep -q 'make room' finish.out
}
wait_for 30 refused_for_room
say "ok: finish: $(cat finish.out)"
stop one "$m"
start one "$work/source" "$m"
for i in 1 20 40; do cmp source/file$i disk/target/file$i || fail "file$i"; done
say 'ok: after a restart, too'

say '--- room is made'
rm disk/ballast
await_complete "$m" 60
finish one "$m"
check 'nothing was lost' same -t . source disk/target
no_trace disk/target
