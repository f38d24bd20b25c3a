#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Signals without end to readers of a slow source, while what they read arrives: no wrong byte, no lost reader, no crash.
. "$(dirname "$0")/lib.sh"

mkdir -p source target
python3 -c 'import sys
block = lambda k: bytes(((k * 4096 + i) * 7 + k) & 255 for i in range(4096))
for k in range(4096): sys.stdout.buffer.write(block(k))' >source/file
slow 'read delay 3' 'open delay 2' 'list delay 20'
for options in background=off,segsize=4K,whole=0 background=off,segsize=64K,whole=0,nopassthrough background=on,segsize=64K,whole=64M; do
	start_slow one "$work/source" "$work/target" -o "$options"
	check "with $options" timeout 110 "$DMMFS_BUILDDIR/test/integration/interrupts" target/file 5 24
	tail -n 1 check.out
	check 'the file is right' cmp source/file target/file
	stop one target
	rm -rf target conf run && mkdir target
done
