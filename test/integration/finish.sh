#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Finish refuses while something is pending or open and says what; waits as told; detaches on demand, and what is open stays
# coherent with the plain tree.
. "$(dirname "$0")/lib.sh"
m=$work/target

make_tree source
head -c 10M /dev/urandom >source/data
mkdir target

start one "$work/source" "$m" -o background=off
ls target >/dev/null
refused 'with something pending' 4 'have not come over yet, and .* background=on 1' "$admin" finish "$m"
"$admin" pause "$m" >pause.out
refused 'paused' 4 'is paused: .*resume 1' "$admin" finish "$m"
"$admin" resume "$m" >pause.out
"$admin" finish --json "$m" >finish.out 2>&1 || :
check 'the same as JSON' grep -q '"EINPROGRESS"' finish.out
check 'the migration goes on' cmp source/data target/data
stop one "$m"

start one "$work/source" "$m" -o background=on
await_complete "$m"
sleep 300 <target/plain &
holder=$!
wait_for 5 sh -c "readlink /proc/$holder/fd/0 | grep -q target/plain && grep -q sleep /proc/$holder/comm"
refused 'with a file open' 4 'in use by 1 process' "$admin" finish "$m"
"$admin" finish "$m" >finish.out 2>&1 || :
check 'it names the process' grep -qE "$holder.*sleep" finish.out
check 'and the file' grep -q "$m/plain" finish.out
(cd target/deep && exec sleep 300) &
inside=$!
wait_for 5 sh -c "readlink /proc/$inside/cwd | grep -q target/deep && grep -q sleep /proc/$inside/comm"
refused 'with a process inside' 4 'in use by 2 processes' "$admin" finish "$m"
check 'the mount still serves' cmp source/data target/data
(sleep 2; kill $holder $inside) &
began=$SECONDS
check '--wait waits for both to end' "$admin" finish --wait 100 "$m"
[ $((SECONDS - began)) -lt 90 ] || fail 'it waited longer than needed'
reap one
check 'the tree is the source' same source target
no_trace target
check 'finishing what is complete' "$admin" finish 1

say '--- lazy'
mkdir other
start two "$work/source" "$work/other"
await_complete "$work/other"
exec 5<>other/plain 6<other/data 7<other/deep/er/est/file
cat <&7 >/dev/null
cp /bin/true other/made
cp /bin/true other/made-and-open
exec 8<other/made-and-open
cp /bin/true other/made-and-shared # opened by a writer first, which leaves a reader behind
exec 9<>other/made-and-shared 4<other/made-and-shared 9>&-
exec 9>other/made-in-company 3<other/made-in-company
cat /bin/true >&9
chmod +x other/made-in-company
exec 9>&-
check '--lazy' timeout 60 "$admin" finish --lazy "$work/other"
check 'new opens reach the plain tree' sh -c "! findmnt -rn -M '$work/other'"
wait_for 10 other/made
wait_for 10 other/made-and-open
wait_for 10 other/made-and-shared
wait_for 10 other/made-in-company
say 'ok: what was made here can be run from the plain tree, also when it is open'
rm other/made*
touch -r source other
equal 'what was open is read' "$(cksum <source/data)" "$(cksum <&6)"
echo 'from the plain tree' >other/plain
equal 'a write to the plain tree is seen through the old descriptor' 'from the plain tree' "$(cat <&5)"
echo 'through the old descriptor' >&5
check 'and the other way' grep -q 'through the old descriptor' other/plain
echo longer >>other/deep/er/est/file
equal 'what is appended there, too' longer "$(cat <&7)"
check 'the daemon stays for what is open' kill -0 "${pid[two]}"
exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&-
reap two
no_trace other
check 'the tree is the source' same -t plain -t deep/er/est/file -x plain -x deep/er/est/file source other
equal 'it is complete' complete "$(figure 2 state)"
