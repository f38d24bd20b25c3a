#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# While readers of a file wait for the source, what is here of the same file can be opened, asked and read, and new bytes
# written: nobody who does not need the source waits for it.
. "$(dirname "$0")/lib.sh"

mkdir -p source target
head -c 4M /dev/urandom >source/file
slow
start_slow one "$work/source" "$work/target" -o background=off,segsize=64K,whole=0
stat target/file >/dev/null
dd if=target/file of=/dev/null bs=64K count=1 skip=50 iflag=direct status=none
slow 'read hang -'
cat target/file >whole.out & reader=$!
sleep 0.5

at_once() { local what=$1; shift; check "$what" timeout -k 1 60 "$@"; }
for round in first second; do
	at_once "$round: attributes" stat target/file
	at_once "$round: open, and what is here" dd if=target/file of=here bs=64K count=1 skip=50 status=none
	at_once "$round: write what covers a segment" python3 -c 'import os; os.pwrite(os.open("target/file", os.O_WRONLY), b"x" * 65536, 65536 * 40)'
	at_once "$round: attributes, changed" stat target/file
	at_once "$round: read it" dd if=target/file of=written bs=64K count=1 skip=40 status=none
	at_once "$round: change the mode" chmod 640 target/file
	at_once "$round: rename" mv target/file target/other
	at_once "$round: and back" mv target/other target/file
	at_once "$round: fsync" sync target/file
done
check 'what was here' cmp here <(dd if=source/file bs=64K count=1 skip=50 status=none)
slow
wait $reader
python3 -c 'import os; os.pwrite(os.open("source/file", os.O_WRONLY), b"x" * 65536, 65536 * 40)'
check 'the reader has all' cmp source/file whole.out
stop one target
