#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The daemon is killed again and again, and programs that work on the mount notice nothing (untroubled.py). At the end the migration is
# what it would have been.   usage: keeper.sh [KILLS [FILE-SYSTEM]]; 100 is the long form
. "$(dirname "$0")/lib.sh"
kills=${1:-10}
m=$work/target

mkdir -p source/many target plain
if [ -n "${2:-}" ]; then # other file handles, and so other node ids
	truncate -s 512M target.img
	"mkfs.$2" -q target.img
	mount -o loop target.img target || skip "needs $2 and loop devices"
fi
for i in {001..200}; do mkdir "source/many/$i"; head -c "$((RANDOM * 3))" /dev/urandom >"source/many/$i/file"; done
head -c 8M /dev/urandom >source/coming
[ -n "${2:-}" ] || make_tree source/tree # xfs shows ACLs under two names
start one "$work/source" "$m" -o segsize=64K,whole=64K,background=off
check "programs go on while the daemon is killed $kills times" python3 "$DMMFS_SOURCEDIR/test/integration/untroubled.py" \
	"$kills" "${SEED:-$RANDOM}" "${pid[one]}" one.log "$m" "$work/source" "$work/plain"
cat check.out
rm -f target/held-* target/mapped-* target/opener-* target/attributes-*
cp target/coming source/coming
touch -r target/coming source/coming
"$admin" set -p background=on 1 >/dev/null
finish one "$m"
check 'the tree is the source, and what was changed' same -t . source target
no_trace target
