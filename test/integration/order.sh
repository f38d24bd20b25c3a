#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What comes first, what last and what not at all; changed while it runs, kept over a restart; a tree fetched. The source is slow, so
# that the order shows in what was asked of it.
. "$(dirname "$0")/lib.sh"
m=$work/target

for d in a b c d e f; do
	mkdir -p "source/$d/sub"
	for f in 1 2 3; do head -c 20000 /dev/urandom >"source/$d/sub/$f.dat"; done
done
mkdir source/scratch && echo junk >source/scratch/junk
echo image >source/a/disk.iso
echo small >source/f/small
mkdir target

# turn REGEX: when the first request for a path like this was made: the number of the line.
turn() { grep -nE -m 1 "^(read|list) .*$1\$" requests | cut -d: -f1; }
# before WHAT ONE OTHER
before() { [ "$(turn "$2")" -lt "$(turn "$3")" ] || { cat requests; fail "$1: $2 is not before $3"; }; say "ok: $1"; }
order_figure() { "$admin" stat --json "$1" | python3 -c 'import json, sys; print(json.load(sys.stdin)["order"][sys.argv[1]])' "$2"; }

slow 'list delay 30' 'read delay 20'
start_slow one "$work/source" "$m" -o maxnsproc=2,resnsproc=1,maxdfproc=2,resdfproc=1 \
	-o "order=first '/e/**'; last '*.iso' '/a/**'; skip /scratch"
await_complete "$m"
before 'first: the way there at once' /e/sub /f/sub
before 'first: its files' /e/sub/1.dat /f/sub/1.dat
before 'last: its directories' /f/sub /a/sub
before 'last: its files' /f/sub/1.dat /a/disk.iso
refused 'what is skipped is not there' 2 'No such file' ls "$m/scratch"
check 'an application makes its own' mkdir "$m/scratch"
check 'it is listed' grep -q 'waived.*skip.*scratch' <("$admin" errors 1)
equal 'it is counted' 1 "$(figure "$m" skipped)"
check 'stat tells the order' grep -q "^Order .*first '/e/\*\*'" <("$admin" stat 1)
[ "$(order_figure 1 done_first)" -ge 5 ] || fail 'done by class'
check 'an application takes its own away' rmdir "$m/scratch"
missing() { "$admin" verify --full --json "$m" | python3 -c 'import json, sys; print(json.load(sys.stdin)["missing"])'; }
equal 'verify does not miss what was skipped' 0 "$(missing)"
check 'the order changes' "$admin" set -p order= "$m"
equal 'nor then, since it is on record' 0 "$(missing)"
check 'the order as it was' "$admin" set -p "order=first '/e/**'; last '*.iso' '/a/**'; skip /scratch" "$m"
for path in scratch scratch/junk; do
	check "where tells of $path that it is skipped, and by which clause" grep -q "order says so (skip '/scratch')" \
		<("$admin" where "$m/$path")
done
refused 'what never was is not skipped' 1 'no such file' "$admin" where "$m/scratches"
check 'the report counts it' grep -q '^Skipped  *1 name' <("$admin" report 1)
finish one "$m"
check 'and finish tells that there is something skipped' grep -q '^Besides, 1 thing was skipped' finish.out
check 'also the one that is kept' grep -q '^Skipped  *1 name' <("$admin" report 1)
rm -rf source/scratch target/.[!.]* target/*
check 'the source is as it was' test -e source/e/sub/1.dat

say '--- changed while it runs, kept over a restart'
: >requests
slow 'list delay 100' 'read delay 50'
mkdir other
start_slow two "$work/source" "$work/other" -o maxnsproc=2,resnsproc=1,maxdfproc=2,resdfproc=1,fsname=x
check 'first, below the mount point' "$admin" first "$work/other/f/**"
check 'where tells' grep -q "comes first (first '/f/\*\*')" <("$admin" where "$work/other/f")
mkdir beside
DMMFS_DAEMON=$dmmfs "$admin" create -h -p "source=$work/source/b" -p "target=$work/beside" >made.out
refused 'paths of two migrations' 2 'each by itself' "$admin" first "$work/other/f" "$work/beside/sub"
check 'the other one is deleted' env "DMMFS_DAEMON=$dmmfs" "$admin" delete "$work/beside"
before_stop=$("$admin" get -p order --json "$work/other" | tr -d '\n')
stop two "$work/other"
start_slow two "$work/source" "$work/other"
equal 'the order is kept' "$before_stop" "$("$admin" get -p order --json "$work/other" | tr -d '\n')"
slow
await_complete "$work/other"
before 'f came before d' /f/sub/1.dat /d/sub/1.dat
refused 'a wrong clause is named' 2 'clause 2 of the order' "$admin" set -p "order=small; last" "$work/other"
refused 'a list with a bad line' 2 'line 2 of' "$admin" set -p "order=first @$work/list" "$work/other" < <(printf 'a\n../b\n' >list)
finish two "$work/other"

say '--- fetch'
: >requests
mkdir third
slow 'list delay 20' 'read error EIO 3.dat'
start_slow three "$work/source" "$work/third" -o background=off,errorretries=1
check 'a background that is off is told of' grep -q '^Background  *stopped' <("$admin" stat "$work/third")
refused 'a file can not be had' 1 'sub/3.dat: EIO' "$admin" fetch "$work/third/b"
slow
check 'the tree is fetched' "$admin" fetch "$work/third/b" "$work/third/f/small"
: >requests
check 'all of it is here' cmp source/b/sub/3.dat third/b/sub/3.dat
check 'nothing was asked for it' test ! -s requests
equal 'nothing else came' at "$("$admin" where "$work/third/c" | grep -o ' at ' | tr -d ' ')"
check 'in the background' "$admin" fetch --detach "$work/third"
await_complete "$work/third"
check 'the trees are equal' same source third
finish three "$work/third"
