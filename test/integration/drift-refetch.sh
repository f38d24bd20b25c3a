#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# drift=refetch: a file whose source changed comes anew as it is now, also below those who have it open or mapped; what an application
# changed stays the application's.
. "$(dirname "$0")/lib.sh"
m=$work/target

mkdir -p source/dir target
for name in grown shrunk owned retried emptied; do
	head -c 2M /dev/zero | tr '\0' o >source/dir/$name
	setfattr -n user.state -v old source/dir/$name 2>/dev/null || skip 'needs extended attributes'
done
head -c 8M /dev/zero | tr '\0' o >source/dir/mapped
new() { head -c "$1" /dev/zero | tr '\0' n; }
detail() { "$admin" errors --json "$m" | python3 -c 'import json,sys
print(*[e["detail"] for e in json.load(sys.stdin) if e["path"] == sys.argv[1]], sep="\n")' "$1"; }
start_one() { start one "$work/source" "$m" -o background=off,segsize=64K,whole=0,drift=refetch; }
# The beginning is here and on record; the daemon compares with the listing when it meets the file again.
begin() { for name; do dd if="target/dir/$name" bs=64K count=1 status=none >/dev/null; done; }

start_one
begin grown shrunk owned emptied
printf own | dd of=target/dir/owned conv=notrunc status=none
stop one "$m"

new 3M >source/dir/grown
new 1M >source/dir/shrunk
chmod 600 source/dir/grown
setfattr -n user.state -v new source/dir/grown
setfattr -x user.state source/dir/shrunk
new 2M >source/dir/owned
: >source/dir/emptied

start_one
say '--- below an open file and a mapping, with pages of the old state in the cache'
cat >reader.py <<'EOF'
import mmap, os, sys, time
fd = os.open("target/dir/mapped", os.O_RDONLY)
pages = mmap.mmap(fd, 8 << 20, mmap.MAP_SHARED, mmap.PROT_READ)
assert pages[0:1] == b"o" and os.pread(fd, 1, 100) == b"o"
with open("source/dir/mapped", "wb") as source:
    source.write(b"n" * (8 << 20))
assert os.pread(fd, 8 << 20, 1 << 20)[-1:] == b"n" # finds the change after the last segment
end = time.monotonic() + 30
while pages[0:1] != b"n" or os.pread(fd, 1, 100) != b"n":
    assert time.monotonic() < end, "the old state stays in the cache"
    time.sleep(0.05)
assert pages[:] == b"n" * (8 << 20)
EOF
check 'the reader sees the new state' timeout -k 2 60 python3 reader.py

say '--- larger, smaller, empty'
for name in grown shrunk emptied; do
	tail -c 1 target/dir/$name >/dev/null # finds the change
	check "$name" cmp source/dir/$name target/dir/$name
	equal "$name: the attributes" "$(stat -c '%s %a %Y' source/dir/$name)" "$(stat -c '%s %a %Y' target/dir/$name)"
done
equal 'an attribute that changed' new "$(getfattr --only-values -n user.state target/dir/grown)"
check 'one that is gone' sh -c '! getfattr -n user.state target/dir/shrunk'
wait_for 10 figure_is "$m" drift_found 4
check 'it is told' grep -q 'brought anew as it is now' <<<"$(detail dir/grown)"

say '--- an application changed it, too'
tail -c 1 target/dir/owned >/dev/null
equal "the application's bytes, and around them the old state" ownoooo "$(head -c 7 target/dir/owned)"
equal 'behind them what had not come' nnn "$(tail -c 3 target/dir/owned)"
wait_for 10 figure_is "$m" drift_found 5
check 'that is told' grep -q 'may be mixed.*an application has changed it as well' <<<"$(detail dir/owned)"
equal 'nothing is in error' 0 "$(figure "$m" files_error)"

say '--- drift=fail: a retry takes all of the source as it is'
check 'set' "$admin" set -p drift=fail "$m"
begin retried
stop one "$m"
new 1500K >source/dir/retried
start one "$work/source" "$m" -o background=off,segsize=64K,whole=0,drift=fail
refused 'an application gets an error' 1 'Input/output' dd if=target/dir/retried of=out bs=4K count=1 skip=500
wait_for 10 figure_is "$m" files_error 1
check 'tried again' "$admin" retry dir/retried "$m"
wait_for 10 figure_is "$m" files_error 0
check 'all of it is new' cmp source/dir/retried target/dir/retried
check 'the background' "$admin" set -p background=on "$m"
await_complete "$m"
check 'verify finds nothing damaged' "$admin" verify "$m"
finish one "$m"
cmp source/dir/grown target/dir/grown
no_trace target
