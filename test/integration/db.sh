#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# db check, dump and export: beside a daemon and without one, of damaged databases, and an export that a migration goes on with.
. "$(dirname "$0")/lib.sh"
export DMMFS_DAEMON=$dmmfs
s=$work/source

make_tree source
mkdir backup
fresh_fs disk 64M
mkdir disk/target
t=$work/disk/target
start one "$s" "$t" -o background=off,segsize=64K
ls "$t" "$t/deep" >/dev/null
dd if="$t/large" of=/dev/null bs=64K count=3 status=none
echo changed >"$t/plain"

said() { grep -qE -- "$1" check.out; }

say '--- beside a daemon, below its mount'
check 'a running migration is clean' "$admin" db check "$t"
said 'clean, [1-9]' || fail "no entries were seen: $(cat check.out)"
said 'Objects on the target: [1-9][0-9]* there, 0 gone' || fail "objects: $(cat check.out)"
check 'and the configuration' "$admin" db check
check 'the mount is as it was' findmnt -rn -M "$t"
"$admin" db dump "$t" >dump
check 'a dump is JSON in lines' python3 - dump <<'END'
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
databases = {line['database'] for line in lines}
assert {'meta', 'identity', 'dirs', 'files', 'segments', 'links', 'links-ino'} <= databases, databases
large = [line for line in lines if line['database'] == 'files' and line['source_size'] == 3000000]
assert len(large) == 1 and large[0]['segsize'] == 65536, large
marked = [line for line in lines if line['database'] == 'segments' and line['ino'] == large[0]['ino'] and line['kind'] == 'resident']
assert marked and marked[0]['segments'][0][0] == 0, marked
assert {line['name']: line['value'] for line in lines if line['database'] == 'meta'}['totals']['dirs_found'] > 3
END
"$admin" db dump --database identity "$t" >dump
equal 'one database of it' identity "$(sed 's/.*"database":"\([a-z]*\)".*/\1/' dump | sort -u)"
refused 'a database that is none' 7 'No such|there is no' "$admin" db dump --database nonsense "$t"
check 'JSON' sh -c "'$admin' db check --json '$t' | python3 -c 'import json, sys; o = json.load(sys.stdin); assert o[\"clean\"] and o[\"findings\"] == [] and o[\"handles\"][\"stale\"] == 0 and o[\"entries\"] > 5, o'"
check 'an export beside the daemon' "$admin" db export "$t" backup/online
check 'is clean' "$admin" db check --state backup/online
equal 'and for root alone' '700 600 600 600' "$(stat -c %a backup/online backup/online/* | xargs)"
equal 'with the settings' "$s" "$(python3 -c 'import json; print(json.load(open("backup/online/migration.json"))["settings"]["source"])')"
refused 'nothing is overwritten' 4 'already' "$admin" db export "$t" backup/online
refused 'nor put into the target' 4 'target' "$admin" db export "$t" "$t/saved"
check 'nothing is left of that' test ! -e "$t/saved.partial"

say '--- without a daemon'
stop one "$t"
state=$t/.dmmfs/state
before=$(md5sum <"$state/data.mdb")
check 'a halted migration is clean' "$admin" db check 1
check 'export' "$admin" db export 1 "$work/backup/halted"
equal 'nothing was written' "$before" "$(md5sum <"$state/data.mdb")"
cp -a "$state" bare && rm bare/lock.mdb bare/lock
check 'a copy without a table of readers' "$admin" db check --state bare
equal 'gets none' data.mdb "$(ls bare)"
refused 'no such directory' 7 'no state' "$admin" db check --state "$work/nowhere"
refused 'an unknown migration' 3 'no migration' "$admin" db check 99

say '--- damaged'
# damaged HOW STATUS: a copy, damaged by Python code that changes `data`.
damaged()
{
	local status=0
	rm -rf bad && mkdir bad
	python3 - "$state/data.mdb" bad/data.mdb "$1" <<'END'
import sys
data = bytearray(open(sys.argv[1], 'rb').read())
exec(sys.argv[3])
open(sys.argv[2], 'wb').write(data)
END
	timeout 60 "$admin" db check --state bad >damaged.out 2>&1 || status=$?
	[ $status -eq "$2" ] || { cat damaged.out; fail "$1: status $status, not $2"; }
	say "ok: $1: $(head -n 1 damaged.out)"
}
damaged 'data[:8192] = bytes(8192)' 7
damaged 'del data[100:]' 7
damaged 'data[8192:] = b"\xa5" * (len(data) - 8192)' 6
damaged 'data = data.replace(b"planted", b"blanted")' 6 # also in pages that are free, which may come first
grep -q 'identity planted' damaged.out || fail 'the missing entry is not named'
grep -q 'do:' damaged.out || fail 'no remedy is named'
damaged 'for i in [i for i in range(len(data) - 8) if data[i:i+7] == b"totals\x61"]: data[i+7] ^= 1' 6
grep -q 'meta totals: a value' damaged.out || fail "it is not told: $(cat damaged.out)"
rm -rf bad && mkdir bad && head -c 12288 "$state/data.mdb" >bad/data.mdb && truncate -s 2M bad/data.mdb
status=0
timeout 60 "$admin" db check --state bad >damaged.out 2>&1 || status=$?
case $status in 6 | 7) say "ok: most pages are zeros: status $status: $(head -n 1 damaged.out)" ;; *) fail "zeros: status $status" ;; esac

say '--- a saved state is put back on a copy of the target'
umount disk
cp disk.img copy.img
mkdir copy && mount -o loop copy.img copy
rm -rf copy/target/.dmmfs/state
refused 'the state is lost' 32 'state' "$dmmfs" "$s" "$work/copy/target"
cp -a backup/halted copy/target/.dmmfs/state
start two "$s" "$work/copy/target"
equal 'with the export it goes on' changed "$(cat copy/target/plain)"
finish two "$work/copy/target"
check 'and ends well' same -t . -t plain -x plain source copy/target
no_trace copy/target
