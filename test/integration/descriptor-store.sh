#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Keeper and worker are killed together, again and again: a service manager that keeps descriptors starts another keeper, and programs
# that work on the mount notice nothing (untroubled.py). What is over leaves nothing with the manager.   usage: ... [KILLS]
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/managed.sh"
kills=${1:-8}
m=$work/target

mkdir -p source/many target plain
for i in {001..200}; do mkdir "source/many/$i"; head -c "$((RANDOM * 3))" /dev/urandom >"source/many/$i/file"; done
head -c 8M /dev/urandom >source/coming
head -c 300K /dev/urandom >source/half
head -c 100K /dev/urandom >source/asked
make_tree source/tree

managed one.log "slow://$work/source" "$m" -o segsize=64K,whole=64K,background=off
equal 'the manager keeps what a mount needs' 'fuse inbox memory outbox' "$(stored)"

say '--- what is open'
exec 4<>target/tree/large 5<target/half 6<>target/removed 7>target/lock
head -c 70000 <&5 >half
printf 'before ' >&6
rm target/removed
flock -x 7
wait_for 60 is_stored '^h' 1
slow 'read hang - asked'
cat target/asked >asked &
asking=$!
wait_for 60 grep -q 'read .*asked' requests
kill_all one.log
check 'another keeper has taken over' grep -q 'event=resumed .*removed=1' one.log
kill_all one.log
slow ''
check 'what was asked for is answered' wait $asking
check 'with the right bytes' cmp source/asked asked
cat <&5 >>half
check 'a file that was half read goes on' cmp source/half half
printf after >&6
equal 'a removed file goes on' 'before after' "$(cat /dev/fd/6)"
printf changed >&4
equal 'so does one that is written' changed "$(head -c 7 target/tree/large)"
check 'a lock is held' sh -c '! flock -n -x target/lock true'
exec 4>&- 5<&- 6>&- 7>&-
wait_for 60 is_stored '^h' 0
check 'it ends with who has it' flock -n -x target/lock true
rm target/lock

say '--- many times'
check "programs go on while all is killed $kills times" python3 "$DMMFS_SOURCEDIR/test/integration/untroubled.py" \
	"$kills" "${SEED:-$RANDOM}" manager/pid one.log "$m" "$work/source" "$work/plain"
cat check.out
rm -f target/held-* target/mapped-* target/opener-* target/attributes-*
wait_for 60 is_stored '^h' 0
equal 'the manager keeps what a mount needs' 'fuse inbox memory outbox' "$(stored)"

say '--- the end'
cp target/coming source/coming
cp target/tree/large large && cp large source/tree/large
touch -r target/coming source/coming
touch -r target/tree/large source/tree/large
"$admin" set -p background=on 1 >/dev/null
finish manager "$m"
equal 'the manager keeps nothing' '' "$(stored)"
check 'the tree is the source, and what was changed' same -t . source target
no_trace target
