#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A source that vanishes and returns. hard: whoever needs it waits, what is here is fast, no file is in error, and all goes on at once
# when it is back. soft: applications get the error, the ledger an entry, and all of it heals by itself.
. "$(dirname "$0")/lib.sh"
m=$work/target

mkdir -p source/here source/there target
for dir in here there; do for i in 1 2 3 4 5 6; do head -c 200K /dev/urandom >source/$dir/$i; done; done
unreachable() { figure "$m" source_error | grep -q "$1"; }

say '--- hard, which is the default'
start_slow one "$work/source" "$m" -o segsize=64K,background=off,retrans=1
cat target/here/* >/dev/null
ls target/there >/dev/null
slow 'any error ECONNREFUSED'
cat target/there/1 >read.out & reader=$!
wait_for 20 unreachable ECONNREFUSED
check 'what is here is read' timeout 60 cmp source/here/1 target/here/1
check 'and written' timeout 60 sh -c 'echo more >>target/here/2'
kill -0 $reader || fail 'the reader did not wait'
equal 'no file is in error' '0 0' "$(figure "$m" files_error) $(figure "$m" dirs_error)"
check 'stat tells people' sh -c "'$admin' stat '$m' | grep 'unreachable since.*ECONNREFUSED'"
cat target/there/1 >/dev/null & interrupted=$!
sleep 0.2
kill $interrupted
status=0
wait $interrupted || status=$?
equal 'by the signal' 143 "$status"
say 'ok: who waits can be interrupted'
sleep 2
slow
wait $reader || fail 'the read failed'
check 'the read went on' cmp source/there/1 read.out
equal 'it is over' null "$(figure "$m" source_error)"
equal 'begin and end are logged once' '1 1' "$(grep -c event=unreachable one.log) $(grep -c event=reachable one.log)"
stop one "$m"

say '--- soft, background'
slow 'read hang -' # so that something is left when all hangs
start_slow one "$work/source" "$m" -o background=on,soft,timeo=5,retrans=0,whole=0
wait_for 20 sh -c "ls '$m/there' | grep -q 6"
slow 'any hang -'
refused 'an application gets the error' 1 'timed out|Input/output' timeout 60 cat target/there/6
wait_for 20 unreachable ETIMEDOUT
sleep 2
errors=$(figure "$m" files_error)
[ "$errors" -ge 1 ] && [ "$errors" -le 6 ] || fail "errors: $errors"
"$admin" errors --json "$m" >out
check 'the entry says what the application got' grep -q '"told": "ETIMEDOUT"' out
check 'they are tried again by themselves' sh -c '! grep -q waiting out'
slow
wait_for 8 figure_is "$m" files_error 0
await_complete "$m" 20
check 'all is here' cmp source/there/6 target/there/6
finish one "$m"
no_trace target
