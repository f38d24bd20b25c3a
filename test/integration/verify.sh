#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Verification: bytes that changed on the disk behind everybody's back are damage; what applications do is not, nor is what the source
# does. The report tells of it, while the migration runs and after its end.
. "$(dirname "$0")/lib.sh"
m=$work/target

# damage FILE OFFSET: other bytes there on the disk of the target, with no time moved: past the file system, into its image.
damage()
{
	local block
	sync -f "$m"
	block=$(debugfs -R "bmap /$1 $(($2 / 4096))" "$m.img" 2>/dev/null)
	[ "$block" -gt 0 ] || fail "no block of $1"
	printf 'DAMAGE' | dd of="$m.img" bs=1 seek=$((block * 4096 + $2 % 4096)) conv=notrunc status=none
	sync "$m.img"
}

# count KEY: of the verification in json.out.
count() { sed -n "s/^ *\"$1\": \"\{0,1\}\([^\",]*\).*/\1/p" json.out | head -n 1; }

# verified WHAT STATUS ARGUMENTS...: with this exit status; its JSON is in json.out.
verified()
{
	local what=$1 wanted=$2 status=0
	shift 2
	timeout 60 "$admin" verify --json "$@" >json.out 2>json.err || status=$?
	[ $status -eq "$wanted" ] || { cat json.out json.err; fail "$what: status $status, not $wanted"; }
	check "$what" "$DMMFS_SOURCEDIR/test/tools/schema.py" verify json.out
}

fresh_fs target 256M -b 4096
make_tree source
mkdir source/many
for i in {1..60}; do echo "content of $i" >"source/many/$i"; done
cp source/large source/victim
cp source/large source/mine
cp source/large source/set-back
touch -d '2001-02-03 04:05:06.123456789' source/victim source/mine source/set-back
start one "$work/source" "$m" -o segsize=64K
await_complete "$m"

say '--- everything is as it came'
verified 'all is equal' 0 1
equal 'every file with data, once' "$(find source -type f -size +0 -printf '%i\n' | sort -u | wc -l)" "$(count files)"
equal 'all of them are equal' "$(count files)" "$(count equal)"
equal 'none is damaged' 0 "$(count damaged)"
text=$("$admin" verify --status 1)
check 'the text says so' grep -q '^Damaged  *0$' <<<"$text"

say '--- applications change things'
printf 'mine' | dd of=target/mine bs=1 seek=70000 conv=notrunc status=none
rm target/many/1
mv target/many/2 target/many/renamed
chmod 600 target/many/3
verified 'what applications did is no damage' 0 1
equal 'changed and removed are told apart' '1 1 0 0' "$(count changed) $(count removed) $(count damaged) $(count suspect)"
printf 'other' | dd of=target/set-back bs=1 seek=70000 conv=notrunc status=none
touch -d '2001-02-03 04:05:06.123456789' target/set-back
verified 'a time that was set back is suspect' 6 1
equal 'suspect, not damaged' '1 0' "$(count suspect) $(count damaged)"
check 'it is named' grep -q '"path": "set-back"' json.out
rm target/set-back

say '--- damage on the disk'
stat -c '%y %z' target/victim >before
damage victim 130000
stat -c '%y %z' target/victim >after
check 'no time tells of it' cmp before after
verified 'damage is found' 6 1
equal 'one file' 1 "$(count damaged)"
check 'it is named' grep -q '"path": "victim"' json.out
refused 'and in words' 6 'damaged.*victim|Verification' "$admin" verify 1
check 'the words have the path' grep -q 'damaged .*victim' refused.out
check 'it is in the ledger' grep -q 'victim' <("$admin" errors 1)
refused 'it keeps the migration from finishing' 4 'error' "$admin" finish 1
verified 'a sample that does not contain it' 0 --sample 0.0001% --seed 7 1
verified 'a sample of all' 6 --sample 100% 1

say '--- both sides'
printf 'drift' | dd of=source/large bs=1 seek=5 conv=notrunc status=none
echo new >target/only-here
verified 'both sides are looked at' 6 --full 1
equal 'the drift of the source, the damage of the target, a name too many and two that are missing' '1 1 2 3' \
	"$(count drifted) $(count damaged) $(count extra) $(count missing)"
check 'the drifted one is named' grep -q '"path": "large"' json.out

say '--- one at a time, and no longer than one likes'
"$admin" verify --detach --rate 64K/s 1 >/dev/null
refused 'a second one' 4 'being verified' "$admin" verify 1
check 'stat answers' "$admin" stat 1
verified 'it is stopped' 0 --stop 1
wait_for 10 bash -c "'$admin' verify --status --json 1 | grep -q stopped"
refused 'there is none to stop' 1 'not being verified' "$admin" verify --stop 1
"$admin" verify --detach --rate 64K/s 1 >/dev/null
kill_hard one
start one "$work/source" "$m"
check 'a kill stops it' grep -q stopped <("$admin" verify --status 1)

say '--- repaired'
cp source/victim repaired && cat repaired >target/victim
verified 'what an application has written anew is its own' 0 1
equal 'changed' "2 0" "$(count changed) $(count damaged)"
await_complete "$m"
"$admin" report --json 1 >json.out
check 'the report while it runs' "$DMMFS_SOURCEDIR/test/tools/schema.py" report json.out
cp json.out running.json
"$admin" finish 1 >/dev/null
reap one
"$admin" report --json 1 >json.out
check 'the report afterwards' "$DMMFS_SOURCEDIR/test/tools/schema.py" report json.out
check 'it is the same, and finished' python3 -c '
import json
a, b = json.load(open("running.json")), json.load(open("json.out"))
assert a["digests"] == b["digests"] and a["uuid"] == b["uuid"] and a["verify"] == b["verify"], (a, b)
assert a["totals"]["files_found"] == b["totals"]["files_found"]
assert a["finished"] is None and b["finished"] and b["state"] == "complete", b'
check 'and in words' grep -q '^Of them all  [0-9a-f]\{32\}$' <("$admin" report 1)
refused 'nothing can be verified any more' 4 'finished' "$admin" verify 1
no_trace target
