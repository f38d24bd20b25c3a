#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Two sources of one tree, both on this machine: disagreements, an interruption, retries, plan, verify, and a start that names another
# second source than before.
. "$(dirname "$0")/lib.sh"

mkdir -p first/dir/sub first/onlyhere/deep target
(
	cd first
	echo one >dir/one
	ln dir/one linked
	echo two >dir/sub/two
	echo three >README
	mkdir Ordner && echo four >Ordner/four
	echo size >size
	echo time >time
	echo x >onlyhere/deep/x
	echo t >type
	ln -s dir link
	mkfifo fifo
	for i in $(seq 12); do echo "$i" >"f$i"; done
)
cp -a first second
(
	cd second
	rm -rf onlyhere fifo link type
	mkdir type
	mv README readme
	mv Ordner ORDNER
	echo longer >size
	touch -d '2001-01-01 00:00:00' time
	echo a >alone
	echo also longer >linked
	setfattr -n user.DOSATTRIB -v of-one dir/one
	setfattr -n user.other -v not-wanted dir/one
	setfattr -n 'user.DosStream.name:$DATA' -v stream ORDNER/four
	setfattr -n user.DOSATTRIB -v of-the-top .
	# Not theirs to give.
	setfattr -n trusted.mine -v no f1
	setfacl -m u:1234:rwx f1
	chown 99:99 f1
	chmod 600 f1
)
touch -r first/f1 second/f1
export DMMFS_DAEMON=$dmmfs
nt=cifs=file://$work/second

refused 'what is no share' 1 'cifs=second: must be a share' "$dmmfs" "$work/first" "$work/target" -o cifs=second
mkdir wrong && echo w >wrong/w
refused 'another tree' 32 'do not show the same tree' "$dmmfs" "$work/first" "$work/target" -o "cifs=file://$work/wrong"
mkdir empty
refused 'an empty one' 32 'do not show the same tree' "$dmmfs" "$work/first" "$work/target" -o "cifs=file://$work/empty"

"$admin" plan --json -p source="$work/first" -p target="$work/target" -p "$nt" >plan.out 2>&1 || :
check 'plan finds what disagrees' grep -q sides-disagree plan.out
check 'plan finds what the second side alone has' grep -q smb-alone plan.out

start one "$work/first" "$work/target" -o "$nt,background=off"
ls target >/dev/null
refused 'what only one side has is not there' 2 'No such file' ls target/alone
kill_hard one
umount target
refused 'without the second source' 32 'was begun with cifs=' "$dmmfs" "$work/first" "$work/target" -o confdir="$work/elsewhere"
refused 'another one' 32 'was begun with cifs=|was created with cifs=' "$dmmfs" "$work/first" "$work/target" -o "cifs=file://$work/first"
start one "$work/first" "$work/target" -o background=on
wait_for 60 grep -q event=complete one.log

"$admin" errors --json "$work/target" >errors
told() { check "told: $1" python3 -c '
import json, sys
found = [e for e in json.load(open("errors")) if e["path"] == sys.argv[1]]
sys.exit(not (len(found) == 1 and found[0]["state"] == sys.argv[2] and sys.argv[3] in found[0]["detail"]))' "$@"; }
told size waived 'its size is 5, and 7 on the SMB side'
told time waived 'and 2001-01-01 00:00:00.0000000 on the SMB side'
told README waived 'its name on the SMB side is "readme"'
told Ordner waived 'its name on the SMB side is "ORDNER"'
told type waived 'it is a file, and a directory on the SMB side'
told onlyhere waived 'and so does all that is in it'
told linked waived 'its size is 4, and 12 on the SMB side'
told alone waiting 'it is on the SMB side alone'
check 'and is in the loss report' sh -c "'$admin' losses '$work/target' | grep -q disagreement"
equal 'and nothing else' 8 "$(python3 -c 'import json; print(len(json.load(open("errors"))))')"

value() { getfattr --only-values -n "$1" "target/$2" 2>/dev/null || :; }
equal 'an attribute of the second side' of-one "$(value user.DOSATTRIB dir/one)"
equal 'of the other name of the same file' of-one "$(value user.DOSATTRIB linked)"
equal 'of what has another name there' stream "$(value 'user.DosStream.name:$DATA' Ordner/four)"
equal 'of the top' of-the-top "$(value user.DOSATTRIB .)"
equal 'none but those of NT' '' "$(value user.other dir/one)$(value trusted.mine f1)"
check 'all else is of the first side' same -a first target

refused 'verify reads both, and finds what nobody has decided on' 6 'Unreadable +1 ' "$admin" verify --full "$work/target"
"$admin" waive alone "$work/target" >waive.out
check 'and not what is waived' "$admin" verify --full "$work/target"

check 'it is tried again' "$admin" retry alone "$work/target"
wait_for 20 sh -c "'$admin' errors --state waiting '$work/target' | grep -q alone"
cp -a second/alone first/alone
check 'and again, when both have it' "$admin" retry alone "$work/target"
wait_for 20 test -e target/alone
await_complete "$work/target"
check 'verify reads both' "$admin" verify --full "$work/target"
finish one "$work/target"
touch -r first target # it got a name later
check 'what remains is the first side' same -a first target
no_trace target

say '--- a state that is lost'
rm second/alone
mkdir again
start two "$work/first" "$work/again" -o "$nt,background=off"
ls again/dir >/dev/null
stop two "$work/again"
rm -r again/.dmmfs/state
check 'a new one is made from both' "$admin" db rebuild -f 2
start two "$work/first" "$work/again" -o background=on
await_complete "$work/again"
equal 'what came after it has its attributes' stream "$(getfattr --only-values -n 'user.DosStream.name:$DATA' again/Ordner/four)"
finish two "$work/again"
check 'it is the first side' same -a first again
