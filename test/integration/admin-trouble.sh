#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# dmmfs-admin and the socket in trouble: wrong values, unknown ids, two administrators at once, a daemon that dies in the middle of
# a request, a stale socket, a daemon that hangs, a full disk for the state, many clients, half frames, garbage, slow readers.
. "$(dirname "$0")/lib.sh"
m=$work/target

make_tree source
mkdir target source/many
(cd source/many && for ((i = 0; i < 2000; i++)); do echo "$i" >"$i"; done)
fresh_fs "$work/small" 48M
start one "$work/source" "$m" -o "background=off,statedir=$work/small/state"

say '--- wrong values, unknown ids'
for command in show stat errors log finish halt pause resume start delete; do
	refused "$command of an unknown id" 3 'no migration 99' "$admin" $command 99
	refused "$command of a place that is none" 3 'neither a migid' "$admin" $command "$work/source"
	refused "$command with an unknown option" 2 'unrecognized|invalid|unknown' "$admin" $command --nonsense 1
done
refused 'a number that is too large' 3 'no migration' "$admin" stat 99999999999999999999
refused 'seconds that are none' 2 'whole number' "$admin" stat -w 0 1
refused 'too many arguments' 2 'no more than' "$admin" stat 1 1
refused 'too few' 2 'needs' "$admin" stat
refused 'an empty argument' 3 'empty argument' "$admin" stat ''
for name in 'a b' $'new\nline' $'\e[31m' '-' '.' '/'; do
	"$admin" stat -- "$name" >out 2>&1 && fail "stat of '$name'"
	if grep -q $'\e' out || [ "$(wc -l <out)" -gt 2 ]; then fail "the message about '$name' is not plain: $(cat out)"; fi
done
say 'ok: whatever is named, the message is plain'

say '--- the socket'
cat >clients.py <<'END'
import concurrent.futures, json, os, random, socket, struct, sys, time

def connect():
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.settimeout(60)
    s.connect(sys.argv[1])
    return s

def send(s, request):
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    s.sendall(struct.pack(">I", len(body)) + body)

def receive(s):
    head = b""
    while len(head) < 4:
        part = s.recv(4 - len(head))
        if not part:
            return None
        head += part
    left, body = struct.unpack(">I", head)[0], b""
    while len(body) < left:
        part = s.recv(left - len(body))
        if not part:
            return None
        body += part
    return json.loads(body)

def ask(request):
    try:
        with connect() as s:
            send(s, request)
            return receive(s)
    except (ConnectionError, BlockingIOError): # refused, or the queue is full
        return None

def must(condition, what):
    if not condition:
        sys.exit(f"not so: {what}")

def answers_at_once():
    """Before one of those who hold a thread has lost it, which is after five seconds; once, on a busy machine, is enough."""
    for attempt in range(5):
        began = time.monotonic()
        must(ask({"op": "stat"})["ok"], "stat is answered")
        if time.monotonic() - began < 4:
            return True
    return False

def garbage():
    for body in b"", b"x", b"null", b"[]", b"{}", b'{"op":1}', b'{"op":"stat","op":"stat"}', b'{"op":"stat","x":1}', b"\xff\xfe", b"{" * 5000:
        reply = ask(body)
        must(reply is None or reply["ok"] is False, f"{body[:20]} is refused: {reply}")
    for op in "stat", "where", "errors", "log", "finish", "halt", "nonsense", "", "\x1b[31m":
        for more in {"path": 1}, {"path": "relative"}, {"after": -1}, {"max": "x"}, {"last": 1.5}, {"lazy": 3}, {"wait_s": -1}, {"after": 10**30}:
            reply = ask(json.dumps({"op": op, **more}).encode())
            must(reply is None or reply["ok"] is False, f"{op} {more} is refused: {reply}")
    with connect() as s:
        s.sendall(b"\xff\xff\xff\xff" + b"x" * 1000)
        must(receive(s)["error"] == "EMSGSIZE", "a frame that is too long is refused")

def half():
    """Frames that never end hold a thread each for a while, never all."""
    held = []
    for n in range(40):
        s = connect()
        s.sendall(struct.pack(">I", 1000) + b'{"op":' if n else b"\0\0")
        held.append(s)
    must(answers_at_once(), "a stat beside half frames is answered at once")
    for s in held:
        s.close()

def slow():
    """Readers that never read, of answers that fill the socket."""
    held = []
    for n in range(40):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        s.connect(sys.argv[1])
        send(s, {"op": "log"})
        held.append(s)
    must(answers_at_once(), "a stat beside those who do not read is answered at once")
    for s in held:
        s.close()

def many():
    """200 at once: each is answered, or told to try again."""
    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        replies = list(pool.map(lambda n: ask({"op": ["stat", "errors", "log"][n % 3]}), range(600)))
    good = [reply for reply in replies if reply and reply["ok"]]
    for reply in replies:
        must(reply is None or reply["ok"] or reply["error"] == "EAGAIN", f"{reply}")
    must(len(good) > 60, f"{len(good)} of 600 are answered")
    must(ask({"op": "stat"})["ok"], "afterwards all is as before")

random.seed(4)
{"garbage": garbage, "half": half, "slow": slow, "many": many}[sys.argv[2]]()
END
for what in garbage half slow many; do check "$what" timeout 150 python3 clients.py run/1.sock $what; done
for ((i = 0; i < 100; i++)); do "$admin" stat --json 1 >"stat.$i" & clients[i]=$!; done
for ((i = 0; i < 100; i++)); do wait "${clients[i]}" || fail "one of a hundred dmmfs-admin at once got no answer"; done
say 'ok: a hundred dmmfs-admin at once'
descriptors=$(find "/proc/$(worker one)/fd" | wc -l)
for ((i = 0; i < 50; i++)); do "$admin" stat --json 1 >/dev/null; done
wait_for 15 sh -c "[ \$(find /proc/$(worker one)/fd | wc -l) -le $((descriptors + 2)) ]"
say 'ok: no descriptor is lost'

say '--- two administrators'
ls target target/deep >/dev/null
exec 9<target/plain
timeout 30 "$admin" finish --wait 20 1 >first 2>&1 &
sleep 0.3
refused 'both finish' 4 '.' "$admin" finish 1
wait $! && fail 'it finished although not all is here'
exec 9<&-
for ((i = 0; i < 10; i++)); do
	"$admin" pause 1 >/dev/null &
	"$admin" resume 1 >/dev/null &
done
wait $(jobs -p | grep -v "^${pid[one]}$")
check 'after pause and resume by ten at once it has a state' sh -c "'$admin' stat --json 1 | grep -qE '\"state\": \"(running|paused)\"'"
"$admin" resume 1 >/dev/null

say '--- a full disk for the state'
dd if=/dev/zero of=small/filler bs=64k status=none 2>/dev/null || :
dd if=/dev/zero of=small/filler2 bs=1k status=none 2>/dev/null || :
ls target/many >listed &
listing=$!
wait_for 10 sh -c "'$admin' stat 1 | grep 'can not be written (ENOSPC)'"
say 'ok: stat tells that the state can not be written'
check 'list is answered' timeout 60 "$admin" list
check 'errors is answered' timeout 60 "$admin" errors 1
rm small/filler small/filler2
wait_for 20 sh -c "'$admin' stat --json 1 | grep -q '\"state_trouble\": null'"
wait $listing || fail 'the listing that waited has failed'
equal 'with room all goes on, nothing is lost' 2000 "$(wc -l <listed)"
check 'and what was listed can be read' cmp source/many/1999 target/many/1999
say kept >target/kept; sync -f target/kept

say '--- a daemon that hangs'
kill -STOP "$(worker one)"
refused 'stat of one that hangs' 5 'does not answer' timeout 100 "$admin" stat 1
"$admin" list >out
check 'list says so' grep -q 'no answer' out
status=0; timeout 2 "$admin" set -p errorretries=77 1 >out 2>&1 || status=$?
equal 'who asks one that hangs gives up' 124 "$status"
kill -CONT "$(worker one)"
check 'and answers when it goes on' timeout 100 "$admin" stat 1
check 'what it was asked for in vain is not done then' sh -c "! '$admin' get -p errorretries 1 | grep -q 77"

say '--- a daemon that dies'
kill -STOP "$(worker one)"
timeout 30 "$admin" errors 1 >asked.out 2>asked.err &
asking=$!
sleep 0.5
kill_hard one
status=0; wait $asking || status=$?
equal 'in the middle of a request: exit status' 5 "$status"
check 'and a sentence' grep -qE 'daemon of migration 1 (ended|has died)|no daemon runs' asked.err
test -S run/1.sock || fail 'there is no stale socket to meet'
for command in stat show list; do check "$command with a stale socket" "$admin" $command $([ $command = list ] || echo 1); done
check 'that the daemon died is said' grep -q '^The daemon died' <("$admin" stat 1)
refused 'errors with a stale socket' 5 'start 1' "$admin" errors 1
start one "$work/source" "$m" -o background=on
check 'what was acknowledged is there' grep -q kept target/kept
await_complete "$m"
finish one "$m"
if [ -e run/1.sock ]; then fail 'the socket is left'; fi
echo x >run/1.sock # a file in the place of the socket of one that is finished
check 'something else in the place of a socket' "$admin" stat 1
