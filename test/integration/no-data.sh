#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Operations on files that have not come over bring no data that they do not need.
. "$(dirname "$0")/lib.sh"

mkdir -p source/dir target
for name in renamed removed cut emptied truncated overwritten touched mode owner linked attribute listed replaced; do
	head -c 300000 /dev/urandom >source/$name
done
head -c 3000000 /dev/urandom >source/punched # fallocate(1) opens it for reading, too, and small files come whole then
cp source/renamed source/dir/
cp -a source plain
start_slow one "$work/source" "$work/target" -o background=off,segsize=64K

both() { for tree in target plain; do "$@" "$tree"; done; }
# Each takes the tree as $1.
change()
{
	mv "$1/renamed" "$1/dir/new-name"
	rm "$1/removed"
	truncate -s 65536 "$1/cut"
	: >"$1/emptied"
	dd if=/dev/zero of="$1/truncated" bs=1000 count=3 status=none
	python3 -c 'import os, sys; os.pwrite(os.open(sys.argv[1], os.O_WRONLY), b"x" * 131072, 65536)' "$1/overwritten"
	touch -d 2001-01-01 "$1/touched"
	chmod 600 "$1/mode"
	chown 12:34 "$1/owner"
	ln "$1/linked" "$1/linked-too"
	setfattr -n user.x -v y "$1/attribute"
	stat "$1/listed" >/dev/null
	fallocate -p -o 65536 -l 131072 "$1/punched"
	mv "$1/dir/renamed" "$1/replaced"
	find "$1" -printf '%s %m %u' >/dev/null
}
both change
[ "$(requests read)" = 0 ] || grep ^read requests
equal 'nothing was read of the source' 0 "$(requests read)"

one_byte() { python3 -c 'import os, sys; os.pwrite(os.open(sys.argv[1], os.O_WRONLY), b"x", 100000)' "$1/mode"; }
both one_byte
equal 'which needs one segment' 65536 "$(awk '$1 == "read" { bytes += $3 } END { print bytes }' requests)"
check 'the trees are equal' "$DMMFS_BUILDDIR/test/model/model" compare plain target
stop one target
start_slow one "$work/source" "$work/target" -o background=on
finish one "$work/target"
check 'the trees are equal after finish' "$DMMFS_BUILDDIR/test/model/model" compare plain target
