#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# An archive of what has not come over: tar finds nothing that changes while it reads, and no difference afterwards.
. "$(dirname "$0")/lib.sh"

mkdir -p source/many target
real_tree source 300
for i in $(seq 400); do : >"source/many/a-name-of-some-length-so-that-the-directory-grows-$i"; done
head -c 20M /dev/urandom >source/large

start one "$work/source" "$work/target" -o background=off
equal 'tar says nothing' '' "$(tar -cf one.tar -C target . 2>&1)"
equal 'nothing differs from the archive' '' "$(tar -df one.tar -C target 2>&1)"
equal 'nothing differs from the source' '' "$(tar -df one.tar -C source 2>&1)"
stop one "$work/target"
start one "$work/source" "$work/target" -o background=on
check 'tar says nothing while the rest moves' tar -cf two.tar -C target .
equal 'nothing differs from the archive' '' "$(tar -df one.tar -C target 2>&1)"
finish one "$work/target"
