#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# More objects than the daemon keeps in memory: it gives up nodes that the kernel still knows, and nobody notices. Its memory has a bound.
# usage: many-objects.sh [xfs]: where node ids are hashes, and the kernel is asked to forget
. "$(dirname "$0")/lib.sh"
export DMMFS_PLUGINDIR=$DMMFS_BUILDDIR/test/plugins
export MALLOC_PERTURB_=0 # which writes into memory that nobody would use
dirs=36 files=1000 own_most=49152

if [ "${1:-}" = xfs ]; then
	printf '%s\n' 6.18 "$(uname -r)" | sort -CV || skip 'Linux 6.18 is the first that can be asked to forget'
	dirs=64 # unit/test_fs_node holds the bound; here the kernel forgets what programs go on using
	mkdir target
	truncate -s 1G target.img
	mkfs.xfs -q target.img
	mount -o loop target.img target || skip 'needs xfs and loop devices'
else
	work_on_fresh_fs 1G -N 80000
	mkdir target
fi
start one "many:///$dirs/$files/5000" "$work/target" -o background=off,verify=off
memory() { awk -v name="$1:" '$1 == name { print $2 }' "/proc/$(worker one)/status"; }

cat >users.py <<-'EOT'
	import os, sys

	def all_known(less=0):
	    count = 0
	    for top, _, names in os.walk("."):
	        for name in names:
	            os.lstat(os.path.join(top, name))
	            count += 1
	    assert count == int(sys.argv[1]) - less, count

	def inodes():
	    return [os.fstat(fd).st_ino for fd in (kept, gone, path_only, unlinked, left)]

	whole = b"m" * 5000
	kept = os.open("dir0000000/file0000000", os.O_RDWR)
	gone = os.open("dir0000000/file0000001", os.O_RDWR)
	path_only = os.open("dir0000001/file0000002", os.O_PATH)
	unlinked = os.open("dir0000001/file0000003", os.O_PATH)
	os.mkdir("left")
	left = os.open("left", os.O_PATH)
	were = inodes()

	all_known()
	assert inodes() == were
	os.unlink("dir0000000/file0000001")
	os.unlink("dir0000001/file0000003")
	os.rmdir("left")
	assert os.pread(kept, 6000, 0) == whole
	assert os.pwrite(gone, b"written", 100) == 7

	all_known(2)
	assert inodes() == were
	assert [os.fstat(fd).st_nlink for fd in (kept, gone, path_only, unlinked)] == [1, 0, 1, 0]
	assert os.pread(gone, 6000, 0) == whole[:100] + b"written" + whole[107:]
	with open("dir0000001/file0000002", "rb") as again:
	    assert again.read() == whole
	    assert os.fstat(again.fileno()).st_ino == were[2]
	os.rename("dir0000002/file0000000", "dir0000003/other")
	assert open("dir0000003/other", "rb").read() == whole
	EOT
(cd target && python3 ../users.py $((dirs * files))) >users.out 2>&1 || { cat users.out; fail 'what programs see'; }
say 'ok: what programs hold stays theirs'

say "its own: $(memory RssAnon) KiB, at most with what it maps: $(memory VmHWM) KiB"
check 'the memory of its own has a bound' test "$(memory RssAnon)" -lt "$own_most"
check 'and so has what it maps' test "$(memory VmHWM)" -lt 65536
stop one target
