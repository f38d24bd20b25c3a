#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The benches run to their end on little data, and what they print is what the report reads. No figure is looked at.
. "$(dirname "$0")/lib.sh"
for needed in rsync mkfs.ext4 mkfs.xfs python3; do command -v "$needed" >/dev/null || skip "needs $needed"; done

BENCH_DIR=$work BENCH_FILES=200 BENCH_LARGE=2M BENCH_ROUNDS=1 BENCH_KEEP=$work/kept \
	"$DMMFS_SOURCEDIR/test/bench/run" small dir large reflink cached >bench.log 2>&1
for name in small-dmmfs small-dmmfs-cpu small-ceiling dir-ls-dmmfs large-rsync reflink-dmmfs-used tree-cached-median-dmmfs; do
	check "$name is a figure" grep -Eq "^$name [0-9.]+ [A-Za-z/]+$" kept
done
check 'the goals are told' grep -Eq '^G1 +small-against-cp +[0-9.]+ at least +1\.5 ' bench.log
check 'the results become plots' python3 "$DMMFS_SOURCEDIR/test/bench/report.py" --goals-svg goals.svg --bars-svg bars.svg kept
for plot in goals bars; do
	check "$plot.svg is XML" python3 -c 'import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])' $plot.svg
done
say '--- beside a raw library'
if [ -n "$(command -v ganesha.nfsd)" ] && [ -n "$(command -v rpcbind)" ] && [ -x "$DMMFS_BUILDDIR/test/bench/ceiling-nfs" ]; then
	BENCH_DIR=$work BENCH_FILES=100 BENCH_CALLS=50 BENCH_LARGE=32M BENCH_ROUNDS=1 BENCH_NET=nfs3 BENCH_KEEP=$work/kept \
		"$DMMFS_SOURCEDIR/test/bench/run" net >bench.log 2>&1 || { cat bench.log; fail 'the bench net did not end well'; }
	for goal in G4 G5 G7; do check "$goal is told" grep -Eq "^$goal +nfs3-" bench.log; done
fi
check 'nothing is left mounted' [ -z "$(findmnt -rno TARGET | grep -F "$work/")" ]
