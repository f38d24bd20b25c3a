#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# An NFS server that hangs, is out of reach, is killed, does not know its handles any more or does not export any more, with both
# versions at once: who needs the source waits or gets the error, as hard and soft say, what is here does neither, and everything goes
# on by itself.
DMMFS_TEST_NET=1
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/nfs-server.sh"

fresh_fs served 256M
mkdir -p served/source/here served/source/there served/source/later target3 target4
for i in 1 2 3 4 5 6 7 8; do for dir in here there later; do head -c 300K /dev/urandom >served/source/$dir/$i; done; done
cp served/source/here/1 here.1
nfs_serve "$work/served/source"
for version in 3 4; do
	start "v$version" "$(nfs_source $version)" "$work/target$version" \
		-o nfsvers=$version,background=off,segsize=64K,retrans=1
	cat target$version/here/* >/dev/null
	ls target$version/there >/dev/null
done

unreachable() { figure "$work/target$1" source_error | grep -q '^E'; }
reachable() { ! unreachable "$1"; }
both() { "$@" 3 && "$@" 4; }
declare -A reader
# read_late N: somebody reads there/N of each, and waits.
read_late() { local v; for v in 3 4; do cat "target$v/there/$1" >"read$v.out" & reader[$v]=$!; done; }
still_wait() { local v; for v in 3 4; do kill -0 "${reader[$v]}" || fail "version $v: who needs the source did not wait"; done; }
come()
{
	local v
	for v in 3 4; do
		wait "${reader[$v]}" || fail "version $v: the read of $1 failed"
		cmp "served/source/there/$1" "read$v.out" || fail "version $v: $1 is not the source's"
	done
	say "ok: the reads of $1 went on"
}
resident_is_fast()
{
	local v
	for v in 3 4; do
		check "$1: what is here is read and written" timeout 60 sh -c "cmp here.1 target$v/here/1 && echo more >>target$v/here/2"
	done
}

# set_both PROPERTY=VALUE. Attempts are short (timeo) only while nothing is answered: a slow machine is no fault of the server's.
set_both() { local v; for v in 3 4; do "$admin" set -p "$1" "$work/target$v" >set.out || fail "$(cat set.out)"; done; }

say '--- a server that hangs'
set_both timeo=5
kill -STOP "${pid[ganesha]}"
read_late 1
wait_for 90 both unreachable
resident_is_fast 'a hanging server'
still_wait
set_both timeo=600
kill -CONT "${pid[ganesha]}"
come 1

say '--- soft'
set_both soft=on
set_both timeo=5
kill -STOP "${pid[ganesha]}"
for version in 3 4; do refused "version $version: an error" 1 'timed out|Input/output' timeout 60 cat target$version/there/2; done
set_both timeo=600
kill -CONT "${pid[ganesha]}"
for version in 3 4; do
	wait_for 30 reachable $version
	wait_for 30 cmp served/source/there/2 target$version/there/2
done
set_both soft=off
say 'ok: and it heals'

say '--- no way to the server'
set_both timeo=5
ip link set lo down
read_late 3
wait_for 90 both unreachable
resident_is_fast 'a server out of reach'
still_wait
set_both timeo=600
ip link set lo up
come 3

say '--- a file that was made anew: the server does not know its handle any more'
cp served/source/there/4 served/four
rm served/source/there/4
mv served/four served/source/there/4
for version in 3 4; do
	refused "version $version: an error of the file" 1 'Stale|Input/output' timeout 60 md5sum target$version/there/4
	wait_for 20 figure_is "$work/target$version" files_error 1
	check 'the others come' cmp served/source/there/6 target$version/there/6
done

say '--- the export is gone, and comes back'
nfs_kill
mv served/source served/away
nfs_serve_again
read_late 5
wait_for 90 both unreachable
resident_is_fast 'an export that is gone'
still_wait
nfs_kill
mv served/away served/source
nfs_serve_again
come 5

say '--- nothing is lost, nothing comes twice'
for i in 1 2 3; do echo more >>served/source/here/2; done
for version in 3 4; do
	"$admin" set -p background=on "$work/target$version" >set.out || fail "$(cat set.out)"
	check 'what is lost is waived' "$admin" waive --all "$work/target$version"
	await_complete "$work/target$version" 90
	finish "v$version" "$work/target$version"
	check "version $version: all else is here" diff -r -x 4 served/source target$version
	check 'that one is not' test ! -e target$version/there/4 -a -e target$version/later/4
	no_trace target$version
done
