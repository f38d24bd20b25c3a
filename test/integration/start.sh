#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# dmmfs returns when the mount serves, with -f it stays and tells the service manager; nothing of the terminal is kept open.
. "$(dirname "$0")/lib.sh"

make_tree source
mkdir target
"$dmmfs" "$work/source" "$work/target" -o "logfile=$work/one.log" || fail 'dmmfs failed'
equal 'the mount serves as soon as dmmfs returned' "$(cat source/plain)" "$(cat target/plain)"
check 'so does the socket' "$admin" stat "$work/target"
umount target
wait_for 10 test ! -e run/1.sock

# A daemon that kept an end of this pipe would keep cat waiting.
timeout 60 sh -c "'$dmmfs' '$work/source' '$work/target' -o 'logfile=$work/one.log' 2>&1 | cat" || fail 'the daemon keeps the terminal'
say 'ok: the daemon leaves the terminal'
umount target
wait_for 10 test ! -e run/1.sock

cat >listen.py <<'END'
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print('listening', flush=True)
while True:
    print(s.recv(4096).decode().replace('\n', ' '), flush=True)
END
for address in "$work/notify" "@$work/notify"; do
	name=$(printf '%s' "$address" | sed 's/^@/\\0/')
	rm -f told # what the last one was told
	python3 -c "import sys; sys.argv[1] = '$name'; exec(open('listen.py').read())" "$name" >told 2>listen.log &
	listener=$!
	wait_for 10 grep -q listening told
	NOTIFY_SOCKET=$address launch one "$work/source" "$work/target"
	wait_for 20 grep -q READY=1 told
	equal 'it serves when READY was sent' "$(cat source/plain)" "$(cat target/plain)"
	kill -TERM "${pid[one]}"
	reap one
	wait_for 10 grep -q STOPPING=1 told
	kill $listener
done
refused 'without a mount point' 1 'usage: dmmfs SOURCE MOUNTPOINT' "$dmmfs" "$work/source"
check 'help' "$dmmfs" --help
check 'version' "$dmmfs" --version
