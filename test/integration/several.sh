#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Two migrations at once; a second daemon on the same one is refused.
. "$(dirname "$0")/lib.sh"

for i in 1 2; do real_tree source$i 500; mkdir target$i access$i; done
start one "$work/source1" "$work/target1"
start two "$work/source2" "$work/access2" -o "target=$work/target2"
refused 'the same source and target at the same place' 32 'is mounted by dmmfs already' "$dmmfs" "$work/source1" "$work/target1"
refused 'the same target by another way' 32 'target2' "$dmmfs" "$work/source2" "$work/access1" -o "target=$work/target2"
refused 'the same target for another source' 32 'target2' "$dmmfs" "$work/source1" "$work/access1" -o "target=$work/target2"
equal 'the refused ones left no entry' 2 "$("$admin" list --json | grep -c '"migid"')"
check 'the first goes on' test -e target1/1/usr/include
check 'the second, too' test -e access2/1/usr/include
await_complete "$work/target1"
await_complete "$work/access2"
equal 'they are known by number' '1 2' "$("$admin" list --json | sed -n 's/^ *"migid": \([0-9]*\).*/\1/p' | sort | xargs)"
finish one "$work/target1"
check 'the other is not touched by the end of one' same source2 access2
finish two "$work/access2"
for i in 1 2; do check "tree $i" same source$i target$i; no_trace target$i; done
