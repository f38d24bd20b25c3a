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
	timeout -k 30 -s "${signal:-TERM}" 0.5 "$@" >/dev/null 2>&1 || status=$?
	[ $status -ne 137 ] || [ "${signal:-TERM}" = KILL ] || fail "$what: not even after 30 s"
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
interrupted 'a direct read' dd if=target/large of=/dev/null iflag=direct bs=64K skip=6 count=1

say '--- a signal that is caught ends no wait, and does not keep another one from ending it'
cat >catch.pl <<'END'
use Fcntl;
$SIG{USR1} = sub { };
$| = 1;
print "ready\n";
sysopen(my $file, $ARGV[0], O_RDONLY | O_DIRECT) or die "open: $!\n";
my $page = "\0" x 4096; # sysread() does not try again
defined(sysread($file, $page, 7)) or die "read: $!\n";
END
perl catch.pl target/small >caught.out 2>&1 & waiting=$!
wait_for 10 grep -q ready caught.out
asleep() { grep -q 'State:.[DS]' "/proc/$waiting/status" && grep -q fuse "/proc/$waiting/wchan" "/proc/$waiting/stack"; }
wait_for 10 asleep
kill -USR1 $waiting
taken() { grep -q 'SigPnd:.*[1-9a-f]\|ShdPnd:.*[1-9a-f]' "/proc/$waiting/status"; }
wait_for 10 taken
sleep 0.5
check 'it waits on' asleep
kill -TERM $waiting
status=0
wait $waiting || status=$?
equal 'and ends at once when it is to end' '143 ready' "$status $(cat caught.out)"

cat target/small >small.out & waiting=$!
interrupted 'another reader of what is waited for' cat target/small
slow
wait $waiting
equal 'who was not interrupted has it' small "$(cat small.out)"
check 'all the rest' diff -r source target
stop one target
