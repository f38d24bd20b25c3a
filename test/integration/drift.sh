#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A source that changes although it must not: told, or refused until the administrator decides; also of a file that came with its
# directory.
. "$(dirname "$0")/lib.sh"
m=$work/target

mkdir -p source/dir target
for name in one two three same; do head -c 300K /dev/zero | tr '\0' o >source/dir/$name; done
head -c 10K /dev/zero | tr '\0' o >source/small
# change NAME: other bytes, the same size.
change() { head -c "$(stat -c %s "source/$1")" /dev/zero | tr '\0' n >new && cp new "source/$1"; }
kind() { "$admin" errors --json "$m" | python3 -c 'import json,sys
print(*[e["path"] + ":" + e["what"] + ":" + e["state"] for e in json.load(sys.stdin)])'; }

say '--- report: what came stays, and that is told'
start_slow one "$work/source" "$m" -o background=off,segsize=64K,whole=0
ls target/dir >/dev/null
change dir/one
check 'the file is read' cmp source/dir/one target/dir/one
wait_for 10 figure_is "$m" drift_found 1
equal 'the ledger has it, and blocks nothing' 'dir/one:drift:waived 0' "$(kind) $(figure "$m" files_error)"
check 'the others are read' cmp source/dir/same target/dir/same
equal 'these are nothing to tell of' dir/one:drift:waived "$(kind)"

say '--- between the first byte and the last'
dd if=target/dir/two bs=64K count=1 status=none >/dev/null
change dir/two
check 'the rest is read' dd if=target/dir/two of=out bs=64K skip=1 status=none
wait_for 10 figure_is "$m" drift_found 2
stop one "$m"

say '--- fail: an error until the administrator decides'
start_slow one "$work/source" "$m" -o background=off,segsize=64K,drift=fail
change dir/three
touch -d '2001-01-01' source/dir/three # the size and the time may be as they were: the change time is not
# One block: what is left after it is the retry's to bring.
refused 'an application gets an error' 1 'Input/output' dd if=target/dir/three of=out bs=4K count=1
wait_for 10 figure_is "$m" files_error 1
equal 'it waits at once' 'dir/one:drift:waived dir/two:drift:waived dir/three:drift:waiting' "$(kind)"
refused 'finish' 4 'in error|have not come over' "$admin" finish "$m"
check 'tried again' "$admin" retry dir/three "$m"
wait_for 10 figure_is "$m" files_error 0
check 'it came over as it is now' cmp source/dir/three target/dir/three
equal 'that it changed stays told' 3 "$(figure "$m" drift_found)"
check 'and after all' "$admin" set -p background=on "$m"
finish one "$m"
check 'all is there' sh -c 'cmp source/small target/small && cmp source/dir/same target/dir/same'
no_trace target

say '--- a small file that changes while it is read'
mkdir other
slow 'read delay 60000 small' # or until it is told otherwise
rm requests
start_slow two "$work/source" "$work/other"
wait_for 10 sh -c 'grep -q "^read .*small" requests'
change small
slow
await_complete "$work/other"
check 'it is told' sh -c "'$admin' errors --json '$work/other' | grep -q '\"kind\": \"drift\"'"
check 'and came again' cmp source/small other/small
finish two "$work/other"
