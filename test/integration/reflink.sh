#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Source and target on one file system that shares blocks: what comes over takes no room, has its digest, and is the target's own.
. "$(dirname "$0")/lib.sh"

mkdir fs
truncate -s 600M fs.img
mkfs.xfs -q -m reflink=1 fs.img || skip 'needs an xfs with reflink'
mount -o loop fs.img fs || skip 'needs xfs and loop devices'
make_tree fs/source
mkdir fs/target
head -c 48M /dev/urandom >fs/source/large
head -c 3333333 /dev/urandom >fs/source/odd
for i in $(seq 40); do head -c 400K /dev/urandom >"fs/source/deep/$i"; done
touch -d '2001-02-03 04:05:06.789' fs/source/large fs/source/odd
sync -f fs

used_mib() { df -B1M --output=used fs | tail -1 | tr -d ' '; }
before=$(used_mib)
start one "$work/fs/source" "$work/fs/target"
await_complete "$work/fs/target"
sync -f fs
check 'what came over takes no room' test $(($(used_mib) - before)) -lt 24 # of 66; the state takes some
check 'every byte is as its digest says' "$admin" verify --full 1
finish one "$work/fs/target"
check 'the trees are equal' same fs/source fs/target
sum=$(sha256sum <fs/source/large)
printf 'of the target' | dd of=fs/target/large bs=1 seek=1000000 conv=notrunc status=none
equal 'a write to the target stays there' "$(sha256sum <fs/source/large)" "$sum"
