#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The daemon is killed while large writes and reads are on their way between it and the kernel, most of all when it has just begun to
# receive (large_pieces.py): none of them fails.   usage: keeper-large.sh [KILLS]; 500 is the long form
. "$(dirname "$0")/lib.sh"
kills=${1:-15}
m=$work/target

mkdir -p source target
start one "$work/source" "$m" -o passthrough=off # with it the kernel writes and reads by itself
check "large writes and reads go on while the daemon is killed $kills times" \
	python3 "$DMMFS_SOURCEDIR/test/integration/large_pieces.py" "$kills" "${SEED:-$RANDOM}" "${pid[one]}" one.log "$m"
cat check.out
stop one "$m"
