#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The life of a migration by dmmfs-admin: create, start, pause, halt, start again, finish, delete; who else is there; daemons that died.
. "$(dirname "$0")/lib.sh"
export DMMFS_DAEMON=$dmmfs
m=$work/target

make_tree source
mkdir target other
# Nobody else is in this name space of processes.
daemons() { { pgrep -cf '^dmmfs --migid' || :; }; }
kill_daemon()
{
	local all one
	all="$(pgrep -f "^dmmfs-keeper --keeper $m\$") $(pgrep -f '^dmmfs --migid 2$')"
	kill -9 $all
	for one in $all; do wait_for 10 gone "$one"; done
}
state() { figure "$m" state; }

no_daemon() { [ "$(daemons)" = 0 ]; }

say '--- create'
refused 'without a target' 2 'needs -p source' "$admin" create -p "source=$work/source"
refused 'no property' 2 "takes PROPERTY=VALUE" "$admin" create -p source
refused 'a value that cannot be' 2 'segsize' "$admin" create -p "source=$work/source" -p "target=$m" -p segsize=5
refused 'an unknown property' 2 'nonsense' "$admin" create -p "source=$work/source" -p "target=$m" -p nonsense=1
refused 'a source that is not there' 2 'No such file' "$admin" create -p "source=$work/nowhere" -p "target=$m"
refused 'a target that is not there' 2 'make the directory first' "$admin" create -p "source=$work/source" -p "target=$work/nowhere"
refused 'one in the other' 1 'lies inside' "$admin" create -p "source=$work/source" -p "target=$work/source/deep"
touch other/file
refused 'a target that holds something' 1 'is not empty' "$admin" create -p "source=$work/source" -p "target=$work/other"
rm other/file
equal 'nothing of all that is left' '[]' "$("$admin" list --json | tr -d ' \n')"
equal 'and the migid' 1 "$("$admin" create -h -p "source=$work/source" -p "target=$m" -p segsize=64K -p background=off -p 'logfile=/tmp/no,such\dir/log')"
equal 'halted' halted "$(state)"
equal 'the target is not touched' '' "$(ls -A target)"
check 'a comma and a backslash in a value' grep -qF 'no,such\\dir' <("$admin" show --json 1)
"$admin" delete 1 >/dev/null
equal 'the next migid' 2 "$("$admin" create -h -p "source=$work/source" -p "target=$m" -p segsize=64K -p background=off)"
refused 'the same again' 1 'dmmfs-admin start 2' "$admin" create -p "source=$work/source" -p "target=$m"
mkdir source2
refused 'a target that has a migration' 1 'migration 2 uses' "$admin" create -p "source=$work/source2" -p "target=$m"
refused 'a mount point that has one' 1 'migration 2 uses' "$admin" create -p "source=$work/source2" -p "target=$work/other" -p "mountpoint=$m"
"$admin" create -h -p "source=$work/source2" -p "target=$work/other" >out 2>err
check 'an empty source is warned of' grep -q 'is its file system mounted' err
"$admin" delete "$work/other" >out

say '--- start'
"$admin" start 2 >one.out 2>&1 & one=$!
"$admin" start "$m" >two.out 2>&1 & two=$!
check 'two at once: one' wait $one
check 'two at once: the other' wait $two
equal 'and one daemon' 1 "$(daemons)"
check 'it serves with its properties' cmp source/plain target/plain
equal 'its segments are' 65536 "$(figure 2 segsize)"
check 'once more is no error' "$admin" start 2
refused 'an unknown one' 3 'no migration 77' "$admin" start 77

say '--- pause'
"$admin" pause 2 >out
equal 'it is shown' paused "$(state)"
check 'list shows it' grep -q paused <("$admin" list)
check 'users go on' cmp source/large target/large
for command in halt start; do "$admin" $command 2 >out; done
equal 'and lasts' paused "$(state)"
"$admin" resume 2 >out
equal 'until it is ended' running "$(state)"
"$admin" halt 2 >out && "$admin" pause 2 >out && "$admin" start 2 >out
check 'also while it was halted' grep -q 'is paused' out
"$admin" resume 2 >out

say '--- halt'
refused 'from inside' 4 'leave the mount' bash -c 'cd "$1"/deep && "$2" halt 2; exit $?' _ "$m" "$admin"
(cd target/deep && exec "$admin" halt 2) >out
check 'but this command itself does not hold it' grep -q 'is halted' out
equal 'unmounted' '' "$(findmnt -rno FSTYPE -M "$m" || :)"
wait_for 10 no_daemon
for command in list show stat; do check "$command goes on" "$admin" $command $([ $command = list ] || echo 2); done
refused 'where tells how to go on' 5 'dmmfs-admin start 2' "$admin" where "$m/plain"
check 'once more is no error' "$admin" halt 2
"$admin" start 2 >out
exec 9<target/large
refused 'a file is open' 4 'in use by' "$admin" halt 2
"$admin" halt --lazy 2 >out
check 'lazily' grep -q 'is detached' out
check 'what is open goes on' cmp source/large /dev/fd/9
exec 9<&-
wait_for 10 test ! -e run/2.sock

say '--- a daemon that died'
"$admin" start 2 >out
kill_daemon
no_daemon() { [ "$(daemons)" = 0 ]; }
wait_for 10 no_daemon
refused 'is told from one that was halted' 5 'has died and left its socket' "$admin" where "$m/plain"
check 'list' grep -q halted <("$admin" list)
check 'halt takes the dead mount away' "$admin" halt 2
equal 'unmounted' '' "$(findmnt -rno FSTYPE -M "$m" || :)"
"$admin" start 2 >out
kill_daemon
check 'start goes on over it' "$admin" start 2
check 'and it serves' cmp source/plain target/plain

say '--- another one of the same number'
mkdir conf2 third
DMMFS_CONFDIR=$work/conf2 DMMFS_RUNDIR=$work/run2 "$admin" create -h -p "source=$work/source2" -p "target=$work/third" >out 2>&1
DMMFS_CONFDIR=$work/conf2 DMMFS_RUNDIR=$work/run2 "$admin" delete 1 >out
DMMFS_CONFDIR=$work/conf2 DMMFS_RUNDIR=$work/run2 "$admin" create -p "source=$work/source2" -p "target=$work/third" >out 2>&1
for command in finish halt pause; do
	refused "$command does not reach it" 1 'serves another migration' env DMMFS_CONFDIR="$work/conf2" "$admin" $command 2
done
equal 'it runs on' running "$(state)"
DMMFS_CONFDIR=$work/conf2 DMMFS_RUNDIR=$work/run2 "$admin" delete -f 2 >out
no_trace third

say '--- whichever way it came to be'
mkdir mounted
start one "$work/source" "$work/mounted" -o segsize=128K,background=off
stop one "$work/mounted"
check 'a mount is started by its number' "$admin" start "$work/mounted"
equal 'with what it was mounted with' 131072 "$(figure "$work/mounted" segsize)"
"$admin" delete -f "$work/mounted" >out
"$admin" halt 2 >out
start one "$work/source" "$m"
equal 'and one that was created can be mounted' 2 "$(figure "$m" migid)"
equal 'with what it was created with' 65536 "$(figure "$m" segsize)"
stop one "$m"

say '--- the end'
"$dmmfs" --migid 2 -o background=on
await_complete "$m"
check 'finish' "$admin" finish 2
check 'the tree is the source' same source target
refused 'a complete one is not started' 4 'is complete' "$admin" start 2
"$admin" delete 2 >out
equal 'nothing is left' '[]' "$("$admin" list --json | tr -d ' \n')"
no_trace target
