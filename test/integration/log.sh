#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The log of a migration: events, a file that is rotated, removed, full; dmmfs-admin log from the daemon and from the file, followed
# over a rotation and a new start; names that want to forge lines.
. "$(dirname "$0")/lib.sh"
m=$work/target log=$work/logs/home

# has FILE REGEX: within moments, since a thread of its own writes the log.
has() { wait_for 5 grep -qE -- "$2" "$1"; say "ok: $1 has $2"; }

make_tree source
forged=$'x\nmigid=1 event=finished target=" event=forged \e[31m\xc2\x9b2J'
echo forged >"source/$forged"
mkdir target logs
echo "fails" >source/fails
slow 'read error EIO fails'
start_slow one "$work/source" "$m" -o "background=off,logfile=$log,errorretries=1"

say '--- events'
has "$log" "^20..-..-..T..:..:..\.[0-9]{3}[+-][0-9]{4} info: migid=1 event=start source=slow://$work/source target=$m .* how=new pid="
ls target >/dev/null
cat target/fails >/dev/null 2>&1 || :
has "$log" 'warning: migid=1 event=error id=[0-9]+ what=.* path=.*fails error=EIO'
slow 'read error EIO'
cat "target/$forged" >/dev/null 2>&1 || :
has "$log" 'event=error .* path=".*\\x0amigid=1 event=finished target=\\" event=forged \\x1b\[31m\\xc2\\x9b2J" error=EIO'
if grep -qvE '^20..-..-..T[^ ]* (info|warning|error): migid=1 ' "$log"; then fail 'a line that is none'; fi
if grep -q $'[\x01-\x08\x0b-\x1f\x7f]' "$log"; then fail 'a control character'; fi
"$admin" log 1 >out
check 'dmmfs-admin log' grep -qE '^20..-..-.. ..:..:..\.[0-9]{3}  info     event=start ' out
"$admin" log -n 1 --json 1 >out
check 'the fields of an event are what was meant' python3 -c '
import json
[line] = json.load(open("out"))
assert line["event"] == "error" and line["migid"] == 1 and line["level"] == "warning", line
assert line["fields"]["error"] == "EIO" and "\nmigid=1 event=finished target=\" event=forged" in line["fields"]["path"], line'
refused 'a number of lines that is none' 2 'whole number of lines' "$admin" log -n x 1

say '--- rotation'
"$admin" log -f -n 1 1 >followed 2>followed.err &
pid[follow]=$!
wait_for 10 test -s followed
mv "$log" "$log.1"
slow
cat target/fails >/dev/null
has "$log" 'event=fixed id='
has followed 'event=fixed id='
rm "$log"
slow 'read error EIO plain'
cat target/plain >/dev/null 2>&1 || :
has "$log" 'path=.*plain error=EIO'
: >"$log" # copytruncate
slow
cat target/plain >/dev/null
has "$log" '^20.* event=fixed'
mv logs logs.away
slow 'read error EIO large'
cat target/large >/dev/null 2>&1 || :
has followed 'event=logfile-trouble .*error=ENOENT'
has one.log 'event=logfile-trouble .*error=ENOENT'
mkdir logs
slow
cat target/large >/dev/null
has "$log" 'event=fixed'
has "$log" 'event=logfile-again .*lost='

say '--- a full disk'
fresh_fs "$work/small" 1M
mkdir small/logs target2
start two "$work/source" "$work/target2" -o "background=off,logfile=$work/small/logs/home"
dd if=/dev/zero of=small/filler bs=4k status=none 2>/dev/null || :
dd if=/dev/zero of=small/filler2 bs=1k status=none 2>/dev/null || :
check 'the migration goes on' timeout 60 cat target2/plain
stop two "$work/target2"
check 'a daemon whose log is full comes to an end' true

say '--- a new start'
stop one "$m"
has followed 'event=stop state=halted'
has followed.err 'no daemon runs for migration 1; waiting'
tail -n 1 "$log" | sed 's/event=.*/event=late/' >>"$log"
has followed 'event=late' # a daemon may write its last lines when its socket has gone
sed -i '$d' "$log"
"$admin" log 1 >out
check 'the log of a halted one, from its file' grep -q 'event=stop state=halted' out
"$admin" log --json -n 2 1 >out
equal 'the last two' 2 "$(python3 -c 'import json; print(len(json.load(open("out"))))')"
start_slow one "$work/source" "$m" -o "background=on,logfile=$log"
has followed 'event=start .* how=again'
finish one "$m"
has followed 'event=finished'
wait_for 5 ended follow
wait "${pid[follow]}" || fail "log -f ended with status $?"
unset 'pid[follow]'
for event in complete asked unmounted finished stop; do has "$log" "event=$event( |\$)"; done
"$admin" log 1 >out
check 'the log of a finished one' grep -q 'event=finished' out
equal 'nothing was lost or told twice' "$(cut -d: -f4- <<<"$(cat "$log")" | grep -c 'event=complete')" "$(grep -c 'event=complete' followed)"

say '--- none'
mkdir target3 && ln -s no/such/place/log dangling
start three "$work/source" "$work/target3" -o "background=off,logfile=$work/dangling"
has three.log 'event=logfile-trouble .*error=ENOENT'
check 'a log that cannot be written keeps nothing from going on' cat target3/plain
stop three "$work/target3"
