#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What waits for the source can be interrupted: reads, opens, lookups, listings, writes. What else waits goes on waiting.
. "$(dirname "$0")/lib.sh"

mkdir -p source/dir/deep target
head -c 1M /dev/urandom >source/large
head -c 1M /dev/urandom >source/written # what waits to be read is locked in the page cache of the kernel, for writers too
echo small >source/small
echo deep >source/dir/deep/file
slow
start_slow one "$work/source" "$work/target" -o background=off,segsize=64K,whole=64K
stat target/large target/small target/written >/dev/null
slow 'any hang -'

# interrupted WHAT COMMAND...: ends within a moment after a signal.
interrupted()
{
	local what=$1 status=0
	shift
	timeout -k 5 -s "${signal:-TERM}" 0.5 "$@" >/dev/null 2>&1 || status=$?
	[ $status -ne 137 ] || [ "${signal:-TERM}" = KILL ] || fail "$what: not even after 5 s"
	[ $status -ne 0 ] || fail "$what: did not wait"
	say "ok: $what (status $status)"
}
interrupted 'a read' cat target/large
interrupted 'an open of a small file' cat target/small
interrupted 'a lookup' stat target/dir/deep
interrupted 'a listing' ls target/dir
interrupted 'a partial write' dd if=/dev/zero of=target/written bs=1 count=1 seek=200000 conv=notrunc
interrupted 'a copy' cp target/large elsewhere
interrupted 'a making' mkdir target/dir/new
interrupted 'a removal' rmdir target/dir
signal=KILL interrupted 'a read, killed' cat target/large
signal=INT interrupted 'a direct read' dd if=target/large of=/dev/null iflag=direct bs=64K skip=6 count=1

cat target/small >small.out & waiting=$!
interrupted 'another reader of what is waited for' cat target/small
slow
wait $waiting
equal 'who was not interrupted has it' small "$(cat small.out)"
check 'all the rest' diff -r source target
stop one target
