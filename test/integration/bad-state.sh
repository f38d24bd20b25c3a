#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A state that is lost, damaged, of another version or of another migration is never taken for an empty one.
. "$(dirname "$0")/lib.sh"
s=$work/source

make_tree source
# begun NAME: a target half here, with a change by an application.
begun()
{
	mkdir "$1"
	start one "$s" "$work/$1" -o "background=off,segsize=64K$2"
	ls "$1/deep" >/dev/null
	dd if="$1/large" of=/dev/null bs=64K count=2 status=none
	echo changed >"$1/plain"
	stop one "$work/$1"
}

say '--- lost'
begun lost ''
mv lost/.dmmfs/state away
refused 'a marked target without its state' 32 'statedir=.*backup' "$dmmfs" "$s" "$work/lost"
equal 'it is still marked' 36 "$(getfattr --absolute-names --only-values -n trusted.dmmfs lost | wc -c)"
check 'with its state elsewhere it goes on' "$dmmfs" "$s" "$work/lost" -o "statedir=$work/away,logfile=$work/x.log"
equal 'with all that was done' changed "$(cat lost/plain)"
check 'and the rest' cmp source/large lost/large
umount lost
wait_for 10 test ! -e run/1.sock

say '--- the configuration is lost'
rm -r conf
start one "$s" "$work/lost" -o "statedir=$work/away,background=on"
equal 'it is found again from the target' changed "$(cat lost/plain)"
finish one "$work/lost"
check 'and ends well' same -t . -t plain -x plain source lost
no_trace lost

say '--- damaged'
begun damaged ''
cp damaged/.dmmfs/state/data.mdb good
for how in cut-in-a-page cut-short zeros; do
	case $how in
	cut-in-a-page) truncate -s 6000 damaged/.dmmfs/state/data.mdb ;;
	cut-short) truncate -s 100 damaged/.dmmfs/state/data.mdb ;;
	zeros) dd if=/dev/zero of=damaged/.dmmfs/state/data.mdb bs=4096 count=2 conv=notrunc status=none ;;
	esac
	refused "$how" 32 'state|damaged' "$dmmfs" "$s" "$work/damaged"
	if findmnt -rn -M "$work/damaged" >/dev/null; then fail 'it is mounted'; fi
	cp good damaged/.dmmfs/state/data.mdb
done
truncate -s 0 damaged/.dmmfs/state/data.mdb
refused 'empty' 32 'state|damaged' "$dmmfs" "$s" "$work/damaged"
cp good damaged/.dmmfs/state/data.mdb
start one "$s" "$work/damaged" -o background=on
equal 'with its backup it goes on' changed "$(cat damaged/plain)"
finish one "$work/damaged"

say '--- of another version'
begun versions ''
python3 - versions/.dmmfs/state/data.mdb "$DMMFS_SOURCEDIR" <<'END' || skip 'the version in the state was not found'
import re, sys
data = bytearray(open(sys.argv[1], 'rb').read())
at = [m.start() for m in re.finditer(rb'format', data)]
assert at, 'no key of that name'
for i in at:
    value = i + len('format')
    data[value] = 99 if data[value] < 10 else ord('9')
    if data[value + 1:value + 2] and 48 <= data[value + 1] <= 57:
        data[value + 1] = ord('9')
open(sys.argv[1], 'wb').write(data)
END
refused 'a state of another version' 32 'version' "$dmmfs" "$s" "$work/versions"
