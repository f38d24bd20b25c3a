#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Immutable and append-only files and directories, at the source and made so on the mount, while they have not come over.
. "$(dirname "$0")/lib.sh"

work_on_fresh_fs 200M
mkdir -p source/{frozen,later,growing} target plain
echo one >source/frozen/file
echo two >source/later/file
for name in immutable append normal thaw; do head -c 300000 /dev/urandom >source/$name; done
echo twice >source/frozen/twice && ln source/frozen/twice source/again
cp -a source/. plain/
freeze() { chattr +i "$1/immutable" "$1/thaw" "$1/again" "$1/frozen"; chattr +a "$1/append" "$1/growing"; }
freeze source
freeze plain
start one "$work/source" "$work/target" -o background=off,segsize=64K,whole=0

cat target/again >/dev/null # it is immutable before its other name has come over
flags() { (cd "$1" && lsattr -d immutable append normal thaw frozen later growing | sed 's/[^ia]//g' | tr '\n' ' '); }
equal 'flags of what is absent' "$(flags plain)" "$(flags target)"
# each WHAT COMMAND with TREE: says the same in both trees.
each()
{
	local one two
	one=$(TREE=plain bash -c "$2" 2>&1 | sed 's/.*: //') || :
	two=$(TREE=target bash -c "$2" 2>&1 | sed 's/.*: //') || :
	equal "$1: $one" "$one" "$two"
}
for round in absent here; do
	each "$round: writing into an immutable file" 'echo >>$TREE/immutable'
	each "$round: opening it for writing" 'exec 3<>$TREE/immutable'
	each "$round: cutting it" 'truncate -s 0 $TREE/immutable'
	each "$round: its mode" 'chmod 600 $TREE/immutable'
	each "$round: its times" 'touch $TREE/immutable'
	each "$round: its name" 'mv $TREE/immutable $TREE/x'
	each "$round: removing it" 'rm -f $TREE/immutable'
	each "$round: a link to it" 'ln $TREE/immutable $TREE/x'
	each "$round: an attribute" 'setfattr -n user.x -v 1 $TREE/immutable'
	each "$round: appending" 'echo more >>$TREE/append'
	each "$round: overwriting what may be appended to" 'dd if=/dev/zero of=$TREE/append bs=1 count=1 conv=notrunc status=none'
	each "$round: cutting it" 'truncate -s 0 $TREE/append'
	each "$round: removing it" 'rm -f $TREE/append'
	each "$round: a name in an immutable directory" 'touch $TREE/frozen/new'
	each "$round: removing one" 'rm -f $TREE/frozen/file'
	each "$round: a name in an append-only directory" "touch \$TREE/growing/$round"
	each "$round: removing that" "rm -f \$TREE/growing/$round"
	each "$round: reading" 'cat $TREE/immutable $TREE/append $TREE/frozen/file | sha256sum'
done
each 'a directory is made immutable' 'chattr +i $TREE/later'
each 'and keeps what it holds' 'cat $TREE/later/file; touch $TREE/later/x'
each 'a file is let loose' 'chattr -i $TREE/thaw && echo >>$TREE/thaw && sha256sum <$TREE/thaw'
each 'a file is made immutable' 'chattr +i $TREE/normal; echo >>$TREE/normal; sha256sum <$TREE/normal'
equal 'flags' "$(flags plain)" "$(flags target)"
stop one target
start one "$work/source" "$work/target" -o background=on
finish one "$work/target"
equal 'flags after finish' "$(flags plain)" "$(flags target)"
check 'the trees are equal' "$DMMFS_BUILDDIR/test/model/model" compare plain target
