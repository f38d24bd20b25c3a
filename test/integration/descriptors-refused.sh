#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A service manager gives descriptors back that no mount can go on with, or not all of them: the migration is mounted anew, the log says
# why, and nothing of it is left with the manager. What is missing but not needed changes nothing.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/managed.sh"
m=$work/target

mkdir -p source target second
head -c 300K /dev/urandom >source/file
head -c 8M /dev/urandom >source/half
managed one.log "slow://$work/source" "$m" -o segsize=64K,background=off
tamper() { printf '%s\n' "$@" >manager/tamper.new && mv manager/tamper.new manager/tamper; }

# anew WHAT REASON TAMPER...: mounted anew, for that reason.
anew()
{
	local what=$1 reason=$2 before
	shift 2
	before=$(said "is dropped, and the migration is mounted anew: $reason" one.log)
	tamper "$@"
	kill_all one.log again
	check "$what: the log says why" said_more "is dropped, and the migration is mounted anew: $reason" one.log "$before"
	check "$what: it serves" cmp source/file target/file
	wait_for 60 is_stored ^ 4
	equal "$what: the manager keeps what the new mount needs" 'fuse inbox memory outbox' "$(stored)"
	equal "$what: there is one mount" 1 "$(findmnt -rno TARGET -t fuse.dmmfs "$m" | wc -l)"
}

# goes_on WHAT TAMPER...: as if nothing were.
goes_on()
{
	local what=$1
	shift
	exec 9<target/file
	tamper "$@"
	kill_all one.log takeover
	check "$what: what is open goes on" cmp source/file /dev/fd/9
	exec 9<&-
	wait_for 60 is_stored ^ 4
	equal "$what: the manager keeps what the mount needs" 'fuse inbox memory outbox' "$(stored)"
}

anew 'without the memory' 'the memory is not among it' 'drop memory'
anew 'another memory' 'the memory is of another version, or none' 'swap memory memory'
anew 'no memory' 'the memory is of another version, or none' 'swap memory null'
anew 'without the connection' 'the connection is not among it' 'drop fuse'
anew 'no connection' 'the connection is not among it' 'swap fuse null'
anew 'one without a mount' 'its mount is gone' 'swap fuse fuse'
anew 'a second memory' 'there are several' 'add memory-0123456789abcdef memory'
anew 'unmounted' 'its mount is gone' "run umount -l '$m'"
exec 8<target/file
anew 'unmounted, with a file open' 'it was unmounted' "run umount -l '$m'"
exec 8<&-
exec 8<target/file
anew 'aborted' 'its mount is gone' "run umount -f '$m'"
exec 8<&-

say '--- what does no harm'
goes_on 'more than there should be' 'add h7 null' 'add h7ffffffff null' 'add junk socket'
goes_on 'messages that are lost' 'drop inbox'
goes_on 'sockets of another kind' 'swap outbox socket' 'swap inbox null'

say '--- a store that is full'
echo 4 >manager/max
exec 7<target/half 8<>target/kept
head -c 100 <&7 >/dev/null
rm target/half
kill_all one.log takeover
refused 'a removed file that it had no room for, and that was coming over, is lost' 1 'Stale file handle' sh -c 'cat >/dev/null' <&7
printf kept >&8
equal 'the others go on' kept "$(cat target/kept)"
exec 7<&- 8>&-
rm manager/max

say '--- of another migration'
tamper "word slow://$work/source slow://$work/second" "word $m $work/other"
mkdir other
kill -9 "$(keeper)"
wait_for 60 grep -q "mountpoint=$work/other" one.log
check 'the log says why' grep -q "mounted anew: it is of another migration, 1, on $m" one.log
refused 'the mount of the other is over' 1 'not connected' stat -f "$m"
check 'this one serves' findmnt -t fuse.dmmfs -M "$work/other"
umount "$m"
umount "$work/other"
reap manager
equal 'nothing is left' '' "$(stored)"
