#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The demo comes out right without a terminal, and leaves nothing behind, also when it is interrupted.
. "$(dirname "$0")/lib.sh"

clean()
{
	[ -z "$(ls -A demo)" ] || fail "left behind: $(ls -A demo)"
	if findmnt -rn -t fuse.dmmfs >/dev/null; then fail 'a mount is left'; fi
	if pgrep -x dmmfs >/dev/null; then fail 'a daemon is left'; fi
}
mkdir demo
check 'the demo' env TMPDIR="$work/demo" "$DMMFS_SOURCEDIR/demo/run"
clean
for phase in 'where new/video' 'stat -w'; do
	TMPDIR=$work/demo "$DMMFS_SOURCEDIR/demo/run" >interrupted.out 2>&1 &
	demo=$!
	wait_for 60 grep -q -- "$phase" interrupted.out
	kill -TERM $demo
	wait $demo && fail 'an interrupted demo says that all is well'
	clean
	say "ok: interrupted at '$phase' it leaves nothing"
done
