#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# db rebuild: a new state from source and target. What an application has written, removed, renamed or cut stays so far as it can be
# told, everything else comes over; nothing is changed without -f; killed between its steps it is done again.
. "$(dirname "$0")/lib.sh"
export DMMFS_DAEMON=$dmmfs
s=$work/source t=$work/target

make_tree source
mkdir source/sub source/never source/away
for name in one two gone taken cut absent renamed; do head -c 300000 /dev/urandom >source/sub/$name; done
echo small >source/never/file
echo other >source/never/other
for name in x y; do head -c 200000 /dev/urandom >source/away/$name; done
touch -d '2003-03-03 03:03:03.333333333' source/sub/* source/never source/away/x
touch -d '2004-04-04 04:04:04.444444444' source/sub/renamed
cp -a source expected
mkdir target

start one "$s" "$t" -o background=off,segsize=64K
cat "$t/deep/er/est/file" "$t/deep/two" "$t/sub/one" >/dev/null
dd if="$t/large" of=/dev/null bs=64K count=3 status=none
ls "$t/away" >/dev/null
for where in "$t" expected; do
	echo changed >"$where/plain"
	printf mine | dd of="$where/sub/two" bs=1 seek=100000 conv=notrunc status=none
	printf theirs | dd of="$where/sub/taken" bs=1 seek=100 conv=notrunc status=none
	truncate -s 100000 "$where/sub/cut"
	mv "$where/sub/renamed" "$where/sub/renamed-here"
	mv "$where/away/x" "$where/sub/from-away"
	rm "$where/sub/gone" "$where/symlink"
	ln -s elsewhere "$where/symlink"
	mkdir "$where/sub/new" && echo new >"$where/sub/new/file"
done
stop one "$t"
mv target/.dmmfs/state/data.mdb good

say '--- what it says'
dd if=/dev/zero of=target/.dmmfs/state/data.mdb bs=4096 count=3 status=none
refused 'a damaged state' 32 'damaged' "$dmmfs" "$s" "$t"
before=$(cd target && find . -mindepth 1 -path ./.dmmfs -prune -o -printf '%p %s %b %T@ %C@\n' | sort | md5sum)
status=0
"$admin" db rebuild --json 1 >report || status=$?
equal 'there is something to be decided' 6 $status
equal 'nothing was changed' "$before" "$(cd target && find . -mindepth 1 -path ./.dmmfs -prune -o -printf '%p %s %b %T@ %C@\n' | sort | md5sum)"
check 'the report' python3 - report <<'END'
import json, sys
report = json.load(open(sys.argv[1]))
found = {}
for one in report['findings']:
    found.setdefault(one['kind'], set()).add(one['path'])
wanted = {'differs': {'plain', 'sub/two', 'sub/taken', 'sub/cut'}, 'kind': {'symlink'}, 'missing': {'sub/gone'},
          'only-target': {'sub/new'}, 'renamed': {'sub/renamed-here', 'sub/from-away'}}
for kind, paths in wanted.items():
    assert found.get(kind, set()) == paths, (kind, found.get(kind))
assert not report['applied'] and report['directories_absent'] >= 2 and report['files_absent'] >= 3, report
import json, sys
report = json.load(open(sys.argv[1]))
found = {}
for one in report['findings']:
    found.setdefault(one['kind'], set()).add(one['path'])
wanted = {'differs': {'plain', 'sub/two', 'sub/taken', 'sub/cut'}, 'kind': {'symlink'}, 'missing': {'sub/gone'},
          'only-target': {'sub/new'}, 'renamed': {'sub/renamed-here', 'sub/from-away'}}
for kind, paths in wanted.items():
    assert found.get(kind, set()) == paths, (kind, found.get(kind))
assert not report['applied'] and report['directories_absent'] >= 2 and report['files_absent'] >= 3, report
END
refused 'no such path' 2 '/etc lies neither below' "$admin" db rebuild -f --take /etc 1
equal 'and nothing is begun for it' 1 "$(wc -l <refused.out)"
refused 'a path that is nowhere' 1 'sub/gnoe is neither on the target nor at the source' "$admin" db rebuild -f --keep sub/gone --keep sub/gnoe 1
refused 'nor below a file' 1 'plain/x is neither' "$admin" db rebuild --take plain/x 1
check 'the old state is untouched' test ! -e target/.dmmfs/state/data.mdb.damaged

say '--- killed between its steps'
for point in rebuild-walked rebuild-made rebuild-aside rebuild-swapped; do
	DMMFS_FAULT=$point:1 "$admin" db rebuild -f --keep sub/gone --take sub/taken 1 >rebuild.out 2>&1 && fail "$point did not fire"
	refused "after $point there is no state to be believed" 32 'damaged|another file system|whose state is not' "$dmmfs" "$s" "$t"
done

say '--- made anew'
check 'rebuild' "$admin" db rebuild -f --keep sub/gone --take "$t/sub/taken" 1
grep -q 'data.mdb.damaged' check.out || fail "the old one is not named: $(cat check.out)"
check 'the damaged one is kept' cmp -n 12288 /dev/zero target/.dmmfs/state/data.mdb.damaged
check 'it is clean' "$admin" db check 1
start one "$s" "$t" -o background=off
check 'a file that was taken' cmp source/sub/taken "$t/sub/taken"
check 'what was there is beside it' cmp expected/sub/taken "$t/sub/taken.collision-1"
check 'a file that was renamed before it came over' cmp source/sub/renamed "$t/sub/renamed-here"
"$admin" set -p background=on 1 >/dev/null
finish one "$t"
cp -a source/sub/taken expected/sub/taken
rm target/sub/taken.collision-1
check 'all that applications did is there, all else is the source' same -t . -t plain -t symlink -t sub -t sub/two -t sub/cut -t sub/new -t sub/new/file -t sub/taken -t away expected target
no_trace target

say '--- believing times'
mkdir quick
start two "$s" "$work/quick" -o background=off,segsize=64K
cat quick/sub/one >/dev/null
dd if=quick/sub/two of=/dev/null bs=64K count=1 status=none
echo changed >quick/plain
kill_hard two
umount -l quick
rm quick/.dmmfs/state/data.mdb
check 'quick' "$admin" db rebuild --quick -f "$work/quick"
start two "$s" "$work/quick" -o background=on
finish two "$work/quick"
equal 'the change is there' changed "$(cat quick/plain)"
check 'and the rest' same -t . -t plain -x plain source quick
