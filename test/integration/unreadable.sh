#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# An inode of the target that the disk does not give for a while is not one that is gone: the kernel says the same of both (ESTALE).
# The end of the disk is cut off under the file system, with the inodes of whole groups in it, and put back.
. "$(dirname "$0")/lib.sh"
m=$work/target
errors_are() { [ "$("$admin" errors --json "$m" | grep -c '"error": "EIO"')" -ge "$1" ]; }
mount_target() { mount -o loop,errors=continue disk.img target || skip 'needs loop devices'; }

# Groups of 8 MiB with their inodes in them; ext4 spreads the directories of the top over them, by their names and the seed.
mkdir target source
for i in {1..24}; do mkdir "source/d$i"; echo "inside $i" >"source/d$i/file"; done
truncate -s 64M disk.img
mkfs.ext4 -q -F -b 4096 -g 2048 -O ^flex_bg,^has_journal,^inline_data -E hash_seed=11111111-0000-4000-8000-000000000001 disk.img
mount_target
start one "$work/source" "$m" -o background=off,statedir="$work/state"
ls target >/dev/null
stop one "$m"

say '--- the last two groups cannot be read'
first=$((6 * $(dumpe2fs -h disk.img 2>/dev/null | sed -n 's/^Inodes per group: *//p') + 1))
far=$(find target -mindepth 1 -maxdepth 1 -name 'd*' -inum +$((first - 1)) -printf '%f\n')
ours=$(find target/.dmmfs -inum +$((first - 1)))
[ -n "$far" ] && [ -z "$ours" ] || skip "ext4 has put what is needed elsewhere: '$far' '$ours'"
umount target
cp disk.img whole.img
mount_target
truncate -s $((6 * 2048 * 4096)) disk.img
# ext4 counts its errors a moment after it has met them. Here the count never comes.
count=/sys/fs/ext4/$(basename "$(findmnt -no SOURCE target)")/errors_count
cat "$count" >count.late
mount --bind count.late "$count"
start one "$work/source" "$m" -o background=on,errorretries=0,statedir="$work/state"
wait_for 20 errors_are "$(wc -w <<<"$far")"
refused 'finish' 4 'in error|not come over' "$admin" finish "$m"
equal 'it is not complete' 1 "$([ "$(figure "$m" state)" = complete ] || echo 1)"
stop one "$m"
umount "$count"

say '--- they can be read again'
umount target
dd if=whole.img of=disk.img bs=$((2048 * 4096)) skip=6 seek=6 conv=notrunc status=none
e2fsck -fy disk.img >fsck.out 2>&1 || [ $? -le 1 ] || fail "the file system is damaged: $(cat fsck.out)"
mount_target
start one "$work/source" "$m" -o background=on,statedir="$work/state"
finish one "$m"
rmdir target/lost+found
touch -r source target # it was the test that changed it
check 'all of it has come over' same source target
no_trace target
