#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Readers of the same segment share one fetch, several segments move at a time, and a directory is listed once.
. "$(dirname "$0")/lib.sh"

mkdir -p source/dir target
head -c 1M /dev/urandom >source/file
touch source/dir/{a,b,c}
slow 'read delay 400' 'list delay 400'
start_slow one "$work/source" "$work/target" -o background=off,segsize=256K,whole=0,nopassthrough

for n in $(seq 12); do stat target/dir/a >/dev/null & readers[n]=$!; done
wait "${readers[@]}"
equal 'a directory is listed once for all' 1 "$(requests open | tail -n 1 | sed 's/.*/1/')"
equal 'its list is asked for once' 2 "$(requests list /dir)" # and once for the end of it
: >requests

# O_DIRECT: each reader asks by itself, the kernel does not join them.
for n in $(seq 12); do dd if=target/file of="out.$n" bs=64K count=1 skip=4 iflag=direct status=none & readers[n]=$!; done
wait "${readers[@]}"
for n in $(seq 12); do cmp -s <(dd if=source/file bs=64K count=1 skip=4 status=none) "out.$n" || fail "reader $n got other bytes"; done
equal 'the bytes of a segment are read once for all' 262144 "$(awk '$1 == "read" { bytes += $3 } END { print bytes }' requests)"

: >requests
slow 'read hang -'
readers=()
for n in 0 8 12; do dd if=target/file of="out.$n" bs=64K count=4 skip=$n iflag=direct status=none & readers[n]=$!; done
three_asked() { [ "$(requests read)" = 3 ]; }
wait_for 10 three_asked # and none is answered
say 'ok: segments are asked for beside each other'
slow
wait "${readers[@]}"
check 'the file' cmp source/file target/file
stop one target
