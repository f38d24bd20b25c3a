#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# dmmfs-admin against a real daemon: list, show, stat, where, errors, finish; JSON; exit status; a terminal and a pipe; who may ask.
. "$(dirname "$0")/lib.sh"
m=$work/target

# has FILE KEY...: the JSON object, or every object of the JSON array, has these keys.
has()
{
	python3 - "$@" <<'END'
import json, sys
data = json.load(open(sys.argv[1]))
for one in data if isinstance(data, list) else [data]:
    missing = [key for key in sys.argv[2:] if key not in one]
    assert not missing, missing
assert data
END
}
keys='migid state source target mountpoint dirs_found dirs_migrated files_found files_migrated files_pending files_error bytes_found
	bytes_migrated bytes_pending rate_bytes_per_s eta_s demand_requests demand_p50_us demand_p99_us uptime_s'

make_tree source
mkdir target
equal 'list without any migration' '[]' "$("$admin" list --json 2>/dev/null | tr -d ' \n')"
start one "$work/source" "$m" -o background=off,segsize=64K
"$admin" stat --json 1 >out
check 'stat --json has its keys' has out $keys
"$admin" list --json >out
check 'list --json has them, too' has out $keys
"$admin" show --json 1 >out
check 'show --json' has out migid source target state
equal 'nothing is known but the root' 1 "$(figure 1 dirs_found)"
ls target >/dev/null
equal 'pending after a look' running "$(figure 1 state)"
dd if=target/large of=/dev/null bs=64K skip=3 count=1 status=none
printf x | dd of=target/large bs=1 seek=1000000 conv=notrunc status=none
if [ "$(figure 1 demand_requests)" -lt 2 ]; then fail 'demand requests are not counted'; fi
say "ok: demand requests are counted: $(figure 1 demand_requests), p50 $(figure 1 demand_p50_us) us, p99 $(figure 1 demand_p99_us) us"

say '--- where'
"$admin" where "$m/holes" >out; check 'at the source' grep -q 'at the source' out
"$admin" where "$m/plain" >out; check 'a file nobody asked for' grep -q 'at the source' out
cat target/plain >/dev/null; "$admin" where "$m/plain" >out; check 'on the target once it was read' grep -q 'on the target' out
"$admin" where --json "$m/large" >out
check 'ranges of a file: source, resident, changed' python3 -c '
import json
where = json.load(open("out"))
where = where[0] if isinstance(where, list) else where
kinds = {r.get("state") or r.get("kind") or r.get("where") for r in where["ranges"]}
assert len(kinds) == 3, where
assert sum(r["len"] if "len" in r else r["length"] for r in where["ranges"]) == 3000000, where'
"$admin" where "$m/deep/er/est/file" >out; check 'below a directory that has not come over' test -s out
refused 'a path that is of no migration' 3 '/' "$admin" where /etc/hostname
refused 'a name that is not there' 1 'nosuch' "$admin" where "$m/nosuch"

say '--- exit status'
refused 'an unknown command' 2 'no command' "$admin" nonsense
refused 'no command' 2 'usage' "$admin"
refused 'an unknown migration' 3 '99' "$admin" stat 99
refused 'finish with something pending' 4 'have not come over' "$admin" finish 1
check 'errors: none' "$admin" errors 1

say '--- watching'
lines_of 2 lines "$admin" stat -w 1 1
if grep -q $'\033' lines; then fail 'control sequences in a pipe'; fi
check 'lines into a pipe' test "$(wc -l <lines)" -ge 2
timeout 100 script -qefc "TERM=xterm '$admin' stat -w 1 1" typescript >/dev/null 2>&1 </dev/null &
watching=$!
wait_for 20 grep -qE $'\r.*[0-9]|\033' typescript
kill $watching
wait $watching || :
say 'ok: a bar on a terminal'
lines_of 40 objects "$admin" stat --json -w 1 1
check 'JSON, an object each time' python3 -c '
import json
text, decoder, n = open("objects").read().strip(), json.JSONDecoder(), 0
while text:
    try:
        one, end = decoder.raw_decode(text)
    except ValueError: # the end cut it off
        break
    assert "files_pending" in one
    text, n = text[end:].strip(), n + 1
assert n >= 2'

say '--- who may ask'
for path in run conf run/1.sock target/.dmmfs; do
	if setpriv --reuid 2001 --regid 2001 --clear-groups ls "$work/$path/" >/dev/null 2>&1; then fail "others get into $path"; fi
done
chmod 711 run && chmod 666 run/1.sock # even when the modes are wrong
cat >ask.py <<'END'
import json, socket, struct, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
s.connect(sys.argv[1])
body = json.dumps({'op': 'stat'}).encode()
s.settimeout(60)
try:
    s.sendall(struct.pack('>I', len(body)) + body)
    data = s.recv(65536)
except OSError:
    data = b''
sys.exit(0 if b'bytes_found' in data else 1)
END
check 'root is answered' python3 ask.py run/1.sock
if setpriv --reuid 2001 --regid 2001 --clear-groups /usr/bin/python3 ask.py run/1.sock; then fail 'a peer that is not root is answered'; fi
say 'ok: a peer that is not root is refused'
chmod 600 run/1.sock && chmod 700 run
stop one "$m"

say '--- without a daemon'
refused 'stat of a halted one tells so' 5 '' "$admin" where "$m/plain"
"$admin" list >out; check 'list shows it halted' grep -q halted out
"$admin" stat --json 1 >out || :
check 'its last figures' has out $keys
refused 'finish needs the daemon' 5 '' "$admin" finish 1
start one "$work/source" "$m" -o background=on
await_complete "$m"
timeout 60 "$admin" stat -w 1 "$m" >out; check 'stat -w ends when it is complete' grep -q complete out
"$admin" finish --json "$m" >out; check 'finish --json' python3 -m json.tool out
reap one
"$admin" stat --json 1 >out; check 'the figures of a finished one' has out $keys
equal 'complete' complete "$(figure 1 state)"
