#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What is done to the target past the mount, while no daemon runs, is not made worse: nothing that was written is overwritten or removed
# unasked, and it is told.
. "$(dirname "$0")/lib.sh"
s=$work/source t=$work/target

make_tree source
mkdir source/full && for name in one two three four; do head -c 300000 /dev/urandom >source/full/$name; done
mkdir target raw
mount --bind target raw # what lies below the mount
start one "$s" "$t" -o background=off,segsize=64K
cat "$t/full/one" >/dev/null
stop one "$t"

sleep 0.1 # the clock of the file system goes in steps
dd if=/dev/zero of=target/large bs=64K seek=10 count=1 conv=notrunc status=none
sleep 0.1
start one "$s" "$t" -o background=off # which looks at nothing
stop one "$t"
sleep 0.1
echo mine >target/deep/two
echo other >target/deep/mine
rm target/full/two
mv target/full/three target/renamed
mv target/deep target/full/moved
echo replaced >target/full/new && mv target/full/new target/full/four
sleep 0.1

start one "$s" "$t" -o background=on
told() { "$admin" errors --json 1 | grep -q '"what": "beside"'; }
wait_for 30 told
check 'the rest comes over' wait_for 30 figure_is "$t" files_pending 1
check 'what was written is not fetched over' cmp -n 65536 /dev/zero <(dd if=raw/large bs=64K skip=10 count=1 status=none)
equal 'a file in the way moved aside' mine "$(cat "$t/full/moved/two.collision-1")"
equal 'and the source has its name' linked "$(cat "$t/full/moved/two")"
equal 'another one stays' other "$(cat "$t/full/moved/mine")"
check 'a directory that was moved came over' same -t . -x two.collision-1 -x mine source/deep "$t/full/moved"
check 'what was removed does not come back' test ! -e "$t/full/two"
check 'what was renamed came over' cmp source/full/three "$t/renamed"
equal 'what was replaced stays' replaced "$(cat "$t/full/four")"
refused 'finish waits for a decision' 4 'errors' "$admin" finish "$t"
stop one "$t"

start one "$s" "$t"
wait_for 30 told
check 'nor after another start' cmp -n 65536 /dev/zero <(dd if=raw/large bs=64K skip=10 count=1 status=none)
check 'the administrator wants the source' "$admin" retry 1
await_complete "$t"
check 'it is there' cmp source/large "$t/large"
finish one "$t"
umount raw
no_trace target

say '--- halted while a directory is populated'
mkdir -p many/dir half raw
(cd many/dir && seq 10000 | xargs touch)
mount --bind half raw
start two "$work/many" "$work/half" -o background=on
wait_for 30 sh -c '[ "$(ls raw/dir | wc -l)" -gt 500 ]'
stop two "$work/half"
start two "$work/many" "$work/half" -o background=on
finish two "$work/half"
umount raw
check 'what was made then is not taken for somebody else'"'"'s' same many half
