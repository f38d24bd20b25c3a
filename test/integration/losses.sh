#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The loss report: what could not be carried, by kind, with the paths; the same from a daemon, of a migration that is halted, and of one
# that is finished.
. "$(dirname "$0")/lib.sh"
m=$work/target
export DMMFS_DAEMON=$dmmfs

losses() { "$admin" losses "$@" >losses.out 2>losses.err || { cat losses.err; fail "losses $*"; }; }
# of KIND KEY: from losses.out, which is JSON.
of() { python3 -c 'import json, sys
for kind in json.load(open("losses.out"))["kinds"]:
    if kind["kind"] == sys.argv[1]: print(kind[sys.argv[2]] if sys.argv[2] != "listed" else len(kind["listed"]))' "$1" "$2"; }

# Attributes that the target has no room for, on a file system that has.
mkdir source target
mount -t tmpfs none source
mkdir source/dir
head -c 20000 /dev/zero | tr '\0' x >value
for n in $(seq 15); do
	echo "$n" >source/dir/$n
	setfattr -n user.large -v "0s$(base64 -w 0 value)" source/dir/$n 2>/dev/null || skip 'needs tmpfs with extended attributes'
done
setfattr -n user.larger -v "0s$(base64 -w 0 value)" source/dir/1
printf 'bad' >source/bad
echo left >source/left.tmp
setfattr -n user.large -v "0s$(base64 -w 0 value)" "$(printf 'source/odd \xff')" 2>/dev/null ||
	{ echo odd >"$(printf 'source/odd \xff')" && setfattr -n user.large -v "0s$(base64 -w 0 value)" "$(printf 'source/odd \xff')"; }
fresh_fs target 64M

say '--- while it runs'
slow 'read error EIO bad'
start_slow one "$work/source" "$m" -o errorretries=0,whole=0,order='skip *.tmp'
error_waits() { [ "$("$admin" errors --json --state waiting "$m" | grep -c '"id"')" = 1 ]; }
wait_for 30 error_waits
losses --json "$m"
equal 'an object counts once' 16 "$(of xattr objects)"
equal 'what it lost counts each' 17 "$(of xattr losses)"
equal 'the first ones are listed' 10 "$(of xattr listed)"
equal 'what was left out' 1 "$(of skipped objects)"
equal 'an error that waits is no loss' '' "$(of object objects)"
"$admin" waive bad "$m" >/dev/null
losses --json --paths "$m"
equal 'one that is waived is' 1 "$(of object objects)"
equal 'all of them are listed' 17 "$(of xattr listed)"
losses "$m"
check 'people get a sentence' grep -q '^xattr: 16 objects\. An extended attribute' losses.out
check 'and how many more there are' grep -q 'and 7 more' losses.out
losses --kind object "$m"
equal 'one kind alone' 1 "$(grep -c '^[a-z]' losses.out)"
losses --paths --kind xattr "$m"
check 'with all paths' grep -q '^    dir/15  user.large' losses.out
check 'and odd names' grep -q '^    odd .xff  user.large' losses.out
cp losses.out running
await_complete "$m"

say '--- halted'
stop one "$m"
losses --paths --kind xattr "$m"
check 'the state is read' diff <(sort running) <(sort losses.out)
refused 'no state' 7 'no state|No such file' sh -c "mv '$m/.dmmfs' '$m/moved' && '$admin' losses '$m'; code=\$?; mv '$m/moved' '$m/.dmmfs'; exit \$code"

say '--- finished'
slow 'read error EIO bad'
start_slow one "$work/source" "$m" -o errorretries=0,whole=0
finish one "$m"
no_trace target
losses --json --paths "$m"
equal 'it is still told' '16 17 17 1' "$(of xattr objects) $(of xattr losses) $(of xattr listed) $(of object objects)"
refused 'no migration' 3 'no migration' "$admin" losses 4711
refused 'wrong use' 2 'unrecognized|--help' "$admin" losses --nosuch "$m"
