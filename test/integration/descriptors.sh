#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# However many objects an application names, the daemon's descriptors stay few.
. "$(dirname "$0")/lib.sh"

work_on_fresh_fs 300M -N 60000
mkdir -p source target
python3 -c '
import os
for n in range(1500):
    os.mkdir(f"source/{n}")
    open(f"source/{n}/file", "w").write("x")'
ulimit -n 1024
start one "$work/source" "$work/target" -o background=off
# A table that grows makes whoever opens something wait for all processors.
room() { awk '/^FDSize/ { print $2 }' "/proc/$(worker one)/status"; }
[ "$(room)" -ge 1024 ] || fail "room for $(room) descriptors"
open_now() { find "/proc/$(worker one)/fd" -mindepth 1 | wc -l; }
find target -type f -exec cat {} + >/dev/null
[ "$(open_now)" -lt 900 ] || fail "$(open_now) descriptors after reading"
rmdir target/* 2>/dev/null || :
[ "$(open_now)" -lt 900 ] || fail "$(open_now) descriptors after removals that failed"
say "ok: $(open_now) descriptors"
check 'all goes on' sh -c 'mkdir target/new && rmdir target/new && cat target/1499/file'
stop one target

say '--- a file that is open when the mount goes is given back by the daemon itself'
start one "$work/source" "$work/target" -o background=off,whole=0
exec 3<"$(find target -name file | head -n 1)"
umount -l target
exec 3<&-
reap one
