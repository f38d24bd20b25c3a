#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# mount(8) and fstab: the mount helper, options for others, mount options of the kernel, exit status.
. "$(dirname "$0")/lib.sh"

# mount(8) looks for /sbin/mount.fuse.dmmfs. What `meson install` makes is put there for the eyes of this test alone, with the
# programs themselves where the link points to.
DESTDIR=$work/root meson install -C "$DMMFS_BUILDDIR" --no-rebuild --skip-subprojects --quiet >install.out 2>&1 || { cat install.out; fail install; }
helper=$(find root -name mount.fuse.dmmfs)
program=$(readlink "$helper")
mkdir -p upper
ln -s "$work/root$program" upper/mount.fuse.dmmfs
sbin=$(realpath /sbin)
mount -t overlay overlay -o "lowerdir=$work/upper:$sbin" "$sbin" || skip 'needs overlay file systems'
! [ -e /etc/fstab ] || mount --bind /dev/null /etc/fstab

mkdir -p source target elsewhere
make_tree source
migid() { "$admin" list --json | grep -c migid; }

check 'mount -t fuse.dmmfs' mount -t fuse.dmmfs "$work/source" "$work/target" -o background=off,segsize=64K
equal 'it serves when mount returns' "$(cat source/plain)" "$(cat target/plain)"
equal 'type and source of the mount' "fuse.dmmfs $work/source" "$(findmnt -rno FSTYPE,SOURCE "$work/target")"
check 'everybody may use it' grep -q " $work/target fuse.dmmfs .*allow_other" /proc/mounts
check 'and rights are checked' grep -q " $work/target fuse.dmmfs .*default_permissions" /proc/mounts
check 'umount' umount "$work/target"
wait_for 10 test ! -e run/1.sock

umount -q /etc/fstab || :
cat >fstab <<END
$work/source $work/target fuse.dmmfs defaults,_netdev,nofail,noauto,user,x-systemd.requires=network.target,comment=any,nosuid,nodev,noexec 0 0
END
check 'the line of fstab, with options for others' mount -T "$work/fstab" "$work/target"
for option in nosuid nodev noexec; do
	check "$option is heeded" findmnt -rno OPTIONS -O $option "$work/target"
done
equal 'the same migration goes on' 1 "$(migid)"
umount target
wait_for 10 test ! -e run/1.sock

check 'suid, dev, exec as of fstab defaults' mount -t fuse.dmmfs "$work/source" "$work/target" -o background=on
options=$(findmnt -rno OPTIONS "$work/target")
case ,$options, in *,nosuid,* | *,nodev,* | *,noexec,*) fail "without options: $options" ;; esac
check 'a device node works' dd if=target/null of=/dev/null count=1 status=none
await_complete "$work/target"
check 'finish' "$admin" finish "$work/target"
no_trace target

refused 'an unknown option' 1 'unknown option nonsense' mount -t fuse.dmmfs "$work/source" "$work/elsewhere" -o nonsense=1
refused 'a source that is not there' 1 'nowhere' mount -t fuse.dmmfs "$work/nowhere" "$work/elsewhere"
check 'a finished line in fstab does not stop a boot' mount -T "$work/fstab" "$work/target"
