#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What is waived may begin to come over while finish waits for the mount to go: then the state stays, and nothing reads as zeros.
. "$(dirname "$0")/lib.sh"
m=$work/target


mkdir -p source/late target
head -c 300K /dev/urandom >source/late/file
echo here >source/here
slow 'list error EIO late'
start_slow one "$work/source" "$m" -o errorretries=0,whole=0
wait_for 30 figure_is "$m" dirs_error 1
check 'waived' "$admin" waive late "$m"
await_complete "$m"

say '--- a directory that comes while finish waits'
exec 5<target/here
"$admin" finish --wait 30 "$m" >out 2>&1 &
finishing=$!
wait_for 20 grep -q 'event=asked to=finish' one.log
sleep 1 # it has looked whether all is here
slow 'read delay 60000 file'
check 'it comes' ls target/late/file
exec 5<&-
status=0
wait $finishing || status=$?
[ $status -ne 0 ] || fail 'finished with a file that had not come over'
check 'the administrator is told' grep -q 'have not come over' out
wait "${pid[one]}" || :
unset 'pid[one]'

say '--- the next start goes on'
slow ''
start_slow one "$work/source" "$m" -o errorretries=0,whole=0
finish one "$m"
check 'all is here' same source target
no_trace target
