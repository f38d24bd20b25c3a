#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A change that fails after it has changed the target: what programs read then is what is there, not what the kernel had read before.
. "$(dirname "$0")/lib.sh"
work_on_fresh_fs 64M # not every TMPDIR can zero ranges

mkdir source
head -c 3000000 /dev/urandom >source/large
head -c 100000 /dev/urandom >source/from

zero() { fallocate -z -o 4096 -l 8192 mount/large; }
copy()
{
	python3 -c 'import os
to = os.open("mount/large", os.O_RDWR)
os.copy_file_range(os.open("mount/from", os.O_RDONLY), to, 8192, 0, 20000)'
}
cut() { truncate -s 70000 mount/large; }

begin() { head -c 130000 mount/large; }
is_changed() { ! cmp -s -n 130000 source/large target/large; }
as_on_the_target() { begin | cmp -s - <(head -c 130000 target/large); }

for how in zero copy cut; do
	point=write-owned
	[ $how != cut ] || point=resize-done
	mkdir target mount
	DMMFS_FAULT=$point:1:EIO start one "$work/source" "$work/mount" -o target="$work/target",background=off,segsize=64K,whole=0
	begin >/dev/null # from now on the kernel has it
	if $how 2>$how.out; then fail "$how did not fail"; fi
	check "$how changed the target" is_changed
	wait_for 60 as_on_the_target
	check "$how: what is read is what is there" as_on_the_target
	stop one "$work/mount"
	rm -rf "$DMMFS_CONFDIR" target mount
done
