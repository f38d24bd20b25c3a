#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Properties: set while the migration runs and while it does not, all or nothing; where values come from; a start by migid.
. "$(dirname "$0")/lib.sh"
work_on_fresh_fs 128M # on which O_DIRECT brings what it asks for, and no more
m=$work/target
mkdir -p source/one source/two target
head -c 1M /dev/urandom | tee source/one/file source/two/file >source/three
value() { "$admin" get --json -p "$1" "${2:-1}" | sed -n 's/^ *"value": "\{0,1\}\([^",]*\).*/\1/p'; }
from() { "$admin" get --json -p "$1" "${2:-1}" | sed -n 's/^ *"from": "\([^"]*\)".*/\1/p'; }
is() { equal "$1 is $2, from $3" "$2 $3" "$(value "$1") $(from "$1")"; }
# The lengths of the pieces that came over of a file.
pieces() { "$admin" where --json "$1" | awk '/"length"/ { length_ = $2 + 0 } /"where": "resident"/ { print length_ }' | xargs; }
threads() { grep -l "^$1-" /proc/"$(worker one)"/task/*/comm | wc -l; }

check 'without a migration get shows the defaults' sh -c "'$admin' get | grep -q 'segsize *1M *default'"
refused 'an unknown name' 2 "no property 'colour'.*--describe" "$admin" get -p colour
refused 'set without a migration' 3 'no migration 1' "$admin" set -p segsize=1M 1

say '--- what the mount line gives'
start one "$work/source" "$m" -o background=off,segsize=64K,whole=0,nosuid
is segsize 64K mount
is background off mount
is maxdfproc 16 default
is mountflags nosuid mount
is logfile null default

say '--- changes take effect at once'
peek() { dd if="$m/$1" of=/dev/null bs=4K count=1 skip="$2" iflag=direct status=none; }
peek one/file 130
equal 'a segment as it was' 65536 "$(pieces "$m/one/file")"
check 'set' "$admin" set -p segsize=128K 1
is segsize 128K set
peek two/file 130
equal 'of files that are found from then on' 131072 "$(pieces "$m/two/file")"
peek one/file 30
equal 'the others keep theirs' '65536 65536' "$(pieces "$m/one/file")"
threads_are() { [ "$(threads data)" = "$1" ]; }
wait_for 10 threads_are 16
check 'more of them' "$admin" set -p maxdfproc=24 -p resdfproc=20 "$m"
wait_for 10 threads_are 24
check 'fewer' "$admin" set -p maxdfproc=3 -p resdfproc=1 1
equal 'which work' "$(tail -c 10 source/three | md5sum)" "$(tail -c 10 target/three | md5sum)"
check 'a log' "$admin" set -p logfile=first.log 1
is logfile "$work/first.log" set
check 'another' "$admin" set -p "logfile=$work/second.log" -p whole=1M 1
wait_for 10 grep -q 'property=whole value=1M' second.log
check 'the first has ended' sh -c '! grep property=whole first.log'
check 'none' "$admin" set -p logfile= 1
is logfile null default
check 'every live property can be set to its default' sh -c "'$admin' get --describe --json |
	sed -n 's/^ *\"name\": \"\(.*\)\",/\1/p; s/^ *\"when\": \"\(.*\)\",/\1/p' | paste - - | sed -n 's/\tlive$//p' |
	sed 's/.*/-p &=/' | xargs -t '$admin' set 1"

say '--- all or nothing'
check 'something to start from' "$admin" set -p background=off -p segsize=64K 1
refused 'one is wrong' 2 'segsize=3K: must be a multiple of 4K from 4K to 64M' "$admin" set -p whole=2M -p segsize=3K 1
refused 'one is unknown' 2 "no property 'colour'" "$admin" set -p whole=2M -p colour=red 1
refused 'one cannot change now' 4 'threads can not be changed while the migration runs' "$admin" set -p whole=2M -p threads=8 1
refused 'one can never change' 4 'target can not be changed' "$admin" set -p whole=2M -p target=/srv 1
refused 'together they are wrong' 2 'maxnsproc must be greater than resnsproc.*set both' "$admin" set -p whole=2M -p maxnsproc=2 1
refused 'a log that cannot be' 2 'log can not be written to: No such file' "$admin" set -p whole=2M -p logfile=/no/such/log 1
refused 'no value' 2 'PROPERTY=VALUE' "$admin" set -p whole 1
is whole 1M default
is segsize 64K set

say '--- two at once'
for round in 1 2 3 4 5 6 7 8 9 10; do
	"$admin" set -p highwater=$((1000 + round)) -p lowwater=$((500 + round)) 1 >/dev/null & first=$!
	"$admin" set -p highwater=$((100 + round)) -p lowwater=$((50 + round)) 1 >/dev/null & second=$!
	wait $first $second
	case "$(value highwater) $(value lowwater)" in
	"$((1000 + round)) $((500 + round))" | "$((100 + round)) $((50 + round))") ;;
	*) fail "halves of two: $(value highwater) $(value lowwater)" ;;
	esac
done
say 'ok: either the one or the other'
stop one "$m"

say '--- halted'
is segsize 64K set
is highwater "$(value highwater)" set
check 'now threads can change' "$admin" set -p threads=2 -p fsname=elsewhere -p highwater= -p lowwater= 1
refused 'wrong values cannot' 2 'threads=0: must be a number from 1 to 1024' "$admin" set -p threads=0 -p passthrough=off 1
refused 'nor the source' 4 'source can not be changed' "$admin" set -p source=/srv 1
refused 'nor a whole that is wrong' 2 'highwater must be greater than lowwater or the same' "$admin" set -p highwater=2 1
is passthrough on default
for round in 1 2 3 4 5; do
	"$admin" set -p maxnsproc=$((10 + round)) 1 >/dev/null & first=$!
	"$admin" set -p resnsproc=$((12 - round)) 1 >/dev/null 2>&1 & second=$!
	wait $first
	wait $second || :
	[ "$(value maxnsproc)" -gt "$(value resnsproc)" ] || fail "$(value maxnsproc) and $(value resnsproc)"
	check "round $round" "$admin" set -p maxnsproc= -p resnsproc= 1
done

say '--- by migid'
rm one.log # of the one before: it served
"$dmmfs" --migid 1 -f >one.log 2>&1 &
pid[one]=$!
wait_for 20 serves_or_ended one
equal 'what was set is in force' elsewhere "$(findmnt -rno SOURCE "$m")"
check 'flags of the mount line too' findmnt -rno OPTIONS -O nosuid "$m"
equal 'and the size of segments' 65536 "$(figure 1 segsize)"
is threads 2 set
stop one "$m"
refused 'a source beside the migid' 1 'leave .*/source.* out' "$dmmfs" --migid 1 "$work/source" "$m"
refused 'an unknown migid' 32 'no migration 7: dmmfs-admin list' "$dmmfs" --migid 7
refused 'no migid' 1 'needs the number' "$dmmfs" --migid x
refused 'another target' 32 'was created with target=.*leave it out' "$dmmfs" --migid=1 -o "target=$work/source"
mv target away && mkdir other && ln -s other target
refused 'another directory behind its name' 32 'which leads to .*/other now' "$dmmfs" --migid 1
rm target && mv away target
start one "$work/source" "$m" -o threads=3
is threads 3 mount
kill_hard one
check 'without a daemon that left its socket it is set, too' sh -c "'$admin' set -p background=on 1 | grep 'with its next start'"
start one "$work/source" "$m"
is background on set
is threads 3 set
is mountflags null default

say '--- autofinish comes and goes'
await_complete "$m"
exec 3<target/three
check 'on, with a file open' "$admin" set -p autofinish=on "$m"
wait_for 10 sh -c "'$admin' log 1 | grep -q asked"
sleep 0.5
check 'off again' "$admin" set -p autofinish=off "$m"
sleep 0.5
exec 3<&-
sleep 1
check 'it goes on' figure_is "$m" daemon running
check 'on' "$admin" set -p autofinish=on "$m"
reap one
refused 'complete' 4 'is complete' "$admin" set -p segsize=1M 1
no_trace target
