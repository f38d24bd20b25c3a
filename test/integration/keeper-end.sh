#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The daemon is killed while it ends: the next one brings to an end what was begun.
. "$(dirname "$0")/lib.sh"

make_tree source
# launch_armed NAME FAULT SOURCE MOUNTPOINT [OPTIONS]: with a keeper, which start does not give to one that is to die.
launch_armed()
{
	local name=$1 fault=$2
	shift 2
	DMMFS_FAULT=$fault "$dmmfs" "$@" -f >"$name.log" 2>&1 &
	pid[$name]=$!
	wait_for 60 serves_or_ended "$name"
}

for point in finish-begin finish-unmounted finish-cleaned; do
	mkdir $point
	launch_armed one $point:1 "$work/source" "$work/$point"
	await_complete "$work/$point"
	"$admin" finish "$work/$point" >finish.out 2>&1 || say "$point: $(head -n 1 finish.out)"
	if [ $point = finish-begin ]; then # nothing was begun
		wait_for 60 grep -q event=takeover one.log
		finish one "$work/$point"
	else
		wait_for 60 ended one
		reap one
	fi
	check "$point: it was killed there" grep -q 'event=died .*how=SIGKILL' one.log
	check "$point: the tree is the source" same source $point
	no_trace $point
done

say '--- killed while ours goes from a target that is not the mount point'
mkdir away elsewhere
launch_armed away ours-removed:2 "$work/source" "$work/away" -o target="$work/elsewhere"
await_complete "$work/away"
"$admin" finish "$work/away" >finish.out 2>&1 || say "$(head -n 1 finish.out)"
wait_for 60 ended away
reap away
equal 'it died once' 1 "$(grep -c event=died away.log)"
check 'the tree is the source' same source elsewhere
no_trace elsewhere

say '--- killed after a lazy finish, with a file open'
mkdir lazy
start two "$work/source" "$work/lazy"
await_complete "$work/lazy"
exec 9<>lazy/large
"$admin" finish --lazy "$work/lazy" >finish.out
kill -9 "$(worker two)"
check 'the open file goes on' cmp source/large /dev/fd/9
exec 9<&-
reap two
no_trace lazy

say '--- halted when it was killed a moment ago, and the keeper has not noticed yet'
mkdir again
start three "$work/source" "$work/again"
kill -STOP "${pid[three]}"
worker=$(worker three)
kill -9 "$worker"
wait_for 20 eval '[ "$(echo /proc/$worker/task/*)" = "/proc/$worker/task/$worker" ] && grep -q "^State:.Z" /proc/$worker/status'
"$admin" halt "$work/again" >halt.out 2>&1 &
halt=$!
sleep 0.2
kill -CONT "${pid[three]}"
check 'it is halted' wait $halt
check 'what was served meanwhile' grep -q 'is halted, .* is unmounted' halt.out
if findmnt -rn -t fuse.dmmfs -M again; then fail 'the mount is still there'; fi
reap three
