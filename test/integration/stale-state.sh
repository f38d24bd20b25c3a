#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A state and a target that are not of one moment are never put together: a state from a backup, a target from a backup, a copy of the
# target, a target that is not mounted; and one daemon serves a target, also when its state was exchanged.
. "$(dirname "$0")/lib.sh"
export DMMFS_DAEMON=$dmmfs
s=$work/source

make_tree source
fresh_fs disk 64M
mkdir disk/target raw
mount --bind disk raw # what lies below the mount
t=$work/disk/target state=$work/disk/target/.dmmfs/state

mine() { dd if=/dev/zero of="$1/large" bs=64K seek=10 count=1 conv=notrunc status=none; }
# put_back COPY: the state is this one now.
put_back() { rm -rf "$state" && cp -a "$1" "$state"; }

say '--- an older state'
start one "$s" "$t" -o background=off,segsize=64K
ls "$t/deep" >/dev/null
check 'a copy beside the daemon' "$admin" db export "$t" "$work/exported"
mine "$t"
echo more >"$t/deep/new"
stop one "$t"
cp -a "$state" halted
start one "$s" "$t"
echo changed >"$t/plain"
kill_hard one
umount -l "$t"
cp -a "$state" last
for copy in exported halted; do
	put_back $copy
	refused "$copy" 32 'older than the target.*rebuild' "$dmmfs" "$s" "$t"
	refused "$copy again" 32 'older than the target' "$dmmfs" "$s" "$t"
	equal 'what an application wrote is as it was' changed "$(cat disk/target/plain)"
	"$admin" db check --json 1 >check.json || :
	check "db check says so of $copy" grep -q '"the state ends with commit [0-9]*, the target has seen' check.json
	refused 'nor is it deleted by such a state' 1 'older than the target' "$admin" delete -f --keep 1
done
mkdir begun begun.state
DMMFS_FAULT=state-made:1 "$dmmfs" "$s" "$work/begun" -o "statedir=$work/begun.state" >begun.out 2>&1 || :
check 'a state that says nothing yet' test -e begun.state/new/data.mdb
put_back begun.state/new
refused 'a state of the very beginning' 32 'older than the target.*rebuild' "$dmmfs" "$s" "$t"
equal 'what an application wrote is as it was' changed "$(cat disk/target/plain)"
put_back last
start one "$s" "$t"
equal 'with its own state it goes on' changed "$(cat "$t/plain")"
check 'with all that was written' cmp -n 65536 /dev/zero <(dd if="$t/large" bs=64K skip=10 count=1 status=none)

say '--- two daemons'
mv raw/target/.dmmfs/state away && cp -a halted raw/target/.dmmfs/state
refused 'a second one, of an exchanged state' 32 'another daemon serves the target' "$dmmfs" "$s" "$work/raw/target"
rm -rf raw/target/.dmmfs/state && mv away raw/target/.dmmfs/state
stop one "$t"

say '--- a witness that is gone or damaged'
cp -a disk/target/.dmmfs/witness witness
rm disk/target/.dmmfs/witness
refused 'missing' 32 'witness is missing' "$dmmfs" "$s" "$t"
"$admin" db check --json 1 >check.json || :
check 'and db check' grep -q 'the witness on the target is missing' check.json
cp -a witness disk/target/.dmmfs/witness
refused 'another file' 32 'another file system' "$dmmfs" "$s" "$t"
"$admin" db check --json 1 >check.json || :
check 'and db check' grep -q 'names another witness' check.json

umount disk
mkdir -p disk/target
refused 'not mounted' 32 'is the file system of the target mounted' "$dmmfs" "$s" "$t" -o collision=overwrite
equal 'nothing was begun there' '' "$(ls -A disk/target)"

say '--- a target that is copied, or older than the state'
mkdir second && fresh_fs two 64M && mkdir two/target
start two "$s" "$work/two/target" -o "statedir=$work/second,background=off,segsize=64K"
cat "$work/two/target/plain" >/dev/null
stop two "$work/two/target"
cp -a two/target copied
umount two && cp two.img old.img && mount -o loop two.img two
start two "$s" "$work/two/target"
cat "$work/two/target/large" >/dev/null
mine "$work/two/target"
stop two "$work/two/target"
umount two
mkdir two/target
refused 'not mounted' 32 'Is the file system of the target mounted' "$dmmfs" "$s" "$work/two/target" -o "statedir=$work/second"
equal 'nothing was left there' '' "$(ls -A two/target)"
mount -o loop old.img two
refused 'a target of yesterday' 32 'older than the state' "$dmmfs" "$s" "$work/two/target" -o "statedir=$work/second"
umount two
refused 'a copy, file by file' 32 'another file system|belongs' "$dmmfs" "$s" "$work/copied" -o "statedir=$work/second"
mount -o loop two.img two
start two "$s" "$work/two/target" -o background=on
finish two "$work/two/target"
check 'and it ends well' same -t . -t large -x large source two/target
no_trace two/target
