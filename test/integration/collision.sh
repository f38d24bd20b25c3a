#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A target that is not empty: refused, overwritten or kept beside, as collision= says.
. "$(dirname "$0")/lib.sh"

make_tree source
fill()
{
	mkdir -p "$1/deep/er" "$1/own" "$1/large"
	echo mine >"$1/plain"
	echo mine >"$1/own/file"
	echo mine >"$1/deep/er/mine"
	echo mine >"$1/deep/two"
	echo mine >"$1/large/file"
	ln -s nowhere "$1/nothing"
	setfattr -n user.mine -v yes "$1/plain"
}
for policy in error overwrite rename; do fill $policy; done
cp -a error before
refused 'collision=error is the default' 32 'not empty.*collision=overwrite.*collision=rename' "$dmmfs" "$work/source" "$work/error"
refused 'collision=error' 32 'not empty' "$dmmfs" "$work/source" "$work/error" -o collision=error
check 'nothing was touched' same error before

start one "$work/source" "$work/overwrite" -o collision=overwrite
check 'the names of the source are the source, at once' sh -c 'cmp source/plain overwrite/plain && cmp source/deep/two overwrite/deep/two'
finish one "$work/overwrite"
equal 'what the source does not have stays' 'mine mine' "$(cat overwrite/own/file overwrite/deep/er/mine | xargs)"
equal 'nor does a directory that is not empty go for a file' mine "$(cat overwrite/large.collision-1/file)"
rm -r overwrite/own overwrite/deep/er/mine overwrite/large.collision-1
check 'the rest is the source' same -t . -t deep/er source overwrite
no_trace overwrite

# Killed while the second, the fourth, ... entry is made: the next start must not take our own for the administrator's.
for entry in 2 4 8 12; do
	DMMFS_FAULT=populate-entry:$entry launch one "$work/source" "$work/rename" -o collision=rename
	wait_for 20 ended one
	unset "pid[one]"
done
start one "$work/source" "$work/rename" -o collision=rename
finish one "$work/rename"
equal 'what the source does not have stays' 'mine mine' "$(cat rename/own/file rename/deep/er/mine | xargs)"
equal 'what was in the way stays beside' 'mine mine mine nowhere' \
	"$(cat rename/plain.collision-1 rename/deep/two.collision-1 rename/large.collision-1/file | xargs) $(readlink rename/nothing.collision-1)"
equal 'once each' 4 "$(find rename -name '*.collision-*' | wc -l)"
rm -r rename/own rename/deep/er/mine rename/*.collision-1 rename/deep/*.collision-1
check 'the rest is the source' same -t . -t deep -t deep/er source rename
no_trace rename

say '--- the source has the name beside as well'
mkdir names given
echo theirs >names/x
echo theirs too >names/x.collision-1
cp -a names names.before
echo mine >given/x
for entry in 1 2; do
	DMMFS_FAULT=populate-entry:$entry launch two "$work/names" "$work/given" -o collision=rename
	wait_for 20 ended two
	unset "pid[two]"
done
start two "$work/names" "$work/given" -o collision=rename
finish two "$work/given"
equal 'what was in the way is beside that' mine "$(cat given/x.collision-1.collision-1)"
rm given/x.collision-1.collision-1
check 'what came over is whole' same -t . names.before given
no_trace given
