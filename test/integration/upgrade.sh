#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# dmmfs-admin upgrade: the program that is installed now takes the place of the one that serves, and of its keeper; programs notice
# nothing. A program that cannot do so is not let in. And what there is without a keeper.
. "$(dirname "$0")/lib.sh"
m=$work/target

mkdir -p source/dir target bin
head -c 300K /dev/urandom >source/file
echo one >source/dir/one
cp "$dmmfs" bin/dmmfs
dmmfs=$work/bin/dmmfs
start one "$work/source" "$m" -o segsize=64K,background=off
exec 8<>target/own 9<target/file
printf 'before ' >&8
rm target/own
head -c 100K <&9 >read

# A program that says of itself that it was started.
wrap()
{
	rm -f bin/dmmfs
	printf '#!/bin/sh\necho "$@" >>%s\nexec %s "$@"\n' "$work/$1.started" "$2" >bin/dmmfs
	chmod +x bin/dmmfs
}

before=$(worker one)
wrap second "$DMMFS_BUILDDIR/src/daemon/dmmfs"
check 'upgrade' "$admin" upgrade 1
cp check.out said
check 'it tells who serves' grep -qE "is served by dmmfs [0-9.]+, process $(pgrep -P "${pid[one]}")\." said
[ "$before" != "$(pgrep -P "${pid[one]}")" ] || fail 'it is the same process'
check 'the new program serves' grep -q -- '^--migid 1' second.started
check 'and is the keeper' grep -q -- "^--keeper $m" second.started
equal 'the keeper is the same process' dmmfs-keeper "$(cat "/proc/${pid[one]}/comm")"
printf after >&8
equal 'a removed file that is open goes on' 'before after' "$(cat /dev/fd/8)"
cat <&9 >>read
check 'so does one that comes over' cmp source/file read
check 'and what nobody has asked for' cmp source/dir/one target/dir/one

say '--- programs that are not fit'
before=$(pgrep -P "${pid[one]}")
rm bin/dmmfs
refused 'one that is not there' 1 'cannot be started: No such file' "$admin" upgrade 1
wrap third /bin/true 2>/dev/null
refused 'another program' 1 'halt the migration and start it again' "$admin" upgrade 1
chmod -x bin/dmmfs
refused 'one that is no program' 1 'cannot be started: Permission denied' "$admin" upgrade 1
equal 'the daemon is the same' "$before" "$(pgrep -P "${pid[one]}")"
check 'and serves' cmp source/file target/file
say '--- a daemon that dies while its program is away'
kill -9 "$before"
check 'goes on with the program of its keeper' cmp source/file target/file
exec 8<&- 9<&-
stop one "$m"

say '--- asked to end while nobody serves'
dmmfs=$DMMFS_BUILDDIR/src/daemon/dmmfs
# asked_unserved: the keeper sees at once that its worker has ended and that it is asked to end.
asked_unserved()
{
	kill -TERM "${pid[one]}"
	kill -CONT "${pid[one]}"
	reap one
	equal "$1: it is unmounted" '' "$(findmnt -rno FSTYPE -M "$m" || :)"
}
start one "$work/source" "$m" -o keeper=on
before=$(worker one)
kill -STOP "${pid[one]}"
kill -9 "$before"
wait_for 20 grep -q '^State:.Z' "/proc/$before/status"
asked_unserved 'after a kill'
start one "$work/source" "$m" -o keeper=on
before=$(worker one)
kill -STOP "${pid[one]}"
"$admin" upgrade 1 >upgrade.out 2>&1 &
upgrade=$!
wait_for 20 grep -q '^State:.Z' "/proc/$before/status"
asked_unserved 'in an upgrade'
status=0
wait $upgrade || status=$?
equal 'who asked for the upgrade does not wait any more' 5 $status
check 'and is told why' grep -q "was stopped before a new daemon served it.*dmmfs-admin start 1" upgrade.out

say '--- without a keeper'
start one "$work/source" "$m" -o keeper=off
equal 'there is one process' "${pid[one]}" "$(worker one)"
refused 'nothing holds the mount' 1 'nothing holds its mount' "$admin" upgrade 1
kill -9 "${pid[one]}"
wait "${pid[one]}" || :
unset 'pid[one]'
refused 'it dies with its daemon' 1 'not connected' stat -f "$m"
start one "$work/source" "$m" -o keeper=on
kill -TERM "$(worker one)"
reap one
equal 'asked to end, worker and keeper end' '' "$(findmnt -rno FSTYPE -M "$m" || :)"
