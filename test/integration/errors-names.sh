#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Single names that could not be made with their directory: they wait, a retry makes them, also when it is killed on the way, and what
# an application has made under the name meanwhile stays.
. "$(dirname "$0")/lib.sh"
m=$work/target
count() { "$admin" errors --json --state "$1" "$m" | grep -c '"id":' || :; }
launch_slow()
{
	DMMFS_PLUGINDIR=$DMMFS_BUILDDIR/test/plugins DMMFS_SLOW=$work/slow DMMFS_SLOW_LOG=$work/requests \
		launch one "slow://$work/source" "$m"
}
count_is() { [ "$(count "$1")" = "$2" ]; }

mkdir -p source/dir/sub source/other target
echo inside >source/dir/sub/inside
head -c 200K /dev/urandom >source/dir/file
ln -s file source/dir/symlink
echo theirs >source/dir/taken
setfattr -h -n trusted.asked -v for source/dir/{file,sub,symlink,taken} # what has no attributes is not asked for them

say '--- no name of a directory can be made'
start_slow one "$work/source" "$m" -o background=off,segsize=64K
ls target >/dev/null
slow 'xattrs error EPERM'
equal 'it appears without them' '' "$(ls target/dir)"
slow
wait_for 10 count_is waiting 4
refused 'finish' 4 'in error|not come over' "$admin" finish "$m"
refused 'a name that is not there' 1 'No such file' cat target/dir/symlink
echo mine >target/dir/taken

say '--- retry, killed when a name is staged and when it is in its place'
stop one "$m"
DMMFS_FAULT=again-staged:1 start_slow one "$work/source" "$m"
"$admin" retry dir "$m" >/dev/null 2>&1 || :
wait "${pid[one]}" || :
unset 'pid[one]'
umount -l "$m"
DMMFS_FAULT=again-placed:1 launch_slow
wait "${pid[one]}" || : # it goes on by itself, and comes so far
unset 'pid[one]'
umount -l "$m" 2>/dev/null || :
start_slow one "$work/source" "$m"
wait_for 20 figure_is "$m" files_error 0
equal 'they are there, in a directory that was seen without them' 'file sub symlink taken' "$(ls target/dir | tr '\n' ' ' | sed 's/ $//')"
check 'a directory with what is in it' cmp source/dir/sub/inside target/dir/sub/inside
equal 'a symlink' file "$(readlink target/dir/symlink)"
equal 'what an application made stays' mine "$(cat target/dir/taken)"
check 'background' "$admin" set -p background=on "$m"
finish one "$m"
no_trace target

say '--- a file that cannot be made as a whole is not there, and a retry does not take what is left of it for the file'
mkdir two.source
truncate -s 5T two.source/large
echo small >two.source/small
fresh_fs "$work/two" 64M -b 1024
m=$work/two
start two "$work/two.source" "$m" -o collision=overwrite
wait_for 10 figure_is "$m" files_error 1
equal 'the others are there' small "$(ls two | grep -v lost+found)"
check 'retry' "$admin" retry large "$m"
sleep 1
equal 'it is still in error' 1 "$(figure "$m" files_error)"
equal 'and not there' small "$(ls two | grep -v lost+found)"
check 'waived' "$admin" waive large "$m"
finish two "$m"

say '--- what cannot be read keeps its directory away no longer than it is tried again by itself: here, not at all'
m=$work/three
mkdir -p three three.source/dir
echo secret >three.source/dir/secret
setfattr -n trusted.asked -v for three.source/dir/secret
slow
start_slow three "$work/three.source" "$m" -o background=off,errorretries=0
ls three >/dev/null
slow 'xattrs error EACCES'
equal 'the directory is there' '' "$(ls three/dir 2>&1)"
equal 'what is not is named' 'dir/secret EACCES waiting' "$("$admin" errors --json "$m" | python3 -c 'import json, sys
for entry in json.load(sys.stdin): print(entry["path"], entry["error"], entry["state"])')"
stop three "$m"
