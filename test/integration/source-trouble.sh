#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A source that changes, shrinks, cannot be read or vanishes while we read it: everything else goes on, errors have an owner, and
# all of it heals when the source is back.
. "$(dirname "$0")/lib.sh"
m=$work/target

mkdir -p source/dir target
for i in $(seq 20); do head -c 300K /dev/urandom >source/dir/file$i; done
cp -a source plain
mkdir outer && mount --bind outer outer && mkdir outer/source && mount --bind source outer/source

say '--- a file gets shorter and one is removed'
start one "$work/outer/source" "$m" -o background=off,segsize=64K
ls target/dir >/dev/null
truncate -s 100K source/dir/file1
rm source/dir/file2
check 'others are read' cmp plain/dir/file3 target/dir/file3
refused 'what is gone is an error, not zeros' 2 'Input/output error|Stale' cmp plain/dir/file1 target/dir/file1
refused 'so is a file that was removed' 1 'error|Stale' cat target/dir/file2
stop one "$m"
start one "$work/outer/source" "$m" -o background=on
wait_for 60 figure_is "$m" files_pending 2
"$admin" errors "$m" >errors.out
check 'the errors name both files' sh -c 'grep -q dir/file1 errors.out && grep -q dir/file2 errors.out'
"$admin" where "$m/dir/file1" >out || :
check 'where says so' grep -qi error out
refused 'finish' 4 'in error' "$admin" finish "$m"
check 'the rest came over' cmp plain/dir/file20 target/dir/file20

say '--- the source is back'
cp -a plain/dir/file1 source/dir/file1
rm target/dir/file2
wait_for 90 figure_is "$m" files_error 0
await_complete "$m"
finish one "$m"
rm plain/dir/file2
check 'everything is there' same -t dir -t . plain target
no_trace target
