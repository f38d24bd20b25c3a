#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A finish that is cut off at any of its steps is completed by the next start.
. "$(dirname "$0")/lib.sh"

make_tree source
for point in finish-begin finish-unmounted finish-cleaned; do
	mkdir $point
	DMMFS_FAULT=$point:1 start one "$work/source" "$work/$point"
	await_complete "$work/$point"
	"$admin" finish "$work/$point" >/dev/null 2>&1 && fail "$point: finish succeeded, though its daemon was killed"
	wait_for 10 ended one
	unset "pid[one]"
	"$dmmfs" "$work/source" "$work/$point" -o "logfile=$work/again.log" >again.out 2>&1 || { cat again.out; fail "$point: the next start"; }
	say "$point: $(cat again.out)"
	if findmnt -rn -M "$work/$point" >/dev/null; then
		await_complete "$work/$point"
		check "$point: finish once more" "$admin" finish "$work/$point"
	fi
	check "$point: the tree is the source" same source $point
	no_trace $point
	equal "$point: it is complete" complete "$(figure "$work/$point" state)"
done

mkdir auto
launch auto "$work/source" "$work/auto" -o autofinish=on
reap auto
check 'autofinish: the tree is the source' same source auto
no_trace auto
mkdir slow
start slow "$work/source" "$work/slow" -o autofinish=on,background=off
stop slow "$work/slow"
start slow "$work/source" "$work/slow" -o background=on || :
reap slow
check 'autofinish after a restart: the tree is the source' same source slow
no_trace slow
