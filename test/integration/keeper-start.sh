#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The daemon was killed, and for a while no other one can begin: programs wait, the migration counts as running, and it goes on as soon
# as one can.
. "$(dirname "$0")/lib.sh"
m=$work/target
export DMMFS_DAEMON=$dmmfs

is_noted() { "$admin" db dump | grep '"name":"state"' | grep -q "\"value\":\"$1\""; }

make_tree source
mkdir target
start one "$work/source" "$m" -o background=off
exec 9<>target/plain
chmod 777 "$DMMFS_RUNDIR" # which a daemon refuses
kill -9 "$(worker one)"
cat target/deep/er/est/file >out 2>&1 &
reader=$!
wait_for 60 eval '[ "$(grep -c event=died one.log)" -ge 3 ]'
check 'it is told why' grep -q 'error: .*socket of the migration cannot be opened' one.log
check 'the mount stays' findmnt -rn -t fuse.dmmfs -M target
check 'nobody noted that it was halted' is_noted running
chmod 700 "$DMMFS_RUNDIR"
wait_for 60 grep -q event=takeover one.log
check 'who waited has the data' wait $reader
check 'that is right' cmp out source/deep/er/est/file
check 'what was open is open' cmp source/plain /dev/fd/9
exec 9<&-
"$admin" set -p background=on 1 >/dev/null
finish one "$m"
check 'the tree is the source' same source target
no_trace target
