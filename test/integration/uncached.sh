#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What nobody asked for does not take the place in memory of what applications use, and lies side by side on the disk all the same.
. "$(dirname "$0")/lib.sh"

mkdir fs
truncate -s 400M fs.img
mkfs.xfs -q -m reflink=0 fs.img || skip 'needs xfs'
mount -o loop fs.img fs || skip 'needs xfs and loop devices'
mkdir -p fs/source fs/target
for i in 1 2; do head -c 64M /dev/urandom >"fs/source/$i"; done
sync -f fs

can_leave_no_pages()
{
	python3 - "$1" <<-'EOT'
	import os, re, sys
	if [int(number) for number in re.findall(r"\d+", os.uname().release)[:2]] < [6, 16]:
	    sys.exit(1)
	try:
	    os.preadv(os.open(sys.argv[1], os.O_RDONLY), [bytearray(4096)], 0, 0x80)  # RWF_DONTCACHE
	except OSError:
	    sys.exit(1)
	EOT
}
forget() { dd of="$1" oflag=nocache conv=notrunc,fdatasync count=0 status=none; }
pages_mib() { fincore -nrb -o RES "$1" | awk '{ printf "%d", $1 / 1048576 }'; }
extents() { filefrag "$1" | awk '{ print $(NF - 2) }'; }

for i in 1 2; do forget "fs/source/$i"; done
start one "$work/fs/source" "$work/fs/target"
await_complete "$work/fs/target"
finish one "$work/fs/target"
if can_leave_no_pages fs/source/1; then
	for i in 1 2; do
		check 'the target keeps little in memory of what nobody asked for' test "$(pages_mib "fs/target/$i")" -lt 16
		check 'the source neither' test "$(pages_mib "fs/source/$i")" -lt 16
		# In pieces of 32 MiB, whichever of both files is written when.
		check 'a file is in one piece or a few' test "$(extents "fs/target/$i")" -le 8
	done
else
	say 'this kernel keeps pages of all it writes: Linux 6.16 or newer does not'
fi
for i in 1 2; do check 'what came over is what was there' cmp "fs/source/$i" "fs/target/$i"; done

say '--- a file system that cannot'
mkdir memory
mount -t tmpfs -o size=160M tmpfs memory
mkdir memory/target
start two "$work/fs/source" "$work/memory/target"
await_complete "$work/memory/target"
finish two "$work/memory/target"
for i in 1 2; do check 'what came over is what was there' cmp "fs/source/$i" "memory/target/$i"; done
