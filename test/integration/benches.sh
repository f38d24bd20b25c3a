#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The benches run to their end on little data and print what they measured, with goals. No figure is looked at.
. "$(dirname "$0")/lib.sh"

mkdir bench
export BENCH_DIR=$work/bench BENCH_ROUNDS=1 BENCH_FILES=300 BENCH_LARGE=4M

# bench NAME...: the names of what must have been measured are read from standard input.
bench()
{
	local line
	"$DMMFS_SOURCEDIR/test/bench/run" "$@" >figures 2>bench.err || { cat figures bench.err; fail "the benches $* end badly"; }
	while read -r line; do
		grep -qE "^$line +[0-9.]+ +[0-9.]+ +[0-9.]+ [^ ]+\$" figures || { cat figures; fail "no median of $line"; }
		say "ok: $line"
	done
	check 'nothing is left' test -z "$(ls bench)"
}

bench small large reflink <<'END'
small-cp
small-rsync
small-ceiling
small-dmmfs
small-dmmfs-cpu
large-dmmfs
reflink-dmmfs-used
goal-G1-small-against-ceiling
goal-G14-small-processor-against-rsync
goal-G3-large-against-cp
END
refused 'one that is none' 2 'no bench "nothing"' "$DMMFS_SOURCEDIR/test/bench/run" nothing
