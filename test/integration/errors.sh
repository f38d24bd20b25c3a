#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The error ledger: what is in error waits, is tried again when the administrator says so, or is waived; finish goes ahead with what is
# waived, leaves nothing of it that would read as zeros, and lists it.
. "$(dirname "$0")/lib.sh"
m=$work/target

# count STATE: entries in it.
count() { "$admin" errors --json --state "$1" "$m" | grep -c '"id":' || :; }
count_is() { [ "$(count "$1")" = "$2" ]; }
field() { "$admin" errors --json "$m" | python3 -c 'import json,sys
for e in json.load(sys.stdin):
    if e["path"] == sys.argv[1]: print(e[sys.argv[2]])' "$1" "$2"; }

mkdir -p source/dir source/late source/gone target
for name in good bad changed waived; do head -c 300K /dev/urandom >source/dir/$name; done
echo late >source/late/file
echo link >source/several && ln source/several source/dir/link
cp -a source plain
slow 'read error EIO bad' 'read error EIO waived' 'list error EACCES late' 'list error EIO gone'

say '--- everything else comes over, the rest waits with what an application got'
start_slow one "$work/source" "$m" -o segsize=64K,errorretries=0,whole=0
wait_for 30 count_is waiting 4
check 'others came over' cmp plain/dir/good target/dir/good
equal 'no application has asked' None "$(field dir/bad told)"
refused 'an application gets the error' 1 'Input/output' cat target/dir/bad
equal 'the entry says what it got' EIO "$(field dir/bad told)"
refused 'of a directory, too' 2 'Permission' ls target/late
equal 'the entry says that' EACCES "$(field late told)"
refused 'finish names counts and commands' 4 '2 directories and 2 files are in error.*retry.*waive' "$admin" finish "$m"

say '--- retry'
slow 'read error EIO waived' 'list error EIO gone'
refused 'a path without an error' 1 'no error at or below' "$admin" retry nosuch "$m"
refused 'nothing changes when one name is wrong' 1 'no error 4711' "$admin" retry dir/bad 4711 "$m"
count_is waiting 4 || fail 'something changed'
check 'by a path below the mount' "$admin" retry "$m/dir/bad" "$m"
check 'by its number' "$admin" retry "$(field late id)" "$m"
wait_for 30 count_is fixed 2
check 'the file came over' cmp plain/dir/bad target/dir/bad
check 'so did the directory' cmp plain/late/file target/late/file
figure_is "$m" errors_fixed 2 || fail "errors_fixed is $(figure "$m" errors_fixed)"
check 'again is no error' "$admin" retry dir/bad "$m"
check 'all that is left, in vain' "$admin" retry "$m"
wait_for 30 count_is waiting 2

say '--- waive'
refused 'waive must be told what' 2 'name the errors' "$admin" waive "$m"
slow 'read error EIO waived' 'read error EIO changed' 'list error EIO gone'
check 'two at once' sh -c "'$admin' waive dir/waived '$m' & '$admin' waive dir '$m' && wait"
check 'and again' "$admin" waive dir/waived "$m"
count_is waived 1 || fail 'not waived'
refused 'an application still gets the error' 1 'Input/output' cat target/dir/waived
check 'and it stays waived' count_is waived 1
check 'un-waive by retry' "$admin" retry dir/waived "$m"
wait_for 30 count_is waiting 2
check 'all' "$admin" waive --all "$m"
count_is waived 2 || fail 'not all are waived'
await_complete "$m"
equal 'nothing is pending' '0 0 0' "$(figure "$m" files_pending) $(figure "$m" dirs_pending) $(figure "$m" bytes_pending)"
stop one "$m"

say '--- after a restart, what comes over after all is fixed'
slow 'read error EIO waived'
start_slow one "$work/source" "$m" -o segsize=64K,errorretries=0,whole=0
count_is waived 2 || fail 'it is not waived any more'
check 'demand still tries' sh -c "ls '$m/gone' >/dev/null"
wait_for 30 count_is waived 1
mv target/dir/waived target/dir/moved
stop one "$m"

say '--- a file that an application changed; finish, killed on the way'
rm -rf source/dir/waived
mkdir two two.source
for name in a b c; do head -c 300K /dev/zero | tr '\0' s >two.source/$name; done
slow 'read error EIO a' 'read error EIO b'
start_slow two "$work/two.source" "$work/two" -o segsize=64K,errorretries=0,whole=0
wait_for 30 figure_is "$work/two" files_error 2
head -c 64K /dev/zero | tr '\0' w | dd of=two/b bs=64K iflag=fullblock seek=1 conv=notrunc status=none
check 'waived' "$admin" waive --all "$work/two"
touch -r two two.times
"$admin" finish "$work/two" >out || { cat out; fail 'finish with waivers'; }
reap two
check 'finish lists them' grep -q 'removed from the target' out
check 'with the bytes that are zeros' grep -q '0-65535, 131072-307199' out
check 'what no application changed is gone' test ! -e two/a
check 'the times of its directory are not' test ! two -nt two.times -a ! two -ot two.times
check 'what was written is there' sh -c 'dd if=two/b bs=64K skip=1 count=1 status=none | tr -d w | cmp - /dev/null'
check 'the rest came over' cmp two.source/c two/c
no_trace two

say '--- finish of one that has another name by now, killed before its end'
start_slow one "$work/source" "$m" -o segsize=64K,errorretries=0,whole=0
kill_hard one
umount -l "$m"
DMMFS_FAULT=remains-removed:1 start_slow one "$work/source" "$m" -o segsize=64K,errorretries=0,whole=0
"$admin" finish "$m" >out 2>&1 && fail 'finish was not killed'
wait "${pid[one]}" || :
unset 'pid[one]'
umount -l "$m" 2>/dev/null || :
refused 'the next start completes it' 0 'complete' timeout 60 "$dmmfs" "slow://$work/source" "$m" -f -o plugindir="$DMMFS_BUILDDIR/test/plugins"
check 'it is gone under its other name' test ! -e target/dir/moved
check 'what came over is there' same -t . plain/late target/late
"$admin" finish --json "$m" >out || fail 'finish of what is complete'
check 'the list survived the kill' grep -q 'removed from the target' out
no_trace target

say '--- a directory that is waived after an attempt that failed on the way; what was there before stays'
mkdir -p three.source/late/sub three/late
for name in a b c; do head -c 3M /dev/urandom >three.source/late/$name; done
ln -s nowhere three.source/late/link
echo before >three/late/before
sleep 0.1
DMMFS_FAULT=populate-made:2:EIO start three "$work/three.source" "$work/three" -o errorretries=0,collision=overwrite
wait_for 30 figure_is "$work/three" dirs_error 1
check 'waived' "$admin" waive late "$work/three"
finish three "$work/three"
equal 'what the attempt made is gone' before "$(ls three/late)"
no_trace three

say '--- a waived directory of a migration without background'
mkdir -p four.source/locked four
echo open >four.source/open
slow 'list error EACCES locked'
start_slow four "$work/four.source" "$work/four" -o background=off,errorretries=0
refused 'an application gets the error' 2 'Permission' ls four/locked
check 'and has the rest' cmp four.source/open four/open
wait_for 30 figure_is "$work/four" dirs_error 1
check 'waived' "$admin" waive locked "$work/four"
finish four "$work/four"
no_trace four
