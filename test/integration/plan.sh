#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# plan: what is there, what will not come over, whether it can begin; and that nothing is written by looking.
. "$(dirname "$0")/lib.sh"
export DMMFS_DAEMON=$dmmfs
s=$work/source

# plan STATUS WHAT ARGUMENTS...: what it prints is in plan.json, and fits the schema.
plan()
{
	local wanted=$1 what=$2 status=0
	shift 2
	timeout 60 "$admin" plan --json "$@" >plan.json 2>plan.err || status=$?
	[ $status -eq "$wanted" ] || { cat plan.json plan.err; fail "$what: status $status, not $wanted"; }
	"$DMMFS_SOURCEDIR/test/tools/schema.py" plan plan.json || fail "$what: it does not fit the schema"
	say "ok: $what"
}

# finds KIND [REGEX]: there is such a finding, and what it says matches.
finds()
{
	python3 - "$1" "${2:-}" <<'END' || fail "no finding $*: $(cat plan.json)"
import json, re, sys
found = [one for one in json.load(open('plan.json'))['findings'] if one['kind'] == sys.argv[1]]
sys.exit(0 if found and re.search(sys.argv[2], json.dumps(found)) else 1)
END
	say "ok: it tells of $1"
}

finds_nothing() { equal 'it has nothing to tell' '[]' "$(python3 -c 'import json; print(json.load(open("plan.json"))["findings"])')"; }
value() { python3 -c 'import json, sys; print(eval("o" + sys.argv[1], {"o": json.load(open("plan.json"))}))' "$1"; }

make_tree source
mkdir target

say '--- nothing stands in the way, and nothing is touched'
find source target -exec touch -h -a -d '2001-01-01' {} +
find source target -print0 >paths
seen() { xargs -0 stat -c '%n %i %X %Y %Z %s' <paths; }
find source -type d -exec touch -a -d '2001-01-01' {} + # that was the access time of find
touch -a -d '2001-01-01' target
before=$(seen)
plan 0 'a plain tree' -p "source=$s" -p "target=$work/target"
finds_nothing
equal 'nothing was written, not even an access time' "$before" "$(seen)"
equal 'there is no configuration' '' "$(ls -d conf 2>/dev/null || :)"
equal 'files' "$(find source -type f -printf x | wc -c)" "$(value '["objects"]["files"]')"
equal 'directories' "$(find source -type d -printf x | wc -c)" "$(value '["objects"]["directories"]')"
equal 'devices' 2 "$(value '["objects"]["devices"]')"
equal 'a file with several names' '1 3' "$(value '["objects"]["files_several_names"]') $(value '["objects"]["several_names"]')"
equal 'bytes, each once' "$(find source -type f -printf '%i %s\n' | sort -u | awk '{ n += $2 } END { print n }')" "$(value '["bytes"]')"
equal 'the largest' 'holes' "$(value '["largest_file"]["path"]')"
equal 'the deepest' 'deep/er/est 3' "$(value '["deepest_directory"]["path"]') $(value '["deepest_directory"]["depth"]')"
equal 'the longest name' 255 "$(value '["longest_name"]["bytes"]')"
equal 'files were read' True "$(value '["rates"]["sample_files"] > 5')"
check 'for people' "$admin" plan -p "source=$s" -p "target=$work/target"
grep -q 'Nothing stands in the way' check.out || fail "what is said: $(cat check.out)"
check 'within seconds' "$admin" plan --quick 20 -p "source=$s" -p "target=$work/target" -p segsize=64K

say '--- what the order leaves out is not counted'
plan 0 'a tree, but not all' -p "source=$s" -p "target=$work/target" -p 'order=skip deep; skip size>100M'
finds skipped '"path": "deep".*skip'
equal 'what is in it is not there' "$(find source -path source/deep -prune -o -type d -printf x | wc -c)" "$(value '["objects"]["directories"]')"

say '--- it can not begin'
echo there >target/mine
plan 7 'a target that is not empty' -p "source=$s" -p "target=$work/target"
finds collision 'not empty'
plan 0 'with a rule for that' -p "source=$s" -p "target=$work/target" -p collision=rename
finds collision 'another name'
plan 7 'a target within the source' -p "source=$s" -p "target=$s/empty"
finds nesting inside
refused 'no source' 7 'No such file' "$admin" plan -p "source=$work/none" -p "target=$work/target"
refused 'a wrong property' 7 'segsize' "$admin" plan -p "source=$s" -p "target=$work/target" -p segsize=7
refused 'no property' 2 'property=value' "$admin" plan -p source
refused 'too few' 2 'target=' "$admin" plan -p "source=$s"

say '--- something will not come over'
mkdir nothing
plan 6 'an empty source' -p "source=$work/nothing" -p "target=$work/target" -p collision=overwrite
finds source-empty 'empty'
fresh_fs small 8M -b 1024 -N 16
plan 6 'a target that is too small' -p "source=$s" -p "target=$work/small"
finds inodes 'inodes'
head -c 9000000 /dev/zero >source/more
plan 6 'a target without room' -p "source=$s" -p "target=$work/small"
finds space 'free'
rm source/more
umount small

mkdir odd memory
mount -t tmpfs tmpfs odd
truncate -s 5T odd/large
touch -d '2500-01-01' odd/late
mkdir odd/other && mount -t tmpfs tmpfs odd/other
fresh_fs blocks 16M -b 1024
plan 6 'what ext4 does not take' -p "source=$work/odd" -p "target=$work/blocks"
finds file-too-large large
finds time late
finds submount other
umount odd/other
mount -t tmpfs tmpfs memory
echo x >memory/try
for name in user.x trusted.x security.x acl; do
	holds=yes
	rm -rf nothing && mkdir nothing && echo x >nothing/file
	for file in memory/try nothing/file; do # what the plan says is what happens
		case $name in
		acl) setfacl -m u:1234:r $file ;;
		*) setfattr -n $name -v 1 $file ;;
		esac 2>/dev/null || holds=no
	done
	plan $([ $holds = yes ] && echo 0 || echo 6) "tmpfs holds $name: $holds" -p "source=$work/nothing" -p "target=$work/memory" -p collision=rename
done

say '--- a source that is in trouble'
slow 'read error EIO large'
DMMFS_PLUGINDIR=$DMMFS_BUILDDIR/test/plugins DMMFS_SLOW=$work/slow DMMFS_SLOW_LOG=$work/requests \
	plan 6 'a file that can not be read' -p "source=slow://$s" -p "target=$work/target" -p collision=rename
finds unreadable-data large
slow 'list error EACCES deep'
DMMFS_PLUGINDIR=$DMMFS_BUILDDIR/test/plugins DMMFS_SLOW=$work/slow DMMFS_SLOW_LOG=$work/requests \
	plan 6 'a directory that can not be listed' -p "source=slow://$s" -p "target=$work/target" -p collision=rename
finds unreadable deep
slow 'list hang - deep'
DMMFS_PLUGINDIR=$DMMFS_BUILDDIR/test/plugins DMMFS_SLOW=$work/slow DMMFS_SLOW_LOG=$work/requests \
	plan 0 'a source that does not answer, in a second' --quick 1 -p "source=slow://$s" -p "target=$work/target" -p collision=rename
finds incomplete 'not listed'
equal 'it says that this is not all' False "$(value '["complete"]')"
