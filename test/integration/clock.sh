#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A clock that jumps, by a year, back by a day, to before any file was: nothing waits for it, nothing is lost, and what others did to the
# target while no daemon ran is found out though times do not tell of it.
. "$(dirname "$0")/lib.sh"
s=$work/source t=$work/target
YEAR=31536000 DAY=86400

ahead() { echo "$1" >clock.new && mv clock.new clock; }
start_clocked() { LD_PRELOAD=$DMMFS_BUILDDIR/test/integration/clock.so DMMFS_TEST_CLOCK=$work/clock start_slow "$@"; }

make_tree source
mkdir target raw source/full source/first source/second source/third
for dir in full first second third; do for n in 1 2 3; do head -c 300000 /dev/urandom >source/$dir/$n; done; done
echo inner >source/third/inner
mount --bind target raw # what lies below the mount
ahead 0
slow
start_clocked one "$s" "$t" -o background=off,segsize=64K,whole=0

say '--- while it runs'
for jump in $YEAR -$DAY -$((60 * YEAR)) 0; do
	ahead "$jump"
	dir=$(case $jump in "$YEAR") echo first ;; -"$DAY") echo second ;; 0) echo full ;; *) echo third ;; esac)
	check "by $jump s: a directory comes, and its files" diff -r source/$dir target/$dir
	slow 'any error ECONNREFUSED'
	cat target/deep/er/est/file >read.out & reader=$!
	wait_for 20 grep -q event=unreachable one.log
	ahead "$((jump - 7200))"
	slow
	check 'an outage over which the clock is set ends' wait $reader
	[ "$jump" != "$YEAR" ] || check 'it was as long as it was' grep -qE 'event=reachable unreachable_s=[0-9]{1,3} ' one.log
	check "by $jump s: a fetch" timeout 60 "$admin" fetch "$t/$dir/1"
	check "by $jump s: a limit" "$admin" set -p bandwidth=100M "$t"
done

say '--- a schedule goes by the clock'
ahead 0
check 'set' "$admin" set -p 'schedule=01:00-02:00 limit=8M; * limit=9M' "$t"
now=$(date +%s)
for hour in 01 05 01; do
	ahead "$(($(date -d "$(date -d "@$now" +%F) $hour:30" +%s) - now))"
	wait_for 10 figure_is "$t" rule $([ $hour = 01 ] && echo 1 || echo 2)
	say "ok: at $hour:30 it is the rule for that"
done
"$admin" set -p schedule=none "$t" >/dev/null

say '--- halts end, though the clock is a year ahead'
ahead $YEAR
stat "$t/large" >/dev/null # it is known, and nothing of it has come
check 'halt' timeout 60 "$admin" halt --lazy "$t"
reap one
kept=$(stat -c %Y target/.dmmfs/witness)

say '--- the clock was a year ahead when the last daemon left, and is right now'
touch -d "@$((kept + YEAR))" target/.dmmfs/witness
dd if=/dev/zero of=target/large bs=64K seek=10 count=1 conv=notrunc status=none
echo mine >target/several/mine
sleep 0.1 # the clock of the file system goes in steps
ahead 0
start_clocked one "$s" "$t" -o background=on
check 'that is told' grep -q 'event=clock set_back_s=' one.log
told() { "$admin" errors --json "$t" | grep -q '"what": "beside"'; }
wait_for 30 told
check 'what was written is not fetched over' cmp -n 65536 /dev/zero <(dd if=raw/large bs=64K skip=10 count=1 status=none)
equal 'what was added stays' mine "$(cat "$t/several/mine")"
check 'the administrator wants the source' "$admin" retry "$t"
for jump in $YEAR -$DAY; do
	ahead "$jump"
	sleep 0.5 # a pause of the background begins
done
await_complete "$t"
finish one "$t"
rm target/several/mine
check 'all came over' same -t several -t large source target
umount raw
no_trace target
