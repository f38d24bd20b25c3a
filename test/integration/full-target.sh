#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A target without room: what has not come over is read from the source, and the migration goes on by itself when there is room.
. "$(dirname "$0")/lib.sh"

mkdir source
for i in $(seq 40); do head -c 2M /dev/urandom >source/file$i; done
fresh_fs target 64M
m=$work/target
start one "$work/source" "$m"
wait_for 60 figure_is "$m" target_full true
say "$("$admin" stat "$m" | grep -iE 'full|room' || echo 'stat says nothing of the full disk')"
for i in $(seq 40); do cmp source/file$i target/file$i || fail "file$i"; done
say 'ok: every file is read'
refused 'an application that writes is told' 1 'No space' sh -c "head -c 30M /dev/zero >target/new"
rm -f target/new
refused 'finish' 4 'not come over' "$admin" finish "$m"
stop one "$m"
start one "$work/source" "$m"
for i in 1 20 40; do cmp source/file$i target/file$i || fail "file$i"; done
say 'ok: after a restart, too'

truncate -s 200M target.img
losetup -c "$(losetup -nO NAME -j target.img)"
wait_for 30 sh -c "rm -f '$m/x' && dd if=/dev/zero of='$m/x' bs=1 count=0 2>/dev/null"
rm -f target/x
findmnt -rno SOURCE --first-only "$m" >/dev/null
resize2fs -f "$(losetup -nO NAME -j target.img)" >resize.out 2>&1 || { umount -l "$m"; cat resize.out; skip 'the file system cannot grow here'; }
await_complete "$m" 120
finish one "$m"
check 'nothing was lost' same -t . source target
