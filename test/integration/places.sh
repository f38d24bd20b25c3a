#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The target elsewhere than the mount point, the state elsewhere than the target, another configuration database; names with
# spaces and commas; a file system as target; file:// as source.
. "$(dirname "$0")/lib.sh"

make_tree 'sour%ce'
ln -s 'sour%ce' source
mkdir -p 'the target' access state plain

mkdir old new && echo content >old/file
start one "$work/old" "$work/old" -o "target=$work/new"
equal 'the access point may cover the source' content "$(cat old/file)"
echo changed >old/file
finish one "$work/old"
refused 'what lies at the former mount point is not the migration' 1 "its tree is $work/new" "$admin" where "$work/old/file"
check 'what is in the target is' grep -q 'on the target' <("$admin" where "$work/new/file")
equal 'what was written there went to the target' 'content changed' "$(cat old/file new/file | xargs)"
rm -r conf run
unset DMMFS_CONFDIR DMMFS_RUNDIR

"$dmmfs" "file://$work/so%75r%25ce" "$work/access" -o "target=$work/the target,statedir=$work/state/here,confdir=$work/other,rundir=$work/sockets" ||
	fail 'dmmfs did not start'
admin_here() { "$admin" --confdir other --rundir sockets "$@"; }
check 'the mount is the access point' same 'sour%ce' access
if [ -e 'the target/.dmmfs/state' ]; then fail 'the state lies in the target'; fi
check 'the state is where it was told' test -s state/here/data.mdb
equal 'modes of state and sockets are for root alone' '700 700 700 600' \
	"$(stat -c %a state/here other sockets sockets/1.sock | xargs)"
wait_for 30 sh -c "'$admin' --confdir other --rundir sockets stat --json 1 | grep -q '\"state\": \"complete\"'"
check 'a file is found by its path in the mount' admin_here where "$work/access/plain"
check 'and by its path in the target' admin_here where "$work/the target/plain"
check 'finish' admin_here finish 1
check 'the target is the source' same 'sour%ce' 'the target'
no_trace "$work/the target"
equal 'the access point is empty' '' "$(ls -A access)"
equal 'the directory of the state is as before' '' "$(ls -A state)"
refused 'the target moved away from its access point' 32 'complete.*use the target itself' \
	"$dmmfs" "$work/source" "$work/access" -o "target=$work/the target,confdir=$work/other,rundir=$work/sockets"

refused 'a URL that is none' 32 'hexadecimal' "$dmmfs" "file://$work/a%zz" "$work/access" -o "target=$work/plain,confdir=$work/other"
refused 'nesting is seen in a URL, too' 32 'inside' "$dmmfs" "file://$work/source" "$work/source/deep" -o "confdir=$work/other"

export DMMFS_CONFDIR=$work/conf DMMFS_RUNDIR=$work/run
fresh_fs disk 64M
mkdir disk/lost+found
start two "$work/source" "$work/disk"
finish two "$work/disk"

check 'a whole file system as target' same -x lost+found "sour%ce" disk
no_trace disk
