#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The daemon is killed while large writes and reads are on their way between it and the kernel, most of all when it has just begun to
# receive (large_pieces.py): none of them fails. Where there is no io_uring the daemon says what that means, and serves all the same.
# usage: keeper-large.sh [KILLS]; 500 is the long form. With `echo 1 >/proc/sys/vm/compact_memory` again and again beside it memory moves
# all the time.
. "$(dirname "$0")/lib.sh"
kills=${1:-15}
m=$work/target

# goes_on NAME KILLS: with this daemon.
goes_on()
{
	check "large writes and reads go on while the daemon is killed $2 times" \
		python3 "$DMMFS_SOURCEDIR/test/integration/large_pieces.py" "$2" "${SEED:-$RANDOM}" "${pid[$1]}" "$1.log" "$m"
	cat check.out
}

mkdir -p source target
start one "$work/source" "$m" -o passthrough=off # with it the kernel writes and reads by itself
goes_on one "$kills"
stop one "$m"

say '--- no io_uring'
printf '#!/bin/sh\nexec python3 "%s" "%s" "$@"\n' "$DMMFS_SOURCEDIR/test/integration/without_io_uring.py" "$dmmfs" >without
chmod +x without
dmmfs=$work/without
start two "$work/source" "$m" -o passthrough=off
if [ "$(cat /proc/sys/vm/compact_unevictable_allowed)" = 1 ]; then
	check 'the log says what may happen, and what to do' grep -q 'no memory can be pinned (EPERM).*allow io_uring, or' two.log
fi
goes_on two 3
stop two "$m"
