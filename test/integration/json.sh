#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What every command prints with --json fits its schema (test/schemas), in every state of a migration. A new command needs a schema
# and a line here; test/lint/schemas.py asks for both.
. "$(dirname "$0")/lib.sh"
m=$work/target
export DMMFS_DAEMON=$dmmfs

# fits SCHEMA WHAT: what lies in json.out.
fits() { check "$2" "$DMMFS_SOURCEDIR/test/tools/schema.py" "$1" json.out; }

# valid COMMAND ARGUMENTS...: it succeeds and prints what the schema of this name says.
valid()
{
	local status=0
	timeout 60 "$admin" "$1" --json "${@:2}" >json.out 2>json.err || status=$?
	[ $status -eq 0 ] || { cat json.out json.err; fail "status $status of: $*"; }
	fits "$1" "$*"
}

# valid_lines COMMAND ARGUMENTS...: the same of a command that goes on until it is ended; at least one line.
valid_lines()
{
	lines_of 1 json.out "$admin" "$1" --json "${@:2}"
	fits "$1" "$*, a line each time"
}

# fails STATUS COMMAND ARGUMENTS...: it fails with this status and prints a failure.
fails()
{
	local wanted=$1 status=0
	shift
	timeout 60 "$admin" "$1" --json "${@:2}" >json.out 2>json.err || status=$?
	[ $status -eq "$wanted" ] || { cat json.out json.err; fail "status $status, not $wanted, of: $*"; }
	fits failure "$* fails with status $status"
}

say '--- nothing is there'
valid list
valid show
for command in show stat errors losses retry finish start halt pause resume delete; do
	fails 3 $command 1
done
fails 3 where /etc/hostname

say '--- a migration runs'
make_tree source
mkdir target
valid plan -p "source=$work/source" -p "target=$m"
fails 7 plan -p "source=$work/none" -p "target=$m"
slow 'read error EIO broken'
echo broken >source/broken
start_slow one "$work/source" "$m" -o background=off,segsize=64K,errorretries=1
valid list
valid show 1
valid show
valid stat "$m"
valid_lines stat -w 1 1
valid_lines watch -w 1
valid get 1
valid get
valid get --describe
valid set -p segsize=64K -p whole= 1
fails 2 set -p segsize=1 1
fails 4 set -p threads=1 1
valid where "$m/deep/er/est/file"
valid where "$m" "$m/holes" "$m/fifo"
valid first -m 1 'size<64K'
valid first "$m/deep/**"
fails 2 first -m 1 'a/b'
valid fetch "$m/several"
valid fetch --detach "$m/several" "$m/deep"
fails 3 fetch /etc/hostname
valid errors 1
fails 4 finish 1
valid log 1
valid_lines log -f -n 10 1
refused 'wrong use is told' 2 'whole number' "$admin" stat --json -w x 1

say '--- in use, partly there'
ls target >/dev/null
printf x | dd of=target/large bs=1 seek=1000000 conv=notrunc status=none
cat target/broken >/dev/null 2>&1 || :
cat "$m"/odd* >/dev/null
valid stat 1
valid where "$m/large"
valid where "$(printf '%s/odd \n\\ \xff\xfe name' "$m")"
valid losses 1
wait_for 60 eval '"$admin" errors --json 1 | grep -q EIO' # is committed behind the application's back
valid errors 1
check 'there was an error to tell of' grep -q EIO json.out
valid retry broken 1
valid waive broken 1
valid losses --paths 1
check 'a loss is told of' grep -q object json.out
valid errors --state waived 1
fails 1 waive nosuch 1
valid retry broken 1
if "$admin" where --json "$m/large" "$m/nosuch" >json.out 2>/dev/null; then fail 'where of a name that is not there'; fi
fits where 'one of several paths is not there'

valid db check 1
valid db check
valid db dump 1
valid db dump

say '--- halted'
stop one "$m"
valid db check 1
valid db export 1 saved
fails 4 db export 1 saved
DMMFS_PLUGINDIR=$DMMFS_BUILDDIR/test/plugins DMMFS_SLOW=$work/slow DMMFS_SLOW_LOG=$work/requests "$admin" db rebuild --json 1 >json.out 2>/dev/null || :
fits db 'what a rebuild would decide'
fails 7 db check --state "$work/source"
head -c 4096 saved/data.mdb >saved/half && mv saved/half saved/data.mdb && truncate -s 8192 saved/data.mdb
timeout 60 "$admin" db check --json --state saved >json.out 2>/dev/null && fail 'half a database is clean'
fits "$(grep -q '"findings"' json.out && echo db || echo failure)" 'the check of half a database'
valid list
valid show 1
valid stat 1
valid losses 1
fails 5 where "$m/plain"
fails 5 errors 1
fails 5 report 1
fails 5 verify 1
fails 5 finish 1
[ -S /run/systemd/journal/socket ] || fails 5 log 1 # the journal would know

say '--- everything here, a file open'
slow
start_slow one "$work/source" "$m" -o background=on
await_complete "$m"
valid verify 1
valid verify --status 1
valid report 1
exec 9<target/plain
fails 4 finish 1
check 'it says who has it open' grep -q '"holders"' json.out
exec 9<&-
valid finish --wait 10 1
reap one

say '--- finished'
valid list
valid show 1
valid stat 1
valid stat -w 1 1
valid where "$m/large" "$m"
valid report 1
fails 4 verify 1
valid errors 1
valid losses 1
valid finish 1
fails 4 start 1
fails 4 halt 1
fails 4 pause 1
fails 5 upgrade 1
fails 4 delete --remove -f 1
valid delete 1

say '--- made, used and deleted'
export DMMFS_DAEMON=$dmmfs
mkdir again other
fails 2 create -p "source=$work/nowhere" -p "target=$work/again"
valid create -h -p "source=$work/source" -p "target=$work/again" -p background=off -p segsize=64K
fails 1 create -p "source=$work/source" -p "target=$work/again"
valid pause "$work/again"
valid start "$work/again"
valid start "$work/again"
valid resume "$work/again"
valid upgrade "$work/again"
printf x | dd of=again/large bs=1 seek=1000000 conv=notrunc status=none
fails 4 delete "$work/again"
exec 9<again/plain
fails 4 halt "$work/again"
exec 9<&-
valid halt --wait 5 "$work/again"
valid halt "$work/again"
fails 4 delete "$work/again"
fails 4 delete --remove "$work/again"
valid delete -f "$work/again"
check 'it says which file is not whole' grep -q '"large"' json.out
valid create -p "source=$work/source" -p "target=$work/other"
valid delete --remove -f "$work/other"
