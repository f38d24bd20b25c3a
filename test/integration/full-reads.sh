#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A read never fails because the target is full: it is answered from the source. When there is room the migration goes on.
. "$(dirname "$0")/lib.sh"

mkdir source
for n in $(seq 8); do head -c 5M /dev/urandom >"source/$n"; done
head -c 1000 /dev/urandom >source/small
fresh_fs target 24M
start one "$work/source" "$work/target" -o segsize=256K
check 'every file is read' diff -r source target
check 'and again, from the end' sh -c 'for n in small 8 7 6 5 4 3 2 1; do cmp source/$n target/$n || exit 1; done'
check 'past the cache' sh -c 'for n in 8 7 6 5; do dd if=target/$n iflag=direct bs=1M status=none | cmp - source/$n || exit 1; done'
check 'in pieces that cross segments' python3 -c '
import os, random
for n in range(1, 9):
    with open(f"source/{n}", "rb") as a, open(f"target/{n}", "rb", buffering=0) as b:
        for i in range(20):
            off, length = random.randrange(5 << 20), random.randrange(600000)
            a.seek(off); b.seek(off)
            want, got = a.read(length), b""
            while len(got) < len(want):
                more = b.read(len(want) - len(got))
                assert more, (n, off, length, len(got))
                got += more
            assert got == want, (n, off, length)'
refused 'a write says that there is no room' 1 'No space left' dd if=/dev/zero of=target/new bs=1M count=30 status=none
rm -f target/new
[ "$(figure target files_error)" = 0 ] || say "files in error: $(figure target files_error)"
rm target/5 target/6 target/7 target/8
await_complete target 100
check 'with room the rest comes over' sh -c 'for n in small 1 2 3 4; do cmp source/$n target/$n || exit 1; done'
finish one "$work/target"
