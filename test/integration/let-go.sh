#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Who is told that a migration has halted or finished may unmount the file system of its target, which is gone then: the daemon has a
# mount of its own, and lets go of it before it answers. A start in the next moment does not meet the socket of the one that ends.
. "$(dirname "$0")/lib.sh"
m=$work/disk/target

# ended OP: asks for it, and unmounts the disk as soon as it is answered.
ended()
{
	python3 - "$DMMFS_RUNDIR/1.sock" "$1" "$work/disk" "$(basename "$(findmnt -no SOURCE disk)")" <<-'END'
		import ctypes, json, os, socket, struct, sys
		path, op, disk, loop = sys.argv[1:]
		libc = ctypes.CDLL(None, use_errno=True)
		assert os.path.exists(f"/sys/fs/ext4/{loop}")
		with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
		    peer.connect(path)
		    body = json.dumps({"op": op}).encode()
		    peer.sendall(struct.pack(">I", len(body)) + body)
		    size = struct.unpack(">I", peer.recv(4, socket.MSG_WAITALL))[0]
		    reply = json.loads(peer.recv(size, socket.MSG_WAITALL))
		    unmounted = libc.umount2(disk.encode(), 0) == 0
		    there = os.path.exists(f"/sys/fs/ext4/{loop}")
		if not reply["ok"] or not unmounted or there:
		    sys.exit(f"{reply}, " + ("the file system is still there" if there else os.strerror(ctypes.get_errno())))
	END
}

mount --make-rshared / # as everywhere but in a container
make_tree source
fresh_fs disk 64M
mkdir disk/target
for way in halt halt-after-takeover finish-after-takeover; do
	start one "$work/source" "$m"
	await_complete "$m"
	if [ "${way#*-}" = after-takeover ]; then # it has a name space of its own for mounts
		kill -9 "$(worker one)"
		wait_for 20 grep -q event=takeover one.log
	fi
	cat disk/target/plain disk/target/deep/er/est/file >out # files that were open a moment ago
	check "$way" ended "${way%%-*}"
	reap one
	mount -o loop disk.img disk
done
check 'the tree is the source' same source disk/target
no_trace disk/target
