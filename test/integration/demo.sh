#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The demo comes out right without a terminal, and leaves nothing behind, also when it is interrupted; with a tree on a server, too.
. "$(dirname "$0")/lib.sh"

none() { ! pgrep "$@"; } # what was killed a moment ago may be seen for another one

# In sessions of their own: smbd passes a SIGTERM on to its whole process group.
no_loop() { ! losetup -l | grep -F "$work/demo/"; }

clean()
{
	[ -z "$(ls -A demo)" ] || fail "left behind: $(ls -A demo)"
	if findmnt -rn -t fuse.dmmfs >/dev/null; then fail 'a mount is left'; fi
	for one in dmmfs dmmfs-smb ganesha.nfsd smbd samba-dcerpcd rpcbind; do wait_for 10 none -x "$one"; done
	wait_for 10 none -f "$work/demo/"
	wait_for 10 no_loop # the kernel gives it back when the last process is gone
}
mkdir demo
refused 'a source that it does not know' 2 'usage:.*nfs' "$DMMFS_SOURCEDIR/demo/run" --source afs
check 'the demo' env TMPDIR="$work/demo" setsid -w "$DMMFS_SOURCEDIR/demo/run"
clean
check 'with a tree on an NFS server' env TMPDIR="$work/demo" setsid -w "$DMMFS_SOURCEDIR/demo/run" --source nfs
clean

# interrupted WHEN [ARGUMENTS]: as soon as it says so.
interrupted()
{
	TMPDIR=$work/demo setsid "$DMMFS_SOURCEDIR/demo/run" "${@:2}" >interrupted.out 2>&1 &
	demo=$!
	wait_for 180 grep -q -- "$1" interrupted.out
	kill -TERM $demo
	wait $demo && fail 'an interrupted demo says that all is well'
	clean
	say "ok: interrupted at '$1' it leaves nothing"
}
interrupted 'stat -w'
interrupted 'the read has its bytes' --source smb
