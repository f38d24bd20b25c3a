#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What cannot be done is refused with the reason, the remedy and the right exit status, and leaves nothing behind.
. "$(dirname "$0")/lib.sh"

mkdir -p source/inner target other/inner
echo content >source/file
touch -d '2001-01-01' target source
s=$work/source t=$work/target

# untouched: nothing was begun.
untouched()
{
	[ "$(ls -A target)" = '' ] || fail "the target holds $(ls -A target)"
	[ "$(getfattr --absolute-names -d -m - target)" = '' ] || fail 'the target carries an attribute'
	[ "$(stat -c %Y target)" = "$(date -d 2001-01-01 +%s)" ] || fail 'the time of the target changed'
	[ "$("$admin" list --json 2>/dev/null | tr -d ' \n')" = '[]' ] || fail 'the configuration has an entry'
	if findmnt -rn -M "$t" >/dev/null; then fail 'it is mounted'; fi
}
wrong() { refused "$@"; untouched; }

say '--- the command line'
wrong 'no arguments' 1 'usage: dmmfs SOURCE MOUNTPOINT' "$dmmfs"
wrong 'no mount point' 1 'usage: dmmfs SOURCE MOUNTPOINT' "$dmmfs" "$s"
wrong 'a third word' 1 'what is "more"' "$dmmfs" "$s" "$t" more
wrong 'an unknown option' 1 'unknown option nonsense' "$dmmfs" "$s" "$t" -o nonsense
wrong 'an unknown option with a value' 1 'unknown option nonsense' "$dmmfs" "$s" "$t" -o nonsense=1
wrong 'an unknown option as dmmfs-admin writes those of plugins' 1 'unknown option nonsense; .*dmmfs-plugin' \
	"$dmmfs" "$s" "$t" -o plugin.nonsense=1
wrong 'an unknown letter' 1 '-Q' "$dmmfs" -Q "$s" "$t"
wrong 'a misspelt option' 1 'unknown option segsizes' "$dmmfs" "$s" "$t" -o segsizes=1M
wrong 'an option without its value' 1 'target' "$dmmfs" "$s" "$t" -o target=
wrong 'a segment size that is none' 1 'segsize=big.*example' "$dmmfs" "$s" "$t" -o segsize=big
wrong 'a segment size out of bounds' 1 'segsize=1K.*4K to 64M' "$dmmfs" "$s" "$t" -o segsize=1K
wrong 'a number that is none' 1 'maxnsproc=many.*number' "$dmmfs" "$s" "$t" -o maxnsproc=many
wrong 'a switch that is none' 1 'background=maybe.*on or off' "$dmmfs" "$s" "$t" -o background=maybe
wrong 'a policy that is none' 1 'collision=merge.*error, overwrite or rename' "$dmmfs" "$s" "$t" -o collision=merge
wrong 'more reserve than workers' 1 'maxdfproc must be greater' "$dmmfs" "$s" "$t" -o maxdfproc=2,resdfproc=2
wrong 'a scheme without plugin' 32 'gopher' "$dmmfs" gopher://host/dir "$t"
wrong 'a protocol without plugin' 32 'nonsense' "$dmmfs" "$s" "$t" -o protocol=nonsense
if command -v setpriv >/dev/null; then
	wrong 'not root' 1 'only root' setpriv --reuid 2001 --regid 2001 --clear-groups "$dmmfs" "$s" "$t"
fi

say '--- places'
wrong 'no such source' 1 'nowhere: No such file' "$dmmfs" "$work/nowhere" "$t"
wrong 'an export without its protocol' 1 'protocol=nfs' "$dmmfs" oldnas:/export "$t"
wrong 'a share without its protocol' 1 'protocol=cifs' "$dmmfs" //oldnas/share "$t"
wrong 'no such mount point' 1 'nowhere: No such file' "$dmmfs" "$s" "$work/nowhere"
wrong 'no such target' 1 'nowhere: No such file' "$dmmfs" "$s" "$t" -o "target=$work/nowhere"
wrong 'a source that is a file' 1 'file: Not a directory' "$dmmfs" "$s/file" "$t"
wrong 'a mount point that is a file' 1 'file: Not a directory' "$dmmfs" "$s" "$s/file" -o "target=$t"
wrong 'a target that is a file' 1 'file: Not a directory' "$dmmfs" "$s" "$t" -o "target=$work/other/../source/file"
wrong 'the same directory' 32 'same directory' "$dmmfs" "$s" "$s"
wrong 'the target inside the source' 32 'inside the source' "$dmmfs" "$s" "$s/inner"
wrong 'the source inside the target' 32 'inside the target' "$dmmfs" "$work/other/inner" "$work/other"
wrong 'the target, given as an option, inside the source' 32 'inside the source' "$dmmfs" "$s" "$t" -o "target=$s/inner"
mkdir bound && mount --bind source bound
wrong 'the same directory by another way' 32 'same directory' "$dmmfs" "$s" "$work/bound"
umount bound
if ! python3 -c 'import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
buf = ctypes.create_string_buffer(136); buf[0:4] = (128).to_bytes(4, "little"); mount = ctypes.c_int()
sys.exit(libc.name_to_handle_at(-100, b"/proc/self", buf, ctypes.byref(mount), 0) < 0)'; then
	wrong 'a target without file handles' 32 'handle' "$dmmfs" "$s" "$t" -o target=/proc/self/task
fi
truncate -s 16M inline.img
mkfs.ext4 -q -I 256 -O inline_data inline.img
mount -o loop inline.img bound || skip 'needs loop devices'
wrong 'a target that loses sight of its directories' 32 'inline_data' "$dmmfs" "$s" "$work/bound"
umount bound
mount -t tmpfs -o ro tmpfs "$work/bound"
wrong 'a target that is read-only' 32 'Read-only' "$dmmfs" "$s" "$work/bound"
wrong 'a state directory that cannot be made' 32 'state' "$dmmfs" "$s" "$t" -o "statedir=$work/no/such/place"
wrong 'a configuration that cannot be made' 32 '/proc' env DMMFS_CONFDIR=/proc/dmmfs "$dmmfs" "$s" "$t"

umount bound
say '--- sources and targets of others'
start one "$s" "$t" -o background=off
stop one "$t"
refused 'the target of an unfinished migration as source' 32 'finish that one first' "$dmmfs" "$t" "$work/other/inner"
[ ! -e other/inner/.dmmfs ] || fail 'a trace is left'
refused 'a target of another source' 32 "belongs to a migration from $s" "$dmmfs" "$work/other" "$t"
start one "$s" "$t" -o background=on
finish one "$t"
check 'after all this it works' same source target
