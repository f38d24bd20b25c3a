#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Somebody takes the mount away while the daemon waits for that, or is about to give way to another process: it ends once, in order, and
# takes nothing away that lies below the mount.
. "$(dirname "$0")/lib.sh"
m=$work/target

make_tree source
fresh_fs target 64M
disk_is_there() { [ "$(findmnt -rno FSTYPE -M "$m")" = ext4 ]; }
# ended_once: nobody died, and nobody came after.
ended_once()
{
	reap one
	if grep -E 'event=(died|takeover)' one.log; then fail "$1"; fi
	grep -q 'event=stop state=halted' one.log || fail "$1: it did not halt"
	say "ok: $1"
}

say '--- while a halt waits for an open file'
start one "$work/source" "$m"
exec 9<target/plain
"$admin" halt --wait 60 "$m" >halt.out 2>&1 &
halt=$!
wait_for 20 grep -q 'asked to halt' one.log
exec 9<&-
umount target || : # it may have been faster
check 'who asked is told' wait $halt
ended_once 'halted'
check 'the disk is still mounted' disk_is_there

say '--- asked to end several times'
start one "$work/source" "$m"
worker=$(worker one)
for _ in 1 2 3 4 5; do kill -TERM "$worker" "${pid[one]}" 2>/dev/null || :; done
ended_once 'halted'
check 'the disk is still mounted' disk_is_there

say '--- around the moment in which it gives way'
cat >upgrade.py <<'END'
import ctypes, json, os, socket, struct, sys, time
path, mountpoint, pause_ms = sys.argv[1:]
with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
    peer.connect(path)
    body = json.dumps({"op": "upgrade", "begin": True}).encode()
    peer.sendall(struct.pack(">I", len(body)) + body)
    size = struct.unpack(">I", peer.recv(4, socket.MSG_WAITALL))[0]
    reply = json.loads(peer.recv(size, socket.MSG_WAITALL))
    assert reply["ok"], reply
time.sleep(int(pause_ms) / 1000)
libc = ctypes.CDLL(None, use_errno=True)
if libc.umount2(mountpoint.encode(), 0) < 0:
    sys.exit(os.strerror(ctypes.get_errno()))
END
for pause_ms in 0 170 180 190 195; do
	start one "$work/source" "$m"
	check "$pause_ms ms after it was asked" python3 upgrade.py "$DMMFS_RUNDIR/1.sock" "$m" $pause_ms
	reap one
	if grep -E 'event=died' one.log; then fail 'it died'; fi
	disk_is_there || fail 'the disk was unmounted'
done
start one "$work/source" "$m"
finish one "$m"
check 'the tree is the source' same source target
no_trace target
